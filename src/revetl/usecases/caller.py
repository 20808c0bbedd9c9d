"""What a use case is given by the face that calls it: who hears how far it is, and what stops it.

A terminal shows bars and listens to ctrl-C, a notebook does neither. The use case is the same.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

from revetl.clock import Clock, SystemClock
from revetl.context import RECONNECT_S, LeaseWait, Meter, RunContext, no_meter, unheard
from revetl.errors import WarehouseBusy
from revetl.state.ownership import claim
from revetl.state.runs import new_run_id
from revetl.usecases.auditing import ActingFor, acting
from revetl.warehouse.reconnecting import repeated

if TYPE_CHECKING:
    from revetl.enrich.report import OnProgress
    from revetl.project import Project
    from revetl.state.leases import Holder
    from revetl.sync import SyncReport
    from revetl.warehouse.base import Warehouse

T = TypeVar("T")
log = logging.getLogger("revetl.usecases")

# Given a word for a stage ("reading"), gives what hears how far that stage is, or None.
Stages = Callable[[str], Meter | None]

_POLL_S = 1.0


def _no_stages(_subject: str) -> AbstractContextManager[Stages]:
    return nullcontext(no_meter)


def _no_lookups(_waterfall: str) -> AbstractContextManager[OnProgress | None]:
    return nullcontext(None)


def _unstoppable(_stop: asyncio.Event) -> AbstractContextManager[None]:
    return nullcontext()


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """By default nobody listens, nothing stops the work, and what another run holds is not waited for.

    wait_s     how long to wait for what another run holds: a sync's lease, the file of a DuckDB warehouse
    reconnect_s  how long a lost connection to the warehouse is tried again
    note       hears sentences for a person: who is waited for, which edited file is not built
    stages     given a sync's name: while the block lasts, shows how far each of its stages is
    lookups    given a waterfall's name: while the block lasts, shows how far its lookups are
    on_sync    hears of every sync that has ended; of those before one that could not begin, nothing else is heard
    invocation_id  of this call: what all runs that it begins have in common
    acting     for whom, from where and why: for the audit log
    stoppable  while the block lasts, sets the event when the work should end in good order
    """

    wait_s: float = 0.0
    note: Callable[[str], None] = unheard
    stages: Callable[[str], AbstractContextManager[Stages]] = _no_stages
    lookups: Callable[[str], AbstractContextManager[OnProgress | None]] = _no_lookups
    on_sync: Callable[[SyncReport], None] = unheard
    stoppable: Callable[[asyncio.Event], AbstractContextManager[None]] = _unstoppable
    clock: Clock = field(default_factory=SystemClock)
    acting: ActingFor = field(default_factory=acting)
    reconnect_s: float = RECONNECT_S
    invocation_id: str = field(default_factory=lambda: new_run_id(SystemClock()))

    def context(
        self,
        project: Project,
        warehouse: Warehouse,
        command: str,
        *,
        stop: asyncio.Event | None = None,
        stages: Stages = no_meter,
        dbt_invocation_id: str | None = None,
    ) -> RunContext:
        """The surroundings of one run, with an id of its own. GuardrailError where the state is another target's."""
        repeated(lambda: claim(warehouse, project.target, self.clock.now()))
        return RunContext(
            warehouse=warehouse,
            clock=self.clock,
            run_id=new_run_id(self.clock),
            command=command,
            target=project.target,
            invocation_id=self.invocation_id,
            dbt_invocation_id=dbt_invocation_id,
            stop=stop or asyncio.Event(),
            progress=stages,
            note=self.note,
            wait=LeaseWait(self.wait_s, self._on_wait),
            reconnect_s=self.reconnect_s,
            connect=lambda name: project.destination(name, self.clock),
            state_dir=project.state_dir,
        )

    def _on_wait(self, holder: Holder) -> None:
        log.info("waiting for a lease", extra={"lease": holder.name, "wait_s": self.wait_s})
        self.note(f"Waiting for {holder.name.removeprefix('sync:')}: held by {holder}.")

    @contextmanager
    def warehouse(self, project: Project) -> Iterator[Warehouse]:
        """The project's warehouse while the block lasts. A DuckDB file that another process has open is tried again
        for `wait_s`; WarehouseBusy after that."""
        warehouse = self._opened(project)
        try:
            yield warehouse
        finally:
            warehouse.close()

    def _opened(self, project: Project) -> Warehouse:
        deadline, noted = time.monotonic() + self.wait_s, False
        while True:
            try:
                return project.open_warehouse()
            except WarehouseBusy as e:
                left = deadline - time.monotonic()
                if left <= 0:
                    raise
                if not noted:
                    log.info("waiting for the database file", extra={"wait_s": self.wait_s})
                    self.note(f"Waiting up to {self.wait_s:g} s: {e}")
                    noted = True
                time.sleep(min(_POLL_S, left))

    def finish(self, work: Callable[[asyncio.Event], Awaitable[T]]) -> T:
        """Runs `work` on a loop of its own; it hears of a stop through the event and ends in good order.

        Raises KeyboardInterrupt after a stop, once the work has ended: what would come next must not begin.
        """

        async def main() -> tuple[T, bool]:
            stop = asyncio.Event()
            with self.stoppable(stop):
                return await work(stop), stop.is_set()

        result, stopped = asyncio.run(main())
        if stopped:
            raise KeyboardInterrupt
        return result

"""What rides along through one run of one command, as one value.

Made once by whoever begins the run; a step takes what it needs from it and hands it on whole. Nothing here decides what
is done: that is in the options of the job (`SyncOptions`, `WaterfallOptions`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from revetl.clock import Clock

if TYPE_CHECKING:
    from revetl.state.leases import Holder
    from revetl.warehouse.base import Warehouse

# Runs a function that blocks (a long statement) where it does not block the event loop.
Offload = Callable[..., Awaitable[Any]]
# A server that is started anew is there within a minute; one that is upgraded or fails over, within a few.
RECONNECT_S = 300.0
# Called with how many are done, and of how many.
Meter = Callable[[int, int], None]


def no_meter(_stage: str) -> Meter | None:
    """Progress that nobody watches."""
    return None


def unheard(_: object) -> None:
    """Nobody listens."""


@dataclass(frozen=True, slots=True)
class LeaseWait:
    """How long to wait for a lease that another run holds. `on_wait` is called once, with who holds it."""

    seconds: float = 0.0
    on_wait: Callable[[Holder], None] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunContext:
    """The surroundings of one run. `warehouse` is used by one statement at a time.

    run_id             unique, sorts by time (`state.runs.new_run_id`)
    command            what the operator called: written into `runs`, and never asked for by a step
    target             the target of profiles.yml, written into `runs`
    invocation_id      of the command, the same for all runs that it begins; None where only one is begun
    dbt_invocation_id  of the build whose models are read; None where none is known
    offload            how blocking work leaves the event loop
    stop               once set: what is in flight ends and is written down, nothing new begins
    progress           given a word for a stage ("sending"), gives what is told how far it is, or None
    note               hears sentences for a person, while the run goes on
    wait               for a lease that another run holds
    reconnect_s        for how long a lost connection to the warehouse is tried again, before the run fails
    connect            opens the destination of that name while its block lasts, for what is read at another
                       destination; ConfigError for one that is not there. None: none can be opened
    state_dir          the project's folder for what the warehouse could not be given; None: nothing is kept there
    """

    warehouse: Warehouse
    clock: Clock
    run_id: str
    command: str
    target: str
    invocation_id: str | None = None
    dbt_invocation_id: str | None = None
    offload: Offload = asyncio.to_thread
    stop: asyncio.Event = field(default_factory=asyncio.Event)
    progress: Callable[[str], Meter | None] = no_meter
    note: Callable[[str], None] = unheard
    wait: LeaseWait = LeaseWait()
    reconnect_s: float = RECONNECT_S
    connect: Callable[[str], AbstractAsyncContextManager[Any]] | None = None
    state_dir: Path | None = None

    def under(self, warehouse: Warehouse, offload: Offload) -> RunContext:
        """The same run, working through a lease: on a fenced warehouse, one statement at a time."""
        return replace(self, warehouse=warehouse, offload=offload)

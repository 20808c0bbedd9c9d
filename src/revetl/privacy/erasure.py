"""Erasing people from all that revetl keeps. The steps, and what can fail between them, are in docs/design/erasure.md:

1. They are put on the list of suppressed people: durable before anything is removed, so that no run that begins from
   here on looks them up or sends them.
2. Runs that are under way hold what they know in memory: they are waited for, and the syncs are held meanwhile.
3. What the tables hold is removed in one transaction.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial

from revetl import __version__
from revetl.clock import Clock
from revetl.errors import LeaseError
from revetl.model import RunRecord
from revetl.privacy import erasing
from revetl.privacy.persons import Meant, People, Person, Search
from revetl.privacy.suppressions import Suppressions, choose_key
from revetl.state import heartbeats, leases, runs
from revetl.state.leases import Holder
from revetl.state.schema import create_all, relation
from revetl.warehouse.base import Warehouse
from revetl.warehouse.sql import table

_LASTS = timedelta(minutes=5)
_POLL_S = 1.0


@dataclass(slots=True)
class ErasureReport:
    """`person`: whom it is about. `tables`: rows that are, or were, removed or emptied."""

    person: Person
    tables: dict[str, int] = field(default_factory=dict)
    erased: bool = False
    run_id: str | None = None


class Erasure:
    """One request: `look`, and then perhaps `erase`."""

    def __init__(
        self,
        warehouse: Warehouse,
        people: Sequence[People],
        list_keys: Callable[[Mapping[str, str]], set[str]],
        identities: Sequence[Mapping[str, str]],
        keys: Sequence[str],
        *,
        clock: Clock,
    ) -> None:
        self._warehouse = warehouse
        self._people, self._list_keys = people, list_keys
        self._identities, self._keys = identities, keys
        self._clock = clock

    async def look(self) -> ErasureReport:
        """What is held of them. Writes nothing but what every first run does: tables, and the list's key. ConfigError
        where that key is not at hand."""
        create_all(self._warehouse)
        await choose_key(self._warehouse, self._clock)
        meant, person = self._find(Suppressions.load(self._warehouse))
        return ErasureReport(person, erasing.count(meant))

    def _find(self, listed: Suppressions) -> tuple[Meant, Person]:
        meant = Meant(self._warehouse, listed.alias)
        return meant, Search(meant, self._people, self._list_keys).find(self._identities, self._keys)

    async def erase(
        self,
        *,
        run_id: str,
        target: str,
        syncs: Sequence[str] = (),
        wait_s: float = 0.0,
        on_wait: Callable[[Holder], None] | None = None,
    ) -> ErasureReport:
        """Does it; safe to repeat, and to repeat after a crash at any point. `syncs`: all that the project declares.
        LeaseError where a run that is under way did not end within `wait_s`: they are suppressed then, and nothing was
        removed yet."""
        warehouse, clock = self._warehouse, self._clock
        create_all(warehouse)
        await choose_key(warehouse, clock)
        listed = Suppressions.load(warehouse)
        person = self._find(listed)[1]
        with warehouse.transaction():
            listed.erase(person.identities, person.found, clock.now())
        names = [*dict.fromkeys([*map(leases.name_of, syncs), *self._leased("sync:")])]
        try:
            await self._hold(names, run_id, wait_s, on_wait)
            run = RunRecord(run_id, "erase", None, target, clock.now(), __version__)
            meant, person = self._find(listed)  # anew: a run may have ended since, with more of them
            with warehouse.transaction():
                listed.erase(person.identities, person.found, clock.now())
            report = ErasureReport(person, erasing.count(meant), erased=True, run_id=run_id)

            def hold() -> None:
                for name in names:
                    leases.hold(warehouse, name, run_id, until=clock.now() + _LASTS)

            erasing.erase(meant, hold)
            run.status, run.finished_at, run.counts = "done", clock.now(), dict(report.tables)
            runs.start_run(warehouse, run)
        finally:
            for name in names:  # what is not ours stays as it is
                leases.release(warehouse, name, run_id)
        return report

    async def _hold(
        self, names: Sequence[str], run_id: str, wait_s: float, on_wait: Callable[[Holder], None] | None
    ) -> None:
        """Takes every sync's lease, and waits until no waterfall is under way."""
        deadline, told = self._clock.monotonic() + wait_s, set[str]()

        def taken(name: str) -> Holder | None:
            return leases.take(self._warehouse, name, run_id, now=self._clock.now(), lasts=_LASTS)

        waits: list[Callable[[], Holder | None]] = [*(partial(taken, name) for name in names), self._asking]
        for busy in waits:
            while (holder := busy()) is not None:
                if self._clock.monotonic() >= deadline:
                    raise _under_way(holder)
                if on_wait is not None and holder.run_id not in told:
                    on_wait(holder)
                    told.add(holder.run_id)
                await self._clock.sleep(_POLL_S)

    def _asking(self) -> Holder | None:
        """A waterfall that is under way."""
        now = self._clock.now()
        holders = (leases.holder(self._warehouse, name, now=now) for name in self._leased(heartbeats.PREFIX))
        return next(filter(None, holders), None)

    def _leased(self, prefix: str) -> list[str]:
        found = table(relation(self._warehouse, "leases"))
        rows = self._warehouse.rows(f"SELECT DISTINCT name FROM {found} WHERE starts_with(name, ?)", [prefix])
        return sorted(str(name) for (name,) in rows)


def _under_way(holder: Holder) -> LeaseError:
    return LeaseError(
        f"{holder} is under way and may still write what it knows. They are suppressed from now on; nothing was erased"
        " yet: run this again when it has ended, or with --wait 10m."
    )

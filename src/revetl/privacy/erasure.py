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
from revetl.context import RunContext
from revetl.errors import LeaseError
from revetl.model import RunRecord
from revetl.privacy import erased_file, erased_rows
from revetl.privacy.people import FoundPeople, PeopleRelation, PeopleScratch, PeopleSearch
from revetl.privacy.suppressions import Suppressions, choose_key
from revetl.state import heartbeats, leases, runs
from revetl.state.leases import Holder
from revetl.state.schema import create_all, relation
from revetl.warehouse.sql import table

_LASTS = timedelta(minutes=5)
_POLL_S = 1.0


@dataclass(slots=True)
class ErasureReport:
    """`people`: whom it is about. `tables`: rows that are, or were, removed or emptied."""

    people: FoundPeople
    tables: dict[str, int] = field(default_factory=dict)
    erased: bool = False
    run_id: str | None = None


class Erasure:
    """One request: `look`, and then perhaps `erase`, as the run that `ctx` is of."""

    def __init__(
        self,
        ctx: RunContext,
        people: Sequence[PeopleRelation],
        list_keys: Callable[[Mapping[str, str]], set[str]],
        identities: Sequence[Mapping[str, str]],
        keys: Sequence[str],
    ) -> None:
        self._ctx, self._warehouse, self._clock = ctx, ctx.warehouse, ctx.clock
        self._people, self._list_keys = people, list_keys
        self._identities, self._keys = identities, keys

    async def look(self) -> ErasureReport:
        """What is held of them. Writes nothing but what every first run does: tables, and the list's key. ConfigError
        where that key is not at hand."""
        wanted, people = self._find(await self._suppressions())
        return ErasureReport(people, erased_rows.count(wanted))

    async def erase(self, syncs: Sequence[str] = ()) -> ErasureReport:
        """Does it; safe to repeat, and to repeat after a crash at any point. `syncs`: all that the project declares.
        LeaseError where a run that is under way did not end within `ctx.wait`: they are suppressed then, and nothing
        was removed yet."""
        warehouse, clock, run_id = self._warehouse, self._clock, self._ctx.run_id
        listed = await self._suppressions()
        people = self._find(listed)[1]
        with warehouse.transaction():
            listed.erase(people.identities, people.found, clock.now())
        self._keep_outside()
        names = [*dict.fromkeys([*map(leases.name_of, syncs), *self._leased("sync:")])]
        try:
            await self._hold(names)
            self._refuse_open_jobs(syncs)
            run = RunRecord(run_id, self._ctx.command, None, self._ctx.target, clock.now(), __version__)
            wanted, people = self._find(listed)  # anew: a run may have ended since, with more of them
            with warehouse.transaction():
                listed.erase(people.identities, people.found, clock.now())
            self._keep_outside()
            report = ErasureReport(people, erased_rows.count(wanted), erased=True, run_id=run_id)

            def hold_leases() -> None:
                for name in names:
                    leases.hold(warehouse, name, run_id, until=clock.now() + _LASTS)

            erased_rows.erase(wanted, hold_leases)
            run.status, run.finished_at, run.counts = "done", clock.now(), dict(report.tables)
            runs.start_run(warehouse, run)
        finally:
            for name in names:  # what is not ours stays as it is
                leases.release(warehouse, name, run_id)
        return report

    def _keep_outside(self) -> None:
        """Durable before anything is removed: a restored backup would know of no erasure since."""
        erased_file.reconcile(self._warehouse, self._ctx.state_dir, self._clock.now())

    async def _suppressions(self) -> Suppressions:
        create_all(self._warehouse)
        self._keep_outside()
        await choose_key(self._warehouse, self._clock)
        return Suppressions.load(self._warehouse)

    def _find(self, listed: Suppressions) -> tuple[PeopleScratch, FoundPeople]:
        wanted = PeopleScratch(self._warehouse, listed.alias)
        return wanted, PeopleSearch(wanted, self._people, self._list_keys).find(self._identities, self._keys)

    async def _hold(self, names: Sequence[str]) -> None:
        """Takes every sync's lease, and waits until no waterfall is under way."""
        wait = self._ctx.wait
        deadline, noted = self._clock.monotonic() + wait.seconds, set[str]()

        def taken(name: str) -> Holder | None:
            return leases.take(self._warehouse, name, self._ctx.run_id, now=self._clock.now(), lasts=_LASTS)

        waits: list[Callable[[], Holder | None]] = [*(partial(taken, name) for name in names), self._asking]
        for busy in waits:
            while (holder := busy()) is not None:
                if self._clock.monotonic() >= deadline:
                    raise _under_way(holder)
                if wait.on_wait is not None and holder.run_id not in noted:
                    wait.on_wait(holder)
                    noted.add(holder.run_id)
                await self._clock.sleep(_POLL_S)

    def _refuse_open_jobs(self, syncs: Sequence[str]) -> None:
        """A destination still works on a job of these syncs, or a run has not been published to its end: what is made
        there would leave no trace here. Those of a sync that is declared no more are nobody's to follow, and would
        stand in the way for ever."""
        jobs, runs = (table(relation(self._warehouse, name)) for name in ("destination_jobs", "publications"))
        rows = self._warehouse.rows(
            f"""
            SELECT sync
            FROM {jobs}
            WHERE status = 'submitted'
            UNION
            SELECT sync
            FROM {runs}
            WHERE status = 'open'
            """
        )
        if waiting := sorted({str(sync) for (sync,) in rows} & set(syncs)):
            raise LeaseError(
                f"a destination still works on a job of {', '.join(waiting)}. They are suppressed from now on; nothing"
                f" was erased yet: `revetl sync -s {waiting[0]}` follows the job, then run this again."
            )

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

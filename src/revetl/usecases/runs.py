"""`revetl runs`: what ran, what became of one run's records, and of one record in it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import TYPE_CHECKING

from revetl.enrich.execution.in_doubt import CallInDoubt, in_doubt
from revetl.errors import ConfigError
from revetl.model import NOT_APPLIED, RunRecord, RunStatus, SyncSpec
from revetl.project.recent_runs import remember_runs
from revetl.state import outcomes, runs
from revetl.state.sync_tables import resolve
from revetl.sync import awaited, record_history
from revetl.sync.awaited import AwaitedRecords
from revetl.usecases.caller import Caller
from revetl.usecases.record_names import record_key
from revetl.usecases.run_names import find_runs

if TYPE_CHECKING:
    from revetl.project import Project
    from revetl.warehouse.base import Warehouse

# From what asks for a person to what does not.
_WORST_FIRST: tuple[RunStatus, ...] = ("failed", "stopped", "interrupted", "partial", "running", "done")


@dataclass(frozen=True, slots=True)
class Invocation:
    """The runs that one command began, in their order. `invocation_id`: None of a run that no other belongs to."""

    invocation_id: str | None
    runs: tuple[RunRecord, ...]

    @property
    def status(self) -> RunStatus:
        """The one that most asks for a person."""
        present = {run.status for run in self.runs}
        return next(status for status in _WORST_FIRST if status in present)


@dataclass(frozen=True, slots=True)
class RunDetails:
    """One run.

    undone_by  ids of the rollbacks of this run
    reasons    (status, code, an example, records) of what did not go through, or was accepted and not applied
    records    some of those
    in_doubt   its paid calls whose answer was lost
    planned    records that it was to send; None of a run that came to no plan
    awaited    the records that fields and links of its sync wait for now; none of a sync that the project has no more
    done       (operation, status, records) of what was done, and of links: a create that met a record is an update
    """

    run: RunRecord
    undone_by: list[str]
    reasons: Sequence[tuple[str, str, str, int]]
    records: Sequence[outcomes.RecordOutcome]
    in_doubt: Sequence[CallInDoubt]
    planned: int | None = None
    done: Sequence[tuple[str, str, int]] = ()
    awaited: AwaitedRecords = field(default_factory=AwaitedRecords)

    @property
    def not_sent(self) -> int:
        """Of the records that were planned, those that have no outcome."""
        return max(0, (self.planned or 0) - sum(n for op, _, n in self.done if op not in ("link", "unlink")))


def newest_runs(project: Project, limit: int, caller: Caller) -> list[RunRecord]:
    """Those of the newest `limit` invocations, the newest first; empty where nothing has run yet."""
    with caller.warehouse(project) as warehouse:
        found = runs.newest_invocations(warehouse, limit)
    remember_runs(project.artifacts.own, [run.run_id for run in found])
    return found


def by_invocation(found: Iterable[RunRecord]) -> list[Invocation]:
    """Of runs in the order of `newest_runs`."""
    groups = (list(group) for _, group in groupby(found, key=lambda run: run.invocation_id or run.run_id))
    return [Invocation(group[0].invocation_id if len(group) > 1 else None, tuple(reversed(group))) for group in groups]


def run_details(project: Project, run_id: str, limit: int, caller: Caller) -> list[RunDetails]:
    """Of one run, or of all runs of the invocation that is named, in their order. `limit`: how many of the records of
    each that did not go through. ConfigError where there is no such run."""
    with caller.warehouse(project) as warehouse:
        found = list(reversed(find_runs(warehouse, run_id).runs))
        specs = project.syncs_as_parsed()
        return [_details(project, warehouse, run, specs.get(run.subject or ""), limit, caller) for run in found]


def _awaited(project: Project, warehouse: Warehouse, spec: SyncSpec | None) -> AwaitedRecords:
    """None where the model is not built as it is declared now."""
    if spec is None or not (spec.associate or spec.references):
        return AwaitedRecords()
    try:
        return awaited.look(resolve(warehouse, spec), project.state_dir)
    except ConfigError:
        return AwaitedRecords()


def _details(
    project: Project, warehouse: Warehouse, run: RunRecord, spec: SyncSpec | None, limit: int, caller: Caller
) -> RunDetails:
    return RunDetails(
        run,
        [r.run_id for r in runs.rollbacks_of(warehouse, run.run_id)],
        outcomes.reasons(warehouse, run.run_id),
        outcomes.of_run(
            warehouse, run.run_id, statuses=("rejected", "unknown", "skipped"), codes=(NOT_APPLIED,), limit=limit
        ),
        in_doubt(warehouse, caller.clock.now(), run_id=run.run_id),
        runs.planned_by(warehouse, run.run_id),
        outcomes.done_by(warehouse, run.run_id),
        _awaited(project, warehouse, spec),
    )


def record_in_run(
    project: Project, run_id: str, text: str, caller: Caller
) -> tuple[RunRecord, record_history.RecordHistory]:
    """What the run did to one record, and what happens to it next. `text`: whatever names a record; of an invocation
    the sync that knows it is meant. ConfigError: no such run or not one of a sync, or several records are named."""
    with caller.warehouse(project) as warehouse:
        named = find_runs(warehouse, run_id)
        of_syncs = [run for run in named.runs if run.subject is not None]
        if not of_syncs:
            raise ConfigError(f"run {named.runs[0].run_id} is not one of a sync")
        told = []
        for run in of_syncs:
            key = record_key(project, warehouse, text, sync=str(run.subject)) or text
            told.append((run, record_history.of_record(warehouse, run.run_id, str(run.subject), key)))
        return next((pair for pair in told if pair[1].outcomes), None) or next(
            (pair for pair in told if pair[1].known), told[0]
        )

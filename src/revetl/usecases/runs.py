"""`revetl runs`: what ran, what became of one run's records, and of one record in it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from revetl.enrich.execution.in_doubt import CallInDoubt, in_doubt
from revetl.errors import ConfigError
from revetl.model import RunRecord
from revetl.project.recent_runs import remember_runs
from revetl.state import outcomes, runs
from revetl.sync import record_history
from revetl.usecases.caller import Caller

if TYPE_CHECKING:
    from revetl.project import Project
    from revetl.warehouse.base import Warehouse


@dataclass(frozen=True, slots=True)
class RunDetails:
    """One run. `reasons`: (status, code, an example, records) of what did not go through; `records`: some of those;
    `undone_by`: ids of the rollbacks of this run; `in_doubt`: its paid calls whose answer was lost."""

    run: RunRecord
    undone_by: list[str]
    reasons: Sequence[tuple[str, str, str, int]]
    records: Sequence[outcomes.RecordOutcome]
    in_doubt: Sequence[CallInDoubt]


def find_run(warehouse: Warehouse, run_id: str) -> RunRecord:
    """The run of this id, or of the only one that ends with it. ConfigError where there is none, or more than one."""
    run = runs.get_run(warehouse, run_id)
    if run is None:
        raise ConfigError(f"no run, or more than one, has the id {run_id!r}", hint="`revetl runs` lists them.")
    return run


def newest_runs(project: Project, limit: int, caller: Caller) -> list[RunRecord]:
    """The newest first; empty where nothing has run yet."""
    with caller.warehouse(project) as warehouse:
        found = runs.list_runs(warehouse, limit)
    remember_runs(project.artifacts.own, [run.run_id for run in found])
    return found


def run_details(project: Project, run_id: str, limit: int, caller: Caller) -> RunDetails:
    """`limit`: how many of the records that did not go through. ConfigError where there is no such run."""
    with caller.warehouse(project) as warehouse:
        run = find_run(warehouse, run_id)
        return RunDetails(
            run,
            [r.run_id for r in runs.rollbacks_of(warehouse, run.run_id)],
            outcomes.reasons(warehouse, run.run_id),
            outcomes.of_run(warehouse, run.run_id, statuses=("rejected", "unknown", "skipped"), limit=limit),
            in_doubt(warehouse, caller.clock.now(), run_id=run.run_id),
        )


def record_in_run(
    project: Project, run_id: str, key: str, caller: Caller
) -> tuple[RunRecord, record_history.RecordHistory]:
    """What the run did to one record, and what happens to it next. ConfigError: no such run, or not one of a sync."""
    with caller.warehouse(project) as warehouse:
        run = find_run(warehouse, run_id)
        if run.subject is None:
            raise ConfigError(f"run {run.run_id} is not one of a sync")
        return run, record_history.of_record(warehouse, run.run_id, run.subject, key)

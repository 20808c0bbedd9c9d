"""`sagas` and `saga_runs`: how far each run of a saga is, so that whoever comes after a crash ends it.

| step | means | who finds it |
|---|---|---|
| applying | its syncs are being sent | goes on with it: runs them all again, each of which sends what is left |
| undoing | what its runs wrote is being taken back, the last first | goes on with that |
| done, undone | ended | nobody |

A run is in `saga_runs` before it can have sent anything. Written under the saga's lease.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from revetl.clock import naive
from revetl.model import Scalar
from revetl.state.schema import relation
from revetl.warehouse.base import Warehouse
from revetl.warehouse.sql import table

SagaStep = Literal["applying", "undoing", "done", "undone"]


@dataclass(frozen=True, slots=True)
class SagaRow:
    """One time that a saga was run. `cause`: why it is undone."""

    saga_id: str
    saga: str
    step: SagaStep
    cause: str | None = None


@dataclass(frozen=True, slots=True)
class SagaRun:
    """One run of one of its syncs. `undone_by`: the run that took it back, None as long as none did."""

    ordinal: int
    sync: str
    run_id: str
    undone_by: str | None = None


def latest(warehouse: Warehouse, saga: str) -> SagaRow | None:
    """The last time that it was run, however that ended."""
    return next(iter(_select(warehouse, "WHERE saga = ?", [saga])), None)


def unfinished(warehouse: Warehouse) -> list[SagaRow]:
    """Of all sagas, also of those that no file declares any more."""
    return _select(warehouse, "WHERE step IN ('applying', 'undoing')", [])


def begin(warehouse: Warehouse, saga_id: str, saga: str, now: datetime) -> None:
    warehouse.execute(
        f"""
        INSERT INTO {table(relation(warehouse, "sagas"))} (saga_id, saga, step, began_at)
        VALUES (?, ?, 'applying', ?)
        """,
        [saga_id, saga, naive(now)],
    )


def set_undoing(warehouse: Warehouse, saga_id: str, cause: str) -> None:
    """From here on nothing more of it is sent, whoever comes. Safe to repeat."""
    _update(warehouse, "step = 'undoing', cause = ?", [cause, saga_id])


def end(warehouse: Warehouse, saga_id: str, step: SagaStep, now: datetime) -> None:
    """Safe to repeat."""
    _update(warehouse, "step = ?, ended_at = ?", [step, naive(now), saga_id])


def add_run(warehouse: Warehouse, saga_id: str, sync: str, run_id: str) -> None:
    """Before the run can send anything."""
    runs = table(relation(warehouse, "saga_runs"))
    warehouse.execute(
        f"""
        INSERT INTO {runs} (saga_id, ordinal, sync, run_id)
        SELECT ?, count(*), ?, ?
        FROM {runs}
        WHERE saga_id = ?
        """,
        [saga_id, sync, run_id, saga_id],
    )


def set_undone(warehouse: Warehouse, saga_id: str, run: SagaRun, undone_by: str, left_alone: int) -> None:
    """Safe to repeat."""
    warehouse.execute(
        f"""
        UPDATE {table(relation(warehouse, "saga_runs"))}
        SET undone_by = ?, left_alone = ?
        WHERE saga_id = ? AND ordinal = ?
        """,
        [undone_by, left_alone, saga_id, run.ordinal],
    )


def runs_of(warehouse: Warehouse, saga_id: str) -> list[SagaRun]:
    """In their order."""
    found: list[Any] = warehouse.rows(
        f"""
        SELECT ordinal, sync, run_id, undone_by
        FROM {table(relation(warehouse, "saga_runs"))}
        WHERE saga_id = ?
        ORDER BY ordinal
        """,
        [saga_id],
    )
    return [SagaRun(int(ordinal), sync, run_id, undone_by) for ordinal, sync, run_id, undone_by in found]


def left_alone(warehouse: Warehouse, saga_id: str) -> dict[str, int]:
    """Sync → records that were not taken back."""
    return warehouse.counts(
        f"""
        SELECT sync, sum(left_alone)
        FROM {table(relation(warehouse, "saga_runs"))}
        WHERE saga_id = ? AND left_alone > 0
        GROUP BY 1
        ORDER BY 1
        """,
        [saga_id],
    )


def _update(warehouse: Warehouse, assignments: str, params: list[Scalar]) -> None:
    warehouse.execute(
        f"""
        UPDATE {table(relation(warehouse, "sagas"))}
        SET {assignments}
        WHERE saga_id = ?
        """,
        params,
    )


def _select(warehouse: Warehouse, where: str, params: list[Scalar]) -> list[SagaRow]:
    """The newest first. Empty where no saga was ever run."""
    sagas = relation(warehouse, "sagas")
    if not warehouse.columns(sagas):
        return []
    found: list[Any] = warehouse.rows(
        f"""
        SELECT saga_id, saga, step, cause
        FROM {table(sagas)}
        {where}
        ORDER BY began_at DESC, saga_id DESC
        """,
        params,
    )
    return [SagaRow(*row) for row in found]

"""`schedules` and `scheduled_runs`: what was decided of each time, and what became of it. Written by the one worker
that has the lease `schedules`, inside transactions that renew it: whoever lost it writes nothing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from revetl.clock import naive
from revetl.model import Scalar
from revetl.schedules.deciding import DueRun, ScheduleDecision, ScheduleState
from revetl.state.schema import TABLES, create_all, relation
from revetl.warehouse.base import Warehouse
from revetl.warehouse.sql import ident, table

LEASE = "schedules"
_RUN = tuple(name for name, _ in TABLES["scheduled_runs"])  # the fields of DueRun, in their order


class ScheduleTables:
    """The two tables of one warehouse. Reading gives nothing where they are not there yet."""

    def __init__(self, warehouse: Warehouse, *, there: bool = False) -> None:
        """`there`: the tables are, which is not asked again."""
        self._warehouse = warehouse
        self._known_there = there
        self._schedules = table(relation(warehouse, "schedules"))
        self._runs = table(relation(warehouse, "scheduled_runs"))

    def create(self) -> None:
        """Safe to repeat."""
        if not self._there():
            create_all(self._warehouse)
            self._known_there = True

    def _there(self) -> bool:
        if not self._known_there:
            self._known_there = bool(self._warehouse.columns(relation(self._warehouse, "scheduled_runs")))
        return self._known_there

    def states(self) -> dict[str, ScheduleState]:
        """By the name of the schedule, those that are declared no more among them."""
        if not self._there():
            return {}
        found: list[Any] = self._warehouse.rows(
            f"""
            SELECT s.schedule, s.definition, s.since, s.decided_until, s.source_mark, r.began_at
            FROM {self._schedules} s
            LEFT JOIN (SELECT schedule, max(began_at) AS began_at FROM {self._runs} GROUP BY schedule) r
                ON r.schedule = s.schedule
            """
        )
        return {
            name: ScheduleState(
                schedule=name,
                definition=definition or "",
                since=_aware(since),
                decided_until=_aware(until),
                source_mark=mark,
                last_began=None if began is None else _aware(began),
            )
            for name, definition, since, until, mark, began in found
        }

    def open_runs(self) -> list[DueRun]:
        """Waiting or running, the one that has waited longest first."""
        return self._select("WHERE status IN ('waiting', 'running') ORDER BY due_at, schedule")

    def newest(self, limit: int = 200) -> list[DueRun]:
        """What was due last, the newest first."""
        return self._select(f"ORDER BY due_at DESC, schedule LIMIT {int(limit)}")

    def missed_since(self, moment: datetime) -> list[DueRun]:
        """Rows of missed and of skipped times whose last one is after the moment, the newest first."""
        where = "WHERE status IN ('missed', 'skipped') AND due_at > ? ORDER BY due_at DESC, schedule"
        return self._select(where, [naive(moment)])

    def _select(self, rest: str, params: list[Scalar] | None = None) -> list[DueRun]:
        if not self._there():
            return []
        names = ", ".join(map(ident, _RUN))
        rows = self._warehouse.rows(f"SELECT {names} FROM {self._runs} {rest}", params or [])
        return [DueRun(**_cells(dict(zip(_RUN, row, strict=True)))) for row in rows]

    def write(self, decision: ScheduleDecision) -> None:
        """Inside the caller's transaction."""
        state = decision.state
        cells: list[Scalar] = [state.definition, naive(state.since), naive(state.decided_until), state.source_mark]
        there = self._warehouse.rows(f"SELECT 1 FROM {self._schedules} WHERE schedule = ?", [state.schedule])
        if there:
            self._warehouse.execute(
                f"""
                UPDATE {self._schedules}
                SET definition = ?, since = ?, decided_until = ?, source_mark = ?
                WHERE schedule = ?
                """,
                [*cells, state.schedule],
            )
        else:
            self._warehouse.execute(
                f"""
                INSERT INTO {self._schedules} (schedule, definition, since, decided_until, source_mark)
                VALUES (?, ?, ?, ?, ?)
                """,
                [state.schedule, *cells],
            )
        self._insert(decision.new)

    def _insert(self, runs: Iterable[DueRun]) -> None:
        names, marks = ", ".join(map(ident, _RUN)), ", ".join("?" for _ in _RUN)
        for run in runs:
            values = [_plain(value) for value in asdict(run).values()]
            self._warehouse.execute(f"INSERT INTO {self._runs} ({names}) VALUES ({marks})", values)

    def change(self, run: DueRun) -> None:
        """Writes the row of this schedule and time as it is now. Safe to repeat."""
        changed = [name for name in _RUN if name not in ("schedule", "due_at")]
        cells: Mapping[str, Any] = asdict(run)
        self._warehouse.execute(
            f"""
            UPDATE {self._runs}
            SET {", ".join(f"{ident(name)} = ?" for name in changed)}
            WHERE schedule = ? AND due_at = ? AND status IN ('waiting', 'running')
            """,
            [*(_plain(cells[name]) for name in changed), run.schedule, naive(run.due_at)],
        )


def _cells(row: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {name: _aware(v) if isinstance(v, datetime) else v for name, v in row.items()}
    return found | {name: int(found[name] or 0) for name in ("missed", "attempts")}


def _plain(value: Any) -> Any:
    return naive(value) if isinstance(value, datetime) else value


def _aware(moment: datetime) -> datetime:
    return moment.replace(tzinfo=UTC)

"""The table `runs`: one row per run of a command, written when it starts and again when it ends."""

from __future__ import annotations

import json
import secrets
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, cast

from revetl.clock import Clock, naive
from revetl.model import RunRecord
from revetl.state.schema import TABLES, relation
from revetl.warehouse.base import Warehouse
from revetl.warehouse.sql import ident, table

_COLUMNS = tuple(name for name, _ in TABLES["runs"])


_SHORTEST_KEY = 4  # characters by which a run may be named


def new_run_id(clock: Clock) -> str:
    """`20260131T235959.123Z-9f2c41`: sorts by time as text, and is unique among runs of the same millisecond."""
    now = clock.now().astimezone(UTC)
    return f"{now:%Y%m%dT%H%M%S}.{now.microsecond // 1000:03d}Z-{secrets.token_hex(3)}"


def start_run(warehouse: Warehouse, run: RunRecord) -> None:
    """Adds the run's row; the state tables must be there. Not safe to repeat with one run_id."""
    names = ", ".join(ident(c) for c in _COLUMNS)
    marks = ", ".join("?" for _ in _COLUMNS)
    warehouse.execute(f"INSERT INTO {table(relation(warehouse, 'runs'))} ({names}) VALUES ({marks})", _values(run))


def start_again(warehouse: Warehouse, run: RunRecord) -> None:
    """Where the connection was lost meanwhile: looks whether the row is there."""
    runs = table(relation(warehouse, "runs"))
    if not warehouse.rows(f"SELECT 1 FROM {runs} WHERE run_id = ? LIMIT 1", [run.run_id]):
        start_run(warehouse, run)


def finish_run(warehouse: Warehouse, run: RunRecord) -> None:
    """Writes the run's present state over its row. Safe to repeat; also used for a checkpoint of the counts."""
    assignments = ", ".join(f"{ident(c)} = ?" for c in _COLUMNS[1:])
    warehouse.execute(
        f"""
        UPDATE {table(relation(warehouse, "runs"))}
        SET {assignments}
        WHERE run_id = ?
        """,
        [*_values(run)[1:], run.run_id],
    )


def recount(warehouse: Warehouse, run_id: str) -> None:
    """Brings what the run counts of records in line with `outcomes`; counts of links stay. A run that broke off said
    what it had hoped to write down. Safe to repeat."""
    runs, outcomes = (table(relation(warehouse, name)) for name in ("runs", "outcomes"))
    for (counts,) in warehouse.rows(f"SELECT counts FROM {runs} WHERE run_id = ?", [run_id]):
        of_links = {k: n for k, n in json.loads(str(counts or "{}")).items() if k.startswith("links_")}
        of_records = warehouse.counts(
            f"""
            SELECT status, count(*)
            FROM {outcomes}
            WHERE run_id = ? AND op NOT IN ('link', 'unlink')
            GROUP BY 1
            """,
            [run_id],
        )
        present = json.dumps(of_links | of_records, sort_keys=True)
        warehouse.execute(f"UPDATE {runs} SET counts = ? WHERE run_id = ?", [present, run_id])


def list_runs(warehouse: Warehouse, limit: int = 20) -> list[RunRecord]:
    """The newest runs first. Empty where nothing has run yet."""
    return _select(warehouse, "", [], limit)


def get_run(warehouse: Warehouse, run_id: str) -> RunRecord | None:
    """The run of this id, or of the only id that starts or ends with the text; None where none or several do, and for
    a text so short that it fits a run by chance: what is found may be taken back."""
    exact = _select(warehouse, "WHERE run_id = ?", [run_id], 1)
    if exact or len(run_id) < _SHORTEST_KEY:
        return exact[0] if exact else None
    like = "WHERE starts_with(run_id, ?) OR right(run_id, ?) = ?"
    close = _select(warehouse, like, [run_id, len(run_id), run_id], 2)
    return close[0] if len(close) == 1 else None


def rollbacks_of(warehouse: Warehouse, run_id: str) -> list[RunRecord]:
    """The rollbacks of this run that restored anything, the newest first."""
    if "undoes" not in {c.name.lower() for c in warehouse.columns(relation(warehouse, "runs"))}:
        return []  # a state schema of an earlier version
    found = _select(warehouse, "WHERE undoes = ?", [run_id], 1000)
    return [run for run in found if any(run.counts.get(word) for word in ("ok", "accepted", "unknown"))]


def of_job(warehouse: Warehouse, run: RunRecord) -> list[RunRecord]:
    """The runs of the `revetl run` that this one was part of, itself among them, the newest first. A run of any other
    command is its own job."""
    if run.command != "run" or run.dbt_invocation_id is None:
        return [run]
    return _select(warehouse, "WHERE command = 'run' AND dbt_invocation_id = ?", [run.dbt_invocation_id], 1000)


def _select(warehouse: Warehouse, where: str, params: list[Any], limit: int) -> list[RunRecord]:
    runs = relation(warehouse, "runs")
    present = {c.name.lower() for c in warehouse.columns(runs)}
    if not present:
        return []
    # A state schema of an earlier version is read as it is; the next run gives it the columns that came since.
    names = ", ".join(ident(c) if c in present else "NULL" for c in _COLUMNS)
    found = warehouse.rows(
        f"""
        SELECT {names}
        FROM {table(runs)}
        {where}
        ORDER BY started_at DESC, run_id DESC
        LIMIT {int(limit)}
        """,
        params,
    )
    return [_record(row) for row in found]


def _values(run: RunRecord) -> list[Any]:
    return [
        run.run_id,
        run.command,
        run.subject,
        run.target,
        naive(run.started_at),
        naive(run.finished_at),
        run.status,
        json.dumps(run.counts, sort_keys=True),
        run.requests,
        run.retries,
        run.spend_usd,
        run.revetl_version,
        run.dbt_invocation_id,
        run.error,
        json.dumps(run.overrides, sort_keys=True) if run.overrides else None,
        run.undoes,
    ]


def _record(row: tuple[Any, ...]) -> RunRecord:
    cells = dict(zip(_COLUMNS, row, strict=True))
    return RunRecord(
        run_id=cells["run_id"],
        command=cells["command"],
        subject=cells["subject"],
        target=cells["target"],
        started_at=cast(datetime, _aware(cells["started_at"])),
        finished_at=_aware(cells["finished_at"]),
        status=cells["status"],
        counts=json.loads(cells["counts"] or "{}"),
        requests=cells["requests"] or 0,
        retries=cells["retries"] or 0,
        spend_usd=cells["spend_usd"] or Decimal(0),
        revetl_version=cells["revetl_version"],
        dbt_invocation_id=cells["dbt_invocation_id"],
        error=cells["error"],
        overrides=json.loads(cells["overrides"] or "{}"),
        undoes=cells["undoes"],
    )


def _aware(moment: datetime | None) -> datetime | None:
    return None if moment is None else moment.replace(tzinfo=UTC)

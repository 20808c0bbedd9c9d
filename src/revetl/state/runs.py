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


OF_LINKS = " (link)"  # ends the reasons of links in `waiting`

_SHORTEST_NAME = 4  # characters by which a run may be named
_MOST = 1_000  # runs that are read at once


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
        known = json.loads(str(counts or "{}"))
        of_links = {k: n for k, n in known.items() if k.startswith("links_") or k in ("linked", "unlinked")}
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


def list_runs_before(warehouse: Warehouse, run: RunRecord, limit: int) -> list[RunRecord]:
    """Those that began before this one, the newest first."""
    moment = naive(run.started_at)
    where = "WHERE started_at < ? OR (started_at = ? AND run_id < ?)"
    return _select(warehouse, where, [moment, moment, run.run_id], limit)


def newest_invocations(warehouse: Warehouse, limit: int, *, wrote: bool = False) -> list[RunRecord]:
    """The runs of the newest `limit` invocations, those of one together, the newest first. A run that no invocation is
    known of stands by itself. `wrote`: only runs that wrote to a destination, or may have."""
    runs = table(relation(warehouse, "runs"))
    writers = ""
    if wrote:
        outcomes = table(relation(warehouse, "outcomes"))
        # What stood there already has an outcome too, of no attempt.
        wrote_one = "status = 'unknown' OR (status IN ('ok', 'accepted') AND attempts > 0)"
        writers = f"WHERE run_id IN (SELECT run_id FROM {outcomes} WHERE {wrote_one})"
    chosen = f"""
        WHERE coalesce({_invocation(warehouse)}, run_id) IN (
            SELECT coalesce({_invocation(warehouse)}, run_id)
            FROM {runs}
            {writers}
            GROUP BY 1
            ORDER BY max(started_at) DESC, max(run_id) DESC
            LIMIT {int(limit)}
        )"""
    groups: dict[str, list[RunRecord]] = {}
    for run in _select(warehouse, chosen, [], _MOST):
        groups.setdefault(run.invocation_id or run.run_id, []).append(run)
    return [run for group in groups.values() for run in group]


def get_run(warehouse: Warehouse, run_id: str) -> RunRecord | None:
    """The run of this id, or of the only id that starts or ends with the text; None where none or several do, and for
    a text so short that it fits a run by chance: what is found may be taken back."""
    found = [run for run in named_like(warehouse, run_id) if names(run_id, run.run_id)]
    exact = [run for run in found if run.run_id == run_id]
    return exact[0] if exact else found[0] if len(found) == 1 else None


def named_like(warehouse: Warehouse, text: str) -> list[RunRecord]:
    """The runs whose id, or whose invocation's id, is the text, or starts or ends with it, the newest first. Of a text
    that is too short to name a run only what is exactly so."""
    invocation = _invocation(warehouse)
    where, params = f"WHERE run_id = ? OR {invocation} = ?", [text, text]
    if len(text) >= _SHORTEST_NAME:
        where += f" OR starts_with(run_id, ?) OR right(run_id, {len(text)}) = ?"
        where += f" OR starts_with({invocation}, ?) OR right({invocation}, {len(text)}) = ?"
        params += [text] * 4
    return _select(warehouse, where, params, _MOST)


def names(text: str, id_: str | None) -> bool:
    """Whether the text stands for this id."""
    if id_ is None or len(text) < _SHORTEST_NAME:
        return text == id_
    return id_.startswith(text) or id_.endswith(text)


def planned_by(warehouse: Warehouse, run_id: str) -> int | None:
    """How many records the run was to send; None where it came to no plan that sends any."""
    plans = relation(warehouse, "plans")
    if not warehouse.columns(plans):
        return None
    found = warehouse.rows(f"SELECT changes FROM {table(plans)} WHERE run_id = ?", [run_id])
    return int(str(found[0][0])) if found else None


def rollbacks_of(warehouse: Warehouse, run_id: str) -> list[RunRecord]:
    """The rollbacks of this run that restored anything, the newest first."""
    if "undoes" not in {c.name.lower() for c in warehouse.columns(relation(warehouse, "runs"))}:
        return []  # a state schema of an earlier version
    found = _select(warehouse, "WHERE undoes = ?", [run_id], 1000)
    return [run for run in found if any(run.counts.get(word) for word in ("ok", "accepted", "unknown"))]


def of_invocation(warehouse: Warehouse, run: RunRecord) -> list[RunRecord]:
    """The runs of the command that this one was part of, itself among them, the newest first."""
    if run.invocation_id is None:
        return [run]
    return _select(warehouse, f"WHERE {_invocation(warehouse)} = ?", [run.invocation_id], _MOST)


def _invocation(warehouse: Warehouse) -> str:
    """An expression over `runs`. A `revetl run` of an earlier version is told by the build that it made."""
    of_build = "CASE WHEN command = 'run' THEN dbt_invocation_id END"
    present = {c.name.lower() for c in warehouse.columns(relation(warehouse, "runs"))}
    return f"coalesce(invocation_id, {of_build})" if "invocation_id" in present else of_build


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
        run.invocation_id,
        json.dumps(run.waiting, sort_keys=True),
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
        invocation_id=cells["invocation_id"] or (cells["dbt_invocation_id"] if cells["command"] == "run" else None),
        waiting=json.loads(cells["waiting"] or "{}"),
    )


def _aware(moment: datetime | None) -> datetime | None:
    return None if moment is None else moment.replace(tzinfo=UTC)

"""`outcomes`: append-only, what became of each record in each run. Readers for `runs`, `explain` and `retry`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from revetl.model import EXISTED, NOT_APPLIED, Scalar
from revetl.state.schema import TABLES, relation
from revetl.state.sync_tables import SyncTables
from revetl.warehouse.base import Warehouse
from revetl.warehouse.sql import ident, literal, table

# The code of a record that is not sent, for another one has a unique value of it, or is given it.
VALUE_HELD = "VALUE_HELD"
# The code of a record that does not stand under the id that we know, and was not found under another.
NOT_FOUND = "OBJECT_NOT_FOUND"
# The code of a new record of a saved plan that stood there when the plan was applied. The next plan adopts it.
EXISTS_BY_NOW = "EXISTS_BY_NOW"
# The code of who left a mirror, and whose record there is not ours to remove: merged with another's, or somebody else.
NOT_OURS = "NOT_OURS"
# The code of an unknown outcome: a field of the record may have been emptied by us, and not been given its new value.
VACATED = "VACATED"
# Of what is decided when it is planned: lies in the row, or the record is there as it should be (an event is never
# changed), so there is nothing to try again before the row changes.
NO_IDENTITY = "NO_IDENTITY"
DECIDED_BY_ROW = (NO_IDENTITY, "INVALID_IDENTITY", "EXISTS", "EVENT_CHANGED")
_COLUMNS = tuple(name for name, _ in TABLES["outcomes"])


@dataclass(frozen=True, slots=True)
class RecordOutcome:
    """One row of `outcomes`. `changed_fields`, `before` and `after` are parsed from their JSON. `op` is what was sent,
    `done` what it was at the destination (`done_as`)."""

    run_id: str
    sync: str
    key: str
    op: str
    status: str
    destination_id: str | None
    error_class: str | None
    error_code: str | None
    message: str | None
    attempts: int
    changed_fields: tuple[str, ...]
    before: dict[str, Any]
    after: dict[str, Any]
    at: datetime
    done: str


def done_as(op: str, code: str | None) -> str:
    """What an operation was at the destination: a create that met a record there has updated it."""
    return "update" if op == "create" and code == EXISTED else op


def append(tables: SyncTables, answered: str, now: datetime, run_id: str, params: Sequence[Scalar] = ()) -> None:
    """One outcome for each answered plan row, its before and after taken from the plan; of a deleted record all that
    it held, from which it can be made anew. `answered` is a SELECT of plan rows `with_change_list` and their results,
    `params` are its own. Call inside a transaction."""
    before = _json_object(tables, [(f.name, f.before) for f in tables.fields])
    after = _json_object(tables, [(f.name, f.after) for f in tables.fields], as_sent=True)
    all_that_stood = _json_object(tables, [(f.name, f.before) for f in tables.fields], of_all=True)
    tables.warehouse.execute(
        f"""
        INSERT INTO {tables.shared("outcomes")}
        SELECT
            ?,
            ?,
            p.key,
            p.op,
            p.status,
            coalesce(p.result_id, p.destination_id),
            p.error_class,
            p.error_code,
            p.error_message,
            p.attempts,
            p.changed_fields,
            CASE p.op
                WHEN 'create' THEN NULL
                WHEN 'delete' THEN {all_that_stood}
                ELSE coalesce(p.found, {before})
            END,
            CASE WHEN p.op = 'delete' THEN NULL ELSE {after} END,
            ?
        FROM ({answered}) p
        """,
        [run_id, tables.spec.name, now, *params],
    )


def with_change_list(plan: str) -> str:
    """The plan's rows with `change_list`, which `changed` reads."""
    return f"SELECT p.*, {change_list('p')} AS change_list FROM {plan} p"


def change_list(alias: str) -> str:
    """The changed fields of a plan row, between commas."""
    names = f"{alias}.changed_fields"
    return f"',' || substr({names}, 2, length({names}) - 2) || ','"


def changed(name: str, alias: str = "p") -> str:
    """Whether the plan row changes this field. Exact: inside a JSON string a quote is always escaped, so `,"` can't be
    part of another name."""
    needle = literal(f",{json.dumps(name)},")
    return f"contains({alias}.change_list, {needle})"


def _json_object(
    tables: SyncTables, columns: Sequence[tuple[str, str]], *, of_all: bool = False, as_sent: bool = False
) -> str:
    """JSON of the fields that the plan row changes, or `of_all` that are not null. `as_sent`: with what is sent in
    place of the model's values."""
    types = {f.name: f.type for f in tables.fields}
    members = ", ".join(
        f"CASE WHEN {f'p.{ident(column)} IS NOT NULL' if of_all else changed(name)}{_own(name) if as_sent else ''}"
        f" THEN {literal(json.dumps(name) + ':')}"
        f" || coalesce({_json(types[name], f'p.{ident(column)}')}, 'null') END"
        for name, column in columns
    )
    instead = ", CASE WHEN p.sent IS NOT NULL THEN substr(p.sent, 2, length(p.sent) - 2) END" if as_sent else ""
    return f"('{{' || concat_ws(',', {members}{instead}) || '}}')"


def _own(name: str) -> str:
    """And the model's value is sent. Exact, as in `changed`: `,"` can't be inside of a string."""
    needle = literal(f",{json.dumps(name)}:")
    return f" AND NOT contains(',' || substr(coalesce(p.sent, '{{}}'), 2), {needle})"


def _json(type_: str, column: str) -> str:
    """A value as JSON, the same in every warehouse: exact numbers keep their digits, times are as their text."""
    text = f"CAST({column} AS VARCHAR)"
    if type_.startswith(("DECIMAL", "NUMERIC", "BOOL")) or "INT" in type_:
        return text
    return f"CAST(to_json({column if type_.startswith(('FLOAT', 'DOUBLE', 'REAL')) else text}) AS VARCHAR)"


def of_run(
    warehouse: Warehouse, run_id: str, *, statuses: Sequence[str] = (), codes: Sequence[str] = (), limit: int = 100
) -> list[RecordOutcome]:
    """The outcomes of one run, the ones that need a person first: all, or those with one of `statuses` or `codes`."""
    clause, params = "run_id = ?", [run_id]
    wanted = [("status", statuses), ("error_code", codes)]
    among = [f"{name} IN ({', '.join('?' for _ in values)})" for name, values in wanted if values]
    if among:
        clause += f" AND ({' OR '.join(among)})"
        params += [*statuses, *codes]
    return _select(warehouse, f"{clause} ORDER BY status DESC, sync, key LIMIT {int(limit)}", params)


def page_of_run(
    warehouse: Warehouse, run_id: str, *, beginning: str, status: str, after: str, limit: int
) -> list[RecordOutcome]:
    """Of one run by key: those whose key begins so, with this status, after this key. Empty texts ask for nothing."""
    clause, params = "run_id = ?", [run_id]
    if beginning:
        clause += " AND starts_with(key, ?)"
        params.append(beginning)
    if status:
        clause += " AND status = ?"
        params.append(status)
    if after:
        clause += " AND key > ?"
        params.append(after)
    return _select(warehouse, f"{clause} ORDER BY key, op LIMIT {int(limit)}", params)


def of_key(warehouse: Warehouse, key: str, *, limit: int = 100) -> list[RecordOutcome]:
    """The newest outcomes of one record at every destination."""
    return _select(warehouse, f'key = ? ORDER BY "at" DESC, run_id DESC LIMIT {int(limit)}', [key])


def done_by(warehouse: Warehouse, run_id: str) -> list[tuple[str, str, int]]:
    """(operation, status, records) of what one run did, by `done_as`; of links too. What was decided when it was
    planned took no attempt."""
    outcomes = relation(warehouse, "outcomes")
    if not warehouse.columns(outcomes):
        return []
    found = warehouse.rows(
        f"""
        SELECT
            CASE WHEN op = 'create' AND error_code = {literal(EXISTED)} THEN 'update' ELSE op END AS done,
            status,
            count(*)
        FROM {table(outcomes)}
        WHERE run_id = ? AND attempts > 0
        GROUP BY 1, 2
        ORDER BY 1, 2
        """,
        [run_id],
    )
    return [(str(op), str(status), int(str(n))) for op, status, n in found]


def reasons(warehouse: Warehouse, run_id: str) -> list[tuple[str, str, str, int]]:
    """(status, code, example of a message, records) of what did not go through in a run, or was accepted and not
    applied; the most frequent first."""
    outcomes = relation(warehouse, "outcomes")
    if not warehouse.columns(outcomes):
        return []
    found = warehouse.rows(
        f"""
        SELECT status, coalesce(error_code, error_class, ''), min(message), count(*)
        FROM {table(outcomes)}
        WHERE run_id = ? AND (status NOT IN ('ok', 'accepted') OR error_code = {literal(NOT_APPLIED)})
        GROUP BY 1, 2
        ORDER BY 4 DESC, 1, 2
        """,
        [run_id],
    )
    return [(str(s), str(c), str(m or ""), int(str(n))) for s, c, m, n in found]


def _select(warehouse: Warehouse, clause: str, params: Sequence[str]) -> list[RecordOutcome]:
    outcomes = relation(warehouse, "outcomes")
    if not warehouse.columns(outcomes):
        return []
    names = ", ".join(map(ident, _COLUMNS))
    rows: list[Any] = warehouse.rows(f"SELECT {names} FROM {table(outcomes)} WHERE {clause}", list(params))
    return [_record(dict(zip(_COLUMNS, row, strict=True))) for row in rows]


def _record(cells: dict[str, Any]) -> RecordOutcome:
    return RecordOutcome(
        **{
            **cells,
            "changed_fields": tuple(json.loads(cells["changed_fields"] or "[]")),
            "before": json.loads(cells["before"] or "{}"),
            "after": json.loads(cells["after"] or "{}"),
            "done": done_as(cells["op"], cells["error_code"]),
        }
    )

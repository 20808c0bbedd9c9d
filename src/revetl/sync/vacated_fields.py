"""Fields that a run of ours emptied so that unique values could move in a circle (`sync/apply/waves.py`), and that were
not given their new value: the process died, the destination was away, or the record was refused and its field could
not be given its earlier value back.

Such an emptiness is nobody's edit, and never what stood before. Whoever takes back, compares or sends the record again
asks here, over all runs of the sync: syncs, rollbacks, disconnects, undone sagas. What stood before an outcome is what
was emptied where the outcome found the emptiness; and a field that stands empty counts as holding what was emptied.

An outcome says that fields were emptied, not which: any field of it may be that the destination lets be empty for a
while (`DestinationField.vacatable`). The oldest outcome comes first.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import groupby
from typing import Any

from revetl.clock import naive
from revetl.model import Scalar
from revetl.state.outcomes import VACATED
from revetl.state.sync_tables import SyncTables
from revetl.sync import typed_text
from revetl.sync.outcome_histories import by_record
from revetl.sync.readback import CHUNK_ROWS
from revetl.warehouse.sql import literal

_BEFORE_ALL = datetime(1971, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class VacatedField:
    """`stood` was emptied by a run, and `given` was to take its place; both as outcomes keep values."""

    stood: Any
    given: Any
    run_id: str


class VacatedFields:
    """Of one record. `fields`: those that stand empty by us, unless somebody filled them since. `vacatable`: the fields
    that may be emptied for a while; None: not known, any."""

    def __init__(self, vacatable: Collection[str] | None = None) -> None:
        self._vacatable = vacatable
        self.fields: dict[str, VacatedField] = {}

    def take_in(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """The next outcome of the record (op, status, error_code, changed_fields, before, after, run_id). Returns what
        stood before it."""
        if row["op"] != "update":
            if row["status"] != "unknown":
                self.fields.clear()  # another record begins, or this one is gone
            return dict(typed_text.load(row["before"]))
        found, after = typed_text.load(row["before"]), typed_text.load(row["after"])
        stood = {name: self._stood(name, value) for name, value in found.items()}
        for name in json.loads(row["changed_fields"] or "[]"):
            if row["error_code"] == VACATED and self._may_be_empty(name) and not _is_empty(stood.get(name)):
                self.fields[name] = VacatedField(stood[name], after.get(name), row["run_id"])
            elif row["status"] != "unknown":
                self.fields.pop(name, None)  # it was given a value
        return stood

    def _may_be_empty(self, name: str) -> bool:
        return self._vacatable is None or name in self._vacatable

    def _stood(self, name: str, found: Any) -> Any:
        vacated = self.fields.get(name)
        if vacated is None:
            return found
        if _is_empty(found):
            return vacated.stood
        if found != vacated.stood:
            del self.fields[name]  # somebody filled it, or it was given its value after all
        return found


@dataclass(frozen=True, slots=True)
class VacatedRecord:
    """Of one record that a run wrote: what stood `before` that run, and the `fields` that stand empty by us today."""

    before: Mapping[str, Any]
    fields: Mapping[str, VacatedField]


def of_run(tables: SyncTables, run_id: str, vacatable: Collection[str]) -> dict[str, VacatedRecord]:
    """Key → record, of those that the run wrote and of which a field was emptied by any run. Reads only. Memory holds
    these records, of which a circle of values makes one."""
    wrote = f"SELECT w.key FROM {tables.shared('outcomes')} w WHERE w.run_id = ? AND w.sync = ?"
    found: dict[str, VacatedRecord] = {}
    for key, history in _histories(tables, vacatable, wrote, [run_id, tables.spec.name]):
        if (record := _record(history, run_id, vacatable)) is not None:
            found[key] = record
    return found


def left_empty(tables: SyncTables, vacatable: Collection[str]) -> dict[str, Mapping[str, VacatedField]]:
    """Key → the fields that stand empty by us, unless somebody filled them since: of the records in doubt, for a record
    of which a field was emptied is in doubt until that field has a value. Reads only."""
    in_doubt = f"SELECT n.key FROM {tables.snapshot} n WHERE n.row_hash IS NULL"
    found: dict[str, Mapping[str, VacatedField]] = {}
    for key, history in _histories(tables, vacatable, in_doubt, []):
        vacated = VacatedFields(vacatable)
        for row in history:
            vacated.take_in(row)
        if vacated.fields:
            found[key] = vacated.fields
    return found


def any_emptied(tables: SyncTables) -> bool:
    """Whether a run of this sync may have left a field empty. Reads only; spares asking the destination for its fields
    where none has."""
    emptied = f"SELECT 1 FROM {tables.shared('outcomes')} v WHERE v.sync = ? AND v.error_code = ? LIMIT 1"
    return bool(tables.warehouse.rows(emptied, [tables.spec.name, VACATED]))


def _histories(
    tables: SyncTables, vacatable: Collection[str], keys: str, params: Sequence[Scalar]
) -> Iterator[tuple[str, Iterator[Mapping[str, Any]]]]:
    """(key, outcomes from the oldest on) of the records of which a field was emptied by any run, among those whose key
    of today the SELECT `keys` gives."""
    sync = tables.spec.name
    if not vacatable or not any_emptied(tables):
        return
    emptied = f"FROM {tables.shared('outcomes')} v WHERE v.sync = ? AND v.error_code = {literal(VACATED)}"
    among = f"(o.key IN (SELECT v.key {emptied}) OR o.destination_id IN (SELECT v.destination_id {emptied}))"
    chunks = tables.warehouse.stream(
        f"""
        SELECT h.now_key, h.key, h.run_id, h.op, h.status, h.error_code, h.changed_fields, h."before", h."after"
        FROM ({by_record(tables, among)}) h
        WHERE h.now_key IN ({keys})
        ORDER BY h.now_key, h."at", h.run_id
        """,
        [sync, naive(_BEFORE_ALL), sync, sync, *params],
        batch_rows=CHUNK_ROWS,
    )
    rows = (row for chunk in chunks for row in chunk.to_pylist())
    yield from groupby(rows, key=lambda row: str(row["now_key"]))


def _record(history: Iterable[Mapping[str, Any]], run_id: str, vacatable: Collection[str]) -> VacatedRecord | None:
    vacated, before, any_emptied = VacatedFields(vacatable), dict[str, Any](), False
    for row in history:
        stood = vacated.take_in(row)
        any_emptied = any_emptied or bool(vacated.fields)
        if row["run_id"] == run_id and row["now_key"] == row["key"]:
            before = stood
    return VacatedRecord(before, vacated.fields) if any_emptied else None


def _is_empty(value: Any) -> bool:
    return value is None or value == ""

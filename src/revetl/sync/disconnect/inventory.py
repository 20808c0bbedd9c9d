"""What stands at a destination because of one sync: records that it created, fields that it wrote on records of others,
links that it made. All of it is read from our own state: the snapshot says what stands there as far as we know, the
outcomes of every run how it came there.

What stood there before us is what the first outcome of our latest unbroken series of writes to a field found there. A
series is broken where something else stood there than we had last written, for then it is a person's. It is over where
we put back what stood before it, as a rollback does. A record that was created holds nothing from before us; one that
was deleted and made again begins anew, and so does a sync that was disconnected and connected again.

The outcomes of a record are those of its id, whatever its key was then. Where its key had another id before, people
merged that record or made it again: what was sent into the earlier one says nothing of what stands in this one, so its
history begins with our first write into this id. What `match_on` finds a record of others by is never emptied.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import groupby
from typing import Any

from revetl.clock import naive
from revetl.model import EXISTED
from revetl.state import syncs
from revetl.state.sync_tables import SyncTables
from revetl.sync import typed_text
from revetl.sync.links.links_table import MAY_STAND
from revetl.sync.outcome_histories import another_key, by_record, keys_of_ids
from revetl.sync.readback import CHUNK_ROWS, KnownRow
from revetl.sync.vacated_fields import VacatedField, VacatedFields
from revetl.warehouse.sql import ident

_BEFORE_ALL = datetime(1971, 1, 1, tzinfo=UTC)


@dataclass(slots=True)
class OurRecord:
    """One record of the snapshot. `created_since`: of one that we created and that nobody merged into another, when the
    run began that did; None: others made it, or nothing tells. `before`: field that we wrote → what stood there before
    us; None: nothing, or it is not known. `sent`: field → what we last sent into it, as outcomes keep it, the newest
    last; more than one where answers were lost or an earlier value may still stand. `vacated`: field → what we emptied
    in it, and did not fill since."""

    row: KnownRow  # as the snapshot has it: key, now_id, in_doubt, now_run, holder, now__<i>
    created_since: datetime | None = None
    before: dict[str, Any] = field(default_factory=dict)
    sent: dict[str, list[Any]] = field(default_factory=dict)
    vacated: dict[str, VacatedField] = field(default_factory=dict)


# Whether two values of a field, as outcomes have them, are the same to the destination: (field, one, other).
SameValue = Callable[[str, Any, Any], bool]


def same_text(_name: str, one: Any, other: Any) -> bool:
    """For counting without a destination."""
    return str(one or "") == str(other or "")


@dataclass(slots=True)
class Inventory:
    """In records, links and fields; a plan shows it whole."""

    records: int = 0  # known to stand there
    created: int = 0  # by us
    written: int = 0  # of others, in which we wrote a field
    matched: int = 0  # of others, equal when we found them: nothing of ours stands in them
    fields: dict[str, int] = field(default_factory=dict)  # field that we wrote on records of others → records
    links: dict[str, int] = field(default_factory=dict)  # sync or look-up that it leads to → links that we made

    def count(self, record: OurRecord) -> None:
        self.records += 1
        if record.created_since is not None:
            self.created += 1
        elif record.before:
            self.written += 1
            for name in record.before:
                self.fields[name] = self.fields.get(name, 0) + 1
        else:
            self.matched += 1


def records(
    tables: SyncTables,
    same: SameValue = same_text,
    shared: Collection[str] = (),
    vacatable: Collection[str] | None = None,
) -> Iterator[list[OurRecord]]:
    """In chunks, by key. Memory holds one chunk. Reads only. `shared`: fields in which options of others stand beside
    ours, so that another value there breaks no series. `vacatable`: as `VacatedFields` has it."""
    chunk: list[OurRecord] = []
    for _, group in groupby(_rows(tables), key=lambda row: row["key"]):
        chunk.append(_History(tables.spec.match_on, same, shared, vacatable).record(list(group)))
        if len(chunk) == CHUNK_ROWS:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


def count_links(tables: SyncTables) -> dict[str, int]:
    """Where it leads to → links of ours that may stand there."""
    if not tables.warehouse.columns(tables.relation("links")):
        return {}
    return tables.warehouse.counts(
        f"""
        SELECT to_sync, count(*)
        FROM {tables.links}
        WHERE {MAY_STAND} AND coalesce(ours, TRUE)
        GROUP BY 1
        ORDER BY 1
        """
    )


def _rows(tables: SyncTables) -> Iterator[dict[str, Any]]:
    """A row for each outcome of each known record, the oldest first; one row for a record without any."""
    now = "".join(f", n.{ident(f.stored)} AS now__{i}" for i, f in enumerate(tables.fields))
    known = syncs.read(tables.warehouse, tables.spec.name)
    since = known.began_anew_after if known is not None else None
    ids = keys_of_ids(tables)
    chunks = tables.warehouse.stream(
        f"""
        SELECT
            n.key,
            n.destination_id AS now_id,
            n.row_hash IS NULL AS in_doubt,
            n.run_id AS now_run,
            {another_key("n")} AS holder,
            o.run_id,
            o.op,
            o.status,
            o.error_code,
            o.destination_id,
            o.changed_fields,
            o."before",
            o."after",
            r.started_at
            {now}
        FROM {tables.snapshot} n
        LEFT JOIN ({by_record(tables)}) o ON o.now_key = n.key
        LEFT JOIN {tables.shared("runs")} r ON r.run_id = o.run_id
        LEFT JOIN ({ids}) x ON x.destination_id = n.destination_id
        ORDER BY n.key, o."at", o.run_id
        """,
        [tables.spec.name, naive(since or _BEFORE_ALL)],
        batch_rows=CHUNK_ROWS,
    )
    for chunk in chunks:
        yield from chunk.to_pylist()


class _History:
    """The outcomes of one record, read from the oldest on."""

    def __init__(
        self, match_on: str | None, same: SameValue, shared: Collection[str], vacatable: Collection[str] | None
    ) -> None:
        self._match_on, self._same, self._shared, self._vacatable = match_on, same, shared, vacatable
        self._vacated = VacatedFields(vacatable)
        self._sent: dict[str, list[Any]] = {}  # field → what we last sent; after a lost answer, what it may hold

    def record(self, history: Sequence[dict[str, Any]]) -> OurRecord:
        record = OurRecord(history[-1])
        present_id = record.row["now_id"] or record.row["destination_id"]  # of a delete that is in doubt it is not kept
        is_reached = False
        for row in history:
            if row["op"] is None:
                continue
            if row["destination_id"] is None or row["destination_id"] == present_id:
                is_reached = is_reached or row["destination_id"] is not None
                self._take_in(record, row, is_present=row["destination_id"] == present_id is not None)
            elif not is_reached:  # of an earlier record of the key, as was all before it
                self._begin_anew(record)
        if record.created_since is None and not record.before.get(self._match_on or ""):
            record.before.pop(self._match_on or "", None)
        record.sent, record.vacated = self._sent, self._vacated.fields
        return record

    def _begin_anew(self, record: OurRecord) -> None:
        record.created_since, record.before = None, {}
        self._sent.clear()
        self._vacated = VacatedFields(self._vacatable)

    def _take_in(self, record: OurRecord, row: dict[str, Any], *, is_present: bool) -> None:
        stood = self._vacated.take_in(row)
        if row["op"] == "delete" and row["status"] != "unknown":
            record.created_since, record.before = None, {}
            self._sent.clear()
        elif row["op"] == "create":
            self._create(record, row, is_present=is_present)
        elif row["op"] == "update":
            self._update(record, row, stood)

    def _create(self, record: OurRecord, row: dict[str, Any], *, is_present: bool) -> None:
        changed = json.loads(row["changed_fields"] or "[]")
        if row["error_code"] == EXISTED and record.created_since is not None and is_present:
            for name in changed:  # it met the record that we had created under another key
                record.before.setdefault(name, None)
        else:
            # An upsert may have met a record of others, and nobody knows what it held.
            sure = row["status"] != "unknown" and row["error_code"] != EXISTED
            ours = sure and is_present and row["started_at"] is not None
            record.created_since = row["started_at"].replace(tzinfo=UTC) if ours else None
            record.before = dict.fromkeys(changed)
        self._note_sent(row)

    def _update(self, record: OurRecord, row: dict[str, Any], stood: Mapping[str, Any]) -> None:
        before, after = record.before, typed_text.load(row["after"])
        for name in json.loads(row["changed_fields"] or "[]"):
            if name not in before or self._is_broken(name, stood):
                before[name] = stood.get(name)
            elif row["status"] == "ok" and name in after and self._same(name, after[name], before[name]):
                del before[name]  # put back: nothing of ours stands there
        self._note_sent(row)

    def _is_broken(self, name: str, stood: Mapping[str, Any]) -> bool:
        sent = self._sent.get(name)
        if not sent or name not in stood or name in self._shared:
            return False
        return not any(self._same(name, stood[name], value) for value in sent)

    def _note_sent(self, row: dict[str, Any]) -> None:
        for name, value in typed_text.load(row["after"]).items():
            earlier = [] if row["status"] == "ok" else self._sent.get(name, [])
            self._sent[name] = [*earlier, value]

"""What stands at a destination because of one sync: records that it created, fields that it wrote on records of others,
links that it made. All of it is read from our own state: the snapshot says what stands there as far as we know, the
outcomes of every run how it came there.

The first outcome that changed a field holds what stood there before us. A record that was created holds nothing from
before us; one that was deleted and made again begins anew.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import groupby
from typing import Any

from revetl.model import EXISTED
from revetl.privacy.suppressions import is_alias
from revetl.state.sync_tables import SyncTables
from revetl.sync import typed_text
from revetl.sync.links.links_table import MAY_STAND
from revetl.sync.readback import CHUNK_ROWS, KnownRow
from revetl.sync.rollback.verdicts import another_key, keys_of_ids
from revetl.warehouse.sql import ident


@dataclass(slots=True)
class OurRecord:
    """One record of the snapshot. `created_since`: of one that we created and that nobody merged into another, when the
    run began that did; None: others made it, or nothing tells. `before`: field that we wrote → what stood there before
    us; None: nothing, or it is not known. `unsure`: field → what a write held whose answer was lost, as JSON has it."""

    row: KnownRow  # as the snapshot has it: key, now_id, in_doubt, now_run, holder, now__<i>
    created_since: datetime | None = None
    before: dict[str, Any] = field(default_factory=dict)
    unsure: dict[str, Any] = field(default_factory=dict)


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


def records(tables: SyncTables) -> Iterator[list[OurRecord]]:
    """In chunks, by key. Memory holds one chunk. Reads only."""
    chunk: list[OurRecord] = []
    for _, group in groupby(_rows(tables), key=lambda row: row["key"]):
        chunk.append(_record(list(group)))
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
    chunks = tables.warehouse.stream(
        f"""
        SELECT
            n.key,
            n.destination_id AS now_id,
            n.row_hash IS NULL AS in_doubt,
            n.run_id AS now_run,
            {another_key("n")} AS holder,
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
        LEFT JOIN (
            SELECT *
            FROM {tables.shared("outcomes")}
            WHERE sync = ? AND op IN ('create', 'update', 'delete') AND status IN ('ok', 'accepted', 'unknown')
                AND NOT {is_alias("key")}
        ) o ON o.key = n.key
        LEFT JOIN {tables.shared("runs")} r ON r.run_id = o.run_id
        LEFT JOIN ({keys_of_ids(tables)}) x ON x.destination_id = n.destination_id
        ORDER BY n.key, o."at", o.run_id
        """,
        [tables.spec.name],
        batch_rows=CHUNK_ROWS,
    )
    for chunk in chunks:
        yield from chunk.to_pylist()


def _record(history: Sequence[dict[str, Any]]) -> OurRecord:
    record = OurRecord(history[-1])
    present_id = record.row["now_id"] or record.row["destination_id"]  # of a delete that is in doubt it is not kept
    for row in history:
        changed = json.loads(row["changed_fields"] or "[]")
        if row["op"] == "delete" and row["status"] != "unknown":
            record.created_since, record.before = None, {}
        elif row["op"] == "create":
            # An upsert may have met a record of others, and nobody knows what it held.
            sure = row["status"] != "unknown" and row["error_code"] != EXISTED
            ours = sure and row["destination_id"] == present_id is not None and row["started_at"] is not None
            record.created_since = row["started_at"].replace(tzinfo=UTC) if ours else None
            record.before = dict.fromkeys(changed)
        elif row["op"] == "update":
            stood = typed_text.load(row["before"])
            for name in changed:
                record.before.setdefault(name, stood.get(name))
        if row["op"] is not None:
            record.unsure = json.loads(row["after"] or "{}") if row["status"] == "unknown" else {}
    return record

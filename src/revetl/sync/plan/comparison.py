"""The model against the snapshot, in SQL inside the warehouse: what differs, into a scratch table. Nothing is sent.

1. One full outer join of the source with (key, row_hash) of the snapshot leaves only what differs: new records, changed
   ones, those in doubt, and those that left. Unchanged rows never leave the warehouse.
2. Null, empty and duplicate keys are found from the counts of that join: the rows of the source that met the snapshot
   must be as many as the snapshot rows that met the source. The offending keys are looked up only when the counts
   disagree.

A key is null, empty or there twice → ConfigError with the keys; the plan that stood before stands.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from revetl.errors import ConfigError, Problem
from revetl.state.snapshot import kept_value
from revetl.state.sync_tables import SyncField, SyncTables, row_hash
from revetl.sync.plan import suppressed, suspects
from revetl.warehouse.sql import ident

# A record whose id we never learned is looked for again, like one in doubt.
IN_DOUBT = "(d.known_key IS NOT NULL AND (d.known_hash IS NULL OR n.destination_id IS NULL))"


@dataclass(frozen=True, slots=True)
class KeyCounts:
    """Rows by whether their key stands in the model, in the snapshot, or in both."""

    source: int
    snapshot: int
    null_keys: int  # or empty texts, which name no record either
    differing: int  # of the model, those that stand in the scratch table
    new: int  # of them, those that the snapshot does not have
    left: int  # of the snapshot, those that the model does not have


@dataclass(frozen=True, slots=True)
class SnapshotComparison:
    """One comparison. `buckets`: a scratch table of those in which rows can differ at all, where that is known.
    `full_refresh`: every record of the model differs. `holds`: a rollback left fields as people had edited them."""

    tables: SyncTables
    full_refresh: bool
    buckets: str | None
    holds: bool = False

    def compare(self, source: str) -> KeyCounts:
        """Fills the scratch table `delta`. ConfigError for null, empty and duplicate keys."""
        tables = self.tables
        values = [tables.value(f, "m") for f in tables.fields]
        columns = "".join(f", {v} AS {ident(f.after)}" for f, v in zip(tables.fields, values, strict=True))
        carried = "".join(f", s.{ident(f.after)}" for f in tables.fields)
        held, holds = ("", "")
        if self.holds:
            held = ", k.kept_values"
            holds = f"LEFT JOIN (SELECT key, kept_values FROM {tables.rejected}) k ON k.key = s.key"
        key = tables.source_key("m")
        of_source, of_snapshot = (
            f"WHERE {suspects.among(self.buckets, k)}" if self.buckets else "" for k in (key, "key")
        )
        differs = "s.source_hash IS DISTINCT FROM n.row_hash OR s.present IS NULL OR n.key IS NULL"
        left = ", left_model" if tables.spec.forgets else ""
        if left:
            differs += " OR n.left_model"
        # Of the snapshot only what decides: that side is held in memory, one entry per record.
        tables.new_scratch(
            "delta",
            f"""
            AS SELECT
                s.present,
                s.key AS source_key,
                n.key AS known_key,
                s.source_hash,
                n.row_hash AS known_hash,
                {"n.left_model IS TRUE" if left else "FALSE"} AS returns
                {carried}
                {held}
            FROM (
                SELECT TRUE AS present, {key} AS key, {row_hash(values)} AS source_hash {columns}
                FROM {source} m
                {of_source}
            ) s
            FULL OUTER JOIN (
                SELECT key, row_hash{left}
                FROM {tables.snapshot}
                {of_snapshot}
            ) n ON n.key = s.key
            {holds}
            {"" if self.full_refresh else f"WHERE {differs}"}
            """,
        )
        counts = KeyCounts(
            *tables.warehouse.numbers(
                f"""
                SELECT
                    (SELECT count(*) FROM {source}),
                    (SELECT count(*) FROM {tables.snapshot}),
                    count(*) FILTER (WHERE present AND (source_key IS NULL OR source_key = '')),
                    count(*) FILTER (WHERE present),
                    count(*) FILTER (WHERE present AND known_key IS NULL),
                    count(*) FILTER (WHERE present IS NULL)
                FROM {tables.scratch("delta")}
                """
            )
        )
        _check_keys(tables, source, counts)
        return counts

    def differs(self, field: SyncField) -> str:
        """Whether a row of `delta d` differs in this field from the snapshot's row `n`."""
        after, before = f"d.{ident(field.after)}", f"n.{ident(field.stored)}"
        if self.names_record(field):  # never sent, so no doubt of ours is about it
            return f"{after} IS DISTINCT FROM {before}"
        whole = "d.known_key IS NOT NULL" if self.full_refresh else f"({IN_DOUBT} OR d.returns)"
        test = f"({whole} OR {after} IS DISTINCT FROM {before})"
        if self.holds:
            test += f" AND NOT {self.held(field)}"
        return f"{test} AND {field.given(after)} IS NOT NULL" if field.keep_null else test

    def held(self, field: SyncField) -> str:
        """Whether a rollback left the field as a person had edited it, and the row still says what was rolled back."""
        if not self.holds:
            return "FALSE"
        entry = kept_value(field.name, f"d.{ident(field.after)}")
        return f"coalesce(contains(d.kept_values, {entry}), FALSE)"

    def held_records(self) -> str:
        """A SELECT of the keys of `delta` with a field that is held now."""
        any_field = " OR ".join(self.held(f) for f in self.tables.fields)
        return f"SELECT d.source_key FROM {self.tables.scratch('delta')} d WHERE d.present AND ({any_field})"

    def names_record(self, field: SyncField) -> bool:
        """Whether the field is the id that the destination gave: another value means another record."""
        return self.tables.by_id and field.name == self.tables.spec.match_on

    def note_leavers(self) -> int:
        """`on_leave: forget`: who is not in the model now is sent whole when its row comes back. Returns how many rows
        came back that were noted so. Safe to repeat."""
        tables = self.tables
        if not tables.spec.forgets:
            return 0
        delta = tables.scratch("delta")
        tables.warehouse.execute(
            f"""
            UPDATE {tables.snapshot}
            SET left_model = TRUE
            WHERE left_model IS NOT TRUE
                AND key IN (SELECT known_key FROM {delta} WHERE present IS NULL)
            """
        )
        return tables.warehouse.scalar(f"SELECT count(*) FROM {delta} WHERE present AND returns", int)

    def take_over_hashes(self) -> int:
        """A row whose hash differs though every field that may be sent is equal (a value kept by its rule, a column
        that came or went): the snapshot takes the new hash, nothing is sent. Returns how many."""
        tables = self.tables
        same = " AND ".join(f"NOT ({self.differs(f)})" for f in tables.fields)
        equal = f"""
            SELECT d.known_key, d.source_hash
            FROM {tables.scratch("delta")} d
            JOIN {tables.snapshot} n ON n.key = d.known_key
            WHERE d.present AND n.destination_id IS NOT NULL AND {same}
            """
        count = tables.warehouse.scalar(f"SELECT count(*) FROM ({equal}) e", int)
        if count:
            tables.warehouse.execute(
                f"""
                UPDATE {tables.snapshot}
                SET row_hash = e.source_hash
                FROM ({equal}) e
                WHERE {tables.snapshot}.key = e.known_key
                """
            )
        return count


@contextmanager
def source_of(tables: SyncTables, barred: Sequence[str]) -> Iterator[str]:
    """The model without the records of `barred`, read once, so that every statement sees one state: a view is computed
    into a scratch table first, and so is a table where dbt may replace it between two statements, or where ids stand in
    place of what names other records."""
    warehouse = tables.warehouse
    as_built = not (barred or tables.spec.references) and warehouse.repeatable_reads
    if as_built and warehouse.kind(tables.spec.relation) == "table":
        yield tables.model
        return
    names = ", ".join(ident(c) for c in dict.fromkeys((tables.spec.key, *(f.source for f in tables.fields))))
    tables.new_scratch("source", f"AS SELECT {names} FROM {tables.source} m")
    suppressed.leave_out(tables, "source", barred)
    yield tables.scratch("source")
    tables.drop_scratch("source")


def _check_keys(tables: SyncTables, source: str, counts: KeyCounts) -> None:
    key = tables.spec.key
    where = tables.spec.where or f"sync {tables.spec.name}"
    if counts.null_keys:
        raise ConfigError(
            Problem(
                f"{where}: {counts.null_keys} row(s) have no {key}; nothing was sent",
                hint=f"The key must be unique, and neither null nor empty: add the tests unique and not_null to {key}.",
            )
        )
    matched = counts.source - counts.new
    if matched != counts.snapshot - counts.left:
        repeated = f"SELECT CAST({ident(key)} AS VARCHAR), count(*) FROM {source}"
    else:
        repeated = f"SELECT source_key, count(*) FROM {tables.scratch('delta')} WHERE present AND known_key IS NULL"
    keys = tables.warehouse.rows(
        f"""
        {repeated}
        GROUP BY 1
        HAVING count(*) > 1
        ORDER BY 2 DESC, 1
        LIMIT 6
        """
    )
    if keys:
        named = ", ".join(f"{str(k)!r} ({n!s} times)" for k, n in keys[:5]) + (", …" if len(keys) > 5 else "")
        raise ConfigError(
            Problem(
                f"{where}: {key} is not unique: {named}; nothing was sent",
                hint="One row per key is what makes a record the same record in the next run.",
            )
        )

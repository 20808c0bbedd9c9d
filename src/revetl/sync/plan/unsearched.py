"""Records without an id where nobody can be asked whether they stand there: the destination can't be searched, or the
sync has no `match_on`. What is known is what we sent ourselves; what that does not settle is withheld, with the
reason."""

from __future__ import annotations

import json

from revetl.state.sync_tables import SyncTables
from revetl.sync.plan.line_decisions import decide_lines, withhold_unreachable
from revetl.warehouse.sql import ident, literal


def restore_ids(tables: SyncTables) -> None:
    """Where nobody can be asked, a delete whose answer was lost is sent again by the id that it was sent by. The
    snapshot does not keep that id, for a row that comes back may find its record gone; the outcomes do."""
    lost = f"SELECT key FROM {tables.plan} WHERE op = 'delete' AND in_doubt AND destination_id IS NULL"
    tables.warehouse.execute(
        f"""
        UPDATE {tables.plan}
        SET destination_id = o.destination_id
        FROM (
            SELECT key, destination_id, row_number() OVER (PARTITION BY key ORDER BY "at" DESC, run_id DESC) AS recency
            FROM {tables.shared("outcomes")}
            WHERE sync = {literal(tables.spec.name)} AND destination_id IS NOT NULL AND key IN ({lost})
        ) o
        WHERE o.key = {tables.plan}.key AND o.recency = 1
        """
    )


def withhold_unmatchable(tables: SyncTables) -> None:
    """No `match_on`: a create in doubt can't be looked for, and repeating it could make a second record."""
    decide_lines(
        tables,
        "unknown",
        note="'may have been created by a run that broke off, and match_on is not set, so it cannot be looked for'",
        reason="NOT_RECONCILABLE",
        where="op = 'create' AND in_doubt AND destination_id IS NULL",
    )
    withhold_unreachable(tables, "TRUE")


def withhold_moved(tables: SyncTables) -> None:
    """It may stand there by its earlier match_on value, and an upsert by the present one would make a second record."""
    field = tables.match_field
    before, after = (f"{tables.plan}.{ident(column)}" for column in (field.before, field.after))
    moved = f"may stand at the destination by an earlier {tables.spec.match_on}, by which it cannot be looked for"
    decide_lines(
        tables,
        "unknown",
        note=literal(moved),
        reason="NOT_RECONCILABLE",
        where=f"op = 'create' AND in_doubt AND {before} IS NOT NULL AND NOT ({_same(before, after)})",
    )


def withhold_sent_before(tables: SyncTables) -> None:
    """Nobody can be asked, but what we sent ourselves is known: a new record would be written over one of another key
    that is still in the model."""
    field = tables.match_field
    same = _same(f"p.{ident(field.after)}", tables.value(field, "m"))
    holders = f"""
        SELECT p.ordinal, min(n.key) AS holder
        FROM {tables.plan} p
        JOIN {tables.source} m ON {same}
        JOIN {tables.snapshot} n ON n.key = {tables.source_key("m")} AND n.key <> p.key
        WHERE p.op = 'create' AND p.outcome IS NULL
            AND n.key NOT IN (SELECT key FROM {tables.plan} WHERE op = 'create')
        GROUP BY p.ordinal
        """
    decide_lines(
        tables,
        "rejected",
        note=f"{literal(f'the record with its {tables.spec.match_on} is kept by ')} || t.holder || ' of this model'",
        reason="HELD_BY_ANOTHER_KEY",
        where=f"t.ordinal = {tables.plan}.ordinal",
        joined=f"({holders}) t",
    )


def make_scratch(tables: SyncTables) -> None:
    """Before the transaction that decides: on Snowflake a table that is made commits it."""
    tables.new_scratch("handed_over", "(ordinal BIGINT, left_key VARCHAR, destination_id VARCHAR)")


def take_over_sent_before(tables: SyncTables) -> None:
    """By our own snapshot: who has the match_on value of a key that left the model takes its record over, by its id or,
    where the destination gives none, by that value."""
    field = tables.match_field
    same = _same(f"p.{ident(field.after)}", f"n.{ident(field.stored)}")
    present = f"SELECT {tables.source_key('m')} FROM {tables.source} m"
    tables.warehouse.execute(
        f"""
        INSERT INTO {tables.scratch("handed_over")}
        SELECT p.ordinal, n.key, n.destination_id
        FROM {tables.plan} p
        JOIN {tables.snapshot} n ON {same} AND n.key <> p.key
        WHERE p.op = 'create' AND NOT p.known AND p.outcome IS NULL AND n.key NOT IN ({present})
        QUALIFY row_number() OVER (PARTITION BY n.key ORDER BY p.ordinal) = 1
            AND row_number() OVER (PARTITION BY p.ordinal ORDER BY n.destination_id NULLS LAST, n.key) = 1
        """
    )
    changed = ", ".join(
        f"""CASE WHEN {f"p.{ident(f.after)} IS NOT NULL" if f.keep_null else "TRUE"}
            AND (n.row_hash IS NULL OR p.{ident(f.after)} IS DISTINCT FROM n.{ident(f.stored)})
            THEN {literal(json.dumps(f.name))} END"""
        for f in tables.fields
    )
    stood = "".join(f", {ident(f.before)} = c.{ident(f.before)}" for f in tables.fields)
    before = "".join(f", n.{ident(f.stored)} AS {ident(f.before)}" for f in tables.fields)
    tables.warehouse.execute(
        f"""
        UPDATE {tables.plan}
        SET destination_id = c.destination_id, adopted = TRUE, op = 'update', changed_fields = c.changed_fields {stood}
        FROM (
            SELECT h.ordinal, h.destination_id, '[' || concat_ws(',', {changed}) || ']' AS changed_fields {before}
            FROM {tables.scratch("handed_over")} h
            JOIN {tables.plan} p ON p.ordinal = h.ordinal
            JOIN {tables.snapshot} n ON n.key = h.left_key
            WHERE h.destination_id IS NOT NULL
        ) c
        WHERE c.ordinal = {tables.plan}.ordinal
        """
    )
    left = f"SELECT left_key FROM {tables.scratch('handed_over')}"
    tables.warehouse.execute(f"DELETE FROM {tables.plan} WHERE known AND key IN ({left})")
    tables.warehouse.execute(
        f"""
        UPDATE {tables.plan}
        SET takes_over = h.left_key
        FROM {tables.scratch("handed_over")} h
        WHERE h.ordinal = {tables.plan}.ordinal
        """
    )
    tables.drop_scratch("handed_over")


def _same(one: str, other: str) -> str:
    """Whether two match_on values are one, as far as SQL can tell: the destination's own form is not known here."""
    first, second = (f"lower(trim(CAST({value} AS VARCHAR)))" for value in (one, other))
    return f"{first} = {second}"

"""What the lookups mean for the plan, decided in SQL over its lines: which records are adopted, and which lines are not
sent, with the reason: no value to look for, a record that belongs to another key of ours, a create that can't be
reconciled. What was found stands in the scratch table `found` (`matching`)."""

from __future__ import annotations

import json

from revetl.state.sync_tables import SyncTables
from revetl.sync.plan.same_record import clears
from revetl.warehouse.sql import ident, literal


def withhold_unmatchable(tables: SyncTables) -> None:
    """No `match_on`: a create in doubt can't be looked for, and repeating it could make a second record."""
    _decide_lines(
        tables,
        "unknown",
        note="'may have been created by a run that broke off, and match_on is not set, so it cannot be looked for'",
        reason="NOT_RECONCILABLE",
        where="op = 'create' AND in_doubt AND destination_id IS NULL",
    )
    _withhold_unreachable(tables, "TRUE")


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


def decide(tables: SyncTables, *, searched: bool) -> int:
    """Adopts what was found and decides which lines are not sent. Returns how many mode update takes out of the plan,
    for they are not at the destination. `searched`: the destination was asked; else it upserts by `match_on`."""
    with tables.warehouse.transaction():
        _adopt(tables)
        if searched:
            _decide_gone(tables)
            _withhold_unreachable(tables, "TRUE")
        else:
            # A delete goes by its match_on value; a field is cleared by id only.
            _withhold_unreachable(tables, f"(op <> 'delete' OR {ident(tables.match_field.after)} IS NULL)")
            if tables.spec.mode != "insert":  # there nothing leaves, and events are told apart by their id
                _withhold_moved(tables)
                _withhold_sent_before(tables)
                _take_over_sent_before(tables)
        _withhold_nameless(tables)
        _withhold_twins(tables)
        _withhold_taken(tables)
        _hand_over(tables)
        absent = _leave_out_absent(tables) if tables.spec.mode == "update" else 0
        if tables.spec.mode == "insert":
            _decide_lines(
                tables,
                "skipped",
                note="'exists already, and mode is insert'",
                reason="EXISTS",
                where="adopted AND NOT in_doubt",
            )
        _decide_lines(
            tables,
            "ok",
            note="'stands there with these values already'",
            where="adopted AND changed_fields = '[]'",
        )
        return absent


def _adopt(tables: SyncTables) -> None:
    plan = tables.plan
    tables.warehouse.execute(
        f"""
        UPDATE {plan}
        SET
            destination_id = f.destination_id,
            adopted = {plan}.op = 'create',
            op = CASE WHEN {plan}.op = 'create' THEN 'update' ELSE {plan}.op END,
            changed_fields = CASE WHEN {plan}.op = 'delete' THEN '[]' ELSE f.changed_fields END,
            found = f.found
        FROM {tables.scratch("found")} f
        WHERE f.ordinal = {plan}.ordinal AND f.destination_id IS NOT NULL
        """
    )


def _decide_gone(tables: SyncTables) -> None:
    """Of who left the model: only a record that was looked for and not found is gone."""
    asked = f"SELECT ordinal FROM {tables.scratch('found')} WHERE asked"
    left = f"op = 'delete' OR {clears(tables, tables.plan)}"
    _decide_lines(
        tables,
        "ok",
        note="'is not at the destination any more'",
        where=f"destination_id IS NULL AND op <> 'create' AND ordinal IN ({asked}) AND ({left})",
    )


def _withhold_unreachable(tables: SyncTables, where: str) -> None:
    """Who left the model, has no id here and can't be looked for: nothing says which record is meant."""
    _decide_lines(
        tables,
        "rejected",
        note="'has left the model and may stand at the destination: its id is not known, and it cannot be looked for'",
        reason="NO_ID",
        where=f"op <> 'create' AND destination_id IS NULL AND {where}",
    )


def _withhold_nameless(tables: SyncTables) -> None:
    nameless = f"SELECT ordinal FROM {tables.scratch('found')} WHERE identity IS NULL AND empty"
    formless = f"SELECT ordinal FROM {tables.scratch('found')} WHERE identity IS NULL AND NOT empty"
    _decide_lines(
        tables,
        "rejected",
        note=literal(f"has a {tables.spec.match_on} that the destination can't hold"),
        reason="INVALID_IDENTITY",
        where=f"op = 'create' AND ordinal IN ({formless})",
    )
    _decide_lines(
        tables,
        "skipped",
        note=literal(f"has no {tables.spec.match_on}, so it cannot be looked for before it is created"),
        reason="NO_IDENTITY",
        where=f"op = 'create' AND ordinal IN ({nameless})",
    )


def _withhold_twins(tables: SyncTables) -> None:
    """Of two lines for one record there, the one whose key it holds is sent, else the one in doubt, else the one whose
    value is its main one, else the first."""
    has_the_same = literal(f"has the same {tables.spec.match_on} as ")
    twins = f"""
        SELECT ordinal, first_value(key) OVER (PARTITION BY identity ORDER BY rank, ordinal) AS holder, key AS own
        FROM (
            SELECT
                p.ordinal,
                p.key,
                coalesce(p.destination_id, 'new:' || f.identity) AS identity,
                CASE WHEN f.keyed THEN 0 WHEN p.in_doubt THEN 1 WHEN f.main THEN 2 ELSE 3 END AS rank
            FROM {tables.plan} p
            JOIN {tables.scratch("found")} f ON f.ordinal = p.ordinal
            WHERE p.outcome IS NULL AND p.op <> 'delete'
        ) t
        """
    _decide_lines(
        tables,
        "rejected",
        note=f"{has_the_same} || t.holder || ' of this model: they would overwrite each other'",
        reason="SAME_IDENTITY",
        where=f"t.ordinal = {tables.plan}.ordinal AND t.holder <> t.own",
        joined=f"({twins}) t",
    )


def _withhold_taken(tables: SyncTables) -> None:
    """An adopted record may belong to another key of ours. A key that is still in the model keeps it."""
    the_record = literal(f"the record with its {tables.spec.match_on} is kept by ")
    holders = f"""
        SELECT p.ordinal, min(n.key) AS holder
        FROM {tables.plan} p
        JOIN {tables.snapshot} n ON n.destination_id = p.destination_id AND n.key <> p.key
        JOIN {tables.source} m ON {tables.source_key("m")} = n.key
        WHERE p.adopted AND p.outcome IS NULL
        GROUP BY p.ordinal
        """
    _decide_lines(
        tables,
        "rejected",
        note=f"{the_record} || t.holder || ' of this model'",
        reason="HELD_BY_ANOTHER_KEY",
        where=f"t.ordinal = {tables.plan}.ordinal",
        joined=f"({holders}) t",
    )


def _hand_over(tables: SyncTables) -> None:
    """A key that left the model (a golden record got a new id) hands its record over to the one that adopts it, and is
    not deleted for having left. Its row stays in the snapshot until the other one has been sent
    (`snapshot.forget_handed_over`): should the run stop before, it is known as ours still. A key that is in the model
    keeps its line: its record may have been merged into the one that is adopted (`same_record`)."""
    taken = f"SELECT destination_id FROM {tables.plan} WHERE adopted AND outcome IS NULL"
    tables.warehouse.execute(
        f"""
        DELETE FROM {tables.plan}
        WHERE known AND NOT adopted AND destination_id IN ({taken})
            AND (op = 'delete' OR {clears(tables, tables.plan)})
        """
    )


def _same(one: str, other: str) -> str:
    """Whether two match_on values are one, as far as SQL can tell: the destination's own form is not known here."""
    first, second = (f"lower(trim(CAST({value} AS VARCHAR)))" for value in (one, other))
    return f"{first} = {second}"


def _withhold_moved(tables: SyncTables) -> None:
    """It may stand there by its earlier match_on value, and an upsert by the present one would make a second record."""
    field = tables.match_field
    before, after = (f"{tables.plan}.{ident(column)}" for column in (field.before, field.after))
    moved = f"may stand at the destination by an earlier {tables.spec.match_on}, by which it cannot be looked for"
    _decide_lines(
        tables,
        "unknown",
        note=literal(moved),
        reason="NOT_RECONCILABLE",
        where=f"op = 'create' AND in_doubt AND {before} IS NOT NULL AND NOT ({_same(before, after)})",
    )


def _withhold_sent_before(tables: SyncTables) -> None:
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
    _decide_lines(
        tables,
        "rejected",
        note=f"{literal(f'the record with its {tables.spec.match_on} is kept by ')} || t.holder || ' of this model'",
        reason="HELD_BY_ANOTHER_KEY",
        where=f"t.ordinal = {tables.plan}.ordinal",
        joined=f"({holders}) t",
    )


def _take_over_sent_before(tables: SyncTables) -> None:
    """As `_hand_over`, by our own snapshot: who has the match_on value of a key that left the model takes its record
    over, by its id or, where the destination gives none, by that value."""
    field = tables.match_field
    same = _same(f"p.{ident(field.after)}", f"n.{ident(field.stored)}")
    present = f"SELECT {tables.source_key('m')} FROM {tables.source} m"
    tables.new_scratch(
        "handed_over",
        f"""
        AS SELECT p.ordinal, n.key AS left_key, n.destination_id
        FROM {tables.plan} p
        JOIN {tables.snapshot} n ON {same} AND n.key <> p.key
        WHERE p.op = 'create' AND NOT p.known AND p.outcome IS NULL AND n.key NOT IN ({present})
        QUALIFY row_number() OVER (PARTITION BY n.key ORDER BY p.ordinal) = 1
            AND row_number() OVER (PARTITION BY p.ordinal ORDER BY n.destination_id NULLS LAST, n.key) = 1
        """,
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


def _leave_out_absent(tables: SyncTables) -> int:
    not_there = f"""
        FROM {tables.plan}
        WHERE op = 'create' AND NOT in_doubt AND reason IS DISTINCT FROM 'INVALID_IDENTITY'
        """
    absent = tables.warehouse.scalar(f"SELECT count(*) {not_there}", int)
    # One that was refused before has nothing to wait for any more.
    tables.warehouse.execute(f"DELETE FROM {tables.rejected} WHERE key IN (SELECT key {not_there})")
    tables.warehouse.execute(f"DELETE {not_there}")
    return absent


def _decide_lines(
    tables: SyncTables, outcome: str, *, note: str, where: str, reason: str | None = None, joined: str | None = None
) -> None:
    """Gives lines that are not decided yet their outcome, so that they are not sent. `note` and `where` are expressions
    over the plan's row and what is `joined` with it; `reason` is the word by which such lines are counted."""
    tables.warehouse.execute(
        f"""
        UPDATE {tables.plan}
        SET outcome = '{outcome}', reason = {"NULL" if reason is None else literal(reason)}, note = {note}
        {f"FROM {joined}" if joined else ""}
        WHERE {tables.plan}.outcome IS NULL AND {where}
        """
    )

"""What the lookups mean for the plan, decided in SQL over its lines: which records are adopted, and which lines are not
sent, with the reason: no value to look for, a record that belongs to another key of ours, a create that can't be
reconciled. What was found stands in the scratch table `found` (`matching`)."""

from __future__ import annotations

from revetl.state.outcomes import EXISTS_BY_NOW, NO_IDENTITY
from revetl.state.sync_tables import SyncTables
from revetl.sync.plan import found_holders, unsearched
from revetl.sync.plan.line_decisions import decide_lines, withhold_unreachable
from revetl.sync.plan.same_record import clears
from revetl.warehouse.sql import ident, literal


def decide(tables: SyncTables, *, searched: bool) -> int:
    """Adopts what was found and decides which lines are not sent. Returns how many mode update takes out of the plan,
    for they are not at the destination. `searched`: the destination was asked; else it upserts by `match_on`."""
    by_snapshot = not searched and tables.spec.mode != "insert"  # there nothing leaves, and events go by their id
    if by_snapshot:
        unsearched.make_scratch(tables)
    with tables.warehouse.transaction():
        _adopt(tables)
        if searched:
            _decide_gone(tables)
            withhold_unreachable(tables, "TRUE")
        else:
            # A delete goes by its match_on value; a field is cleared by id only.
            withhold_unreachable(tables, f"(op <> 'delete' OR {ident(tables.match_field.after)} IS NULL)")
            if by_snapshot:
                unsearched.withhold_moved(tables)
                unsearched.withhold_sent_before(tables)
                unsearched.take_over_sent_before(tables)
        _withhold_nameless(tables)
        _withhold_twins(tables)
        _withhold_taken(tables)
        found_holders.decide(tables)
        _hand_over(tables)
        absent = _leave_out_absent(tables) if tables.spec.mode == "update" else 0
        if tables.spec.mode == "insert":
            decide_lines(
                tables,
                "skipped",
                note="'exists already, and mode is insert'",
                reason="EXISTS",
                where="adopted AND NOT in_doubt",
            )
        decide_lines(
            tables,
            "ok",
            note="'stands there with these values already'",
            where="adopted AND changed_fields = '[]'",
        )
        return absent


def withhold_existing(tables: SyncTables) -> None:
    """Of a saved plan: creates whose record was found, and was not there when the plan was made."""
    found = f"SELECT ordinal FROM {tables.scratch('found')} WHERE destination_id IS NOT NULL"
    decide_lines(
        tables,
        "rejected",
        note="'was made at the destination since this plan was made, and is left as it is: the next plan adopts it'",
        reason=EXISTS_BY_NOW,
        where=f"op = 'create' AND ordinal IN ({found})",
    )


def _adopt(tables: SyncTables) -> None:
    plan = tables.plan
    by_further = literal(f"found by a further {tables.spec.match_on}: the main one there is ")
    note = f"coalesce({by_further} || f.further, {plan}.note)"
    tables.warehouse.execute(
        f"""
        UPDATE {plan}
        SET
            destination_id = f.destination_id,
            note = CASE WHEN {plan}.op = 'delete' THEN {plan}.note ELSE {note} END,
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
    decide_lines(
        tables,
        "ok",
        note="'is not at the destination any more'",
        where=f"destination_id IS NULL AND op <> 'create' AND ordinal IN ({asked}) AND ({left})",
    )


def _withhold_nameless(tables: SyncTables) -> None:
    nameless = f"SELECT ordinal FROM {tables.scratch('found')} WHERE identity IS NULL AND empty"
    formless = f"SELECT ordinal FROM {tables.scratch('found')} WHERE identity IS NULL AND NOT empty"
    decide_lines(
        tables,
        "rejected",
        note=literal(f"has a {tables.spec.match_on} that the destination can't hold"),
        reason="INVALID_IDENTITY",
        where=f"op = 'create' AND ordinal IN ({formless})",
    )
    decide_lines(
        tables,
        "skipped",
        note=literal(f"has no {tables.spec.match_on}, so it cannot be looked for before it is created"),
        reason=NO_IDENTITY,
        where=f"op = 'create' AND ordinal IN ({nameless})",
    )


def _withhold_twins(tables: SyncTables) -> None:
    """Of two lines for one record there, the one whose key it holds is sent, else the one in doubt, else the one whose
    value is its main one, else the first."""
    has_the_same = literal(f"has the same {tables.spec.match_on or tables.spec.key_property} as ")
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
    decide_lines(
        tables,
        "rejected",
        note=f"{has_the_same} || t.holder || ' of this model: they would overwrite each other'",
        reason="SAME_IDENTITY",
        where=f"t.ordinal = {tables.plan}.ordinal AND t.holder <> t.own",
        joined=f"({twins}) t",
    )


def _withhold_taken(tables: SyncTables) -> None:
    """An adopted record may belong to another key of ours. A key that is still in the model keeps it."""
    holders = f"""
        SELECT p.ordinal, min(n.key) AS holder
        FROM {tables.plan} p
        JOIN {tables.snapshot} n ON n.destination_id = p.destination_id AND n.key <> p.key
        JOIN {tables.source} m ON {tables.source_key("m")} = n.key
        WHERE p.adopted AND p.outcome IS NULL
        GROUP BY p.ordinal
        """
    decide_lines(
        tables,
        "rejected",
        note=f"{found_holders.kept_by(tables)} || t.holder || ' of this model'",
        reason=found_holders.HELD_BY_ANOTHER_KEY,
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

"""A record that was looked for and found may be that of another key of ours, known by another id.

A person merges records: the one that is left has a new id, and answers to the values of both. A key whose row did not
change still has the old id in the snapshot. A new key with the other value finds that record; written, it would
overwrite what the first key sent. So of each record that was found it is asked whose it is: by the ids that were
merged into it (`RecordMatch.former_ids`), by the value that is its main one, and by our key in it (`key_property`).
Such a line is withheld by name, and the key that has the record learns its present id.

Who is found by our own key, or has the main value where the other has not, keeps the record (`same_record`).

What can fail here → nothing was sent, and the next plan decides anew. Reads from the destination, writes to it nothing.
"""

from __future__ import annotations

from collections.abc import Sequence

from revetl.destinations.base import Destination, RecordMatch
from revetl.state.sync_tables import SyncTables
from revetl.sync.plan.line_decisions import decide_lines
from revetl.sync.plan.same_record import SAME_RECORD
from revetl.sync.readback import read_by_id
from revetl.sync.sync_run import SyncRun
from revetl.warehouse.sql import ident, literal

HELD_BY_ANOTHER_KEY = "HELD_BY_ANOTHER_KEY"


def prepare(tables: SyncTables) -> None:
    """Empty scratch tables. `found_former`: ids that lead to a record that was found, as the destination tells.
    `found_holders`: keys whose record it is; `read`: under the id that is known of the key it answered."""
    tables.new_scratch("found_former", "(former_id VARCHAR, destination_id VARCHAR)")
    tables.new_scratch(
        "found_holders", "(ordinal BIGINT, key VARCHAR, destination_id VARCHAR, main BOOLEAN, read BOOLEAN)"
    )


async def note_former(run: SyncRun, matches: Sequence[RecordMatch]) -> None:
    """Of records that were found: the ids that were merged into them."""
    import pyarrow as pa

    pairs = {(former, match.destination_id) for match in matches for former in match.former_ids}
    if pairs:
        former, ids = zip(*sorted(pairs), strict=True)
        rows = pa.table({"former_id": list(former), "destination_id": list(ids)})
        await run.ctx.offload(run.ctx.warehouse.append, run.tables.scratch_relation("found_former"), rows)


async def find(run: SyncRun, destination: Destination) -> None:
    """Fills `found_holders`, after the scratch table `found`. Who is known by the main value alone is read back: it may
    have another record with that value. One whose id leads nowhere any more has none."""
    import pyarrow as pa

    candidates = await run.on_tables(_candidates)
    if not candidates:
        return
    by_value = list({known for _, _, known, _, _, former in candidates if not former})
    names = [run.spec.match_on] if run.spec.match_on else []
    stands = await read_by_id(destination, run.spec.object, by_value, names) if by_value else {}
    rows = [
        (ordinal, key, found, main, former or known in stands)
        for ordinal, key, known, found, main, former in candidates
        if former or known not in stands or stands[known].destination_id == found
    ]
    if rows:
        names = ["ordinal", "key", "destination_id", "main", "read"]
        table = pa.table({name: list(cells) for name, cells in zip(names, zip(*rows, strict=True), strict=True)})
        await run.ctx.offload(run.ctx.warehouse.append, run.tables.scratch_relation("found_holders"), table)


def _candidates(tables: SyncTables) -> list[tuple[int, str, str, str, bool, bool]]:
    """(line, another key, the id that it is known by, the id that was found, whether the main value is that key's,
    whether the destination says that the one id became the other). A key that was looked for itself is none: of such
    lines for one record it is decided before (`adoption`)."""
    main, by_value = "FALSE", ""
    if tables.spec.match_on is not None and not tables.by_id:
        value = f"lower(trim(CAST(n.{ident(tables.match_field.stored)} AS VARCHAR)))"
        main = f"coalesce({value} = lower(f.main_form), FALSE)"
        by_value = f"""
            UNION ALL
            SELECT f.ordinal, n.key, n.destination_id AS known_id, f.destination_id AS found_id, TRUE AS main,
                FALSE AS former
            FROM {tables.scratch("found")} f
            JOIN {tables.snapshot} n ON {value} = lower(f.main_form)
            """
    rows = tables.warehouse.rows(
        f"""
        SELECT c.ordinal, c.key, c.known_id, c.found_id, max(CASE WHEN c.main THEN 1 ELSE 0 END),
            max(CASE WHEN c.former THEN 1 ELSE 0 END)
        FROM (
            SELECT f.ordinal, n.key, n.destination_id AS known_id, f.destination_id AS found_id, {main} AS main,
                TRUE AS former
            FROM {tables.scratch("found")} f
            JOIN {tables.scratch("found_former")} l ON l.destination_id = f.destination_id
            JOIN {tables.snapshot} n ON n.destination_id = l.former_id
            {by_value}
        ) c
        JOIN {tables.plan} p ON p.ordinal = c.ordinal
        WHERE c.key <> p.key AND c.known_id <> c.found_id
            AND c.key NOT IN (
                SELECT o.key
                FROM {tables.plan} o
                JOIN {tables.scratch("found")} s ON s.ordinal = o.ordinal
            )
        GROUP BY c.ordinal, c.key, c.known_id, c.found_id
        ORDER BY c.ordinal, c.key
        """
    )
    return [
        (int(str(ordinal)), str(key), str(known), str(found), bool(main), bool(former))
        for ordinal, key, known, found, main, former in rows
    ]


def decide(tables: SyncTables) -> None:
    """Withholds the lines and lets the other keys learn the id. Call inside a transaction, once records are adopted."""
    if tables.spec.key_property is not None:
        _withhold_by_our_key(tables)
    if not tables.warehouse.rows(f"SELECT 1 FROM {tables.scratch('found_holders')} LIMIT 1"):
        return
    holders = f"""
        SELECT h.ordinal, h.key AS holder, h.destination_id, h.read
        FROM {tables.scratch("found_holders")} h
        JOIN {tables.scratch("found")} f ON f.ordinal = h.ordinal
        JOIN {tables.source} m ON {tables.source_key("m")} = h.key
        WHERE NOT f.keyed AND (h.main OR NOT (f.main OR coalesce(f.identity = f.destination_id, FALSE)))
        QUALIFY row_number() OVER (PARTITION BY h.ordinal ORDER BY CASE WHEN h.main THEN 0 ELSE 1 END, h.key) = 1
        """
    tables.warehouse.execute(
        f"""
        UPDATE {tables.snapshot}
        SET destination_id = t.destination_id
        FROM (
            SELECT h.holder, min(h.destination_id) AS destination_id
            FROM ({holders}) h
            JOIN {tables.plan} p ON p.ordinal = h.ordinal
            WHERE h.read AND p.outcome IS NULL AND p.op <> 'delete'
            GROUP BY h.holder
        ) t
        WHERE t.holder = {tables.snapshot}.key
        """
    )
    merged = literal("is one record there with that of ")
    for adopted, reason, note in (
        ("adopted", HELD_BY_ANOTHER_KEY, f"{kept_by(tables)} || t.holder || ' of this model'"),
        ("NOT adopted", SAME_RECORD, f"{merged} || t.holder || ' of this model, and would overwrite it'"),
    ):
        decide_lines(
            tables,
            "rejected",
            note=note,
            reason=reason,
            where=f"t.ordinal = {tables.plan}.ordinal AND {tables.plan}.op <> 'delete' AND {adopted}",
            joined=f"({holders}) t",
        )


def kept_by(tables: SyncTables) -> str:
    """The words before the key that has the record, as a literal of SQL."""
    return literal(f"the record with its {tables.spec.match_on or tables.spec.key_property} is kept by ")


def _withhold_by_our_key(tables: SyncTables) -> None:
    """A record that holds our key of somebody who is in the model is that one's."""
    holds = literal(f"the record with its {tables.spec.match_on} holds the key of ")
    decide_lines(
        tables,
        "rejected",
        note=f"{holds} || t.holder || ' of this model'",
        reason=HELD_BY_ANOTHER_KEY,
        where=f"t.ordinal = {tables.plan}.ordinal AND t.holder <> {tables.plan}.key AND {tables.plan}.op <> 'delete'",
        joined=f"""(
            SELECT f.ordinal, f.stands_key AS holder
            FROM {tables.scratch("found")} f
            JOIN {tables.source} m ON {tables.source_key("m")} = f.stands_key
            WHERE f.destination_id IS NOT NULL
        ) t""",
    )

"""Several of ours that mean one record there, since somebody merged them: one writes, the others are withheld by name.

Whose the record is: the key that is known to hold it already, else the one whose `match_on` is the record's main value,
else the lowest key. Decided anew by every plan. Who left the model comes last and never takes a record away: what it
meant is somebody else's now. Runs after the lines were read back (`standing`) and matched.
"""

from __future__ import annotations

from collections.abc import Sequence

from revetl.destinations.base import Destination, RecordMatch
from revetl.state.sync_tables import SyncTables, row_hash
from revetl.sync.readback import read_by_id
from revetl.sync.sync_run import SyncRun
from revetl.warehouse.sql import ident, literal

SAME_RECORD = "SAME_RECORD"
_UNDECIDED = "p.outcome IS NULL AND p.destination_id IS NOT NULL"


def prepare(tables: SyncTables) -> None:
    """Empty scratch tables. `former`: ids that lead to others now, as the destination tells."""
    tables.new_scratch("former", "(key VARCHAR, destination_id VARCHAR)")
    tables.new_scratch("holders", "(key VARCHAR, destination_id VARCHAR)")


async def note_former(run: SyncRun, stands: Sequence[RecordMatch]) -> None:
    """Of what was read: the ids of records that were merged into it."""
    pairs = [(former, match.destination_id) for match in stands for former in match.former_ids]
    if pairs:
        await _append(run, "former", pairs)


async def find_holders(run: SyncRun, destination: Destination) -> None:
    """Fills the scratch table `holders`: keys without a line of their own whose record was merged into one that a line
    means, known by its former id or by the value that stands there. Read back, so that one with the same value by
    chance is none."""
    candidates = await run.on_tables(_candidates)
    if not candidates:
        return
    names = [run.spec.match_on] if run.spec.match_on else []
    stands = await read_by_id(destination, run.spec.object, list({id_ for _, id_, _ in candidates}), names)
    found = [(key, led) for key, id_, led in candidates if id_ in stands and stands[id_].destination_id == led]
    if found:
        await _append(run, "holders", found)


def _candidates(tables: SyncTables) -> list[tuple[str, str, str]]:
    """(key, the id that it is known by, the id of the record that a line of another key means)."""
    by_value = ""
    if tables.spec.match_on is not None and not tables.by_id:
        main = f"lower(trim(CAST(n.{ident(tables.match_field.stored)} AS VARCHAR)))"
        by_value = f"""
            UNION
            SELECT n.key, n.destination_id, s.found_id
            FROM {tables.scratch("standing")} s
            JOIN {tables.plan} p ON p.ordinal = s.ordinal
            JOIN {tables.snapshot} n ON {main} = s.main_form AND n.key <> p.key
            WHERE {_UNDECIDED} AND s.moved AND s.own_form IS DISTINCT FROM s.main_form
            """
    rows = tables.warehouse.rows(
        f"""
        SELECT c.key, c.destination_id, c.found_id
        FROM (
            SELECT n.key, n.destination_id, f.destination_id AS found_id
            FROM {tables.scratch("former")} f
            JOIN {tables.snapshot} n ON n.destination_id = f.key
            {by_value}
        ) c
        WHERE c.destination_id IS NOT NULL AND c.destination_id <> c.found_id
            AND c.key NOT IN (SELECT key FROM {tables.plan} WHERE outcome IS NULL AND op <> 'create')
        ORDER BY c.key
        """
    )
    return [(str(key), str(id_), str(led)) for key, id_, led in rows]


def clears(tables: SyncTables, alias: str) -> str:
    """Whether a line is that of a record which left a mirror and loses its values there."""
    if tables.spec.mode != "mirror" or tables.spec.on_leave != "clear":
        return "FALSE"
    return f"{alias}.row_hash = {row_hash([f'CAST(NULL AS {f.type})' for f in tables.fields])}"


def leaves(tables: SyncTables, alias: str) -> str:
    """Whether a line is that of a record which left a mirror: it is to be removed there, or to lose its values."""
    return f"({alias}.op = 'delete' OR {clears(tables, alias)})"


def decide(tables: SyncTables) -> None:
    """Call inside a transaction, after `standing.read` and matching."""
    _list_claims(tables)
    claims = tables.scratch("claims")
    if tables.warehouse.rows(
        f"""
        SELECT 1
        FROM {claims}
        GROUP BY id
        HAVING count(DISTINCT key) > 1
        LIMIT 1
        """
    ):
        # Who is in the model is asked only where that decides: the model may be a view that takes its time.
        tables.warehouse.execute(
            f"""
            DELETE FROM {claims}
            WHERE ordinal IS NULL
                AND key NOT IN (SELECT {tables.source_key("m")} FROM {tables.source} m)
            """
        )
        _withhold(tables)


def _list_claims(tables: SyncTables) -> None:
    """Every key that means a record which this plan would change: by its line, or by what is known of it. One that
    adopts a record which stands there with its values already has nothing to send, and means it all the same."""
    plan, snapshot = tables.plan, tables.snapshot
    tables.new_scratch(
        "claims",
        f"""
        AS SELECT
            p.destination_id AS id,
            p.key,
            p.ordinal,
            {leaves(tables, "p")} AS leaves,
            coalesce(n.destination_id = p.destination_id, FALSE) AS holds,
            coalesce(s.own_form = s.main_form, p.adopted) AS answers
        FROM {plan} p
        LEFT JOIN {snapshot} n ON n.key = p.key
        LEFT JOIN {tables.scratch("standing")} s ON s.ordinal = p.ordinal
        WHERE {_UNDECIDED} OR (p.adopted AND p.outcome = 'ok')
        UNION ALL
        SELECT n.destination_id, n.key, CAST(NULL AS BIGINT), FALSE, TRUE, FALSE
        FROM {snapshot} n
        WHERE n.destination_id IN (SELECT p.destination_id FROM {plan} p WHERE {_UNDECIDED})
            AND n.key NOT IN (SELECT p.key FROM {plan} p WHERE p.outcome IS NULL)
        UNION ALL
        SELECT h.destination_id, h.key, CAST(NULL AS BIGINT), FALSE, FALSE, {_answers(tables, "h")}
        FROM {tables.scratch("holders")} h
        """,
    )


def _answers(tables: SyncTables, alias: str) -> str:
    """Whether what is known of a key is the main value of the record."""
    if tables.spec.match_on is None or tables.by_id:
        return "FALSE"
    value = f"lower(trim(CAST(k.{ident(tables.match_field.stored)} AS VARCHAR)))"
    return f"""
        {alias}.key IN (
            SELECT k.key
            FROM {tables.snapshot} k
            JOIN {tables.scratch("standing")} s ON s.main_form = {value}
            WHERE s.found_id = {alias}.destination_id
        )
        """


def _withhold(tables: SyncTables) -> None:
    ranked = f"""
        SELECT
            c.ordinal,
            c.key AS own,
            c.leaves,
            first_value(c.key) OVER (
                PARTITION BY c.id
                ORDER BY
                    CASE WHEN c.leaves THEN 1 ELSE 0 END,
                    CASE WHEN c.holds THEN 0 ELSE 1 END,
                    CASE WHEN c.answers THEN 0 ELSE 1 END,
                    c.key
            ) AS holder
        FROM {tables.scratch("claims")} c
        """
    merged = f"{literal('is one record there with that of ')} || t.holder || ' of this model: they were merged'"
    withheld = f"outcome = 'rejected', reason = '{SAME_RECORD}'"
    left, stays = "op = 'delete', outcome = 'ok', changed_fields = '[]'", ", and it stays'"
    if tables.spec.erases:  # who was to be erased for good is not passed over in silence
        left, stays = withheld, ", and it stands as ' || destination_id"
    for of_leavers, outcome, more in (
        ("t.leaves", left, stays),
        ("NOT t.leaves", withheld, ", and would overwrite each other'"),
    ):
        tables.warehouse.execute(
            f"""
            UPDATE {tables.plan}
            SET {outcome}, note = {merged} || '{more}
            FROM ({ranked}) t
            WHERE t.ordinal = {tables.plan}.ordinal AND t.holder <> t.own AND {of_leavers}
                AND {tables.plan}.outcome IS NULL
            """
        )


async def _append(run: SyncRun, purpose: str, pairs: Sequence[tuple[str, str]]) -> None:
    import pyarrow as pa

    keys, ids = zip(*pairs, strict=True)
    rows = pa.table({"key": pa.array(list(keys), pa.string()), "destination_id": pa.array(list(ids), pa.string())})
    await run.ctx.offload(run.ctx.warehouse.append, run.tables.scratch_relation(purpose), rows)

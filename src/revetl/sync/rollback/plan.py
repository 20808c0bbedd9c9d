"""The plan of a rollback, made from its verdicts: frozen into `plan__<sync>` as that of a sync is; and what of it has
to wait afterwards."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime

from revetl.model import RunRecord, Scalar
from revetl.state import snapshot
from revetl.state.sync_tables import SyncTables, row_hash
from revetl.sync import typed_text
from revetl.sync.plan.freezing import sending_order
from revetl.sync.retry import queue
from revetl.sync.rollback import verdicts
from revetl.sync.rollback.judge import RollbackChoices
from revetl.warehouse.sql import ident, literal

_SAMPLES = 5


@dataclass(slots=True)
class RollbackPlan:
    """What a rollback will do, in records. The lines stand in `rollback__<sync>`."""

    undone_run: str
    sync: str
    destination: str
    object: str
    restore: int = 0  # get earlier values back
    archive: int = 0  # were created by that run
    recreate: int = 0  # were archived by that run
    already: int = 0  # stand as before the run, or are gone as asked
    left: int = 0  # get nothing
    links: int = 0  # that the run made or removed: left, the next sync of a mended model puts them right
    fields: dict[str, dict[str, int]] = field(default_factory=dict)  # field → verdict → records
    reasons: list[tuple[str, bool, int]] = field(default_factory=list)  # why left, whether the whole record, how many
    samples: list[dict[str, Scalar]] = field(default_factory=list)
    requests: int = 0  # writes that it takes
    reads: int = 0  # requests that this plan took to see what stands there; rolling back takes them again
    consequences: list[str] = field(init=False, default_factory=list)  # what follows from what the destination can't do

    @property
    def changes(self) -> int:
        """Records that will be sent."""
        return self.restore + self.archive + self.recreate


def without_rules(tables: SyncTables) -> SyncTables:
    """The tables without rules for fields: a rollback puts back exactly what stood, nulls too."""
    return replace(tables, fields=tuple(replace(f, keep_null=False) for f in tables.fields))


def freeze(tables: SyncTables, plan_id: str, undone_run: str) -> None:
    """Makes `plan__<sync>` from the verdicts. `tables` are `without_rules`. Safe to repeat; nothing is sent.

    Beside the columns of every plan: `waits` and `present_hash`, for what is restored has to wait in the retry queue
    from the moment on that it is answered for.
    """
    deleted = "(p.op = 'delete')"
    columns = "".join(f", p.{ident(f.before)}, p.{ident(f.after)}" for f in tables.fields)
    tables.warehouse.execute(f"DROP TABLE IF EXISTS {tables.plan}")
    tables.warehouse.execute(
        f"""
        CREATE TABLE {tables.plan} AS
        SELECT
            CAST({literal(plan_id)} AS VARCHAR) AS plan_id,
            CAST(row_number() OVER (
                ORDER BY {sending_order("p.op")}, p.key
            ) - 1 AS BIGINT) AS ordinal,
            p.key,
            p.op,
            p.destination_id,
            p.known,
            FALSE AS in_doubt,
            FALSE AS adopted,
            p.row_hash,
            p.changed_fields,
            p.found,
            p.outcome,
            CASE WHEN p.outcome = 'skipped' THEN 'LEFT_ALONE' END AS reason,
            p.note,
            CAST(0 AS INTEGER) AS wave,
            CAST(NULL AS VARCHAR) AS follows,
            CAST(NULL AS VARCHAR) AS vacates,
            CAST(NULL AS VARCHAR) AS takes_over,
            p.sent,
            p.kept_values,
            ((p.verdict <> 'left' OR p.kept_values IS NOT NULL)
                AND {queue.would_be_planned(tables, "p.row_hash", deleted=deleted)}) AS waits,
            {queue.present_hash(tables)} AS present_hash
            {columns}
        FROM ({_lines(tables)}) p
        LEFT JOIN ({tables.source_hashes()}) h ON h.key = p.key
        """,
        [undone_run],
    )


def _lines(tables: SyncTables) -> str:
    """The lines with their values, the undone run's id to be bound.

    A field that a person has edited since is as if that run had not been: the snapshot gets the earlier value, and a
    row that is mended equals it, so that the person's stands like any edit. Until then it is held (`kept_values`).
    """
    deletes = "(r.verdict IN ('archive', 'gone'))"
    pairs, after, kept = [], [], []
    for i, f in enumerate(tables.fields):
        stands = f"n.{ident(f.stored)}"
        earlier = typed_text.cast(f"r.earlier_{i}", f.type)
        restored = f"CASE WHEN r.set_{i} = 1 THEN {earlier} ELSE {stands} END"
        value = f"CASE WHEN {deletes} THEN CAST(NULL AS {f.type}) ELSE {restored} END"
        after.append(value)
        wrote = typed_text.cast(f"r.written_{i}", f.type)
        kept.append(f"CASE WHEN r.edited_{i} = 1 THEN {snapshot.kept_value(f.name, wrote)} END")
        pairs.append(f", {stands} AS {ident(f.before)}, {value} AS {ident(f.after)}")
    # In doubt stays in doubt, unless it was the undone run that left it so: its fields have just been read.
    doubt = "(n.key IS NOT NULL AND n.row_hash IS NULL AND n.run_id IS DISTINCT FROM ?)"
    return f"""
        SELECT
            r.key,
            r.verdict,
            r.destination_id,
            n.key IS NOT NULL AS known,
            CASE WHEN {deletes} THEN 'delete' WHEN r.verdict = 'recreate' THEN 'create' ELSE 'update' END AS op,
            CASE WHEN NOT {deletes} AND NOT {doubt} THEN {row_hash(after)} END AS row_hash,
            coalesce(r.changed_fields, '[]') AS changed_fields,
            r.found,
            r.sent,
            nullif(concat_ws('', {", ".join(kept)}), '') AS kept_values,
            CASE r.verdict WHEN 'already' THEN 'ok' WHEN 'gone' THEN 'ok' WHEN 'left' THEN 'skipped' END AS outcome,
            CASE r.verdict WHEN 'already' THEN 'holds the earlier values already' ELSE r.reason END AS note
            {"".join(pairs)}
        FROM ({_per_record(tables)}) r
        LEFT JOIN {tables.snapshot} n ON n.key = r.key
        """


def _per_record(tables: SyncTables) -> str:
    """The verdicts with one row per record: whether a field gets its earlier value, there or in the snapshot alone
    (`edited`), and that value."""
    of_fields = []
    for i, f in enumerate(tables.fields):
        edited = f"field = {literal(f.name)} AND reason = {literal(verdicts.EDITED_THERE)}"
        own = f"({edited} OR field = {literal(f.name)} AND verdict IN ('restore', 'already'))"
        of_fields.append(
            f", max(CASE WHEN {own} THEN 1 END) AS set_{i}, max(CASE WHEN {own} THEN earlier END) AS earlier_{i}"
            f", max(CASE WHEN {edited} THEN 1 END) AS edited_{i}"
            f", max(CASE WHEN {edited} THEN written END) AS written_{i}"
        )
    names = ("verdict", "destination_id", "reason", "changed_fields", "found", "sent")
    of_record = "".join(f", max(CASE WHEN field IS NULL THEN {name} END) AS {name}" for name in names)
    return f"""
        SELECT key {of_record} {"".join(of_fields)}
        FROM {tables.rollback}
        GROUP BY key
        """


def queue_restored(tables: SyncTables, answered: str, now: datetime, run_id: str) -> None:
    """What is restored, or may be, must not be sent over again as long as its row stays as it is, nor what a person has
    edited since; a record that was left alone for another reason waits for nothing new. `answered` is a SELECT of plan
    rows with their `status`. Call inside a transaction."""
    edited = "(a.status = 'skipped' AND p.kept_values IS NOT NULL)"
    tables.warehouse.execute(
        f"""
        UPDATE {tables.snapshot}
        SET row_hash = p.row_hash, {", ".join(f"{ident(f.stored)} = p.{ident(f.after)}" for f in tables.fields)}
        FROM (
            SELECT p.*
            FROM {tables.plan} p
            JOIN ({answered}) a ON a.key = p.key
            WHERE {edited}
        ) p
        WHERE p.key = {tables.snapshot}.key
        """
    )
    restored = f"""
        SELECT p.key, p.waits, p.present_hash, CAST(NULL AS VARCHAR) AS kept_fields, p.kept_values
        FROM {tables.plan} p
        JOIN ({answered}) a ON a.key = p.key
        WHERE a.status IN ('ok', 'accepted', 'unknown') OR {edited}
        """
    queue.replace(tables, restored, queue.ROLLED_BACK, now, run_id)


def summarise(tables: SyncTables, undone: RunRecord, choices: RollbackChoices) -> RollbackPlan:
    records = verdicts.by_record(tables)
    return RollbackPlan(
        undone.run_id,
        tables.spec.name,
        tables.spec.destination,
        tables.spec.object,
        **{word: records.get(word, 0) for word in ("restore", "archive", "recreate", "left")},
        already=records.get("already", 0) + records.get("gone", 0),
        links=verdicts.count_links(tables, undone.run_id, choices.keys),
        fields=verdicts.by_field(tables),
        reasons=verdicts.reasons(tables),
        samples=verdicts.samples(tables, per_verdict=_SAMPLES),
    )

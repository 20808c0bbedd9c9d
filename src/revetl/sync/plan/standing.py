"""What stands there now, of every record that a plan would change by its id.

An id that was learned once is no promise: people merge records, archive them, and forms make them again. So each line
that would update or delete is read back before it is sent. Reads from the destination, writes to it nothing; runs on a
frozen plan before matching, and again when a saved plan is applied. Safe to repeat: it decides anew.

What is found, and what follows:
- nothing → an update is looked for by `match_on` like a record whose id was never known (`matching`); found, it takes
  that id. Not found, it is withheld (OBJECT_NOT_FOUND) with the ways out. A delete has nothing left to do.
- another id answers, the record was merged → the line takes that id. Whose it is where several of ours lead there:
  `same_record`.
- the record → what stands is kept with the line (`found`), so that a rollback restores what a person had there. A
  field that holds our value already leaves the line. So does `match_on`, and every other unique field, that the line
  did not change itself and to which the record answers: what a merge made of it is not ours to undo. Our key
  (`key_property`) is ours: an update gives it to a record that has lost it.

Lines that are sent whole (in doubt, a full refresh, back in the model) keep all other fields: an earlier write of ours
may land after this reading. So does a record whose last write the destination took and has not applied yet.

Where the snapshot is older than what stands (`Refresh.READ_BACK`), every record has a line, and it keeps what differs.
Of a field that is in the model as it was in the snapshot nothing says whose the other value there is: a person wrote
it, or a run of ours that was forgotten. It leaves the line and is counted (`theirs`); to `drift` it is a person's.

What can fail here, and what then happens:
- the destination is away → its error leaves as it is and the run ends; nothing was sent.
- the process dies → the lines are not decided, and the next run plans anew.
- a person merges or archives between this reading and our writing → an update of what is gone is refused by the
  destination; one of what was merged lands on the record that is left, and the next plan sees who shares it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from revetl.destinations.base import Destination, DestinationField
from revetl.destinations.capabilities import LooksUp, ReadsBack
from revetl.model import NOT_APPLIED
from revetl.state.outcomes import NOT_FOUND
from revetl.state.sync_tables import SyncTables
from revetl.sync.plan import removals, same_record, standing_comparison
from revetl.sync.plan.lines import EQUAL
from revetl.sync.plan.standing_comparison import StandingComparison
from revetl.sync.plan.summary import Refresh
from revetl.sync.readback import CHUNK_ROWS, read_back
from revetl.sync.sync_run import SyncRun
from revetl.warehouse.sql import ident, literal

if TYPE_CHECKING:
    import pyarrow as pa

GONE = "is not at the destination any more"
THEIRS = "left as it stands, for nothing says that it is ours: "
_UNDECIDED = "outcome IS NULL AND op <> 'create' AND destination_id IS NOT NULL"


@dataclass(frozen=True, slots=True)
class StandingRecords:
    """What reading came to: lines that were read, those whose record is gone, and those whose id leads to another."""

    read: int = 0
    gone: int = 0
    merged: int = 0
    theirs: Mapping[str, int] = field(default_factory=dict)  # field → lines that it left (`Refresh.READ_BACK`)
    left_as_theirs: int = 0  # lines


async def read(
    run: SyncRun,
    destination: Destination,
    described: Mapping[str, DestinationField],
    *,
    refresh: Refresh = Refresh.NONE,
    again: bool = False,
) -> StandingRecords:
    """Reads back what the undecided lines mean, and puts what stands into them. Nothing where the destination can't be
    read. `again`: of a saved plan; time has passed since it was decided, so lines that were matched are read too, and
    what is gone is not looked for: found under another id it would be another record than the one that was reviewed."""
    if not isinstance(destination, ReadsBack) or not (count := await run.on_tables(_count)):
        return StandingRecords()
    columns = ", ".join(f"{name} {type_}" for name, type_ in standing_comparison.COLUMNS)
    await run.on_tables(SyncTables.new_scratch, "standing", f"({columns})")
    await run.on_tables(same_record.prepare)
    sent_in_doubt = await run.on_tables(removals.sent_in_doubt)
    comparison = StandingComparison(run.tables, destination, described, refresh, again, sent_in_doubt)
    chunks = await run.on_tables(_stream)
    names = [f.name for f in run.tables.fields]
    async for rows, stands in read_back(chunks, destination, run.spec.object, names, offload=run.ctx.offload):
        found = [line for row in rows if (line := comparison.line(row, stands.get(row["destination_id"])))]
        if found:
            scratch = run.tables.scratch_relation("standing")
            await run.ctx.offload(run.ctx.warehouse.append, scratch, standing_comparison.as_arrow(found))
        await same_record.note_former(run, [m for r in rows if (m := stands.get(r["destination_id"])) is not None])
    look_again = not again and isinstance(destination, LooksUp) and run.spec.match_on is not None
    if refresh is not Refresh.READ_BACK:
        await run.on_tables(_keep_what_is_not_applied_yet)
    gone, merged = await run.on_tables(_write, look_again=look_again)
    await same_record.find_holders(run, destination)
    return StandingRecords(count, gone, merged, comparison.theirs, comparison.left_as_theirs)


def decide(tables: SyncTables) -> None:
    """After `read` and matching: what was not found anywhere is withheld, of several lines for one record one is sent,
    and a line with nothing left to write is done."""
    # Where DDL commits by itself a crash leaves lines undecided, and a plan that was not decided is applied by nobody.
    with tables.warehouse.transaction(ddl=True):
        _withhold_gone(tables)
        same_record.decide(tables)
        tables.warehouse.execute(
            f"""
            UPDATE {tables.plan}
            SET outcome = 'ok', note = coalesce(note, {literal(EQUAL)})
            WHERE outcome IS NULL AND op = 'update' AND destination_id IS NOT NULL AND changed_fields = '[]'
                AND NOT {same_record.clears(tables, tables.plan)}
            """
        )


def count_found_again(tables: SyncTables) -> int:
    """Lines whose record was gone and that was found under another id. After `decide`."""
    return tables.warehouse.scalar(
        f"""
        SELECT count(*)
        FROM {tables.plan} p
        JOIN {tables.scratch("standing")} s ON s.ordinal = p.ordinal
        WHERE s.found_id IS NULL AND p.op = 'update' AND p.destination_id IS NOT NULL
            AND p.reason IS DISTINCT FROM '{NOT_FOUND}' AND p.note IS DISTINCT FROM {literal(GONE)}
        """,
        int,
    )


def _count(tables: SyncTables) -> int:
    return tables.warehouse.scalar(f"SELECT count(*) FROM {tables.plan} WHERE {_UNDECIDED}", int)


def _stream(tables: SyncTables) -> Iterator[pa.RecordBatch]:
    before = "".join(f", {ident(f.before)} AS before__{i}" for i, f in enumerate(tables.fields))
    after = "".join(f", {ident(f.after)} AS after__{i}" for i, f in enumerate(tables.fields))
    returned = "FALSE"
    if tables.spec.forgets:
        returned = f"key IN (SELECT n.key FROM {tables.snapshot} n WHERE n.left_model)"
    return tables.warehouse.stream(
        f"""
        SELECT
            ordinal,
            key,
            op,
            destination_id,
            known,
            in_doubt,
            {returned} AS returned,
            {same_record.leaves(tables, "p")} AS leaves,
            changed_fields
            {before}
            {after}
        FROM {tables.plan} p
        WHERE {_UNDECIDED}
        ORDER BY ordinal
        """,
        batch_rows=CHUNK_ROWS,
    )


def _write(tables: SyncTables, *, look_again: bool) -> tuple[int, int]:
    """Returns how many lines' records are gone, and how many were merged."""
    plan, stands = tables.plan, tables.scratch("standing")
    execute = tables.warehouse.execute
    with tables.warehouse.transaction():
        execute(
            f"""
            UPDATE {plan}
            SET destination_id = s.found_id, changed_fields = s.changed_fields, found = coalesce(s.found, {plan}.found),
                note = CASE WHEN s.theirs <> '' THEN {literal(THEIRS)} || s.theirs END
            FROM {stands} s
            WHERE s.ordinal = {plan}.ordinal AND s.found_id IS NOT NULL
            """
        )
        gone, merged = tables.warehouse.numbers(
            f"SELECT count(*) FILTER (WHERE found_id IS NULL), count(*) FILTER (WHERE moved) FROM {stands}"
        )
        if gone:
            of_gone = f"ordinal IN (SELECT ordinal FROM {stands} WHERE found_id IS NULL) AND outcome IS NULL"
            left = f"{plan}.op = 'delete' OR {same_record.clears(tables, plan)}"
            execute(f"UPDATE {plan} SET outcome = 'ok', note = {literal(GONE)} WHERE {of_gone} AND ({left})")
            _make_anew_what_we_deleted(tables, of_gone)
            if look_again:
                execute(f"UPDATE {plan} SET destination_id = NULL WHERE {of_gone}")
            else:
                execute(f"UPDATE {plan} SET {_withheld(tables)} WHERE {of_gone}")
    return gone, merged


def _make_anew_what_we_deleted(tables: SyncTables, of_gone: str) -> None:
    """The id is kept of a record that may have another match value by now and whose delete broke off (`doubts`). Gone,
    it is we who deleted it: its row, back in the model, is a new record."""
    tables.warehouse.execute(
        f"""
        UPDATE {tables.plan}
        SET op = 'create', destination_id = NULL
        WHERE {of_gone} AND op = 'update' AND in_doubt AND key IN (
            SELECT o.key
            FROM {tables.shared("outcomes")} o
            WHERE o.sync = {literal(tables.spec.name)}
            GROUP BY o.key
            HAVING max(CASE WHEN o.op = 'delete' AND o.status = 'unknown' THEN o."at" END)
                > coalesce(max(CASE WHEN o.status = 'ok' THEN o."at" END), TIMESTAMP '1970-01-01 00:00:00')
        )
        """
    )


def _keep_what_is_not_applied_yet(tables: SyncTables) -> None:
    """What a record was last sent may be on its way still: then what stands says nothing, and the line stays whole."""
    less = f"SELECT ordinal FROM {tables.scratch('standing')} WHERE less"
    if not tables.warehouse.rows(f"{less} LIMIT 1"):
        return
    tables.warehouse.execute(
        f"""
        UPDATE {tables.scratch("standing")}
        SET changed_fields = w.changed_fields, found = NULL
        FROM (
            SELECT p.ordinal, p.changed_fields
            FROM {tables.plan} p
            JOIN {tables.snapshot} n ON n.key = p.key
            JOIN {tables.shared("outcomes")} o ON o.run_id = n.run_id AND o.key = p.key
            WHERE p.ordinal IN ({less})
                AND o.sync = {literal(tables.spec.name)} AND o.status = 'accepted'
                AND o.error_code IS DISTINCT FROM {literal(NOT_APPLIED)}
        ) w
        WHERE w.ordinal = {tables.scratch("standing")}.ordinal
        """
    )


def _withheld(tables: SyncTables) -> str:
    sync, match_on = tables.spec.name, tables.spec.match_on
    looked_for = f", and nothing there has its {match_on}" if match_on else ""
    note = (
        f"was archived or deleted at the destination{looked_for}: `revetl drift {sync} --reassert-all --sync`"
        f" makes it again, `revetl drift {sync} --accept-all` leaves it so"
    )
    return f"outcome = 'rejected', reason = '{NOT_FOUND}', note = {literal(note)}"


def _withhold_gone(tables: SyncTables) -> None:
    """Looked for and found nowhere. The id that is known stays with the line, so that the outcome names it."""
    plan = tables.plan
    tables.warehouse.execute(
        f"""
        UPDATE {plan}
        SET {_withheld(tables)}, destination_id = n.destination_id
        FROM {tables.snapshot} n
        WHERE n.key = {plan}.key AND {plan}.op = 'update' AND {plan}.destination_id IS NULL
            AND ({plan}.outcome IS NULL OR {plan}.outcome <> 'ok')
            AND {plan}.ordinal IN (
                SELECT ordinal
                FROM {tables.scratch("standing")}
                WHERE found_id IS NULL
            )
        """
    )

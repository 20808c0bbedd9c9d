"""A warehouse whose state is older than the destination: restored from a backup, its schema or snapshot dropped.

It is noticed by two things. The last run of each sync that may have sent anything is written down in a file beside the
project, before it sends: a run that the warehouse does not know was forgotten by it. And a snapshot that is empty,
though by the outcomes records stand at the destination, was lost. A file that is not there says nothing; one that is
there can only name a run that took place (docs/adr/0019).

Then everything is read back: every record is looked up or read, whatever the old snapshot says, and what differs from
the model is sent, but for what the model has as the old snapshot had it (`plan.standing`). Where a destination can't be
read, every record is written whole. Links that the old state knows are taken for standing, as ever.

What is still to be created may stand there under values that nobody here knows any more; and where it carries our key,
and would have been found, a person may have archived it. So a person has to say that it may be made
(`--allow restored`), and is told which of the two it can be.

It carries our key where the destination sees to that (`KeepsKeys`), and where the sync has a `key_property`, if the
warehouse knows the run since which it has: what was made before that run is in the snapshot, what was made since holds
its key. The file says which run that is, beside the last one.

What can fail here: the file can't be read or written → OSError, nothing was sent. The process dies → the file names the
earlier run, and the next run finds the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from revetl.context import RunContext
from revetl.destinations.base import Destination
from revetl.destinations.capabilities import KeepsKeys, ReadsBack
from revetl.model import SyncSpec
from revetl.privacy import erased_file
from revetl.privacy.suppressions import is_alias
from revetl.state import kept_files
from revetl.state.schema import relation, table_suffix
from revetl.state.sync_tables import SyncTables
from revetl.sync.plan.guardrails import GuardrailViolation
from revetl.sync.plan.summary import PlanSummary, Refresh
from revetl.sync.sync_run import SyncRun
from revetl.warehouse.sql import table

_FOLDER = "last_runs"
GUIDE = "docs/guides/backup-and-restore.md"


@dataclass(frozen=True, slots=True)
class OlderState:
    """`forgotten`: a run that was made from here and that the warehouse does not know. None: its snapshot was lost.
    `keyed`: every record that the warehouse does not know holds its key in the sync's `key_property`."""

    forgotten: str | None
    keyed: bool = False

    def __str__(self) -> str:
        if self.forgotten is None:
            return "the snapshot of this sync is empty, though records of it stand at the destination"
        return f"the warehouse does not know run {self.forgotten}, which was made from here: it is older than that"


async def look(run: SyncRun) -> OlderState | None:
    """Under the lease, before anything is planned. What was erased since comes back onto the list first."""
    ctx = run.ctx
    back = await ctx.offload(erased_file.reconcile, ctx.warehouse, ctx.state_dir, ctx.clock.now())
    if back:
        ctx.note(
            f"The warehouse had lost {back:,} entries of the list of erased people: they are on it again, and nobody of"
            f" them is sent. What a backup brought back of them is erased by the same requests once more ({GUIDE})."
        )
    kept = _read(ctx, run.spec)
    if kept is not None and not await run.on_tables(_knows, kept.last):
        return OlderState(kept.last, keyed=await run.on_tables(_is_keyed, kept.keyed_since))
    return OlderState(None) if not run.spec.forgets and await run.on_tables(_lost) else None


def refresh(spec: SyncSpec, destination: Destination | None, older: OlderState | None, *, asked: bool) -> Refresh:
    """What the plan looks at. `asked`: for a full refresh. Events are only ever added, so none is sent twice. What
    can't be read is sent whole."""
    if asked:
        return Refresh.WHOLE
    if older is None or spec.mode == "insert":
        return Refresh.NONE
    return Refresh.READ_BACK if isinstance(destination, ReadsBack) else Refresh.WHOLE


def judge(spec: SyncSpec, destination: Destination | None, plan: PlanSummary, older: OlderState | None) -> None:
    """Says it in the plan, and stops creates of which nobody can tell whether they stand there already."""
    if older is None:
        return
    plan.notes.append(f"{older}{_what_follows(spec, plan)}")
    keyed = older.keyed or _keeps_key(destination, spec)
    if plan.create and not (spec.mode == "insert" and _keeps_key(destination, spec)):  # an event is archived by nobody
        may = "may have been archived there by a person" if keyed else "may stand there under an earlier value"
        message = (
            f"{older}; {plan.create:,} record(s) were not found there and would be created, and {may}."
            f" {GUIDE} says how to tell"
        )
        plan.violations.append(GuardrailViolation("restored", message))


def _what_follows(spec: SyncSpec, plan: PlanSummary) -> str:
    if plan.full_refresh:
        return ": every record is sent whole"
    if not plan.read_back:
        return ""
    said = ": every record is read back, and what differs is sent"
    if plan.theirs:
        fields = ", ".join(f"{name} {n:,}" for name, n in plan.theirs.items())
        said += (
            f". {plan.left_as_theirs:,} record(s) keep what stands there in fields that the model has as the older"
            f" state had them ({fields}): a person wrote it, or a run that is forgotten. After this sync `revetl drift"
            f" {spec.name}` names them, and its `--reassert` sends ours"
        )
    return said


def _keeps_key(destination: object, spec: SyncSpec) -> bool:
    if spec.key_property is not None:  # known of the sync itself
        return False
    return isinstance(destination, KeepsKeys) and destination.keeps_key(spec.object, spec.match_on)


async def remember(run: SyncRun) -> None:
    """Before anything is sent; the run's row is in the warehouse by now."""
    ctx, field = run.ctx, run.spec.key_property
    path = _path(ctx, run.spec.name)
    if path is None or ctx.state_dir is None:
        return
    lines = [ctx.run_id]
    if field is not None:
        kept = _read(ctx, run.spec)
        since = kept.keyed_since if kept is not None else None
        if since is None or not await run.on_tables(_knows, since):
            since = ctx.run_id  # what was made before it is in the snapshot by now
        lines.append(f"{field} {since}")
    await ctx.offload(kept_files.write, path, ctx.state_dir, "\n".join(lines) + "\n")


async def forget(run: SyncRun) -> None:
    """The sync is disconnected: what it last did says nothing of what comes. Safe to repeat."""
    path = _path(run.ctx, run.spec.name)
    if path is not None:
        await run.ctx.offload(lambda: path.unlink(missing_ok=True))


@dataclass(frozen=True, slots=True)
class _LastRun:
    """What the file of a sync says: its last run, and since which one new records are made with their key in the
    present `key_property`."""

    last: str
    keyed_since: str | None


def _read(ctx: RunContext, spec: SyncSpec) -> _LastRun | None:
    path = _path(ctx, spec.name)
    text = None if path is None else kept_files.read(path)
    if text is None:
        return None
    last, *rest = text.splitlines() or [""]
    field, _, since = (rest[0] if rest else "").partition(" ")
    return _LastRun(last.strip(), since.strip() if since and field == spec.key_property else None)


def _path(ctx: RunContext, sync: str) -> Path | None:
    return None if ctx.state_dir is None else ctx.state_dir / _FOLDER / table_suffix(sync)


def _knows(tables: SyncTables, run_id: str) -> bool:
    runs = table(relation(tables.warehouse, "runs"))
    return bool(tables.warehouse.rows(f"SELECT 1 FROM {runs} WHERE run_id = ? LIMIT 1", [run_id]))


def _is_keyed(tables: SyncTables, since: str | None) -> bool:
    """Whether all that the warehouse has forgotten was made with its key: the snapshot has what was made before."""
    return since is not None and _knows(tables, since) and not _lost(tables)


def _lost(tables: SyncTables) -> bool:
    """The last that was done to some record was not to delete it, and the snapshot has none. What was done before the
    last `drift --reassert-all` or `disconnect` says nothing: the one forgets records which are gone, so that they are
    made again, the other all of them."""
    warehouse = tables.warehouse
    if warehouse.rows(f"SELECT 1 FROM {tables.snapshot} LIMIT 1"):
        return False
    outcomes, runs = table(relation(warehouse, "outcomes")), table(relation(warehouse, "runs"))
    return bool(
        warehouse.rows(
            f"""
            SELECT 1
            FROM (
                SELECT
                    o.op,
                    o.key,
                    o."at",
                    row_number() OVER (PARTITION BY o.key ORDER BY o."at" DESC, o.run_id DESC) AS place
                FROM {outcomes} o
                WHERE o.sync = ? AND o.status IN ('ok', 'accepted') AND o.op NOT IN ('link', 'unlink')
            ) AS r
            WHERE r.place = 1 AND r.op <> 'delete' AND NOT {is_alias("r.key")}
                AND r."at" >= (
                    SELECT coalesce(max(f.finished_at), TIMESTAMP '1970-01-01 00:00:00')
                    FROM {runs} AS f
                    WHERE f.subject = ?
                        AND (f.counts LIKE '%"reasserted": %' OR (f.command = 'disconnect' AND f.status = 'done'))
                )
            LIMIT 1
            """,
            [tables.spec.name, tables.spec.name],
        )
    )

"""Which of the records in the retry queue the next plan tries again.

- Its row changed, or the project sends the sync in another way: planned like any other.
- The cause lies in the row (`Outcome.in_row`), or a person decided (rolled back, accepted, a create that may have
  happened): it waits on.
- The cause lies outside of the row: while at most `FEW` wait so, each run tries them all; of more, each is tried after
  a pause that doubles from an hour to a day, at most `MOST` in a run. So a cause that is gone is noticed by itself, and
  thousands that go on being refused cost little.
- It waits for a value that another record of ours has: tried by every run, for this plan may free it. So is what a
  saved plan was to create and stood there by then: a plan that looks for it adopts it.
- Nothing is left to send (the row stands there as it is by now, or has left the model): it leaves the queue, also where
  a person decided.
- Nothing is left to send, and this very row waits all the same: it was refused when it was sent whole (a full refresh),
  or its record was deleted there and that was accepted. It waits for its row to change.

A record that is withheld again for the reason it waited for leaves the plan before anything is sent: it waits, and the
outcomes don't say the same every hour.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from revetl.clock import naive
from revetl.state import snapshot
from revetl.state.outcomes import EXISTS_BY_NOW, VALUE_HELD
from revetl.state.sync_tables import SyncTables
from revetl.sync.retry.queue import HELD, REASON, TRIED_AGAIN, QueueFilter
from revetl.warehouse.sql import literal

FEW = 100
MOST = 1_000

# Words of ours, put down plainly: to quote them here would load a parser with every command.
_SENT_BEFORE = "status IN ('" + "', '".join(TRIED_AGAIN) + "')"


@dataclass(frozen=True, slots=True)
class SetAside:
    """`waiting`: (status, reason) → records, as every other count of the queue has them. `unchanged`: of them, those in
    the model that equal what is known to stand there."""

    waiting: dict[tuple[str, str], int]
    unchanged: int


@dataclass(frozen=True, slots=True)
class QueueReading:
    """How the queue is read. `everything`: what was refused is tried, whatever the cause. `still_held`: a SELECT of
    keys with a field that a rollback holds: they stay, though nothing else is to be sent. `released`: read as if it
    had left the queue, which stays as it is."""

    now: datetime
    everything: bool = False
    still_held: str | None = None
    released: tuple[QueueFilter, ...] = ()


def set_aside(tables: SyncTables, candidates: str, reading: QueueReading) -> SetAside:
    """Makes the scratch tables `queued` (key, tries: how often this row was refused) and `waiting` (key: not to be
    planned now), and says why those wait. `candidates` is a SELECT of (key, row_hash) of the records that have
    something to be sent. Call inside the plan's transaction."""
    warehouse, still_held = tables.warehouse, reading.still_held
    if not warehouse.rows(f"SELECT 1 FROM {tables.rejected} LIMIT 1"):
        tables.new_scratch("queued", "(key VARCHAR, tries BIGINT)")
        tables.new_scratch("waiting", "(key VARCHAR)")
        return SetAside({}, 0)
    _read_as_released(tables, reading.released)
    tables.new_scratch(
        "retry_queue",
        f"""
        AS SELECT
            r.key,
            r.status,
            r.error_code,
            r.in_row,
            coalesce(r.tries, 1) AS tries,
            r.next_try,
            c.key IS NULL AS nothing_to_send,
            c.key IS NOT NULL
                AND r.row_hash IS NOT DISTINCT FROM c.row_hash
                AND coalesce(r.sent_as = {literal(snapshot.sent_as(tables.spec))}, TRUE) AS as_before
        FROM {tables.rejected} r
        LEFT JOIN ({candidates}) c ON c.key = r.key
        WHERE r.key NOT IN (SELECT key FROM {tables.scratch("as_released")})
        """,
    )
    found = tables.scratch("retry_queue")
    warehouse.execute(
        f"""
        DELETE FROM {tables.rejected}
        WHERE key IN (SELECT key FROM {found} WHERE nothing_to_send)
            AND key NOT IN ({_waits_as_it_is_known(tables)})
            AND {_model_is_whole(tables)}
            {"" if still_held is None else f"AND key NOT IN ({still_held})"}
        """
    )
    tables.new_scratch("queued", f"AS SELECT key, tries FROM {found} WHERE as_before AND {_SENT_BEFORE}")
    due = f"SELECT key FROM {found} WHERE as_before AND {_SENT_BEFORE}"
    if not reading.everything:
        due = _due(tables, naive(reading.now))
    tables.new_scratch(
        "waiting",
        f"AS SELECT key, status, {REASON} AS reason FROM {found} WHERE as_before AND key NOT IN ({due})",
    )
    idle = f"""
        SELECT key, status, {REASON} AS reason
        FROM {found}
        WHERE nothing_to_send AND key IN (SELECT key FROM {tables.rejected})
        """
    waiting = _counted(
        tables,
        f"SELECT status, reason FROM {tables.scratch('waiting')} UNION ALL SELECT status, reason FROM ({idle}) i",
    )
    unchanged = warehouse.scalar(
        f"SELECT count(*) FROM ({idle}) i WHERE key IN (SELECT {tables.source_key('m')} FROM {tables.source} m)", int
    )
    tables.drop_scratch("retry_queue")
    tables.drop_scratch("as_released")
    return SetAside(waiting, unchanged)


def _read_as_released(tables: SyncTables, released: tuple[QueueFilter, ...]) -> None:
    tables.new_scratch("as_released", "(key VARCHAR)")
    for which in released:
        condition, params = which.condition()
        tables.warehouse.execute(
            f"""
            INSERT INTO {tables.scratch("as_released")}
            SELECT key
            FROM {tables.rejected}
            WHERE {condition}
            """,
            params,
        )


def _waits_as_it_is_known(tables: SyncTables) -> str:
    """A SELECT of the keys in the model whose very row waits though the snapshot has it: sent whole by a full refresh,
    it turned out that the record is gone, or is another key's too; or that it is gone was accepted. That its row stays
    mends none of it."""
    return f"""
        SELECT n.key
        FROM {tables.snapshot} n
        JOIN {tables.rejected} r ON r.key = n.key AND r.row_hash = n.row_hash
        WHERE n.key IN (SELECT {tables.source_key("m")} FROM {tables.source} m)
            AND n.key NOT IN (
                SELECT d.known_key
                FROM {tables.scratch("delta")} d
                WHERE d.known_key IS NOT NULL AND d.source_hash IS DISTINCT FROM d.known_hash
            )
        """


def _model_is_whole(tables: SyncTables) -> str:
    """A condition on rows of the queue. What a person decided is not forgotten over a model that a failed build has
    emptied; one that holds only what differs is empty on a good day."""
    if tables.spec.forgets:
        return "TRUE"
    held = ", ".join(literal(status) for status in HELD)
    # Asked on its own: Snowflake takes no subquery beside an OR.
    if tables.warehouse.rows(f"SELECT 1 FROM {tables.model} LIMIT 1"):
        return "TRUE"
    return f"status NOT IN ({held})"


def _due(tables: SyncTables, now: datetime) -> str:
    """A SELECT of the keys whose cause lies outside of their rows and that are tried now, the longest due first."""
    found = tables.scratch("retry_queue")
    by_every_run = f"{literal(VALUE_HELD)}, {literal(EXISTS_BY_NOW)}"
    ours = f"as_before AND {_SENT_BEFORE} AND error_code IN ({by_every_run})"
    outside = f"as_before AND {_SENT_BEFORE} AND in_row IS NOT TRUE AND ({ours}) IS NOT TRUE"
    if tables.warehouse.scalar(f"SELECT count(*) FROM {found} WHERE {outside}", int) <= FEW:
        return f"SELECT key FROM {found} WHERE ({outside}) OR ({ours})"
    tables.new_scratch("due", "(key VARCHAR)")
    tables.warehouse.execute(
        f"""
        INSERT INTO {tables.scratch("due")}
        SELECT key
        FROM {found}
        WHERE {outside} AND coalesce(next_try <= ?, TRUE)
        ORDER BY next_try NULLS FIRST, key
        LIMIT {MOST}
        """,
        [now],
    )
    return f"SELECT key FROM {tables.scratch('due')} UNION ALL SELECT key FROM {found} WHERE {ours}"


def drop(tables: SyncTables) -> None:
    """The scratch tables, once the plan is frozen."""
    for purpose in ("queued", "waiting", "due"):
        tables.drop_scratch(purpose)


def leave_out_decided_again(tables: SyncTables, now: datetime) -> dict[tuple[str, str], int]:
    """Takes out of the plan the lines that are withheld again for the reason that they waited for; they go on waiting,
    with the names that the reason has now. Says why. Safe to repeat."""
    same = f"""
        SELECT p.key, p.note, p.tries, p.outcome AS status, coalesce(p.reason, upper(p.outcome)) AS reason
        FROM {tables.plan} p
        JOIN {tables.rejected} r ON r.key = p.key
        WHERE p.tries > 0
            AND p.outcome IN ('rejected', 'skipped')
            AND r.status = p.outcome
            AND r.row_hash IS NOT DISTINCT FROM p.row_hash
            AND r.error_code = coalesce(p.reason, upper(p.outcome))
        """
    reasons = _counted(tables, same)
    if not reasons:
        return {}
    next_try, times = snapshot.next_try_after("s.tries", naive(now))
    with tables.warehouse.transaction():
        tables.warehouse.execute(
            f"""
            UPDATE {tables.rejected}
            SET message = s.note, tries = s.tries + 1, next_try = {next_try}
            FROM ({same}) s
            WHERE s.key = {tables.rejected}.key
            """,
            times,
        )
        tables.warehouse.execute(f"DELETE FROM {tables.plan} WHERE key IN (SELECT s.key FROM ({same}) s)")
    return reasons


def _counted(tables: SyncTables, rows: str) -> dict[tuple[str, str], int]:
    """`rows` is a SELECT with (status, reason)."""
    counted = tables.warehouse.rows(
        f"""
        SELECT status, reason, count(*)
        FROM ({rows}) w
        GROUP BY 1, 2
        ORDER BY 1, 2
        """
    )
    return {(str(status), str(reason)): int(str(n)) for status, reason, n in counted}

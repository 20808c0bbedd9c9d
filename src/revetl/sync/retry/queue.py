"""The retry queue: rows of `rejected__<sync>`, one per record that planning leaves out until its row changes, or until
it is tried again by itself (`due`).

rejected, skipped, unknown   the destination refused it, or it could not be sent
rolled_back                  a rollback restored what stood before; the model still says otherwise
accepted                     a value of the destination's was accepted; the model still says otherwise

Why it was refused says whoever refused it: `in_row`, because of what stands in its row. That is mended when the row
changes. Any other cause lies outside and may be gone at any moment, and nobody here is told: an option is added at the
destination, another record gives an address free, a scope is granted. So what is not said to lie in the row is tried
again.

A record waits whole, for planning knows no half of one. `kept_fields` remembers for which fields a value was accepted.

A field that a rollback left, since a person had edited it, is held longer than the record: `kept_values` says for which
value of the row. While the row has it the field is in no line, and the record stays in the queue.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from revetl.clock import naive
from revetl.model import Scalar
from revetl.state.sync_tables import HASH_TYPE, SyncTables, row_hash
from revetl.warehouse.sql import literal

REFUSED = ("rejected", "skipped", "unknown")
ROLLED_BACK = "rolled_back"
ACCEPTED = "accepted"
HELD = (ROLLED_BACK, ACCEPTED)  # what stands there was chosen by a person
WHY_HELD = {ROLLED_BACK: "was rolled back", ACCEPTED: "what stands there was accepted"}
TRIED_AGAIN = ("rejected", "skipped")  # by themselves, where the cause lies outside of the row
REASON = "coalesce(error_code, upper(status))"


def present_hash(tables: SyncTables) -> str:
    """The hash that the record's line would have in the next plan: an expression over `h.source_hash`, `h.key` of a
    left join with `tables.source_hashes()`. In mirror mode a record that has left the model has a line too."""
    gone = f"CAST(NULL AS {HASH_TYPE})"
    if tables.spec.mode == "mirror" and tables.spec.on_leave == "clear":
        gone = row_hash([f"CAST(NULL AS {f.type})" for f in tables.fields])
    return f"CASE WHEN h.key IS NOT NULL THEN h.source_hash ELSE {gone} END"


def would_be_planned(tables: SyncTables, hash_: str, *, deleted: str = "FALSE") -> str:
    """Whether the next plan would have a line for a record whose snapshot gets this row hash (an expression), or loses
    its row (`deleted`). A record that would have no line need not wait."""
    leaves = "TRUE" if tables.spec.mode == "mirror" and tables.spec.on_leave != "ignore" else "FALSE"
    return f"""CASE
            WHEN h.key IS NOT NULL THEN {deleted} OR h.source_hash IS DISTINCT FROM {hash_}
            ELSE {leaves} AND NOT {deleted} AND {present_hash(tables)} IS DISTINCT FROM {hash_}
        END"""


def replace(tables: SyncTables, queued: str, status: str, now: datetime, run_id: str) -> None:
    """Replaces what waits for these keys, but for fields that are held already. `queued` is a SELECT of (key, waits,
    present_hash, kept_fields, kept_values): rows that do not wait leave the queue. Call inside a transaction; safe to
    repeat."""
    rejected = tables.rejected
    tables.warehouse.execute(
        f"""
        UPDATE {rejected}
        SET row_hash = p.present_hash,
            status = ?,
            run_id = ?,
            "at" = ?,
            error_code = NULL,
            message = NULL,
            tries = NULL,
            next_try = NULL,
            in_row = NULL,
            sent_as = NULL,
            kept_fields = p.kept_fields,
            kept_values = CASE
                WHEN {rejected}.kept_values IS NULL THEN p.kept_values
                WHEN p.kept_values IS NULL OR contains({rejected}.kept_values, p.kept_values)
                    THEN {rejected}.kept_values
                ELSE {rejected}.kept_values || p.kept_values
            END
        FROM ({queued}) p
        WHERE p.key = {rejected}.key AND p.waits
        """,
        [status, run_id, now],
    )
    tables.warehouse.execute(
        f"""
        DELETE FROM {rejected}
        WHERE key IN (SELECT key FROM ({queued}) p WHERE NOT p.waits)
        """
    )
    tables.warehouse.execute(
        f"""
        INSERT INTO {rejected} (key, row_hash, status, run_id, "at", kept_fields, kept_values)
        SELECT p.key, p.present_hash, ?, ?, ?, p.kept_fields, p.kept_values
        FROM ({queued}) p
        WHERE p.waits AND p.key NOT IN (SELECT key FROM {rejected})
        """,
        [status, run_id, now],
    )


def holds_fields(tables: SyncTables) -> bool:
    """Whether a field of any record is held by `kept_values`."""
    return bool(tables.warehouse.rows(f"SELECT 1 FROM {tables.rejected} WHERE kept_values IS NOT NULL LIMIT 1"))


@dataclass(frozen=True, slots=True)
class QueueFilter:
    """Which of the waiting records are meant: all of these hold, an empty one asks for nothing. Where neither a key nor
    a run nor a status is named, only what was refused is meant: what a person restored or accepted has to be named."""

    keys: tuple[str, ...] = ()
    run_id: str | None = None
    codes: tuple[str, ...] = ()
    statuses: tuple[str, ...] = ()
    whole: bool = False  # only records of which no field is held, since a person edited it

    def condition(self) -> tuple[str, list[Scalar]]:
        statuses = self.statuses or (() if self.keys or self.run_id else REFUSED)
        conditions, params = ["TRUE"], list[Scalar]()
        for column, values in (("key", self.keys), ("error_code", self.codes), ("status", statuses)):
            if values:
                conditions.append(f"{column} IN ({', '.join('?' for _ in values)})")
                params += values
        if self.run_id:
            conditions.append("run_id = ?")
            params.append(self.run_id)
        if self.whole:
            conditions.append("kept_values IS NULL")
        return " AND ".join(conditions), params


@dataclass(frozen=True, slots=True)
class QueuedRecords:
    """Records that wait for one reason. `message`: one of their `messages` different ones, for example, and
    `other_message` the second where there are two. `keys`: a few of the records, the smallest. `by_itself`: they are
    tried again though their rows stay as they are."""

    status: str
    code: str | None
    message: str | None
    records: int
    keys: tuple[str, ...]
    messages: int
    by_itself: bool = False
    other_message: str | None = None


def waiting(tables: SyncTables, which: QueueFilter, *, most_keys: int = 3) -> list[QueuedRecords]:
    """What waits, by reason, the most frequent first."""
    condition, params = which.condition()
    found = tables.warehouse.rows(
        f"""
        SELECT
            status,
            error_code,
            min(message),
            count(*),
            count(DISTINCT coalesce(message, '')),
            count(*) FILTER (WHERE in_row) = count(*),
            max(message)
        FROM {tables.rejected}
        WHERE {condition}
        GROUP BY status, error_code
        ORDER BY 4 DESC, 1, 2
        """,
        params,
    )
    out = []
    for status, code, message, n, messages, in_row, last in found:
        keys = tables.warehouse.rows(
            f"""
            SELECT key
            FROM {tables.rejected}
            WHERE {condition} AND status = ? AND error_code IS NOT DISTINCT FROM ?
            ORDER BY key
            LIMIT {int(most_keys)}
            """,
            [*params, status, code],
        )
        reason = (None if code is None else str(code), None if message is None else str(message))
        named = tuple(str(k) for (k,) in keys)
        again = by_itself(status, in_row)
        other = str(last) if messages == 2 and last != message else None
        out.append(QueuedRecords(str(status), *reason, int(str(n)), named, int(str(messages)), again, other))
    return out


def by_itself(status: Scalar, in_row: Scalar) -> bool:
    """Whether what waits so is tried again though its row stays as it is."""
    return status in TRIED_AGAIN and not in_row


def tried_by_itself(alias: str) -> str:
    """The same in SQL, of a row of the queue."""
    statuses = ", ".join(literal(status) for status in TRIED_AGAIN)
    return f"({alias}.status IN ({statuses}) AND {alias}.in_row IS NOT TRUE)"


@dataclass(frozen=True, slots=True)
class WaitingCounts:
    """What waits after a run. `statuses`: status in the queue → records. `reasons`: error code, or what a person chose
    (`ROLLED_BACK`, `ACCEPTED`) → records."""

    statuses: dict[str, int]
    reasons: dict[str, int]

    @property
    def refused(self) -> int:
        """Records that were to be sent and could not be: not skipped, and nothing that a person chose."""
        return self.statuses.get("rejected", 0) + self.statuses.get("unknown", 0)


def counts(tables: SyncTables) -> WaitingCounts:
    """How many wait, and why."""

    def by(reason: str) -> dict[str, int]:
        return tables.warehouse.counts(
            f"""
            SELECT {reason}, count(*)
            FROM {tables.rejected}
            GROUP BY 1
            ORDER BY 1
            """
        )

    return WaitingCounts(by("status"), by(REASON))


def release(tables: SyncTables, which: QueueFilter) -> int:
    """Lets them be sent again by the next sync; returns how many. Safe to repeat.

    A create that could not be reconciled is then created anew: by asking for it a person says that it is not there.
    A record that left the model is not forgotten: it may still stand there.
    """
    condition, params = which.condition()
    warehouse = tables.warehouse
    tables.new_scratch("released", f"AS SELECT * FROM {tables.rejected} WHERE FALSE")
    with warehouse.transaction():
        released = warehouse.scalar(f"SELECT count(*) FROM {tables.rejected} WHERE {condition}", int, params)
        warehouse.execute(
            f"INSERT INTO {tables.scratch('released')} SELECT * FROM {tables.rejected} WHERE {condition}", params
        )
        warehouse.execute(
            f"""
            DELETE FROM {tables.snapshot}
            WHERE destination_id IS NULL AND row_hash IS NULL
                AND key IN (SELECT key FROM {tables.rejected} WHERE {condition} AND status = 'unknown')
                AND key IN (SELECT {tables.source_key("m")} FROM {tables.source} m)
            """,
            params,
        )
        warehouse.execute(f"DELETE FROM {tables.rejected} WHERE {condition}", params)
    return released


def take_back(tables: SyncTables, since: datetime) -> None:
    """What `release` let go and no run since has an answer for waits again: nothing was sent, so nothing changed. On
    the connection that released it. Safe to repeat."""
    warehouse = tables.warehouse
    with warehouse.transaction():
        warehouse.execute(
            f"""
            INSERT INTO {tables.rejected}
            SELECT r.*
            FROM {tables.scratch("released")} r
            WHERE r.key NOT IN (SELECT key FROM {tables.rejected})
                AND r.key NOT IN (
                    SELECT key
                    FROM {tables.shared("outcomes")}
                    WHERE sync = ? AND "at" >= ?
                )
            """,
            [tables.spec.name, naive(since)],
        )

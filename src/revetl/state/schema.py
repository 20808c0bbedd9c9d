"""The tables that hold revetl's state, in the schema `revetl` of the warehouse, column for column as designed.

Plain types that every warehouse has. Creating is safe to repeat; nothing here drops or empties a table.
"""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Callable, Mapping

from revetl.errors import WarehouseConflict, WarehouseError
from revetl.model import Relation
from revetl.warehouse.base import Warehouse
from revetl.warehouse.sql import LONGEST_NAME, ident, shortened, table

_PAUSE_S = 0.02

# name → ((column, type in DuckDB's spelling), …). Times are UTC. JSON is text, so that every dialect can hold it.
TABLES: Mapping[str, tuple[tuple[str, str], ...]] = {
    "runs": (
        ("run_id", "VARCHAR"),
        ("command", "VARCHAR"),
        ("subject", "VARCHAR"),  # the sync or the waterfall
        ("target", "VARCHAR"),
        ("started_at", "TIMESTAMP"),
        ("finished_at", "TIMESTAMP"),
        ("status", "VARCHAR"),
        ("counts", "VARCHAR"),  # JSON object: outcome status → number of records
        ("requests", "BIGINT"),
        ("retries", "BIGINT"),
        ("spend_usd", "DECIMAL(18,6)"),
        ("revetl_version", "VARCHAR"),
        ("dbt_invocation_id", "VARCHAR"),
        ("error", "VARCHAR"),
        ("overrides", "VARCHAR"),  # JSON object: guardrail that was overridden → what it would have stopped
        ("undoes", "VARCHAR"),  # of a rollback: the run that it undoes
        ("invocation_id", "VARCHAR"),  # of the command that it was part of; NULL in rows of an earlier version
        ("waiting", "VARCHAR"),  # JSON object: why records wait since this run → number; NULL in such rows too
    ),
    "state_owner": (  # one row: the target of profiles.yml whose state this schema holds
        ("target", "VARCHAR"),
        ("since", "TIMESTAMP"),
    ),
    "syncs": (  # one row per sync: what it was when it last ran, so that it can be left where no file declares it
        ("sync", "VARCHAR"),
        ("destination", "VARCHAR"),
        ("object", "VARCHAR"),
        ("match_on", "VARCHAR"),
        ("key_property", "VARCHAR"),
        ("links", "VARCHAR"),  # JSON array of [sync or look-up, type, object]
        ("metadata", "VARCHAR"),  # JSON array: fields that tell of the run
        ("nested", "VARCHAR"),  # JSON array: fields whose text is JSON
        ("run_id", "VARCHAR"),
        ("disconnect_at", "TIMESTAMP"),  # since when nothing is sent: a disconnect began
        ("disconnected_at", "TIMESTAMP"),  # when it came to its end, and the state was gone
        ("began_anew_after", "TIMESTAMP"),  # connected again: outcomes until then are of an earlier life
    ),
    "sagas": (  # one row for each time that a saga was run
        ("saga_id", "VARCHAR"),
        ("saga", "VARCHAR"),
        ("step", "VARCHAR"),  # applying; undoing; then done or undone
        ("began_at", "TIMESTAMP"),
        ("ended_at", "TIMESTAMP"),
        ("cause", "VARCHAR"),  # why it is undone
    ),
    "saga_runs": (  # the runs of each, in their order
        ("saga_id", "VARCHAR"),
        ("ordinal", "BIGINT"),
        ("sync", "VARCHAR"),
        ("run_id", "VARCHAR"),
        ("undone_by", "VARCHAR"),  # the run that took it back
        ("left_alone", "BIGINT"),  # records of it that were left, since somebody changed them or they can't be undone
    ),
    "plans": (  # one row for each plan that was applied
        ("plan_id", "VARCHAR"),
        ("run_id", "VARCHAR"),
        ("sync", "VARCHAR"),
        ("created_at", "TIMESTAMP"),
        ("status", "VARCHAR"),  # applying; done: every record that was sent has its outcome; interrupted: recovered
        ("changes", "BIGINT"),
        ("intent_until", "BIGINT"),  # records with a smaller ordinal may have been sent
    ),
    "destination_jobs": (  # one row for each job that a destination was handed
        ("run_id", "VARCHAR"),
        ("sync", "VARCHAR"),
        ("plan_id", "VARCHAR"),
        ("ordinals", "VARCHAR"),  # of its records in the plan: 0-99,205
        ("job_id", "VARCHAR"),  # the destination's
        ("status", "VARCHAR"),  # submitted: to be followed; done: its outcomes are written; given up: in doubt
        ("submitted_at", "TIMESTAMP"),
    ),
    "publications": (  # one row for each run whose rows a destination is given as a whole
        ("run_id", "VARCHAR"),
        ("sync", "VARCHAR"),
        ("plan_id", "VARCHAR"),
        ("contents", "VARCHAR"),  # changes, full
        ("fields", "VARCHAR"),  # JSON array of the fields in their order: [name, whether a null keeps, whether JSON]
        ("status", "VARCHAR"),  # open: to be published; done: its outcomes are written; dropped: nothing was published
        ("written_until", "BIGINT"),  # records with a smaller ordinal have their outcome
        ("begun_at", "TIMESTAMP"),  # when the run began
    ),
    "schedules": (  # one row per schedule that a service has seen
        ("schedule", "VARCHAR"),  # sync:<name>, waterfall:<name>
        ("definition", "VARCHAR"),  # its cron and time zone: times before these were edited are nobody's
        ("since", "TIMESTAMP"),  # when it was first seen so
        ("decided_until", "TIMESTAMP"),  # up to when its times are decided
        ("source_mark", "VARCHAR"),  # the newest moment of its sources when its last run began
    ),
    "scheduled_runs": (  # one row per due run, and per span of missed times
        ("schedule", "VARCHAR"),
        ("due_at", "TIMESTAMP"),
        ("status", "VARCHAR"),  # waiting, running; done, partial, stopped, failed; missed, skipped
        ("reason", "VARCHAR"),
        ("since", "TIMESTAMP"),  # of missed times, the first
        ("missed", "BIGINT"),  # how many the row stands for
        ("worker", "VARCHAR"),
        ("attempts", "BIGINT"),
        ("began_at", "TIMESTAMP"),
        ("ended_at", "TIMESTAMP"),
        ("exit_code", "BIGINT"),
    ),
    "incidents": (  # one row per incident that alerts.yml asks to be told of
        ("incident_id", "VARCHAR"),
        ("rule", "VARCHAR"),
        ("subject", "VARCHAR"),  # the sync, the waterfall or the provider
        ("severity", "VARCHAR"),
        ("said", "VARCHAR"),
        ("command", "VARCHAR"),  # what shows it
        ("count", "BIGINT"),
        ("since", "TIMESTAMP"),
        ("opened_at", "TIMESTAMP"),
        ("seen_at", "TIMESTAMP"),
        ("recovered_at", "TIMESTAMP"),  # NULL: it is open
    ),
    "alert_messages": (  # one row per piece of news of an incident and channel
        ("incident_id", "VARCHAR"),
        ("channel", "VARCHAR"),
        ("news", "VARCHAR"),  # opened, recovered
        ("written_at", "TIMESTAMP"),
        ("sent_at", "TIMESTAMP"),
        ("attempts", "BIGINT"),
        ("error", "VARCHAR"),
        ("dropped", "VARCHAR"),  # why it is not sent
    ),
    "access_tokens": (  # who may use the service
        ("token_id", "VARCHAR"),
        ("name", "VARCHAR"),  # of the person or program that has it
        ("role", "VARCHAR"),  # viewer, operator, approver
        ("digest", "VARCHAR"),  # SHA-256 of the token
        ("created_at", "TIMESTAMP"),
        ("created_by", "VARCHAR"),
        ("expires_at", "TIMESTAMP"),  # NULL: until it is revoked
        ("revoked_at", "TIMESTAMP"),
        ("last_used_at", "TIMESTAMP"),
    ),
    "audit_log": (  # append-only: one row per act, written before it begins
        ("event_id", "VARCHAR"),
        ("at", "TIMESTAMP"),
        ("actor", "VARCHAR"),
        ("origin", "VARCHAR"),  # from where
        ("action", "VARCHAR"),
        ("subject", "VARCHAR"),  # the sync, run, plan or waterfall
        ("details", "VARCHAR"),  # JSON object: options and counts, no key and no value of a record
        ("reason", "VARCHAR"),
        ("outcome", "VARCHAR"),  # began, refused
        ("invocation_id", "VARCHAR"),  # of the runs that it began
        ("operation_id", "VARCHAR"),
    ),
    "operations": (  # one row per act that was asked of a service
        ("operation_id", "VARCHAR"),
        ("kind", "VARCHAR"),
        ("subject", "VARCHAR"),
        ("arguments", "VARCHAR"),  # JSON object; of an erasure and of one person's enrichment empty
        ("asked_by", "VARCHAR"),
        ("reason", "VARCHAR"),
        ("asked_at", "TIMESTAMP"),
        ("status", "VARCHAR"),  # waiting, running; done, partial, stopped, failed, interrupted
        ("said", "VARCHAR"),  # why it ended so
        ("worker", "VARCHAR"),
        ("attempts", "BIGINT"),
        ("began_at", "TIMESTAMP"),
        ("ended_at", "TIMESTAMP"),
        ("exit_code", "BIGINT"),
        ("idempotency_key", "VARCHAR"),  # digest of the key and of who gave it
        ("request", "VARCHAR"),  # keyed digest of what was asked
    ),
    "reviewed_plans": (  # plans that a service saved, to be looked at and approved
        ("plan", "VARCHAR"),  # the digest of the document: its seal
        ("document", "VARCHAR"),  # the file of `revetl plan --out`: counts, names and digests
        ("created_at", "TIMESTAMP"),
        ("created_by", "VARCHAR"),
        ("operation_id", "VARCHAR"),
        ("applied_by", "VARCHAR"),  # the last operation that was to send it
    ),
    "plan_approvals": (
        ("plan", "VARCHAR"),
        ("name", "VARCHAR"),  # of who approved
        ("at", "TIMESTAMP"),
        ("reason", "VARCHAR"),
    ),
    "leases": (
        ("name", "VARCHAR"),
        ("run_id", "VARCHAR"),  # NULL: free
        ("host", "VARCHAR"),
        ("pid", "BIGINT"),
        ("pid_space", "VARCHAR"),
        ("acquired_at", "TIMESTAMP"),
        ("expires_at", "TIMESTAMP"),
    ),
    "locks": (
        ("name", "VARCHAR"),
        ("turn", "BIGINT"),  # counts who had it; whoever raises it has it until the end of its transaction
    ),
    "saved_plans": (
        ("plan_id", "VARCHAR"),
        ("sync", "VARCHAR"),
        ("created_at", "TIMESTAMP"),
        ("status", "VARCHAR"),  # saved, applied, dropped
        ("run_id", "VARCHAR"),  # who applied it
        ("digest", "VARCHAR"),  # of its entry in the file
        ("file_digest", "VARCHAR"),  # of the whole file that it is part of: the seal
    ),
    "outcomes": (
        ("run_id", "VARCHAR"),
        ("sync", "VARCHAR"),
        ("key", "VARCHAR"),
        ("op", "VARCHAR"),
        ("status", "VARCHAR"),
        ("destination_id", "VARCHAR"),
        ("error_class", "VARCHAR"),
        ("error_code", "VARCHAR"),
        ("message", "VARCHAR"),
        ("attempts", "INTEGER"),
        ("changed_fields", "VARCHAR"),  # JSON array of column names
        ("before", "VARCHAR"),  # JSON object, only the changed fields
        ("after", "VARCHAR"),
        ("at", "TIMESTAMP"),
    ),
    "enrichment_calls": (
        ("call_id", "VARCHAR"),
        ("run_id", "VARCHAR"),
        ("waterfall", "VARCHAR"),
        ("provider", "VARCHAR"),
        ("keys", "VARCHAR"),  # JSON array of entity keys that this one call serves
        ("request_hash", "VARCHAR"),
        ("segment", "VARCHAR"),
        ("order_version", "VARCHAR"),
        (
            "status",
            "VARCHAR",
        ),  # intent, hit, miss, error, in_doubt: one row per transition, the newest `at` holds
        ("http_status", "INTEGER"),
        ("expected_usd", "DECIMAL(18,6)"),
        ("charged_usd", "DECIMAL(18,6)"),
        ("latency_ms", "INTEGER"),
        ("asked_at", "TIMESTAMP"),
        ("answered_at", "TIMESTAMP"),
        ("response", "VARCHAR"),  # JSON
        ("request_id", "VARCHAR"),  # the vendor's name for a submitted job: its result is fetched, never paid for again
        ("credits_charged", "DECIMAL(18,6)"),  # the vendor's own count, where it gives one; a batch's is shared out
        ("credits_remaining", "DECIMAL(18,6)"),  # of the account, as the vendor said with this answer
    ),
    "enrichment_identities": (  # by what each question named whom it is about
        ("provider", "VARCHAR"),
        ("request_hash", "VARCHAR"),
        ("identity", "VARCHAR"),  # an input, or inputs that are enough together: first_name+last_name+company_name
        ("digest", "VARCHAR"),
    ),
    "enrichment_spend": (  # what budgets count: one row per run, provider and day, in step with enrichment_calls
        ("run_id", "VARCHAR"),
        ("waterfall", "VARCHAR"),
        ("provider", "VARCHAR"),
        ("day", "VARCHAR"),  # UTC, 2026-01-31: when it was asked
        ("committed_usd", "DECIMAL(18,6)"),  # charged, in doubt, or reserved for a call in flight
        ("held_usd", "DECIMAL(18,6)"),  # set aside for verifying what calls of this run may find
    ),
    "provider_terms": (  # what each endpoint was declared to cost when it was last asked
        ("provider", "VARCHAR"),
        ("vendor", "VARCHAR"),
        ("per_call_usd", "DECIMAL(18,6)"),
        ("per_hit_usd", "DECIMAL(18,6)"),
        ("greatest_usd", "DECIMAL(18,6)"),
        ("credit_usd", "DECIMAL(18,6)"),  # NULL where the vendor counts no credits
        ("free_repeat_days", "BIGINT"),
    ),
    "enrichment_estimates": (  # what was foreseen of a run, to be held against what it did
        ("run_id", "VARCHAR"),
        ("waterfall", "VARCHAR"),
        ("at", "TIMESTAMP"),
        ("lookups", "BIGINT"),
        ("expected_usd", "DECIMAL(18,6)"),
        ("low_usd", "DECIMAL(18,6)"),  # 95 of 100 runs cost between low and high
        ("p95_usd", "DECIMAL(18,6)"),
        ("high_usd", "DECIMAL(18,6)"),
        ("greatest_usd", "DECIMAL(18,6)"),
        ("limit_usd", "DECIMAL(18,6)"),
        ("minutes", "DOUBLE"),
        ("coverage", "VARCHAR"),  # JSON object: field → {total, before, expected, low, high}
    ),
    "enrichment_values": (
        ("entity", "VARCHAR"),
        ("key", "VARCHAR"),
        ("field", "VARCHAR"),
        ("value", "VARCHAR"),
        ("provider", "VARCHAR"),
        ("confidence", "DOUBLE"),  # 0 to 1
        ("verification", "VARCHAR"),  # valid, invalid, catch_all, unknown; NULL where nobody verified
        ("call_id", "VARCHAR"),
        ("observed_at", "TIMESTAMP"),
        ("expires_at", "TIMESTAMP"),
        ("rejected_reason", "VARCHAR"),  # NULL where accepted
        ("verified_by", "VARCHAR"),  # whose verdict settled it; NULL where nobody verified
    ),
    "suppression_key": (  # one row: with which key the identities below are hashed
        ("source", "VARCHAR"),  # environment; warehouse: the salt is the key
        ("salt", "VARCHAR"),
        ("fingerprint", "VARCHAR"),
    ),
    "suppressions": (
        ("identity_hash", "VARCHAR"),
        ("reason", "VARCHAR"),
        ("at", "TIMESTAMP"),
    ),
}


def relation(warehouse: Warehouse, name: str) -> Relation:
    """A table of revetl's own schema."""
    return Relation(schema=warehouse.state_schema, name=name)


def create_all(warehouse: Warehouse, pause: Callable[[float], None] = time.sleep) -> None:
    """Creates the schema and every fixed table that does not exist yet; gives older tables the columns they lack.

    One look at the catalogue, since nearly always everything is there and each statement is a round trip.
    """
    for _ in range(len(TABLES)):
        try:
            _create_missing(warehouse)
            return
        except WarehouseConflict:
            pause(_PAUSE_S)  # another run makes the same table at this moment: it may take until the last one
        except WarehouseError:
            break
    # Two runs that are the first at the same time: what the other one made is there now.
    _create_missing(warehouse)


def _create_missing(warehouse: Warehouse) -> None:
    present = warehouse.tables(warehouse.state_schema)
    if not present:
        warehouse.execute(f"CREATE SCHEMA IF NOT EXISTS {ident(warehouse.state_schema)}")
    for name, columns in TABLES.items():
        if name not in present:
            create_table(warehouse, relation(warehouse, name), columns)
        else:
            _add_missing(warehouse, relation(warehouse, name), columns, present[name])


def _add_missing(
    warehouse: Warehouse, target: Relation, columns: tuple[tuple[str, str], ...], present: list[str]
) -> None:
    """Columns that came with a later version are null in the rows of an earlier one."""
    for name, type_ in columns:
        if name not in present:
            warehouse.execute(f"ALTER TABLE {table(target)} ADD COLUMN {ident(name)} {type_}")


def create_table(
    warehouse: Warehouse, target: Relation, columns: tuple[tuple[str, str], ...] | list[tuple[str, str]]
) -> None:
    """CREATE TABLE IF NOT EXISTS. `columns` give types in DuckDB's spelling."""
    body = ", ".join(f"{ident(name)} {type_}" for name, type_ in columns)
    warehouse.execute(f"CREATE TABLE IF NOT EXISTS {table(target)} ({body})")


def table_suffix(sync: str) -> str:
    """The sync's name as part of a table name: the name itself where it has only letters, digits and underscores and
    every database takes it with our longest prefix; else a digest is part of it, so that no two syncs share a table."""
    plain = re.sub(r"[^0-9A-Za-z_]", "_", sync)
    if plain != sync:
        plain = f"{plain}_{hashlib.sha256(sync.encode()).hexdigest()[:10]}"
    return shortened(plain, LONGEST_NAME - len("revetl_linkresults__"))

"""Everything that state tables hold of a person, counted and removed. What goes and what stays is in
docs/design/erasure.md.

The ledger and the outcomes keep their rows, since money was paid and a run had so many records: without values, and
with an alias in place of the record's key. All else is deleted.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping

from revetl.privacy.people import PeopleScratch, append_texts, make_scratch
from revetl.state import saved_plans
from revetl.state.schema import TABLES
from revetl.state.values import VERIFICATION
from revetl.warehouse.sql import ident, literal, table

# Tables of one sync, or of one list, whose rows are about one record each.
_OF_RECORDS = re.compile(r"(snapshot|plan|drift|rollback|links|references|adhoc_input)__")
_REJECTED, _SAVED, _PAIRS, _LIST = "rejected__", "saved__", "__pairs", "adhoc_input__"
_REFERENCES = "references__"
_CALLS, _IDENTITIES = "enrichment_calls", "enrichment_identities"
_REMADE = ("call_id", "keys", "request_hash")
_BEFORE, _AFTER = ident("before"), ident("after")


def count(wanted: PeopleScratch) -> dict[str, int]:
    """Table → rows of it that `erase` would delete or empty; only tables that have any."""
    counts = {}
    for name, condition in _conditions(wanted).items():
        counts[name] = wanted.warehouse.scalar(f"SELECT count(*) FROM {wanted.table(name)} WHERE {condition}", int)
    return {name: n for name, n in counts.items() if n}


def erase(wanted: PeopleScratch, hold_leases: Callable[[], None]) -> None:
    """In one transaction; `hold_leases` is called at its beginning and at its end, and raises where another run holds
    one of them. Safe to repeat. Saved plans that name the person are dropped whole: without one of its lines a plan is
    another one."""
    warehouse, conditions = wanted.warehouse, _conditions(wanted)
    plans = _saved_plans(wanted, conditions)
    remade = warehouse.scratch("revetl_erase_calls")
    make_scratch(warehouse, remade, _REMADE)
    append_texts(warehouse, remade, _REMADE, _calls_remade(wanted))
    with warehouse.transaction():
        hold_leases()
        for name, condition in conditions.items():
            if _OF_RECORDS.match(name):
                warehouse.execute(f"DELETE FROM {wanted.table(name)} WHERE {condition}")
            elif name.startswith(_REJECTED):
                rejected = wanted.table(name)
                warehouse.execute(f"DELETE FROM {rejected} WHERE {wanted.is_named('key')}")
                about = wanted.mentions_theirs(name, "message")
                warehouse.execute(f"UPDATE {rejected} SET message = NULL WHERE {about}")
        _empty_outcomes(wanted)
        warehouse.execute(f"DELETE FROM {wanted.table(_IDENTITIES)} WHERE {conditions[_IDENTITIES]}")
        _empty_calls(wanted, table(remade))
        warehouse.execute(f"UPDATE {wanted.table('runs')} SET error = NULL WHERE {conditions['runs']}")
        values = wanted.table("enrichment_values")
        warehouse.execute(f"DELETE FROM {values} WHERE {conditions['enrichment_values']}")
        hold_leases()
    for plan_id in plans:
        saved_plans.close(warehouse, plan_id, "erased", None)


def _conditions(wanted: PeopleScratch) -> dict[str, str]:
    """Table → which of its rows are about the person."""
    found = {
        "enrichment_values": _their_values(wanted),
        _CALLS: " OR ".join([wanted.holds_named(_CALLS, "keys"), wanted.holds_theirs(_CALLS, "response")]),
        # Digests of what was asked about them. Where a question served others too, it stays known as answered.
        _IDENTITIES: f"""
            request_hash IN (
                SELECT request_hash FROM {wanted.table(_CALLS)} WHERE {wanted.holds_named(_CALLS, "keys")}
            )
            """,
        "outcomes": " OR ".join(
            [
                wanted.is_named("key"),
                wanted.mentions_theirs("outcomes", "message"),
                *(
                    holds("outcomes", c)
                    for c in (_BEFORE, _AFTER)
                    for holds in (wanted.holds_theirs, wanted.holds_named)
                ),
            ]
        ),
        "runs": wanted.mentions_theirs("runs", "error"),
    }
    tables = wanted.warehouse.tables(wanted.warehouse.state_schema)
    for name, columns in tables.items():
        if name.startswith(_LIST):  # any column may be the key
            cells = [f"CAST({ident(c)} AS VARCHAR)" for c in columns]
            found[name] = " OR ".join(is_it(c) for c in cells for is_it in (wanted.is_named, wanted.is_theirs))
        elif name.startswith(_SAVED) and name.endswith(_PAIRS):
            found[name] = " OR ".join(wanted.is_named(f"CAST({ident(c)} AS VARCHAR)") for c in columns)
        elif name.startswith(_REJECTED):
            found[name] = f"{wanted.is_named('key')} OR {wanted.mentions_theirs(name, 'message')}"
        elif _OF_RECORDS.match(name) or (name.startswith(_SAVED) and name not in TABLES):
            keys = [wanted.is_named(ident(c)) for c in ("key", "to_key") if c in columns]
            if name.startswith(_REFERENCES):  # a record is named by its key or by an address
                keys.append(wanted.is_named("value"))
            found[name] = " OR ".join([*keys, *map(wanted.is_theirs, wanted.texts(name))])
    return found


def _their_values(wanted: PeopleScratch) -> str:
    """Values of their records; of other records those that are their email or profile; and verdicts on values that
    nobody else has."""
    values, verdict = wanted.table("enrichment_values"), literal(VERIFICATION)
    return f"""
        (entity <> {verdict} AND {wanted.is_named("key")})
        OR {wanted.is_theirs("value")}
        OR (
            entity = {verdict}
            AND lower(value) IN (
                SELECT lower(t.value)
                FROM {values} t
                WHERE t.entity <> {verdict} AND {wanted.is_named("t.key")}
            )
            AND lower(value) NOT IN (
                SELECT lower(o.value)
                FROM {values} o
                WHERE o.entity <> {verdict} AND NOT ({wanted.is_named("o.key")})
            )
        )
        """


def _empty_outcomes(wanted: PeopleScratch) -> None:
    outcomes, execute = wanted.table("outcomes"), wanted.warehouse.execute
    execute(
        f"""
        UPDATE {outcomes}
        SET key = k.alias, destination_id = NULL, message = NULL, {_BEFORE} = NULL, {_AFTER} = NULL
        FROM (SELECT key, alias FROM {table(wanted.keys)}) k
        WHERE {outcomes}.key = k.key
        """
    )
    # Links of other records to theirs, and refusals that name them: "another record has this email".
    execute(
        f"""
        UPDATE {outcomes}
        SET {_BEFORE} = NULL, {_AFTER} = NULL
        WHERE {wanted.holds_named("outcomes", _BEFORE)} OR {wanted.holds_named("outcomes", _AFTER)}
        """
    )
    execute(f"UPDATE {outcomes} SET message = NULL WHERE {wanted.mentions_theirs('outcomes', 'message')}")


def _empty_calls(wanted: PeopleScratch, remade: str) -> None:
    calls, execute = wanted.table(_CALLS), wanted.warehouse.execute
    # Without the job's id its result is not fetched any more.
    execute(
        f"""
        UPDATE {calls}
        SET keys = r.keys, request_hash = r.request_hash, response = NULL, request_id = NULL
        FROM (SELECT {", ".join(_REMADE)} FROM {remade}) r
        WHERE {calls}.call_id = r.call_id
        """
    )
    execute(f"UPDATE {calls} SET response = NULL WHERE {wanted.holds_theirs(_CALLS, 'response')}")


def _calls_remade(wanted: PeopleScratch) -> list[tuple[str, str, str]]:
    """(call, keys, question) with aliases. A question that served nobody else gets one too, since it is a digest of
    what was asked about the person; one that served others stays known as answered."""
    pairs = wanted.warehouse.rows(f"SELECT key, alias FROM {table(wanted.keys)}")
    aliases = {str(key): str(alias) for key, alias in pairs}
    rows = wanted.warehouse.rows(
        f"""
        SELECT DISTINCT call_id, keys, request_hash
        FROM {wanted.table(_CALLS)}
        WHERE {wanted.holds_named(_CALLS, "keys")}
        """
    )
    served: list[tuple[str, list[str], str]] = [(str(c), json.loads(str(k)), str(q)) for c, k, q in rows]
    shared = {question for _, keys, question in served if not set(keys) <= aliases.keys()}
    remade = []
    for call_id, keys, question in served:
        kept = question if question in shared else wanted.alias(question)
        remade.append((call_id, json.dumps([aliases.get(key, key) for key in keys]), kept))
    return remade


def _saved_plans(wanted: PeopleScratch, conditions: Mapping[str, str]) -> list[str]:
    """Ids of the saved plans that name the person."""
    warehouse = wanted.warehouse
    named = []
    for (found,) in warehouse.rows(f"SELECT plan_id FROM {wanted.table('saved_plans')} WHERE status = 'saved'"):
        plan_id = str(found)
        copies = [saved_plans.copy_of(warehouse, plan_id).name, saved_plans.pairs_of(warehouse, plan_id).name]
        held = [f"SELECT 1 FROM {wanted.table(c)} WHERE {conditions[c]} LIMIT 1" for c in copies if c in conditions]
        if any(warehouse.rows(query) for query in held):
            named.append(plan_id)
    return named

"""Everything that state tables hold of a person, counted and removed. What goes and what stays is told in
docs/design/erasure.md.

The ledger and the outcomes keep their rows, since money was paid and a run had so many records: without values, and
with an alias in place of the record's key. All else is deleted.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping

from revetl.privacy.persons import Meant, append_texts, make_scratch
from revetl.state import saved_plans
from revetl.state.schema import TABLES
from revetl.state.values import VERIFICATION
from revetl.warehouse.sql import ident, literal, table

# Tables of one sync, or of one list, whose rows are about one record each.
_OF_RECORDS = re.compile(r"(snapshot|plan|drift|rollback|links|adhoc_input)__")
_REJECTED, _SAVED, _PAIRS, _LIST = "rejected__", "saved__", "__pairs", "adhoc_input__"
_CALLS = "enrichment_calls"
_REMADE = ("call_id", "keys", "request_hash")
_BEFORE, _AFTER = ident("before"), ident("after")


def count(meant: Meant) -> dict[str, int]:
    """Table → rows of it that `erase` would delete or empty; only tables that have any."""
    counts = {}
    for name, condition in _conditions(meant).items():
        found = meant.warehouse.rows(f"SELECT count(*) FROM {meant.table(name)} WHERE {condition}")
        counts[name] = int(str(found[0][0]))
    return {name: n for name, n in counts.items() if n}


def erase(meant: Meant, hold: Callable[[], None]) -> None:
    """In one transaction; `hold` is called at its beginning and at its end, and raises where it must not be. Safe to
    repeat. Saved plans that name the person are dropped whole: without one of its lines a plan is another one."""
    warehouse, conditions = meant.warehouse, _conditions(meant)
    plans = _saved_plans(meant, conditions)
    remade = warehouse.scratch("revetl_erase_calls")
    make_scratch(warehouse, remade, _REMADE)
    append_texts(warehouse, remade, _REMADE, _calls_remade(meant))
    with warehouse.transaction():
        hold()
        for name, condition in conditions.items():
            if _OF_RECORDS.match(name):
                warehouse.execute(f"DELETE FROM {meant.table(name)} WHERE {condition}")
            elif name.startswith(_REJECTED):
                rejected = meant.table(name)
                warehouse.execute(f"DELETE FROM {rejected} WHERE {meant.is_named('key')}")
                about = meant.mentions_theirs(name, "message")
                warehouse.execute(f"UPDATE {rejected} SET message = NULL WHERE {about}")
        _empty_outcomes(meant)
        _empty_calls(meant, table(remade))
        warehouse.execute(f"UPDATE {meant.table('runs')} SET error = NULL WHERE {conditions['runs']}")
        values = meant.table("enrichment_values")
        warehouse.execute(f"DELETE FROM {values} WHERE {conditions['enrichment_values']}")
        hold()
    for plan_id in plans:
        saved_plans.close(warehouse, plan_id, "erased", None)


def _conditions(meant: Meant) -> dict[str, str]:
    """Table → which of its rows are about the person."""
    found = {
        "enrichment_values": _their_values(meant),
        _CALLS: " OR ".join([meant.holds_named(_CALLS, "keys"), meant.holds_theirs(_CALLS, "response")]),
        "outcomes": " OR ".join(
            [
                meant.is_named("key"),
                meant.mentions_theirs("outcomes", "message"),
                *(holds("outcomes", c) for c in (_BEFORE, _AFTER) for holds in (meant.holds_theirs, meant.holds_named)),
            ]
        ),
        "runs": meant.mentions_theirs("runs", "error"),
    }
    tables = meant.warehouse.tables(meant.warehouse.state_schema)
    for name, columns in tables.items():
        if name.startswith(_LIST):  # any column may be the key
            cells = [f"CAST({ident(c)} AS VARCHAR)" for c in columns]
            found[name] = " OR ".join(is_it(c) for c in cells for is_it in (meant.is_named, meant.is_theirs))
        elif name.startswith(_SAVED) and name.endswith(_PAIRS):
            found[name] = " OR ".join(meant.is_named(f"CAST({ident(c)} AS VARCHAR)") for c in columns)
        elif name.startswith(_REJECTED):
            found[name] = f"{meant.is_named('key')} OR {meant.mentions_theirs(name, 'message')}"
        elif _OF_RECORDS.match(name) or (name.startswith(_SAVED) and name not in TABLES):
            keys = [meant.is_named(ident(c)) for c in ("key", "to_key") if c in columns]
            found[name] = " OR ".join([*keys, *map(meant.is_theirs, meant.texts(name))])
    return found


def _their_values(meant: Meant) -> str:
    """Values of their records; of other records those that are their email or profile; and verdicts on values that
    nobody else has."""
    values, verdict = meant.table("enrichment_values"), literal(VERIFICATION)
    theirs = f"SELECT lower(t.value) FROM {values} t WHERE t.entity <> {verdict} AND {meant.is_named('t.key')}"
    others = f"SELECT lower(o.value) FROM {values} o WHERE o.entity <> {verdict} AND NOT ({meant.is_named('o.key')})"
    return (
        f"(entity <> {verdict} AND {meant.is_named('key')}) OR {meant.is_theirs('value')}"
        f" OR (entity = {verdict} AND lower(value) IN ({theirs}) AND lower(value) NOT IN ({others}))"
    )


def _empty_outcomes(meant: Meant) -> None:
    outcomes, execute = meant.table("outcomes"), meant.warehouse.execute
    execute(
        f"UPDATE {outcomes} SET key = k.alias, destination_id = NULL, message = NULL, {_BEFORE} = NULL, {_AFTER} = NULL"
        f" FROM (SELECT key, alias FROM {table(meant.keys)}) k WHERE {outcomes}.key = k.key"
    )
    # Links of other records to theirs, and refusals that name them: "another record has this email".
    execute(
        f"UPDATE {outcomes} SET {_BEFORE} = NULL, {_AFTER} = NULL"
        f" WHERE {meant.holds_named('outcomes', _BEFORE)} OR {meant.holds_named('outcomes', _AFTER)}"
    )
    execute(f"UPDATE {outcomes} SET message = NULL WHERE {meant.mentions_theirs('outcomes', 'message')}")


def _empty_calls(meant: Meant, remade: str) -> None:
    calls, execute = meant.table(_CALLS), meant.warehouse.execute
    # Without the job's id its result is not fetched any more.
    execute(
        f"UPDATE {calls} SET keys = r.keys, request_hash = r.request_hash, response = NULL, request_id = NULL"
        f" FROM (SELECT {', '.join(_REMADE)} FROM {remade}) r WHERE {calls}.call_id = r.call_id"
    )
    execute(f"UPDATE {calls} SET response = NULL WHERE {meant.holds_theirs(_CALLS, 'response')}")


def _calls_remade(meant: Meant) -> list[tuple[str, str, str]]:
    """(call, keys, question) with aliases. A question that served nobody else gets one too, since it is a digest of
    what was asked about the person; one that served others stays known as answered."""
    pairs = meant.warehouse.rows(f"SELECT key, alias FROM {table(meant.keys)}")
    aliases = {str(key): str(alias) for key, alias in pairs}
    rows = meant.warehouse.rows(
        f"SELECT DISTINCT call_id, keys, request_hash FROM {meant.table(_CALLS)}"
        f" WHERE {meant.holds_named(_CALLS, 'keys')}"
    )
    served: list[tuple[str, list[str], str]] = [(str(c), json.loads(str(k)), str(q)) for c, k, q in rows]
    shared = {question for _, keys, question in served if not set(keys) <= aliases.keys()}
    remade = []
    for call_id, keys, question in served:
        kept = question if question in shared else meant.alias(question)
        remade.append((call_id, json.dumps([aliases.get(key, key) for key in keys]), kept))
    return remade


def _saved_plans(meant: Meant, conditions: Mapping[str, str]) -> list[str]:
    """Ids of the saved plans that name the person."""
    warehouse = meant.warehouse
    named = []
    for (found,) in warehouse.rows(f"SELECT plan_id FROM {meant.table('saved_plans')} WHERE status = 'saved'"):
        plan_id = str(found)
        copies = [saved_plans.copy_of(warehouse, plan_id).name, saved_plans.pairs_of(warehouse, plan_id).name]
        held = [f"SELECT 1 FROM {meant.table(c)} WHERE {conditions[c]} LIMIT 1" for c in copies if c in conditions]
        if any(warehouse.rows(query) for query in held):
            named.append(plan_id)
    return named

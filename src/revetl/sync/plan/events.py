"""Events are only added. A line of a plan is a new event, or it is withheld: a changed row is another event only where
the field says so by which the destination knows them (`event_id`).

Runs on a frozen plan before matching; changes the plan, and nothing at the destination. Safe to repeat.
"""

from __future__ import annotations

import json

from revetl.destinations.base import ObjectSchema
from revetl.errors import ConfigError, Problem
from revetl.model import SyncSpec
from revetl.state.sync_tables import SyncTables, row_hash
from revetl.warehouse.sql import ident, literal

CHANGED = "EVENT_CHANGED"


def check(spec: SyncSpec, schema: ObjectSchema, *, full_refresh: bool) -> None:
    """ConfigError with all that a sync asks of events and that can't be: updates, deletes, field policies, matching by
    anything but the event's id."""
    where, target = spec.where or f"sync {spec.name}", f"{spec.destination} {spec.object}"
    problems = []
    if spec.mode != "insert":
        message = f"{where}: mode {spec.mode}: {target} are events, which are only added"
        problems.append(Problem(message, hint="Write `mode: insert`. What leaves the model stays there."))
    for name, rule in spec.fields.items():
        if rule.policy != "always":
            message = f"{where}: fields.{name}: {rule.policy} has no meaning for {target}: an event is never changed"
            problems.append(Problem(message, hint="Leave the policy out."))
    if schema.event_id is not None and spec.match_on != schema.event_id:
        message = f"{where}: {target} are known by {schema.event_id}, and match_on is {spec.match_on or 'not set'}"
        hint = f"Give the model a column {schema.event_id} and write `match_on: {schema.event_id}`: an event whose"
        problems.append(Problem(message, hint=f"{hint} answer is lost can then be sent again without a second one."))
    if schema.event_id is None and spec.match_on is not None:
        message = f"{where}: match_on: {target} are events without an id to be known by"
        problems.append(Problem(message, hint="Leave match_on out."))
    if full_refresh:
        message = f"{where}: a full refresh would send every event of {target} a second time"
        problems.append(Problem(message, hint="Leave --full-refresh out."))
    if problems:
        raise ConfigError(problems)


def decide(tables: SyncTables, schema: ObjectSchema) -> None:
    """Makes of every line a new event, or withholds it."""
    plan = tables.plan
    # A record without an id counts as in doubt elsewhere. An event often gets none, so only a lost answer counts here.
    doubt = f"key IN (SELECT n.key FROM {tables.snapshot} n WHERE n.row_hash IS NULL)"
    tables.warehouse.execute(f"UPDATE {plan} SET in_doubt = ({doubt}) WHERE outcome IS NULL")
    another = "FALSE"
    if schema.event_id is not None:
        field = next(f for f in tables.fields if f.name == schema.event_id)
        another = f"{ident(field.before)} IS DISTINCT FROM {ident(field.after)}"
        _repeat_as_it_was(tables, f"NOT ({another})")
    why = "was added as it was, and an event is never changed"
    if schema.event_id is not None:
        why += f": with another {schema.event_id} it would be a new one"
    tables.warehouse.execute(
        f"""
        UPDATE {plan}
        SET outcome = 'skipped', reason = {literal(CHANGED)}, note = {literal(why)}
        WHERE outcome IS NULL AND known AND NOT in_doubt AND NOT ({another})
        """
    )
    names = ", ".join(
        f"CASE WHEN {ident(f.after)} IS NOT NULL THEN {literal(json.dumps(f.name))} END" for f in tables.fields
    )
    tables.warehouse.execute(
        f"""
        UPDATE {plan}
        SET op = 'create', destination_id = NULL, changed_fields = '[' || concat_ws(',', {names}) || ']'
        WHERE outcome IS NULL
        """
    )


def _repeat_as_it_was(tables: SyncTables, same_event: str) -> None:
    """An event whose answer was lost may stand there: it is repeated with the values that were sent, so that our state
    is what stands, whichever attempt was taken. That its row changed since is said by the next plan."""
    changed = " OR ".join(f"{ident(f.before)} IS DISTINCT FROM {ident(f.after)}" for f in tables.fields)
    planned = ", ".join(f"{ident(f.after)} = {ident(f.before)}" for f in tables.fields)
    tables.warehouse.execute(
        f"""
        UPDATE {tables.plan}
        SET row_hash = {row_hash([ident(f.before) for f in tables.fields])}, {planned}
        WHERE outcome IS NULL AND known AND in_doubt AND {same_event} AND ({changed})
        """
    )


def take_over_found(tables: SyncTables) -> None:
    """After matching: an event that is there already was added by an earlier attempt, and is never updated."""
    tables.warehouse.execute(
        f"""
        UPDATE {tables.plan}
        SET outcome = 'ok', note = 'was added already'
        WHERE outcome IS NULL AND adopted
        """
    )

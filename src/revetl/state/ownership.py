"""`state_owner`: a state schema belongs to one target.

A snapshot says what one destination account holds. Two targets that share a database and a schema would each take the
other's for their own, and send too little, or delete. So the first that writes owns the schema, and another is refused
before it reads or sends anything.
"""

from __future__ import annotations

from datetime import UTC, datetime

from revetl.errors import GuardrailError
from revetl.state.schema import create_all, relation
from revetl.warehouse.base import Warehouse
from revetl.warehouse.sql import literal, table


def claim(warehouse: Warehouse, target: str, now: datetime) -> None:
    """Makes the schema this target's where it is nobody's. GuardrailError where it is another's. Safe to repeat; of two
    that come first at once both see the same row as the first."""
    if not warehouse.columns(relation(warehouse, "state_owner")):
        create_all(warehouse)
    owners = table(relation(warehouse, "state_owner"))
    first = f"SELECT target FROM {owners} ORDER BY since, target LIMIT 1"
    found = warehouse.rows(first)
    if not found:
        owner = _last_target(warehouse) or target
        since = now.astimezone(UTC).replace(tzinfo=None)
        warehouse.execute(f"INSERT INTO {owners} (target, since) VALUES (?, ?)", [owner, since])
        found = warehouse.rows(first)
    owner = str(found[0][0])
    if owner != target:
        schema = warehouse.state_schema
        cure = f"state_schema: {{default: {schema}, {target}: {schema}_{target}}}"
        raise GuardrailError(
            f"nothing was sent: the schema {schema} of this database holds the state of the target {owner!r}, and this"
            f" is {target!r}"
            f"\nGive each target its own in revetl.yml: `{cure}`"
            f"\nWhere {owner!r} is now called {target!r}: UPDATE {owners} SET target = {literal(target)}"
        )


def _last_target(warehouse: Warehouse) -> str | None:
    """State of an earlier version names its owner only in its runs."""
    runs = table(relation(warehouse, "runs"))
    found = warehouse.rows(f"SELECT target FROM {runs} WHERE target IS NOT NULL ORDER BY started_at DESC LIMIT 1")
    return str(found[0][0]) if found else None

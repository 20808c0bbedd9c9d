"""`provider_terms`: what each endpoint is declared to cost, so that the ledger can be held against it in SQL."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import astuple, dataclass
from decimal import Decimal

from revetl.clock import Clock
from revetl.state import locks
from revetl.state.appending import append_rows
from revetl.state.schema import relation
from revetl.warehouse.base import Warehouse
from revetl.warehouse.sql import table

_LOCK = "enrich: terms of providers"


@dataclass(frozen=True, slots=True)
class Terms:
    """In US dollars. `credit_usd` is what one of the vendor's credits costs, where it counts them."""

    provider: str
    vendor: str
    per_call_usd: Decimal
    per_hit_usd: Decimal
    greatest_usd: Decimal
    credit_usd: Decimal | None
    free_repeat_days: int


async def keep_terms(warehouse: Warehouse, clock: Clock, terms: Iterable[Terms]) -> None:
    """Writes what has changed. Safe to repeat, and while others do the same."""
    wanted = {each.provider: each for each in terms}
    place = table(relation(warehouse, "provider_terms"))

    def changed() -> list[Terms]:
        names = "provider, vendor, per_call_usd, per_hit_usd, greatest_usd, credit_usd, free_repeat_days"
        rows = warehouse.rows(f"SELECT {names} FROM {place}")
        return [each for each in wanted.values() if astuple(each) not in rows]

    def write() -> None:
        found = changed()
        for each in found:
            warehouse.execute(f"DELETE FROM {place} WHERE provider = ?", [each.provider])
        append_rows(warehouse, "provider_terms", [astuple(each) for each in found])

    if changed():
        locks.ensure(warehouse, [_LOCK])
        await locks.locked(warehouse, clock, [_LOCK], write)

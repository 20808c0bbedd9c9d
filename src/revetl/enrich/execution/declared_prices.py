"""`provider_terms`: what each endpoint is declared to cost, so that the ledger can be held against it in SQL."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import astuple, dataclass
from decimal import Decimal

from revetl.context import RunContext
from revetl.enrich.execution.outcomes import MILLIONTH
from revetl.providers.grammar import ProviderSpec
from revetl.state import locks
from revetl.state.appending import append_rows
from revetl.state.schema import relation
from revetl.warehouse.sql import table

_LOCK = "enrich: terms of providers"


@dataclass(frozen=True, slots=True)
class DeclaredPrice:
    """In US dollars. `credit_usd` is what one of the vendor's credits costs, where it counts them."""

    provider: str
    vendor: str
    per_call_usd: Decimal
    per_hit_usd: Decimal
    greatest_usd: Decimal
    credit_usd: Decimal | None
    free_repeat_days: int

    @classmethod
    def of(cls, spec: ProviderSpec) -> DeclaredPrice:
        credits = spec.price.credits
        credit = None if credits is None or credits.usd is None else credits.usd.quantize(MILLIONTH)
        call, hit, greatest = (
            usd.quantize(MILLIONTH) for usd in (spec.price_per_call, spec.price_per_hit, spec.greatest_usd)
        )
        return cls(spec.name, spec.vendor, call, hit, greatest, credit, spec.free_repeat_days)


async def keep_declared_prices(ctx: RunContext, specs: Iterable[ProviderSpec]) -> None:
    """Writes what has changed. Safe to repeat, and while others do the same."""
    warehouse = ctx.warehouse
    declared = [DeclaredPrice.of(spec) for spec in specs]
    prices = table(relation(warehouse, "provider_terms"))

    def changed() -> list[DeclaredPrice]:
        rows = warehouse.rows(
            f"""
            SELECT provider, vendor, per_call_usd, per_hit_usd, greatest_usd, credit_usd, free_repeat_days
            FROM {prices}
            """
        )
        return [each for each in declared if astuple(each) not in rows]

    def write() -> None:
        found = changed()
        for each in found:
            warehouse.execute(f"DELETE FROM {prices} WHERE provider = ?", [each.provider])
        append_rows(warehouse, "provider_terms", [astuple(each) for each in found])

    if changed():
        locks.ensure(warehouse, [_LOCK])
        await locks.locked(warehouse, ctx.clock, [_LOCK], write)

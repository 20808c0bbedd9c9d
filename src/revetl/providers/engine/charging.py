"""What an answer cost: the vendor's own count of credits, or the declared price. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal, InvalidOperation
from typing import Any

from revetl.providers.base import ProvidedValue
from revetl.providers.engine.json_data import is_one_of, value_at
from revetl.providers.grammar import LookupVerdict, NumberLocation, ProviderSpec

_MOST_CREDITS = 10**9
_PLACES = 6


def credits_of(spec: ProviderSpec, headers: Mapping[str, str], body: Any) -> Mapping[str, Decimal]:
    """What the vendor says of its credits: `charged` for this call, `remaining` in the account."""
    rule = spec.price.credits
    if rule is None:
        return {}
    said = {"charged": rule.charged, "remaining": rule.remaining}
    counts = {name: _count(place, headers, body) for name, place in said.items() if place is not None}
    return {name: count for name, count in counts.items() if count is not None}


def _count(place: NumberLocation, headers: Mapping[str, str], body: Any) -> Decimal | None:
    said = headers.get(place.header.lower()) if place.header else value_at(body, place.at or "")
    if isinstance(said, bool) or not isinstance(said, str | int | float):
        return None
    try:
        count = Decimal(str(said))
    except InvalidOperation:
        return None
    # More than an account can hold is no count; the declared price stands then.
    return round(count, _PLACES) if count.is_finite() and 0 <= count < _MOST_CREDITS else None


def charge_of(
    spec: ProviderSpec,
    verdict: LookupVerdict,
    values: Sequence[ProvidedValue],
    credits: Mapping[str, Decimal],
    body: Any,
) -> Decimal:
    """In US dollars: nothing where the vendor says so, its own count of `credits` where it gives one, else the declared
    price. Only an answer costs anything."""
    price = spec.price
    free = price.free_when
    if free is not None and is_one_of(value_at(body, free.at), free.equals):
        return Decimal(0)
    if price.credits is not None and price.credits.usd is not None and "charged" in credits:
        return credits["charged"] * price.credits.usd
    return declared_charge(spec, verdict, values)


def declared_charge(spec: ProviderSpec, verdict: LookupVerdict, values: Sequence[ProvidedValue]) -> Decimal:
    """What an answer costs by the declared price."""
    price = spec.price
    if verdict not in ("hit", "miss"):
        return Decimal(0)
    if verdict == "miss":
        return price.per_call_usd
    filled = {v.field for v in values}
    groups = sum((g.usd for g in price.groups if filled.intersection(g.fields)), Decimal(0))
    return price.per_call_usd + price.per_hit_usd + groups

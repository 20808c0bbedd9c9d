"""Providers that answer at once, from memory: what is left of a run's time is the engine's own."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

from revetl.enrich.waterfall import WaterfallSpec
from revetl.errors import Ambiguous
from revetl.providers.base import Answer, Lookup, OnRequestId, ProvidedValue, Reply
from revetl.providers.grammar import ProviderSpec

FIELDS = ("email", "phone")
INPUTS = ("first_name", "last_name", "company_domain")


class Instant:
    """Finds a value of each field for `hits` of ten lookups, always the same ones."""

    def __init__(self, spec: ProviderSpec, hits: int, batch_size: int = 1) -> None:
        self.spec, self.name = spec, spec.name
        self.batch_size = batch_size
        self.requests = 0
        self._hits = hits

    async def __aenter__(self) -> Instant:
        return self

    async def __aexit__(self, *exc: object) -> None:
        return None

    async def ask(self, lookup: Lookup) -> Answer:
        self.requests += 1
        return self._answer(lookup)

    async def ask_many(self, lookups: Sequence[Lookup], on_request_id: OnRequestId | None = None) -> Sequence[Reply]:
        self.requests += 1
        return [self._answer(lookup) for lookup in lookups]

    async def resume(self, request_id: str, lookups: Sequence[Lookup]) -> Sequence[Reply]:
        raise Ambiguous(f"{self.name} has no jobs")

    def _answer(self, lookup: Lookup) -> Answer:
        number = int(lookup.inputs["last_name"].removeprefix("last"))
        if number * 7919 % 101 % 10 >= self._hits:
            return Answer("miss", 404, (), Decimal(0), 1)
        found = tuple(ProvidedValue(field, f"{field}{number}@{self.name}", 0.9) for field in self.spec.fields)
        return Answer("hit", 200, found, self.spec.price_per_hit, 1, {"id": number})


def spec(name: str, fields: tuple[str, ...], concurrency: int) -> ProviderSpec:
    return ProviderSpec.model_validate(
        {
            "name": name,
            "vendor": name.partition(".")[0],
            "base_url": "https://vendor.example",
            "auth": {"type": "bearer"},
            "entity": "person",
            "inputs": INPUTS,
            "sufficient": [INPUTS],
            "request": {"path": "/x", "query": {name: f"{{{name}}}" for name in INPUTS}},
            "status": [{"http": 200, "verdict": "hit"}],
            "outputs": {field: {"at": f"/{field}"} for field in fields},
            "price": {"per_hit_usd": "0.01"},
            "ttl": {"hit_days": 100, "miss_days": 10},
            "limits": {"concurrency": concurrency},
        }
    )


def vendors(batch_size: int) -> dict[str, Instant]:
    """The first knows six of ten, the second four of ten of the rest."""
    given = (("first.person", FIELDS, 6), ("second.email", ("email",), 4))
    return {name: Instant(spec(name, fields, 64 // batch_size or 4), hits, batch_size) for name, fields, hits in given}


WATERFALL = WaterfallSpec.model_validate(
    {
        "name": "contacts",
        "entity": "golden_contacts",
        "inputs": {name: name for name in INPUTS},
        "fields": {field: {"accept": {"min_confidence": 0.5}} for field in FIELDS},
        "stages": [{"provider": "first.person"}, {"provider": "second.email"}],
        "budget": {"per_run_usd": 1_000_000, "per_day_usd": 1_000_000},
    }
)

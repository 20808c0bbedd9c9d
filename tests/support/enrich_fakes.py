"""Providers in this process that bill, and a world around them. No network."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pyarrow as pa

from revetl.clock import Clock, LoopClock
from revetl.context import RunContext
from revetl.enrich.waterfall import WaterfallSpec
from revetl.errors import Ambiguous
from revetl.model import Relation
from revetl.providers.base import Answer, Lookup, OnRequestId, ProvidedValue, Reply
from revetl.providers.grammar import ProviderSpec
from revetl.state.schema import create_all
from revetl.warehouse.base import Warehouse
from revetl.warehouse.duckdb import DuckDBWarehouse
from tests.support.warehouses import the_warehouse

PEOPLE = Relation("marts", "golden_contacts")
START = datetime(2026, 1, 1, tzinfo=UTC)


def context(warehouse: Warehouse, clock: Clock, run_id: str = "r1", **more: Any) -> RunContext:
    """Of a run on an event loop of its own, so that nothing has to leave that loop."""
    return RunContext(warehouse=warehouse, clock=clock, run_id=run_id, command="enrich", target="dev", **more)


def terms(
    name: str,
    fields: tuple[str, ...],
    *,
    inputs: tuple[str, ...] = ("first_name", "last_name", "company_domain"),
    per_call: str = "0",
    per_hit: str = "0",
    kind: str = "finder",
    free_repeat_days: int = 0,
    concurrency: int = 4,
) -> ProviderSpec:
    verification = {"at": "/v", "map": {"valid": "valid"}} if kind == "verifier" else None
    return ProviderSpec.model_validate(
        {
            "name": name,
            "vendor": name.split(".")[0],
            "base_url": "https://vendor.example",
            "auth": {"type": "bearer"},
            "entity": "person",
            "kind": kind,
            "inputs": inputs,
            "sufficient": [inputs],
            "request": {"path": "/x", "query": {n: f"{{{n}}}" for n in inputs}},
            "status": [{"http": 200, "verdict": "hit"}],
            "outputs": {f: {"at": f"/{f}"} for f in fields},
            "verification": verification,
            "price": {"per_call_usd": per_call, "per_hit_usd": per_hit},
            "free_repeat_days": free_repeat_days,
            "ttl": {"hit_days": 100, "miss_days": 10},
            "limits": {"concurrency": concurrency},
        }
    )


class FakeProvider:
    """Answers after a second of the loop's time from `script(inputs)`; a script may raise. `bill` is what it charged,
    kept on the vendor's side: it survives whatever happens to us."""

    def __init__(self, spec: ProviderSpec, script: Callable[[Mapping[str, str]], Answer]) -> None:
        self.spec = spec
        self.name = spec.name
        self.script = script
        self.bill: list[tuple[str, ...]] = []
        self.billed_usd = Decimal(0)
        self.before_answer: Callable[[], Any] = lambda: None
        self.after_bill: Callable[[], Any] = lambda: None

    async def __aenter__(self) -> FakeProvider:
        return self

    async def __aexit__(self, *exc: object) -> None:
        return None

    @property
    def requests(self) -> int:
        return len(self.bill)

    @property
    def batch_size(self) -> int:
        return 1

    async def ask_many(self, lookups: Sequence[Lookup], on_request_id: OnRequestId | None = None) -> list[Reply]:
        return [await self.ask(lookup) for lookup in lookups]

    async def resume(self, request_id: str, lookups: Sequence[Lookup]) -> list[Reply]:
        raise Ambiguous(f"{self.name} has no jobs")

    async def ask(self, lookup: Lookup) -> Answer:
        self.before_answer()
        answer = self.script(lookup.inputs)
        self.bill.append(tuple(sorted(lookup.inputs.values())))
        self.billed_usd += answer.charged_usd
        self.after_bill()
        await asyncio.sleep(1)
        return answer


def hit(usd: str = "0", **values: str) -> Answer:
    given = tuple(ProvidedValue(f, v, 0.9) for f, v in values.items())
    return Answer("hit", 200, given, Decimal(usd), 5, {"ok": True})


def miss(usd: str = "0") -> Answer:
    return Answer("miss", 404, (), Decimal(usd))


def verdict(word: str, email: str, usd: str = "0") -> Answer:
    return Answer("hit", 200, (ProvidedValue("email", email, None, word),), Decimal(usd))


def waterfall(**changes: Any) -> WaterfallSpec:
    base: dict[str, Any] = {
        "name": "contacts",
        "entity": "golden_contacts",
        "inputs": {"first_name": "first_name", "last_name": "last_name", "company_domain": "company_domain"},
        "fields": {"email": {"accept": {"min_confidence": 0.5, "verified": True}}, "phone": {}},
        "stages": [
            {"provider": "big.person"},
            {"provider": "small.email", "fills": ["email"], "verify": {"email": "check.email"}},
        ],
    }
    base["stages"][0]["verify"] = {"email": "check.email"}
    return WaterfallSpec.model_validate({**base, **changes})


def warehouse_with(people: list[dict[str, str | None]], path: str = ":memory:") -> Warehouse:
    warehouse = the_warehouse() if path == ":memory:" else DuckDBWarehouse(path)
    create_all(warehouse)
    load_people(warehouse, people)
    return warehouse


def load_people(warehouse: Warehouse, people: list[dict[str, str | None]]) -> None:
    columns = ("golden_id", "first_name", "last_name", "company_domain", "email", "phone")
    warehouse.execute("CREATE SCHEMA IF NOT EXISTS marts")
    warehouse.execute("DROP TABLE IF EXISTS marts.golden_contacts")
    warehouse.execute(f"CREATE TABLE marts.golden_contacts ({', '.join(f'{c} VARCHAR' for c in columns)})")
    warehouse.append(PEOPLE, pa.table({c: pa.array([p.get(c) for p in people], pa.string()) for c in columns}))


def person(number: int, **more: str | None) -> dict[str, str | None]:
    base = {
        "golden_id": f"g{number:05d}",
        "first_name": f"First{number}",
        "last_name": f"Last{number}",
        "company_domain": "acme.example",
    }
    return {**base, **more}


def clock() -> LoopClock:
    return LoopClock(START)

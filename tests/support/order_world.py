"""A market of providers whose data is partly the same, as fakes that bill: each knows a share of the people, gives some
false addresses, and resells what another knows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from hashlib import blake2b
from typing import Any

from revetl.enrich.execution.engine import run_waterfall
from revetl.enrich.report import EnrichReport
from revetl.enrich.waterfall import WaterfallSpec
from revetl.providers.base import Answer
from revetl.warehouse.duckdb import DuckDBWarehouse
from tests.support.enrich_fakes import (
    PEOPLE,
    FakeProvider,
    clock,
    context,
    hit,
    miss,
    person,
    terms,
    verdict,
    warehouse_with,
    waterfall,
)
from tests.support.virtual_time import run_virtual

# name → (price per call, price per hit, share that it knows, the provider that it buys half of its data from)
MARKET: Mapping[str, tuple[str, str, float, str | None]] = {
    "big.person": ("0", "0.20", 0.55, None),
    "copy.email": ("0.01", "0.06", 0.50, "big.person"),
    "own.email": ("0.02", "0", 0.35, None),
    "late.email": ("0", "0.10", 0.30, "own.email"),
}
CHECK = "check.email"
CHECK_USD = "0.008"


def draw(*pieces: object) -> float:
    return int.from_bytes(blake2b(repr(pieces).encode(), digest_size=8).digest(), "big") / 2**64


def knows(provider: str, number: int, what: str) -> bool:
    """Whether it has `what` of the person; half of the people it decides about as the one that it buys from."""
    share, seller = MARKET[provider][2:]
    asked = seller if seller and draw("resold", provider, number, what) < 0.5 else provider
    return draw(asked, number, what) < share


def email(provider: str, number: int) -> str:
    """Mostly the true one; false ones are a provider's own or come with the resold data."""
    seller = MARKET[provider][3]
    teller = seller if seller and draw("resold", provider, number, "email") < 0.5 else provider
    return f"{f'bad-{teller[:3]}' if draw(teller, number, 'false') < 0.2 else 'good'}-{number}@acme.example"


def market(*, self_verified: str = "late.email") -> dict[str, FakeProvider]:
    """`self_verified` says of its own addresses whether they are valid: a verifier has nothing to do there."""

    def finder(name: str, fields: Sequence[str]) -> FakeProvider:
        per_call, per_hit, *_ = MARKET[name]

        def script(inputs: Mapping[str, str]) -> Answer:
            n = int(inputs["first_name"].lower().removeprefix("first"))
            given = {}
            if knows(name, n, "email"):
                given["email"] = email(name, n)
            if "phone" in fields and knows(name, n, "phone"):
                given["phone"] = f"+1{n}"
            if not given:
                return miss(per_call)
            whole = str(Decimal(per_call) + Decimal(per_hit))
            answer = hit(whole, **given)
            if name == self_verified and "email" in given:
                word = "invalid" if given["email"].startswith("bad") else "valid"
                told = verdict(word, given["email"]).values
                return Answer("hit", 200, told, Decimal(whole), 5)
            return answer

        return FakeProvider(terms(name, tuple(fields), per_call=per_call, per_hit=per_hit, concurrency=100), script)

    def check(inputs: Mapping[str, str]) -> Answer:
        return verdict("invalid" if inputs["email"].startswith("bad") else "valid", inputs["email"], CHECK_USD)

    made = [finder(name, ("email", "phone") if name == "big.person" else ("email",)) for name in MARKET]
    made.append(
        FakeProvider(
            terms(CHECK, ("email",), inputs=("email",), per_hit=CHECK_USD, kind="verifier", concurrency=100), check
        )
    )
    return {p.name: p for p in made}


def cascade(order: Sequence[str], **more: Any) -> WaterfallSpec:
    stages = [{"provider": name, "verify": {"email": CHECK}} for name in order]
    return waterfall(stages=stages, **more)


def run_market(
    order: Sequence[str], records: int, *, path: str = ":memory:", **more: Any
) -> tuple[DuckDBWarehouse, dict[str, FakeProvider], EnrichReport]:
    warehouse = warehouse_with([person(n) for n in range(records)], path)
    vendors = market()
    spec = cascade(order, **more)
    asked = {name: vendors[name] for name in spec.provider_names}
    report = run_virtual(run_waterfall(context(warehouse, clock(), "r1"), spec, asked, PEOPLE))
    return warehouse, vendors, report

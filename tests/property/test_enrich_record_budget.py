"""What a record has cost in a run, as one statement, against a count of the same ledger row by row."""

from __future__ import annotations

import hashlib
import random
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal

import pytest

from revetl.clock import naive
from revetl.enrich.selection.questions import QuestionSelection
from revetl.enrich.selection.scope import Scope
from revetl.state.appending import append_rows
from revetl.state.schema import TABLES
from tests.simulation.test_enrich_engine import providers
from tests.support.enrich_fakes import PEOPLE, START, person, warehouse_with, waterfall

RUNS = ("this", "this", "earlier")
STATUSES = ("intent", "hit", "miss", "error", "in_doubt")
CAPS = ("0.05", "0.10", "0.30", "0.55")
NOW = START + timedelta(days=1)


@dataclass
class Ledger:
    """Rows by the names of their columns."""

    calls: list[dict[str, object]] = field(default_factory=list)
    values: list[dict[str, object]] = field(default_factory=list)


def question(n: int) -> str:
    inputs = {"company_domain": "acme.example", "first_name": f"first{n}", "last_name": f"last{n}"}
    return hashed(inputs)


def hashed(inputs: dict[str, str]) -> str:
    return hashlib.md5(chr(31).join(f"{name}={inputs[name]}" for name in sorted(inputs)).encode()).hexdigest()


def a_ledger(rng: random.Random, numbers: list[int]) -> Ledger:
    """Calls about some of the people and about some addresses, in both runs; every address waits for its verdict."""
    made = Ledger()

    def call(provider: str, request_hash: str) -> None:
        row = {
            "call_id": f"c{len(made.calls)}",
            "run_id": rng.choice(RUNS),
            "provider": provider,
            "request_hash": request_hash,
            "status": rng.choice(STATUSES),
            "expected_usd": Decimal(rng.choice(("0.01", "0.20"))),
            "charged_usd": rng.choice((None, Decimal("0.07"), Decimal("0.20"))),
            "asked_at": naive(START),
            "answered_at": naive(START),
        }
        made.calls.append(row)

    addresses = [f"A{i}@acme.example" for i in range(4)]
    for n in numbers:
        for _ in range(rng.choice((0, 1, 2, 3))):
            call("big.person", question(n))
    for address in addresses:
        for _ in range(rng.choice((0, 1, 3))):
            call("check.email", hashed({"email": address.lower()}))
    for key in (f"g{i:05d}" for i, _ in enumerate(numbers)):
        for _ in range(rng.choice((0, 0, 1, 2))):
            made.values.append(
                {
                    "entity": rng.choice(("golden_contacts", "golden_contacts", "a list")),
                    "key": key,
                    "field": "email",
                    "value": f" {rng.choice(addresses)}",
                    "provider": rng.choice(("big.person", "big.person", "small.email")),
                    "call_id": "elsewhere",
                    "observed_at": naive(START),
                    "rejected_reason": "not_verified",
                }
            )
    return made


def spent(ledger: Ledger, key: str, number: int) -> Decimal:
    def of(provider: str, request_hash: str) -> Decimal:
        return sum(
            (
                call["expected_usd"] if call["charged_usd"] is None else call["charged_usd"]
                for call in ledger.calls
                if (call["run_id"], call["provider"], call["request_hash"]) == ("this", provider, request_hash)
                and call["status"] != "intent"
            ),
            Decimal(0),
        )

    total = of("big.person", question(number))
    for value in ledger.values:
        if (value["entity"], value["key"], value["provider"]) == ("golden_contacts", key, "big.person"):
            total += of("check.email", hashed({"email": str(value["value"]).strip().lower()}))
    return total


@pytest.mark.parametrize("seed", range(12))
def test_a_record_is_asked_about_where_its_cost_and_the_call_stay_within_its_budget(seed: int) -> None:
    rng = random.Random(seed)
    # Some people are in two records: their question is one, and counts in full for both.
    numbers = [rng.randrange(9) for _ in range(12)]
    ledger = a_ledger(rng, numbers)
    warehouse = warehouse_with([person(n, golden_id=f"g{i:05d}", phone="1") for i, n in enumerate(numbers)])
    for name, rows in (("enrichment_calls", ledger.calls), ("enrichment_values", ledger.values)):
        append_rows(warehouse, name, [[row.get(column) for column, _ in TABLES[name]] for row in rows])
    specs = {name: vendor.spec for name, vendor in providers().items()}
    for cap in CAPS:
        spec = waterfall(budget={"per_record_usd": cap})
        scope = Scope(
            warehouse=warehouse,
            spec=spec,
            providers=specs,
            relation=PEOPLE,
            entity=spec.entity,
            run_id="this",
            now=NOW,
        )
        found = {key for each in QuestionSelection(scope).stream(spec.stages[1]) for key in each.keys}
        the_call = Decimal("0.03") + Decimal("0.01")
        expected = {
            f"g{i:05d}" for i, n in enumerate(numbers) if spent(ledger, f"g{i:05d}", n) + the_call <= Decimal(cap)
        }
        assert found == expected
    costs = {spent(ledger, f"g{i:05d}", n) for i, n in enumerate(numbers)}
    assert min(costs) < Decimal("0.05") < max(costs)  # some may be asked about, and some may not

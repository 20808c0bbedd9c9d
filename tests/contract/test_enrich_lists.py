"""What a list is given out of the ledger, and what it leaves behind."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from revetl.enrich.lists.columns import choose, match_columns
from revetl.enrich.lists.entity_table import entity_name, loaded
from revetl.enrich.lists.winners import found_values, own_verdicts
from revetl.enrich.selection.questions import QuestionSelection
from revetl.enrich.selection.scope import Scope
from revetl.enrich.selection.verifications import VerificationSelection
from revetl.enrich.waterfall import WaterfallSpec
from revetl.errors import ConfigError
from revetl.providers.grammar import load_providers
from revetl.state.appending import append_rows
from revetl.state.calls import CallOutcome, PaidCall, append_outcomes
from revetl.state.schema import create_all, relation
from revetl.state.values import ValueRow, append_values
from revetl.warehouse.base import Warehouse
from revetl.warehouse.sql import table
from tests.support.warehouses import PARAMS, new_warehouse

NOW = datetime(2026, 6, 1, tzinfo=UTC)
TERMS = load_providers(Path(__file__).resolve().parents[2] / "enrichment/providers")
PDL, APOLLO, HUNTER = "people_data_labs.person", "apollo.person", "hunter.email_finder"


class People:
    header = ("first name", "last name", "domain", "phone")

    def chunks(self) -> Iterator[list[tuple[Any, ...]]]:
        yield [("Ada", "Lovelace", "x.example", None)]
        yield [("Grace", "Hopper", "x.example", " "), ("Alan", "Turing", "x.example", "+9")]


def spec(**email: Any) -> WaterfallSpec:
    return WaterfallSpec.model_validate(
        {
            "name": "people",
            "entity": "golden_contacts",
            "inputs": {"first_name": "first_name", "last_name": "last_name", "company_domain": "company_domain"},
            "fields": {"email": email, "phone": {}},
            "stages": [{"provider": PDL}, {"provider": APOLLO}, {"provider": HUNTER, "fills": ["email"]}],
        }
    )


@pytest.fixture(params=PARAMS)
def warehouse(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Warehouse]:
    with new_warehouse(request.param, tmp_path) as made:
        create_all(made)
        yield made


def given(
    warehouse: Warehouse, spec: WaterfallSpec, *values: tuple[str, str, str, float | None, int]
) -> dict[str, tuple[str, str]]:
    """What the first row is given of (field, value, provider, confidence, age in days)."""
    match = match_columns(spec, People.header)
    with loaded(warehouse, match, People(), NOW) as held:
        input_ = held.relation
        [(key,)] = warehouse.rows(f"SELECT golden_id FROM {table(input_)} WHERE row_no = 0")
        rows = [
            ValueRow(
                entity_name(spec),
                str(key),
                field,
                value,
                provider,
                sure,
                None,
                f"c{i}",
                NOW - timedelta(days=age),
                NOW + timedelta(days=90 - age),
                None,
            )
            for i, (field, value, provider, sure, age) in enumerate(values)
        ]
        append_values(warehouse, rows)
        for priced in (False, True):
            chunks = list(found_values(warehouse, match, TERMS, People(), input_, NOW, priced=priced))
            first, second, third = (found for _, chunk in chunks for found in chunk)
            assert second == {}
            assert (third["phone"].value, third["phone"].source) == ("+9", "input")
    return {field: (found.value, found.source) for field, found in first.items()}


def test_the_earliest_stage_first_and_its_newest_answer(warehouse: Warehouse) -> None:
    values = [
        ("email", "old@x.example", PDL, 0.9, 9),
        ("email", "new@x.example", PDL, 0.6, 1),
        ("email", "sure@x.example", HUNTER, 1.0, 0),
        ("phone", "+1", APOLLO, None, 100),
    ]
    # The phone has expired.
    assert given(warehouse, spec(), *values) == {"email": ("new@x.example", PDL)}


def test_what_a_verifier_is_not_sure_of_is_no_blank(warehouse: Warehouse) -> None:
    match = match_columns(spec(), People.header)
    with loaded(warehouse, match, People(), NOW) as held:
        keys = [str(row[0]) for row in warehouse.rows(f"SELECT golden_id FROM {table(held.relation)} ORDER BY row_no")]
        said = [
            (keys[0], "all@x.example", PDL, "catch_all", "catch_all"),
            (keys[1], "all@x.example", PDL, "catch_all", "catch_all"),
            (keys[1], "sure@x.example", HUNTER, "valid", None),
            (keys[2], "false@x.example", PDL, "invalid", "invalid"),
        ]
        rows = [
            ValueRow(
                entity_name(spec()), key, "email", value, by, 0.9, word, f"c{i}", NOW, NOW + timedelta(days=9), why
            )
            for i, (key, value, by, word, why) in enumerate(said)
        ]
        append_values(warehouse, rows)
        chunks = found_values(warehouse, match, TERMS, People(), held.relation, NOW)
        found = [known.get("email") for _, chunk in chunks for known in chunk]
    assert [(f.value, f.verification) if f else None for f in found] == [
        ("all@x.example", "catch_all"),
        ("sure@x.example", "valid"),
        None,
    ]


def test_a_stop_rule_says_what_is_looked_for(warehouse: Warehouse) -> None:
    values = [
        ("email", "one@x.example", PDL, 0.7, 0),
        ("email", "Two@x.example", APOLLO, 0.8, 0),
        ("email", "two@x.example ", HUNTER, 0.6, 0),
    ]
    assert given(warehouse, spec(stop={"agree": 2}), *values)["email"] == ("Two@x.example", APOLLO)
    assert given(warehouse, spec(stop={"confidence": 0.8}))["email"] == ("Two@x.example", APOLLO)
    # Two that copy each other are one: nobody agrees, and the order decides.
    one = spec(stop={"agree": 2}).model_copy(update={"same_source": (("apollo", "hunter"),)})
    assert given(warehouse, one)["email"] == ("one@x.example", PDL)


def test_what_a_killed_process_left_goes_when_it_is_old(warehouse: Warehouse) -> None:
    names = {"adhoc_input__20260529_00ff", "adhoc_input__20260531_00ff", "adhoc_inputs_of_mine"}
    for name in names:
        warehouse.execute(f"CREATE TABLE {table(relation(warehouse, name))} (x INTEGER)")
    given(warehouse, spec())
    left = {name for name in warehouse.tables("revetl") if name.startswith("adhoc")}
    assert left == names - {"adhoc_input__20260529_00ff"}


def test_columns_that_are_named() -> None:
    waterfalls = {"people": spec()}
    match = choose(waterfalls, TERMS, ("Vorname", "last name", "domain"), {"first_name": "Vorname"})
    assert match.inputs == {"first_name": "Vorname", "last_name": "last name", "company_domain": "domain"}
    with pytest.raises(ConfigError, match="no waterfall can be run"):
        choose(waterfalls, TERMS, People.header, {"company_domain": None})
    with pytest.raises(ConfigError, match="Did you mean 'domain'"):
        choose(waterfalls, TERMS, People.header, {"company_domain": "domaine"})


def test_what_the_cells_cost_is_what_was_charged(warehouse: Warehouse) -> None:
    """Also where a miss was charged, where a field came that is not wanted, and where one answer served a model too."""
    match = match_columns(spec(), People.header)
    calls, values = [], []

    def charged(call: str, provider: str, status: str, usd: str, *keys: str) -> None:
        paid = PaidCall(call, "r", "people", provider, keys, call, "v", Decimal(1), NOW)
        calls.append((paid, CallOutcome(status, NOW, 200, Decimal(usd))))  # type: ignore[arg-type]

    def gave(
        call: str, provider: str, entity: str, key: str, field: str, value: str, verdict: str | None = None
    ) -> None:
        rejected = "invalid" if verdict == "invalid" else None
        row = (entity, key, field, value, provider, None, verdict, call, NOW, NOW + timedelta(days=90), rejected)
        values.append(row)

    with loaded(warehouse, match, People(), NOW) as held:
        scope = Scope(
            warehouse=warehouse,
            spec=spec(),
            providers=TERMS,
            relation=held.relation,
            entity=entity_name(spec()),
            run_id="r",
            now=NOW,
        )
        people = QuestionSelection(scope).population()
        rows = warehouse.rows(f"SELECT key FROM ({people.sql}) AS p ORDER BY key", people.params)
        ada, grace, alan = (str(key) for (key,) in rows)
        listed = entity_name(spec())
        charged("hit", PDL, "hit", "0.30", ada)
        for field in ("phone", "city", "email"):
            gave("hit", PDL, listed, ada, field, "a@x.example", "invalid" if field == "email" else None)
        charged("unwanted", PDL, "hit", "0.20", alan)
        gave("unwanted", PDL, listed, alan, "city", "Paris")
        gave("unwanted", PDL, "golden_contacts", "g1", "city", "Paris")
        charged("miss", PDL, "miss", "0.05", grace)
        charged("miss 2", APOLLO, "miss", "0.02", grace)
        charged("verdict", "zerobounce.validate", "hit", "0.01", ada)
        gave("verdict", "zerobounce.validate", "verification", "a@x.example", "email", "a@x.example", "invalid")
        append_outcomes(warehouse, calls)
        append_rows(
            warehouse,
            "enrichment_values",
            [(*v, "zerobounce.validate" if v[2] == "email" and v[0] == listed else None) for v in values],
        )
        found = [
            f
            for _, chunk in found_values(warehouse, match, TERMS, People(), held.relation, NOW, priced=True)
            for f in chunk
        ]
    costs = sorted(round(v.cost_usd or 0, 6) for known in found for v in known.values() if v.cost_usd)
    # Ada's phone, her email and its verdict; Grace's misses; what told where Alan is, which nobody wanted.
    assert costs == [0.07, 0.15, 0.16, 0.2]


class Addresses:
    header = ("email", "last name")

    def chunks(self) -> Iterator[list[tuple[Any, ...]]]:
        yield [("A@x.example", "Aa"), ("b@x.example", "Bb"), ("c@x.example", "Cc")]


def test_verdicts_on_what_a_list_holds_itself(warehouse: Warehouse) -> None:
    verifying = WaterfallSpec.model_validate(
        {
            "name": "people",
            "entity": "golden_contacts",
            "inputs": {"email": "email", "last_name": "last_name"},
            "fields": {"email": {"accept": {"verified": True}}},
            "stages": [{"provider": PDL, "verify": {"email": "zerobounce.validate"}}],
        }
    )
    later = NOW + timedelta(days=90)
    said = [
        ValueRow(
            "verification", address, "email", address, "zerobounce.validate", None, verdict, address, NOW, later, None
        )
        for address, verdict in (("a@x.example", "valid"), ("b@x.example", "catch_all"))
    ]
    append_values(warehouse, said)
    match = match_columns(verifying, Addresses.header)
    with loaded(warehouse, match, Addresses(), NOW) as held:
        [(_, found)] = found_values(warehouse, match, TERMS, Addresses(), held.relation, NOW)
        told = [(known["email"].value, known["email"].source, known["email"].verification) for known in found]
        assert told == [
            ("a@x.example", "input", "valid"),
            ("b@x.example", "input", "catch_all"),
            ("c@x.example", "input", None),
        ]
        assert own_verdicts(warehouse, verifying, held.relation) == {
            "email": {"catch_all": 1, "not verified": 1, "valid": 1}
        }
        scope = Scope(
            warehouse=warehouse,
            spec=verifying,
            providers=TERMS,
            relation=held.relation,
            entity=entity_name(verifying),
            run_id="r",
            now=NOW,
        )
        # One waits for its verifier; who has a false one is looked for, and at the most whoever may have.
        assert VerificationSelection(scope).count_unverified("email", "zerobounce.validate") == 1
        [stage] = verifying.stages
        assert QuestionSelection(scope).count(stage) == 1
        assert QuestionSelection(replace(scope, doubted_own=True)).count(stage) == 2
    left = warehouse.rows("SELECT count(*) FROM revetl.enrichment_values WHERE provider = 'input'")
    assert left == [(0,)]

"""When a field is found, when it is looked for again, and what is never paid for twice."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from revetl.clock import LoopClock
from revetl.enrich.waterfall import load_waterfalls
from revetl.errors import ConfigError
from revetl.providers.base import Answer, ProvidedValue
from tests.simulation.test_enrich_engine import bills, enrich, providers
from tests.support.enrich_fakes import (
    START,
    FakeProvider,
    hit,
    load_people,
    person,
    terms,
    verdict,
    warehouse_with,
    waterfall,
)

NAMES = ("one.email", "two.email", "three.email")


def sure(email: str, confidence: float | None) -> Answer:
    return Answer("hit", 200, (ProvidedValue("email", email, confidence),), Decimal("0.10"))


def vendors(*answers: Answer, groups: Mapping[str, str] | None = None) -> dict[str, FakeProvider]:
    made = {}
    for name, answer in zip(NAMES, answers, strict=False):
        spec = terms(name, ("email",), per_hit="0.10")
        spec = spec.model_copy(update={"source_group": (groups or {}).get(spec.vendor)})
        made[name] = FakeProvider(spec, lambda inputs, answer=answer: answer)
    return made


def spec(stop: Any, names: tuple[str, ...] = NAMES, **more: Any) -> Any:
    return waterfall(fields={"email": {"stop": stop}}, stages=[{"provider": name} for name in names], **more)


def asked(found: dict[str, FakeProvider], rule: Any, **more: Any) -> list[int]:
    warehouse = warehouse_with([person(1)])
    names = tuple(found)
    enrich(warehouse, found, spec=spec(rule, names, **more))
    first = [len(v.bill) for v in found.values()]
    enrich(warehouse, found, run_id="r2", spec=spec(rule, names, **more))
    assert [len(v.bill) for v in found.values()] == first, "a second run asks nothing"
    return first


def test_the_first_accepted_value_is_enough_unless_told():
    assert asked(vendors(sure("a@x.example", 0.6), sure("b@x.example", 0.95)), "first_accepted") == [1, 0]


def test_a_field_is_asked_for_until_somebody_is_sure():
    three = (sure("a@x.example", 0.6), sure("b@x.example", 0.95), sure("c@x.example", 0.99))
    assert asked(vendors(*three), {"confidence": 0.9}) == [1, 1, 0]
    nobody = (sure("a@x.example", 0.6), sure("b@x.example", None), sure("c@x.example", 0.8))
    assert asked(vendors(*nobody), {"confidence": 0.9}) == [1, 1, 1]


def test_a_field_is_asked_for_until_two_agree():
    same = (sure("a@x.example", 0.6), sure(" A@x.example ", 0.6), sure("c@x.example", 0.9))
    assert asked(vendors(*same), {"agree": 2}) == [1, 1, 0]
    others = (sure("a@x.example", 0.6), sure("b@x.example", 0.6), sure("b@x.example", 0.9))
    assert asked(vendors(*others), {"agree": 2}) == [1, 1, 1]


def test_vendors_with_their_data_from_one_place_are_one_witness():
    same = (sure("a@x.example", 0.6), sure("a@x.example", 0.6), sure("a@x.example", 0.9))
    assert asked(vendors(*same, groups={"one": "shop", "two": "shop"}), {"agree": 2}) == [1, 1, 1]
    assert asked(vendors(*same), {"agree": 2}, same_source=[["one", "two"]]) == [1, 1, 1]
    assert asked(vendors(*same, groups={"one": "two"}), {"agree": 2}) == [1, 1, 1], "resold: the group is the source"
    assert asked(vendors(*same), {"agree": 2}, same_source=[["one", "three"]]) == [1, 1, 0]


def test_two_endpoints_of_one_vendor_are_one_witness():
    one = FakeProvider(terms("one.email", ("email",)), lambda i: sure("a@x.example", 0.9))
    other = FakeProvider(terms("one.person", ("email",)), lambda i: sure("a@x.example", 0.9))
    last = FakeProvider(terms("two.email", ("email",)), lambda i: sure("a@x.example", 0.9))
    assert asked({"one.email": one, "one.person": other, "two.email": last}, {"agree": 2}) == [1, 1, 1]


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("stop: {agree: 2}", "2 sources can never agree on 'email': 1 independent ones fill it"),
        ("stop: {agree: 1}", "greater than or equal to 2"),
        ("stop: {agree: 2, confidence: 0.5}", "either 'confidence' or 'agree'"),
        ("refresh_after: 180", "an age is written as 180d or 26w"),
    ],
)
def test_mistakes_have_their_line(tmp_path: Path, written: str, said: str):
    (tmp_path / "w.yml").write_text(
        "name: contacts\nentity: golden_contacts\ninputs: {first_name: first_name, last_name: last_name,"
        f" company_domain: company_domain}}\nfields:\n  email: {{{written}}}\nstages:\n  - provider: one.email\n"
        "budget: {providers: {one.email: {per_day_usd: 3}}}\n"
    )
    with pytest.raises(ConfigError, match=r"w\.yml:5: ") as caught:
        load_waterfalls(tmp_path, {"one.email": terms("one.email", ("email",))})
    assert said in str(caught.value)


def test_a_budget_for_somebody_who_is_not_asked_is_a_mistake(tmp_path: Path):
    (tmp_path / "w.yml").write_text(
        "name: contacts\nentity: golden_contacts\ninputs: {first_name: first_name, last_name: last_name,"
        " company_domain: company_domain}\nfields: {email: }\nstages:\n  - provider: one.email\n"
        "budget: {providers: {one.emial: {per_day_usd: 3}}}\n"
    )
    with pytest.raises(ConfigError, match=r"w\.yml:7: 'one.emial' is not asked(.|\n)*'one.email'"):
        load_waterfalls(tmp_path, {"one.email": terms("one.email", ("email",))})


def test_a_value_is_refreshed_by_its_age_and_stands_until_then():
    warehouse = warehouse_with([person(1, phone="1")])
    found = vendors(sure("a@x.example", 0.9))
    rule = waterfall(fields={"email": {"refresh_after": "30d"}}, stages=[{"provider": "one.email"}])
    counts = []
    for run, days in enumerate((0, 29, 31, 40)):
        report = enrich(warehouse, found, run_id=f"r{run}", spec=rule, clock=LoopClock(START + timedelta(days=days)))
        counts.append(len(found["one.email"].bill))
        assert report.fields["email"].filled_after == 1
    assert counts == [1, 1, 2, 2]
    assert len(warehouse.rows("SELECT DISTINCT call_id FROM revetl.enrichment_values")) == 2


def test_another_field_of_the_same_answer_is_not_bought_again_by_a_refresh():
    warehouse = warehouse_with([person(1)])
    found = {"one.email": FakeProvider(terms("one.email", ("email", "phone")), lambda i: sure("a@x.example", 0.9))}
    rule = waterfall(
        fields={"email": {"refresh_after": "30d"}, "phone": {}}, stages=[{"provider": "one.email"}], refresh_after="90d"
    )
    counts = []
    # The phone was not known: at 31 days only the email may be asked for, by whoever lacks it.
    for run, (days, own) in enumerate(((0, None), (31, "own@x.example"), (31, None), (95, "own@x.example"))):
        load_people(warehouse, [person(1, email=own)])
        enrich(warehouse, found, run_id=f"r{run}", spec=rule, clock=LoopClock(START + timedelta(days=days)))
        counts.append(len(found["one.email"].bill))
    assert counts == [1, 1, 2, 2]


def test_what_one_vendor_calls_invalid_is_not_verified_when_another_brings_it_or_another_key_has_it():
    def calls_it_invalid(inputs: Mapping[str, str]) -> Answer:
        return Answer("hit", 200, (ProvidedValue("email", "Bad@x.example", 0.9, "invalid"),), Decimal("0.20"))

    warehouse = warehouse_with([person(1, phone="1")])
    found = providers(
        big=calls_it_invalid,
        small=lambda i: hit("0.03", email="bad@X.example"),
        check=lambda i: verdict("valid", i["email"]),
    )
    enrich(warehouse, found)
    assert bills(found) == {"big.person": 1, "small.email": 1, "check.email": 0}
    load_people(warehouse, [person(1, phone="1"), person(2, phone="1")])
    enrich(warehouse, found, run_id="r2")
    assert bills(found) == {"big.person": 2, "small.email": 2, "check.email": 0}
    reasons = warehouse.rows("SELECT DISTINCT rejected_reason FROM revetl.enrichment_values")
    assert reasons == [("invalid",)]

"""What is read out of the ledger: who was asked, at what price, and what nobody knows."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from revetl.enrich.execution.engine import run_waterfall
from revetl.enrich.options import WaterfallOptions
from revetl.enrich.ordering.asked_records import UNABLE, record_count
from revetl.enrich.ordering.history import History, HistoryFilter, read_history
from revetl.enrich.ordering.replay import replay
from revetl.errors import ConfigError
from revetl.providers.base import Answer
from revetl.state.calls import CallOutcome, PaidCall, append_outcomes
from revetl.warehouse.duckdb import DuckDBWarehouse
from tests.support.enrich_fakes import (
    PEOPLE,
    START,
    FakeProvider,
    clock,
    context,
    hit,
    load_people,
    miss,
    person,
    terms,
    verdict,
    warehouse_with,
    waterfall,
)
from tests.support.virtual_time import run_virtual

N = 60


def number(inputs: Mapping[str, str]) -> int:
    return int(inputs["first_name"].lower().removeprefix("first"))


def big(inputs: Mapping[str, str]) -> Answer:
    """Charged for an address only; every fourth person has nothing."""
    n = number(inputs)
    if n % 4 == 0:
        return miss()
    return hit("0.20", email=f"good{n}@acme.example", phone=f"+{n}") if n % 4 == 1 else hit("0", phone=f"+{n}")


def small(inputs: Mapping[str, str]) -> Answer:
    n = number(inputs)
    return hit("0.03", email=f"good{n}@acme.example") if n % 3 else miss("0.01")


def check(inputs: Mapping[str, str]) -> Answer:
    return verdict("valid", inputs["email"], "0.01")


def vendors(**changes: Any) -> dict[str, FakeProvider]:
    made = [
        FakeProvider(terms("big.person", ("email", "phone"), per_hit="0.20"), big),
        FakeProvider(terms("small.email", ("email",), **{"per_hit": "0.03", **changes}), small),
        FakeProvider(terms("check.email", ("email",), inputs=("email",), per_hit="0.01", kind="verifier"), check),
    ]
    return {p.name: p for p in made}


def enrich(warehouse: DuckDBWarehouse, asked: dict[str, FakeProvider], spec: Any, **more: Any) -> Any:
    ctx = context(warehouse, clock(), more.pop("run_id", "r1"))
    run = run_waterfall(ctx, spec, asked, PEOPLE, WaterfallOptions(**more))
    return run_virtual(run)


def read(warehouse: DuckDBWarehouse, asked: dict[str, FakeProvider], spec: Any, **more: Any) -> History:
    known = {name: p.spec for name, p in asked.items()}
    only = HistoryFilter(**more)
    return read_history(warehouse, spec, known, PEOPLE, now=START + timedelta(days=1), only=only)


def test_charges_are_those_of_the_answer_even_where_they_depend_on_what_was_found():
    warehouse, asked, spec = warehouse_with([person(n) for n in range(N)]), vendors(), waterfall(audit={"share": 1})
    report = enrich(warehouse, asked, spec)
    history = read(warehouse, asked, spec)
    charges = {(round(c.replies[0].usd, 6), c.replies[0].fills) for c in history.asked_records}
    assert charges == {(0.0, 0), (0.2, 3), (0.0, 2)}
    price = history.prices[0]
    assert (price.least_hit, price.greatest_hit) == (0.0, 0.2)
    assert price.per_hit == pytest.approx(0.2 / 3)
    assert history.prices[1].per_call == pytest.approx(0.01)  # a miss was charged, whatever the file says
    assert history.checks == (0.01, 0.01)
    whole = sum(c.weight * (sum(r.usd for r in c.replies)) for c in history.asked_records)
    checks = report.providers["check.email"].spent_usd
    assert whole == pytest.approx(float(report.spent_usd - checks))


def test_who_was_not_asked_is_unknown_and_who_cant_be_is_unable():
    people = [person(n, last_name=None if n % 10 == 0 else f"Last{n}") for n in range(N)]
    stages = [
        {"provider": "big.person", "verify": {"email": "check.email"}},
        {"provider": "small.email", "verify": {"email": "check.email"}, "when": "golden_id < 'g00030'"},
    ]
    warehouse, asked, spec = warehouse_with(people), vendors(), waterfall(stages=stages)
    enrich(warehouse, asked, spec)
    history = read(warehouse, asked, spec)
    assert record_count(history.asked_records) == N - N / 10  # without inputs nobody can be asked: no history
    unknown = [c for c in history.asked_records if c.replies[1] is None]
    assert record_count(unknown) == sum(1 for n in range(30) if n % 4 == 1 and n % 10)
    assert all(c.replies[0].fills == 3 for c in unknown)
    shut = [c for c in history.asked_records if c.replies[1] is UNABLE]
    assert record_count(shut) == sum(1 for n in range(30, N) if n % 10)


def test_segments_and_fields_are_looked_at_alone():
    warehouse, asked, spec = warehouse_with([person(n) for n in range(N)]), vendors(), waterfall(audit={"share": 1})
    enrich(warehouse, asked, spec)
    history = read(warehouse, asked, spec, segment="CASE WHEN golden_id < 'g00020' THEN 'early' END", fields=["phone"])
    assert {name: record_count(asked_records) for name, asked_records in history.segments.items()} == {
        "": N - 20,
        "early": 20,
    }
    assert [candidate.name for candidate in history.candidates] == ["big.person"]
    assert replay(history.candidates, history.asked_records, [0]).filled == N * 3 / 4


def test_records_that_share_a_question_share_its_price():
    people = [person(n, company_domain=f"c{n % 5}.example") for n in range(N)]

    def by_company(inputs: Mapping[str, str]) -> Answer:
        return hit("0.50", phone=f"+{inputs['company_domain'][1]}")

    firm = FakeProvider(terms("firm.phone", ("phone",), inputs=("company_domain",), per_hit="0.50"), by_company)
    asked = {"firm.phone": firm}
    spec = waterfall(fields={"phone": {}}, stages=[{"provider": "firm.phone"}])
    warehouse = warehouse_with(people)
    report = enrich(warehouse, asked, spec)
    history = read(warehouse, asked, spec)
    assert history.prices[0].questions_per_record == pytest.approx(5 / N)
    told = replay(history.candidates, history.asked_records, [0])
    assert (told.usd, told.filled) == (pytest.approx(float(report.spent_usd)), N)


def test_a_free_repeat_is_no_price_and_makes_calls_cheaper_by_its_share():
    asked = vendors(free_repeat_days=30)
    spec = waterfall(audit={"share": 1})
    warehouse = warehouse_with([person(n) for n in range(1, 5)])
    enrich(warehouse, asked, spec)
    again = START + timedelta(days=2)
    for hash_, call_id in warehouse.rows(
        "SELECT request_hash, call_id FROM revetl.enrichment_calls WHERE provider = 'small.email' AND status = 'hit'"
        " ORDER BY call_id LIMIT 1"
    ):
        call = PaidCall(f"{call_id}x", "r2", "contacts", "small.email", ("g",), str(hash_), "v", Decimal("0.03"), again)
        append_outcomes(warehouse, [(call, CallOutcome("hit", again, 200, Decimal(0)))])
    history = read(warehouse, asked, spec)
    price = history.prices[1]
    assert price.free_share == pytest.approx(1 / 5)
    assert price.per_call + price.per_hit == pytest.approx(0.03)
    paid = {round(c.replies[1].usd, 6) for c in history.asked_records if c.replies[1].hit}
    assert paid == {round(0.03 * 4 / 5, 6)}


def test_an_answer_to_a_list_that_was_never_judged_for_the_model_is_not_known():
    asked, spec = vendors(), waterfall()
    warehouse = warehouse_with([person(n) for n in range(N)])
    enrich(warehouse, asked, spec)
    values = "SELECT count(*) FROM revetl.enrichment_values WHERE provider = 'small.email'"
    assert warehouse.rows(values)[0][0] > 0
    warehouse.execute("UPDATE revetl.enrichment_values SET entity = 'adhoc:contacts' WHERE provider = 'small.email'")
    history = read(warehouse, asked, spec)
    hits = [c for c in history.asked_records if c.replies[1] is not None and c.replies[1].hit]
    assert not hits
    assert any(c.replies[1] is None for c in history.asked_records)
    assert any(c.replies[1] is not None for c in history.asked_records)  # a miss is a miss for everybody


def test_what_the_record_holds_itself_is_not_wanted():
    people = [person(n, phone="+1" if n % 2 else None) for n in range(N)]
    warehouse, asked, spec = warehouse_with(people), vendors(), waterfall(audit={"share": 1})
    enrich(warehouse, asked, spec)
    history = read(warehouse, asked, spec)
    assert {c.wants for c in history.asked_records} == {1, 3}
    load_people(warehouse, [person(n, phone="+1", email="a@b.example") for n in range(N)])
    assert read(warehouse, asked, spec).asked_records == ()


def test_answers_from_before_do_not_count():
    warehouse, asked, spec = warehouse_with([person(n) for n in range(N)]), vendors(), waterfall()
    enrich(warehouse, asked, spec)
    warehouse.execute(
        "UPDATE revetl.enrichment_calls SET answered_at = answered_at - INTERVAL 90 DAY, charged_usd = 7"
        " WHERE provider = 'small.email'"
    )
    assert read(warehouse, asked, spec).prices[1].per_call == 7
    recent = read(warehouse, asked, spec, since=START - timedelta(days=30))
    assert all(c.replies[1] is None for c in recent.asked_records)
    assert recent.prices[1].per_call + recent.prices[1].per_hit == pytest.approx(0.03)


def test_a_field_is_filled_by_the_rule_that_ends_its_search():
    """The fakes are sure to 0.9."""
    stages = [{"provider": "big.person"}, {"provider": "small.email"}]
    for confidence, filled in ((0.9, True), (0.95, False)):
        spec = waterfall(fields={"email": {"stop": {"confidence": confidence}}}, stages=stages, audit={"share": 1})
        warehouse, asked = warehouse_with([person(n) for n in range(N)]), vendors()
        enrich(warehouse, asked, spec)
        told = read(warehouse, asked, spec)
        assert any(r.hit for c in told.asked_records for r in c.replies)
        assert any(r.fills for c in told.asked_records for r in c.replies) is filled
    agreed = waterfall(fields={"email": {"stop": {"agree": 2}}, "phone": {}}, stages=stages)
    with pytest.raises(ConfigError, match="2 sources agree"):
        read(warehouse, asked, agreed)
    assert read(warehouse, asked, agreed, fields=["phone"]).fields == ("phone",)


def test_an_audited_record_is_complete_without_who_has_nothing_that_it_wants():
    known = [person(n, email=f"own{n}@acme.example") for n in range(N)]
    warehouse, asked, spec = warehouse_with(known), vendors(), waterfall(audit={"share": 1})
    enrich(warehouse, asked, spec)
    assert not asked["small.email"].bill
    asked_records = read(warehouse, asked, spec).asked_records
    assert record_count(asked_records) == N
    assert all(case.complete and case.replies[1] == UNABLE for case in asked_records)

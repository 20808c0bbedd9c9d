"""Stages that work at the same time on parts of the records: the same result and the same bill as one after another."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any

import pytest

from revetl.enrich.selection import partition
from revetl.enrich.selection.questions import QuestionSelection
from revetl.providers.base import Answer
from tests.simulation.test_enrich_crash import COUNTED, SPENT, Crash, Dying
from tests.simulation.test_enrich_engine import bills, enrich, number, providers
from tests.simulation.test_enrich_jobs import JOB
from tests.support.enrich_fakes import FakeProvider, hit, load_people, miss, person, terms, warehouse_with, waterfall
from tests.support.enrich_job_fakes import JobVendor

PEOPLE_N = 24


@pytest.fixture(autouse=True)
def _small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(partition, "MIN_RECORDS", 6)


def people() -> Any:
    return warehouse_with([person(n) for n in range(PEOPLE_N)])


def sequential(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(partition, "MIN_RECORDS", 10_000)


def outcome(warehouse: Any) -> Any:
    return warehouse.rows(
        "SELECT key, field, value, provider, rejected_reason FROM revetl.enrichment_values"
        " WHERE entity <> 'verification' ORDER BY 1, 2, 3, 4, 5"
    )


def test_the_same_values_and_the_same_bill_as_stage_after_stage(monkeypatch: pytest.MonkeyPatch) -> None:
    warehouse, vendors = people(), providers()
    report = enrich(warehouse, vendors)
    sequential(monkeypatch)
    other, others = people(), providers()
    expected = enrich(other, others)
    assert bills(vendors) == bills(others)
    assert outcome(warehouse) == outcome(other)
    assert report.fields == expected.fields
    assert report.spent_usd == expected.spent_usd == sum((v.billed_usd for v in vendors.values()), Decimal(0))
    assert warehouse.rows(SPENT) == warehouse.rows(COUNTED)
    assert enrich(warehouse, vendors, run_id="r2").asked == 0


def first_call(vendor: FakeProvider, log: list[str]) -> None:
    vendor.before_answer = lambda: log.append(vendor.name)


def test_the_second_provider_begins_before_the_first_is_done_unless_money_might_not_suffice() -> None:
    for limit, together in ((None, True), (Decimal(1000), True), (Decimal("4.00"), False)):
        vendors, log = providers(), list[str]()
        for name in ("big.person", "small.email"):
            first_call(vendors[name], log)
        enrich(people(), vendors, max_spend_usd=limit)
        last_of_first = max(i for i, name in enumerate(log) if name == "big.person")
        assert (log.index("small.email") < last_of_first) is together, limit


def test_equal_questions_in_several_parts_are_one_call() -> None:
    warehouse = warehouse_with([person(1, golden_id=f"twin{n}", phone="1") for n in range(PEOPLE_N)])
    vendors = providers()
    report = enrich(warehouse, vendors)
    assert all(count <= 1 for vendor in vendors.values() for count in Counter(vendor.bill).values())
    assert report.fields["email"].filled_after in (0, PEOPLE_N)


def test_an_address_that_two_providers_give_is_verified_once() -> None:
    """Both stages verify at the same time, with one verifier."""

    def one(inputs: Mapping[str, str]) -> Answer:
        return hit("0.01", email="desk@acme.example") if number(inputs) % 2 else miss()

    def two(inputs: Mapping[str, str]) -> Answer:
        return hit("0.01", email="desk@acme.example")

    vendors = providers(big=one, small=two)
    enrich(people(), vendors)
    assert max(Counter(vendors["check.email"].bill).values()) == 1


def crashed_at(step: int) -> Iterator[tuple[Any, dict[str, FakeProvider]]]:
    warehouse, vendors = people(), providers()
    with pytest.raises(Crash):
        enrich(Dying(warehouse, step), vendors)
    yield warehouse, vendors
    warehouse.close()


def test_after_a_crash_nothing_is_paid_twice() -> None:
    whole = Dying(people(), 0)
    enrich(whole, providers())
    for step in range(20, whole.steps, whole.steps // 5):
        for warehouse, vendors in crashed_at(step):
            enrich(warehouse, vendors, run_id="r2")
            enrich(warehouse, vendors, run_id="r3")
            for vendor in vendors.values():
                assert all(n == 1 for n in Counter(vendor.bill).values()), f"step {step}: {vendor.name} was paid twice"
            known = warehouse.rows(
                "SELECT coalesce(sum(coalesce(charged_usd, expected_usd)), 0) FROM revetl.enrichment_calls"
                " WHERE status <> 'intent'"
            )[0][0]
            assert known >= sum((v.billed_usd for v in vendors.values()), Decimal(0))


def test_batches_are_filled_from_several_parts_and_their_jobs_wait_together() -> None:
    """Six records a part, four a batch."""
    job = JOB.model_copy(update={"at_once": 8})
    spec = terms("jobs.email", ("email",)).model_copy(update={"job": job})
    jobs = JobVendor(spec, lambda _: hit(email="x@acme.example"), 4)
    waiting, most = 0, 0

    def watch(moment: str) -> None:
        nonlocal waiting, most
        waiting += {"submit": 1, "polled": -1}.get(moment, 0)
        most = max(most, waiting)

    jobs.dies = watch
    one = waterfall(fields={"email": {}}, stages=[{"provider": "jobs.email"}])
    report = enrich(people(), {"jobs.email": jobs}, spec=one)
    assert report.asked == PEOPLE_N
    assert jobs.sizes == [4] * 6
    assert most > 2, "jobs of more than one part"


def test_a_provider_is_asked_on_while_its_values_are_verified() -> None:
    """Four at a time, a second each: not a moment passes without a call."""
    vendors, asked = providers(), list[float]()
    vendors["big.person"].before_answer = lambda: asked.append(asyncio.get_running_loop().time())
    enrich(people(), vendors, spec=waterfall(stages=[{"provider": "big.person", "verify": {"email": "check.email"}}]))
    assert len(asked) == PEOPLE_N
    assert asked[-1] - asked[0] == pytest.approx(PEOPLE_N / 4 - 1, abs=0.1)
    assert vendors["check.email"].bill


def test_there_are_as_many_partitions_as_there_is_to_ask(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each reads the ledger: a table that grows while little is new would be read over and over."""
    cut: list[int] = []
    bounds = QuestionSelection.bounds

    def counted(self: QuestionSelection, partitions: int) -> list[str]:
        cut.append(partitions)
        return bounds(self, partitions)

    monkeypatch.setattr(QuestionSelection, "bounds", counted)
    warehouse, vendors = people(), providers()
    enrich(warehouse, vendors)
    assert cut == [PEOPLE_N // 6]
    enrich(warehouse, vendors, run_id="r2")
    load_people(warehouse, [person(n) for n in range(PEOPLE_N + 12)])
    enrich(warehouse, vendors, run_id="r3")
    assert cut == [PEOPLE_N // 6, 2]

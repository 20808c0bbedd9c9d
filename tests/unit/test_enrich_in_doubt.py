"""Calls in doubt: which are, and what is said of what becomes of them."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest

from revetl.clock import LoopClock
from revetl.enrich.execution.in_doubt import CallInDoubt, in_doubt, resolve
from revetl.enrich.lists.waiting_cells import waiting_cells
from revetl.enrich.resolutions import Resolution
from revetl.errors import Ambiguous
from revetl.state import heartbeats
from revetl.state.calls import PaidCall, append_intents
from revetl.usecases.in_doubt import NamedCall, with_next_step
from tests.simulation.test_enrich_engine import enrich, providers
from tests.support.enrich_fakes import PEOPLE, START, FakeProvider, hit, person, terms, warehouse_with, waterfall
from tests.support.virtual_time import run_virtual


def lost(inputs: object) -> None:
    raise Ambiguous("the answer was lost")


def test_a_lost_answer_is_shown_with_what_happens_next():
    warehouse = warehouse_with([person(1, phone="1")])
    vendors = providers(small=lost)
    spec = terms("big.person", ("email", "phone"), per_hit="0.20", free_repeat_days=30)
    vendors["big.person"] = FakeProvider(spec, lost)
    enrich(warehouse, vendors)
    found = in_doubt(warehouse, START + timedelta(days=1))
    assert sorted((c.provider, c.usd) for c in found) == [
        ("big.person", Decimal("0.2")),
        ("small.email", Decimal("0.03")),
    ]
    named = [NamedCall(call, {}) for call in found]
    said = {str(row["provider"]): str(row["next"]) for row in with_next_step(named, {"big.person": spec}, START)}
    assert "free until 2026-01-31" in said["big.person"]
    assert said["small.email"].startswith("held")
    assert in_doubt(warehouse, START, run_id="another") == []


@pytest.mark.parametrize(
    ("how", "spent", "asked"),
    [("charged", "0.2", 0), ("not_charged", "0", 1), ("ask_again", "0.2", 1)],
)
def test_a_person_says_how_a_call_ended(how: Resolution, spent: str, asked: int) -> None:
    warehouse = warehouse_with([person(1, email="a@x.example")])
    vendors = providers(big=lost)
    enrich(warehouse, vendors)
    assert enrich(warehouse, vendors, run_id="r2").asked == 0, "what may have been charged is not repeated"
    [call] = in_doubt(warehouse, START)
    assert run_virtual(resolve(warehouse, LoopClock(START), [call], how)) == 1
    assert run_virtual(resolve(warehouse, LoopClock(START), [call], how)) == 0
    assert in_doubt(warehouse, START) == []
    committed = "SELECT sum(committed_usd) FROM revetl.enrichment_spend WHERE provider = 'big.person'"
    assert warehouse.rows(committed) == [(Decimal(spent),)]
    vendors = providers(big=lambda _: hit("0.20", phone="+1"))
    assert enrich(warehouse, vendors, run_id="r3").asked == asked


def test_a_call_is_found_by_the_name_of_whom_it_is_about() -> None:
    call = CallInDoubt("r/1", "r", "w", "big.person", START, Decimal("0.2"), None, '["k1"]')
    named = NamedCall(call, {"k1": {"first_name": "Ada", "last_name": "Lovelace", "company_name": "Acme Inc"}})
    for said in ("ada  lovelace", "K1", "Acme Inc", "Ada Lovelace (Acme Inc)"):
        assert named.is_about(said), said
    for said in ("Ada L", "Grace Hopper", ""):
        assert not named.is_about(said), said
    assert not NamedCall(call, {"k1": {}}).is_about(" ")


def test_cells_of_a_list_that_wait() -> None:
    warehouse = warehouse_with([person(1, email="a@x.example"), person(2, phone="2", email="b@x.example")])
    vendors = providers(big=lost)
    enrich(warehouse, vendors, entity_name="adhoc:contacts")
    calls = in_doubt(warehouse, START)
    specs = {name: vendor.spec for name, vendor in vendors.items()}
    waiting = waiting_cells(warehouse, waterfall(), specs, PEOPLE, calls, START)
    assert (waiting.number, len(waiting.calls)) == (1, 1), "the phone of the first: the second holds all"


def test_what_a_live_run_has_in_flight_is_not_in_doubt():
    warehouse = warehouse_with([])
    call = PaidCall("r/1", "r", "contacts", "big.person", ("g1",), "hash", "v1", Decimal("0.2"), START)
    heartbeats.beat(warehouse, "r", START)
    with warehouse.transaction():
        append_intents(warehouse, [call])
    assert in_doubt(warehouse, START) == []
    heartbeats.end(warehouse, "r")
    assert [c.call_id for c in in_doubt(warehouse, START)] == ["r/1"]

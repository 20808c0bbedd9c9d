"""Calls in doubt: which are, and what is said of what becomes of them."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

from revetl.enrich.execution.in_doubt import in_doubt
from revetl.errors import Ambiguous
from revetl.state import heartbeats
from revetl.state.calls import PaidCall, append_intents
from revetl.usecases.in_doubt import with_next_step
from tests.simulation.test_enrich_engine import enrich, providers
from tests.support.enrich_fakes import START, FakeProvider, person, terms, warehouse_with


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
    said = {str(row["provider"]): str(row["next"]) for row in with_next_step(found, {"big.person": spec}, START)}
    assert "free until 2026-01-31" in said["big.person"]
    assert said["small.email"].startswith("held")
    assert in_doubt(warehouse, START, run_id="another") == []


def test_what_a_live_run_has_in_flight_is_not_in_doubt():
    warehouse = warehouse_with([])
    call = PaidCall("r/1", "r", "contacts", "big.person", ("g1",), "hash", "v1", Decimal("0.2"), START)
    heartbeats.beat(warehouse, "r", START)
    with warehouse.transaction():
        append_intents(warehouse, [call])
    assert in_doubt(warehouse, START) == []
    heartbeats.end(warehouse, "r")
    assert [c.call_id for c in in_doubt(warehouse, START)] == ["r/1"]

"""What all waterfalls of a project may spend together."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import pytest
from pydantic import ValidationError

from revetl.clock import LoopClock
from revetl.enrich.project_budget import ProjectBudget
from revetl.providers.base import Answer
from revetl.state.spend import day_of
from tests.simulation.test_enrich_engine import enrich, providers
from tests.support.enrich_fakes import hit, person, warehouse_with, waterfall


def costs_a_dollar(_: object) -> Answer:
    return hit("0.20", phone="+1")


def test_a_vendors_account_is_one_over_all_waterfalls_and_survives_another_name() -> None:
    people = [person(n, email="own@acme.example") for n in range(20)]
    warehouse = warehouse_with(people)
    vendors = providers(big=costs_a_dollar)
    month = ProjectBudget.model_validate({"providers": {"big": {"per_month_usd": "1.00"}}})
    first = enrich(warehouse, vendors, project_budget=month)
    assert (first.asked, first.spent_usd) == (5, Decimal("1.00"))
    assert "over all waterfalls" in first.exhausted["big.person"]
    renamed = enrich(warehouse, vendors, run_id="r2", spec=waterfall(name="people"), project_budget=month)
    assert (renamed.asked, renamed.exit_code) == (0, 3)
    without = enrich(warehouse, vendors, run_id="r3", spec=waterfall(name="people"))
    assert without.asked == 15, "it was the project's budget that held it"


def test_a_month_is_that_of_the_projects_time_zone() -> None:
    warehouse = warehouse_with([person(n, email="own@acme.example") for n in range(20)])
    vendors = providers(big=costs_a_dollar)
    berlin = ProjectBudget.model_validate({"per_month_usd": "1.05", "time_zone": "Europe/Berlin"})
    utc = berlin.model_copy(update={"time_zone": "UTC"})
    late = LoopClock(datetime(2026, 6, 30, 21, 30, tzinfo=UTC))
    assert enrich(warehouse, vendors, project_budget=berlin, clock=late).asked == 5
    later = LoopClock(datetime(2026, 6, 30, 22, 30, tzinfo=UTC))  # the first of July in Berlin
    assert enrich(warehouse, vendors, run_id="r2", project_budget=berlin, clock=later).asked == 5
    assert day_of(later.now(), berlin.zone) == "2026-07-01"
    assert enrich(warehouse, vendors, run_id="r3", project_budget=utc, clock=later).asked == 0


def test_a_zone_that_is_none_is_refused() -> None:
    with pytest.raises(ValidationError, match="is no time zone"):
        ProjectBudget.model_validate({"time_zone": "Berlin"})

"""A person of a list is asked about once, whatever else the list says of him.

DuckDB and Postgres by default; REVETL_EVERY_STEP=1 tries all.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from revetl.clock import LoopClock
from revetl.enrich.execution.engine import run_waterfall
from revetl.enrich.forecasting.estimate import estimate
from revetl.enrich.options import WaterfallOptions
from revetl.model import Relation
from revetl.providers.base import Answer
from revetl.state.schema import create_all
from revetl.warehouse.base import Warehouse
from tests.support.enrich_fakes import START, FakeProvider, context, hit, miss, terms, waterfall
from tests.support.virtual_time import run_virtual
from tests.support.warehouses import PARAMS, SCHEMA, new_warehouse

INPUTS = ("first_name", "last_name", "company_name", "email", "linkedin_url")
ENOUGH = [["email"], ["linkedin_url"], ["first_name", "last_name", "company_name"]]
SPEC = waterfall(
    inputs={name: name for name in INPUTS},
    fields={"phone": {}},
    stages=[{"provider": "big.person"}],
)
ADA: dict[str, str] = {"first_name": "Ada", "last_name": "Lovelace", "company_name": "Acme, Inc."}


# Snowflake's stand-in takes four minutes over it.
CHOSEN = PARAMS if os.environ.get("REVETL_EVERY_STEP") else PARAMS[:2]


@pytest.fixture(params=CHOSEN)
def warehouse(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Warehouse]:
    with new_warehouse(request.param, tmp_path) as made:
        create_all(made)
        yield made


class Lists:
    """Each run is over a list of its own, with keys of its own."""

    def __init__(self, warehouse: Warehouse, answer: Answer) -> None:
        spec = terms("big.person", ("phone",), inputs=INPUTS, per_hit="1", concurrency=1)
        spec = spec.model_copy(update={"sufficient": tuple(map(tuple, ENOUGH))})
        self.vendor = FakeProvider(spec, lambda _: answer)
        self._warehouse = warehouse
        self._runs = 0

    def run(self, *people: dict[str, str], entity: str = "adhoc:contacts") -> tuple[Any, Any]:
        """What was foreseen, and the report."""
        self._runs += 1
        target = Relation(SCHEMA, f"people_{self._runs}")
        columns = ("golden_id", *INPUTS, "phone")
        cells = ", ".join(f"{c} VARCHAR" for c in columns)
        self._warehouse.execute(f"CREATE TABLE {SCHEMA}.{target.name} ({cells})")
        rows = [{"golden_id": f"{self._runs}/{i}", **each} for i, each in enumerate(people)]
        table = pa.table({c: pa.array([row.get(c) for row in rows], pa.string()) for c in columns})
        self._warehouse.append(target, table)
        options = WaterfallOptions(entity_name=entity)
        vendors = {"big.person": self.vendor}
        specs = {"big.person": self.vendor.spec}
        ctx = context(self._warehouse, LoopClock(START), f"r{self._runs}")
        foreseen = estimate(ctx, SPEC, specs, target, options)
        return foreseen.stages[0], run_virtual(run_waterfall(ctx, SPEC, vendors, target, options))


def test_who_was_found_is_not_asked_about_again_for_one_more_column(warehouse: Warehouse) -> None:
    lists = Lists(warehouse, hit("1", phone="+1"))
    lists.run(ADA)
    more = {**ADA, "company_name": "ACME INCORPORATED", "email": "ada@acme.example"}
    foreseen, report = lists.run(more)
    assert (foreseen.lookups, foreseen.spared, report.asked, report.fields["phone"].filled_after) == (0, 1, 0, 1)
    # Nor for one less: by either of the names that the answer is known under.
    for fewer in ({"email": "ADA@acme.example "}, {**ADA, "first_name": "ada", "company_name": "Acme"}):
        foreseen, report = lists.run(fewer)
        assert (report.asked, report.fields["phone"].filled_after) == (0 if "first_name" in fewer else 1, 1)


def test_who_was_missed_is_asked_about_again_only_with_more_to_find_by(warehouse: Warehouse) -> None:
    lists = Lists(warehouse, miss())
    lists.run({**ADA, "email": "ada@acme.example"})
    foreseen, report = lists.run(ADA)
    assert (foreseen.lookups, foreseen.spared, report.asked) == (0, 1, 0)
    foreseen, report = lists.run({**ADA, "linkedin_url": "https://www.linkedin.com/in/ada"})
    assert (foreseen.lookups, foreseen.again, report.asked) == (1, 1, 1)


def test_two_of_one_name_are_two(warehouse: Warehouse) -> None:
    lists = Lists(warehouse, hit("1", phone="+1"))
    lists.run({**ADA, "email": "ada@acme.example"})
    _, report = lists.run({**ADA, "email": "ada.l@acme.example"})
    assert report.asked == 1
    # An inbox that several share is nobody's name.
    _, report = lists.run({"first_name": "Bo", "last_name": "Berg", "email": "ada@acme.example"})
    assert report.asked == 1


def test_of_one_list_whoever_is_best_known_is_asked_about(warehouse: Warehouse) -> None:
    lists = Lists(warehouse, hit("1", phone="+1"))
    best = {**ADA, "email": "ada@acme.example"}
    foreseen, report = lists.run(ADA, {"email": "ada@acme.example"}, best, {**ADA, "company_name": "Acme"})
    assert foreseen.lookups == 1, "who stands in it four times is foreseen as one"
    assert lists.vendor.bill == [tuple(sorted(best.values()))]
    assert report.fields["phone"].filled_after == 4


def test_a_doubtful_call_about_a_person_is_not_repeated_with_other_inputs(warehouse: Warehouse) -> None:
    lists = Lists(warehouse, Answer("in_doubt", None, ()))
    lists.run(ADA)
    _, report = lists.run({**ADA, "email": "ada@acme.example"})
    assert report.asked == 0


def test_a_list_knows_whom_a_model_was_asked_about(warehouse: Warehouse) -> None:
    lists = Lists(warehouse, hit("1", phone="+1"))
    lists.run({**ADA, "email": "ada@acme.example"}, entity=SPEC.entity)
    _, report = lists.run({"email": "ada@acme.example"})
    assert (report.asked, report.fields["phone"].filled_after) == (0, 1)

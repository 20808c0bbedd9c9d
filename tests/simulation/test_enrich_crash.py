"""A crash at every step: each statement, each commit, each moment of a call. Then the run that follows.

The vendor's own bill is the witness: it is kept outside of everything that crashes. By default every 19th step is
tried; REVETL_EVERY_STEP=1 tries all, REVETL_STRIDE=9 every ninth.
"""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from decimal import Decimal
from typing import Any

import pytest

from revetl.enrich.execution.engine import run_waterfall
from revetl.enrich.options import WaterfallOptions
from revetl.warehouse.base import TypedResults
from tests.simulation.test_enrich_engine import enrich, providers
from tests.support.enrich_fakes import PEOPLE, FakeProvider, clock, context, person, warehouse_with, waterfall
from tests.support.virtual_time import run_virtual

LIMIT = Decimal("1.60")
SPENT = """
    SELECT run_id, provider, sum(coalesce(charged_usd, expected_usd)) FROM (
        SELECT call_id, run_id, provider, max(charged_usd) AS charged_usd, max(expected_usd) AS expected_usd
        FROM revetl.enrichment_calls GROUP BY call_id, run_id, provider
    ) c GROUP BY run_id, provider HAVING sum(coalesce(charged_usd, expected_usd)) <> 0 ORDER BY 1, 2
"""
COUNTED = (
    "SELECT run_id, provider, sum(committed_usd) FROM revetl.enrichment_spend GROUP BY run_id, provider"
    " HAVING sum(committed_usd) <> 0 ORDER BY 1, 2"
)
PEOPLE_N = 10
STRIDE = 1 if os.environ.get("REVETL_EVERY_STEP") else int(os.environ.get("REVETL_STRIDE", "19"))


class Crash(BaseException):
    """The process dies here: nothing that follows reaches the database."""


class Dying(TypedResults):
    """A warehouse that dies before its n-th step, and is dead from then on. 0: never."""

    def __init__(self, inner: Any, at: int) -> None:
        self.inner, self.at, self.steps, self.dead = inner, at, 0, False
        self.dialect, self.state_schema = inner.dialect, inner.state_schema

    def step(self) -> None:
        self.steps += 1
        if self.dead or self.steps == self.at:
            self.dead = True
            raise Crash

    def execute(self, sql: str, params: Sequence[Any] = ()) -> None:
        self.step()
        self.inner.execute(sql, params)

    def rows(self, sql: str, params: Sequence[Any] = ()) -> Any:
        self.step()
        return self.inner.rows(sql, params)

    def stream(self, sql: str, params: Sequence[Any] = (), *, batch_rows: int = 10_000) -> Iterator[Any]:
        self.step()
        return self.inner.stream(sql, params, batch_rows=batch_rows)

    def append(self, target: Any, data: Any) -> None:
        self.step()
        self.inner.append(target, data)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        self.step()
        with self.inner.transaction():
            yield
            self.step()  # before the commit

    def tables(self, schema: str) -> Any:
        return self.inner.tables(schema)

    def columns(self, relation: Any) -> Any:
        return self.inner.columns(relation)


def run(warehouse: Any, vendors: dict[str, FakeProvider], run_id: str = "r1") -> Any:
    return enrich(warehouse, vendors, run_id=run_id, max_spend_usd=LIMIT)


def steps_of_a_whole_run() -> int:
    dying = Dying(warehouse_with([person(n) for n in range(PEOPLE_N)]), 0)
    run(dying, providers())
    return dying.steps


def check_after_crash(warehouse: Any, vendors: dict[str, FakeProvider]) -> None:
    intents = Counter(
        dict(
            warehouse.rows(
                "SELECT provider, count(*) FROM revetl.enrichment_calls WHERE status = 'intent' GROUP BY provider"
            )
        )
    )
    for name, vendor in vendors.items():
        assert intents[name] >= len(vendor.bill), f"{name} billed a call that the ledger does not know"
    billed = sum((v.billed_usd for v in vendors.values()), Decimal(0))
    assert billed <= LIMIT
    assert warehouse.rows(SPENT) == warehouse.rows(COUNTED), "the sums of budgets are not those of the ledger"
    enrich(warehouse, vendors, run_id="r2")
    for name, vendor in vendors.items():
        twice = [question for question, n in Counter(vendor.bill).items() if n > 1]
        assert not twice, f"{name} was paid twice for one question"
    settled = warehouse.rows(
        "SELECT count(*) FROM (SELECT call_id FROM revetl.enrichment_calls GROUP BY call_id"
        " HAVING count(*) <> 2 OR sum(CASE WHEN status = 'intent' THEN 1 ELSE 0 END) <> 1)"
    )
    assert settled == [(0,)], "a call has not exactly one intent and one outcome"
    known = warehouse.rows(
        "SELECT coalesce(sum(coalesce(charged_usd, expected_usd)), 0) FROM revetl.enrichment_calls"
        " WHERE status <> 'intent'"
    )[0][0]
    assert known >= sum((v.billed_usd for v in vendors.values()), Decimal(0)), "money went out that the ledger lacks"
    assert warehouse.rows(SPENT) == warehouse.rows(COUNTED), "the sums of budgets are not those of the ledger"
    assert warehouse.rows("SELECT coalesce(sum(held_usd), 0) FROM revetl.enrichment_spend") == [(0,)]
    before = {name: len(v.bill) for name, v in vendors.items()}
    assert enrich(warehouse, vendors, run_id="r3").asked == 0
    assert before == {name: len(v.bill) for name, v in vendors.items()}


def test_a_crash_at_every_step_of_the_database():
    steps = steps_of_a_whole_run()
    assert steps > 40
    for at in range(1, steps + 1, STRIDE):
        warehouse = warehouse_with([person(n) for n in range(PEOPLE_N)])
        vendors = providers()
        with pytest.raises(Crash):
            run(Dying(warehouse, at), vendors)
        check_after_crash(warehouse, vendors)
        warehouse.close()


@pytest.mark.parametrize("moment", ["before_answer", "after_bill"])
def test_a_crash_at_every_call(moment: str):
    """`after_bill`: the vendor has charged, and we die before we hear of it."""
    for at in range(1, 18, 1 + STRIDE // 2):
        warehouse = warehouse_with([person(n) for n in range(PEOPLE_N)])
        vendors = providers()
        dying = Dying(warehouse, 0)
        seen = Counter[str]()

        def die(at: int = at, dying: Dying = dying, seen: Counter[str] = seen) -> None:
            seen["calls"] += 1
            if seen["calls"] == at:
                dying.dead = True
                raise RuntimeError("died in flight")

        for vendor in vendors.values():
            setattr(vendor, moment, die)
        with pytest.raises((Crash, RuntimeError)):
            run(dying, vendors)
        check_after_crash(warehouse, vendors)
        warehouse.close()


def interrupted_after(seconds: float, warehouse: Any, vendors: dict[str, FakeProvider]) -> None:
    async def go() -> None:
        task = asyncio.ensure_future(
            run_waterfall(
                context(warehouse, clock()), waterfall(), vendors, PEOPLE, WaterfallOptions(max_spend_usd=LIMIT)
            )
        )
        await asyncio.sleep(seconds)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    run_virtual(go())


def test_an_interrupt_writes_what_is_known_at_once():
    for seconds in (0.0, 0.5, 2.5):
        warehouse = warehouse_with([person(n) for n in range(PEOPLE_N)])
        vendors = providers()
        interrupted_after(seconds, warehouse, vendors)
        open_ = warehouse.rows(
            "SELECT count(*) FROM (SELECT call_id FROM revetl.enrichment_calls GROUP BY call_id HAVING count(*) = 1)"
        )
        assert open_ == [(0,)]
        in_doubt = warehouse.rows("SELECT count(*) FROM revetl.enrichment_calls WHERE status = 'in_doubt'")[0][0]
        assert in_doubt <= 4, "only what was in flight is in doubt"
        if seconds:
            assert warehouse.rows("SELECT status FROM revetl.runs") == [("interrupted",)]
        check_after_crash(warehouse, vendors)


def test_a_fault_of_ours_in_a_call_is_raised_and_the_call_is_in_doubt():
    warehouse = warehouse_with([person(n) for n in range(PEOPLE_N)])
    vendors = providers()
    once: list[Callable[[], None]] = []

    def fail() -> None:
        if not once:
            once.append(fail)
            raise ZeroDivisionError

    vendors["big.person"].after_bill = fail
    with pytest.raises(ZeroDivisionError):
        run(warehouse, vendors)
    assert warehouse.rows("SELECT count(*) FROM revetl.enrichment_calls WHERE status = 'in_doubt'") == [(1,)]
    assert warehouse.rows("SELECT status FROM revetl.runs") == [("failed",)]
    check_after_crash(warehouse, vendors)

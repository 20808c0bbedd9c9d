"""The connection to the warehouse is lost at every step of a run. The vendor's own bill is the witness: nothing is paid
for twice, nothing that was paid for is missing in the ledger, nothing stands there twice.

By default every 29th step is tried; REVETL_EVERY_STEP=1 tries all, REVETL_STRIDE=13 every 13th.
"""

from __future__ import annotations

import asyncio
import os
import stat
from collections import Counter
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from revetl.enrich.execution.answer_spool import AnswerSpool
from revetl.enrich.execution.engine import run_waterfall
from revetl.enrich.options import WaterfallOptions
from revetl.errors import ConfigError, WarehouseError, WarehouseLost
from tests.simulation.test_enrich_crash import COUNTED, SPENT
from tests.simulation.test_enrich_engine import enrich, providers
from tests.support.enrich_fakes import PEOPLE, FakeProvider, clock, context, person, warehouse_with, waterfall
from tests.support.losing import LosingWarehouse
from tests.support.virtual_time import run_virtual

PEOPLE_N = 12
STRIDE = 1 if os.environ.get("REVETL_EVERY_STEP") else int(os.environ.get("REVETL_STRIDE", "29"))
HELD = "SELECT coalesce(sum(held_usd), 0) FROM revetl.enrichment_spend"
VALUES = "SELECT key, field, value, provider, rejected_reason FROM revetl.enrichment_values ORDER BY 1, 2, 3, 4, 5"
DOUBTS = "SELECT count(*) FROM revetl.enrichment_calls WHERE status = 'in_doubt'"


def begun() -> Any:
    """A warehouse in which a run has been: what comes before the first question is not at stake."""
    warehouse = warehouse_with([person(n) for n in range(PEOPLE_N)])
    enrich(warehouse, providers(), run_id="r0", limit=0)
    return warehouse


def losing_run(
    warehouse: Any, vendors: dict[str, FakeProvider], at: int, folder: Path | None = None, **how: Any
) -> tuple[Any, LosingWarehouse]:
    time = clock()
    losing = LosingWarehouse(warehouse, time, at, **how)

    async def go() -> Any:
        ctx = context(losing, time, "r1", reconnect_s=60.0, state_dir=folder)
        return await run_waterfall(ctx, waterfall(), vendors, PEOPLE, WaterfallOptions())

    return run_virtual(go()), losing


def first_step(warehouse: Any) -> tuple[int, int]:
    """(the step after which the first question is asked, all steps)."""
    vendors = providers()
    seen: list[int] = []
    time = clock()
    losing = LosingWarehouse(warehouse, time, 0)
    vendors["big.person"].before_answer = lambda: seen.append(losing.steps)

    async def go() -> Any:
        ctx = context(losing, time, "r1")
        return await run_waterfall(ctx, waterfall(), vendors, PEOPLE, WaterfallOptions())

    run_virtual(go())
    return seen[0], losing.steps


def check(warehouse: Any, vendors: dict[str, FakeProvider], wanted: list[Any]) -> None:
    for name, vendor in vendors.items():
        assert not [q for q, n in Counter(vendor.bill).items() if n > 1], f"{name} was paid twice for one question"
    billed = sum((v.billed_usd for v in vendors.values()), Decimal(0))
    charged = warehouse.rows("SELECT sum(charged_usd) FROM revetl.enrichment_calls")[0][0]
    assert charged == billed, "what the vendors billed is not what the ledger says"
    assert warehouse.rows(DOUBTS) == [(0,)]
    doubled = "SELECT call_id FROM revetl.enrichment_calls GROUP BY call_id HAVING count(*) <> 2"
    assert warehouse.rows(doubled) == []
    assert warehouse.rows(SPENT) == warehouse.rows(COUNTED), "the sums of budgets are not those of the ledger"
    assert warehouse.rows(HELD) == [(0,)]
    assert warehouse.rows(VALUES) == wanted


@pytest.fixture(scope="module")
def undisturbed() -> list[Any]:
    warehouse = begun()
    enrich(warehouse, providers())
    return list(warehouse.rows(VALUES))


@pytest.mark.parametrize("away_s", [0.0, 20.0])
def test_lost_at_every_step_and_back_in_time_the_run_goes_on(undisturbed: list[Any], away_s: float) -> None:
    first, steps = first_step(begun())
    assert steps - first > 40
    for at in range(first - 12, steps - 1, STRIDE):
        warehouse, vendors = begun(), providers()
        report, losing = losing_run(warehouse, vendors, at, away_s=away_s)
        assert losing.losses == 1
        assert report.in_doubt_usd == 0
        check(warehouse, vendors, undisturbed)
        assert warehouse.rows("SELECT status FROM revetl.runs WHERE run_id = 'r1'") == [("done",)]
        assert enrich(warehouse, vendors, run_id="r2").asked == 0
        warehouse.close()


def test_lost_again_and_again(undisturbed: list[Any]) -> None:
    first, _ = first_step(begun())
    warehouse, vendors = begun(), providers()
    _, losing = losing_run(warehouse, vendors, first + 3, away_s=2.0, again_after=60)
    assert losing.losses > 1
    check(warehouse, vendors, undisturbed)


def test_lost_and_not_back_in_time_the_next_run_writes_what_was_paid_for(
    undisturbed: list[Any], tmp_path: Path
) -> None:
    first, steps = first_step(begun())
    kept_any = 0
    for n, at in enumerate(range(first + 1, steps - 4, STRIDE)):
        warehouse, vendors, folder = begun(), providers(), tmp_path / str(n)
        with pytest.raises(WarehouseLost) as e:
            losing_run(warehouse, vendors, at, folder, away_s=None)
        files = AnswerSpool(folder).paths()
        kept_any += bool(files)
        assert ("paid answers are kept in" in str(e.value)) == bool(files)
        for file in files:
            assert stat.S_IMODE(file.stat().st_mode) == 0o600
            assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
        asked = {name: len(v.bill) for name, v in vendors.items()}
        time = clock()
        ctx = context(warehouse, time, "r2", state_dir=folder)
        run_virtual(run_waterfall(ctx, waterfall(), vendors, PEOPLE, WaterfallOptions()))
        assert AnswerSpool(folder).paths() == []
        check_no_money_lost(warehouse, vendors, asked)
        assert warehouse.rows(VALUES) == undisturbed
        warehouse.close()
    assert kept_any > 3


def check_no_money_lost(warehouse: Any, vendors: dict[str, FakeProvider], asked: dict[str, int]) -> None:
    for name, vendor in vendors.items():
        assert not [q for q, n in Counter(vendor.bill).items() if n > 1], f"{name} was paid twice for one question"
        assert len(vendor.bill) >= asked[name]
    billed = sum((v.billed_usd for v in vendors.values()), Decimal(0))
    assert warehouse.rows("SELECT sum(charged_usd) FROM revetl.enrichment_calls")[0][0] == billed
    known = "SELECT call_id FROM revetl.enrichment_calls WHERE status NOT IN ('intent', 'in_doubt')"
    doubled = f"SELECT call_id FROM ({known}) c GROUP BY call_id HAVING count(*) <> 1"
    assert warehouse.rows(doubled) == []
    open_ = f"SELECT count(DISTINCT call_id) FROM revetl.enrichment_calls WHERE call_id NOT IN ({known})"
    assert warehouse.rows(open_) == [(0,)]
    assert warehouse.rows(SPENT) == warehouse.rows(COUNTED), "the sums of budgets are not those of the ledger"
    assert warehouse.rows(HELD) == [(0,)]


def test_no_call_leaves_while_answers_wait_for_the_connection() -> None:
    warehouse, vendors = begun(), providers()
    first, _ = first_step(begun())
    time = clock()
    losing = LosingWarehouse(warehouse, time, first + 3, away_s=30.0)
    left: list[bool] = []

    def note() -> None:
        left.append(losing.back_at is None or time.monotonic() < losing.back_at)

    for vendor in vendors.values():
        vendor.before_answer = note

    async def go() -> Any:
        ctx = context(losing, time, "r1", reconnect_s=60.0)
        return await run_waterfall(ctx, waterfall(), vendors, PEOPLE, WaterfallOptions())

    run_virtual(go())
    assert losing.losses == 1
    assert not any(left)


def test_a_warehouse_that_refuses_to_write_loses_no_answer_either(tmp_path: Path) -> None:
    """A full disk, say. Nobody waits for that; the answers are kept."""
    warehouse, vendors = begun(), providers()

    class Full(LosingWarehouse):
        def step(self, *, in_doubt: bool = False, committed: bool = False) -> None:
            if vendors["big.person"].bill:
                raise WarehouseError("the disk is full")

    time = clock()
    ctx = context(Full(warehouse, time, 0), time, "r1", state_dir=tmp_path)
    with pytest.raises(WarehouseError):
        run_virtual(run_waterfall(ctx, waterfall(), vendors, PEOPLE, WaterfallOptions()))
    (file,) = AnswerSpool(tmp_path).paths()
    assert len(file.read_text().splitlines()) >= len(vendors["big.person"].bill) > 0


def test_no_call_of_another_provider_leaves_once_a_write_was_refused() -> None:
    """The disk was full for one write only. The verifier's own calls in flight are awaited meanwhile."""
    warehouse = warehouse_with([person(n) for n in range(1_500)])
    enrich(warehouse, providers(), run_id="r0", limit=0)
    vendors, refused = providers(), list[str]()
    check, asked = vendors["check.email"], vendors["check.email"].ask

    class Full(LosingWarehouse):
        def append(self, target: Any, data: Any) -> None:
            self.refuse(str(data.to_pydict()))
            super().append(target, data)

        def execute(self, sql: str, params: Any = ()) -> None:
            self.refuse(sql + str(params))
            super().execute(sql, params)

        def refuse(self, written: str) -> None:
            if answered and not refused and check.name in written:
                refused.append(written)
                raise WarehouseError("the disk is full")

    answered, late = list[str](), list[str]()

    async def ask(lookup: Any) -> Any:
        answer = await asked(lookup)
        if len(check.bill) > 1:
            await asyncio.sleep(3)
        answered.append(check.name)
        return answer

    check.ask = ask  # type: ignore[method-assign] # the verifier takes its time
    vendors["big.person"].before_answer = lambda: late.append("big.person") if refused else None
    time = clock()
    ctx = context(Full(warehouse, time, 0), time, "r1")
    with pytest.raises(WarehouseError, match="the disk is full"):
        run_virtual(run_waterfall(ctx, waterfall(), vendors, PEOPLE, WaterfallOptions()))
    assert len(refused) == 1
    assert len(vendors["big.person"].bill) < 1_500, "there was more to be asked"
    assert late == []


def test_a_file_that_cannot_be_read_is_named_and_none_of_it_is_shown(tmp_path: Path) -> None:
    (tmp_path / "answers").mkdir()
    (tmp_path / "answers" / "r9.jsonl").write_text('{"call": "ada@acme.example"')
    warehouse = begun()
    ctx = context(warehouse, clock(), "r2", state_dir=tmp_path)
    with pytest.raises(ConfigError, match=r"r9\.jsonl") as e:
        run_virtual(run_waterfall(ctx, waterfall(), providers(), PEOPLE, WaterfallOptions()))
    assert "ada" not in str(e.value)

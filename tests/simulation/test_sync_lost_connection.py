"""The connection to the warehouse is lost at every step of a sync, and comes back. Nothing is sent twice, nothing is
left out, nothing is in doubt; and nothing is sent once another run has taken the sync over.

By default every 29th step is tried; REVETL_EVERY_STEP=1 tries all, REVETL_STRIDE=13 every 13th.
"""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from revetl.clock import naive
from revetl.errors import LeaseError, WarehouseLost
from revetl.sync.apply import plan_lines
from tests.support.fake_destination import FakeDestination
from tests.support.losing import LosingWarehouse
from tests.support.sync_bench import Bench, read_back
from tests.support.virtual_time import run_virtual

STRIDE = 1 if os.environ.get("REVETL_EVERY_STEP") else int(os.environ.get("REVETL_STRIDE", "29"))
PEOPLE = [(str(i), f"p{i}@x.io", f"P{i}", "Bern") for i in range(40)]
CHANGED = [(str(i), f"p{i}@x.io", f"Q{i}" if i % 3 else f"P{i}", "Bern") for i in range(4, 44)]


def losing(at: int, away_s: float | None = 20.0, **how: Any) -> tuple[Bench, LosingWarehouse]:
    """A bench whose first sync is done and whose model has changed since."""
    bench = Bench()
    bench.destination.latency_s = 1.0
    bench.source(PEOPLE)
    run_virtual(bench.start())
    bench.source(CHANGED)
    bench.sent()
    warehouse = LosingWarehouse(bench.warehouse, bench.clock, at, away_s=away_s, **how)
    return replace(bench, warehouse=warehouse), warehouse


def sync(bench: Bench, **options: Any) -> Any:
    return run_virtual(bench.start(intent_rows=8, **options))


def steps() -> int:
    bench, warehouse = losing(0)
    sync(bench)
    return warehouse.steps


def state(bench: Bench) -> Any:
    """What the tables say, whatever each record was called."""
    rows = bench.warehouse.inner.rows  # type: ignore[attr-defined]
    outcomes = "SELECT key, op, status, changed_fields, after FROM revetl.outcomes ORDER BY 1, 2, 3, 4"
    snapshot = "SELECT count(*), count(destination_id) FROM revetl.snapshot__fake__contacts"
    return rows(outcomes), rows(snapshot), rows("SELECT status, counts FROM revetl.runs ORDER BY started_at, status")


def test_lost_at_every_step_the_sync_goes_on() -> None:
    undisturbed, _ = losing(0)
    sync(undisturbed)
    wanted, sent = state(undisturbed), [(c.op, c.key) for c in undisturbed.destination.written]
    for at in range(1, steps() - 4, STRIDE):
        bench, warehouse = losing(at)
        report = sync(bench)
        assert (warehouse.losses, report.status, report.recovered) == (1, "done", 0), f"at step {at}"
        assert Counter((c.op, c.key) for c in bench.destination.written) == Counter(sent), f"at step {at}"
        assert state(bench) == wanted, f"at step {at}"
        assert sync(replace(bench, warehouse=warehouse.inner)).plan.changes == 0
        bench.warehouse.close()


def test_the_answer_to_any_commit_is_lost() -> None:
    """It took place: what it wrote is not written again."""
    undisturbed, counting = losing(0, commits=True)
    sync(undisturbed)
    wanted, sent = state(undisturbed), Counter((c.op, c.key) for c in undisturbed.destination.written)
    assert counting.steps > 6
    for at in range(3, counting.steps + 1):
        bench, warehouse = losing(at, commits=True)
        report = sync(bench)
        assert (warehouse.losses, report.status) == (1, "done"), f"at commit {at}"
        assert Counter((c.op, c.key) for c in bench.destination.written) == sent, f"at commit {at}"
        assert state(bench) == wanted, f"at commit {at}"
        bench.warehouse.close()


def test_the_plan_is_read_on_from_where_it_broke_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan_lines, "CHUNK_ROWS", 5)
    undisturbed, counting = losing(0)
    sync(undisturbed)
    sent = Counter((c.op, c.key) for c in undisturbed.destination.written)
    for at in range(counting.steps - 90, counting.steps - 8, 1 if STRIDE == 1 else 13):
        bench, warehouse = losing(at)
        report = sync(bench)
        assert (warehouse.losses, report.status) == (1, "done"), f"at step {at}"
        assert Counter((c.op, c.key) for c in bench.destination.written) == sent, f"at step {at}"
        bench.warehouse.close()


def test_a_sync_that_was_taken_over_meanwhile_sends_nothing_more() -> None:
    """The lease is checked before anything more leaves."""
    taken_over = 0
    for at in range(40, steps() - 8, STRIDE):
        bench, warehouse = losing(at)
        inner = warehouse.inner

        def lose(
            *,
            in_doubt: bool = False,
            committed: bool = False,
            warehouse: Any = warehouse,
            inner: Any = inner,
            bench: Any = bench,
        ) -> None:
            before = warehouse.losses
            try:
                LosingWarehouse.step(warehouse, in_doubt=in_doubt)
            except WarehouseLost:
                if warehouse.losses != before:
                    warehouse.stolen = len(bench.destination.written)
                    warehouse.steal = True
                raise
            if getattr(warehouse, "steal", False):
                warehouse.steal = False
                until = naive(bench.clock.now() + timedelta(hours=1))
                inner.execute("UPDATE revetl.leases SET run_id = 'theirs', host = 'elsewhere', expires_at = ?", [until])

        warehouse.step = lose  # type: ignore[method-assign]
        with pytest.raises(LeaseError):
            sync(bench)
        in_flight = bench.destination.limits("contacts").concurrency * bench.destination.limits("contacts").batch_rows
        assert len(bench.destination.written) - warehouse.stolen <= in_flight  # type: ignore[attr-defined]
        taken_over += 1
    assert taken_over > 2


def test_lost_for_good_the_run_fails_and_the_next_one_heals() -> None:
    for at in range(40, steps() - 8, 3 * STRIDE):
        bench, warehouse = losing(at, away_s=None)
        with pytest.raises(WarehouseLost):
            sync(bench)
        healing = replace(bench, warehouse=warehouse.inner)
        report = sync(healing)
        assert report.status == "done"
        assert sync(healing).plan.changes == 0
        assert {r["email"] for r in stands(healing.destination)} == {row[1] for row in [*PEOPLE[:4], *CHANGED]}


def stands(destination: FakeDestination) -> list[dict[str, Any]]:
    return [dict(record) for record in destination.records.values()]


def test_a_readback_goes_on() -> None:
    bench = Bench()
    bench.source(PEOPLE)
    run_virtual(bench.start())
    first = next(iter(bench.destination.records.values()))
    first["firstname"] = "Theirs"
    counting = LosingWarehouse(bench.warehouse, bench.clock, 0)
    wanted = run_virtual(read_back(replace(bench, warehouse=counting)))
    assert wanted.drifted == 1
    for at in range(12, counting.steps - 4, 5):
        warehouse = LosingWarehouse(bench.warehouse, bench.clock, at, away_s=10.0)
        report = run_virtual(read_back(replace(bench, warehouse=warehouse)))
        assert (warehouse.losses, report.read, report.drifted) == (1, wanted.read, 1)

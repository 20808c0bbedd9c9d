"""Two runs of one sync: one works, the other waits or says who; a dead holder is followed, a late one can't write."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from revetl.errors import LeaseError, WarehouseError
from revetl.model import Change
from revetl.state import leases
from revetl.state.schema import create_all
from revetl.sync.leasing import leased
from revetl.warehouse.base import Warehouse
from revetl.warehouse.duckdb import DuckDBWarehouse
from tests.support.sync_bench import Bench
from tests.support.virtual_time import run_virtual
from tests.support.warehouses import the_warehouse

NAME = "sync:fake__contacts"
NOW = datetime(2026, 1, 1, tzinfo=UTC)
LASTS = timedelta(minutes=5)
PEOPLE = [(str(i), f"p{i}@x.io", f"P{i}", "Bern") for i in range(12)]


@pytest.fixture
def bench() -> Bench:
    bench = Bench()
    bench.source(PEOPLE)
    return bench


@pytest.fixture
def warehouse() -> Warehouse:
    warehouse = the_warehouse()
    create_all(warehouse)
    return warehouse


def held_elsewhere(warehouse: Warehouse, until: datetime, *, host: str = "elsewhere", pid: int = 1) -> None:
    create_all(warehouse)
    warehouse.execute("DELETE FROM revetl.leases")
    space = leases._pid_space() if host != "elsewhere" else ""
    warehouse.execute(
        "INSERT INTO revetl.leases VALUES (?, 'theirs', ?, ?, ?, ?, ?)",
        [NAME, host, pid, space, NOW.replace(tzinfo=None), until.replace(tzinfo=None)],
    )


def test_a_second_run_says_at_once_who_works_on_it(bench: Bench) -> None:
    bench.destination.latency_s = 30.0

    async def both() -> Any:
        first = asyncio.create_task(bench.start())
        await asyncio.sleep(40.0)
        with pytest.raises(LeaseError, match=r"fake__contacts is held by run .* \(process \d+ on .*; nothing was done"):
            await bench.start()
        with pytest.raises(LeaseError, match="--wait"):
            await plan(bench)
        return await first

    assert run_virtual(both()).counts == {"ok": 12}
    assert len(bench.sent()) == 12, "nothing was sent twice"
    assert bench.rows("SELECT count(*) FROM revetl.runs") == [(1,)], "who did nothing leaves no run"


async def plan(bench: Bench) -> Any:
    from revetl.sync import plan_sync

    return await plan_sync(bench.context(run_id="planner"), bench.spec, bench.destination)


def test_a_second_run_waits_for_the_first_and_finds_nothing_left(bench: Bench) -> None:
    bench.destination.latency_s = 30.0
    told: list[str] = []

    async def both() -> Any:
        first = asyncio.create_task(bench.start())
        await asyncio.sleep(1.0)
        second = await bench.start(wait_s=3600.0, on_wait=lambda holder: told.append(str(holder)))
        assert first.done()
        return second

    assert run_virtual(both()).plan.changes == 0
    assert (len(bench.sent()), len(told)) == (12, 1)


def test_patience_ends(bench: Bench) -> None:
    held_elsewhere(bench.warehouse, NOW + timedelta(days=1))

    async def waits() -> float:
        with pytest.raises(LeaseError, match="run theirs"):
            await bench.start(wait_s=60.0)
        return bench.clock.monotonic() - started

    started = bench.clock.monotonic()
    run_virtual(waits())
    assert bench.sent() == []


def test_the_lease_of_a_holder_that_is_silent_ends_by_itself(bench: Bench) -> None:
    held_elsewhere(bench.warehouse, NOW + LASTS)

    async def follow() -> tuple[Any, float]:
        report = await bench.start(wait_s=600.0)
        return report, bench.clock.now().timestamp() - NOW.timestamp()

    report, waited_s = run_virtual(follow())
    assert report.counts == {"ok": 12}
    assert 300 <= waited_s < 306


def test_a_process_of_this_machine_that_is_gone_is_followed_at_once(bench: Bench) -> None:
    import socket

    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    held_elsewhere(bench.warehouse, NOW + timedelta(days=1), host=socket.gethostname(), pid=gone.pid)
    assert bench.run().counts == {"ok": 12}


def test_a_process_of_this_machine_that_lives_is_not(bench: Bench) -> None:
    import os
    import socket

    held_elsewhere(bench.warehouse, NOW + timedelta(days=1), host=socket.gethostname(), pid=os.getppid())
    with pytest.raises(LeaseError):
        bench.run()


def test_who_lost_the_lease_writes_no_more_state_and_the_next_run_heals(bench: Bench) -> None:
    """The holder stalls, another machine takes over and lets go again: what the holder sent is in doubt, not lost."""
    bench.destination.batch_rows, bench.destination.concurrency = 3, 1

    def steal(changes: Any) -> None:
        if len(bench.destination.written) == 6:
            bench.warehouse.execute("UPDATE revetl.leases SET run_id = 'theirs', host = 'elsewhere'")

    bench.destination.after_write = steal
    with pytest.raises(LeaseError, match="lost its lease"):
        bench.run()
    assert bench.rows("SELECT count(*) FROM revetl.outcomes") == [(0,)]
    assert bench.rows("SELECT run_id FROM revetl.leases") == [("theirs",)], "what is not ours is not given back"
    assert bench.rows("SELECT status FROM revetl.runs") == [("failed",)]
    bench.destination.after_write = lambda _: None
    bench.warehouse.execute("UPDATE revetl.leases SET expires_at = TIMESTAMP '2020-01-01'")
    report = bench.run()
    assert report.recovered >= 6
    assert len(bench.destination.by("email")) == 12


def test_a_plan_whose_lease_is_alive_is_not_healed(bench: Bench) -> None:
    bench.destination.latency_s = 30.0

    async def both() -> int:
        first = asyncio.create_task(bench.start())
        await asyncio.sleep(40.0)
        with pytest.raises(LeaseError):
            await plan(bench)
        doubtful = bench.rows("SELECT count(*) FROM revetl.snapshot__fake__contacts WHERE row_hash IS NULL")
        await first
        return int(str(doubtful[0][0]))

    assert run_virtual(both()) == 0


def test_the_lease_is_renewed_while_the_vendor_keeps_us_waiting(bench: Bench) -> None:
    bench.destination.latency_s = 2_000.0
    seen: list[bool] = []

    def look(_: list[Change]) -> None:
        (until,) = bench.rows("SELECT expires_at FROM revetl.leases")[0]
        seen.append(until > bench.clock.now().replace(tzinfo=None))

    bench.destination.before_write = look
    assert run_virtual(bench.start()).counts == {"ok": 12}
    assert seen
    assert all(seen)


def test_it_is_given_back_however_the_run_ends(bench: Bench) -> None:
    def away(_: object) -> None:
        raise RuntimeError("a bug")

    bench.destination.before_write = away
    bench.run()
    assert bench.rows("SELECT run_id, expires_at FROM revetl.leases") == [(None, None)]


def test_two_rows_of_one_name_do_no_harm(warehouse: Warehouse) -> None:
    warehouse.execute("INSERT INTO revetl.leases (name) VALUES (?), (?)", [NAME, NAME])
    assert leases.take(warehouse, NAME, "a", now=NOW, lasts=LASTS) is None
    other = leases.take(warehouse, NAME, "b", now=NOW, lasts=LASTS)
    assert other is not None
    assert other.run_id == "a"
    leases.release(warehouse, NAME, "a")
    assert leases.take(warehouse, NAME, "b", now=NOW, lasts=LASTS) is None
    leases.forget("b")


def test_a_row_that_came_late_and_is_free_gives_nobody_a_second_lease(warehouse: Warehouse) -> None:
    assert leases.take(warehouse, NAME, "a", now=NOW, lasts=LASTS) is None
    warehouse.execute("INSERT INTO revetl.leases (name) VALUES (?)", [NAME])
    assert leases.take(warehouse, NAME, "b", now=NOW, lasts=LASTS) is not None
    free = warehouse.rows("SELECT count(*) FROM revetl.leases WHERE run_id IS NULL")
    assert free == [(1,)], "who was refused leaves nothing behind"
    leases.forget("a")


def test_of_two_takers_at_the_same_moment_one_wins(tmp_path: Path) -> None:
    """Two connections, each with transactions of its own; DuckDB refuses a second writer with a conflict."""
    first = DuckDBWarehouse(tmp_path / "x.duckdb", threads=1)
    create_all(first)
    second = DuckDBWarehouse(tmp_path / "x.duckdb", threads=1)
    for round_ in range(25):
        name, won, start = f"sync:{round_}", [], threading.Barrier(2)

        def attempt(
            warehouse: DuckDBWarehouse,
            run_id: str,
            name: str = name,
            won: list[str] = won,
            start: threading.Barrier = start,
        ) -> None:
            start.wait()
            try:
                if leases.take(warehouse, name, run_id, now=NOW, lasts=LASTS) is None:
                    won.append(run_id)
            except WarehouseError:
                pass

        pair = [threading.Thread(target=attempt, args=(w, r)) for w, r in ((first, "a"), (second, "b"))]
        for thread in pair:
            thread.start()
        for thread in pair:
            thread.join()
        assert len(won) <= 1
    leases.forget("a")
    leases.forget("b")
    second.close()
    first.close()


def test_state_outside_a_lease_that_was_lost_is_rolled_back(warehouse: Warehouse) -> None:
    bench = Bench(warehouse=warehouse)
    warehouse.execute("CREATE TABLE analytics.told (what VARCHAR)")

    async def work() -> None:
        async with leased(bench.context(run_id="mine"), "fake__contacts") as held:
            with held.warehouse.transaction():
                held.warehouse.execute("INSERT INTO analytics.told VALUES ('kept')")
            warehouse.execute("UPDATE revetl.leases SET run_id = 'theirs'")
            with pytest.raises(LeaseError), held.warehouse.transaction():
                held.warehouse.execute("INSERT INTO analytics.told VALUES ('lost')")

    asyncio.run(work())
    assert warehouse.rows("SELECT what FROM analytics.told") == [("kept",)]


def test_nothing_is_released_while_a_run_is_at_work(bench: Bench) -> None:
    from revetl.sync.release import release
    from revetl.sync.retry.queue import QueueFilter

    held_elsewhere(bench.warehouse, NOW + timedelta(days=1))

    async def retry() -> int:
        return (await release(bench.context(run_id="retry"), bench.spec, QueueFilter())).records

    with pytest.raises(LeaseError):
        asyncio.run(retry())


def test_recovery_by_itself_leaves_a_live_run_alone(bench: Bench) -> None:
    from revetl.state.sync_tables import resolve
    from revetl.sync.apply.recovery import recover

    bench.run()
    tables = resolve(bench.warehouse, bench.spec)
    held_elsewhere(bench.warehouse, NOW + timedelta(days=1))
    assert recover(tables, bench.clock.now(), present_run="another") == 0, "nothing is broken off"
    bench.warehouse.execute("UPDATE revetl.runs SET status = 'running'")
    with pytest.raises(LeaseError, match="held by run theirs"):
        recover(tables, bench.clock.now(), present_run="another")
    assert recover(tables, bench.clock.now(), present_run="theirs") == 0

"""The worker of the service on virtual time: hours of schedules, workers that die, runs that overlap."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from revetl.clock import LoopClock
from revetl.errors import WarehouseBusy, WarehouseError
from revetl.schedules.deciding import DueRun, ScheduleState
from revetl.schedules.spec import Schedule, ScheduleSpec
from revetl.schedules.tables import ScheduleTables
from revetl.schedules.times import times_between
from revetl.service.scheduling import SchedulingWorker, WorkerOptions
from revetl.usecases.schedule import Outlook
from revetl.warehouse.base import Warehouse
from revetl.warehouse.duckdb import DuckDBWarehouse
from tests.support.virtual_time import run_virtual

START = datetime(2026, 3, 2, 12, 2, tzinfo=UTC)
QUARTER_S = 6 * 3_600.0 + 60.0
OPTIONS = WorkerOptions(poll_s=60.0, lazy=True)


def every(name: str, cron: str | None = None, **said: object) -> Schedule:
    return Schedule("sync", name, ScheduleSpec.model_validate({"cron": cron, **said}), name, f"{name}.yml:1")


@dataclass
class World:
    """One warehouse, and what ran. `unmet`: schedule → what it waits for. `takes_s`: how long a run takes."""

    schedules: Sequence[Schedule]
    takes_s: dict[str, float] = field(default_factory=dict)
    unmet: dict[str, tuple[str, ...]] = field(default_factory=dict)
    code: int = 0
    began: list[tuple[str, datetime]] = field(default_factory=list)
    ended: list[tuple[str, datetime]] = field(default_factory=list)
    at_once: int = 0
    most_at_once: int = 0

    def __post_init__(self) -> None:
        self.clock = LoopClock(START)
        self.warehouse = DuckDBWarehouse(":memory:", state_schema="revetl", settings={})

    def rows(self) -> list[DueRun]:
        return sorted(ScheduleTables(self.warehouse).newest(100_000), key=lambda r: (r.due_at, r.schedule))


async def at_once(function: Callable[..., Any], *args: Any) -> Any:
    return function(*args)


class Node:
    """A machine with a worker. Killed, it reaches nothing any more and what it ran is gone."""

    def __init__(self, world: World, options: WorkerOptions = OPTIONS) -> None:
        self.world, self.dead, self.stop = world, False, asyncio.Event()
        self.worker = SchedulingWorker(self.door, self, self, world.clock, options, offload=at_once)
        self.task = asyncio.create_task(self.worker.run(self.stop))

    @contextmanager
    def door(self) -> Iterator[Warehouse]:
        if self.dead:
            raise WarehouseError("this machine is gone")
        yield self.world.warehouse

    def schedules(self) -> Sequence[Schedule]:
        return self.world.schedules

    def outlook(self, _w: Warehouse, schedule: Schedule, _s: ScheduleState | None) -> Outlook:
        return Outlook(unmet=self.world.unmet.get(schedule.name, ()))

    async def run(self, schedule: Schedule, stop: asyncio.Event) -> int:
        world = self.world
        world.began.append((schedule.subject, world.clock.now()))
        world.at_once += 1
        world.most_at_once = max(world.most_at_once, world.at_once)
        try:
            async with asyncio.timeout(world.takes_s.get(schedule.subject, 30.0)):
                await stop.wait()
            return 130
        except TimeoutError:
            if not self.dead:
                world.ended.append((schedule.subject, world.clock.now()))
            return world.code
        finally:
            world.at_once -= 1

    async def kill(self) -> None:
        self.dead = True
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)

    async def end(self) -> None:
        self.stop.set()
        await self.task


def test_times_of_hours_runs_each_once_and_on_time() -> None:
    async def main() -> None:
        world = World([every("a", "*/20 * * * *"), every("b", "15 17 * * *", timezone="Europe/Berlin")])
        node = Node(world)
        await asyncio.sleep(QUARTER_S)
        await node.end()
        expected = [(at, s.subject) for s in world.schedules for at in times_between(s.spec, START, world.clock.now())]
        began = sorted((at, name) for name, at in world.began)
        assert len(began) == len(expected) == 18 + 1
        for (due, name), (at, ran) in zip(sorted(expected), began, strict=True):
            assert ran == name
            assert timedelta(0) <= at - due < timedelta(seconds=1)
        assert {run.status for run in world.rows()} == {"done"}

    run_virtual(main())


@pytest.mark.parametrize("seed", range(2))
def test_workers_that_die_lose_no_time_and_run_none_twice_at_once(seed: int) -> None:
    """Two machines; one of them dies at a random moment, again and again. Every time of the cron has one row that is
    done, or is kept, missed or skipped by name; no schedule ever runs beside itself on living machines."""
    rng = random.Random(seed)

    async def main() -> None:
        schedules = [every("a", "*/10 * * * *"), every("b", "5 * * * *", catch_up="all"), every("c", "*/30 * * * *")]
        world = World(schedules, takes_s={"a": 90.0, "b": 240.0, "c": 2_400.0})
        first = START
        nodes = [Node(world), Node(world)]
        for _ in range(5):
            await asyncio.sleep(rng.choice([3.0, 40.0, 600.0, 3_000.0]) * rng.random())
            victim = rng.randrange(2)
            if rng.random() < 0.7:
                await nodes[victim].kill()
            else:
                await nodes[victim].end()
            if rng.random() < 0.3:
                await asyncio.sleep(1_000.0 * rng.random())
            nodes[victim] = Node(world)
        await asyncio.sleep(3_000.0)
        for node in nodes:
            await node.end()
        rows = world.rows()
        for schedule in schedules:
            own = [row for row in rows if row.schedule == schedule.name]
            stood_for = [row for row in own if row.status == "missed"]
            times = {row.due_at for row in own if row.status != "missed"}
            expected = times_between(schedule.spec, first, max(row.due_at for row in own))
            gone = [at for at in expected if not any((r.since or at) <= at <= r.due_at for r in stood_for)]
            # The first look may come after the first times: a schedule counts from when it is seen.
            assert [at for at in gone if at not in times] == []
            assert len(own) == len({(row.due_at, row.status == "missed") for row in own})
            assert sum(row.missed for row in stood_for) == len(expected) - len(gone)
            finished = [row for row in own if row.ended_at is not None]
            assert len(finished) >= 1
            if schedule.spec.catch_up == "all":
                assert stood_for == []

    run_virtual(main())


def test_a_dead_worker_is_followed_and_its_run_started_again_under_the_same_time() -> None:
    async def main() -> None:
        world = World([every("a", "0 * * * *")], takes_s={"a": 600.0})
        node = Node(world)
        await asyncio.sleep(3_600.0)  # 13:02, and the run of 13:00 is under way
        other = Node(world)
        await asyncio.sleep(60.0)
        assert (node.worker.state.leading, other.worker.state.leading) == (True, False)
        await node.kill()
        await asyncio.sleep(700.0 + 100.0)
        assert other.worker.state.leading
        (row,) = world.rows()
        assert (row.status, row.attempts, row.worker) == ("done", 2, other.worker.state.worker)
        assert [at.strftime("%H:%M") for _, at in world.ended] == ["13:14"]  # its lease lasted until 13:04
        await other.end()

    run_virtual(main())


def test_a_stop_ends_runs_in_good_order_and_the_next_service_goes_on() -> None:
    async def main() -> None:
        world = World([every("a", "0 * * * *", after=["b"])], takes_s={"a": 600.0})
        node = Node(world)
        await asyncio.sleep(3_600.0)
        await node.end()
        (row,) = world.rows()
        assert (row.status, row.reason, row.exit_code) == ("waiting", "the service was stopped while it ran", 130)
        world.unmet["sync:a"] = ("b",)  # what it waited for had happened when it was started first
        node = Node(world)
        await asyncio.sleep(700.0)
        await node.end()
        (row,) = world.rows()
        assert (row.status, row.attempts) == ("done", 2)

    run_virtual(main())


def test_one_waits_for_what_has_not_happened_and_later_times_are_skipped_by_name() -> None:
    async def main() -> None:
        world = World([every("a", "0 * * * *", after=["b"])], unmet={"sync:a": ("b, which has not run",)})
        node = Node(world)
        await asyncio.sleep(2 * 3_600.0)
        assert [row.status for row in world.rows()] == ["waiting", "skipped"]
        assert world.began == []
        world.unmet.clear()
        await asyncio.sleep(60.0)
        assert [row.status for row in world.rows()] == ["done", "skipped"]
        await node.end()

    run_virtual(main())


def test_on_a_file_one_runs_at_a_time_and_who_waited_longest_is_first() -> None:
    async def main() -> None:
        names = [f"s{i}" for i in range(6)]
        world = World([every(name, "0 * * * *") for name in names])
        node = Node(world, WorkerOptions(exclusive=True, lazy=True))
        await asyncio.sleep(2 * 3_600.0 + 300.0)
        await node.end()
        assert world.most_at_once == 1
        assert [name for name, _ in world.began] == names * 2

    run_virtual(main())


def test_what_a_command_ends_with_is_written_down() -> None:
    async def main() -> None:
        world = World([every("a", "0 * * * *")])
        node = Node(world)
        for code in (0, 1, 2, 3, 4):
            world.code = code
            await asyncio.sleep(3_600.0)
        await node.end()
        assert [row.status for row in world.rows()] == ["done", "partial", "failed", "stopped", "failed"]
        assert world.rows()[3].reason == "a guardrail, a budget or a saga stopped it: `revetl plan`"

    run_virtual(main())


def test_a_file_that_a_person_uses_is_waited_for_and_nothing_is_late() -> None:
    async def main() -> None:
        world = World([every("a", "0 * * * *", catch_up="skip")])
        node = Node(world)
        await asyncio.sleep(60.0)
        door, busy = node.door, True

        @contextmanager
        def in_use() -> Iterator[Warehouse]:
            if busy:
                raise WarehouseBusy("the file is open in another process")
            with door() as warehouse:
                yield warehouse

        node.worker._door = in_use
        await asyncio.sleep(3 * 3_600.0)
        assert world.began == []
        busy = False
        await asyncio.sleep(120.0)
        assert [row.status for row in world.rows()] == ["done", "skipped", "skipped"]
        await node.end()

    run_virtual(main())

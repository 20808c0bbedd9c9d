"""The connector under the real sync engine, on an embedded warehouse: crashes, lost answers, limits."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any
from unittest import mock

import pyarrow as pa

from revetl.clock import Clock
from revetl.context import LeaseWait, RunContext
from revetl.destinations.base import Destination
from revetl.destinations.capabilities import RunsJobs
from revetl.model import Change, Guardrails, Mode, Operation, Relation, Scalar, SyncSpec
from revetl.state.runs import new_run_id
from revetl.sync import SyncReport, run_sync
from revetl.sync.batching import write_rows
from revetl.testing.crashing import Crash, CrashingWarehouse, Fuse
from revetl.testing.destinations.harness import DestinationHarness, SuiteBench, on_bench
from revetl.warehouse.base import Warehouse
from revetl.warehouse.duckdb import DuckDBWarehouse

# The lease of a run that died in this very process ends by itself.
_LEASE_ENDS_S = 3_600.0


async def _inline(function: Any, *args: Any) -> Any:
    """In place of a thread, so that a crash is at the same step each time."""
    await asyncio.sleep(0)
    return function(*args)


@dataclass
class EngineBench:
    """A model, a warehouse that may die, and the sync between it and the vendor. Events are inserted, records
    upserted."""

    bench: SuiteBench
    warehouse: DuckDBWarehouse = field(default_factory=lambda: DuckDBWarehouse(":memory:"))

    def model(self, records: Mapping[int, Mapping[str, Scalar]]) -> None:
        """The model as of now: n → fields."""
        names = dict.fromkeys(name for record in records.values() for name in record)
        rows: dict[str, list[Scalar]] = {"suite_key": [f"key-{n}" for n in records]}
        rows |= {name: [r.get(name) for r in records.values()] for name in names}
        types = ", ".join(f'"{name}" {_type(values)}' for name, values in rows.items())
        self.warehouse.execute("DROP TABLE IF EXISTS suite_model")
        self.warehouse.execute(f"CREATE TABLE suite_model ({types})")
        self.warehouse.append(Relation("main", "suite_model"), pa.table(rows))

    def spec(self, mode: Mode) -> SyncSpec:
        suite = self.bench.suite
        columns = tuple(c.name for c in self.warehouse.columns(Relation("main", "suite_model")))
        return SyncSpec(
            name="suite",
            relation=Relation("main", "suite_model"),
            destination="suite",
            object=suite.object,
            key="suite_key",
            match_on=suite.match_on,
            mode=mode,
            columns=columns,
            guardrails=Guardrails(min_rows=0),
        )

    async def run(self, destination: Destination | None = None, fuse: Fuse | None = None) -> SyncReport:
        """One run of the sync as a process of its own: a new connector, unless one is given."""
        if destination is None:
            async with self.bench.connected() as fresh:
                return await self.run(fresh, fuse)
        schema = await destination.describe(self.bench.suite.object)
        spec = self.spec("insert" if schema.kind == "events" else "upsert")
        warehouse: Warehouse = self.warehouse if fuse is None else CrashingWarehouse(self.warehouse, fuse)
        return await _sync(warehouse, spec, destination, self.bench.clock)


async def _sync(warehouse: Warehouse, spec: SyncSpec, destination: Destination, clock: Clock) -> SyncReport:
    ctx = RunContext(
        warehouse=warehouse,
        clock=clock,
        run_id=new_run_id(clock),
        command="sync",
        target="suite",
        offload=_inline,
        wait=LeaseWait(_LEASE_ENDS_S),
    )
    return await run_sync(ctx, spec, destination)


class EngineTests(DestinationHarness):
    def _rows(self, count: int) -> dict[int, dict[str, Scalar]]:
        return {n: self.fields(n) for n in range(count)}

    async def _batch_rows(self, bench: SuiteBench) -> int:
        async with bench.connected() as destination:
            return destination.limits(self.object).batch_rows

    @on_bench
    async def test_a_second_run_sends_nothing_and_a_change_is_sent_alone(self, bench: SuiteBench) -> None:
        engine = EngineBench(bench)
        rows = self._rows(3)
        engine.model(rows)
        first = await engine.run()
        assert (first.status, first.exit_code) == ("done", 0)
        assert len(await bench.standing()) == 3
        writes = bench.wire.writes
        assert (await engine.run()).plan.changes == 0
        assert bench.wire.writes == writes
        async with bench.connected() as destination:
            if (await destination.describe(self.object)).kind == "events":
                return
        rows[1][self.text] = "Changed"
        engine.model(rows)
        third = await engine.run()
        assert (third.plan.update, third.plan.fields) == (1, {self.text: 1})
        found = await bench.standing()
        assert str(bench.stands(found, 1).fields[self.text]) == "Changed"
        assert len(found) == 3

    @on_bench
    async def test_no_call_is_larger_than_the_limits(self, bench: SuiteBench) -> None:
        engine = EngineBench(bench)
        rows = 2 * await self._batch_rows(bench) + 1
        engine.model(self._rows(rows))
        async with bench.connected() as destination:
            limits = destination.limits(self.object)
            with _listening(destination) as calls:
                report = await engine.run(destination)
            most = write_rows(destination, self.object, rows, Operation.CREATE)
        assert report.status == "done"
        assert max(call.size for call in calls) == min(most, rows), "the engine fills its batches"
        assert all(len(call.operations) == 1 for call in calls)
        assert max(call.at_once for call in calls) <= limits.concurrency
        assert len(await bench.standing()) == rows

    @on_bench
    async def test_a_refused_record_is_rejected_and_the_others_arrive(self, bench: SuiteBench) -> None:
        engine = EngineBench(bench)
        size = min(await self._batch_rows(bench), 20) + 2
        bad = size // 3
        rows = self._rows(size)
        rows[bad] = bench.poisoned(bad)
        engine.model(rows)
        report = await engine.run()
        assert (report.counts.get("rejected"), report.exit_code) == (1, 1)
        found = await bench.standing()
        assert len(found) == size - 1
        assert bench.absent(found, bad)
        rows[bad] = self.fields(bad)
        engine.model(rows)
        assert (await engine.run()).status == "done"
        assert len(await bench.standing()) == size

    @on_bench
    async def test_lost_answers_are_healed_by_the_next_run(self, bench: SuiteBench) -> None:
        engine = EngineBench(bench)
        size = min(await self._batch_rows(bench), 20) + 2
        engine.model(self._rows(size))
        async with bench.connected() as destination:
            await self.fail(bench, "lost")
            report = await engine.run(destination)
        assert not report.counts.get("ok")
        assert report.exit_code == 1
        bench.wire.mend()
        await self._heal(engine, size)

    @on_bench
    async def test_an_outage_loses_nothing(self, bench: SuiteBench) -> None:
        engine = EngineBench(bench)
        engine.model(self._rows(3))
        async with bench.connected() as destination:
            await self.fail(bench, "unavailable")
            report = await engine.run(destination)
        assert (report.status, report.not_sent, report.exit_code) == ("failed", 3, 1)
        bench.wire.mend()
        await self._heal(engine, 3)

    @on_bench
    async def test_refused_credentials_end_the_run_with_exit_code_4(self, bench: SuiteBench) -> None:
        engine = EngineBench(bench)
        engine.model(self._rows(3))
        async with bench.connected() as destination:
            await self.fail(bench, "denied")
            report = await engine.run(destination)
        assert (report.status, report.exit_code) == ("failed", 4)
        bench.wire.mend()
        await self._heal(engine, 3)

    def test_a_crash_at_any_write_loses_nothing_and_doubles_nothing(self) -> None:
        """The process dies at either end of the first write, of the second, and so on, and at the questions between
        them; each time on a fresh vendor."""
        step = 1
        while self._crash_at(step):
            step += 1
            assert step < 200, "the run never comes to its end"
        assert step > 2, "no write was met: is `is_write` right?"

    @on_bench
    async def _play_crash(self, bench: SuiteBench, step: int, died: list[bool]) -> None:
        size = 2 * min(await self._batch_rows(bench), 20) + 1
        engine = EngineBench(bench)
        engine.model(self._rows(size))
        bench.wire.fuse = Fuse(step)
        try:
            await engine.run(fuse=_Shared(bench.wire.fuse))
        except (Crash, BaseExceptionGroup):
            died.append(True)
        bench.wire.fuse = Fuse()
        await self._heal(engine, size)

    def _crash_at(self, step: int) -> bool:
        """Whether the process came to that step and died there."""
        died: list[bool] = []
        self._play_crash(step, died)
        return bool(died)

    async def _heal(self, engine: EngineBench, size: int) -> None:
        """Further runs bring everything there, each record once, and then have nothing to do."""
        bench = engine.bench
        for _ in range(3):
            report = await engine.run()
            if report.status == "done":
                break
        assert report.status == "done"
        found = await bench.standing()
        async with bench.connected() as destination:
            for n in range(size):
                record = bench.stands(found, n)
                for name, value in self.fields(n).items():
                    stored = destination.normalise(self.object, name, record.fields.get(name))
                    assert stored == destination.normalise(self.object, name, value), f"{name} of record {n}"
        assert len(found) == size
        assert (await engine.run()).plan.changes == 0


class _Shared(Fuse):
    """The warehouse of a process dies with its connection, and not before."""

    def __init__(self, fuse: Fuse) -> None:
        super().__init__()
        self._other = fuse

    def tick(self) -> None:
        if self._other.dead:
            raise Crash("the process is gone")


@dataclass
class _Call:
    size: int
    operations: set[Operation]
    at_once: int


@contextmanager
def _listening(destination: Destination) -> Iterator[list[_Call]]:
    """Every `write` and every `submit` of this connector's class, with how many were under way."""
    calls: list[_Call] = []
    under_way = 0
    kind = type(destination)

    def heard(method: Any) -> Any:
        async def call(self: Any, object_: str, match_on: str | None, changes: Sequence[Change]) -> Any:
            nonlocal under_way
            under_way += 1
            calls.append(_Call(len(changes), {c.op for c in changes}, under_way))
            try:
                return await method(self, object_, match_on, changes)
            finally:
                under_way -= 1

        return call

    with ExitStack() as patches:
        for name in ("write", *(["submit"] if isinstance(destination, RunsJobs) else [])):
            patches.enter_context(mock.patch.object(kind, name, heard(getattr(kind, name))))
        yield calls


def _type(values: Sequence[Any]) -> str:
    """Of a column, by its first value."""
    found = next((v for v in values if v is not None), "")
    return {bool: "BOOLEAN", int: "BIGINT", float: "DOUBLE"}.get(type(found), "VARCHAR")

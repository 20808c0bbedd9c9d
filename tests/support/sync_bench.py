"""A model, a warehouse and a fake destination on one bench, for the tests of the sync engine."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from revetl.clock import Clock, LoopClock
from revetl.context import LeaseWait, Meter, RunContext, unheard
from revetl.model import Relation, Scalar, SyncSpec
from revetl.state.leases import Holder
from revetl.state.runs import new_run_id
from revetl.sync import PlanSummary, SyncOptions, SyncReport, plan_sync, run_sync
from revetl.sync.drift.reading import DriftOptions, DriftReport, find_drift
from revetl.sync.drift.resolution import DriftResolution
from revetl.warehouse.base import Warehouse
from tests.support.fake_destination import FakeDestination
from tests.support.warehouses import SCHEMA, the_warehouse

COLUMNS = ("golden_id", "email", "firstname", "city")
Row = Sequence[Scalar]
ANN = ("1", "ann@x.io", "Ann", "Riga")
BOB = ("2", "bob@x.io", "Bob", None)
CID = ("3", "cid@x.io", "Cid", "Oslo")


async def inline(function: Any, *args: Any) -> Any:
    """In place of a thread: every statement is one step of the test, in an order that a seed repeats."""
    await asyncio.sleep(0)
    return function(*args)


@dataclass(kw_only=True)
class Surroundings:
    """What a test may say of a run's context, the rest being what every test has."""

    run_id: str | None = None
    command: str = "sync"
    target: str = "dev"
    wait_s: float = 0.0
    on_wait: Callable[[Holder], None] | None = None
    stop_event: asyncio.Event | None = None
    progress: Meter | None = None
    offload: Any = inline
    note: Callable[[str], None] = unheard
    state_dir: Path | None = None
    connect: Callable[[str], FakeDestination] | None = None

    def context(self, warehouse: Warehouse, clock: Clock) -> RunContext:
        return RunContext(
            warehouse=warehouse,
            clock=clock,
            run_id=self.run_id or new_run_id(clock),
            command=self.command,
            target=self.target,
            offload=self.offload,
            stop=self.stop_event or asyncio.Event(),
            progress=lambda _: self.progress,
            note=self.note,
            wait=LeaseWait(self.wait_s, self.on_wait),
            connect=self.connect,
            state_dir=self.state_dir,
        )


def split(options: dict[str, Any]) -> tuple[Surroundings, dict[str, Any]]:
    """What is of the context, and the other options."""
    of_context = {name: value for name, value in options.items() if name in Surroundings.__dataclass_fields__}
    return Surroundings(**of_context), {n: v for n, v in options.items() if n not in of_context}


def context(warehouse: Warehouse, clock: Clock, **surroundings: Any) -> RunContext:
    return Surroundings(**surroundings).context(warehouse, clock)


@dataclass
class Bench:
    warehouse: Warehouse = field(default_factory=the_warehouse)
    destination: FakeDestination = field(default_factory=FakeDestination)
    spec: SyncSpec = field(
        default_factory=lambda: SyncSpec(
            name="fake__contacts",
            relation=Relation(SCHEMA, "contacts"),
            destination="fake",
            object="contacts",
            key="golden_id",
            match_on="email",
            columns=COLUMNS,
            where="models/activation/fake__contacts.yml",
        )
    )
    clock: LoopClock = field(default_factory=LoopClock)

    def source(
        self, rows: Iterable[Row], ddl: str = "golden_id VARCHAR, email VARCHAR, firstname VARCHAR, city VARCHAR"
    ) -> None:
        """The model as of now."""
        self.warehouse.execute("DROP TABLE IF EXISTS contacts")
        self.warehouse.execute(f"CREATE TABLE contacts ({ddl})")
        for row in rows:
            self.warehouse.execute(f"INSERT INTO contacts VALUES ({', '.join('?' for _ in row)})", list(row))

    def sync_as(self, **changes: Any) -> None:
        self.spec = replace(self.spec, **changes)

    def run(self, **options: Any) -> SyncReport:
        return asyncio.run(self.start(**options))

    async def start(self, **options: Any) -> SyncReport:
        surroundings, rest = split(options)
        ctx = surroundings.context(self.warehouse, self.clock)
        return await run_sync(ctx, self.spec, self.destination, SyncOptions(**rest))

    def plan(self, *, offline: bool = False, **options: Any) -> PlanSummary:
        surroundings, rest = split(options)
        ctx = surroundings.context(self.warehouse, self.clock)
        return asyncio.run(plan_sync(ctx, self.spec, None if offline else self.destination, SyncOptions(**rest)))

    def context(self, **surroundings: Any) -> RunContext:
        return context(self.warehouse, self.clock, **surroundings)

    def rows(self, sql: str, *params: Scalar) -> list[tuple[Scalar, ...]]:
        return self.warehouse.rows(sql, list(params))

    def sent(self) -> list[tuple[str, str, dict[str, Scalar]]]:
        """(op, key, fields) of all that was written since the last call, by key."""
        out = sorted((c.op.value, c.key, dict(c.fields)) for c in self.destination.written)
        self.destination.written.clear()
        return out


def bench_of_three() -> Bench:
    bench = Bench()
    bench.source([ANN, BOB, CID])
    return bench


async def read_back(bench: Bench, resolution: DriftResolution | None = None, **options: Any) -> DriftReport:
    """The destination read back and compared, and accepted or reasserted where that is asked for."""
    surroundings, rest = split({"command": "drift", **options})
    ctx = surroundings.context(bench.warehouse, bench.clock)
    return await find_drift(ctx, bench.spec, bench.destination, DriftOptions(resolution=resolution, **rest))


def drift(bench: Bench, resolution: DriftResolution | None = None, **options: Any) -> DriftReport:
    return asyncio.run(read_back(bench, resolution, **options))

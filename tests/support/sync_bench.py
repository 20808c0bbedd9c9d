"""A model, a warehouse and a fake destination on one bench, for the tests of the sync engine."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from revetl.clock import LoopClock
from revetl.model import Relation, Scalar, SyncSpec
from revetl.state.runs import new_run_id
from revetl.sync import PlanSummary, SyncReport, plan_sync, run_sync
from revetl.sync.drift.drift import DriftReport, Settle, look
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
        return await run_sync(
            self.warehouse,
            self.spec,
            self.destination,
            clock=self.clock,
            command="sync",
            target="dev",
            **{"run_id": new_run_id(self.clock), "offload": inline, **options},
        )

    def plan(self, *, offline: bool = False, **options: Any) -> PlanSummary:
        destination = None if offline else self.destination
        return asyncio.run(
            plan_sync(
                self.warehouse,
                self.spec,
                destination,
                clock=self.clock,
                run_id=new_run_id(self.clock),
                offload=inline,
                **options,
            )
        )

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


async def read_back(bench: Bench, settle: Settle | None = None, **options: Any) -> DriftReport:
    """The destination read back and compared, and settled where that is asked for."""
    return await look(
        bench.warehouse,
        bench.spec,
        bench.destination,
        clock=bench.clock,
        run_id=new_run_id(bench.clock),
        target="dev",
        settle=settle,
        offload=inline,
        **options,
    )


def drift(bench: Bench, settle: Settle | None = None, **options: Any) -> DriftReport:
    return asyncio.run(read_back(bench, settle, **options))

"""Any model into any object of a HubSpot sandbox, over real HTTP."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

from revetl.clock import SystemClock
from revetl.destinations.hubspot import HubSpot, Options
from revetl.model import Guardrails, Relation, Scalar, SyncSpec
from revetl.sandbox.hubspot.portal import Portal
from revetl.sandbox.server import RunningSandbox, running_sandbox
from revetl.sandbox.settings import SandboxSettings
from revetl.sync import PlanSummary, SyncOptions, SyncReport, plan_sync, run_sync
from revetl.sync.plan import saved
from revetl.warehouse.duckdb import DuckDBWarehouse
from revetl.warehouse.sql import ident
from tests.support.sandbox_hubspot import portal_of
from tests.support.sync_bench import context


@dataclass
class PortalBench:
    sandbox: RunningSandbox
    warehouse: DuckDBWarehouse

    @property
    def portal(self) -> Portal:
        return portal_of(self.sandbox)

    def model(self, columns: str, *rows: Sequence[Scalar]) -> None:
        """The model's rows from now on. `columns` as in CREATE TABLE."""
        self.warehouse.execute(f"CREATE OR REPLACE TABLE model ({columns})")
        for row in rows:
            self.warehouse.execute(f"INSERT INTO model VALUES ({', '.join('?' * len(row))})", list(row))

    def spec(self, object_: str, **more: Any) -> SyncSpec:
        """Of the model's columns, its first one the key."""
        columns = tuple(str(row[0]) for row in self.warehouse.rows(f"DESCRIBE {ident('model')}"))
        spec = SyncSpec(
            name="hubspot__model",
            relation=Relation("main", "model"),
            destination="hubspot",
            object=object_,
            key=columns[0],
            match_on=None,
            columns=columns,
            guardrails=Guardrails(min_rows=0),
        )
        return replace(spec, **more)

    def connect(self, **options: object) -> HubSpot:
        given: dict[str, object] = {"token": "pat-test", "searches_per_s": 100, "requests_per_10_s": 1000} | options
        given = {name: value for name, value in given.items() if value is not None}
        settings = Options.model_validate({"base_url": self.sandbox.base_url, **given})
        return HubSpot("hubspot", settings, SystemClock(), rng=random.Random(1))

    async def save_and_apply(self, spec: SyncSpec) -> tuple[dict[str, Any], SyncReport]:
        """A plan as it is saved, and what became of it once it was applied."""
        plan, clock = await self.plan(spec), SystemClock()
        entry = saved.entry(self.warehouse, spec, plan, clock)
        options = SyncOptions(planner=saved.planner(self.warehouse, spec, entry))
        async with self.connect() as destination:
            return entry.data, await run_sync(context(self.warehouse, clock), spec, destination, options)

    async def run(self, spec: SyncSpec, **options: object) -> SyncReport:
        async with self.connect(**options) as destination:
            return await run_sync(context(self.warehouse, SystemClock()), spec, destination)

    async def plan(self, spec: SyncSpec, **options: object) -> PlanSummary:
        async with self.connect(**options) as destination:
            return await plan_sync(context(self.warehouse, SystemClock()), spec, destination)

    def records(self, object_: str, *names: str) -> list[tuple[str | None, ...]]:
        """What stands in the portal, in order of ids."""
        own = {type_.name: id_ for id_, type_ in self.portal.custom.items()}
        store = self.portal.store(own.get(object_, object_))
        return [tuple(store.value(r, n) for n in names) for _, r in sorted(store.records.items())]


@asynccontextmanager
async def portal_bench(settings: SandboxSettings | None = None, **vendors: Any) -> AsyncIterator[PortalBench]:
    """Without limits, unless `settings` say otherwise."""
    warehouse = DuckDBWarehouse(":memory:", threads=1)
    async with running_sandbox(settings=settings or SandboxSettings(limited=False, vendors=vendors)) as sandbox:
        yield PortalBench(sandbox, warehouse)
    warehouse.close()

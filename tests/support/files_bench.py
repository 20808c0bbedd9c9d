"""A model of people, a warehouse, and a folder that the real engine publishes its runs to."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pyarrow as pa

from revetl.clock import Clock
from revetl.destinations.files.connector import Files
from revetl.destinations.files.local import LocalStore
from revetl.destinations.files.options import Options, located
from revetl.destinations.files.store import FileStore
from revetl.model import Guardrails, Relation, SyncSpec
from revetl.state.runs import get_run
from revetl.sync import PlanSummary, SyncReport, plan_sync, run_sync
from revetl.sync.rollback.rolling_back import RollbackChoices, RollbackReport, roll_back
from revetl.testing.clocks import ScaledClock
from revetl.testing.crashing import CrashingWarehouse, Fuse
from revetl.warehouse.base import Warehouse
from revetl.warehouse.duckdb import DuckDBWarehouse
from revetl.warehouse.sql import table as quoted
from tests.support.files import FileWire, ReadRun, Row, WiredStore, applied, files_below, orphans, read_runs
from tests.support.sync_bench import context

Model = Mapping[str, tuple[str, str | None]]  # email → (name, city)


@dataclass
class FilesBench:
    """Every run is a process of its own. `options` are those of the destination beside its url."""

    folder: Path
    options: dict[str, Any] = field(default_factory=lambda: {"format": "ndjson"})
    wire: FileWire = field(default_factory=FileWire)
    warehouse: Warehouse = field(default_factory=lambda: DuckDBWarehouse(":memory:"))
    spec: SyncSpec = field(
        default_factory=lambda: SyncSpec(
            name="files__people",
            relation=Relation("main", "people"),
            destination="lake",
            object="people",
            key="id",
            match_on=None,
            mode="mirror",
            on_leave="archive",
            columns=("id", "email", "name", "city"),
            guardrails=Guardrails(max_deleted_share=1.0, deletes_declared=True),
        )
    )
    clock: Clock = field(default_factory=ScaledClock)

    def __post_init__(self) -> None:
        self.folder.mkdir(exist_ok=True)

    def sync_as(self, **changes: Any) -> None:
        self.spec = replace(self.spec, **changes)

    def model(self, people: Model) -> None:
        columns = {
            "id": [f"id-{email}" for email in people],
            "email": list(people),
            "name": [name for name, _ in people.values()],
            "city": [city for _, city in people.values()],
        }
        self.table({name: pa.array(cells, pa.string()) for name, cells in columns.items()})

    def table(self, columns: Mapping[str, Any]) -> None:
        """The model as of now, of any types."""
        table = pa.table(columns)
        where = self.spec.relation
        self.warehouse.execute(f"DROP TABLE IF EXISTS {quoted(where)}")
        types = ", ".join(f'"{f.name}" {_type(f.type)}' for f in table.schema)
        self.warehouse.execute(f"CREATE TABLE {quoted(where)} ({types})")
        self.warehouse.append(where, table)

    def store(self) -> FileStore:
        return LocalStore("lake", located(f"file://{self.folder}"))

    def destination(self) -> Files:
        options = Options.model_validate({"url": f"file://{self.folder}", **self.options})
        return Files("lake", options, self.clock, WiredStore(self.store(), self.wire))

    def run(self, fuse: Fuse | None = None, **surroundings: Any) -> SyncReport:
        async def run() -> SyncReport:
            warehouse = self.warehouse if fuse is None else CrashingWarehouse(self.warehouse, fuse)
            async with self.destination() as destination:
                ctx = context(warehouse, self.clock, wait_s=3_600.0, **surroundings)
                return await run_sync(ctx, self.spec, destination)

        return asyncio.run(run())

    def copy(self, folder: Path) -> FilesBench:
        """Another bench that stands where this one does."""
        shutil.copytree(self.folder, folder)
        warehouse = DuckDBWarehouse(":memory:")
        for schema in ("main", "revetl"):
            warehouse.execute(f"CREATE SCHEMA IF NOT EXISTS {schema}")
            for name in self.warehouse.tables(schema):
                rows = list(self.warehouse.stream(f'SELECT * FROM {schema}."{name}"'))
                types = ", ".join(f'"{c.name}" {c.type}' for c in self.warehouse.columns(Relation(schema, name)))
                warehouse.execute(f'CREATE TABLE {schema}."{name}" ({types})')
                if rows:
                    warehouse.append(Relation(schema, name), pa.Table.from_batches(rows))
        return replace(self, folder=folder, warehouse=warehouse, wire=FileWire())

    def end_leases(self) -> None:
        """Those of a run that died in this very process would last for five minutes."""
        self.warehouse.execute("UPDATE revetl.leases SET run_id = NULL")

    def plan(self, *, offline: bool = False) -> PlanSummary:
        async def plan() -> PlanSummary:
            async with self.destination() as destination:
                ctx = context(self.warehouse, self.clock, wait_s=3_600.0)
                return await plan_sync(ctx, self.spec, None if offline else destination)

        return asyncio.run(plan())

    def roll_back(self, run_id: str, **choices: bool) -> RollbackReport:
        undone = get_run(self.warehouse, run_id)
        assert undone is not None

        async def roll() -> RollbackReport:
            async with self.destination() as destination:
                ctx = context(self.warehouse, self.clock, command="rollback", wait_s=3_600.0)
                return await roll_back(ctx, self.spec, destination, undone, RollbackChoices(**choices))

        return asyncio.run(roll())

    def files(self) -> dict[str, bytes]:
        return files_below(self.folder)

    def runs(self) -> list[ReadRun]:
        return read_runs(self.files(), "people")

    def held(self) -> dict[str, Row]:
        """As a reader holds it; fails where anything was told twice or not at all, or a file is nobody's."""
        files = self.files()
        assert orphans(files) == set()
        return applied(read_runs(files, "people"))

    def people(self) -> dict[str, tuple[str, str | None]]:
        """The same as a model."""
        return {str(r["email"]): (r["name"], r["city"]) for r in self.held().values()}

    def manifests(self) -> list[dict[str, Any]]:
        return [json.loads(content) for path, content in sorted(self.files().items()) if "_manifests" in path]


def _type(type_: pa.DataType) -> str:
    named = {"string": "VARCHAR", "int64": "BIGINT", "double": "DOUBLE", "bool": "BOOLEAN", "date32[day]": "DATE"}
    named |= {"binary": "BLOB", "timestamp[us]": "TIMESTAMP", "timestamp[us, tz=UTC]": "TIMESTAMPTZ"}
    return named.get(str(type_)) or str(type_).replace("decimal128", "DECIMAL")

"""A service over a warehouse in memory: its API and its page by ASGI, its operations by a process that is made up."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import httpx

from revetl.accounts.roles import Role
from revetl.accounts.tokens import TokenTable
from revetl.model import Relation, RunRecord, SyncSpec
from revetl.service.operations.kinds import OperationKind
from revetl.service.operations.running import FinishedCommand, OperationRunner
from revetl.service.operations.tables import ServiceOperation
from revetl.service.scheduling import WorkerState
from revetl.service.web import web_application
from revetl.state import runs
from revetl.state.schema import create_all
from revetl.warehouse.base import Warehouse
from revetl.warehouse.duckdb import DuckDBWarehouse

NOW = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
SYNC = "hubspot__contacts"
RUN = "20260302T100000.000Z-abcdef"
BASE = "http://127.0.0.1:8420"


class HandClock:
    """Passes by what is slept, and by what a test lets pass."""

    def __init__(self) -> None:
        self.passed = 0.0

    def now(self) -> datetime:
        return NOW + timedelta(seconds=self.passed)

    def monotonic(self) -> float:
        return 1_000.0 + self.passed

    async def sleep(self, seconds: float) -> None:
        self.passed += seconds
        await asyncio.sleep(0.001)


class MadeUpProcess:
    """In place of the command line: `does` says what each operation comes to."""

    def __init__(self) -> None:
        self.ran: list[tuple[ServiceOperation, dict[str, bytes]]] = []
        self.does: Callable[[ServiceOperation], FinishedCommand] = self.ends_well
        self.held: asyncio.Event | None = None
        self.began = asyncio.Event()

    async def run(
        self, operation: ServiceOperation, files: Mapping[str, bytes], stop: asyncio.Event
    ) -> FinishedCommand:
        self.ran.append((operation, dict(files)))
        self.began.set()
        if self.held is not None:
            await self.held.wait()
        return self.does(operation)

    def ends_well(self, operation: ServiceOperation) -> FinishedCommand:
        if operation.kind is OperationKind.PLAN:
            return FinishedCommand(0, plan=plan_document(operation.operation_id))
        return FinishedCommand(0, output=[])


def plan_document(name: str) -> str:
    syncs = [{"sync": SYNC, "plan_id": name, "lines": 2, "counts": {"create": 1, "update": 1}}]
    return json.dumps({"revetl_plan": 1, "target": "dev", "syncs": syncs, "sha256": f"sha-{name}"})


class Unclosed:
    """The shared warehouse, for who opens and closes one of his own."""

    def __init__(self, warehouse: Warehouse) -> None:
        self._warehouse = warehouse

    def __getattr__(self, name: str) -> Any:
        return getattr(self._warehouse, name)

    def close(self) -> None:
        pass


class ServiceWorld:
    """`tokens`: role → the token itself. `approvals`: as revetl.yml would say. `fails`: raised where the warehouse is
    opened."""

    def __init__(self, warehouse: Warehouse) -> None:
        self.clock, self.process = HandClock(), MadeUpProcess()
        self.warehouse = warehouse
        self.fails: Exception | None = None
        self.approvals = 0
        self.keys = (f"key-{i}" for i in itertools.count())
        self.tokens: dict[str, str] = {}
        for role in Role:
            self.tokens[role.value] = self.token(f"{role.value}-name", role)
        relation = Relation(schema="main", name=SYNC)
        spec = SyncSpec(SYNC, relation, "hubspot", "contacts", "golden_id", "email")
        world = self

        class _Project:
            name, target, waterfalls = "crm", "dev", {"contact_profile": object()}
            manifest, state_schema = SimpleNamespace(model_names=list, nodes={}), "revetl"

            def open_warehouse(self) -> Any:
                return Unclosed(world.warehouse)

            @property
            def approvals(self) -> int:
                return world.approvals

            def syncs(self, *, verified: bool = True) -> list[Any]:
                return [spec]

        self.book: Any = SimpleNamespace(project=_Project(), error=None, schedules=list)
        self.state = WorkerState("w", leading=True, looked_at=NOW)
        self.runner = self.another_runner("w")
        self.app = web_application(
            self.book, self.door, self.state, self.runner, self.clock, exclusive=True, offload=inline
        )
        self._stop = asyncio.Event()

    def another_runner(self, worker: str) -> OperationRunner:
        process: Any = self.process
        return OperationRunner(self.door, process, self.clock, worker, exclusive=True, offload=inline)

    def token(self, name: str, role: Role, **how: Any) -> str:
        return TokenTable(self.warehouse).create(name, role, by="tests", now=self.clock.now(), **how)[1]

    @contextmanager
    def door(self) -> Iterator[Warehouse]:
        if self.fails is not None:
            raise self.fails
        yield self.warehouse

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[httpx.AsyncClient]:
        """With operations running beside."""
        stop = asyncio.Event()
        task = asyncio.create_task(self.runner.run(stop))
        try:
            async with self.client() as client:
                yield client
        finally:
            stop.set()
            await task

    def client(self, **how: Any) -> httpx.AsyncClient:
        transport = httpx.ASGITransport(app=self.app, client=("127.0.0.1", 5))
        return httpx.AsyncClient(transport=transport, base_url=BASE, **how)

    def headers(self, role: str = "operator", *, key: str | None = None, wait: int | None = 10) -> dict[str, str]:
        found = {"Authorization": f"Bearer {self.tokens[role]}", "Idempotency-Key": key or next(self.keys)}
        return found | ({} if wait is None else {"Prefer": f"wait={wait}"})

    async def until(self, true: Callable[[], bool]) -> None:
        """Gives way to others until it is so; after 500 times it is not."""
        for _ in range(500):
            if true():
                return
            await asyncio.sleep(0.001)
        raise AssertionError("that did not come")

    def rows(self, sql: str) -> list[Any]:
        return list(self.warehouse.rows(sql))


def state_in_memory() -> DuckDBWarehouse:
    made = DuckDBWarehouse(":memory:", state_schema="revetl", settings={})
    create_all(made)
    return made


def emptied(warehouse: Warehouse) -> Warehouse:
    """Without what an earlier test wrote: making the tables takes longer than the tests."""
    for name in ("access_tokens", "audit_log", "operations", "reviewed_plans", "plan_approvals", "leases", "locks"):
        warehouse.execute(f"DELETE FROM revetl.{name}")
    return warehouse


async def inline(function: Callable[..., Any], *arguments: Any) -> Any:
    return function(*arguments)


def fill(warehouse: Warehouse, records: int = 25) -> None:
    """One run of a sync with so many outcomes, of which every tenth was rejected."""
    record = RunRecord(RUN, "sync", SYNC, "dev", NOW - timedelta(hours=2), "0")
    record.finished_at, record.status = NOW - timedelta(hours=1), "partial"
    record.counts = {"ok": records}
    runs.start_run(warehouse, record)
    warehouse.execute(
        f"""
        INSERT INTO revetl.outcomes
            (run_id, sync, key, op, status, attempts, error_code, message, changed_fields, before, after, "at")
        SELECT '{RUN}', '{SYNC}', 'k' || lpad(CAST(i AS VARCHAR), 8, '0'), 'update',
               CASE WHEN i % 10 = 0 THEN 'rejected' ELSE 'ok' END, 1,
               CASE WHEN i % 10 = 0 THEN 'INVALID_EMAIL' END, CASE WHEN i % 10 = 0 THEN 'not an address' END,
               '["firstname"]', '{{"firstname": "Ada"}}', '{{"firstname": "Ada ' || i || '"}}', now()
        FROM range({records}) t(i)
        """
    )

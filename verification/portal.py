"""A HubSpot of contacts in memory and on virtual time, as far as a push needs one: what no socket can do in a second.

Shapes are those of the sandbox, whose own tests hold them against the documentation and the official client.
"""

from __future__ import annotations

import asyncio
import json
import random
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import httpx

from revetl.clock import LoopClock
from revetl.destinations.hubspot import HubSpot, Options
from revetl.model import Relation, SyncSpec
from revetl.sync import SyncReport, run_sync
from revetl.warehouse.duckdb import DuckDBWarehouse
from tests.support.sync_bench import context

_TEXT = {"type": "string", "fieldType": "text", "options": [], "modificationMetadata": {"readOnlyValue": False}}
_TOO_MANY = {"status": "error", "category": "RATE_LIMITS", "policyName": "TEN_SECONDLY_ROLLING", "message": "limit"}
SPEC = SyncSpec(
    name="hubspot__contacts",
    relation=Relation("main", "contacts"),
    destination="hubspot",
    object="contacts",
    key="golden_id",
    match_on="email",
    columns=("golden_id", "email", "firstname"),
)


@dataclass
class Portal:
    """`refuses`: says of an input whether it is poison. `names_it`: whether the answer says which input it was, or
    refuses the whole batch. `state`: what is wrong at this moment: None, 429 or "down"."""

    allowed: int | None = None  # requests in any ten seconds
    latency_s: float = 0.1
    refuses: Callable[[dict[str, Any]], bool] = lambda _: False
    names_it: bool = True
    state: Callable[[float], int | str | None] = lambda _: None
    records: dict[str, dict[str, Any]] = field(default_factory=dict)
    came: list[float] = field(default_factory=list)
    statuses: Counter[int | str] = field(default_factory=Counter)
    writes: int = 0
    _window: deque[float] = field(default_factory=deque)

    async def __call__(self, request: httpx.Request) -> httpx.Response:
        now = asyncio.get_running_loop().time()
        self.came.append(now)
        state = self.state(now)
        await asyncio.sleep(self.latency_s)
        if state == "down":
            self.statuses["down"] += 1
            raise httpx.ConnectError("refused")
        if state == 429 or not self._within_limit(now):
            self.statuses[429] += 1
            return httpx.Response(429, json=_TOO_MANY)
        response = self._answer(request)
        self.statuses[response.status_code] += 1
        return response

    def _within_limit(self, now: float) -> bool:
        if self.allowed is None:
            return True
        while self._window and now - self._window[0] >= 10.0:
            self._window.popleft()
        if len(self._window) >= self.allowed:
            return False
        self._window.append(now)
        return True

    def _answer(self, request: httpx.Request) -> httpx.Response:
        path = request.url.path
        if "/properties/" in path:
            fields = [_TEXT | {"name": name, "hasUniqueValue": name == "email"} for name in ("email", "firstname")]
            return httpx.Response(200, json={"results": fields})
        inputs = json.loads(request.content)["inputs"]
        if path.endswith("/batch/read"):
            found = [self.records[i["id"].lower()] for i in inputs if i["id"].lower() in self.records]
            return httpx.Response(
                200 if len(found) == len(inputs) else 207, json={"status": "COMPLETE", "results": found}
            )
        self.writes += 1
        return self._write(inputs)

    def _write(self, inputs: Sequence[dict[str, Any]]) -> httpx.Response:
        bad = [i for i in inputs if self.refuses(i)]
        if bad and not self.names_it:
            return httpx.Response(
                400, json={"status": "error", "category": "VALIDATION_ERROR", "message": "invalid input"}
            )
        done = []
        for given in inputs:
            if given in bad:
                continue
            email = given["id"].lower()
            record = self.records.setdefault(
                email, {"id": str(1000 + len(self.records)), "properties": {"email": email}}
            )
            record["properties"] |= given["properties"]
            done.append(record)
        body: dict[str, Any] = {"status": "COMPLETE", "results": done}
        if bad:
            body["errors"] = [
                {
                    "status": "error",
                    "category": "VALIDATION_ERROR",
                    "message": "invalid input",
                    "context": {"objectWriteTraceId": [i["objectWriteTraceId"]]},
                }
                for i in bad
            ]
        return httpx.Response(207 if bad else 200, json=body)


def source(rows: int) -> DuckDBWarehouse:
    """`main.contacts`: k0 … with an email and a name each."""
    warehouse = DuckDBWarehouse(":memory:")
    warehouse.execute(
        "CREATE TABLE contacts AS SELECT 'k' || i AS golden_id, 'p' || i || '@corp.example' AS email, 'v1' AS firstname"
        f" FROM range({int(rows)}) t(i)"
    )
    return warehouse


async def push(warehouse: DuckDBWarehouse, portal: Portal, **options: Any) -> SyncReport:
    """One run of the sync against the portal, on the loop's time."""
    given = Options.model_validate({"base_url": "https://portal.example", "token": "pat-test", **options})
    clock = LoopClock()
    transport = httpx.MockTransport(portal)
    async with HubSpot("hubspot", given, clock, transport=transport, rng=random.Random(1)) as destination:
        return await run_sync(context(warehouse, clock, target="verify"), SPEC, destination)

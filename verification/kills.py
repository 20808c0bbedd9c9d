"""Real SIGKILL at every step of a run: a real database file, the real connector, a real HubSpot sandbox over HTTP.

Each round changes the source, lets a process run the sync until it kills itself at one step (a statement, either end of
a commit, either side of a request), perhaps changes the source back, and lets another process heal. The portal is then
read through its own API and compared with the source.
"""

from __future__ import annotations

import asyncio
import gc
import json
import multiprocessing
import os
import random
import signal
import sys
import tempfile
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import httpx

from benchmarks.report import Section
from revetl.clock import SystemClock
from revetl.destinations.hubspot import HubSpot, Options
from revetl.http import default_transport
from revetl.model import Guardrails, Relation, SyncSpec
from revetl.sandbox.process import SandboxProcess
from revetl.sync import SyncReport, run_sync
from revetl.warehouse.duckdb import DuckDBWarehouse
from tests.support.crashing import CrashingWarehouse, Fuse
from tests.support.sync_bench import context

KILLS = int(os.environ.get("REVETL_KILLS", "500"))
ROWS = 60
SPEC = SyncSpec(
    name="hubspot__contacts",
    relation=Relation("main", "contacts"),
    destination="hubspot",
    object="contacts",
    key="golden_id",
    match_on="email",
    mode="mirror",
    on_leave="archive",
    columns=("golden_id", "email", "firstname"),
    guardrails=Guardrails(min_rows=0),
)
_FORK = multiprocessing.get_context("fork")
Records = dict[str, list[str]]


class DeadlyFuse(Fuse):
    """Does not raise: no handler, no `finally` and no exit hook runs after it."""

    def tick(self) -> None:
        self.step += 1
        if self.step == self.at:
            os.kill(os.getpid(), signal.SIGKILL)


class DeadlyTransport(httpx.AsyncBaseTransport):
    """Both sides of every request are steps."""

    def __init__(self, inner: httpx.AsyncBaseTransport, fuse: Fuse) -> None:
        self._inner, self._fuse = inner, fuse

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self._fuse.tick()
        response = await self._inner.handle_async_request(request)
        await response.aread()
        self._fuse.tick()
        return response

    async def aclose(self) -> None:
        await self._inner.aclose()


@dataclass
class Round:
    """What one process did: steps taken, records sent and the outcomes that are durable."""

    steps: int
    sent: int
    status: str


def run_once(database: Path, url: str, source: dict[str, str], kill_at: int | None) -> Round:
    """One process's life: brings the source to `source` (key → first name), then runs the sync."""
    warehouse = DuckDBWarehouse(database, threads=1)
    warehouse.execute("CREATE OR REPLACE TABLE contacts (golden_id VARCHAR, email VARCHAR, firstname VARCHAR)")
    values = ", ".join(f"('{key}', '{key}@corp.example', '{name}')" for key, name in source.items())
    if values:
        warehouse.execute(f"INSERT INTO contacts VALUES {values}")
    fuse = DeadlyFuse(kill_at)

    async def sync() -> SyncReport:
        clock = SystemClock()
        options = Options.model_validate(
            {"base_url": url, "token": "pat-test", "batch_rows": 5, "concurrency": 2, "requests_per_10_s": 1000}
        )
        transport = DeadlyTransport(default_transport(url), fuse)
        async with HubSpot("hubspot", options, clock, transport=transport, rng=random.Random(1)) as destination:
            ctx = context(CrashingWarehouse(warehouse, fuse), clock, target="verify", wait_s=400.0)
            return await run_sync(ctx, SPEC, destination)

    report = asyncio.run(sync())
    warehouse.close()
    return Round(fuse.step, sum(report.counts.values()), report.status)


def in_process(function: Callable[..., Any], *args: Any) -> Any:
    """The answer of `function` in a process of its own; None where that was killed."""
    ours, theirs = _FORK.Pipe(duplex=False)

    def body(answer: Connection) -> None:
        # What the parent left to its garbage collector is not ours to end: closing a database waits for its threads,
        # and those do not exist on this side of the fork.
        gc.freeze()
        ours.close()
        answer.send(function(*args))

    process = _FORK.Process(target=body, args=(theirs,))
    process.start()
    theirs.close()
    try:
        answer = ours.recv()
    except EOFError:
        answer = None
    process.join()
    if answer is None and process.exitcode != -signal.SIGKILL:
        raise RuntimeError(f"the process ended with {process.exitcode}")
    return answer


def undurable(database: Path) -> tuple[int, int]:
    """After a kill: (records under the durable intent without an outcome, rows of the plan)."""
    warehouse = DuckDBWarehouse(database, threads=1)
    try:
        if not warehouse.columns(Relation("revetl", "plan__hubspot__contacts")):
            return 0, 0
        found = warehouse.rows(
            "SELECT count(*) FILTER (WHERE p.ordinal < q.intent_until AND o.key IS NULL), count(*)"
            " FROM revetl.plan__hubspot__contacts p JOIN revetl.plans q ON q.plan_id = p.plan_id"
            " LEFT JOIN revetl.outcomes o ON o.run_id = q.run_id AND o.key = p.key WHERE p.outcome IS NULL"
        )[0]
        return int(str(found[0])), int(str(found[1]))
    finally:
        warehouse.close()


def portal(url: str) -> Records:
    """key → first names that stand at the portal, read through its own list API."""
    found: Records = {}
    after = ""
    while True:
        request = urllib.request.Request(
            f"{url}/crm/v3/objects/contacts?limit=100&properties=email,firstname{after}",
            headers={"authorization": "Bearer pat-test"},
        )
        with urllib.request.urlopen(request) as answer:
            page = json.load(answer)
        for record in page["results"]:
            key = str(record["properties"]["email"]).partition("@")[0]
            found.setdefault(key, []).append(str(record["properties"]["firstname"]))
        if not page.get("paging"):
            return found
        after = f"&after={page['paging']['next']['after']}"


@dataclass
class Tally:
    kills: int = 0
    steps: int = 0
    lost: int = 0
    stale: int = 0
    doubled: int = 0
    repeated: int = 0
    most_repeated: int = 0
    over: int = 0
    first_failure: str = ""


def _changed(source: dict[str, str], rng: random.Random, round_: int) -> dict[str, str]:
    """A third changes, some leave, some come."""
    keys = [f"k{n:02d}" for n in range(ROWS)]
    after = {k: (f"v{round_}" if rng.random() < 0.34 else v) for k, v in source.items() if rng.random() > 0.05}
    for key in rng.sample(keys, 4):
        after.setdefault(key, f"v{round_}")
    return after


def kill(rounds: int) -> Tally:
    tally = Tally()
    rng = random.Random(2026)
    with tempfile.TemporaryDirectory() as folder, SandboxProcess(options=("--no-limits",)) as sandbox:
        database, url = Path(folder) / "warehouse.duckdb", sandbox.base_url
        source = {f"k{n:02d}": "v" for n in range(ROWS)}
        in_process(run_once, database, url, source, None)
        for round_ in range(rounds):
            earlier, source = source, _changed(source, rng, round_)
            if tally.steps == 0:
                tally.steps = in_process(run_once, database, url, source, None).steps
                continue
            ended = in_process(run_once, database, url, source, 1 + round_ % tally.steps)
            tally.kills += ended is None
            in_flight, _ = in_process(undurable, database)
            before = portal(url)
            if rng.random() < 0.4:
                source = earlier
            healed: Round = in_process(run_once, database, url, source, None)
            after = portal(url)
            moved = sum(before.get(k) != after.get(k) for k in before.keys() | after.keys())
            repeated = max(0, healed.sent - moved)
            tally.repeated += repeated
            tally.most_repeated = max(tally.most_repeated, repeated)
            tally.over += repeated > in_flight
            _judge(tally, round_, healed.status, source, after)
            if sys.stderr.isatty():
                print(f"\r{tally.kills} of {rounds} kills", end="", file=sys.stderr)
    return tally


def _judge(tally: Tally, round_: int, status: str, source: dict[str, str], stands: Records) -> None:
    lost = sum(k not in stands for k in source)
    doubled = sum(len(names) > 1 for names in stands.values())
    stale = sum(stands.get(k, [v])[0] != v for k, v in source.items()) + len(stands.keys() - source.keys())
    tally.lost += lost
    tally.doubled += doubled
    tally.stale += stale
    if (lost or doubled or stale or status != "done") and not tally.first_failure:
        tally.first_failure = f"round {round_}: {status}, lost {lost}, stale {stale}, doubled {doubled}"


def measure() -> Section:
    tally = kill(KILLS + 1)
    met = not (tally.lost or tally.stale or tally.doubled or tally.over or tally.first_failure)
    return Section(
        title="SIGKILL",
        workload=(
            f"A sync of about {ROWS} contacts in batches of 5, two at once, from a DuckDB file to the HubSpot sandbox. "
            "The process kills itself with SIGKILL at one step after another: every statement, both ends of every "
            "commit, both sides of every request. In four of ten rounds the source has changed back before the next "
            "process heals."
        ),
        header=("", "figure"),
        rows=[
            ("kills, over steps of a run", f"{tally.kills} over {tally.steps}"),
            ("records lost / stale / doubled", f"{tally.lost} / {tally.stale} / {tally.doubled}"),
            ("records sent again that stood there already, mean / most", f"{tally.repeated / max(tally.kills, 1):.1f} / {tally.most_repeated}"),
            ("rounds that repeated more than was in flight", str(tally.over)),
        ],
        verdict="Target 0 lost, repeats within what was in flight: "
        + ("met." if met else f"NOT met. {tally.first_failure}"),
    )  # fmt: skip

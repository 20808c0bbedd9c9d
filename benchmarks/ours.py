"""revetl as a contender: a sync of main.contacts to a null HTTP sink, with all its bookkeeping.

`python -m benchmarks.ours DATABASE URL [--cold]` runs one sync and prints its figures as JSON; cold, nothing is imported
before the run needs it.
"""

from __future__ import annotations

import asyncio
import gc
import json
import sys
import time
from importlib import import_module
from pathlib import Path

import pyarrow

from benchmarks.data import COLUMNS
from benchmarks.resources import peak_mib
from revetl.clock import SystemClock
from revetl.context import RunContext
from revetl.destinations.registry import create_destination
from revetl.model import Relation, SyncSpec
from revetl.state.runs import new_run_id
from revetl.sync import run_sync
from revetl.warehouse.duckdb import DuckDBWarehouse

SPEC = SyncSpec(
    name="contacts",
    relation=Relation("main", "contacts"),
    destination="sink",
    object="contacts",
    key="golden_id",
    match_on=None,
    columns=COLUMNS,
)


async def sync_once(database: Path | str, url: str) -> dict[str, object]:
    clock = SystemClock()
    started = time.perf_counter()
    warehouse = DuckDBWarehouse(database)
    try:
        options = {"url": url, "batch_rows": 100, "concurrency": 8}
        async with create_destination("http_sink", "sink", options, clock) as destination:
            ctx = RunContext(
                warehouse=warehouse, clock=clock, run_id=new_run_id(clock), command="bench", target="bench"
            )
            report = await run_sync(ctx, SPEC, destination)
    finally:
        warehouse.close()
    if report.status != "done":
        raise RuntimeError(f"the sync ended as {report.status}: {report.error}")
    return {
        "seconds": time.perf_counter() - started,
        "counts": {str(k): v for k, v in report.counts.items()},
        "requests": report.requests,
        "peak_mib": peak_mib(),
    }


def pretend_synced(database: Path) -> None:
    """Brings the snapshot to the source's present state by a real sync to a null sink."""
    from benchmarks import sink

    with sink.running() as base:
        asyncio.run(sync_once(database, f"{base}/push"))


if __name__ == "__main__":
    gc.set_threshold(50_000)  # as the command does
    if "--cold" not in sys.argv:
        # The other contenders' imports are not counted either; revetl's are made where they are used.
        for module in ("sqlglot", "revetl.destinations.http_sink"):
            import_module(module)
        pyarrow.array([0])  # its first array imports pandas where that is installed
    print(json.dumps(asyncio.run(sync_once(sys.argv[1], sys.argv[2]))))

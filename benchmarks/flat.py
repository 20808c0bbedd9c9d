"""Peak memory of a push by the size of its table: it must not grow with it.

`python -m benchmarks.flat DATABASE URL WHAT` is one process of it, a `push` or a `plan`, and prints its figures as JSON.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks import sink
from benchmarks.data import make_source
from benchmarks.ours import SPEC, sync_once
from benchmarks.report import Section
from benchmarks.resources import peak_mib
from revetl.clock import SystemClock
from revetl.context import RunContext
from revetl.state.runs import new_run_id
from revetl.sync import plan_sync
from revetl.warehouse.duckdb import DuckDBWarehouse

SIZES = (100_000, 1_000_000, 10_000_000)
_FLAT = 1.3
_PUSH = "full push"
_OTHERS_AT = 1_000_000
_BATCH_ROWS = 100


def measure(sizes: tuple[int, ...] = SIZES, others_at: int = _OTHERS_AT) -> Section:
    rows: list[tuple[str, ...]] = []
    peaks: dict[int, float] = {}
    worst = 0.0
    with sink.running() as url:
        for size in sizes:
            with tempfile.TemporaryDirectory() as folder:
                database = Path(folder) / "warehouse.duckdb"
                make_source(database, size)
                if size == others_at:
                    rows.append(_row("first plan", size, first := _one(database, url, "plan")))
                    rows.append(_row("push, killed half-way", size, _killed(database, url, size)))
                    rows.append(_row("recovery, and the rest of the push", size, rest := _one(database, url, "push")))
                    make_source(database, size, changed="i % 100 = 7")
                    rows.append(_row("plan, 1 % changed", size, changed := _one(database, url, "plan")))
                    worst = max(figures["peak_mib"] for figures in (first, rest, changed))
            with tempfile.TemporaryDirectory() as folder:
                database = Path(folder) / "warehouse.duckdb"
                make_source(database, size)
                before = sink.requests_so_far(url)
                figures = _one(database, url, "push")
                if (sent := sink.requests_so_far(url) - before) != size // _BATCH_ROWS:
                    raise AssertionError(f"a push of {size} rows sent {sent} requests")
                peaks[size] = figures["peak_mib"]
                rows.append(_row(_PUSH, size, figures))
    least = peaks[min(peaks)]
    growth, others = max(peaks.values()) / least, worst / least
    return Section(
        title="Memory of a full push",
        workload=(
            "10 columns from a DuckDB file to a server that answers `{}`, in requests of 100; each in a process of its own "
            "with all bookkeeping. Peak resident memory of that process as the kernel counts it; the server is another "
            "process. revetl sets DuckDB's `memory_limit` by the number of threads: what is past it is spilled to disk."
        ),
        header=("", "rows", "seconds", "rows/s", "peak MiB"),
        rows=rows,
        verdict=(
            f"{max(peaks) // min(peaks)} times the rows take {growth:.2f} times the memory. Target flat (≤ {_FLAT}): "
            f"{'met' if growth <= _FLAT else 'NOT met'}. Plans and recovery at {others_at:,} rows take {others:.2f} times that "
            f"of a full push of {min(peaks):,}."
        ),
    )


def _row(what: str, size: int, figures: dict[str, float]) -> tuple[str, ...]:
    seconds = figures["seconds"]
    pace = f"{size / seconds:,.0f}" if what == _PUSH else ""
    return (what, f"{size:,}", f"{seconds:.1f}", pace, f"{figures['peak_mib']:.0f}")


def _one(database: Path, url: str, what: str) -> dict[str, float]:
    done = _process(database, url, what).communicate()
    lines = done[0].strip().splitlines()
    if not lines:
        raise RuntimeError(f"{what} ended without figures:\n{done[1][-2000:]}")
    figures: dict[str, float] = json.loads(lines[-1])
    return figures


def _killed(database: Path, url: str, size: int) -> dict[str, float]:
    """Ends the push by SIGKILL when half of it is answered. The peak is what the kernel told just before."""
    before, started = sink.requests_so_far(url), time.perf_counter()
    process = _process(database, url, "push")
    peak = 0.0
    while sink.requests_so_far(url) - before < size // _BATCH_ROWS // 2:
        if process.poll() is not None:
            raise RuntimeError(f"the push ended before it was killed:\n{process.communicate()[1][-2000:]}")
        peak = peak_mib(process.pid)
        time.sleep(0.1)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    return {"seconds": time.perf_counter() - started, "peak_mib": peak}


def _process(database: Path, url: str, what: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "benchmarks.flat", str(database), f"{url}/push", what],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


async def _plan_once(database: str) -> dict[str, object]:
    clock, started = SystemClock(), time.perf_counter()
    warehouse = DuckDBWarehouse(database)
    try:
        ctx = RunContext(warehouse=warehouse, clock=clock, run_id=new_run_id(clock), command="bench", target="bench")
        plan = await plan_sync(ctx, SPEC, None)
    finally:
        warehouse.close()
    return {"seconds": time.perf_counter() - started, "lines": plan.changes, "peak_mib": peak_mib()}


if __name__ == "__main__":
    gc.set_threshold(50_000)  # as the command does
    _, of_database, of_url, wanted = sys.argv
    print(json.dumps(asyncio.run(_plan_once(of_database) if wanted == "plan" else sync_once(of_database, of_url))))

"""What a waterfall costs without its vendors: records per second, and peak memory by the number of records.

`python -m benchmarks.enrich RECORDS BATCH` is one run in a process of its own, its figures as JSON.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.instant import WATERFALL, vendors
from benchmarks.report import Section
from benchmarks.resources import peak_mib, usual_mib
from revetl.clock import SystemClock
from revetl.context import RunContext
from revetl.enrich.execution.engine import run_waterfall
from revetl.model import Relation
from revetl.warehouse.duckdb import DuckDBWarehouse

# A table in a file outgrows what the database keeps of it in memory; without a limit it takes what the machine has.
DATABASE_MIB = 128
LARGEST = int(os.environ.get("REVETL_ENRICH_RECORDS", "1000000"))


def run(records: int, batch_size: int) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as folder:
        warehouse = DuckDBWarehouse(Path(folder) / "warehouse.duckdb", threads=1)
        warehouse.execute(f"SET memory_limit = '{DATABASE_MIB}MiB'")
        warehouse.execute(
            "CREATE TABLE contacts AS SELECT 'g' || i AS golden_id, 'first' || i AS first_name, 'last' || i AS last_name,"
            " 'c' || i % 1000 || '.example' AS company_domain, CAST(NULL AS VARCHAR) AS email,"
            f" CAST(NULL AS VARCHAR) AS phone FROM range({int(records)}) AS t(i)"
        )
        asked = vendors(batch_size)
        started = time.perf_counter()
        with usual_mib() as usual:
            report = asyncio.run(
                run_waterfall(
                    RunContext(
                        warehouse=warehouse, clock=SystemClock(), run_id="measured", command="enrich", target="dev"
                    ),
                    WATERFALL,
                    asked,
                    Relation("main", "contacts"),
                )
            )
        seconds = time.perf_counter() - started
        warehouse.close()
    return {"seconds": seconds, "calls": report.asked, "usual_mib": usual[0], "peak_mib": peak_mib()}


def measured(records: int, batch_size: int) -> dict[str, float]:
    command = [sys.executable, "-m", "benchmarks.enrich", str(records), str(batch_size)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr[-2000:])
    figures: dict[str, float] = json.loads(done.stdout.strip().splitlines()[-1])
    return figures


def measure(sizes: tuple[int, ...] = (10_000, 100_000), largest: int = LARGEST) -> Section:
    rows, sizes_mib = [], []
    runs = [(size, batch) for size in sizes for batch in (1, 100)]
    for size, batch_size in [*runs, (largest, 100)]:
        figures = measured(size, batch_size)
        if batch_size > 1:
            sizes_mib.append((size, figures["usual_mib"], figures["peak_mib"]))
        kind = "one by one" if batch_size == 1 else f"batches of {batch_size}"
        rate = f"{size / figures['seconds']:,.0f}"
        held = f"{figures['usual_mib']:.0f} / {figures['peak_mib']:.0f}"
        rows.append((f"{size:,}", kind, f"{figures['calls']:,}", rate, held))
    (small, usual, peak), (_, last_usual, last_peak) = sizes_mib[0], sizes_mib[-1]
    return Section(
        title="Enrichment without its vendors",
        workload=(
            "A waterfall of two providers that answer at once, from memory: six of ten records are found by the first, "
            "four of ten of the rest by the second. A DuckDB file with "
            f"{DATABASE_MIB} MiB for the database, one process; money, intents, outcomes and values are written as ever."
        ),
        header=("records", "asked", "questions", "records a second", "MiB, median / peak"),
        rows=rows,
        verdict=(
            f"{largest // small} times the records take {last_usual / usual:.2f} times the memory as a rule, and "
            f"{last_peak / peak:.2f} times at the peak: the database fills the {DATABASE_MIB} MiB that it may keep of its "
            "file. About half of the time is "
            "the database's, in the statements that let questions through and write what came (a dozen for up to 200 "
            "questions); the rest is Python's: rows of the ledger, JSON, tasks. The fastest vendor's limit is 17 a second."
        ),
    )


if __name__ == "__main__":
    print(json.dumps(run(int(sys.argv[1]), int(sys.argv[2]))))

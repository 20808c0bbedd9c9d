"""Plan over 1M rows × 10 columns with 1 % changed, against a hand-written hash join in the same database file."""

from __future__ import annotations

import asyncio
import statistics
import tempfile
import time
from pathlib import Path

from benchmarks.data import COLUMNS, make_source
from benchmarks.ours import SPEC, pretend_synced
from benchmarks.report import Section
from revetl.clock import SystemClock
from revetl.context import RunContext
from revetl.state.runs import new_run_id
from revetl.sync import plan_sync
from revetl.warehouse.duckdb import DuckDBWarehouse

_MAPPED = COLUMNS[1:]

_FLOOR = f"""
CREATE OR REPLACE TABLE floor_plan AS
SELECT coalesce(s.golden_id, t.golden_id) AS key,
       CASE WHEN t.golden_id IS NULL THEN 'create' WHEN s.golden_id IS NULL THEN 'delete' ELSE 'update' END AS op,
       {", ".join(f"t.{c} AS before_{c}, s.{c} AS after_{c}" for c in _MAPPED)}
FROM (SELECT *, hash({", ".join(_MAPPED)}) AS row_hash FROM contacts) AS s
FULL OUTER JOIN floor_snapshot AS t USING (golden_id)
WHERE s.row_hash IS DISTINCT FROM t.row_hash
"""


def measure(rows: int = 1_000_000, repeats: int = 7) -> Section:
    ratios, ours, floors = [], [], []
    with tempfile.TemporaryDirectory() as folder:
        database = Path(folder) / "warehouse.duckdb"
        make_source(database, rows)
        pretend_synced(database)
        warehouse = DuckDBWarehouse(database)
        hashed = ", ".join(_MAPPED)
        warehouse.execute(f"CREATE TABLE floor_snapshot AS SELECT *, hash({hashed}) AS row_hash FROM contacts")
        warehouse.close()
        make_source(database, rows, changed="i % 100 = 7")
        warehouse = DuckDBWarehouse(database)
        clock = SystemClock()
        for i in range(repeats + 1):
            started = time.perf_counter()
            warehouse.execute(_FLOOR)
            floor = time.perf_counter() - started
            ctx = RunContext(warehouse=warehouse, clock=clock, run_id=new_run_id(clock), command="plan", target="bench")
            started = time.perf_counter()
            summary = asyncio.run(plan_sync(ctx, SPEC, None))
            plan = time.perf_counter() - started
            if summary.update != rows // 100 or summary.create or summary.delete:
                raise AssertionError(f"the plan is wrong: {summary}")
            if i:  # the first pair warms the file cache
                ratios.append(plan / floor)
                ours.append(plan)
                floors.append(floor)
        warehouse.close()
    ratio = statistics.median(ratios)
    return Section(
        title="Plan",
        workload=(
            f"{rows:,} rows × {len(COLUMNS)} columns, 1 % changed, DuckDB file. The floor is one hand-written full "
            "outer hash join on a stored hash that writes the changed rows with their columns before and after. revetl also "
            "checks for null and duplicate keys, finds the changed fields, freezes the plan and counts it per field."
        ),
        header=("", "seconds (median)", "ratio to the floor (median; min to max)"),
        rows=[
            ("hand-written hash join", f"{statistics.median(floors):.3f}", "1"),
            (
                "`revetl plan`",
                f"{statistics.median(ours):.3f}",
                f"**{ratio:.2f}** ({min(ratios):.2f} to {max(ratios):.2f})",
            ),
        ],
        verdict=f"Target ≤ 1.5: {'met' if ratio <= 1.5 else 'NOT met'}.",
    )

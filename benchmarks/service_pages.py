"""The service's pages over ten million outcomes of a hundred syncs, one worker: how long each takes to answer.

One run holds half of the outcomes, the others share the rest. Each page is asked for at places that a seed draws, by the
same functions that the page and `/v1` use, each time with the warehouse opened anew, as the service does.
"""

from __future__ import annotations

import os
import random
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.report import Section
from revetl.service.page.reading import overview, records_page, run_page
from revetl.state.schema import create_all
from revetl.warehouse.duckdb import DuckDBWarehouse

OUTCOMES = int(os.environ.get("REVETL_BENCH_OUTCOMES", "10000000"))
SYNCS, TIMES = 100, 30
_LARGE = "20260301T000000.000Z-000000"


def measure(outcomes: int = OUTCOMES) -> Section:
    rng, rows = random.Random(0), []
    with tempfile.TemporaryDirectory() as scratch:
        path = str(Path(scratch) / "state.duckdb")
        _fill(path, outcomes)

        def key() -> str:
            return f"k{rng.randrange(outcomes // 2):010}"

        pages: list[tuple[str, Callable[[DuckDBWarehouse], object]]] = [
            ("overview", lambda w: overview(w, [], datetime(2026, 3, 2, tzinfo=UTC))),
            ("a run, its reasons and its first records", lambda w: run_page(w, _LARGE)),
            ("its records after a key", lambda w: _page(w, after=key())),
            ("of one status, after a key", lambda w: _page(w, status="rejected", after=key())),
            ("searched by the beginning of a key", lambda w: _page(w, search=key()[:9])),
        ]
        slowest = 0.0
        for name, read in pages:
            took, spent = [], []
            for _ in range(TIMES):
                warehouse = DuckDBWarehouse(path, state_schema="revetl", settings={})
                started, busy = time.perf_counter(), time.process_time()
                read(warehouse)
                took.append(time.perf_counter() - started)
                spent.append(time.process_time() - busy)
                warehouse.close()
            took.sort()
            spent.sort()
            p95 = took[int(TIMES * 0.95)]
            slowest = max(slowest, p95)
            rows.append(
                (
                    name,
                    f"{took[TIMES // 2] * 1000:,.0f} ms",
                    f"{p95 * 1000:,.0f} ms",
                    f"{spent[TIMES // 2] * 1000:,.0f} ms",
                )
            )
    return Section(
        title="Pages of the service",
        workload=f"{outcomes:,} outcomes of {SYNCS} syncs on DuckDB, half of them of one run; {TIMES} times each.",
        header=("page", "p50", "p95", "processor, p50"),
        rows=rows,
        verdict=f"Target p95 under a second: {'met' if slowest < 1 else 'NOT met'}.",
    )


def _page(warehouse: DuckDBWarehouse, *, search: str = "", status: str = "", after: str = "") -> object:
    return records_page(warehouse, _LARGE, search=search, status=status, after=after, limit=50)


def _fill(path: str, outcomes: int) -> None:
    warehouse = DuckDBWarehouse(path, state_schema="revetl", settings={})
    create_all(warehouse)
    half = outcomes // 2
    run_of = f"CASE WHEN i < {half} THEN '{_LARGE}' ELSE '20260301T0' || lpad(CAST(i % {SYNCS} AS VARCHAR), 3, '0') END"
    warehouse.execute(
        f"""
        INSERT INTO revetl.outcomes
            (run_id, sync, key, op, status, attempts, error_code, message, changed_fields, before, after, "at")
        SELECT {run_of}, 'sync_' || CASE WHEN i < {half} THEN 0 ELSE i % {SYNCS} END,
               'k' || lpad(CAST((i * 7919) % {half} AS VARCHAR), 10, '0'), 'update',
               CASE WHEN i % 100 = 0 THEN 'rejected' ELSE 'ok' END, 1,
               CASE WHEN i % 100 = 0 THEN 'INVALID_EMAIL' END, CASE WHEN i % 100 = 0 THEN 'not an address' END,
               '["firstname"]', '{{"firstname": "Ada"}}', '{{"firstname": "Ada ' || i || '"}}', TIMESTAMP '2026-03-01'
        FROM range({outcomes}) t(i)
        """
    )
    warehouse.execute(
        """
        INSERT INTO revetl.runs (run_id, command, subject, target, started_at, finished_at, status, counts, waiting)
        SELECT DISTINCT run_id, 'sync', sync, 'dev', TIMESTAMP '2026-03-01', TIMESTAMP '2026-03-01 01:00:00', 'partial',
               '{"ok": 1}', '{}'
        FROM revetl.outcomes
        """
    )
    warehouse.close()


if __name__ == "__main__":
    print(measure(int(sys.argv[1])).markdown())

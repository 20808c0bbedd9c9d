"""Full push of 100,000 rows, and of a million, in batches of 100 to a null HTTP sink: a hand loop, revetl, and two peers."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks import sink
from benchmarks.bars import Bar, svg
from benchmarks.data import make_source
from benchmarks.report import DOCS, Section

CONTENDERS = {
    "hand loop, no bookkeeping": "benchmarks.push.hand_loop",
    "**revetl**, all bookkeeping": "benchmarks.ours",
    "drt-core 1.2.1, tuned": "benchmarks.push.peer_drt",
    "dlt 1.31, with a diff of its own": "benchmarks.push.peer_dlt",
}


def run_once(module: str, rows: int, url: str) -> float:
    """Seconds of one push by one contender, in a process of its own, on a fresh database; imports are not counted."""
    with tempfile.TemporaryDirectory() as folder:
        database = Path(folder) / "warehouse.duckdb"
        make_source(database, rows)
        before = sink.requests_so_far(url)
        done = subprocess.run(
            [sys.executable, "-m", module, str(database), f"{url}/push"], capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise RuntimeError(f"{module} failed:\n{done.stderr[-2000:]}")
        sent = sink.requests_so_far(url) - before
        if sent != rows // 100:
            raise AssertionError(f"{module} sent {sent} requests, not {rows // 100}")
        return float(json.loads(done.stdout.strip().splitlines()[-1])["seconds"])


def measure() -> Section:
    return compare(100_000, 5, target=2.0, picture="push.svg")


def measure_million() -> Section:
    return compare(1_000_000, 2, target=1.5)


def compare(rows: int, repeats: int, *, target: float, picture: str | None = None) -> Section:
    seconds: dict[str, list[float]] = {name: [] for name in CONTENDERS}
    with sink.running() as url:
        for _ in range(repeats):
            for name, module in CONTENDERS.items():
                seconds[name].append(run_once(module, rows, url))
    floor = seconds["hand loop, no bookkeeping"]
    table, medians = [], {}
    for name, times in seconds.items():
        ratios = [t / f for t, f in zip(times, floor, strict=True)]
        medians[name] = statistics.median(ratios)
        table.append(
            (
                name,
                f"{statistics.median(times):.2f}",
                f"{rows / statistics.median(times):,.0f}",
                f"{medians[name]:.2f} ({min(ratios):.2f} to {max(ratios):.2f})",
            )
        )
    if picture is not None:
        bars = [
            Bar(name.replace("*", ""), r := statistics.median(times), f"{r:.1f} s", ours=module == "benchmarks.ours")
            for (name, times), module in zip(seconds.items(), CONTENDERS.values(), strict=True)
        ]
        title = f"Full push of {rows:,} rows, in seconds"
        (DOCS / picture).write_text(
            svg(title, "To a server that answers at once; batches of 100. Less is better.", bars)
        )
    ours = medians["**revetl**, all bookkeeping"]
    faster = all(ours < m for n, m in medians.items() if "drt" in n or "dlt" in n)
    return Section(
        title=f"Full push of {rows:,} rows",
        workload=(
            f"{rows:,} rows × 10 columns from a DuckDB file in {rows // 100:,} requests of 100 to a server that "
            "answers `{}`. The hand loop uses the same HTTP client and keeps nothing; revetl plans, sends, records an outcome per record "
            "and merges the snapshot; drt-core pushes without a diff (it offers none on DuckDB) with `batch_size: 10000`, "
            "`max_records_per_request: 100`; dlt runs a custom destination behind a hash join written for it. "
            "Contenders take turns; ratios are within one turn."
        ),
        header=("", "seconds (median)", "rows/s", "ratio to the hand loop (median; min to max)"),
        rows=table,
        verdict=(
            f"Target ≤ {target:g} × the hand loop: {'met' if ours <= target else 'NOT met'}. "
            f"Faster than both peers: {'yes' if faster else 'NO'}."
        ),
    )

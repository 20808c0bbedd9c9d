"""Peak memory of a run that finds nothing to do, at two sizes: it must not grow with the table."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks import sink
from benchmarks.data import make_source
from benchmarks.report import Section

_FLAT = 1.25


def measure(sizes: tuple[int, ...] = (100_000, 2_000_000)) -> Section:
    rows, peaks = [], []
    with sink.running() as url:
        for size in sizes:
            with tempfile.TemporaryDirectory() as folder:
                database = Path(folder) / "warehouse.duckdb"
                make_source(database, size)
                _run(database, url)  # the first push fills the snapshot
                figures = _run(database, url)
                if figures["requests"]:
                    raise AssertionError(f"a run with nothing to do sent {figures['requests']} requests")
                peaks.append(figures["peak_mib"])
                rows.append((f"{size:,}", f"{figures['seconds']:.2f}", f"{figures['peak_mib']:.0f}"))
    growth = peaks[-1] / peaks[0]
    return Section(
        title="Memory of a run with nothing to do",
        workload="One process, a whole sync of a table that did not change. Peak resident memory as the kernel counts it.",
        header=("rows", "seconds", "peak MiB"),
        rows=rows,
        verdict=(
            f"{sizes[-1] // sizes[0]} times the rows take {growth:.2f} times the memory. "
            f"Target flat (≤ {_FLAT}): {'met' if growth <= _FLAT else 'NOT met'}."
        ),
    )


def _run(database: Path, url: str) -> dict[str, float]:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.ours", str(database), f"{url}/push", "--cold"],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(done.stderr[-2000:])
    figures: dict[str, float] = json.loads(done.stdout.strip().splitlines()[-1])
    return figures

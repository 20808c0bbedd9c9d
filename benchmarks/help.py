"""`revetl --help` against `python -c pass`, whole processes in turns."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from pathlib import Path

from benchmarks.report import Section


def _seconds(command: list[str]) -> float:
    started = time.perf_counter()
    subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
    return time.perf_counter() - started


def measure(repeats: int = 21) -> Section:
    revetl = [str(Path(sys.executable).with_name("revetl")), "--help"]
    floor = [sys.executable, "-c", "pass"]
    pairs = [(_seconds(revetl), _seconds(floor)) for _ in range(repeats + 1)][1:]
    ours = statistics.median(p[0] for p in pairs) * 1000
    bare = statistics.median(p[1] for p in pairs) * 1000
    return Section(
        title="Start",
        workload=f"Whole processes in turns, {repeats} pairs.",
        header=("", "milliseconds (median)", "ratio (median)"),
        rows=[
            ("`python -c pass`", f"{bare:.0f}", "1"),
            ("`revetl --help`", f"{ours:.0f}", f"{statistics.median(p[0] / p[1] for p in pairs):.1f}"),
        ],
        verdict=f"Target < 150 ms: {'met' if ours < 150 else 'NOT met'}.",
    )

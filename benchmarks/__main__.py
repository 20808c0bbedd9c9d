"""Measures everything and writes docs/benchmarks.md: `python -m benchmarks [name …]` (names: help plan push million memory ceiling wide order).

With names, only those are measured and printed, and the page is left alone.
"""

from __future__ import annotations

import sys
import time

from benchmarks import ceiling, memory, order, plan, push, report, wide
from benchmarks import help as help_

WORKLOADS = {
    "help": help_.measure,
    "plan": plan.measure,
    "push": push.measure,
    "million": push.measure_million,
    "memory": memory.measure,
    "ceiling": ceiling.measure,
    "wide": wide.measure,
    "order": order.measure,
}


def main(names: list[str]) -> None:
    unknown = set(names) - set(WORKLOADS)
    if unknown:
        raise SystemExit(f"unknown workload {', '.join(sorted(unknown))}; there are: {', '.join(WORKLOADS)}")
    started = time.perf_counter()
    sections = []
    for name in names or WORKLOADS:
        print(f"measuring {name} …", file=sys.stderr, flush=True)
        section = WORKLOADS[name]()
        sections.append(section)
        print(section.markdown())
    if not names:
        report.write(sections, time.perf_counter() - started)
        print(f"written to {report.TARGET.relative_to(report.TARGET.parents[1])}", file=sys.stderr)


if __name__ == "__main__":
    main(sys.argv[1:])

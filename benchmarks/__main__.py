"""Measures everything and writes docs/benchmarks.md: `python -m benchmarks [name …]`.

With names, only those are measured, and take the place of their earlier sections on the page.
"""

from __future__ import annotations

import sys
import time

from benchmarks import (
    ceiling,
    ceilings,
    enrich,
    flat,
    growth,
    lists,
    memory,
    order,
    plan,
    push,
    report,
    requests,
    service_pages,
    wide,
)
from benchmarks import help as help_

WORKLOADS = {
    "help": help_.measure,
    "plan": plan.measure,
    "push": push.measure,
    "million": push.measure_million,
    "memory": memory.measure,
    "flat": flat.measure,
    "ceiling": ceiling.measure,
    "ceilings": ceilings.measure,
    "requests": requests.measure,
    "wide": wide.measure,
    "order": order.measure,
    "enrich": enrich.measure,
    "growth": growth.measure,
    "lists": lists.measure,
    "service_pages": service_pages.measure,
}


_HEAD = (
    "# Benchmarks\n\n"
    "Written by `make bench`; not edited by hand. Every comparison is a ratio between runs that took turns on one machine "
    "within minutes, because absolute times on shared machines drift.\n"
)


def main(names: list[str]) -> None:
    unknown = set(names) - set(WORKLOADS)
    if unknown:
        raise SystemExit(f"unknown workload {', '.join(sorted(unknown))}; there are: {', '.join(WORKLOADS)}")
    page = report.Page(report.DOCS / "benchmarks.md", _HEAD, "python -m benchmarks", tuple(WORKLOADS))
    for name in names or WORKLOADS:
        print(f"measuring {name} …", file=sys.stderr, flush=True)
        started = time.perf_counter()
        section = WORKLOADS[name]()
        page.put(name, section, time.perf_counter() - started)
        print(section.markdown())
    print("written to docs/benchmarks.md", file=sys.stderr)


if __name__ == "__main__":
    main(sys.argv[1:])

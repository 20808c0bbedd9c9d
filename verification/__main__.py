"""Runs the long proofs and writes docs/reliability.md: `python -m verification [name …]`.

With names only those are run; their sections take the place of the old ones on the page, so that a proof can be run
again alone.
"""

from __future__ import annotations

import sys
import time
from importlib import import_module

from verification import page

PROOFS = (
    "simulation",
    "machine",
    "people",
    "kills",
    "mutants",
    "poison",
    "storms",
    "faults",
    "identifiers",
    "warehouses",
    "canaries",
    "enrich_kills",
    "equal_lookups",
    "makespan",
    "calibration",
)


def main(names: list[str]) -> int:
    unknown = set(names) - set(PROOFS)
    if unknown:
        raise SystemExit(f"unknown proof {', '.join(sorted(unknown))}; there are: {', '.join(PROOFS)}")
    missed = False
    for name in names or PROOFS:
        print(f"proving {name} …", file=sys.stderr, flush=True)
        started = time.perf_counter()
        section = import_module(f"verification.{name}").measure()
        page.put(name, PROOFS, section, time.perf_counter() - started)
        print(section.markdown())
        missed = missed or "NOT met" in section.verdict
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

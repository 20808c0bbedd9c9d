"""Runs the long proofs and writes docs/reliability.md: `python -m verification [--short] [--seed N] [name …]`.

With names only those are run; their sections take the place of the old ones on the page, so that a proof can be run
again alone. `--short`: those that take longer than twenty minutes play as much as `SHORT` says, and their sections say
so. `--seed`: the first seed of those that play histories, and by which the short form draws planted mistakes.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from importlib import import_module

from verification import page

PROOFS = (
    "simulation",
    "machine",
    "people",
    "kills",
    "connectors",
    "mutants",
    "poison",
    "storms",
    "faults",
    "identifiers",
    "golden_ids",
    "match_reviews",
    "warehouses",
    "canaries",
    "enrich_kills",
    "equal_lookups",
    "makespan",
    "calibration",
    "list_calibration",
    "service_kills",
    "api",
)
# Variable of the environment → its value in the short form.
SHORT = {
    "REVETL_SIMULATED_RUNS": "12000",
    "REVETL_MACHINE_STEPS": "30000",
    "REVETL_PEOPLE_STEPS": "15000",
    "REVETL_MUTANTS": "25",
    "REVETL_SERVICE_KILLS": "20",
    "REVETL_API_EXAMPLES": "10",
    "REVETL_ID_HISTORIES": "800",
    "REVETL_CONNECTOR_KILLS": "60",
}


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m verification")
    parser.add_argument("--short", action="store_true")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("names", nargs="*")
    given = parser.parse_args(arguments)
    names: list[str] = given.names
    os.environ["REVETL_FIRST_SEED"] = str(given.seed)
    if given.short:
        os.environ.update(SHORT)  # before the proofs are imported
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

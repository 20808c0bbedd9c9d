"""Golden ids over random histories, on DuckDB and Postgres, against an oracle in Python: who keeps an id when people are
joined, parted, moved, deleted and brought back, in any order of rows and with rewritten dates.

All histories of a warehouse are played side by side, so one dbt run plays them: a build of each is one model.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from benchmarks.report import Section
from tests.support.id_histories import Build, expected, play, seeded_history, together
from tests.support.warehouses import new_database

KINDS = ("duckdb", "postgres")
HISTORIES = int(os.environ.get("REVETL_ID_HISTORIES", "4000"))
BUILDS = 12


def wrong_ids(kind: str, builds: list[Build]) -> tuple[int, dict[str, int]]:
    """How many members got another id than the oracle's; and how often each thing happened to an id."""
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        with new_database(kind, directory) as output:
            found = play(directory / "project", builds, output)
    events: dict[str, int] = {}
    for row in found.history:
        events[str(row[2])] = events.get(str(row[2]), 0) + 1
    pairs = zip(found.ids, expected(builds), strict=True)
    return sum(len(ids.items() ^ wanted.items()) for ids, wanted in pairs), events


def measure() -> Section:
    first = int(os.environ.get("REVETL_FIRST_SEED", "0"))
    builds = together([seeded_history(seed, BUILDS) for seed in range(first, first + HISTORIES)])
    results = {kind: wrong_ids(kind, builds) for kind in KINDS}
    wrong = sum(n for n, _ in results.values())
    return Section(
        title="Golden ids that last",
        workload=(
            f"{HISTORIES:,} histories of {BUILDS} builds from seed {first}, up to eight records each:"
            f" {sum(map(len, builds)):,} memberships, each compared with an oracle."
        ),
        header=("", *KINDS),
        rows=[
            ("wrong ids", *(f"{n:,}" for n, _ in results.values())),
            *(
                (event, *(f"{events.get(event, 0):,}" for _, events in results.values()))
                for event in sorted({event for _, events in results.values() for event in events})
            ),
        ],
        verdict="Target 0 wrong ids: " + ("met." if not wrong else f"NOT met: {wrong:,}."),
    )

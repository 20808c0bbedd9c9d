"""Bad records among ten thousand: every good one lands, and isolating the bad ones costs few requests."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass

from benchmarks.report import Section
from tests.support.virtual_time import run_virtual
from verification.portal import Portal, push, source

ROWS, BATCH = 10_000, 100


@dataclass(frozen=True)
class Result:
    """`writes` against `bound` = rows/batch + poison·2·log2(batch)."""

    poison: int
    named: bool
    landed: int
    rejected: int
    writes: int
    bound: int

    @property
    def met(self) -> bool:
        return self.landed == ROWS - self.poison and self.rejected == self.poison and self.writes <= self.bound


def isolate(poison: int, *, named: bool, rows: int = ROWS, seed: int = 1) -> Result:
    """`named`: the answer says which input was bad; otherwise the whole batch is refused and has to be halved."""
    bad = {f"p{i}@corp.example" for i in random.Random(seed).sample(range(rows), poison)}
    portal = Portal(latency_s=0.0, refuses=lambda given: given["id"].lower() in bad, names_it=named)
    warehouse = source(rows)
    report = run_virtual(push(warehouse, portal, requests_per_10_s=1000, batch_rows=BATCH))
    warehouse.close()
    bound = rows // BATCH + math.floor(poison * 2 * math.log2(BATCH))
    return Result(poison, named, len(portal.records), report.counts.get("rejected", 0), portal.writes, bound)


def measure() -> Section:
    results = [isolate(poison, named=named) for named in (True, False) for poison in (1, 3, 10, 30, 100)]
    return Section(
        title="Poison",
        workload=(
            f"{ROWS:,} creates in batches of {BATCH}, with 1 to 100 bad records among them. Either the answer names the "
            "bad input, or it refuses the whole batch without a word about which."
        ),
        header=("bad records", "named", "good ones that landed", "rejected", "write requests", "bound"),
        rows=[
            (
                str(r.poison),
                "yes" if r.named else "no",
                f"{r.landed:,}",
                str(r.rejected),
                f"{r.writes:,}",
                f"{r.bound:,}",
            )
            for r in results
        ],
        verdict="Target every good record, requests ≤ rows/batch + p·2·log2(batch): "
        + ("met." if all(r.met for r in results) else "NOT met."),
    )

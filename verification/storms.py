"""The vendor says "too many" to everybody for a while, twice; or is not there at all for an hour."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from itertools import pairwise

from benchmarks.report import Section
from revetl.errors import CallError
from tests.support.virtual_time import START_S, run_virtual
from verification.portal import Portal, push, source

ROWS = 3_000
PER_10_S = 100
STORMS = ((60.0, 90.0), (200.0, 240.0))


@dataclass(frozen=True)
class Storm:
    landed: int
    requests: int
    wasted: int
    seconds: float
    ideal_s: float

    @property
    def wasted_share(self) -> float:
        return self.wasted / self.requests

    @property
    def ratio(self) -> float:
        return self.seconds / self.ideal_s


def weather(rows: int = ROWS, storms: tuple[tuple[float, float], ...] = STORMS) -> Storm:
    """One record per request, ten requests a second, and a 429 for every request while a storm lasts."""

    def state(now: float) -> int | None:
        return 429 if any(begin <= now - START_S < end for begin, end in storms) else None

    portal = Portal(allowed=PER_10_S, state=state)
    warehouse = source(rows)
    report = run_virtual(push(warehouse, portal, requests_per_10_s=PER_10_S, batch_rows=1))
    warehouse.close()
    good = report.requests - portal.statuses[429]
    # The first window's worth may leave at once; what is left flows at the limit, and storms let nothing through.
    ideal_s = (good - PER_10_S) / (PER_10_S / 10) + sum(end - begin for begin, end in storms)
    return Storm(len(portal.records), report.requests, portal.statuses[429], max(portal.came) - START_S, ideal_s)


@dataclass(frozen=True)
class Outage:
    """`away`: requests during the outage; `back_after_s`: from its end to the first good answer; `longest_gap_s`: between
    two probes."""

    landed: int
    away: int
    back_after_s: float
    longest_gap_s: float


def outage(seconds: float, rows: int = 300) -> Outage:
    """The host is gone in the middle of a push; one run waits it out or the scheduler's next ones do."""
    begin, end = START_S + 5.0, START_S + 5.0 + seconds
    portal = Portal(allowed=PER_10_S, state=lambda now: "down" if begin <= now < end else None)
    warehouse = source(rows)

    async def hours() -> None:
        """A scheduler that comes back a minute after a run that failed."""
        while True:
            try:
                if (await push(warehouse, portal, requests_per_10_s=PER_10_S, batch_rows=1)).status == "done":
                    return
            except CallError:  # away while it still planned
                pass
            await asyncio.sleep(60.0)

    run_virtual(hours())
    warehouse.close()
    away = [t for t in portal.came if begin <= t < end]
    gaps = [b - a for a, b in pairwise(away)]
    first_good = min(t for t in portal.came if t >= end)
    return Outage(len(portal.records), len(away), first_good - end, max(gaps, default=0.0))


def measure() -> Section:
    storm = weather()
    short, long = outage(100.0), outage(3600.0)
    calm = storm.landed == ROWS and storm.wasted_share <= 0.02 and storm.ratio <= 1.1
    back = all(o.landed == 300 and o.back_after_s <= o.longest_gap_s + 1.0 for o in (short, long))
    return Section(
        title="Storms and outages",
        workload=(
            f"On virtual time. Storm: {ROWS:,} records, one per request, {PER_10_S // 10} requests a second, and two storms "
            "of 30 and 40 s in which every request is answered with 429. Outage: the host is not there for 100 s, and "
            "for an hour with a scheduler that starts a run every minute."
        ),
        header=("", "figure"),
        rows=[
            ("storm: records lost", str(ROWS - storm.landed)),
            ("storm: requests wasted", f"{storm.wasted} of {storm.requests:,} ({storm.wasted_share:.1%})"),
            ("storm: time against the ideal", f"{storm.seconds:.0f} s, {storm.ratio:.2f} ×"),
            ("outage of 100 s: requests meanwhile, back after", f"{short.away}, {short.back_after_s:.0f} s"),
            ("outage of an hour: requests meanwhile, back after", f"{long.away}, {long.back_after_s:.0f} s"),
        ],
        verdict="Target 0 lost, ≤ 2 % wasted, ≤ 1.1 × the ideal time, back within one probe interval: "
        + ("met." if calm and back else "NOT met."),
    )

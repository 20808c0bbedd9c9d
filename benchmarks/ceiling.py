"""How close a push comes to HubSpot's own limit, on virtual time, against a portal that keeps that limit."""

from __future__ import annotations

from verification.portal import Portal, push, source

from benchmarks.report import Section
from tests.support.virtual_time import START_S, run_virtual

PER_10_S = 190


def measure(rows: int = 30_000) -> Section:
    portal = Portal(allowed=PER_10_S, latency_s=0.15)
    warehouse = source(rows)
    report = run_virtual(push(warehouse, portal, requests_per_10_s=PER_10_S, batch_rows=10))
    warehouse.close()
    if len(portal.records) != rows:
        raise AssertionError(f"{len(portal.records)} of {rows} records landed")
    seconds = max(portal.came) - START_S
    # No schedule is faster: each full window of requests moves the next request by ten seconds.
    ideal = (report.requests - 1) // PER_10_S * 10.0
    share = ideal / seconds
    refused = portal.statuses[429]
    return Section(
        title="At the vendor's limit",
        workload=(
            f"{rows:,} records in batches of 10, {report.requests:,} requests with those that look records up, against a "
            f"portal that answers 429 past {PER_10_S} requests in any ten seconds. Virtual time, 150 ms a request."
        ),
        header=("", "figure"),
        rows=[
            ("seconds, of which the limit alone takes", f"{seconds:.1f}, {ideal:.1f}"),
            ("share of the ceiling", f"{share:.1%}"),
            ("429 answers", str(refused)),
        ],
        verdict=f"Target ≥ 98 % without a 429: {'met' if share >= 0.98 and not refused else 'NOT met'}.",
    )

"""How close a push comes to what the vendor allows, on virtual time, against the sandbox that keeps the vendor's limits."""

from __future__ import annotations

from benchmarks import accounts
from benchmarks.report import Section
from revetl.sandbox.settings import SandboxSettings
from revetl.testing.virtual_time import run_virtual

ROWS = 100_000
LATENCY_S = 0.15
PER_10_S = 190  # HubSpot: of a private app (docs)
AT_ONCE = 4  # Salesforce: calls under way at once; it has no rate but the day's requests
DAILY = 15_000  # requests of a day that the smallest org has (docs)


def push(account: accounts.Account, rows: int, settings: SandboxSettings) -> tuple[int, float, int]:
    """(requests, seconds from the first to the last answer, how many were refused for a limit)"""

    async def play() -> tuple[int, float, int]:
        async with accounts.running(account, settings, LATENCY_S) as at:
            at.model(rows)
            report = await at.push()
            assert report.counts == {"ok": rows}, report.counts
            refused = at.wire.statuses[429] + at.wire.statuses[403]
            return at.wire.statuses.total(), at.wire.last_s - (at.wire.first_s or 0.0), refused

    return run_virtual(play())


def measure(rows: int = ROWS) -> Section:
    limited = SandboxSettings(vendors={"salesforce": {"daily": DAILY}})
    asked, seconds, refused = push(accounts.hubspot(requests_per_10_s=PER_10_S), rows, limited)
    # No schedule is faster: each full window of requests moves the next request by ten seconds.
    ideal = (asked - 1) // PER_10_S * 10.0
    shares = [ideal / seconds]
    lines = [("HubSpot", f"{PER_10_S} requests in 10 s", asked, seconds, ideal, refused)]
    account = accounts.salesforce("Salesforce", bulk_from=10**6, concurrency=AT_ONCE)
    asked, seconds, refused = push(account, rows, limited)
    ideal = asked / AT_ONCE * LATENCY_S
    shares.append(ideal / seconds)
    lines.append(("Salesforce, rows", f"{AT_ONCE} calls at once, {DAILY:,} a day", asked, seconds, ideal, refused))
    shown = [
        (title, limit, f"{n:,}", f"{took:,.1f}, {least:,.1f}", f"{least / took:.1%}", str(no))
        for title, limit, n, took, least, no in lines
    ]
    # No limit in time: how long a job takes is the vendor's affair.
    asked, _, refused_bulk = push(accounts.salesforce("Salesforce, bulk jobs"), rows, limited)
    shown.append(
        (
            "Salesforce, bulk jobs",
            f"{DAILY:,} requests a day",
            f"{asked:,}",
            "the vendor's",
            f"{asked / DAILY:.1%} of the day",
            str(refused_bulk),
        )
    )
    met = min(shares) >= 0.95 and not refused_bulk and not any(line[-1] for line in lines)
    return Section(
        title="At two vendors' limits",
        workload=(
            f"{rows:,} contacts that are new, {LATENCY_S * 1000:.0f} ms a request, against the sandboxes in process, which "
            "refuse what is past the limit. HubSpot limits requests in time; Salesforce limits calls at once and the day's "
            "requests, so what is measured there is how full the calls at once are kept."
        ),
        header=("destination", "limit", "requests", "seconds, of which the limit alone takes", "share of the ceiling", "refused for a limit"),
        rows=shown,
        verdict=f"Target ≥ 95 % with nothing refused: {'met' if met else 'NOT met'}.",
    )  # fmt: skip

"""How many requests a push takes, by destination, on virtual time, counted on the wire in front of the sandbox."""

from __future__ import annotations

from benchmarks import accounts
from benchmarks.report import Section
from revetl.sandbox.settings import SandboxSettings
from revetl.testing.virtual_time import run_virtual

ROWS, CHANGED = 10_000, 100
ACCOUNTS = (
    accounts.hubspot(),
    accounts.salesforce("Salesforce, rows", bulk_from=10**6),
    accounts.salesforce("Salesforce, bulk jobs"),
    accounts.http_batch(),
    accounts.http_single(),
    accounts.slack(),
    accounts.google_sheets(),
)


def count(account: accounts.Account, rows: int, changed: int) -> tuple[int, int, int]:
    """Requests of the first push of all rows, of one after `changed` of them have changed, and of one after none."""

    async def play() -> tuple[int, int, int]:
        async with accounts.running(account, SandboxSettings(limited=False)) as at:
            counted = []
            for version in (0, changed, changed):
                at.model(rows, version)
                await at.push()
                counted.append(at.wire.statuses.total())
            return counted[0], counted[1], counted[2]

    return run_virtual(play())


def measure(rows: int = ROWS, changed: int = CHANGED) -> Section:
    found = [(account.title, *count(account, rows, changed)) for account in ACCOUNTS]
    every = [
        (title, f"{full:,}", f"{some:,}", f"{none:,}", f"{rows / full:.1f} / {rows / some:,.0f}")
        for title, full, some, none in found
    ]
    return Section(
        title="Requests",
        workload=(
            f"{rows:,} new records, then {changed:,} of them changed, then none, with `match_on` and the shipped settings, "
            "counted on the wire in front of the sandbox: descriptions, tokens, look-ups before a create, what is read "
            "back before an update, and polls of jobs are all in it. A tool that sends one record a call and has no diff "
            f"is computed: {rows:,} requests each time, {changed:,} for the changed ones where it has one. A database "
            "and a file are no requests."
        ),
        header=("destination", "all new", "some changed", "none changed", "times fewer than one record a call without a diff"),
        rows=every,
    )  # fmt: skip

"""How many requests a push takes, measured in small: one more a batch does not come in unseen."""

from __future__ import annotations

import pytest

from benchmarks import accounts, ceilings, requests
from revetl.sandbox.settings import SandboxSettings


@pytest.mark.parametrize(
    ("account", "counted"),
    [
        (accounts.hubspot(), (9, 3, 0)),
        (accounts.salesforce("Salesforce, rows", bulk_from=10**6), (10, 6, 0)),
        (accounts.salesforce("Salesforce, bulk jobs", bulk_from=1), (15, 14, 0)),
        (accounts.http_batch(), (41, 3, 0)),
        (accounts.google_sheets(), (6, 6, 0)),
    ],
)
def test_requests_of_a_push(account: accounts.Account, counted: tuple[int, int, int]) -> None:
    """400 new, then 20 of them changed, then none."""
    assert requests.count(account, 400, 20) == counted


def test_nothing_is_refused_for_a_limit_and_calls_are_kept_full() -> None:
    account = accounts.salesforce("Salesforce", bulk_from=10**6, batch_rows=10, concurrency=4)
    asked, seconds, refused = ceilings.push(account, 400, SandboxSettings(vendors={"salesforce": {"daily": 200}}))
    assert refused == 0
    assert asked / 4 * ceilings.LATENCY_S / seconds > 0.8

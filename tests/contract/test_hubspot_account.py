"""How the connector shows whose it is, and how much of the account's day it takes."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from revetl.destinations.hubspot import Options
from revetl.errors import Denied, Throttled
from revetl.model import Change, Operation, Status
from revetl.sandbox.faults import Fault
from revetl.sandbox.settings import SandboxSettings
from tests.support.hubspot_bench import PortalBench, portal_bench

OAUTH = {
    "type": "oauth_refresh_token",
    "client_id": "app",
    "client_secret": "very-secret",
    "refresh_token": "refresh-1",
}


async def write_one(bench: PortalBench, hubspot: object, number: int) -> Status:
    change = Change(number, str(number), Operation.CREATE, None, {"city": "Riga"}, f"{number}@corp.example")
    return (await hubspot.write("contacts", "email", [change]))[0].status  # type: ignore[attr-defined]


@pytest.mark.parametrize("version", ["v3", "2026-03", "2026-09"])
async def test_an_access_token_that_ended_is_renewed_while_a_run_goes_on(version: str) -> None:
    async with portal_bench() as bench, bench.connect(token=None, auth=OAUTH, api_version=version) as hubspot:
        assert await write_one(bench, hubspot, 1) is Status.OK
        ends = bench.portal._token_ends
        assert len(ends) == 1, "one token for every request"
        ends.update(dict.fromkeys(ends, 0.0))
        assert await write_one(bench, hubspot, 2) is Status.OK
        assert len(ends) == 2


async def test_a_refresh_token_that_is_refused_denies_and_is_never_shown() -> None:
    auth = OAUTH | {"refresh_token": "bad-refresh"}
    async with portal_bench() as bench, bench.connect(token=None, auth=auth) as hubspot:
        with pytest.raises(Denied) as refused:
            await hubspot.describe("contacts")
    assert "bad-refresh" not in str(refused.value)
    assert "very-secret" not in str(refused.value) + repr(hubspot)


@pytest.mark.parametrize("given", [{}, {"token": "pat", "auth": OAUTH}])
def test_there_is_one_credential(given: dict[str, object]) -> None:
    with pytest.raises(ValidationError, match="give 'token'"):
        Options.model_validate(given)


async def test_a_share_of_the_day_is_left_to_others() -> None:
    limits = SandboxSettings(vendors={"hubspot": {"burst": 1000, "search_per_s": None, "daily": 20}})
    async with portal_bench(limits) as bench, bench.connect(daily_reserve=0.5) as hubspot:
        while hubspot.requests < 10:
            assert await write_one(bench, hubspot, hubspot.requests) is Status.OK
        with pytest.raises(Throttled, match="10 requests of the day are left, and 10 are left to others"):
            await write_one(bench, hubspot, 10)
        assert hubspot.quota("contacts", "email").daily_left == 0
        assert "50% of the day's requests are left to others" in hubspot.quota("contacts", "email").notes
        assert hubspot.requests == 10, "none past it"
    async with portal_bench(limits) as bench, bench.connect() as hubspot:
        await hubspot.describe("contacts")
        assert hubspot.quota("contacts", "email").daily_left == 19


@pytest.mark.parametrize("oauth", [False, True])
async def test_the_scopes_that_a_sync_takes_are_told_beside_those_of_the_token(oauth: bool) -> None:
    has = ("crm.objects.contacts.read", "crm.objects.companies.read", "crm.objects.owners.read")
    async with portal_bench(SandboxSettings(vendors={"hubspot": {"scopes": {"pat-few": has}}})) as bench:
        given = {"token": None, "auth": OAUTH} if oauth else {"token": "pat-few"}
        async with bench.connect(**given) as hubspot:
            contacts = await hubspot.scopes("contacts", "email", ["owners", "lists"], makes_fields=False)
            companies = await hubspot.scopes("companies", "domain", [], makes_fields=True)
            if oauth:
                tickets = await hubspot.scopes("tickets", None, [], makes_fields=False)
                assert (tickets.needed, tickets.missing) == (("tickets",), ())
    assert contacts.needed == (
        *("crm.objects.contacts.read", "crm.objects.contacts.write"),
        *("crm.objects.owners.read", "crm.lists.read", "crm.lists.write"),
    )
    written = ("crm.objects.companies.read", "crm.objects.companies.write", "crm.schemas.companies.write")
    assert companies.needed == written
    if oauth:
        assert (contacts.missing, companies.missing) == ((), ())
    else:
        assert contacts.granted == frozenset(has)
        assert companies.missing == written[1:]


async def test_a_vendor_that_says_nothing_of_a_token_is_said_to_say_nothing() -> None:
    async with portal_bench() as bench, bench.connect(token="service-key") as hubspot:
        bench.sandbox.sandbox.faults.add(Fault("POST *access-token-info", "status", times=None, status=500))
        assert (await hubspot.scopes("contacts", "email", [], makes_fields=False)).granted is None

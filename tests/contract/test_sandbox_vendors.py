"""Vendors of the sandbox that answer at once, in plain HTTP: their shapes, their words for no, and their prices."""

from __future__ import annotations

from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pytest

from revetl.errors import ConfigError
from revetl.sandbox.companies_house.vendor import CompaniesHouse
from revetl.sandbox.fullenrich.vendor import FullEnrich
from revetl.sandbox.leadmagic.vendor import LeadMagic
from revetl.sandbox.server import RunningSandbox, Sandbox, running_sandbox
from revetl.sandbox.settings import SandboxSettings
from tests.support.sandbox_world import KEY, HandClock, all_knowing, person, write_truth

VENDORS = ("apollo", "prospeo", "leadmagic", "people_data_labs", "companies_house", "hunter", "zerobounce")


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
def settings(tmp_path: Path) -> SandboxSettings:
    return SandboxSettings(truth=write_truth(tmp_path / "truth"), population=all_knowing(*VENDORS))


@pytest.fixture
async def running(settings: SandboxSettings, clock: HandClock) -> AsyncIterator[RunningSandbox]:
    async with running_sandbox(clock=clock, settings=settings) as running:
        yield running


class Vendor:
    """One vendor as a client with its kind of credentials sees it."""

    def __init__(self, client: httpx.AsyncClient, base_url: str) -> None:
        self._client = client
        self._base_url = base_url

    async def ask(self, method: str, path: str, key: str = KEY, **more: Any) -> httpx.Response:
        vendor = path.split("/")[1]
        headers = {
            "prospeo": {"X-KEY": key},
            "apollo": {"x-api-key": key},
            "leadmagic": {"X-API-Key": key},
            "people_data_labs": {"X-Api-Key": key},
            "hunter": {"X-API-KEY": key},
        }.get(vendor, {})
        auth = httpx.BasicAuth(key, "") if vendor == "companies_house" else None
        return await self._client.request(
            method, f"{self._base_url}/providers{path}", headers=headers, auth=auth, **more
        )

    async def post(self, path: str, body: Any, key: str = KEY) -> httpx.Response:
        return await self.ask("POST", path, key, json=body)

    async def get(self, path: str, key: str = KEY, **query: str) -> httpx.Response:
        return await self.ask("GET", path, key, params=query)


@pytest.fixture
async def vendor(running: RunningSandbox) -> AsyncIterator[Vendor]:
    async with httpx.AsyncClient() as client:
        yield Vendor(client, running.base_url)


def spent(running: RunningSandbox, vendor: str) -> float:
    return float(running.sandbox.bills[vendor].spent.get(KEY, 0))


# ---------------------------------------------------------------------------------------------------------- Apollo


async def test_apollo_one_person(vendor: Vendor, running: RunningSandbox) -> None:
    path = "/apollo/api/v1/people/match"
    for query in (
        {"email": "ann7.lee@firm7.example"},
        {"first_name": "Ann7", "last_name": "Lee", "domain": "firm7.example"},
        {"name": "Ann7 Lee", "organization_name": "Firm 7"},
        {"linkedin_url": "https://linkedin.com/in/ann-7"},
    ):
        answer = await vendor.ask("POST", path, params=query)
        found = answer.json()["person"]
        assert (answer.status_code, found["id"], found["email_status"]) == (200, "ap_p7", "verified")
    assert found["organization"]["primary_domain"] == "firm7.example"
    assert "phone_numbers" not in found
    assert spent(running, "apollo") == 4
    missed = await vendor.post(path, {"first_name": "No", "last_name": "Body", "domain": "firm7.example"})
    assert (missed.status_code, missed.json()) == (200, {"person": None})
    assert spent(running, "apollo") == 4
    assert int(missed.headers["x-minute-requests-left"]) == 995


async def test_apollo_ten_at_once_each_in_its_place(vendor: Vendor, running: RunningSandbox) -> None:
    path = "/apollo/api/v1/people/bulk_match"
    details = [{"email": person(1).email}, {"email": "nobody@nowhere.example"}, {"email": person(2).email}]
    body = (await vendor.post(path, {"details": details})).json()
    assert [m and m["id"] for m in body["matches"]] == ["ap_p1", None, "ap_p2"]
    assert (body["credits_consumed"], body["missing_records"], body["total_requested_enrichments"]) == (2, 1, 3)
    assert spent(running, "apollo") == 2
    assert (await vendor.post(path, {"details": [{}] * 11})).status_code == 422


async def test_apollo_organizations(vendor: Vendor, running: RunningSandbox) -> None:
    path = "/apollo/api/v1/organizations/enrich"
    found = (await vendor.get(path, domain="firm3.example")).json()["organization"]
    assert (found["industry"], found["estimated_num_employees"], found["founded_year"]) == ("internet", 800, 1993)
    assert (await vendor.get(path, domain="nowhere.example")).json() == {}
    assert spent(running, "apollo") == 1


# ---------------------------------------------------------------------------------------------------------- Prospeo


def ada(i: int, **more: Any) -> dict[str, Any]:
    return {"data": {"first_name": f"Ann{i}", "last_name": "Lee", "company_website": f"firm{i}.example"}, **more}


async def test_prospeo_charges_a_record_once_in_a_lifetime(
    vendor: Vendor, running: RunningSandbox, clock: HandClock
) -> None:
    first = (await vendor.post("/prospeo/enrich-person", ada(7))).json()
    assert (first["error"], first["free_enrichment"]) == (False, False)
    assert first["person"]["email"] == {"status": "VERIFIED", "revealed": True, "email": "ann7.lee@firm7.example"}
    assert first["person"]["mobile"] == {"status": "VERIFIED", "revealed": False, "mobile": None}
    clock.elapsed += 400 * 86_400
    again = (await vendor.post("/prospeo/enrich-person", {"data": {"email": "ann7.lee@firm7.example"}})).json()
    assert (again["free_enrichment"], again["person"]) == (True, first["person"])
    assert spent(running, "prospeo") == 1
    mobile = (await vendor.post("/prospeo/enrich-person", ada(7, enrich_mobile=True))).json()
    assert mobile["person"]["mobile"]["mobile"] == person(7).phone
    assert spent(running, "prospeo") == 11


async def test_prospeo_says_no_with_codes(vendor: Vendor, running: RunningSandbox) -> None:
    nobody = {"data": {"first_name": "No", "last_name": "Body", "company_website": "firm1.example"}}
    for body, key, status, code in (
        (nobody, KEY, 400, "NO_MATCH"),
        ({"data": {"first_name": "Ann7"}}, KEY, 400, "INVALID_DATAPOINTS"),
        ({"first_name": "Ann7"}, KEY, 400, "INVALID_REQUEST"),
        (ada(7), "bad", 401, "INVALID_API_KEY"),
        (ada(7), "broke", 400, "INSUFFICIENT_CREDITS"),
    ):
        answer = await vendor.post("/prospeo/enrich-person", body, key)
        assert (answer.status_code, answer.json()) == (status, {"error": True, "error_code": code})
    assert spent(running, "prospeo") == 0


async def test_prospeo_limits_and_their_headers(vendor: Vendor, clock: HandClock) -> None:
    answers = [await vendor.post("/prospeo/enrich-person", ada(i)) for i in range(6)]
    assert [a.status_code for a in answers] == [200] * 5 + [429]
    assert answers[4].headers["x-minute-request-left"] == "295"
    assert int(answers[4].headers["x-daily-request-left"]) == 99_995
    clock.elapsed += 1
    assert (await vendor.post("/prospeo/enrich-person", ada(8))).status_code == 200


async def test_prospeo_fifty_at_once(vendor: Vendor, running: RunningSandbox) -> None:
    records = [
        {"identifier": "1", "email": person(1).email},
        {"identifier": "2", "email": "nobody@nowhere.example"},
        {"identifier": "3", "first_name": "Ann3"},
        {"identifier": "4", "linkedin_url": person(4).linkedin_url},
    ]
    body = (await vendor.post("/prospeo/bulk-enrich-person", {"data": records})).json()
    assert [m["identifier"] for m in body["matched"]] == ["1", "4"]
    assert (body["not_matched"], body["invalid_datapoints"], body["total_cost"]) == (["2"], ["3"], 2)
    assert spent(running, "prospeo") == 2
    again = (await vendor.post("/prospeo/bulk-enrich-person", {"data": records})).json()
    assert (again["total_cost"], spent(running, "prospeo")) == (0, 2)


# -------------------------------------------------------------------------------------------------------- LeadMagic


async def test_leadmagic_finds_and_says_what_it_cost(vendor: Vendor, running: RunningSandbox) -> None:
    path = "/leadmagic/v1/people/email-finder"
    answer = await vendor.post(path, {"first_name": "Ann7", "last_name": "Lee", "domain": "firm7.example"})
    body = answer.json()
    assert (body["email"], body["status"], body["credits_consumed"]) == ("ann7.lee@firm7.example", "valid", 1)
    assert (answer.headers["X-Credits-Cost"], answer.headers["RateLimit-Remaining"]) == ("1", "299")
    missed = await vendor.post(path, {"full_name": "No Body", "company_name": "Firm 7"})
    assert (missed.json()["email"], missed.headers["X-Credits-Cost"]) == (None, "0")
    verdict = (await vendor.post("/leadmagic/v1/people/email-validation", {"email": "a@firm1.example"})).json()
    assert (verdict["status"], verdict["credits_consumed"]) == ("invalid", 0.05)
    assert spent(running, "leadmagic") == 1.05


async def test_leadmagic_problems_are_rfc_9457(vendor: Vendor, running: RunningSandbox) -> None:
    path, asked = "/leadmagic/v1/people/email-finder", {"first_name": "A", "last_name": "B", "domain": "firm7.example"}
    for body, key, status, code in (
        (asked, "bad", 401, "unauthorized"),
        (asked, "broke", 402, "insufficient_credits"),
        ({"first_name": "A"}, KEY, 400, "bad_request"),
    ):
        answer = await vendor.post(path, body, key)
        assert (answer.status_code, answer.json()["code"], answer.json()["status"]) == (status, code, status)
        assert answer.headers["Content-Type"] == "application/problem+json"
    leadmagic = running.vendor(LeadMagic)
    while leadmagic.finder.take(KEY):
        pass
    throttled = await vendor.post(path, asked)
    assert throttled.status_code == 429
    assert 0 < int(throttled.headers["Retry-After"]) <= 60


# ----------------------------------------------------------------------------------------------- People Data Labs


async def test_people_data_labs_in_bulk(vendor: Vendor, running: RunningSandbox) -> None:
    requests = [
        {"params": {"profile": [person(1).linkedin_url]}, "metadata": {"ref": "x"}},
        {"params": {"email": "nobody@nowhere.example"}, "metadata": {"ref": "y"}},
        {"params": {"first_name": "Ann2"}},
        {"params": {"email": person(3).email}},
    ]
    answer = await vendor.post("/people_data_labs/v5/person/bulk", {"requests": requests})
    items = answer.json()
    assert [(i["status"], i.get("metadata")) for i in items] == [
        (200, {"ref": "x"}),
        (404, {"ref": "y"}),
        (400, None),
        (200, None),
    ]
    assert items[0]["data"]["id"] == "pdl_p1"
    assert items[1]["error"]["type"] == "not_found"
    assert answer.headers["x-call-credits-spent"] == "2"
    assert spent(running, "people_data_labs") == 2
    assert (await vendor.post("/people_data_labs/v5/person/bulk", {"requests": [{}] * 101})).status_code == 400


async def test_people_data_labs_companies_in_bulk(vendor: Vendor) -> None:
    requests = [{"params": {"website": "firm3.example"}, "metadata": {"ref": "x"}}, {"params": {"name": "nobody"}}]
    items = (await vendor.post("/people_data_labs/v5/company/enrich/bulk", {"requests": requests})).json()
    assert (items[0]["status"], items[0]["metadata"], items[0]["data"]["founded"]) == (200, {"ref": "x"}, 1993)
    assert items[1]["status"] == 404


async def test_a_batch_stops_at_the_last_credit(vendor: Vendor, running: RunningSandbox) -> None:
    running.sandbox.bills["people_data_labs"].set_remaining(Decimal(2))
    requests = [{"params": {"email": person(i).email}} for i in range(4)]
    items = (await vendor.post("/people_data_labs/v5/person/bulk", {"requests": requests})).json()
    assert [i["status"] for i in items] == [200, 200, 402, 402]
    assert spent(running, "people_data_labs") == 2


# ------------------------------------------------------------------------------------------------- Companies House


async def test_companies_house_by_name_and_number(vendor: Vendor, running: RunningSandbox) -> None:
    path = "/companies_house/search/companies"
    exact = {"q": "firm 3 limited", "restrictions": "active-companies legally-equivalent-company-name"}
    body = (await vendor.get(path, **exact)).json()
    assert (body["total_results"], body["items"][0]["title"]) == (1, "FIRM 3 LTD")
    assert body["items"][0]["address"]["country"] == "England"
    assert (await vendor.get(path, **{**exact, "q": "firm 4 limited"})).json()["items"] == []  # of another country
    loose = (await vendor.get(path, q="firm", items_per_page="5")).json()
    assert (loose["total_results"], len(loose["items"])) == (10, 5)
    number = body["items"][0]["company_number"]
    profile = await vendor.get(f"/companies_house/company/{number}")
    assert (profile.json()["company_name"], profile.json()["date_of_creation"][:4]) == ("FIRM 3 LTD", "1993")
    missing = await vendor.get("/companies_house/company/00000000")
    assert (missing.status_code, missing.json()["errors"][0]["error"]) == (404, "company-profile-not-found")
    assert spent(running, "companies_house") == 0


async def test_companies_house_takes_600_calls_in_five_minutes(
    vendor: Vendor, clock: HandClock, running: RunningSandbox
) -> None:
    path = "/companies_house/company/00000000"
    register = running.vendor(CompaniesHouse)
    assert all(register.window.take(KEY) for _ in range(599))
    assert (await vendor.get(path)).headers["X-Ratelimit-Remain"] == "0"
    refused = await vendor.get(path)
    assert (refused.status_code, refused.content, refused.headers["X-Ratelimit-Remain"]) == (429, b"", "0")
    clock.elapsed += 300
    assert (await vendor.get(path)).status_code == 404
    assert (await vendor.get(path, key="bad")).status_code == 401


# ------------------------------------------------------------------------------------- Hunter and ZeroBounce, the rest


async def test_hunter_is_free_within_the_billing_period_only(
    vendor: Vendor, running: RunningSandbox, clock: HandClock
) -> None:
    query = {"first_name": "Ann7", "last_name": "Lee", "domain": "firm7.example"}
    for days, credits in ((0, 1), (27, 1), (2, 2)):
        clock.elapsed += days * 86_400
        assert (await vendor.get("/hunter/v2/email-finder", **query)).status_code == 200
        assert spent(running, "hunter") == credits


async def test_zerobounce_shuts_out_whoever_sends_bad_requests(vendor: Vendor, clock: HandClock) -> None:
    async def ask(email: str) -> int:
        return (await vendor.get("/zerobounce/v2/validate", api_key=KEY, email=email)).status_code

    assert {await ask("") for _ in range(100)} == {400}
    assert await ask("a@b.example") == 403
    clock.elapsed += 3601
    assert await ask("a@b.example") == 200


# ----------------------------------------------------------------------------------------------- options of one vendor


async def test_credits_and_the_time_of_jobs_are_set_vendor_by_vendor(clock: HandClock) -> None:
    options = {"hunter": {"credits": 1}, "fullenrich": {"job_s": 30}}
    async with running_sandbox(clock=clock, settings=SandboxSettings(job_s=5, vendors=options)) as running:
        assert running.sandbox.bills["hunter"].remaining(KEY) == 1
        assert running.sandbox.bills["apollo"].remaining(KEY) > 1
        assert running.vendor(FullEnrich).job_s == 30
        assert running.vendor(LeadMagic).job_s == 5
        running.sandbox.bills["hunter"].set_remaining(Decimal(7))
        running.sandbox.reset()
        assert running.sandbox.bills["hunter"].remaining(KEY) == 1


def test_a_vendor_that_is_not_there_is_refused(clock: HandClock) -> None:
    with pytest.raises(ConfigError, match="Did you mean 'hunter'"):
        Sandbox(SandboxSettings(vendors={"huntr": {}}), clock)

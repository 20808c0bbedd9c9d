"""The sandbox's data vendors: dialects, matching, billing, and that they know what they know for good."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from revetl.sandbox.data_vendors.knowledge import Knowledge
from revetl.sandbox.data_vendors.population import Population
from revetl.sandbox.server import RunningSandbox, running_sandbox
from revetl.sandbox.settings import SandboxSettings
from revetl.sandbox.zerobounce import vendor as zerobounce
from tests.support.sandbox_world import HandClock, all_knowing, person, write_truth

PEOPLE = 400
PDL, HUNTER, ZEROBOUNCE = "/providers/people_data_labs", "/providers/hunter", "/providers/zerobounce"

ALL_KNOWN = all_knowing("people_data_labs")


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
def population() -> Population:
    return Population()


@pytest.fixture
def settings(tmp_path: Path, population: Population) -> SandboxSettings:
    write_truth(tmp_path / "truth", PEOPLE)
    return SandboxSettings(truth=tmp_path / "truth", limited=False, population=population)


@pytest.fixture
async def running(settings: SandboxSettings, clock: HandClock) -> AsyncIterator[RunningSandbox]:
    async with running_sandbox(clock=clock, settings=settings) as running:
        yield running


Reply = tuple[int, Any, Any]


class Http:
    def __init__(self, base_url: str, session: aiohttp.ClientSession) -> None:
        self._base_url = base_url
        self._session = session

    async def get(self, path: str, key: str = "k-12345678", **query: str) -> Reply:
        name = "api_key"
        headers = {"X-API-KEY": key} if ZEROBOUNCE not in path else {}
        query = {**query, name: key} if ZEROBOUNCE in path else query
        async with self._session.get(self._base_url + path, params=query, headers=headers) as answer:
            return answer.status, await answer.json(), answer.headers

    async def post(self, path: str, body: Any, key: str = "k-12345678") -> Reply:
        async with self._session.post(self._base_url + path, json=body, headers={"X-API-KEY": key}) as answer:
            raw = await answer.read()
            return answer.status, json.loads(raw) if raw else None, answer.headers


@pytest.fixture
async def http(running: RunningSandbox) -> AsyncIterator[Http]:
    async with aiohttp.ClientSession() as session:
        yield Http(running.base_url, session)


async def ask_people(http: Http, **more: str) -> dict[int, Any]:
    found = {}
    for i in range(PEOPLE):
        status, body, _ = await http.get(f"{PDL}/v5/person/enrich", email=person(i).email or "", **more)
        if status == 200:
            found[i] = body["data"]
    return found


async def test_hit_rates_are_near_what_is_set_and_some_values_are_wrong(http: Http, running: RunningSandbox) -> None:
    found = await ask_people(http, titlecase="true")
    assert 0.78 < len(found) / PEOPLE < 0.91
    assert 0.46 < sum(d["work_email"] is not None for d in found.values()) / PEOPLE < 0.62
    titles = {i: d["job_title"] for i, d in found.items() if d["job_title"]}
    assert 0.62 < len(titles) / PEOPLE < 0.78
    stale = sum(title != person(i).job_title for i, title in titles.items())
    assert 0.05 < stale / len(titles) < 0.20
    assert running.sandbox.stats()["providers"]["people_data_labs"]["credits"] == len(found)


@pytest.mark.parametrize("population", [ALL_KNOWN])
@pytest.mark.parametrize(
    ("query", "likelihood"),
    [
        ({"email": "ANN7.LEE+news@firm7.example"}, 9),
        ({"profile": "linkedin.com/in/ann-7/"}, 10),
        ({"phone": "+33 1 00 00 00 7"}, 8),
        ({"first_name": "ann7", "last_name": "LEE", "company": "firm7.example"}, 7),
        ({"first_name": "Ann7", "last_name": "Lee", "company": "Firm 7"}, 7),
        ({"name": "Ann7 Lee", "location": "United Kingdom"}, 4),
    ],
)
async def test_people_are_matched_as_the_vendor_does(http: Http, query: dict[str, str], likelihood: int) -> None:
    status, body, headers = await http.get(f"{PDL}/v5/person/enrich", **query)
    assert (status, body["likelihood"], body["data"]["id"]) == (200, likelihood, "pdl_p7")
    assert headers["x-call-credits-spent"] == "1"
    status, _, headers = await http.get(f"{PDL}/v5/person/enrich", **query, min_likelihood=str(likelihood + 1))
    assert (status, headers["x-call-credits-spent"]) == (404, "0")


async def test_people_data_labs_refusals(http: Http, running: RunningSandbox) -> None:
    path = f"{PDL}/v5/person/enrich"
    assert (await http.get(path, first_name="Ann7", last_name="Lee"))[0] == 400
    assert (await http.get(path, key="bad-key", email="a@b.io"))[0] == 401
    status, body, headers = await http.get(path, key="broke-key", email="a@b.io")
    assert (status, body["error"]["type"], headers["x-totallimit-remaining"]) == (402, "payment_required", "0")
    status, body, _ = await http.get(path, email="nobody@nowhere.example")
    assert (status, body) == (
        404,
        {"status": 404, "error": {"type": "not_found", "message": "No records were found matching your request"}},
    )
    await http.post("/_sandbox/credits", {"vendor": "people_data_labs", "remaining": 0})
    assert (await http.get(path, email="a@b.io"))[0] == 402
    assert running.sandbox.stats()["providers"]["people_data_labs"]["charged_usd"] == 0


@pytest.mark.parametrize("population", [ALL_KNOWN])
async def test_a_company_stands_at_the_top_of_the_answer(http: Http) -> None:
    status, body, _ = await http.get(
        f"{PDL}/v5/company/enrich", website="https://www.firm3.example/about", titlecase="true"
    )
    assert status == 200
    assert (body["industry"], body["employee_count"], body["founded"]) == ("internet", 800, 1993)
    assert body["location"] == {"locality": "London", "country": "United Kingdom"}
    assert body["linkedin_url"] == "linkedin.com/company/firm-3"


async def test_hunter_finds_guesses_and_is_free_to_repeat(http: Http, running: RunningSandbox) -> None:
    right, wrong, refused = [], [], 0
    for i in range(PEOPLE):
        query = {"first_name": f"Ann{i}", "last_name": "Lee", "domain": f"firm{i % 40}.example"}
        status, body, _ = await http.get(f"{HUNTER}/v2/email-finder", **query)
        refused += status == 451
        if status == 200 and body["data"]["email"]:
            (right if body["data"]["email"] == person(i).email else wrong).append(body["data"])
    assert 0.50 < (len(right) + len(wrong)) / PEOPLE < 0.70
    assert 0.04 < len(wrong) / (len(right) + len(wrong)) < 0.22
    assert refused
    assert min(d["score"] for d in right) < max(d["score"] for d in wrong)  # no threshold parts them cleanly
    bill = running.sandbox.bills["hunter"]
    assert bill.spent["k-12345678"] == len(right) + len(wrong)
    first = right[0]
    again = {"first_name": first["first_name"], "last_name": "Lee", "domain": first["domain"]}
    await http.get(f"{HUNTER}/v2/email-finder", **again)
    assert bill.spent["k-12345678"] == len(right) + len(wrong)
    # A made-up address is what the verifier is for.
    verdicts = {(await http.get(f"{ZEROBOUNCE}/v2/validate", email=d["email"]))[1]["status"] for d in wrong}
    assert verdicts <= {"invalid", "catch-all"}
    assert "invalid" in verdicts


@pytest.mark.parametrize("settings", [SandboxSettings()])
async def test_hunter_says_slow_down_with_403_and_out_of_credits_with_429(http: Http, clock: HandClock) -> None:
    query = {"first_name": "A", "last_name": "B", "domain": "x.example"}
    for _ in range(15):
        status, body, _ = await http.get(f"{HUNTER}/v2/email-finder", **query)
        assert (status, body["data"]["email"]) == (200, None)
    assert (await http.get(f"{HUNTER}/v2/email-finder", **query))[0] == 403
    clock.elapsed += 1
    assert (await http.get(f"{HUNTER}/v2/email-finder", **query))[0] == 200
    assert (await http.get(f"{HUNTER}/v2/email-finder", key="broke", **query))[0] == 429
    status, body, _ = await http.get(f"{HUNTER}/v2/email-finder", key="bad", **query)
    assert (status, body["errors"][0]["code"]) == (401, 401)


@pytest.mark.parametrize("settings", [SandboxSettings()])
async def test_free_accounts_have_a_hundred_calls_a_fixed_minute(http: Http, clock: HandClock) -> None:
    async def ask() -> int:
        status, _, _ = await http.get(f"{PDL}/v5/person/enrich", key="free-key", email="a@b.io")
        return status

    clock.elapsed = 50
    assert {await ask() for _ in range(100)} == {404}
    assert await ask() == 429
    clock.elapsed = 60
    assert await ask() == 404


async def test_zerobounce_verdicts_and_prices(http: Http, running: RunningSandbox) -> None:
    bill = running.sandbox.bills["zerobounce"]
    catch_all = Knowledge(Population(), 0, "any").catch_all
    plain = next(i for i in range(40) if not catch_all(f"firm{i}.example"))
    for email, status, sub_status, credits in (
        (person(plain).email, "valid", "", 1),
        (f"nobody@firm{plain}.example", "invalid", "mailbox_not_found", 2),
        ("https://firm1.example", "invalid", "failed_syntax_check", 3),
        ("a@nowhere.example", "invalid", "no_dns_entries", 4),
        (f"info@firm{plain}.example", "do_not_mail", "role_based", 5),
        ("unknown@example.com", "unknown", "mail_server_temporary_error", 5),
    ):
        code, body, _ = await http.get(f"{ZEROBOUNCE}/v2/validate", email=str(email))
        assert (code, body["status"], body["sub_status"], body["address"]) == (200, status, sub_status, email)
        assert bill.spent["k-12345678"] == credits
    code, body, _ = await http.get(f"{ZEROBOUNCE}/v2/validate", key="broke", email="a@b.io")
    assert (code, list(body)) == (200, ["error"])


async def test_zerobounce_batches(http: Http, clock: HandClock) -> None:
    def batch(n: int) -> dict[str, Any]:
        return {"api_key": "k", "email_batch": [{"email_address": person(i).email} for i in range(n)]}

    status, body, _ = await http.post(f"{ZEROBOUNCE}/v2/validatebatch", batch(3))
    assert (status, [v["address"] for v in body["email_batch"]]) == (200, [person(i).email for i in range(3)])
    assert (await http.post(f"{ZEROBOUNCE}/v2/validatebatch", batch(101)))[0] == 400


@pytest.mark.parametrize("settings", [SandboxSettings()])
async def test_zerobounce_blocks_ten_minutes_after_thirty_batches(http: Http, clock: HandClock) -> None:
    body = {"api_key": "k", "email_batch": [{"email_address": "valid@example.com"}]}
    for _ in range(zerobounce.BATCHES_PER_MINUTE):
        assert (await http.post(f"{ZEROBOUNCE}/v2/validatebatch", body))[0] == 200
    assert (await http.post(f"{ZEROBOUNCE}/v2/validatebatch", body))[0] == 429
    clock.elapsed += 599
    assert (await http.post(f"{ZEROBOUNCE}/v2/validatebatch", body))[0] == 429
    clock.elapsed += 2
    assert (await http.post(f"{ZEROBOUNCE}/v2/validatebatch", body))[0] == 200


@pytest.mark.parametrize("population", [ALL_KNOWN])
async def test_a_new_truth_is_read_without_a_restart(tmp_path: Path, http: Http) -> None:
    late = str(person(PEOPLE).email)
    assert (await http.get(f"{PDL}/v5/person/enrich", email=late))[0] == 404
    write_truth(tmp_path / "truth", PEOPLE + 1)
    assert (await http.get(f"{PDL}/v5/person/enrich", email=late))[0] == 200

"""Vendors of the sandbox that answer later: jobs that are polled for, callbacks, and the books of both; and faults."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
from collections.abc import AsyncIterator
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
from aiohttp import web

from revetl.sandbox.server import RunningSandbox, running_sandbox
from revetl.sandbox.settings import SandboxSettings
from tests.support.sandbox_world import KEY, HandClock, all_knowing, person, write_truth

JOB_S = 30.0
DROPCONTACT = "/providers/dropcontact/v1/enrich/all"
FULLENRICH = "/providers/fullenrich/api/v2/contact/enrich/bulk"
APOLLO = "/providers/apollo/api/v1/people/match"


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
async def running(tmp_path: Path, clock: HandClock) -> AsyncIterator[RunningSandbox]:
    population = all_knowing("dropcontact", "fullenrich", "apollo", "people_data_labs")
    settings = SandboxSettings(truth=write_truth(tmp_path / "truth"), population=population, job_s=JOB_S)
    async with running_sandbox(clock=clock, settings=settings) as running:
        yield running


@pytest.fixture
async def http(running: RunningSandbox) -> AsyncIterator[httpx.AsyncClient]:
    headers = {"X-Access-Token": KEY, "Authorization": f"Bearer {KEY}", "x-api-key": KEY}
    async with httpx.AsyncClient(base_url=running.base_url, headers=headers) as client:
        yield client


class Receiver:
    """Takes callbacks. `status` is what it answers."""

    def __init__(self) -> None:
        self.url = ""
        self.status = 200
        self.got: list[tuple[bytes, dict[str, str]]] = []
        self.arrived = asyncio.Event()

    async def take(self, request: web.Request) -> web.Response:
        self.got.append((await request.read(), dict(request.headers)))
        self.arrived.set()
        return web.Response(status=self.status)

    async def messages(self, count: int) -> list[Any]:
        async with asyncio.timeout(5):
            while len(self.got) < count:
                self.arrived.clear()
                await self.arrived.wait()
        return [json.loads(body) for body, _ in self.got]


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    receiver = Receiver()
    app = web.Application()
    app.router.add_post("/hook", receiver.take)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    receiver.url = f"http://127.0.0.1:{runner.addresses[0][1]}/hook"
    yield receiver
    await runner.cleanup()


def ann(i: int, **more: Any) -> dict[str, Any]:
    return {"first_name": f"Ann{i}", "last_name": "Lee", "website": f"firm{i}.example", **more}


def contact(i: int, **more: Any) -> dict[str, Any]:
    return {"first_name": f"Ann{i}", "last_name": "Lee", "domain": f"firm{i}.example", **more}


def spent(running: RunningSandbox, vendor: str) -> Decimal:
    return running.sandbox.bills[vendor].spent.get(KEY, Decimal(0))


async def fault(http: httpx.AsyncClient, route: str, kind: str, **more: Any) -> None:
    answer = await http.post("/_sandbox/faults", json={"route": route, "kind": kind, **more})
    assert answer.status_code == 201, answer.text


async def invoice(http: httpx.AsyncClient, vendor: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = (await http.get("/_sandbox/invoice", params={"vendor": vendor})).json()["rows"]
    return rows


# ------------------------------------------------------------------------------------------------------ Dropcontact


async def test_dropcontact_holds_credits_and_gives_back_what_found_nothing(
    http: httpx.AsyncClient, running: RunningSandbox, clock: HandClock
) -> None:
    nobody = {"first_name": "No", "last_name": "Body", "website": "firm1.example"}
    records = [ann(7, custom_fields={"ref": "x"}), nobody, {"email": "wrong@firm1.example"}]
    sent = (await http.post(DROPCONTACT, json={"data": records})).json()
    assert (sent["success"], sent["error"], sent["credits_left"]) == (True, False, 9_999_997)
    assert spent(running, "dropcontact") == 3
    path = f"{DROPCONTACT}/{sent['request_id']}"
    early = await http.get(path)
    assert (early.status_code, early.json()["success"]) == (200, False)
    assert early.json()["reason"] == "Request not ready yet, try again in 30 seconds"
    clock.elapsed += JOB_S
    done = (await http.get(path)).json()
    assert (done["success"], done["credits_left"]) == (True, 9_999_998)
    found, missed, judged = done["data"]
    assert found["email"] == [{"email": "ann7.lee@firm7.example", "qualification": "nominative@pro"}]
    assert found["custom_fields"] == {"ref": "x"}
    assert "email" not in missed
    assert judged["email"] == [{"email": "wrong@firm1.example", "qualification": "invalid@pro"}]
    # Nobody was found for one; the email that was sent in stays paid for.
    assert spent(running, "dropcontact") == 2
    assert (await http.get(path)).json() == done
    rows = await invoice(http, "dropcontact")
    assert [(r["kind"], r["credits"]) for r in rows] == [("hold", "1")] * 3 + [("refund", "-1")]
    assert {r["reference"] for r in rows} == {sent["request_id"]}


async def test_dropcontact_settles_without_being_asked(
    http: httpx.AsyncClient, running: RunningSandbox, clock: HandClock
) -> None:
    await http.post(DROPCONTACT, json={"data": [{"first_name": "No", "last_name": "Body"}]})
    clock.elapsed += JOB_S
    assert sum(Decimal(r["usd"]) for r in await invoice(http, "dropcontact")) == 0


async def test_dropcontact_refusals(http: httpx.AsyncClient, running: RunningSandbox) -> None:
    for records, key, status, reason in (
        ([ann(7)] * 251, KEY, 400, "Too many records, you can only submit up to 250 records"),
        ([], KEY, 400, "Missing data in JSON"),
        ([ann(7)], "bad", 401, "Invalid access token"),
        ([ann(7)], "broke", 403, "Not enough credits"),
    ):
        answer = await http.post(DROPCONTACT, json={"data": records}, headers={"X-Access-Token": key})
        assert (answer.status_code, answer.json()["reason"]) == (status, reason)
    unknown = await http.get(f"{DROPCONTACT}/nosuchjob")
    assert (unknown.status_code, unknown.json()["success"]) == (200, False)
    assert spent(running, "dropcontact") == 0


async def test_dropcontact_calls_back(http: httpx.AsyncClient, receiver: Receiver) -> None:
    sent = (await http.post(DROPCONTACT, json={"data": [ann(7)], "custom_callback_url": receiver.url})).json()
    ((event,),) = await receiver.messages(1)
    assert (event["event_type"], event["data"]["request_id"]) == ("enrich_api_result", sent["request_id"])
    assert event["data"]["data"][0]["email"][0]["email"] == "ann7.lee@firm7.example"


# ------------------------------------------------------------------------------------------------------- FullEnrich


async def test_fullenrich_by_poll(http: httpx.AsyncClient, running: RunningSandbox, clock: HandClock) -> None:
    both = ["contact.work_emails", "contact.phones"]
    data = [
        contact(7, enrich_fields=both, custom={"ref": "x"}),
        {"linkedin_url": person(8).linkedin_url, "enrich_fields": ["contact.work_emails"]},
        contact(1, last_name="Body", enrich_fields=both),
    ]
    sent = await http.post(FULLENRICH, json={"name": "three", "data": data})
    path = f"{FULLENRICH}/{sent.json()['enrichment_id']}"
    early = await http.get(path)
    assert (early.status_code, early.json()["code"]) == (400, "error.enrichment.in_progress")
    clock.elapsed += JOB_S
    done = (await http.get(path)).json()
    assert (done["status"], done["cost"]) == ("FINISHED", {"credits": 12})
    by_name = {answer["input"].get("last_name", "profile"): answer for answer in done["data"]}
    first, second, third = by_name["Lee"], by_name["profile"], by_name["Body"]
    assert first["contact_info"]["most_probable_work_email"]["email"] == "ann7.lee@firm7.example"
    assert first["contact_info"]["most_probable_phone"]["number"] == person(7).phone
    assert (first["custom"], first["profile"]) == ({"ref": "x"}, None)
    assert second["profile"]["employment"]["current"]["title"] == "Title 8"
    assert third["contact_info"] == {}
    assert spent(running, "fullenrich") == 12


async def test_fullenrich_answers_in_an_order_of_its_own(http: httpx.AsyncClient, clock: HandClock) -> None:
    data = [contact(i, custom={"ref": str(i)}) for i in range(1, 31)]
    sent = (await http.post(FULLENRICH, json={"name": "n", "data": data})).json()
    clock.elapsed += JOB_S
    answers = (await http.get(f"{FULLENRICH}/{sent['enrichment_id']}")).json()["data"]
    refs = [answer["custom"]["ref"] for answer in answers]
    assert refs != [str(i) for i in range(1, 31)]
    assert sorted(refs) == sorted(str(i) for i in range(1, 31))
    assert all(a["input"]["first_name"] == f"Ann{a['custom']['ref']}" for a in answers)


async def test_fullenrich_is_free_for_three_months_once_a_job_is_done(
    http: httpx.AsyncClient, running: RunningSandbox, clock: HandClock
) -> None:
    async def enrich(*places: int, **more: Any) -> None:
        await http.post(FULLENRICH, json={"name": "n", "data": [contact(i, **more) for i in places]})

    async def credits_after(seconds: float) -> Decimal:
        clock.elapsed += seconds
        return spent(running, "fullenrich")

    await enrich(7, 7)  # twice in one job: charged twice
    await enrich(7)  # and once more in one that runs at the same time
    assert await credits_after(JOB_S) == 3
    await enrich(7, custom={"ref": "another"})
    assert await credits_after(JOB_S) == 3
    await enrich(7, company_name="Firm 7")  # other inputs, another question
    assert await credits_after(JOB_S) == 4
    await credits_after(91 * 86_400)
    await enrich(7)
    assert await credits_after(JOB_S) == 5


async def test_fullenrich_out_of_credits_is_a_402_with_the_whole_result(
    http: httpx.AsyncClient, running: RunningSandbox, clock: HandClock
) -> None:
    await http.post("/_sandbox/credits", json={"vendor": "fullenrich", "remaining": 2})
    sent = await http.post(FULLENRICH, json={"name": "n", "data": [contact(i) for i in range(1, 5)]})
    clock.elapsed += JOB_S
    answer = await http.get(f"{FULLENRICH}/{sent.json()['enrichment_id']}")
    body = answer.json()
    assert (answer.status_code, body["status"], body["cost"]["credits"]) == (402, "CREDITS_INSUFFICIENT", 2)
    found = {c["input"]["first_name"] for c in body["data"] if c["contact_info"]}
    assert (found, len(body["data"])) == ({"Ann1", "Ann2"}, 4)
    refused = await http.post(FULLENRICH, json={"name": "n", "data": [contact(7)]})
    assert (refused.status_code, refused.json()["code"]) == (402, "error.credits_insufficient")


async def test_fullenrich_refusals(http: httpx.AsyncClient, clock: HandClock) -> None:
    for body, status in (
        ({"data": [contact(7)]}, 400),
        ({"name": "n", "data": [contact(7)] * 101}, 400),
        ({"name": "n", "data": [{"first_name": "Ann7"}]}, 400),
        ({"name": "n", "data": [contact(7, custom={"n": 1})]}, 400),
        ({"name": "n", "data": [contact(7, custom={str(i): "x" for i in range(11)})]}, 400),
        ({"name": "n", "data": [contact(7)], "webhook_url": "https://elsewhere.example/hook"}, 400),
    ):
        answer = await http.post(FULLENRICH, json=body)
        assert (answer.status_code, answer.json()["code"]) == (status, "error.validation")
    assert (await http.get(f"{FULLENRICH}/nosuchjob")).status_code == 404
    assert (await http.get(f"{FULLENRICH}/x", headers={"Authorization": "Bearer bad"})).status_code == 401
    clock.elapsed += 60
    statuses = [(await http.get(f"{FULLENRICH}/nosuchjob")).status_code for _ in range(61)]
    assert statuses == [404] * 60 + [429]


def signed(body: bytes, key: str = KEY) -> str:
    return hmac.new(key.encode(), body, hashlib.sha1).hexdigest()


async def test_fullenrich_webhooks_are_signed(http: httpx.AsyncClient, receiver: Receiver) -> None:
    body = {
        "name": "n",
        "data": [contact(7), contact(8)],
        "webhook_url": receiver.url,
        "webhook_events": {"contact_finished": receiver.url},
    }
    sent = (await http.post(FULLENRICH, json=body)).json()
    messages = await receiver.messages(3)
    assert sorted((m["status"], len(m["data"])) for m in messages) == [
        ("FINISHED", 2),
        ("IN_PROGRESS", 1),
        ("IN_PROGRESS", 1),
    ]
    assert {m["id"] for m in messages} == {sent["enrichment_id"]}
    assert all(headers["X-Signature-SHA1"] == signed(raw) for raw, headers in receiver.got)
    polled = (await http.get(f"{FULLENRICH}/{sent['enrichment_id']}")).json()
    assert polled == next(m for m in messages if m["status"] == "FINISHED")


async def test_a_webhook_is_tried_six_times_a_minute_apart(
    http: httpx.AsyncClient, receiver: Receiver, clock: HandClock
) -> None:
    receiver.status = 500
    await http.post(FULLENRICH, json={"name": "n", "data": [contact(7)], "webhook_url": receiver.url})
    await receiver.messages(6)
    await asyncio.sleep(0)
    assert clock.slept == [JOB_S, *[60.0] * 5]


@pytest.mark.parametrize("kind", ["callback_twice", "callback_late", "callback_forged", "callback_lost"])
async def test_callbacks_come_twice_late_forged_or_never(
    http: httpx.AsyncClient, receiver: Receiver, clock: HandClock, running: RunningSandbox, kind: str
) -> None:
    await fault(http, "POST /providers/fullenrich/*", kind, delay_s=900)
    sent = (await http.post(FULLENRICH, json={"name": "n", "data": [contact(7)], "webhook_url": receiver.url})).json()
    if kind == "callback_lost":
        clock.elapsed += JOB_S
        assert (await http.get(f"{FULLENRICH}/{sent['enrichment_id']}")).status_code == 200
        assert receiver.got == []
    else:
        messages = await receiver.messages(2 if kind == "callback_twice" else 1)
        assert all(m == messages[0] for m in messages)
        raw, headers = receiver.got[0]
        assert (headers["X-Signature-SHA1"] == signed(raw)) is (kind != "callback_forged")
        assert (clock.slept[0] == JOB_S + 900) is (kind == "callback_late")
    assert spent(running, "fullenrich") == 1


async def test_a_job_may_never_end(http: httpx.AsyncClient, running: RunningSandbox, clock: HandClock) -> None:
    await fault(http, "POST /providers/fullenrich/*", "never_done")
    sent = (await http.post(FULLENRICH, json={"name": "n", "data": [contact(7)]})).json()
    clock.elapsed += 86_400
    assert (await http.get(f"{FULLENRICH}/{sent['enrichment_id']}")).status_code == 400
    assert spent(running, "fullenrich") == 0


# ---------------------------------------------------------------------------------------------- Apollo's mobiles


async def test_apollo_sends_mobiles_later(
    http: httpx.AsyncClient, receiver: Receiver, running: RunningSandbox, clock: HandClock
) -> None:
    query = {"email": str(person(7).email), "reveal_phone_number": "true"}
    assert (await http.post(APOLLO, params=query)).status_code == 422
    asked = (await http.post(APOLLO, params={**query, "webhook_url": receiver.url})).json()
    (message,) = await receiver.messages(1)
    assert message["people"][0]["phone_numbers"][0]["sanitized_number"] == person(7).phone
    assert (message["credits_consumed"], spent(running, "apollo")) == (8, 9)
    polled = await http.get(f"/providers/apollo/api/v1/webhook_result/{asked['request_id']}")
    assert polled.json() == message
    clock.elapsed += 31 * 86_400
    assert (await http.get(f"/providers/apollo/api/v1/webhook_result/{asked['request_id']}")).status_code == 410


async def test_apollo_says_that_a_result_is_pending(http: httpx.AsyncClient, receiver: Receiver) -> None:
    await fault(http, "POST /providers/apollo/*", "never_done")
    query = {"email": str(person(7).email), "reveal_phone_number": "true", "webhook_url": receiver.url}
    asked = (await http.post(APOLLO, params=query)).json()
    for request_id, code in ((asked["request_id"], "result_pending"), ("other", "request_id_unknown")):
        answer = await http.get(f"/providers/apollo/api/v1/webhook_result/{request_id}")
        assert (answer.status_code, answer.json()["error_code"]) == (404, code)


# ------------------------------------------------------------------------------------------------ faults and books

PDL = "/providers/people_data_labs/v5/person/enrich"


@pytest.mark.parametrize(
    ("kind", "status", "charged"),
    [
        ("throttled", 429, 0),
        ("out_of_credits", 402, 0),
        ("bad_key", 401, 0),
        ("unavailable", 500, 0),
        ("status", 503, 0),
        ("status_after", 503, 1),
        ("reset_before", None, 0),
        ("reset_after", None, 1),
        ("truncate", None, 1),
        ("wrong_json", 200, 1),
        ("delay", 200, 1),
        ("delay_after", 200, 1),
    ],
)
async def test_a_fault_charges_or_it_does_not(
    http: httpx.AsyncClient, running: RunningSandbox, kind: str, status: int | None, charged: int
) -> None:
    await fault(http, f"GET {PDL}", kind, delay_s=5)
    ask = partial(http.get, PDL, params={"email": str(person(7).email)})
    if status is None:
        with pytest.raises(httpx.TransportError):
            await ask()
    else:
        answer = await ask()
        assert answer.status_code == status
        if kind in ("throttled", "out_of_credits", "bad_key", "unavailable"):
            assert answer.json()["status"] == status  # in the vendor's own shape
    assert spent(running, "people_data_labs") == charged
    assert (await ask()).status_code == 200


async def test_a_vendors_fault_needs_a_vendors_route(http: httpx.AsyncClient) -> None:
    answer = await http.post("/_sandbox/faults", json={"route": "POST /crm/*", "kind": "throttled"})
    assert answer.status_code == 400
    assert "/providers/" in answer.json()["error"]


async def test_the_invoice_adds_up_and_names_what_was_charged(http: httpx.AsyncClient, running: RunningSandbox) -> None:
    for i in (1, 2):
        await http.get(PDL, params={"email": str(person(i).email)})
    await http.get(PDL, params={"email": "nobody@nowhere.example"})
    await http.post(APOLLO, params={"email": str(person(1).email)})
    rows = (await http.get("/_sandbox/invoice")).json()
    assert [(r["vendor"], r["subject"], r["usd"]) for r in rows["rows"]] == [
        ("apollo", "p1", "0.02"),
        ("people_data_labs", "p1", "0.28"),
        ("people_data_labs", "p2", "0.28"),
    ]
    assert rows["total_usd"] == "0.58"
    assert KEY not in json.dumps(rows)
    books = (await http.get("/_sandbox/stats", params={"calls": "1"})).json()["providers"]["people_data_labs"]
    assert [(c["status"], c["counted"], c["credits"]) for c in books["calls"]] == [
        (200, "hit", "1"),
        (200, "hit", "1"),
        (404, "miss", "0"),
    ]
    charged = {r["reference"] for r in rows["rows"] if r["vendor"] == "people_data_labs"}
    assert charged == {c["reference"] for c in books["calls"] if c["credits"] != "0"}
    await http.post("/_sandbox/reset")
    assert (await http.get("/_sandbox/invoice")).json() == {"rows": [], "total_usd": "0"}

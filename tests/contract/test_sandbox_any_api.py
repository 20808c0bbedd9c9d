"""The made-up API of the sandbox: strict, with state, and checked by clients that know nothing of revetl's."""

from __future__ import annotations

import datetime
import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from standardwebhooks.webhooks import Webhook

from revetl.destinations.http import Options, connect
from revetl.model import Change, Operation, Status
from revetl.sandbox.any_api.vendor import SIGNING_SECRET, AnyApi
from revetl.sandbox.faults import Fault
from revetl.sandbox.inprocess import sandbox_in_process
from revetl.sandbox.settings import SandboxSettings
from revetl.testing.clocks import VirtualClock
from revetl.testing.virtual_time import run_virtual
from tests.support.any_api import BATCH, REST

KEY = {"x-api-key": "k"}
ANN = {"email": "ann@x.io", "name": "Ann", "address": {"city": "Riga"}, "tags": ["a"]}


@asynccontextmanager
async def api(clock: VirtualClock, **options: Any) -> AsyncIterator[tuple[httpx.AsyncClient, AnyApi]]:
    settings = SandboxSettings(vendors={"any_api": options}, limited=False)
    async with sandbox_in_process(settings, clock) as (transport, sandbox):
        client = httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:1/any_api")
        yield client, sandbox.vendor(AnyApi)


def test_a_user_is_made_read_changed_listed_and_deleted() -> None:
    async def main() -> None:
        async with api(VirtualClock(), page_rows=2) as (client, vendor):
            made = await client.post("/rest/users", json=ANN, headers=KEY)
            assert (made.status_code, made.json()) == (201, {"id": "usr/1", **ANN})
            path = "/rest/users/usr%2F1"
            assert (await client.get(path, headers=KEY)).json()["name"] == "Ann"
            assert (await client.get("/rest/users/usr/1", headers=KEY)).status_code == 404
            assert (await client.patch(path, json={"name": None}, headers=KEY)).json()["name"] is None
            for n in range(2):
                await client.post("/rest/users", json={"email": f"{n}@x.io"}, headers=KEY)
            first = (await client.get("/rest/users", headers=KEY)).json()
            second = (await client.get("/rest/users", params={"cursor": first["next"]}, headers=KEY)).json()
            assert ([len(page["data"]) for page in (first, second)], second["next"]) == ([2, 1], None)
            assert (await client.delete(path, headers=KEY)).status_code == 204
            assert (await client.delete(path, headers=KEY)).status_code == 404
            assert vendor.stats()["records"]["users"] == 2

    run_virtual(main())


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"name": "x"}, 422),
        ({"email": "no address"}, 422),
        ({**ANN, "address": '{"city": "Riga"}'}, 422),
        ({**ANN, "age": "41"}, 422),
        ({**ANN, "age": True}, 422),
        ({**ANN, "nmae": "x"}, 422),
        ([ANN], 400),
    ],
)
def test_it_is_strict(body: Any, status: int) -> None:
    async def main() -> None:
        async with api(VirtualClock()) as (client, vendor):
            assert (await client.post("/rest/users", json=body, headers=KEY)).status_code == status
            assert (await client.post("/rest/users", json=ANN)).status_code == 401
            assert vendor.users.rows == {}

    run_virtual(main())


def test_under_one_idempotency_key_there_is_one_answer_for_a_day() -> None:
    async def main() -> None:
        clock = VirtualClock()
        async with api(clock) as (client, vendor):
            headers = {**KEY, "idempotency-key": "one"}
            first = await client.post("/rest/users", json=ANN, headers=headers)
            await client.delete("/rest/users/usr%2F1", headers=KEY)
            assert (await client.post("/rest/users", json=ANN, headers=headers)).json() == first.json()
            assert vendor.users.rows == {}, "the first answer is given again, and nothing is done"
            other = await client.post("/rest/users", json={"email": "b@x.io"}, headers=headers)
            assert (other.status_code, other.json()["error"]["code"]) == (400, "idempotency_mismatch")
            await clock.sleep(86_400)
            assert (await client.post("/rest/users", json=ANN, headers=headers)).json()["id"] == "usr/2"

    run_virtual(main())


def test_a_token_has_its_scopes_and_its_end() -> None:
    async def main() -> None:
        clock = VirtualClock()
        async with api(clock, token_life_s=60) as (client, _):
            form = {"grant_type": "client_credentials", "scope": "contacts.read other"}
            given = (await client.post("/oauth/token", data=form, auth=("c", "secret"))).json()
            assert (given["scope"], given["expires_in"]) == ("contacts.read", 60)
            bearer = {"authorization": f"Bearer {given['access_token']}"}
            assert (await client.get("/batch/contacts", headers=bearer)).status_code == 200
            put = await client.put("/batch/contacts", json={"contacts": []}, headers=bearer)
            assert put.status_code == 403
            await clock.sleep(60)
            assert (await client.get("/batch/contacts", headers=bearer)).status_code == 401
            assert (await client.post("/oauth/token", data=form, auth=("c", "bad"))).status_code == 401

    run_virtual(main())


def test_it_takes_what_the_witness_signs_and_nothing_else() -> None:
    async def main() -> None:
        clock = VirtualClock()
        async with api(clock) as (client, vendor):
            body = '[{"event_id": "e1"}]'

            async def push(moment: datetime.datetime, secret: str = SIGNING_SECRET, sent: str = body) -> int:
                headers = {
                    "webhook-id": "m1",
                    "webhook-timestamp": str(int(moment.timestamp())),
                    "webhook-signature": Webhook(secret).sign("m1", moment, body),
                }
                return (await client.post("/hooks/events", content=sent, headers=headers)).status_code

            now = clock.now()
            assert await push(now) == 202
            assert await push(now) == 202
            assert list(vendor.events) == ["e1"]
            assert await push(now - datetime.timedelta(seconds=301)) == 401
            assert await push(now, secret="whsec_b3RoZXI=") == 401
            assert await push(now, sent=body.replace("e1", "e2")) == 401

    run_virtual(main())


def test_a_member_stands_under_the_hash_of_the_address_and_a_bulk_update_lists_what_it_refused() -> None:
    async def main() -> None:
        async with api(VirtualClock()) as (client, vendor):
            client.auth = httpx.BasicAuth("any", "key")
            path = "/marketing/lists/l1/members/" + hashlib.md5(b"ann@x.io", usedforsecurity=False).hexdigest()
            ann = {"email_address": "Ann@x.io", "merge_fields": {"FNAME": "Ann"}}
            assert (await client.put(path, json=ann)).status_code == 400, "a new member has a status"
            made = await client.put(path, json={**ann, "status_if_new": "subscribed"})
            assert (made.status_code, made.json()["status"]) == (200, "subscribed")
            left = await client.put(path, json={**ann, "status": "unsubscribed"})
            again = await client.put(path, json={**ann, "status_if_new": "subscribed"})
            assert (left.json()["status"], again.json()["status"]) == ("unsubscribed", "unsubscribed")
            assert (await client.put(path, json={**ann, "email_address": "bob@x.io"})).status_code == 400
            assert (await client.delete(path)).status_code == 204
            assert (await client.get(path)).status_code == 404
            users = {"users": [{"email": "a@x.io", "dataFields": {"n": 1}}, {"email": "none", "dataFields": {}}]}
            assert (await client.post("/marketing/users/bulkUpdate", json=users)).status_code == 401
            said = (await client.post("/marketing/users/bulkUpdate", json=users, headers={"api-key": "k"})).json()
            assert (said["successCount"], said["failedUpdates"]) == (1, {"invalidEmails": ["none"]})
            assert vendor.marketing.users == {"a@x.io": {"n": 1}}

    run_virtual(main())


def test_a_job_is_worked_off_later_and_its_results_come_page_by_page() -> None:
    async def main() -> None:
        clock = VirtualClock()
        async with api(clock, page_rows=2, job_s=5) as (client, vendor):
            form = {"grant_type": "client_credentials", "scope": "contacts.read contacts.write"}
            given = (await client.post("/oauth/token", data=form, auth=("c", "secret"))).json()
            client.headers["authorization"] = f"Bearer {given['access_token']}"
            items = [{"reference": str(n), "attributes": {"email": f"{n}@x.io"}} for n in range(2)]
            items.append({"reference": "bad", "attributes": {"email": "none"}})
            taken = await client.post("/batch/jobs", json={"contacts": items})
            assert (taken.status_code, vendor.contacts.rows) == (202, {}), "nothing is done yet"
            link = httpx.URL(taken.json()["job"]["link"]).raw_path.decode().removeprefix("/any_api")
            assert (await client.get(link)).json()["job"]["status"] == "running"
            assert (await client.get(f"{link}/results")).status_code == 409
            await clock.sleep(5)
            done = (await client.get(link)).json()
            assert (done["job"]["status"], [r["reference"] for r in done["refused"]]) == ("done", ["bad"])
            first = (await client.get(f"{link}/results")).json()
            second = (await client.get(f"{link}/results", params={"cursor": first["next"]})).json()
            assert [len(page["results"]) for page in (first, second)] == [2, 1]
            assert second["next"] is None
            assert len(vendor.contacts.rows) == 2
            assert (await client.get("/batch/jobs/none")).status_code == 404

    run_virtual(main())


def test_a_connector_goes_on_when_a_person_ends_all_sessions() -> None:
    async def main() -> None:
        clock = VirtualClock()
        settings = SandboxSettings(limited=False)
        async with sandbox_in_process(settings, clock) as (transport, sandbox):
            vendor = sandbox.vendor(AnyApi)
            auth = {**BATCH["auth"], "client_secret": "s3cret"}
            options = Options.model_validate({**BATCH, "auth": auth, "base_url": "http://127.0.0.1:1/any_api"})
            changes = [
                Change(n, f"k{n}", Operation.CREATE, None, {"email": f"{n}@x.io"}, f"{n}@x.io") for n in range(3)
            ]
            async with connect("api", options, clock, transport) as destination:
                await destination.write("contacts", "email", changes[:1])
                vendor.expire_tokens()
                outcomes = await destination.write("contacts", "email", changes[1:])
            assert {o.status for o in outcomes} == {Status.OK}
            assert vendor.tokens_given == 2

    run_virtual(main())


def test_what_is_cut_off_half_way_is_made_once() -> None:
    """The connection drops after the work, at every create: the key of each is the same the second time."""

    async def main() -> None:
        clock = VirtualClock()
        async with sandbox_in_process(SandboxSettings(limited=False), clock) as (transport, sandbox):
            sandbox.faults.add(Fault("POST /any_api/rest/users", "reset_after", times=2))
            auth = {"type": "api_key", "header": "x-api-key", "value": "k"}
            options = Options.model_validate({**REST, "auth": auth, "base_url": "http://127.0.0.1:1/any_api"})
            async with connect("api", options, clock, transport) as destination:
                change = Change(0, "k", Operation.CREATE, None, {"email": "a@x.io"}, "a@x.io")
                [outcome] = await destination.write("users", "email", [change])
            assert (outcome.status, outcome.destination_id, outcome.attempts) == (Status.OK, "usr/1", 3)
            assert len(sandbox.vendor(AnyApi).users.rows) == 1

    run_virtual(main())

"""The Salesforce sandbox under simple-salesforce, which knows nothing of us."""

from __future__ import annotations

import asyncio
import csv
import io
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from requests.adapters import HTTPAdapter
from simple_salesforce import Salesforce
from simple_salesforce.exceptions import (
    SalesforceAuthenticationFailed,
    SalesforceExpiredSession,
    SalesforceMalformedRequest,
    SalesforceMoreThanOneRecord,
    SalesforceOperationError,
    SalesforceRefusedRequest,
    SalesforceResourceNotFound,
)

from revetl.sandbox.salesforce.org import SalesforceOrg, WriteHeaders
from revetl.sandbox.salesforce.vendor import SalesforceSandbox
from revetl.sandbox.server import RunningSandbox, running_sandbox
from revetl.sandbox.settings import SandboxSettings

pytestmark = pytest.mark.filterwarnings("ignore:.*connected app policy")  # the client's advice after a refusal
KEY = "ExternalId__c"


class ToSandbox(HTTPAdapter):
    """Whatever host of the vendor's is asked: the sandbox answers."""

    def __init__(self, base_url: str) -> None:
        super().__init__()
        self._base_url = f"{base_url}/salesforce"

    def send(self, request: requests.PreparedRequest, *args: Any, **named: Any) -> requests.Response:
        url = urlsplit(str(request.url))
        request.url = self._base_url + url.path.removeprefix("/salesforce") + (f"?{url.query}" if url.query else "")
        return super().send(request, *args, **named)


@pytest.fixture
def options() -> dict[str, Any]:
    return {"page_rows": 3}


@pytest.fixture
async def running(options: dict[str, Any]) -> AsyncIterator[RunningSandbox]:
    async with running_sandbox(settings=SandboxSettings(job_s=0, vendors={"salesforce": options})) as running:
        yield running


@pytest.fixture
def org(running: RunningSandbox) -> SalesforceOrg:
    return running.vendor(SalesforceSandbox).org


def client(running: RunningSandbox, **credentials: Any) -> Salesforce:
    session = requests.Session()
    session.mount("https://", ToSandbox(running.base_url))
    given = credentials or {"consumer_key": "app", "consumer_secret": "a-secret", "domain": "acme.my"}
    return Salesforce(session=session, **given)


async def off_loop(call: Callable[..., Any], *args: Any, **named: Any) -> Any:
    """The client blocks; the server runs in this loop."""
    return await asyncio.to_thread(call, *args, **named)


async def test_one_record_through_its_life(running: RunningSandbox) -> None:
    def live() -> None:
        sf = client(running)
        made = sf.Contact.create({"LastName": "Berzina", "Email": "Ann@X.example"})
        assert (made["success"], made["errors"]) == (True, [])
        read = sf.Contact.get(made["id"])
        assert (read["LastName"], read["Email"], read["Id"]) == ("Berzina", "ann@x.example", made["id"])
        assert sf.Contact.update(made["id"], {"Title": "Engineer", "Email": None}) == 204
        read = sf.Contact.get(made["id"])
        assert (read["Title"], read["Email"]) == ("Engineer", None)
        assert sf.Contact.delete(made["id"]) == 204
        with pytest.raises(SalesforceResourceNotFound):
            sf.Contact.get(made["id"])
        with pytest.raises(SalesforceResourceNotFound, match="ENTITY_IS_DELETED"):
            sf.Contact.update(made["id"], {"Title": "x"})

    await off_loop(live)


async def test_upsert_by_an_external_id_and_what_matches_several(running: RunningSandbox, org: SalesforceOrg) -> None:
    def live() -> None:
        sf = client(running)
        assert sf.Contact.upsert(f"{KEY}/x1", {"LastName": "One"}) == 201
        assert sf.Contact.upsert(f"{KEY}/x1", {"LastName": "Two"}) == 200
        assert sf.Contact.get_by_custom_id(KEY, "X1")["LastName"] == "Two"
        for _ in range(2):
            sf.Contact.create({"LastName": "Twin", "Email": "twin@x.example"})
        with pytest.raises(SalesforceMoreThanOneRecord):
            sf.Contact.get_by_custom_id("Email", "twin@x.example")
        with pytest.raises(SalesforceResourceNotFound):
            sf.Contact.upsert("Title/x", {"LastName": "No external id"})

    await off_loop(live)


async def test_describe_is_as_the_client_reads_it(running: RunningSandbox) -> None:
    def live() -> None:
        sf = client(running)
        fields = {f["name"]: f for f in sf.Contact.describe()["fields"]}
        assert (fields["LastName"]["nillable"], fields["LastName"]["length"]) == (False, 80)
        assert fields[KEY]["externalId"]
        assert fields["AccountId"]["referenceTo"] == ["Account"]
        assert {o["name"] for o in sf.describe()["sobjects"]} >= {"Account", "Contact", "Lead"}
        with pytest.raises(SalesforceResourceNotFound):
            sf.Nothing__c.describe()

    await off_loop(live)


async def test_soql_pages_parents_conditions_and_its_errors(running: RunningSandbox, org: SalesforceOrg) -> None:
    headers = WriteHeaders(auto_assign=False)
    org.create(org.object("Account"), {"Name": "O'Neill \\ Co", KEY: "acme"}, headers)
    for n in range(7):
        values = {"LastName": f"L{n}", "Score__c": n, **({"Account": {KEY: "acme"}} if n % 2 else {})}
        org.create(org.object("Contact"), values, headers)

    def live() -> None:
        sf = client(running)
        assert [
            r["LastName"] for r in sf.query_all("SELECT LastName FROM Contact ORDER BY Score__c DESC")["records"]
        ] == [f"L{n}" for n in range(6, -1, -1)]
        assert sf.query("SELECT count() FROM Contact WHERE Score__c >= 5")["totalSize"] == 2
        of_parent = "SELECT Id, Account.Name FROM Contact WHERE Account.Name = 'o\\'neill \\\\ co' AND Score__c != 3"
        found = sf.query(of_parent)["records"]
        assert [r["Account"]["Name"] for r in found] == ["O'Neill \\ Co"] * 2
        assert sf.query("SELECT Account.Name FROM Contact WHERE LastName IN ('L0')")["records"][0]["Account"] is None
        gone = sf.query("SELECT Id FROM Contact WHERE LastName = 'L6'")["records"][0]["Id"]
        sf.Contact.delete(gone)
        assert sf.query("SELECT Id FROM Contact WHERE LastName = 'L6'")["totalSize"] == 0
        deleted = sf.query("SELECT Id FROM Contact WHERE IsDeleted = true", include_deleted=True)
        assert [r["Id"] for r in deleted["records"]] == [gone]
        for wrong in (
            "SELECT FROM",
            "SELECT Nope FROM Contact",
            "SELECT Id FROM Contact WHERE Score__c = 'one'",
            "SELECT Id FROM Nope",
            "SELECT Id FROM Contact WHERE Description = 'x'",
        ):
            with pytest.raises(SalesforceMalformedRequest):
                sf.query(wrong)

    await off_loop(live)


async def test_collections_answer_for_each_record_in_its_place(running: RunningSandbox, org: SalesforceOrg) -> None:
    def call(sf: Salesforce, method: str, path: str, **named: Any) -> Any:
        return sf.restful(f"composite/sobjects{path}", method=method, **named)

    def live() -> None:
        sf = client(running)
        kind = {"attributes": {"type": "Contact"}}
        rows = [{**kind, KEY: "a", "LastName": "A"}, {**kind, KEY: "b"}, {**kind, KEY: "c", "LastName": "C"}]
        made = call(sf, "PATCH", f"/Contact/{KEY}", json={"allOrNone": False, "records": rows})
        assert [r["success"] for r in made] == [True, False, True]
        assert made[1]["errors"][0]["statusCode"] == "REQUIRED_FIELD_MISSING"
        assert [r.get("created") for r in made] == [True, None, True]
        again = call(sf, "PATCH", f"/Contact/{KEY}", json={"allOrNone": False, "records": rows})
        assert [(r.get("id"), r.get("created")) for r in again[::2]] == [(made[0]["id"], False), (made[2]["id"], False)]
        ids = [made[0]["id"], made[2]["id"]]
        updates = [{**kind, "id": ids[0], "Title": "x" * 129}, {**kind, "id": ids[1], "Title": "T"}]
        told = call(sf, "PATCH", "", json={"records": updates})
        assert [r["success"] for r in told] == [False, True]
        read = call(sf, "POST", "/Contact", json={"ids": [*ids, "003000000000000AAA"], "fields": ["Title"]})
        assert [r and r["Title"] for r in read] == [None, "T", None]
        twins = [{**kind, KEY: "d", "LastName": "D"}] * 2
        told = call(sf, "PATCH", f"/Contact/{KEY}", json={"records": twins})
        assert {r["errors"][0]["statusCode"] for r in told} == {"DUPLICATE_VALUE"}
        assert all(r["success"] for r in call(sf, "DELETE", "", params={"ids": ",".join(ids)}))
        told = call(sf, "DELETE", "", params={"ids": ids[0]})
        assert told[0]["errors"][0]["statusCode"] == "ENTITY_IS_DELETED"
        for wrong in ({"records": [rows[0]] * 201}, {"records": [{"LastName": "no type"}]}, {"rows": []}):
            with pytest.raises(SalesforceMalformedRequest):
                call(sf, "POST", "", json=wrong)

    await off_loop(live)
    assert org.standing("Contact") == []


async def test_assignment_rules_run_unless_the_request_says_not_to(running: RunningSandbox, org: SalesforceOrg) -> None:
    def live() -> list[str]:
        sf = client(running)
        lead = {"LastName": "L", "Company": "C"}
        made = [sf.Lead.create(lead), sf.Lead.create(lead, headers={"Sforce-Auto-Assign": "FALSE"})]
        return [m["id"] for m in made]

    owners = [org.records[i].values["OwnerId"] for i in await off_loop(live)]
    assert owners == [org.queue_owner, org.owner]


async def test_who_is_let_in(running: RunningSandbox, tmp_path: Path) -> None:
    key = rsa.generate_private_key(65537, 2048)
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()

    def live() -> None:
        by_jwt = client(running, username="olive@revetl.example", consumer_key="app", privatekey=pem)
        assert by_jwt.limits()["DailyApiRequests"]["Max"] == 15_000
        for credentials in (
            {"consumer_key": "app", "consumer_secret": "bad", "domain": "acme.my"},
            {"username": "bad", "consumer_key": "app", "privatekey": pem},
        ):
            with pytest.raises(SalesforceAuthenticationFailed):
                client(running, **credentials)
        with pytest.raises(SalesforceExpiredSession):
            client(running, session_id="no-token", instance="acme.my.salesforce.com").limits()

    await off_loop(live)


@pytest.mark.parametrize("options", [{"daily": 2}])
async def test_the_days_requests_are_counted_and_end(running: RunningSandbox) -> None:
    def live() -> None:
        sf = client(running)
        sf.limits()
        assert sf.api_usage["api-usage"].used == 1
        assert sf.api_usage["api-usage"].total == 2
        sf.limits()
        with pytest.raises(SalesforceRefusedRequest, match="REQUEST_LIMIT_EXCEEDED"):
            sf.limits()

    await off_loop(live)


async def test_bulk2_upserts_updates_and_deletes_and_says_who_failed(
    running: RunningSandbox, org: SalesforceOrg
) -> None:
    def rows(text: str) -> list[dict[str, str]]:
        return list(csv.DictReader(io.StringIO(text)))

    def live() -> None:
        sf = client(running)
        at_once = {"wait": 0}  # before it asks after a job; else five seconds
        people = [{KEY: f"x{n}", "LastName": f"L{n}", "Title": "T"} for n in range(3)]
        [job] = sf.bulk2.Contact.upsert(
            records=[*people, {KEY: "x3", "LastName": "", "Title": "T"}], external_id_field=KEY, **at_once
        )
        assert (job["numberRecordsProcessed"], job["numberRecordsFailed"]) == (4, 1)
        made = rows(sf.bulk2.Contact.get_successful_records(job["job_id"]))
        assert [(r["sf__Created"], r[KEY]) for r in made] == [("true", f"x{n}") for n in range(3)]
        [failed] = rows(sf.bulk2.Contact.get_failed_records(job["job_id"]))
        assert failed["sf__Error"].startswith("REQUIRED_FIELD_MISSING:")
        assert rows(sf.bulk2.Contact.get_unprocessed_records(job["job_id"])) == []
        ids = [r["sf__Id"] for r in made]
        sf.bulk2.Contact.update(records=[{"Id": ids[0], "Title": "#N/A"}, {"Id": ids[1], "Title": ""}], **at_once)
        assert [sf.Contact.get(i)["Title"] for i in ids[:2]] == [None, "T"]  # cleared, left alone
        sf.bulk2.Contact.delete(records=[{"Id": i} for i in ids], **at_once)
        assert org.standing("Contact") == []
        with pytest.raises(SalesforceOperationError, match="Field name not found : Nope"):
            sf.bulk2.Contact.insert(records=[{"Nope": "x"}], **at_once)

    await off_loop(live)


async def test_records_outlive_the_server_and_a_person_edits_them(running: RunningSandbox, org: SalesforceOrg) -> None:
    vendor = running.vendor(SalesforceSandbox)
    made = org.create(org.object("Contact"), {"LastName": "L", KEY: "x"}, WriteHeaders())
    before = vendor.version
    status, _ = vendor.edit({"object": "Contact", "match": {KEY: "X"}, "properties": {"Title": "By hand"}})
    assert (status, made.values["Title"]) == (200, "By hand")
    assert vendor.version != before
    assert vendor.edit({"object": "Contact", "match": {KEY: "nobody"}, "properties": {}})[0] == 404
    dumped = vendor.dump()
    vendor.reset()
    assert vendor.org.standing("Contact") == []
    vendor.restore(dumped)
    contact = vendor.org.object("Contact")
    assert [r.id for r in vendor.org.matches(contact, contact.fields[KEY], "x")] == [made.id]
    with pytest.raises(ValueError, match="another version"):
        vendor.restore({"format": 0})

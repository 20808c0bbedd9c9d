"""The HubSpot sandbox under the vendor's own client, which knows nothing of us, and under raw requests where live
traffic is looser than that client."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import aiohttp
import pytest
from hubspot import HubSpot
from hubspot.crm import companies, contacts, properties
from hubspot.crm.associations import v4

from revetl.sandbox.hubspot.options import HubSpotSandboxOptions
from revetl.sandbox.server import RunningSandbox, running_sandbox
from revetl.sandbox.settings import SandboxSettings
from tests.support.sandbox_hubspot import portal_of

HEADERS = {"Authorization": "Bearer pat-test"}
CONTACTS = "/crm/v3/objects/contacts"
COMPANIES = "/crm/v3/objects/companies"


class HandClock:
    """Time that a test moves."""

    def __init__(self) -> None:
        self.elapsed = 0.0

    def now(self) -> datetime:
        return datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=self.elapsed)

    def monotonic(self) -> float:
        return 1000.0 + self.elapsed

    async def sleep(self, seconds: float) -> None:
        self.elapsed += seconds


class Http:
    """Raw requests: `await http.post(path, body)` gives status, body and headers."""

    def __init__(self, base_url: str, session: aiohttp.ClientSession) -> None:
        self.base_url = base_url
        self.session = session

    async def call(self, method: str, path: str, body: Any = None, headers: Any = None) -> tuple[int, Any, Any]:
        url = self.base_url + path
        async with self.session.request(method, url, json=body, headers=headers or HEADERS) as answer:
            raw = await answer.read()
            return answer.status, json.loads(raw) if raw else None, answer.headers

    async def post(self, path: str, body: Any, **more: Any) -> tuple[int, Any, Any]:
        return await self.call("POST", path, body, **more)


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


def hubspot(**options: Any) -> SandboxSettings:
    return SandboxSettings(vendors={"hubspot": HubSpotSandboxOptions(**options)})


@pytest.fixture
def settings() -> SandboxSettings:
    return SandboxSettings()


@pytest.fixture
async def running(clock: HandClock, settings: SandboxSettings) -> AsyncIterator[RunningSandbox]:
    async with running_sandbox(clock=clock, settings=settings) as running:
        yield running


@pytest.fixture
async def http(running: RunningSandbox) -> AsyncIterator[Http]:
    async with aiohttp.ClientSession() as session:
        yield Http(running.base_url, session)


@pytest.fixture
def client(running: RunningSandbox) -> HubSpot:
    return HubSpot(access_token="pat-test", host=running.base_url)


async def off_loop(call: Callable[..., Any], *args: Any, **named: Any) -> Any:
    """The vendor's client blocks; the server runs in this loop."""
    return await asyncio.to_thread(call, *args, **named)


def contact(i: int, trace: bool = True, **more: str) -> dict[str, Any]:
    item: dict[str, Any] = {"properties": {"email": f"Person{i}@Example.com", "firstname": f"P{i}", **more}}
    return {**item, "objectWriteTraceId": str(i)} if trace else item


# The vendor's client as an oracle


async def test_vendor_client_creates_reads_and_finds(client: HubSpot) -> None:
    made = await off_loop(
        client.crm.contacts.batch_api.create,
        batch_input_simple_public_object_batch_input_for_create=contacts.BatchInputSimplePublicObjectBatchInputForCreate(
            inputs=[
                {"properties": {"email": f"A{i}@x.example", "lastname": f"L{i}"}, "associations": []} for i in range(5)
            ]
        ),
    )
    assert made.status == "COMPLETE"
    assert {r.properties["email"] for r in made.results} == {f"a{i}@x.example" for i in range(5)}

    read = await off_loop(
        client.crm.contacts.batch_api.read,
        batch_read_input_simple_public_object_id=contacts.BatchReadInputSimplePublicObjectId(
            inputs=[{"id": "a3@X.example"}],
            id_property="email",
            properties=["lastname", "jobtitle"],
            properties_with_history=["lastname"],
        ),
    )
    (one,) = read.results
    assert one.properties["lastname"] == "L3"
    assert one.properties["jobtitle"] is None
    assert [(h.value, h.source_type) for h in one.properties_with_history["lastname"]] == [("L3", "INTEGRATION")]

    found = await off_loop(
        client.crm.contacts.search_api.do_search,
        public_object_search_request=contacts.PublicObjectSearchRequest(
            filter_groups=[{"filters": [{"propertyName": "email", "operator": "IN", "values": ["a1@x.example"]}]}],
            properties=["email"],
            limit=200,
        ),
    )
    assert found.total == 1
    assert found.results[0].properties["email"] == "a1@x.example"
    everything = await off_loop(client.crm.contacts.get_all)
    assert len(everything) == 5


async def test_vendor_client_upserts_on_a_unique_property_it_made(client: HubSpot) -> None:
    await off_loop(
        client.crm.properties.core_api.create,
        object_type="companies",
        property_create=properties.PropertyCreate(
            name="revetl_key",
            label="Key",
            type="string",
            field_type="text",
            group_name="companyinformation",
            has_unique_value=True,
        ),
    )
    defined = await off_loop(client.crm.properties.core_api.get_by_name, "companies", "revetl_key")
    assert defined.has_unique_value

    def upsert(name: str) -> Any:
        inputs = [{"id": "k1", "idProperty": "revetl_key", "properties": {"name": name}}]
        body = companies.BatchInputSimplePublicObjectBatchInputUpsert(inputs=inputs)
        return client.crm.companies.batch_api.upsert(batch_input_simple_public_object_batch_input_upsert=body)

    first, second = await off_loop(upsert, "One"), await off_loop(upsert, "Two")
    assert first.results[0].new
    assert not second.results[0].new
    assert first.results[0].id == second.results[0].id
    page = await off_loop(
        client.crm.companies.basic_api.get_by_id, first.results[0].id, properties=["revetl_key", "name"]
    )
    assert (page.properties["revetl_key"], page.properties["name"]) == ("k1", "Two")


async def test_vendor_client_associates(client: HubSpot, http: Http) -> None:
    _, person, _ = await http.post(CONTACTS, {"properties": {"email": "a@b.example"}})
    _, firm, _ = await http.post(COMPANIES, {"properties": {"domain": "b.example"}})
    pair = {"_from": {"id": person["id"]}, "to": {"id": firm["id"]}}
    types = [{"associationCategory": "HUBSPOT_DEFINED", "associationTypeId": 1}]
    made = await off_loop(
        client.crm.associations.v4.batch_api.create,
        "contacts",
        "companies",
        batch_input_public_association_multi_post=v4.BatchInputPublicAssociationMultiPost(
            inputs=[v4.PublicAssociationMultiPost(types=types, _from=pair["_from"], to=pair["to"])]
        ),
    )
    assert made.results[0].labels == ["Primary"]
    read = await off_loop(
        client.crm.associations.v4.batch_api.get_page,
        "contacts",
        "companies",
        batch_input_public_fetch_associations_batch_request=v4.BatchInputPublicFetchAssociationsBatchRequest(
            inputs=[{"id": person["id"]}]
        ),
    )
    (end,) = read.results[0].to
    assert end.to_object_id == firm["id"]  # the client makes a string of it, as the specification says
    assert {t.type_id for t in end.association_types} == {1, 279}
    back = await http.call("GET", f"/crm/v4/objects/companies/{firm['id']}/associations/contacts")
    (other,) = back[1]["results"]
    assert other["toObjectId"] == int(person["id"])  # live traffic sends an integer
    assert {t["typeId"] for t in other["associationTypes"]} == {2, 280}
    labels = await off_loop(client.crm.associations.v4.schema.definitions_api.get_all, "contacts", "companies")
    known = {(t.type_id, t.category, t.label) for t in labels.results}
    assert known == {(1, "HUBSPOT_DEFINED", "Primary"), (279, "HUBSPOT_DEFINED", None)}
    await off_loop(
        client.crm.associations.v4.batch_api.archive,
        "contacts",
        "companies",
        batch_input_public_association_multi_archive=v4.BatchInputPublicAssociationMultiArchive(
            inputs=[v4.PublicAssociationMultiArchive(_from=pair["_from"], to=[pair["to"]])]
        ),
    )
    back = await http.call("GET", f"/crm/v4/objects/companies/{firm['id']}/associations/contacts")
    assert back[1]["results"] == []


async def test_a_bad_association_refuses_the_record_before_it_is_written(http: Http, running: RunningSandbox) -> None:
    types = [{"associationCategory": "HUBSPOT_DEFINED", "associationTypeId": 279}]
    lost = {**contact(1), "associations": [{"to": {"id": "999"}, "types": types}]}
    assert (await http.post(CONTACTS, lost))[0] == 404
    status, body, _ = await http.post(f"{CONTACTS}/batch/create", {"inputs": [lost, contact(2)]})
    assert (status, body["errors"][0]["context"]["objectWriteTraceId"]) == (207, ["1"])
    assert [r.values["firstname"] for r in portal_of(running).store("contacts").records.values()] == ["P2"]


async def test_vendor_client_sees_the_vendors_errors(running: RunningSandbox, client: HubSpot) -> None:
    with pytest.raises(contacts.ApiException) as unknown:
        await off_loop(client.crm.contacts.basic_api.get_by_id, "999")
    assert unknown.value.status == 404
    denied = HubSpot(access_token="pat-bad", host=running.base_url)
    with pytest.raises(companies.ApiException) as refused:
        await off_loop(denied.crm.companies.basic_api.get_page)
    assert refused.value.status == 401
    assert json.loads(refused.value.body)["category"] == "INVALID_AUTHENTICATION"


# What live traffic does that a specification does not say


@pytest.mark.parametrize("base", ["/crm/v3/objects", "/crm/objects/2026-03"])
async def test_good_records_are_written_beside_bad_ones_when_every_input_is_traced(http: Http, base: str) -> None:
    inputs = [contact(i) for i in range(4)]
    inputs[1]["properties"]["nosuch"] = "x"
    status, body, _ = await http.post(f"{base}/contacts/batch/create", {"inputs": inputs})
    assert status == 207
    assert body["numErrors"] == 1
    assert body["errors"][0]["context"] == {"objectWriteTraceId": ["1"]}
    assert not {"errors", "links"} & set(body["errors"][0])
    assert len(body["results"]) == 3
    sent = [i["properties"]["email"].lower() for i in inputs if "nosuch" not in i["properties"]]
    came = [r["properties"]["email"] for r in body["results"]]
    assert sorted(came) == sorted(sent)
    assert came != sent  # not in the order of the inputs


async def test_one_bad_record_refuses_an_untraced_batch(http: Http, running: RunningSandbox) -> None:
    inputs = [contact(i, trace=False) for i in range(3)]
    inputs[2]["properties"].update(nosuch="x", lifecyclestage="nonsense", hs_object_id="1")
    status, body, _ = await http.post(f"{CONTACTS}/batch/create", {"inputs": inputs})
    assert status == 400
    embedded = json.loads(body["message"].removeprefix("Property values were not valid: "))
    assert {p["error"] for p in embedded} == {"PROPERTY_DOESNT_EXIST", "INVALID_OPTION", "READ_ONLY_VALUE"}
    assert {e["context"]["propertyName"][0] for e in body["errors"]} == {"nosuch", "lifecyclestage", "hs_object_id"}
    assert not portal_of(running).store("contacts").records


async def test_erasure_is_of_a_contact_that_is_named(http: Http) -> None:
    assert (await http.post(f"{CONTACTS}/gdpr-delete", {"idProperty": "email"}))[0] == 400
    assert (await http.post(f"{CONTACTS}/gdpr-delete", {"objectId": "4711"}))[0] == 204
    assert (await http.post(f"{COMPANIES}/gdpr-delete", {"objectId": "4711"}))[0] == 404


@pytest.mark.parametrize(
    "wrong", [{"hasUniqueValue": "yes"}, {"formField": 0}, {"options": [{"label": "Yes"}]}, {"options": ["Yes"]}]
)
async def test_the_definition_of_a_property_is_taken_strictly(http: Http, wrong: dict[str, Any]) -> None:
    whole = {"name": "vip", "label": "VIP", "groupName": "contactinformation", "type": "bool"}
    whole |= {"fieldType": "booleancheckbox"}
    assert (await http.post("/crm/v3/properties/contacts", {**whole, **wrong}))[0] == 400
    assert (await http.post("/crm/v3/properties/contacts", whole))[0] == 201


async def test_create_of_a_known_email_conflicts(http: Http) -> None:
    _, first, _ = await http.post(CONTACTS, contact(1, trace=False))
    status, body, _ = await http.post(CONTACTS, contact(1, trace=False))
    assert (status, body["category"]) == (409, "CONFLICT")
    assert body["message"] == f"Contact already exists. Existing ID: {first['id']}"
    status, body, _ = await http.post(f"{CONTACTS}/batch/create", {"inputs": [contact(1), contact(2)]})
    assert status == 207
    assert body["errors"][0]["context"] == {"objectWriteTraceId": ["1"], "existingId": [first["id"]]}


async def test_repeated_ids_and_101_inputs_refuse_the_batch(http: Http) -> None:
    twice = [{"id": e, "idProperty": "email", "properties": {}, "objectWriteTraceId": e} for e in ("A@b.io", "a@B.io")]
    status, body, _ = await http.post(f"{CONTACTS}/batch/upsert", {"inputs": twice})
    assert status == 400
    assert body["message"] == "Duplicate IDs found in batch input: [a@b.io]. IDs must be unique"
    assert body["context"] == {"ids": ["a@b.io"]}
    status, _, _ = await http.post(f"{CONTACTS}/batch/create", {"inputs": [contact(i) for i in range(101)]})
    assert status == 400


async def test_which_properties_identify_a_record(http: Http) -> None:
    by_domain = {"inputs": [{"id": "x.io", "idProperty": "domain", "properties": {"name": "X"}}]}
    status, body, _ = await http.post(f"{COMPANIES}/batch/upsert", by_domain)
    assert status == 400
    assert body["message"] == "Unable to perform update/upsert by non-unique 0-2 property domain"
    await http.post(CONTACTS, contact(1))
    by_email = {"inputs": [{"id": "person1@example.com", "idProperty": "email", "properties": {"firstname": "N"}}]}
    assert (await http.post(f"{CONTACTS}/batch/update", by_email))[0] == 400
    assert (await http.post(f"{CONTACTS}/batch/upsert", by_email))[0] == 200


async def test_update_of_an_unknown_id_names_the_id_and_no_trace(http: Http) -> None:
    _, known, _ = await http.post(CONTACTS, contact(1))
    inputs = [
        {"id": known["id"], "properties": {"firstname": "New"}, "objectWriteTraceId": "a"},
        {"id": "unknownIdentifier888", "properties": {"firstname": "New"}, "objectWriteTraceId": "b"},
    ]
    status, body, _ = await http.post(f"{CONTACTS}/batch/update", {"inputs": inputs})
    assert status == 207
    assert [r["id"] for r in body["results"]] == [known["id"]]
    assert body["errors"][0]["context"] == {"ids": ["unknownIdentifier888"]}
    assert body["errors"][0]["category"] == "OBJECT_NOT_FOUND"


async def test_additional_emails_are_unique_and_lead_to_the_contact(http: Http) -> None:
    _, one, _ = await http.post(CONTACTS, contact(1, trace=False, hs_additional_emails="Alt@example.com"))
    status, body, _ = await http.post(CONTACTS, {"properties": {"email": "alt@example.com"}})
    assert (status, body["message"]) == (409, f"Contact already exists. Existing ID: {one['id']}")
    read = {
        "idProperty": "email",
        "inputs": [{"id": "alt@example.com"}, {"id": "person1@example.com"}],
        "properties": [],
    }
    _, body, _ = await http.post(f"{CONTACTS}/batch/read", read)
    assert [r["id"] for r in body["results"]] == [one["id"]]
    # The additional address becomes the main one, and stops being an additional one.
    for properties_ in ({"email": "alt@example.com"}, {"hs_additional_emails": ""}):
        await http.call("PATCH", f"{CONTACTS}/{one['id']}", {"properties": properties_})
    assert (await http.post(CONTACTS, {"properties": {"email": "alt@example.com"}}))[0] == 409
    assert (await http.post(CONTACTS, {"properties": {"email": "person1@example.com"}}))[0] == 201


async def test_lifecycle_goes_forward_unless_cleared(http: Http) -> None:
    _, one, _ = await http.post(CONTACTS, contact(1, trace=False, lifecyclestage="customer"))

    async def set_stage(stage: str) -> str | None:
        path = f"{CONTACTS}/{one['id']}"
        await http.call("PATCH", path, {"properties": {"lifecyclestage": stage}})
        _, body, _ = await http.call("GET", f"{path}?properties=lifecyclestage")
        stage_now: str | None = body["properties"]["lifecyclestage"]
        return stage_now

    assert await set_stage("lead") == "customer"
    assert await set_stage("evangelist") == "evangelist"
    assert await set_stage("") is None
    assert await set_stage("lead") == "lead"


@pytest.mark.parametrize(
    ("name", "sent", "kept"),
    [
        ("last_seen_at", "2026-01-02T03:04:05+02:00", "2026-01-02T01:04:05.000Z"),
        ("last_seen_at", "1767322800000", "2026-01-02T03:00:00.000Z"),
        ("closedate", "1767312000000", "2026-01-02"),
        ("closedate", "2026-01-02", "2026-01-02"),
        ("open_tickets", 3, "3"),
        ("hs_preferred_channels", "EMAIL;PHONE", "EMAIL;PHONE"),
        ("firstname", "", None),
    ],
)
async def test_values_are_kept_in_the_vendors_form(http: Http, name: str, sent: object, kept: str | None) -> None:
    _, one, _ = await http.post(CONTACTS, {"properties": {name: sent}})
    _, body, _ = await http.call("GET", f"{CONTACTS}/{one['id']}?properties={name}")
    assert body["properties"][name] == kept


@pytest.mark.parametrize(
    ("name", "value", "code"),
    [
        ("email", "https://example.com/contact", "INVALID_EMAIL"),
        ("open_tickets", "many", "INVALID_NUMBER"),
        ("last_seen_at", "yesterday", "INVALID_DATE"),
        ("closedate", "1767322800000", "INVALID_DATE"),
        ("createdate", "2026-01-01", "READ_ONLY_VALUE"),
    ],
)
async def test_values_that_are_refused(http: Http, name: str, value: str, code: str) -> None:
    status, body, _ = await http.post(CONTACTS, {"properties": {name: value}})
    assert (status, body["errors"][0]["code"]) == (400, code)


async def test_a_leading_semicolon_appends(http: Http) -> None:
    _, one, _ = await http.post(CONTACTS, {"properties": {"hs_preferred_channels": "EMAIL"}})
    path = f"{CONTACTS}/{one['id']}"
    _, body, _ = await http.call("PATCH", path, {"properties": {"hs_preferred_channels": ";POST"}})
    assert body["properties"]["hs_preferred_channels"] == "EMAIL;POST"


async def test_at_most_ten_unique_properties_and_no_second_of_a_name(http: Http) -> None:
    def definition(name: str) -> dict[str, Any]:
        fixed = {"type": "string", "fieldType": "text", "groupName": "companyinformation", "hasUniqueValue": True}
        return {"name": name, "label": name, **fixed}

    for i in range(10):
        assert (await http.post("/crm/v3/properties/companies", definition(f"key_{i}")))[0] == 201
    assert (await http.post("/crm/v3/properties/companies", definition("key_10")))[0] == 400
    status, body, _ = await http.post("/crm/v3/properties/companies", definition("key_1"))
    assert status == 409
    assert (body["category"], body["subCategory"]) == ("OBJECT_ALREADY_EXISTS", "Properties.PROPERTY_WITH_NAME_EXISTS")
    _, first, _ = await http.post(COMPANIES, {"properties": {"key_1": "same"}})
    status, body, _ = await http.post(COMPANIES, {"properties": {"key_1": "same"}})
    assert (status, body["errors"][0]["code"]) == (400, "CONFLICTING_UNIQUE_VALUE")
    assert first["id"] in body["message"]


async def test_archived_records_free_their_email(http: Http) -> None:
    _, one, _ = await http.post(CONTACTS, contact(1))
    for _ in range(2):
        assert (await http.post(f"{CONTACTS}/batch/archive", {"inputs": [{"id": one["id"]}]}))[0] == 204
    assert (await http.call("GET", f"{CONTACTS}/{one['id']}"))[0] == 404
    assert (await http.post(CONTACTS, contact(1)))[0] == 201


async def test_merge_gives_a_new_id_to_which_both_old_ones_lead(http: Http) -> None:
    _, one, _ = await http.post(CONTACTS, contact(1))
    _, two, _ = await http.post(CONTACTS, contact(2, jobtitle="CTO"))
    _, made, _ = await http.post(f"{CONTACTS}/merge", {"primaryObjectId": one["id"], "objectIdToMerge": two["id"]})
    assert made["id"] not in (one["id"], two["id"])
    wanted = ["jobtitle", "hs_additional_emails", "firstname", "email", "hs_merged_object_ids"]
    for old in (one, two):
        _, body, _ = await http.call("GET", f"{CONTACTS}/{old['id']}?properties={','.join(wanted)}")
        assert body["id"] == made["id"]
        assert {n: body["properties"][n] for n in wanted} == {
            "jobtitle": "CTO",
            "hs_additional_emails": "person2@example.com",
            "firstname": "P1",
            "email": "person1@example.com",
            "hs_merged_object_ids": f"{one['id']};{two['id']}",
        }
        by_id = {"propertyName": "hs_object_id", "operator": "EQ", "value": old["id"]}
        _, body, _ = await http.post(f"{CONTACTS}/search", {"filterGroups": [{"filters": [by_id]}]})
        assert [r["id"] for r in body["results"]] == [made["id"]]
        update = {"inputs": [{"id": old["id"], "properties": {"lastname": f"from {old['id']}"}}]}
        _, body, _ = await http.post(f"{CONTACTS}/batch/update", update)
        assert [r["id"] for r in body["results"]] == [made["id"]]
    _, listed, _ = await http.call("GET", f"{CONTACTS}?limit=100")
    assert [r["id"] for r in listed["results"]] == [made["id"]]
    _, three, _ = await http.post(CONTACTS, contact(3))
    _, last, _ = await http.post(f"{CONTACTS}/merge", {"primaryObjectId": three["id"], "objectIdToMerge": made["id"]})
    _, body, _ = await http.call("GET", f"{CONTACTS}/{one['id']}?properties=email,hs_additional_emails")
    assert (body["id"], body["properties"]["email"]) == (last["id"], "person3@example.com")
    further = {"person1@example.com", "person2@example.com"}
    assert set(body["properties"]["hs_additional_emails"].split(";")) == further


async def test_a_merged_company_keeps_the_other_domain_and_both_companies_links(http: Http) -> None:
    _, one, _ = await http.post(COMPANIES, {"properties": {"domain": "one.example"}})
    _, two, _ = await http.post(COMPANIES, {"properties": {"domain": "two.example"}})
    types = [{"associationCategory": "HUBSPOT_DEFINED", "associationTypeId": 279}]
    _, person, _ = await http.post(
        CONTACTS, {**contact(1), "associations": [{"to": {"id": two["id"]}, "types": types}]}
    )
    _, made, _ = await http.post(f"{COMPANIES}/merge", {"primaryObjectId": one["id"], "objectIdToMerge": two["id"]})
    _, body, _ = await http.call("GET", f"{COMPANIES}/{two['id']}?properties=domain,hs_additional_domains")
    shown = body["properties"]
    assert (shown["domain"], shown["hs_additional_domains"]) == ("one.example", "two.example")
    _, body, _ = await http.call("GET", f"/crm/v4/objects/contacts/{person['id']}/associations/companies")
    assert [str(r["toObjectId"]) for r in body["results"]] == [made["id"]]


async def test_a_write_answers_with_what_stands_in_the_properties_that_were_sent(http: Http) -> None:
    _, one, _ = await http.post(CONTACTS, contact(1, lifecyclestage="customer"))
    back = {"inputs": [{"id": one["id"], "properties": {"lifecyclestage": "lead", "firstname": "Ann"}}]}
    _, body, _ = await http.post(f"{CONTACTS}/batch/update", back)
    shown = body["results"][0]["properties"]
    assert (shown["lifecyclestage"], shown["firstname"]) == ("customer", "Ann")


async def test_erasure(http: Http, running: RunningSandbox) -> None:
    await http.post(CONTACTS, contact(1))
    for email in ("person1@example.com", "stranger@example.com"):
        erased = await http.post(f"{CONTACTS}/gdpr-delete", {"objectId": email, "idProperty": "email"})
        assert erased[0] == 204
    assert portal_of(running).blocked_emails == {"person1@example.com", "stranger@example.com"}
    assert not portal_of(running).store("contacts").records


# Search


async def found(http: Http, *filters: dict[str, Any], **more: Any) -> list[str]:
    query = {"filterGroups": [{"filters": list(filters)}], "properties": ["domain"], "limit": 200, **more}
    status, body, _ = await http.post(f"{COMPANIES}/search", query)
    assert status == 200, body
    return sorted(r["properties"]["domain"] for r in body["results"])


@pytest.mark.parametrize("settings", [hubspot(search_per_s=None)])
async def test_search_operators(http: Http) -> None:
    for i, name in enumerate(["Acme Corp", "Blue Sky", "Acme Labs", ""]):
        await http.post(
            COMPANIES, {"properties": {"domain": f"d{i}.io", "name": name, "numberofemployees": str(i * 9)}}
        )

    def on(name: str, operator: str, **value: Any) -> dict[str, Any]:
        return {"propertyName": name, "operator": operator, **value}

    assert await found(http, on("domain", "IN", values=["D1.io", "d3.io", "none"])) == ["d1.io", "d3.io"]
    assert await found(http, on("domain", "EQ", value="d2.io")) == ["d2.io"]
    assert await found(http, on("name", "EQ", value="blue sky")) == ["d1.io"]
    assert await found(http, on("name", "NEQ", value="blue sky")) == ["d0.io", "d2.io", "d3.io"]
    assert await found(http, on("name", "NOT_HAS_PROPERTY")) == ["d3.io"]
    assert await found(http, on("name", "CONTAINS_TOKEN", value="acme")) == ["d0.io", "d2.io"]
    assert await found(http, on("name", "CONTAINS_TOKEN", value="la*"), on("name", "HAS_PROPERTY")) == ["d2.io"]
    assert await found(http, on("numberofemployees", "GT", value="9")) == ["d2.io", "d3.io"]
    status, page, _ = await http.post(f"{COMPANIES}/search", {"filterGroups": [], "limit": 3})
    assert (status, page["total"], page["paging"]["next"]["after"]) == (200, 4, "3")
    assert (await http.post(f"{COMPANIES}/search", {"filterGroups": [], "limit": 201}))[0] == 400
    long = {"filterGroups": [{"filters": [on("domain", "IN", values=["x" * 100] * 30)]}]}
    assert (await http.post(f"{COMPANIES}/search", long))[0] == 400


@pytest.mark.parametrize("settings", [hubspot(search_lag_s=5, search_per_s=None)])
async def test_search_lags_behind_writes(http: Http, clock: HandClock) -> None:
    _, one, _ = await http.post(COMPANIES, {"properties": {"domain": "old.io"}})
    by = {"propertyName": "domain", "operator": "IN", "values": ["old.io", "new.io"]}
    assert await found(http, by) == []
    clock.elapsed += 6
    assert await found(http, by) == ["old.io"]
    await http.call("PATCH", f"{COMPANIES}/{one['id']}", {"properties": {"domain": "new.io"}})
    by_old = {"propertyName": "domain", "operator": "EQ", "value": "old.io"}
    assert await found(http, by_old) == ["new.io"]  # still found under its old domain, shown as it is
    clock.elapsed += 6
    assert await found(http, by_old) == []


# Limits and credentials


@pytest.mark.parametrize("settings", [hubspot(burst=3, daily=6)])
async def test_burst_and_daily_limits(http: Http, clock: HandClock) -> None:
    for left in (2, 1, 0):
        status, _, headers = await http.call("GET", CONTACTS)
        assert status == 200
        assert headers["X-HubSpot-RateLimit-Remaining"] == str(left)
        assert headers["X-HubSpot-RateLimit-Interval-Milliseconds"] == "10000"
    status, body, headers = await http.call("GET", CONTACTS)
    assert (status, body["policyName"]) == (429, "TEN_SECONDLY_ROLLING")
    assert body["message"] == "You have reached your ten_secondly_rolling limit."
    assert "category" not in body
    assert "Retry-After" not in headers
    clock.elapsed += 10
    for _ in range(3):
        assert (await http.call("GET", CONTACTS))[0] == 200
    clock.elapsed += 10
    assert (await http.call("GET", CONTACTS))[1]["policyName"] == "DAILY"
    clock.elapsed += 86_400
    assert (await http.call("GET", CONTACTS))[0] == 200


async def test_search_has_a_limit_of_its_own_and_no_headers(http: Http, clock: HandClock) -> None:
    for _ in range(5):
        status, _, headers = await http.post(f"{CONTACTS}/search", {"filterGroups": []})
        assert status == 200
        assert not [h for h in headers if h.startswith("X-HubSpot")]
    assert (await http.post(f"{CONTACTS}/search", {"filterGroups": []}))[1]["policyName"] == "SECONDLY"
    assert (await http.call("GET", CONTACTS))[0] == 200


async def test_credentials(http: Http, clock: HandClock) -> None:
    for authorization, category in (
        ("", "INVALID_AUTHENTICATION"),
        ("Bearer pat-bad", "INVALID_AUTHENTICATION"),
        ("Bearer pat-expired", "EXPIRED_AUTHENTICATION"),
    ):
        status, body, _ = await http.call("GET", CONTACTS, headers={"Authorization": authorization, "X-None": ""})
        assert (status, body["category"]) == (401, category)
    status, body, _ = await http.post(CONTACTS, contact(1), headers={"Authorization": "Bearer pat-readonly"})
    assert (status, body["category"]) == (403, "MISSING_SCOPES")
    assert body["errors"][0]["context"]["requiredGranularScopes"] == ["crm.objects.contacts.write"]


async def test_oauth_tokens_expire(http: Http, clock: HandClock) -> None:
    async def refresh(token: str) -> tuple[int, Any]:
        form = {"grant_type": "refresh_token", "client_id": "c", "client_secret": "s", "refresh_token": token}
        async with http.session.post(f"{http.base_url}/oauth/v1/token", data=form) as answer:
            return answer.status, await answer.json()

    status, granted = await refresh("good")
    assert (status, granted["expires_in"]) == (200, 1800)
    headers = {"Authorization": f"Bearer {granted['access_token']}"}
    status, _, seen = await http.call("GET", CONTACTS, headers=headers)
    assert status == 200
    assert "X-HubSpot-RateLimit-Daily" not in seen
    clock.elapsed += 1800
    assert (await http.call("GET", CONTACTS, headers=headers))[1]["category"] == "EXPIRED_AUTHENTICATION"
    assert await refresh("bad") == (400, {"status": "BAD_REFRESH_TOKEN", "message": "missing or invalid refresh token"})

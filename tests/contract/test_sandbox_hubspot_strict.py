"""The HubSpot sandbox refuses what the vendor refuses, and serves what readers of a portal ask for.

The vendor's own client drives whatever it has a call for.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import aiohttp
import pytest
from hubspot import HubSpot
from hubspot.crm import companies, owners, pipelines, properties
from hubspot.crm.associations.v4 import schema as association_schema

from revetl.sandbox.hubspot.account import PortalOwner
from revetl.sandbox.hubspot.options import HubSpotSandboxOptions
from revetl.sandbox.hubspot.vendor import HubSpotSandbox
from revetl.sandbox.server import RunningSandbox, running_sandbox
from revetl.sandbox.settings import SandboxSettings
from tests.contract.test_sandbox_hubspot import HandClock, Http
from tests.support.sandbox_hubspot import portal_of

CONTACTS, COMPANIES, DEALS = (f"/crm/v3/objects/{t}" for t in ("contacts", "companies", "deals"))
PLAIN = {"associationCategory": "HUBSPOT_DEFINED", "associationTypeId": 279}
SELLER = "pat-seller"
SCOPES = {SELLER: ("crm.objects.contacts.read", "crm.objects.contacts.write", "crm.schemas.contacts.read")}


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
async def running(clock: HandClock) -> AsyncIterator[RunningSandbox]:
    settings = SandboxSettings(limited=False, vendors={"hubspot": HubSpotSandboxOptions(scopes=SCOPES)})
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
    return await asyncio.to_thread(call, *args, **named)


def as_(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


async def made(http: Http, path: str, links: Any = None, **properties: Any) -> str:
    status, body, _ = await http.post(path, {"properties": properties, "associations": links or []})
    assert status == 201, body
    return str(body["id"])


async def refused(http: Http, path: str, **properties: Any) -> tuple[str, str]:
    """Code and message of the only problem."""
    status, body, _ = await http.post(path, {"properties": properties})
    assert status == 400
    (problem,) = body["errors"]
    return problem["code"], problem["message"]


# Values


async def test_an_owner_is_an_id_of_an_owner_and_nothing_else(http: Http, running: RunningSandbox) -> None:
    person = await made(http, CONTACTS, hubspot_owner_id="710001")
    for value in ("1", "olive@revetl.example", "Olive Osei", " 710001", "910001", "710004"):
        assert (await refused(http, CONTACTS, hubspot_owner_id=value))[0] == "INVALID_OWNER_ID"
    for path in (COMPANIES, DEALS):
        assert (await refused(http, path, hubspot_owner_id="Olive"))[0] == "INVALID_OWNER_ID"
    _, definition, _ = await http.call("GET", "/crm/v3/properties/contacts/hubspot_owner_id")
    kept = ("type", "options", "externalOptions", "referencedObjectType")
    assert [definition[name] for name in kept] == ["enumeration", [], True, "OWNER"]
    # Somebody new may be assigned at once.
    portal = portal_of(running)
    portal.owners["710005"] = PortalOwner("710005", "new@revetl.example", "Nia", "New", 910005)
    portal.set_up()
    status, _, _ = await http.call("PATCH", f"{CONTACTS}/{person}", {"properties": {"hubspot_owner_id": "710005"}})
    assert status == 200


@pytest.mark.parametrize(
    "value", [" 3", "3 ", "\t3", "1 000", "1,000", "1_000", "٣", "nan", "Infinity", "1e999", "0x1"]
)
async def test_a_number_has_nothing_around_it(http: Http, value: str) -> None:
    assert (await refused(http, CONTACTS, open_tickets=value))[0] == "INVALID_NUMBER"


@pytest.mark.parametrize("value", ["3", "-3", "+3", "3.50", ".5", "1e3", "1E-3"])
async def test_a_number_may_be_written_in_these_ways(http: Http, value: str) -> None:
    assert await made(http, CONTACTS, open_tickets=value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("lifecyclestage", " lead"),
        ("lifecyclestage", "lead "),
        ("lifecyclestage", "Lead"),
        ("hs_preferred_channels", "EMAIL; PHONE"),
        ("hs_preferred_channels", "EMAIL ;PHONE"),
    ],
)
async def test_an_option_has_no_blanks_around_it(http: Http, name: str, value: str) -> None:
    assert (await refused(http, CONTACTS, **{name: value}))[0] == "INVALID_OPTION"


@pytest.mark.parametrize("value", ["a@x.example;b@x.example", "a@x.example, b@x.example", "a@x.example b@x.example"])
async def test_two_addresses_do_not_go_into_one_field(http: Http, value: str) -> None:
    assert (await refused(http, CONTACTS, email=value))[0] == "INVALID_EMAIL"
    further = await made(http, CONTACTS, email="c@x.example", hs_additional_emails="a@x.example;b@x.example")
    _, body, _ = await http.call("GET", f"{CONTACTS}/b@x.example?idProperty=email")
    assert body["id"] == further


@pytest.mark.parametrize(
    ("path", "name"),
    [
        (CONTACTS, "hs_object_id"),
        (CONTACTS, "hs_email_domain"),
        (CONTACTS, "hubspotscore"),
        (CONTACTS, "notes_last_contacted"),
        (COMPANIES, "num_associated_contacts"),
        (DEALS, "num_associated_contacts"),
    ],
)
async def test_what_hubspot_keeps_for_itself_is_refused(http: Http, path: str, name: str) -> None:
    assert await refused(http, path, **{name: "1"}) == (
        "READ_ONLY_VALUE",
        f'"{name}" is a read only property; its value cannot be set.',
    )
    _, definition, _ = await http.call("GET", f"/crm/v3/properties/{path.rpartition('/')[2]}/{name}")
    assert definition["modificationMetadata"]["readOnlyValue"] is True


async def test_what_is_calculated_follows_the_record(http: Http) -> None:
    firm = await made(http, COMPANIES, domain="x.example")
    person = await made(http, CONTACTS, [{"to": {"id": firm}, "types": [PLAIN]}], email="a@x.example")
    _, body, _ = await http.call("GET", f"{COMPANIES}/{firm}?properties=num_associated_contacts,num_associated_deals")
    assert body["properties"]["num_associated_contacts"] == "1"
    assert body["properties"]["num_associated_deals"] == "0"
    _, body, _ = await http.call("GET", f"{CONTACTS}/{person}?properties=hs_email_domain")
    assert body["properties"]["hs_email_domain"] == "x.example"
    _, definition, _ = await http.call("GET", "/crm/v3/properties/companies/num_associated_contacts")
    assert definition["calculated"] is True
    by_domain = {"propertyName": "hs_email_domain", "operator": "EQ", "value": "x.example"}
    _, body, _ = await http.post(f"{CONTACTS}/search", {"filterGroups": [{"filters": [by_domain]}]})
    assert [r["id"] for r in body["results"]] == [person]


async def test_a_deal_stands_at_a_stage_of_its_own_pipeline(http: Http) -> None:
    _, other, _ = await http.post(
        "/crm/v3/pipelines/deals",
        {
            "label": "Renewals",
            "displayOrder": 1,
            "stages": [{"label": "Due", "displayOrder": 0, "metadata": {"probability": "0.5"}}],
        },
    )
    (due,) = other["stages"]
    deal = await made(http, DEALS, dealstage="closedwon")
    _, body, _ = await http.call("GET", f"{DEALS}/{deal}")
    assert (body["properties"]["pipeline"], body["properties"]["dealstage"]) == ("default", "closedwon")
    assert await made(http, DEALS, pipeline=other["id"], dealstage=due["id"])
    for values in (
        {"dealstage": "Closed Won"},
        {"pipeline": "Sales Pipeline"},
        {"dealstage": due["id"]},
        {"pipeline": other["id"], "dealstage": "closedwon"},
    ):
        assert (await refused(http, DEALS, **values))[0] == "INVALID_OPTION"
    _, stage, _ = await http.call("GET", "/crm/v3/properties/deals/dealstage")
    assert due["id"] in {option["value"] for option in stage["options"]}


# Credentials


@pytest.mark.parametrize(
    ("method", "path", "lacks"),
    [
        ("GET", COMPANIES, ["crm.objects.companies.read"]),
        ("POST", f"{COMPANIES}/batch/read", ["crm.objects.companies.read"]),
        ("POST", f"{COMPANIES}/batch/upsert", ["crm.objects.companies.write"]),
        ("DELETE", f"{DEALS}/1", ["crm.objects.deals.write"]),
        ("POST", "/crm/v3/properties/contacts", ["crm.schemas.contacts.write"]),
        ("GET", "/crm/v3/owners", ["crm.objects.owners.read"]),
        ("POST", "/crm/v3/pipelines/deals", ["crm.schemas.deals.write"]),
        ("POST", "/crm/v4/associations/companies/contacts/batch/create", ["crm.objects.companies.write"]),
        ("PUT", "/crm/v4/associations/companies/contacts/labels", ["crm.objects.companies.write"]),
    ],
)
async def test_a_token_does_what_its_scopes_allow(http: Http, method: str, path: str, lacks: list[str]) -> None:
    status, body, _ = await http.call(method, path, {}, headers=as_(SELLER))
    assert (status, body["category"]) == (403, "MISSING_SCOPES")
    (error,) = body["errors"]
    assert error["context"]["requiredGranularScopes"] == lacks
    assert body["links"]["scopes"].startswith("https://")
    assert (await http.call(method, path, {}))[0] != 403
    assert (await http.call("GET", CONTACTS, headers=as_(SELLER)))[0] == 200
    assert (await http.call("GET", "/crm/v3/properties/contacts", headers=as_(SELLER)))[0] == 200


async def test_a_token_that_may_only_read_reads_all(http: Http) -> None:
    for path in (CONTACTS, "/crm/v3/owners", "/crm/v3/pipelines/deals", "/crm-object-schemas/v3/schemas"):
        assert (await http.call("GET", path, headers=as_("pat-readonly")))[0] == 200
    _, body, _ = await http.post("/crm/v3/properties/companies", {}, headers=as_("pat-readonly"))
    assert body["errors"][0]["context"]["requiredGranularScopes"] == ["crm.schemas.companies.write"]


async def test_what_a_token_says_of_itself(http: Http, clock: HandClock) -> None:
    info = "/oauth/v2/private-apps/get/access-token-info"
    _, body, _ = await http.post(info, {"tokenKey": SELLER}, headers={"X-None": ""})
    assert (body["hubId"], body["scopes"]) == (1, sorted(SCOPES[SELLER]))
    assert (await http.post(info, {"tokenKey": "pat-bad"}, headers={"X-None": ""}))[0] == 401
    form = {"grant_type": "refresh_token", "client_id": "c", "client_secret": "s", "refresh_token": "good"}
    async with http.session.post(f"{http.base_url}/oauth/v1/token", data=form) as answer:
        token = (await answer.json())["access_token"]
    clock.elapsed += 100
    _, body, _ = await http.call("GET", f"/oauth/v1/access-tokens/{token}", headers={"X-None": ""})
    assert (body["hub_id"], body["expires_in"], body["token_type"]) == (1, 1700, "access")
    assert "crm.objects.contacts.read" in body["scopes"]
    _, body, _ = await http.call("GET", "/oauth/v1/refresh-tokens/good", headers={"X-None": ""})
    assert (body["hub_id"], body["token_type"]) == (1, "refresh")
    clock.elapsed += 1700
    assert (await http.call("GET", f"/oauth/v1/access-tokens/{token}", headers={"X-None": ""}))[0] == 404
    _, body, _ = await http.call("GET", "/account-info/v3/details")
    assert (body["portalId"], body["timeZone"], body["utcOffsetMilliseconds"]) == (1, "UTC", 0)


# Addresses


@pytest.mark.parametrize(
    "path", ["/crm/v3/nothing", "/crm/v9/objects/contacts", "/oauth/v7/token", "/crm-object-schemas/x"]
)
async def test_an_address_that_is_not_there_is_answered_in_json(http: Http, path: str) -> None:
    for method in ("GET", "POST"):
        status, body, headers = await http.call(method, path)
        assert (status, body["status"], body["category"]) == (404, "error", "OBJECT_NOT_FOUND")
        assert body["correlationId"]
        assert headers["Content-Type"].startswith("application/json")


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("DELETE", CONTACTS, "GET,POST,OPTIONS"),
        ("GET", f"{CONTACTS}/batch/upsert", "POST,OPTIONS"),
        ("POST", "/crm/v3/owners", "GET,OPTIONS"),
        ("GET", "/oauth/v1/token", "POST,OPTIONS"),
    ],
)
async def test_a_method_that_an_address_does_not_take(http: Http, method: str, path: str, allowed: str) -> None:
    status, body, headers = await http.call(method, path)
    assert (status, body, headers["Allow"]) == (405, None, allowed)


@pytest.mark.parametrize(
    "path",
    ["/crm/v3/objects/{}", "/crm/v3/properties/{}", "/crm/v4/associations/{}/contacts/labels", "/crm/v3/pipelines/{}"],
)
async def test_an_object_that_there_is_not_is_found_before_the_scopes(http: Http, path: str) -> None:
    for name, message in (
        ("widgets", "Unable to infer object type from: widgets"),
        ("0-9999", "Invalid object or event type id: 0-9999"),
    ):
        status, body, _ = await http.call("GET", path.format(name), headers=as_(SELLER))
        assert (status, body["message"], "category" in body) == (400, message, False)


# Lists


async def test_a_list_is_read_whole_by_its_links(http: Http) -> None:
    firm = await made(http, COMPANIES, domain="x.example")
    ids = []
    for i in range(7):
        links = [{"to": {"id": firm}, "types": [PLAIN]}] if i % 2 else None
        ids.append(await made(http, CONTACTS, links, email=f"p{i}@x.example", firstname=f"P{i}"))
    asked = "limit=3&properties=firstname,email&propertiesWithHistory=firstname&associations=companies&archived=false"
    url, seen = f"{http.base_url}{CONTACTS}?{asked}", []
    while url:
        assert url.startswith(f"{http.base_url}{CONTACTS}?")
        async with http.session.get(url, headers=as_("pat-test")) as answer:
            body = await answer.json()
        seen += body["results"]
        following = body.get("paging", {}).get("next")
        url = following["link"] if following else ""
        if following:
            assert following["after"] == body["results"][-1]["id"]
    assert [r["id"] for r in seen] == ids
    for i, record in enumerate(seen):
        assert (record["properties"]["firstname"], record["properties"]["email"]) == (f"P{i}", f"p{i}@x.example")
        (write,) = record["propertiesWithHistory"]["firstname"]
        assert (write["value"], write["sourceType"]) == (f"P{i}", "INTEGRATION")
        linked = record.get("associations", {}).get("companies", {}).get("results", [])
        assert linked == ([{"id": firm, "type": "contact_to_company_unlabeled"}] if i % 2 else [])


async def test_the_vendors_client_reads_a_list_with_histories_and_links(http: Http, client: HubSpot) -> None:
    firm = await made(http, COMPANIES, domain="x.example")
    primary = {"associationCategory": "HUBSPOT_DEFINED", "associationTypeId": 1}
    for i in range(12):
        await made(http, CONTACTS, [{"to": {"id": firm}, "types": [primary]}], email=f"p{i}@x.example")
    first = await off_loop(
        client.crm.contacts.basic_api.get_page,
        limit=10,
        properties=["email"],
        properties_with_history=["email"],
        associations=["companies"],
    )
    assert "&after=" in first.paging.next.link
    for record in first.results:
        assert record.properties_with_history["email"][0].value == record.properties["email"]
        kinds = {(link.id, link.type) for link in record.associations["companies"].results}
        assert kinds == {(firm, "contact_to_company"), (firm, "contact_to_company_unlabeled")}
    everyone = await off_loop(client.crm.contacts.get_all, properties=["email"])
    assert len(everyone) == 12


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("limit=100", 200),
        ("limit=101", 400),
        ("limit=0", 400),
        ("limit=many", 400),
        ("limit=50&propertiesWithHistory=email", 200),
        ("limit=51&propertiesWithHistory=email", 400),
        ("after=x", 400),
        ("associations=widgets", 400),
    ],
)
async def test_how_much_a_list_gives(http: Http, query: str, status: int) -> None:
    await made(http, CONTACTS, email="a@x.example")
    assert (await http.call("GET", f"{CONTACTS}?{query}"))[0] == status


async def test_an_archived_record_is_read_as_such(http: Http) -> None:
    person = await made(http, CONTACTS, email="a@x.example")
    assert (await http.call("GET", f"{CONTACTS}/{person}?archived=true"))[0] == 404
    await http.call("DELETE", f"{CONTACTS}/{person}")
    assert (await http.call("GET", f"{CONTACTS}/{person}"))[0] == 404
    status, body, _ = await http.call("GET", f"{CONTACTS}/{person}?archived=true&properties=email")
    assert (status, body["archived"], body["properties"]["email"]) == (200, True, "a@x.example")


async def test_the_links_of_one_record_come_in_pages(http: Http, client: HubSpot) -> None:
    firm = await made(http, COMPANIES, domain="x.example")
    people = [await made(http, CONTACTS, [{"to": {"id": firm}, "types": [PLAIN]}]) for _ in range(5)]
    url, seen = f"{http.base_url}/crm/v4/objects/companies/{firm}/associations/contacts?limit=2", list[str]()
    while url:
        async with http.session.get(url, headers=as_("pat-test")) as answer:
            body = await answer.json()
        assert len(body["results"]) <= 2
        seen += [str(r["toObjectId"]) for r in body["results"]]
        url = body.get("paging", {}).get("next", {}).get("link", "")
    assert seen == people
    whole = await off_loop(client.crm.associations.v4.basic_api.get_page, "companies", firm, "contacts")
    assert [r.to_object_id for r in whole.results] == people


# Search


async def search(http: Http, *filters: dict[str, Any], path: str = CONTACTS, **more: Any) -> list[str]:
    status, body, _ = await http.post(f"{path}/search", {"filterGroups": [{"filters": list(filters)}], **more})
    assert status == 200, body
    return [r["id"] for r in body["results"]]


async def test_times_are_compared_as_times(http: Http, clock: HandClock) -> None:
    early = await made(http, CONTACTS, last_seen_at="2025-12-31T23:30:00Z", closedate="2025-12-31")
    late = await made(http, CONTACTS, last_seen_at="2026-01-01T00:30:00+01:00", closedate="2026-01-02")
    last = await made(http, CONTACTS, last_seen_at="2026-01-01T00:00:00.001Z", closedate="2026-01-03")

    def where(name: str, operator: str, **values: Any) -> dict[str, Any]:
        return {"propertyName": name, "operator": operator, **values}

    new_year = ("1767225600000", "2026-01-01T00:00:00Z", "2026-01-01", "2026-01-01T01:00:00.000+01:00", 1767225600000)
    for moment in new_year:
        assert await search(http, where("last_seen_at", "LT", value=moment)) == [early, late]
        assert await search(http, where("last_seen_at", "GTE", value=moment)) == [last]
        assert await search(http, where("closedate", "GT", value=moment)) == [late, last]
    between = where("last_seen_at", "BETWEEN", value="2025-12-31T00:00:00Z", highValue="1767225600000")
    assert await search(http, between) == [early, late]
    assert await search(http, where("last_seen_at", "EQ", value="1767223800000")) == [early, late]
    assert await search(http, where("closedate", "IN", values=["2026-01-02", "1767398400000"])) == [late, last]
    assert await search(http, where("createdate", "GTE", value="2026-01-01")) == [early, late, last]
    assert await search(http, where("lastmodifieddate", "GT", value="2026-01-01T00:00:00.000Z")) == []
    for wrong in ("soon", "2026-13-01", ""):
        body = {"filterGroups": [{"filters": [where("last_seen_at", "GT", value=wrong)]}]}
        assert (await http.post(f"{CONTACTS}/search", body))[0] == 400
    newest_first = {"sorts": [{"propertyName": "last_seen_at", "direction": "DESCENDING"}]}
    assert (await search(http, where("closedate", "HAS_PROPERTY"), **newest_first))[0] == last


async def test_a_search_reaches_ten_thousand_results(http: Http, running: RunningSandbox) -> None:
    portal = portal_of(running)
    for i in range(10_050):
        portal.create(portal.store("contacts"), {"firstname": str(i)}, portal.now_ms(), "IMPORT")
    _, body, _ = await http.post(f"{CONTACTS}/search", {"limit": 200, "after": 9_800})
    assert (body["total"], len(body["results"]), body["paging"]["next"]["after"]) == (10_050, 200, "10000")
    status, body, _ = await http.post(f"{CONTACTS}/search", {"limit": 200, "after": "10000"})
    assert (status, body["category"]) == (400, "VALIDATION_ERROR")
    assert (await http.post(f"{CONTACTS}/search", {"limit": 200, "after": -200}))[0] == 400


async def test_a_search_takes_eighteen_filters_and_one_sort(http: Http) -> None:
    one = {"propertyName": "email", "operator": "HAS_PROPERTY"}
    by_email = {"propertyName": "email", "direction": "ASCENDING"}
    for body, status in (
        ({"filterGroups": [{"filters": [one] * 6}] * 3}, 200),
        ({"filterGroups": [{"filters": [one] * 5}] * 4}, 400),
        ({"filterGroups": [], "sorts": [by_email]}, 200),
        ({"filterGroups": [], "sorts": [by_email, by_email]}, 400),
        ({"filterGroups": [], "sorts": [{"propertyName": "nothing"}]}, 400),
    ):
        assert (await http.post(f"{CONTACTS}/search", body))[0] == status


@pytest.mark.parametrize(
    "filter_",
    [
        {"operator": "EQ"},
        {"operator": "EQ", "value": ""},
        {"operator": "GT"},
        {"operator": "IN", "value": "a"},
        {"operator": "IN", "values": []},
        {"operator": "BETWEEN", "value": "1"},
        {"operator": "LIKE", "value": "a"},
    ],
)
async def test_a_filter_that_compares_with_nothing_is_refused_before_it_is_tried(
    http: Http, filter_: dict[str, Any]
) -> None:
    body = {"filterGroups": [{"filters": [{"propertyName": "email", **filter_}]}]}
    status, answered, _ = await http.post(f"{CONTACTS}/search", body)
    assert (status, answered["category"]) == (400, "VALIDATION_ERROR")


# An account's own labels


async def test_the_vendors_client_makes_reads_changes_and_deletes_labels(http: Http, client: HubSpot) -> None:
    definitions = client.crm.associations.v4.schema.definitions_api
    pair = ("contacts", "companies")
    wanted = association_schema.PublicAssociationDefinitionCreateRequest(
        name="billing", label="Bills", inverse_label="Billed"
    )
    both = await off_loop(definitions.create, *pair, public_association_definition_create_request=wanted)
    there, back = both.results
    assert {(t.category, t.label) for t in both.results} == {("USER_DEFINED", "Bills"), ("USER_DEFINED", "Billed")}
    single = association_schema.PublicAssociationDefinitionCreateRequest(name="partner", label="Partner")
    (alone,) = (await off_loop(definitions.create, *pair, public_association_definition_create_request=single)).results
    named = {(t.type_id, t.label) for t in (await off_loop(definitions.get_all, *pair)).results}
    assert named == {(279, None), (1, "Primary"), (there.type_id, "Bills"), (alone.type_id, "Partner")}
    reverse = (await off_loop(definitions.get_all, "companies", "contacts")).results
    assert (back.type_id, "Billed") in {(t.type_id, t.label) for t in reverse}
    # Another pair of objects knows nothing of them.
    assert {t.label for t in (await off_loop(definitions.get_all, "contacts", "deals")).results} == {None}
    with pytest.raises(association_schema.ApiException) as again:
        await off_loop(definitions.create, *pair, public_association_definition_create_request=single)
    assert again.value.status == 400

    for name in ("with-hyphen", "1st"):
        path = "/crm/v4/associations/contacts/companies/labels"
        assert (await http.post(path, {"name": name, "label": name}))[0] == 400

    firm, person = await made(http, COMPANIES, domain="x.example"), await made(http, CONTACTS, email="a@x.example")
    link = {"associationCategory": "USER_DEFINED", "associationTypeId": there.type_id}
    status, body, _ = await http.call("PUT", f"/crm/v4/objects/contacts/{person}/associations/companies/{firm}", [link])
    assert (status, body["labels"]) == (201, ["Bills"])
    changed = association_schema.PublicAssociationDefinitionUpdateRequest(
        association_type_id=there.type_id, label="Pays", inverse_label="Paid by"
    )
    await off_loop(definitions.update, *pair, public_association_definition_update_request=changed)
    assert await labels_at(http, "contacts", person, "companies") == {None, "Pays"}
    assert await labels_at(http, "companies", firm, "contacts") == {None, "Paid by"}
    await off_loop(definitions.remove, *pair, there.type_id)
    assert await labels_at(http, "contacts", person, "companies") == {None}
    assert await labels_at(http, "companies", firm, "contacts") == {None}
    status, _, _ = await http.call("PUT", f"/crm/v4/objects/contacts/{person}/associations/companies/{firm}", [link])
    assert status == 400


async def labels_at(http: Http, object_: str, id_: str, to: str) -> set[str | None]:
    _, body, _ = await http.call("GET", f"/crm/v4/objects/{object_}/{id_}/associations/{to}")
    return {t["label"] for r in body["results"] for t in r["associationTypes"]}


@pytest.mark.parametrize(
    "type_",
    [
        {"associationCategory": "USER_DEFINED", "associationTypeId": 279},
        {"associationCategory": "HUBSPOT_DEFINED", "associationTypeId": 280},
        {"associationCategory": "HUBSPOT_DEFINED", "associationTypeId": 4},
        {"associationTypeId": 279},
        {"associationCategory": "HUBSPOT_DEFINED", "associationTypeId": "279"},
        {},
    ],
)
async def test_a_kind_of_link_is_named_by_id_and_category(http: Http, type_: dict[str, Any]) -> None:
    firm, person = await made(http, COMPANIES, domain="x.example"), await made(http, CONTACTS, email="a@x.example")
    one = {"from": {"id": person}, "to": {"id": firm}, "types": [type_]}
    for kind in ("create", "labels/archive"):
        status, _, _ = await http.post(f"/crm/v4/associations/contacts/companies/batch/{kind}", {"inputs": [one]})
        assert status == 400


@pytest.mark.parametrize("version", ["v4/objects", "objects/2026-03", "objects/2026-09"])
async def test_one_link_is_made_by_default_and_removed(http: Http, version: str) -> None:
    firm, person = await made(http, COMPANIES, domain="x.example"), await made(http, CONTACTS, email="a@x.example")
    base = f"/crm/{version}/contacts/{person}/associations"
    assert (await http.call("GET", f"{base}/companies"))[0] == (404 if "2026-09" in version else 200)
    assert (await http.call("PUT", f"{base}/default/companies/{firm}"))[0] == 200
    assert await labels_at(http, "companies", firm, "contacts") == {None}
    assert (await http.call("PUT", f"{base}/default/companies/999"))[0] == 404
    for _ in range(2):
        assert (await http.call("DELETE", f"{base}/companies/{firm}"))[0] == 204
    assert await labels_at(http, "companies", firm, "contacts") == set()


# Owners, pipelines, groups, schemas


async def test_the_vendors_client_reads_owners(http: Http, client: HubSpot) -> None:
    api = client.crm.owners.owners_api
    everyone = await off_loop(client.crm.owners.get_all)
    assert [o.id for o in everyone] == ["710001", "710002", "710003"]
    (left,) = (await off_loop(api.get_page, archived=True)).results
    assert (left.id, left.archived, left.user_id, left.user_id_including_inactive) == ("710004", True, None, 910004)
    (omar,) = (await off_loop(api.get_page, email="OMAR@revetl.example")).results
    assert (omar.id, omar.first_name, omar.type) == ("710002", "Omar", "PERSON")
    assert (await off_loop(api.get_page, email="nobody@revetl.example")).results == []
    page = await off_loop(api.get_page, limit=2)
    assert page.paging.next.after == "710002"
    assert (await off_loop(api.get_page, limit=2, after=page.paging.next.after)).results[0].id == "710003"
    assert (await off_loop(api.get_by_id, "910003", id_property="userId")).id == "710003"
    for wrong in ({"owner_id": "1"}, {"owner_id": "710004"}, {"owner_id": "710001", "archived": True}):
        with pytest.raises(owners.ApiException) as missing:
            await off_loop(api.get_by_id, **wrong)
        assert missing.value.status == 404
    assert (await http.call("GET", "/crm/v3/owners?limit=501"))[0] == 400


async def test_the_vendors_client_keeps_pipelines_and_stages(http: Http, client: HubSpot) -> None:
    api, stages = client.crm.pipelines.pipelines_api, client.crm.pipelines.pipeline_stages_api
    (sales,) = (await off_loop(api.get_all, "deals")).results
    assert (sales.id, [s.id for s in sales.stages][-2:]) == ("default", ["closedwon", "closedlost"])
    assert sales.stages[-2].metadata == {"isClosed": "true", "probability": "1.0"}
    first = {"label": "Due", "displayOrder": 0, "metadata": {"probability": "0.5"}}
    wanted = pipelines.PipelineInput(label="Renewals", display_order=1, stages=[first])
    made_ = await off_loop(api.create, "deals", pipeline_input=wanted)
    paid = pipelines.PipelineStageInput(label="Paid", display_order=1, metadata={"probability": "1.0"})
    won = await off_loop(stages.create, "deals", made_.id, pipeline_stage_input=paid)
    assert won.metadata["isClosed"] == "true"
    patch = pipelines.PipelineStagePatchInput(label="Paid in full", metadata={})
    assert (
        await off_loop(stages.update, "deals", made_.id, won.id, pipeline_stage_patch_input=patch)
    ).label == "Paid in full"
    listed = (await off_loop(stages.get_all, "deals", made_.id)).results
    assert [s.label for s in listed] == ["Due", "Paid in full"]
    deal = await made(http, DEALS, pipeline=made_.id, dealstage=won.id)
    with pytest.raises(pipelines.ApiException) as used:
        await off_loop(api.archive, "deals", made_.id, validate_references_before_delete=True)
    assert used.value.status == 400
    await http.call("DELETE", f"{DEALS}/{deal}")
    await off_loop(stages.archive, "deals", made_.id, won.id)
    await off_loop(api.archive, "deals", made_.id)
    assert [p.id for p in (await off_loop(api.get_all, "deals")).results] == ["default"]
    assert (await refused(http, DEALS, pipeline=made_.id))[0] == "INVALID_OPTION"
    lacking = {"label": "x", "displayOrder": 0, "metadata": {"probability": "2"}}
    assert (await http.post("/crm/v3/pipelines/deals/default/stages", lacking))[0] == 400
    assert (await http.call("PUT", "/crm/v3/pipelines/deals/default", {"label": "x"}))[0] == 400
    assert (await http.call("GET", "/crm/v3/pipelines/contacts"))[1] == {"results": []}
    assert (await http.call("GET", "/crm/v3/pipelines/deals/nothing"))[0] == 404


async def test_the_vendors_client_keeps_property_groups(http: Http, client: HubSpot) -> None:
    api = client.crm.properties.groups_api
    assert [g.name for g in (await off_loop(api.get_all, "contacts")).results] == ["contactinformation"]
    group = properties.PropertyGroupCreate(name="ours", label="Ours", display_order=3)
    await off_loop(api.create, "contacts", property_group_create=group)
    assert (await off_loop(api.get_by_name, "contacts", "ours")).display_order == 3
    with pytest.raises(properties.ApiException) as again:
        await off_loop(api.create, "contacts", property_group_create=group)
    assert again.value.status == 409
    definition = {"name": "tier", "label": "Tier", "type": "string", "fieldType": "text", "groupName": "ours"}
    assert (await http.post("/crm/v3/properties/contacts", definition))[0] == 201
    assert (await http.post("/crm/v3/properties/contacts", {**definition, "name": "x", "groupName": "none"}))[0] == 400
    assert (await http.call("DELETE", "/crm/v3/properties/contacts/groups/ours"))[0] == 400
    await http.call("DELETE", "/crm/v3/properties/contacts/tier")
    _, gone, _ = await http.call("GET", "/crm/v3/properties/contacts?archived=true")
    assert [(p["name"], p["archived"]) for p in gone["results"]] == [("tier", True)]
    await off_loop(api.archive, "contacts", "ours")
    assert (await http.call("GET", "/crm/v3/properties/contacts/groups/ours"))[0] == 404


async def test_the_vendors_client_reads_schemas(http: Http, client: HubSpot) -> None:
    api = client.crm.schemas.core_api
    assert (await off_loop(api.get_all)).results == []
    firm = await off_loop(api.get_by_id, "companies")
    assert (firm.object_type_id, firm.labels.plural, firm.primary_display_property) == ("0-2", "Companies", "name")
    assert "domain" in {p.name for p in firm.properties}
    assert ("280", "company_to_contact_unlabeled") in {(a.id, a.name) for a in firm.associations}
    assert (await http.post("/crm-object-schemas/v3/schemas", {"name": "cars"}))[0] == 400, "not all that is required"
    serial = {"name": "serial", "label": "Serial", "type": "string", "fieldType": "text", "hasUniqueValue": True}
    cars = {
        "name": "cars",
        "labels": {"singular": "Car", "plural": "Cars"},
        "properties": [serial],
        "requiredProperties": ["serial"],
        "associatedObjects": ["CONTACT"],
    }
    assert (await http.post("/crm-object-schemas/v3/schemas", cars))[0] == 201
    assert (await http.post("/crm-object-schemas/v3/schemas", cars))[0] == 400, "the name is taken"
    made = (await off_loop(api.get_all)).results[0]
    assert (made.name, made.labels.plural, made.required_properties) == ("cars", "Cars", ["serial"])
    for named in (made.object_type_id, made.fully_qualified_name):
        assert (await off_loop(api.get_by_id, named)).object_type_id == made.object_type_id
        assert (await http.post(f"/crm/v3/objects/{named}", {"properties": {"serial": named}}))[0] == 201


async def test_what_was_set_up_outlives_the_server(http: Http, running: RunningSandbox, clock: HandClock) -> None:
    await http.post("/crm/v4/associations/contacts/companies/labels", {"name": "billing", "label": "Bills"})
    await http.post("/crm/v3/properties/contacts/groups", {"name": "ours", "label": "Ours"})
    lost = {"label": "Lost", "displayOrder": 9, "metadata": {"probability": "0.0"}}
    _, stage, _ = await http.post("/crm/v3/pipelines/deals/default/stages", lost)
    document = running.vendor(HubSpotSandbox).dump()
    async with running_sandbox(clock=clock) as other, aiohttp.ClientSession() as session:
        again = Http(other.base_url, session)
        other.vendor(HubSpotSandbox).restore(document)
        _, body, _ = await again.call("GET", "/crm/v4/associations/contacts/companies/labels")
        assert "Bills" in {t["label"] for t in body["results"]}
        assert (await again.call("GET", "/crm/v3/properties/contacts/groups/ours"))[0] == 200
        assert await made(again, DEALS, dealstage=stage["id"])
        assert (await refused(again, CONTACTS, hubspot_owner_id="Olive"))[0] == "INVALID_OWNER_ID"
        _, made_later, _ = await again.post(
            "/crm/v4/associations/contacts/companies/labels", {"name": "friend", "label": "Friend"}
        )
        ids = {t["typeId"] for t in body["results"]}
        assert ids.isdisjoint({made_later["results"][0]["typeId"]})


async def test_the_vendors_client_is_told_which_scope_is_missing(running: RunningSandbox) -> None:
    seller = HubSpot(access_token=SELLER, host=running.base_url)
    assert (await off_loop(seller.crm.contacts.basic_api.get_page)).results == []
    with pytest.raises(companies.ApiException) as denied:
        await off_loop(seller.crm.companies.basic_api.get_page)
    assert denied.value.status == 403


async def test_the_vendors_client_changes_the_members_of_a_list(http: Http, client: HubSpot) -> None:
    contact = (await http.post("/crm/v3/objects/contacts", {"properties": {"email": "a@corp.example"}}))[1]["id"]
    lists, members = client.crm.lists.lists_api, client.crm.lists.memberships_api
    asked = {"name": "Guests", "objectTypeId": "0-1", "processingType": "MANUAL"}
    made = (await off_loop(lists.create, asked)).list
    added = await off_loop(members.add, made.list_id, [contact, "404"])
    assert (added.records_ids_added, added.record_ids_missing) == ([contact], ["404"])
    assert (await off_loop(members.add, made.list_id, [contact])).records_ids_added == []
    listed = await off_loop(members.get_page, made.list_id)
    assert [one.record_id for one in listed.results] == [contact]
    assert (await off_loop(members.remove, made.list_id, [contact])).record_ids_removed == [contact]
    dynamic = (await off_loop(lists.create, asked | {"name": "Everybody", "processingType": "DYNAMIC"})).list
    with pytest.raises(Exception, match="can't be changed"):
        await off_loop(members.add, dynamic.list_id, [contact])
    assert (await http.post("/crm/v3/lists", asked))[0] == 400, "the name is taken"

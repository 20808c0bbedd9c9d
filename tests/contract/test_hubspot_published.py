"""What the HubSpot connector sends, and what the sandbox answers, in the words of the vendor's published descriptions.

Every test of the connector against the sandbox is judged by them too (`as_published`). Here is one of each thing, in
every version of the API, so that an entry of the list of differences that nothing is an example of any more is
noticed.
"""

from __future__ import annotations

import json

import pytest

from revetl.clock import SystemClock
from revetl.destinations.base import Pair
from revetl.destinations.hubspot import HubSpot, Options
from revetl.errors import ConfigError
from revetl.model import Change, Operation, Status
from revetl.sandbox.server import running_sandbox
from revetl.sandbox.settings import SandboxSettings
from revetl.warehouse.duckdb import DuckDBWarehouse
from tests.support.hubspot_world import COMPANIES, CONTACTS, SPECS, World, fill
from tests.support.published_api import Exchange, published
from tests.support.published_hubspot import FOLDER, differences, outdated, recorded, unlisted

pytestmark = pytest.mark.skipif(
    not FOLDER.is_dir(), reason="the vendor's published descriptions are not here: REVETL_SPECS_DIR names their folder"
)
VERSIONS = ("v3", "2026-03", "2026-09")
UNKNOWN_ID = "404"


async def one_of_each(version: str) -> None:
    """Creates, updates, archives, links, unlinks, lookups by id, by a unique value and by search; and of each what is
    refused alone and what is refused as a whole."""
    warehouse = DuckDBWarehouse(":memory:", threads=1)
    fill(warehouse, people=30, firms=20, deals=10)
    async with running_sandbox(settings=SandboxSettings(limited=False)) as sandbox:
        world = World(sandbox.base_url, warehouse)
        for spec in SPECS:
            assert (await world.sync(spec, api_version=version)).counts["ok"] > 0
        warehouse.execute("DELETE FROM contacts WHERE golden_id = 'c1'")
        warehouse.execute("UPDATE contacts SET firstname = 'New', company_golden_id = 'k3' WHERE golden_id = 'c2'")
        warehouse.execute("UPDATE contacts SET lifecyclestage = 'no such stage' WHERE golden_id = 'c3'")
        warehouse.execute("UPDATE companies SET domain = 'moved.example', name = NULL WHERE golden_id = 'k1'")
        people = await world.sync(CONTACTS, api_version=version)
        assert (people.counts["ok"], people.counts["rejected"], people.counts["unlinked"]) == (2, 1, 1)
        assert (await world.sync(COMPANIES, api_version=version)).counts == {"ok": 1}
        ids = world.ids(CONTACTS)
        async with HubSpot("hubspot", options(sandbox.base_url, version), SystemClock()) as hubspot:
            assert "portal 1" in await hubspot.check()
            assert await hubspot.probe("contacts", "lastname") == []
            assert (await hubspot.copy_setup())[1] == []
            unknown = Change(0, "x", Operation.UPDATE, UNKNOWN_ID, {"firstname": "Nobody"})
            poisoned = Change(1, "y", Operation.CREATE, None, {"lifecyclestage": "none"}, "y@corp.example")
            outcomes = await hubspot.write("contacts", "email", [unknown, poisoned])
            assert [o.status for o in outcomes] == [Status.REJECTED] * 2
            company = next(iter(world.ids(COMPANIES).values()))
            pairs = [Pair(0, ids["c2"], company), Pair(1, UNKNOWN_ID, company)]
            linked = {o.ordinal: o.status for o in await hubspot.link("contacts", "companies", 279, pairs)}
            assert linked == {0: Status.OK, 1: Status.REJECTED}
            assert list(await hubspot.links_of("contacts", "companies", [ids["c2"], UNKNOWN_ID])) == [ids["c2"]]
            assert list(await hubspot.read_back("contacts", [ids["c2"], UNKNOWN_ID], ["firstname"])) == [ids["c2"]]
            with pytest.raises(ConfigError, match="has no object"):
                await hubspot.describe("unicorns")
        async with HubSpot(
            "hubspot", options(sandbox.base_url, version, token="pat-readonly"), SystemClock()
        ) as hubspot:
            assert len(await hubspot.probe("deals", None)) > 0
            assert (await hubspot.scopes("deals", None, [], makes_fields=False)).missing
    warehouse.close()


def options(base_url: str, version: str, token: str = "pat-test") -> Options:
    return Options.model_validate(
        {"base_url": base_url, "api_version": version, "token": token, "searches_per_s": 100, "requests_per_10_s": 1000}
    )


async def test_all_that_is_sent_and_answered_is_described_or_listed_with_a_reason() -> None:
    with recorded() as exchanges:
        for version in VERSIONS:
            await one_of_each(version)
    found = differences(exchanges)
    assert unlisted(found) == []
    assert outdated(found) == [], "listed, and no more so"


@pytest.mark.parametrize(
    ("path", "body", "told"),
    [
        ("batch/upsert", {"inputs": [{"id": 7, "properties": {}}]}, "the body/inputs/*/id is integer, not string"),
        ("batch/upsert", {"inputs": [{"properties": {}}]}, "the body/inputs/* lacks 'id'"),
        ("batch/upsert", {"input": []}, "the body lacks 'inputs'"),
        ("batch/upsert", {"inputs": [], "all": True}, "the body/all is not described"),
        ("batch/upset", {"inputs": []}, "is not described"),
        ("batch/archive", None, "the body is missing"),
    ],
)
def test_a_request_that_is_otherwise_is_noticed(path: str, body: object, told: str) -> None:
    sent = "" if body is None else json.dumps(body)
    exchange = Exchange("POST", f"/crm/v3/objects/contacts/{path}", (), sent, 400, "")
    said = [d.what for d in published(FOLDER).differences(exchange) if d.side == "request"]
    assert told in said


def test_queries_and_answers_are_judged_too() -> None:
    query = (("limit", "many"), ("propertys", "email"), ("properties", "email,firstname"))
    answered = json.dumps({"results": [{"id": 7}]})
    exchange = Exchange("GET", "/crm/v3/objects/contacts", query, "", 200, answered)
    said = {d.what for d in published(FOLDER).differences(exchange)}
    assert "query parameter 'limit' is string, not integer" in said
    assert "query parameter 'propertys' is not described" in said
    assert not any("'properties'" in what and what.startswith("query") for what in said)
    assert "200: the body/results/*/id is integer, not string" in said
    assert "200: the body/results/*/createdAt" not in said
    assert "200: the body/results/* lacks 'createdAt'" in said

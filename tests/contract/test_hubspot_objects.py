"""Objects beside contacts and companies: deals, tickets, and types that the account defined itself."""

from __future__ import annotations

import itertools
import json
from collections.abc import AsyncIterator

import pytest

from revetl.destinations.base import Pair
from revetl.errors import ConfigError
from revetl.sandbox.hubspot.object_types import CustomObject
from revetl.sandbox.hubspot.portal import Portal
from revetl.sandbox.hubspot.schema import Property
from revetl.sandbox.hubspot.state import dump_portal, restore_portal
from revetl.sandbox.hubspot.store import HUMAN
from tests.support.hubspot_bench import PortalBench, portal_bench
from tests.support.published_hubspot import as_published as as_published

pytestmark = pytest.mark.usefixtures("as_published")
MACHINES = CustomObject("2-1001", "machines", "p1_machines", "Machine", "Machines", "serial")


@pytest.fixture
async def bench() -> AsyncIterator[PortalBench]:
    async with portal_bench() as bench:
        store = bench.portal.define(MACHINES)
        store.add_property(Property("serial", "string", group="information", hubspot_defined=False))
        yield bench


@pytest.mark.parametrize("version", ["v3", "2026-03", "2026-09"])
@pytest.mark.parametrize("named", ["machines", "p1_machines", "2-1001"])
async def test_a_type_of_the_accounts_own_goes_by_its_name_its_full_name_or_its_id(
    bench: PortalBench, named: str, version: str
) -> None:
    bench.model("k VARCHAR, serial VARCHAR", ("m1", "A-1"), ("m2", "A-2"))
    spec = bench.spec(named, key_property="machine_key")
    assert (await bench.run(spec, api_version=version)).counts == {"ok": 2}
    bench.model("k VARCHAR, serial VARCHAR", ("m1", "A-1"), ("m2", "A-3"))
    assert (await bench.run(spec, api_version=version)).counts == {"ok": 1}
    assert bench.records("2-1001", "machine_key", "serial") == [("m1", "A-1"), ("m2", "A-3")]


@pytest.mark.parametrize("object_", ["deals", "tickets", "machines"])
async def test_records_are_found_again_by_a_unique_property_of_the_sync(bench: PortalBench, object_: str) -> None:
    name = {"deals": "dealname", "tickets": "subject", "machines": "serial"}[object_]
    bench.model(f"k VARCHAR, {name} VARCHAR", ("t1", "Does not start"))
    spec = bench.spec(object_, key_property="source_id")
    assert (await bench.run(spec)).counts == {"ok": 1}
    bench.warehouse.execute("DROP SCHEMA revetl CASCADE")  # restored from before the first run
    bench.model(f"k VARCHAR, {name} VARCHAR", ("t1", "Starts"))
    assert (await bench.run(spec)).counts == {"ok": 1}
    assert bench.records(object_, "source_id", name) == [("t1", "Starts")]


async def test_an_unknown_name_says_why_the_accounts_own_types_could_not_be_read(bench: PortalBench) -> None:
    async with bench.connect() as hubspot:
        with pytest.raises(ConfigError, match="has no object 'machine'"):
            await hubspot.describe("machine")
    tokens = {"pat-narrow": ["crm.objects.contacts.read", "crm.schemas.contacts.read"]}
    async with portal_bench(hubspot={"scopes": tokens}) as narrow, narrow.connect(token="pat-narrow") as hubspot:
        with pytest.raises(ConfigError) as refused:
            await hubspot.describe("machines")
    assert "crm.schemas.custom.read" in str(refused.value.problems[0].hint)


async def test_types_links_and_lists_outlive_the_server(bench: PortalBench) -> None:
    portal = bench.portal
    portal.association_types.open("2-1001", "contacts")
    machine = portal.create(portal.store("2-1001"), {"serial": "A-1"}, portal.now_ms(), HUMAN)
    portal.add_list("Old machines", "2-1001").members[machine.id] = 1
    document = json.loads(json.dumps(dump_portal(portal)))
    again = Portal(portal.clock)
    restore_portal(again, document)
    assert json.loads(json.dumps(dump_portal(again))) == document
    assert again.canonical("p1_machines") == "2-1001"
    assert again.association_types.linkable("contacts", "2-1001")


async def test_links_to_a_type_of_the_accounts_own(bench: PortalBench) -> None:
    bench.portal.association_types.open("2-1001", "contacts")
    async with bench.connect() as hubspot:
        kinds = await hubspot.link_types("machines", "contacts")
        assert kinds == {await hubspot.implied_type("machines", "contacts")}
        assert await hubspot.link_types("tickets", "companies") == {339, 26}
        assert await hubspot.exclusive_types("tickets", "companies") == {26}


async def test_a_company_has_one_parent_and_a_primary_company_is_told_by_its_type(bench: PortalBench) -> None:
    store = bench.portal.store("companies")
    made = (bench.portal.create(store, {"domain": f"{n}.example"}, bench.portal.now_ms(), HUMAN) for n in "abc")
    child, parent, other = (record.id for record in made)
    async with bench.connect() as hubspot:
        assert await hubspot.link_types("companies", "companies") == {450, 13, 14}
        assert await hubspot.implied_type("companies", "companies") == 450
        once = {
            pair: await hubspot.exclusive_types(*pair)
            for pair in itertools.product(("companies", "contacts"), repeat=2)
            if pair != ("contacts", "contacts")
        }
        assert once == {
            ("companies", "companies"): {14}, ("companies", "contacts"): set(), ("contacts", "companies"): {1}
        }  # fmt: skip
        for n, to in enumerate((parent, other)):
            (outcome,) = await hubspot.link("companies", "companies", 14, [Pair(n, child, to)])
            assert outcome.status == "ok"
        standing = await hubspot.links_of("companies", "companies", [child, parent, other])
        assert standing[child] == {parent: {450}, other: {450, 14}}
        assert (standing[parent], standing[other]) == ({child: {450}}, {child: {450, 13}})
        await hubspot.unlink("companies", "companies", 14, [Pair(0, child, other)])
        assert (await hubspot.links_of("companies", "companies", [child]))[child] == {parent: {450}, other: {450}}

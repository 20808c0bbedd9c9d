"""Contacts with a key of ours in the HubSpot sandbox, over real HTTP: found again after a restore, by two syncs of one
object, and after what people do to it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from revetl.clock import SystemClock
from revetl.destinations.hubspot import HubSpot
from revetl.errors import ConfigError, Denied
from revetl.model import Relation, SyncSpec
from revetl.sandbox.hubspot.options import HubSpotSandboxOptions
from revetl.sandbox.hubspot.store import HUMAN
from revetl.sandbox.server import running_sandbox
from revetl.sandbox.settings import SandboxSettings
from revetl.sync import PlanSummary, plan_sync
from tests.contract.test_hubspot_sandbox import change, connected
from tests.simulation.test_sync_hubspot import UNLIMITED
from tests.simulation.test_sync_people_hubspot import FIRMS, PEOPLE, Office
from tests.support.sandbox_hubspot import portal_of
from tests.support.sync_bench import context
from tests.support.warehouses import SCHEMA, the_warehouse

KEY = "warehouse_id"
KEYED = replace(PEOPLE, key_property=KEY)
LEADS = replace(PEOPLE, name="hubspot__leads", relation=Relation(SCHEMA, "leads"), key_property="lead_id")
ANN, BOB = ("1", "ann@one.example", "Ann"), ("2", "bob@two.example", "Bob")


@pytest.fixture
async def office() -> AsyncIterator[Office]:
    warehouse = the_warehouse()
    async with running_sandbox(settings=UNLIMITED) as sandbox:
        yield Office(sandbox, warehouse)
    warehouse.close()


def keys(office: Office, name: str = KEY) -> dict[str | None, str | None]:
    records = portal_of(office.sandbox).store("contacts").records.values()
    return {r.values.get("email"): r.values.get(name) for r in records}


async def planned(office: Office, spec: SyncSpec) -> PlanSummary:
    async with connected(office.sandbox) as destination:
        return await plan_sync(
            context(office.warehouse, SystemClock()), replace(spec, columns=spec.columns[:3]), destination
        )


async def test_a_contact_is_made_with_its_key_in_a_property_that_is_made_for_it(office: Office) -> None:
    report = await office.sync(KEYED, ANN, BOB)
    assert (report.counts, report.plan.fields[KEY]) == ({"ok": 2}, 2)
    assert keys(office) == {"ann@one.example": "1", "bob@two.example": "2"}
    assert KEY in portal_of(office.sandbox).store("contacts").unique
    assert (await office.sync(KEYED, ANN, BOB)).plan.lines == 0


async def test_a_property_that_will_be_made_stands_in_the_plan_until_it_is(office: Office) -> None:
    """Planning makes none. A connection's key is said as a sync's is; an email needs neither."""
    said = "a field that hubspot {} lacks; made for our keys"
    contacts = said.format("contacts")
    office.model(KEYED, ANN)
    assert f"{KEY}: {contacts}" in (await planned(office, KEYED)).notes
    assert KEY not in portal_of(office.sandbox).store("contacts").unique
    assert f"{KEY}: {contacts}" in (await office.sync(KEYED, ANN)).plan.notes
    assert not [note for note in (await office.sync(KEYED, ANN, BOB)).plan.notes if contacts in note]
    plain = replace(PEOPLE, name="hubspot__plain", relation=Relation(SCHEMA, "plain"))
    assert (await office.sync(plain, ("7", "new@x.example", "New"))).plan.notes == []
    firms = await office.sync(FIRMS, ("1", "one.example", "One"))
    assert f"revetl_key: {said.format('companies')}" in firms.plan.notes
    assert (await office.sync(FIRMS, ("2", "two.example", "Two"))).plan.notes == []


@pytest.mark.parametrize("spec", [KEYED, FIRMS], ids=["of the sync", "of the connection"])
async def test_a_token_that_may_make_no_property_is_known_to_the_plan(spec: SyncSpec) -> None:
    granted = [f"crm.{kind}.{spec.object}.{right}" for kind in ("objects", "schemas") for right in ("read", "write")]
    granted.remove(f"crm.schemas.{spec.object}.write")
    options = HubSpotSandboxOptions(scopes={"pat-test": tuple(granted)})
    warehouse = the_warehouse()
    async with running_sandbox(settings=SandboxSettings(limited=False, vendors={"hubspot": options})) as sandbox:
        office = Office(sandbox, warehouse)
        row = ("1", "ann@one.example" if spec is KEYED else "one.example", "One")
        office.model(spec, row)
        with pytest.raises(Denied, match=f"crm.schemas.{spec.object}.write"):
            await planned(office, spec)
        with pytest.raises(Denied, match=f"crm.schemas.{spec.object}.write"):
            await office.sync(spec, row)
        assert not portal_of(sandbox).store(spec.object).records
    warehouse.close()


async def test_after_a_lost_snapshot_a_contact_whose_address_moved_is_found_by_its_key(office: Office) -> None:
    await office.sync(KEYED, ANN, BOB)
    office.warehouse.execute(f"DELETE FROM revetl.snapshot__{KEYED.name}")
    report = await office.sync(KEYED, ("1", "ann@new.example", "Ann"), ("2", "bob@new.example", "Bob"))
    assert (report.plan.create, report.plan.adopt, report.exit_code) == (0, 2, 0)
    assert keys(office) == {"ann@new.example": "1", "bob@new.example": "2"}


async def test_a_contact_that_stands_there_is_given_the_key_as_planned(office: Office) -> None:
    office.make("contacts", email="ann@one.example", firstname="Ann")
    report = await office.sync(KEYED, ANN, BOB)
    assert (report.plan.adopt, report.plan.create) == (1, 1)
    adopted = next(line for line in report.plan.samples if line.op == "adopt")
    assert adopted.fields == {KEY: (None, "1")}
    assert keys(office) == {"ann@one.example": "1", "bob@two.example": "2"}


async def test_two_syncs_of_contacts_with_equal_keys_do_not_meet(office: Office) -> None:
    for _ in range(2):
        await office.sync(KEYED, ANN, BOB)
        report = await office.sync(LEADS, ("1", "lead@three.example", "Lead"), ("2", "ann@one.example", "Ann"))
        assert report.exit_code == 0
    assert keys(office) == {"ann@one.example": "1", "bob@two.example": "2", "lead@three.example": None}
    assert keys(office, "lead_id") == {"ann@one.example": "2", "bob@two.example": None, "lead@three.example": "1"}


async def test_a_key_that_a_person_took_away_comes_back(office: Office) -> None:
    await office.sync(KEYED, ANN, BOB)
    portal, ann = portal_of(office.sandbox), office.find("contacts", email="ann@one.example")
    portal.update(portal.store("contacts"), ann, {KEY: ""}, portal.now_ms(), HUMAN)
    report = await office.sync(KEYED, ("1", "ann@one.example", "Anna"), BOB)
    assert report.plan.fields == {"firstname": 1, KEY: 1}
    assert keys(office) == {"ann@one.example": "1", "bob@two.example": "2"}


async def test_of_two_that_were_merged_the_one_that_writes_has_its_key_there(office: Office) -> None:
    await office.sync(KEYED, ANN, BOB)
    ann, bob = (office.find("contacts", email=email) for _, email, _ in (ANN, BOB))
    await office.merge("contacts", bob, ann)
    report = await office.sync(KEYED, ("1", "ann@one.example", "Anna"), ("2", "bob@two.example", "Bobby"))
    assert office.codes(report) == {"1": "SAME_RECORD", "2": None}
    assert keys(office) == {"bob@two.example": "2"}
    office.warehouse.execute(f"DELETE FROM revetl.snapshot__{KEYED.name}")
    report = await office.sync(KEYED, ("1", "ann@one.example", "Anna"), ("2", "bob@new.example", "Bobby"))
    assert (office.codes(report)["1"], keys(office)) == ("SAME_IDENTITY", {"bob@new.example": "2"})


async def test_an_address_that_came_to_stand_there_refuses_the_create_and_is_adopted_next(office: Office) -> None:
    """Not written over: the next plan reads what stands, so that policies and people's values are looked at."""
    await office.sync(KEYED, BOB)
    async with connected(office.sandbox) as destination:
        assert isinstance(destination, HubSpot)
        await destination.describe("contacts")
        office.make("contacts", email="ann@one.example", firstname="By hand")
        create = change(0, match="1", email="ann@one.example", firstname="Ann", **{KEY: "1"})
        (outcome,) = await destination.write("contacts", KEY, [create])
    assert (outcome.status, outcome.error_code) == ("rejected", "CONFLICT")
    assert office.find("contacts", email="ann@one.example").values["firstname"] == "By hand"
    assert (await office.sync(KEYED, ANN, BOB)).plan.adopt == 1


async def test_companies_with_a_property_of_their_own_get_no_other(office: Office) -> None:
    from tests.simulation.test_sync_people_hubspot import FIRMS

    office.make("companies", domain="one.example", name="One")
    await office.sync(replace(FIRMS, key_property=KEY), ("1", "one.example", "One Ltd"), ("2", "two.example", "Two"))
    store = portal_of(office.sandbox).store("companies")
    assert sorted(str(r.values.get(KEY)) for r in store.records.values()) == ["1", "2"]
    assert "revetl_key" not in store.unique


async def test_two_syncs_do_not_make_companies_through_the_connections_one_property(office: Office) -> None:
    """Key 1 of the second would be written over the company of key 1 of the first."""
    from tests.simulation.test_sync_people_hubspot import FIRMS

    partners = replace(FIRMS, name="hubspot__partners", relation=Relation(SCHEMA, "partners"))
    with pytest.raises(ConfigError, match="hubspot__companies creates companies"):
        await office.sync(replace(partners, beside=((FIRMS.name, "domain"),)), ("1", "two.example", "Two"))
    keyed = replace(partners, key_property="partner_id", beside=((FIRMS.name, "domain"),))
    for _ in range(2):
        await office.sync(FIRMS, ("1", "one.example", "One"))
        await office.sync(keyed, ("1", "two.example", "Two"))
    found = portal_of(office.sandbox).store("companies").records.values()
    assert sorted((r.values["domain"], r.values.get("revetl_key"), r.values.get("partner_id")) for r in found) == [
        ("one.example", "1", None),
        ("two.example", None, "1"),
    ]


async def test_a_property_that_is_not_unique_is_refused(office: Office) -> None:
    with pytest.raises(ConfigError, match="no unique text field"):
        await office.sync(replace(PEOPLE, key_property="jobtitle"), ANN)
    assert keys(office) == {}

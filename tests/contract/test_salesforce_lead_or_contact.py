"""Salesforce in whole runs, against the sandbox in process: `object: LeadOrContact`, our key in an external id,
junction objects; and what `debug` names as missing."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pytest

from revetl.destinations.salesforce import Options, Salesforce
from revetl.errors import ConfigError
from revetl.model import Change, Guardrails, Operation, Relation, Scalar, Status, SyncSpec
from revetl.sandbox.inprocess import sandbox_in_process
from revetl.sandbox.salesforce.org import SalesforceOrg, WriteHeaders
from revetl.sandbox.salesforce.vendor import SalesforceSandbox
from revetl.sandbox.settings import SandboxSettings
from revetl.sync import PlanSummary, SyncReport, plan_sync, run_sync
from revetl.testing.clocks import VirtualClock
from revetl.testing.virtual_time import run_virtual
from revetl.warehouse.duckdb import DuckDBWarehouse
from tests.support.sync_bench import context

AUTH = {"type": "oauth_client_credentials", "client_id": "app", "client_secret": "a-secret"}
COLUMNS = ("Email", "LastName", "Title", "Company")
SPEC = SyncSpec(
    name="people",
    relation=Relation("main", "people"),
    destination="salesforce",
    object="LeadOrContact",
    key="golden_id",
    match_on="Email",
    columns=COLUMNS,
)
ANN = ("ann@x.io", "King", "CEO", "Acme")
BOB = ("bob@x.io", "Ray", "CTO", "Bolt")
CID = ("cid@x.io", "Low", "COO", "Cask")
DOT = ("dot@x.io", "Sun", "CFO", "Dune")


@dataclass
class World:
    destination: Salesforce
    org: SalesforceOrg
    clock: VirtualClock
    warehouse: DuckDBWarehouse

    def made(self, object_: str, **values: Any) -> str:
        return self.org.create(self.org.object(object_), values, WriteHeaders(auto_assign=False)).id

    def model(self, *rows: Sequence[Scalar]) -> None:
        names = ", ".join(f'"{name}" VARCHAR' for name in COLUMNS)
        self.warehouse.execute(f"CREATE OR REPLACE TABLE people (golden_id VARCHAR, {names})")
        for row in rows:
            self.warehouse.execute("INSERT INTO people VALUES (?, ?, ?, ?, ?)", [str(row[0])[:3], *row])

    async def run(self, **changes: Any) -> SyncReport:
        return await run_sync(context(self.warehouse, self.clock), replace(SPEC, **changes), self.destination)

    async def plan(self) -> PlanSummary:
        return await plan_sync(context(self.warehouse, self.clock), SPEC, self.destination)

    def standing(self, object_: str) -> dict[str, tuple[Any, ...]]:
        """Email → title, company."""
        return {
            r.values["Email"]: (r.values.get("Title"), r.values.get("Company"))
            for r in self.org.standing(object_)
            if not r.values.get("IsConverted")
        }


def play(test: Callable[[World], Coroutine[Any, Any, None]]) -> None:
    async def main() -> None:
        clock = VirtualClock()
        async with sandbox_in_process(SandboxSettings(limited=False), clock) as (transport, running):
            options = Options.model_validate({"base_url": "http://127.0.0.1:1/salesforce", "auth": AUTH})
            warehouse = DuckDBWarehouse(":memory:")
            async with Salesforce("salesforce", options, clock, transport=transport) as destination:
                await test(World(destination, running.vendor(SalesforceSandbox).org, clock, warehouse))
            warehouse.close()

    run_virtual(main())


def test_who_is_a_contact_is_updated_there_and_anybody_else_is_a_lead() -> None:
    async def test(world: World) -> None:
        world.made("Contact", Email="ann@x.io", LastName="King", Title="VP")
        world.made("Lead", Email="ann@x.io", LastName="King", Company="Old", Title="left alone")
        world.made("Lead", Email="bob@x.io", LastName="Ray", Company="Older", Title="VP")
        converted = world.made("Lead", Email="cid@x.io", LastName="Low", Company="Cask")
        contact = world.org.convert(converted)
        world.org.records[contact].values["Email"] = "cid.low@new.io"
        world.model(ANN, BOB, CID, DOT)
        plan = await world.plan()
        assert (plan.create, plan.adopt) == (1, 3)
        assert plan.forecast is not None
        assert any("who is a Contact is updated there" in note for note in plan.forecast.notes), plan.forecast
        report = await world.run()
        assert report.status == "done", report
        # Found through the Lead that it was; the address that people gave the Contact since is left.
        assert world.standing("Contact") == {"ann@x.io": ("CEO", None), "cid.low@new.io": ("COO", None)}
        leads = {"ann@x.io": ("left alone", "Old"), "bob@x.io": ("CTO", "Older"), "dot@x.io": ("CFO", "Dune")}
        assert world.standing("Lead") == leads, "what Leads alone have is given when one is made"
        assert sum((await world.run()).counts.values()) == 0
        # Of a record that stands, a company alone is no change.
        world.model((*ANN[:3], "Acme Group"), (*BOB[:3], "Bolt Group"), CID, DOT)
        assert sum((await world.run()).counts.values()) == 0

    play(test)


def test_a_lead_that_people_convert_is_followed_to_its_contact() -> None:
    async def test(world: World) -> None:
        world.model(ANN, BOB)
        await world.run()
        [lead] = [r.id for r in world.org.standing("Lead") if r.values["Email"] == "ann@x.io"]
        first = world.org.convert(lead)
        other = world.made("Contact", Email="old@x.io", LastName="King")
        world.org.merge(other, first)
        world.model((ANN[0], ANN[1], "Chair", ANN[3]), BOB)
        report = await world.run()
        assert (report.status, sum(report.counts.values())) == ("done", 1)
        assert world.org.records[other].values["Title"] == "Chair"
        assert world.org.records[lead].values["Title"] == "CEO"
        assert len(world.org.standing("Lead")) == 2, "none was made anew"
        # Away at Salesforce with its Contact: withheld, not made again.
        world.org.delete(world.org.records[other])
        world.model((ANN[0], ANN[1], "President", ANN[3]), BOB)
        report = await world.run()
        assert len(world.org.standing("Lead")) == 2
        assert report.counts.get(Status.REJECTED) == 1

    play(test)


def test_a_lead_that_is_converted_between_plan_and_write_is_tried_again_by_the_next_run() -> None:
    async def test(world: World) -> None:
        lead = world.made("Lead", Email="ann@x.io", LastName="King", Company="Acme")
        await world.destination.describe("LeadOrContact")
        world.org.convert(lead)
        change = Change(0, "ann", Operation.UPDATE, lead, {"Title": "CEO"})
        [outcome] = await world.destination.write("LeadOrContact", "Email", [change])
        assert (outcome.status, outcome.error_code) == (Status.REJECTED, "CANNOT_UPDATE_CONVERTED_LEAD")
        assert not outcome.in_row

    play(test)


def test_by_an_external_id_a_lead_is_made_once_whatever_is_lost() -> None:
    async def test(world: World) -> None:
        await world.destination.describe("LeadOrContact")
        fields: Mapping[str, Scalar] = {"LastName": "King", "Company": "Acme"}
        change = Change(0, "ann", Operation.CREATE, None, fields, "x1")
        for _ in range(2):
            [outcome] = await world.destination.write("LeadOrContact", "ExternalId__c", [change])
            assert outcome.status is Status.OK
        assert len(world.org.standing("Lead")) == 1
        assert not world.destination.idempotent("LeadOrContact", "ExternalId__c"), "it may be a Contact by then"

    play(test)


@pytest.mark.parametrize("object_", ["Contact", "LeadOrContact"])
def test_an_external_id_takes_our_key_and_finds_a_record_whatever_else_has_changed(object_: str) -> None:
    async def test(world: World) -> None:
        standing = world.made("Contact", Email="ann@x.io", LastName="King", Title="VP")
        keyed = {"object": object_, "columns": COLUMNS[:3], "key_property": "ExternalId__c"}
        world.model(ANN, BOB) if object_ == "LeadOrContact" else world.model(ANN)
        await world.run(**keyed)
        assert world.org.records[standing].values["ExternalId__c"] == "ann"
        world.org.records[standing].values["Email"] = "ann.king@new.io"
        world.warehouse.execute("DROP TABLE revetl.snapshot__people")
        world.model((ANN[0], ANN[1], "Chair", ANN[3]))
        report = await world.run(**keyed)
        assert report.status == "done", report
        assert world.org.records[standing].values["Title"] == "Chair"
        assert [r.id for r in world.org.standing("Contact")] == [standing]

    play(test)


def test_a_junction_is_a_sync_of_its_own_whose_rows_name_both_parents_by_their_external_ids() -> None:
    async def test(world: World) -> None:
        ann, acme = (
            world.made("Contact", ExternalId__c="ann", LastName="King"),
            world.made("Account", ExternalId__c="acme", Name="Acme"),
        )
        junction = {
            "object": "AccountRole__c",
            "match_on": "ExternalId__c",
            "columns": ("ExternalId__c", "Contact__r.ExternalId__c", "Account__r.ExternalId__c", "Role__c"),
            "mode": "mirror",
            "on_leave": "archive",
            "guardrails": Guardrails(min_rows=0, max_deleted_share=1.0, deletes_declared=True),
        }

        def model(*rows: Sequence[Scalar]) -> None:
            names = ", ".join(f'"{name}" VARCHAR' for name in junction["columns"])  # type: ignore[attr-defined]
            world.warehouse.execute(f"CREATE OR REPLACE TABLE people (golden_id VARCHAR, {names})")
            for row in rows:
                world.warehouse.execute("INSERT INTO people VALUES (?, ?, ?, ?, ?)", [row[0], *row])

        model(("ann:acme", "ann", "acme", "Buyer"), ("ann:late", "ann", "late", "User"))
        report = await world.run(**junction)
        assert (report.counts.get(Status.OK), report.counts.get(Status.REJECTED)) == (1, 1), "a parent is not there yet"
        [role] = world.org.standing("AccountRole__c")
        assert (role.values["Contact__c"], role.values["Account__c"], role.values["Role__c"]) == (ann, acme, "Buyer")
        model()
        await world.run(**junction)
        assert world.org.standing("AccountRole__c") == []

    play(test)


@pytest.mark.parametrize("object_", ["Contact", "LeadOrContact"])
def test_what_a_user_may_not_do_is_named_before_anything_is_sent(object_: str) -> None:
    async def test(world: World) -> None:
        contact = world.org.objects["Contact"]
        email = replace(contact.fields["Email"], createable=False, updateable=False)
        world.org.objects["Contact"] = replace(
            contact, refused=frozenset({"createable", "deletable"}), fields={**contact.fields, "Email": email}
        )
        assert await world.destination.probe(object_, "Email") == [
            "the object permission create on Contact",
            f"to edit the field Email of {object_} (field-level security)",
        ]
        assert await world.destination.probe(object_, "Shoe__c") == [
            "the object permission create on Contact",
            f"to see the field Shoe__c of {object_} (field-level security)",
        ]
        assert await world.destination.probe("Account", "ExternalId__c") == []

    play(test)


def test_a_field_that_leads_alone_have_can_not_be_matched_on() -> None:
    async def test(world: World) -> None:
        await world.destination.describe("LeadOrContact")
        with pytest.raises(ConfigError, match="'Company' can't be matched on"):
            await world.destination.look_up("LeadOrContact", "Company", ["Acme"], [])

    play(test)


def test_without_seeing_conversions_nothing_is_sent() -> None:
    async def test(world: World) -> None:
        lead = world.org.objects["Lead"]
        seen = {n: f for n, f in lead.fields.items() if n != "ConvertedContactId"}
        world.org.objects["Lead"] = replace(lead, fields=seen)
        with pytest.raises(ConfigError, match="needs to see IsConverted and ConvertedContactId"):
            await world.destination.describe("LeadOrContact")

    play(test)

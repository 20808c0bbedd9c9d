"""Columns that name records of another object, against the Salesforce and HubSpot sandboxes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from revetl.model import Association, FieldRule, Guardrails, Reference, Relation, Scalar, SyncSpec, looked_up_as
from revetl.sandbox.server import running_sandbox
from revetl.sync import SyncReport, run_sync
from tests.contract.test_salesforce_answers import KEY, World, play
from tests.simulation.test_sync_hubspot import UNLIMITED
from tests.simulation.test_sync_people_hubspot import PEOPLE, Office
from tests.support.sandbox_hubspot import portal_of
from tests.support.sync_bench import context
from tests.support.warehouses import SCHEMA, the_warehouse

CONTACTS = SyncSpec(
    name="salesforce__contacts",
    relation=Relation(SCHEMA, "sf_contacts"),
    destination="sf",
    object="Contact",
    key="id",
    match_on=KEY,
    columns=("id", KEY, "LastName", "AccountId"),
    fields={"AccountId": FieldRule(references=Reference(object="Account", match_on=KEY))},
)
LINKED = replace(
    PEOPLE,
    columns=("golden_id", "email", "domain"),
    associate=(Association(looked_up_as("companies", "domain"), "domain", 279, "companies", "domain"),),
)


def test_a_salesforce_contact_is_given_the_account_that_its_column_names() -> None:
    async def main(world: World) -> None:
        warehouse = the_warehouse()

        async def sync(*rows: tuple[Scalar, ...]) -> SyncReport:
            warehouse.execute(f"DROP TABLE IF EXISTS {SCHEMA}.sf_contacts")
            columns = ", ".join(f'"{c}" VARCHAR' for c in CONTACTS.columns)
            warehouse.execute(f"CREATE TABLE {SCHEMA}.sf_contacts ({columns})")
            for row in rows:
                warehouse.execute(f"INSERT INTO {SCHEMA}.sf_contacts VALUES (?, ?, ?, ?)", list(row))
            return await run_sync(context(warehouse, world.clock), CONTACTS, world.destination)

        def accounts() -> dict[str, str | None]:
            return {r.values[KEY]: r.values.get("AccountId") for r in world.org.standing("Contact")}

        acme = world.made("Account", Name="Acme", ExternalId__c="acme")
        ann, bob = ("1", "ann", "Ann", "acme"), ("2", "bob", "Bob", "bolt")
        report = await sync(ann, bob)
        assert (report.counts, report.unresolved, report.exit_code) == ({"ok": 2}, {"AccountId": 1}, 1)
        assert accounts() == {"ann": acme, "bob": None}, "the rest of a row whose account is missing is sent"
        bolt = world.made("Account", Name="Bolt", ExternalId__c="bolt")
        report = await sync(ann, bob)
        assert (report.counts, report.unresolved, report.exit_code) == ({"ok": 1}, {}, 0)
        assert accounts() == {"ann": acme, "bob": bolt}
        assert (await sync(ann, bob)).plan.lines == 0
        warehouse.close()

    play(main)


@pytest.fixture
async def office() -> AsyncIterator[Office]:
    warehouse = the_warehouse()
    async with running_sandbox(settings=UNLIMITED) as sandbox:
        yield Office(sandbox, warehouse)
    warehouse.close()


async def test_a_hubspot_contact_is_linked_to_the_company_that_has_the_domain(office: Office) -> None:
    """The company is of no sync."""
    acme = office.make("companies", domain="acme.example", name="Acme")
    spec = replace(LINKED, guardrails=Guardrails(max_deleted_share=1.0, deletes_declared=True))
    report = await office.sync(spec, ("1", "ann@x.example", "ACME.example"), ("2", "bob@x.example", "bolt.example"))
    assert (report.counts, report.links_waiting) == ({"ok": 2, "linked": 1}, 1)

    def firms(email: str) -> set[str]:
        return set(portal_of(office.sandbox).links["contacts", office.find("contacts", email=email).id]["companies"])

    assert firms("ann@x.example") == {acme.id}
    bolt = office.make("companies", domain="bolt.example", name="Bolt")
    report = await office.sync(spec, ("1", "ann@x.example", "bolt.example"), ("2", "bob@x.example", "bolt.example"))
    assert (report.counts, report.links_waiting) == ({"linked": 2, "unlinked": 1}, 0)
    assert firms("ann@x.example") == firms("bob@x.example") == {bolt.id}

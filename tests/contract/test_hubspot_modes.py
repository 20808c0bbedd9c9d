"""Modes, field policies and links against the HubSpot sandbox, over real HTTP: what stands in the portal afterwards."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace

import pytest

from revetl.clock import SystemClock
from revetl.destinations.base import Pair
from revetl.destinations.hubspot import HubSpot, Options
from revetl.errors import ConfigError, Denied
from revetl.model import Association, FieldRule, Guardrails, Mode, OnLeave, Relation, Status, SyncSpec
from revetl.sandbox.faults import Fault
from revetl.sandbox.hubspot.store import HUMAN
from revetl.sandbox.server import RunningSandbox, running_sandbox
from revetl.sandbox.settings import SandboxSettings
from revetl.sync import PlanSummary, SyncOptions, SyncReport, plan_sync, run_sync
from revetl.warehouse.duckdb import DuckDBWarehouse
from tests.support.published_hubspot import as_published as as_published
from tests.support.sandbox_hubspot import portal_of
from tests.support.sync_bench import context

pytestmark = pytest.mark.usefixtures("as_published")

UNLIMITED = SandboxSettings(limited=False)
COMPANIES = SyncSpec(
    name="hubspot__companies",
    relation=Relation("main", "companies"),
    destination="hubspot",
    object="companies",
    key="golden_id",
    match_on="domain",
    columns=("golden_id", "domain", "name"),
    guardrails=Guardrails(min_rows=0),
)
CONTACTS = replace(
    COMPANIES,
    name="hubspot__contacts",
    relation=Relation("main", "contacts"),
    object="contacts",
    match_on="email",
    columns=("golden_id", "email", "jobtitle", "lifecyclestage", "last_seen_at", "company_golden_id"),
    fields={
        "jobtitle": FieldRule("fill_blank"),
        "lifecyclestage": FieldRule("forward_only"),
        "last_seen_at": FieldRule("forward_only"),
    },
    associate=(Association("hubspot__companies", "company_golden_id", 1, "companies"),),
)
LEAD, CUSTOMER = "lead", "customer"
Person = tuple[str, str, str | None, str | None, str | None, str | None]


def person(
    key: str,
    title: str | None = "CTO",
    stage: str | None = LEAD,
    seen: str | None = "2026-01-01 10:00:00",
    company: str | None = "acme",
) -> Person:
    return key, f"{key}@corp.example", title, stage, seen, company


@dataclass
class Bench:
    sandbox: RunningSandbox
    warehouse: DuckDBWarehouse
    spec: SyncSpec = CONTACTS

    def people(self, *rows: Person) -> None:
        self.warehouse.execute(
            "CREATE OR REPLACE TABLE contacts (golden_id VARCHAR, email VARCHAR, jobtitle VARCHAR,"
            " lifecyclestage VARCHAR, last_seen_at TIMESTAMP, company_golden_id VARCHAR)"
        )
        for row in rows:
            self.warehouse.execute("INSERT INTO contacts VALUES (?, ?, ?, ?, ?, ?)", list(row))

    def firms(self, *keys: str) -> None:
        self.warehouse.execute("CREATE OR REPLACE TABLE companies (golden_id VARCHAR, domain VARCHAR, name VARCHAR)")
        for key in keys:
            self.warehouse.execute("INSERT INTO companies VALUES (?, ?, ?)", [key, f"{key}.example", key.title()])

    def connect(self, **options: object) -> HubSpot:
        given = {"token": "pat-test", "searches_per_s": 100, "requests_per_10_s": 1000} | options
        settings = Options.model_validate({"base_url": self.sandbox.base_url, **given})
        return HubSpot("hubspot", settings, SystemClock(), rng=random.Random(1))

    async def run(self, spec: SyncSpec | None = None, *, full_refresh: bool = False, **options: object) -> SyncReport:
        clock = SystemClock()
        async with self.connect(**options) as destination:
            asked = SyncOptions(full_refresh=full_refresh)
            return await run_sync(context(self.warehouse, clock), spec or self.spec, destination, asked)

    async def both(self) -> SyncReport:
        await self.run(COMPANIES)
        return await self.run()

    async def plan(self) -> PlanSummary:
        clock = SystemClock()
        async with self.connect() as destination:
            return await plan_sync(context(self.warehouse, clock), self.spec, destination)

    def stands(self, key: str) -> dict[str, str | None]:
        """The contact's fields in the portal; empty where it is archived."""
        store = portal_of(self.sandbox).store("contacts")
        record = store.find(f"{key}@corp.example", "email")
        names = ("jobtitle", "lifecyclestage", "last_seen_at")
        return {} if record is None else {n: store.value(record, n) for n in names}

    def edit(self, key: str, **values: str) -> None:
        """A person in HubSpot."""
        portal = portal_of(self.sandbox)
        store = portal.store("contacts")
        record = store.find(f"{key}@corp.example", "email")
        assert record is not None
        portal.update(store, record, values, portal.now_ms(), HUMAN)

    def linked(self, key: str) -> dict[str, list[int]]:
        """Company's domain → link types of one contact."""
        portal = portal_of(self.sandbox)
        record = portal.store("contacts").find(f"{key}@corp.example", "email")
        assert record is not None
        companies = portal.store("companies")
        found = {}
        for id_, types in portal.linked("contacts", record.id, "companies").items():
            company = companies.get(id_)
            assert company is not None
            found[str(companies.value(company, "domain")).partition(".")[0]] = types
        return found


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    warehouse = DuckDBWarehouse(":memory:", threads=1)
    async with running_sandbox(settings=UNLIMITED) as sandbox:
        bench = Bench(sandbox, warehouse)
        bench.firms("acme", "bolt")
        bench.people(person("ann"), person("bob", company="bolt"), person("cid", company=None))
        yield bench
    warehouse.close()


@pytest.mark.parametrize(
    ("mode", "on_leave"),
    [("upsert", "ignore"), ("update", "ignore"), ("insert", "ignore")]
    + [("mirror", leave) for leave in ("archive", "clear", "ignore")],
)
async def test_each_mode_with_policies_and_links(bench: Bench, mode: Mode, on_leave: OnLeave) -> None:
    """ann changes, a person edits her too; bob leaves, dan is new, eve stands in the portal already."""
    await bench.both()
    bench.spec = replace(CONTACTS, mode=mode, on_leave=on_leave)
    portal = portal_of(bench.sandbox)
    portal.create(portal.store("contacts"), {"email": "eve@corp.example"}, portal.now_ms(), HUMAN)
    bench.edit("ann", jobtitle="Chief of all", lifecyclestage=CUSTOMER)
    bench.people(
        person("ann", "VP", "salesqualifiedlead", "2026-02-02 10:00:00", "bolt"),
        person("cid", company=None),
        person("dan"),
        person("eve", stage=CUSTOMER),
    )
    report = await bench.run()
    assert (report.status, report.exit_code) == ("done", 0)
    changed = mode != "insert"
    seen = "2026-02-02T10:00:00.000Z" if changed else "2026-01-01T10:00:00.000Z"
    assert bench.stands("ann") == {"jobtitle": "Chief of all", "lifecyclestage": CUSTOMER, "last_seen_at": seen}
    assert bench.linked("ann") == ({"bolt": [1, 279]} if changed else {"acme": [1, 279]})
    assert bool(bench.stands("dan")) is (mode != "update")
    if mode != "update":
        assert bench.linked("dan") == {"acme": [1, 279]}
    assert bench.stands("eve")["jobtitle"] == ("CTO" if changed else None)
    assert bench.linked("eve") == ({"acme": [1, 279]} if changed else {})
    if on_leave == "archive":
        assert bench.stands("bob") == {}
    else:
        kept = {"jobtitle": "CTO", "lifecyclestage": LEAD, "last_seen_at": "2026-01-01T10:00:00.000Z"}
        assert on_leave == "clear" or bench.stands("bob") == kept
    before = int(bench.sandbox.sandbox.stats()["hubspot"]["write_requests"])
    again = await bench.run()
    assert (again.plan.changes, again.links_not_sent) == (0, 0)
    assert int(bench.sandbox.sandbox.stats()["hubspot"]["write_requests"]) == before, "nothing left to do"


async def test_clearing_who_left_keeps_what_policies_protect_and_unties(bench: Bench) -> None:
    bench.spec = replace(CONTACTS, mode="mirror", on_leave="clear", columns=(*CONTACTS.columns, "city"))
    bench.warehouse.execute("ALTER TABLE contacts ADD COLUMN city VARCHAR DEFAULT 'Riga'")
    await bench.both()
    store = portal_of(bench.sandbox).store("contacts")
    bob = store.find("bob@corp.example", "email")
    assert bob is not None
    assert store.value(bob, "city") == "Riga"
    bench.warehouse.execute("DELETE FROM contacts WHERE golden_id = 'bob'")
    await bench.run()
    assert [store.value(bob, n) for n in ("city", "jobtitle", "lifecyclestage")] == [None, "CTO", LEAD]
    assert portal_of(bench.sandbox).linked("contacts", bob.id, "companies") == {}


async def test_a_stage_behind_the_portals_is_not_sent_and_not_believed(bench: Bench) -> None:
    await bench.both()
    bench.edit("ann", lifecyclestage=CUSTOMER)
    bench.people(person("ann", stage="salesqualifiedlead"), person("bob", company="bolt"), person("cid", company=None))
    report = await bench.run()
    assert (report.plan.changes, report.plan.matched, report.counts) == (0, 1, {"ok": 1})
    assert bench.warehouse.rows("SELECT lifecyclestage FROM revetl.snapshot__hubspot__contacts WHERE key = 'ann'") == [
        (CUSTOMER,)
    ]


async def test_the_plan_tells_what_stands_there(bench: Bench) -> None:
    await bench.both()
    bench.edit("ann", lifecyclestage="marketingqualifiedlead")
    bench.people(person("ann", stage=CUSTOMER), person("bob", company="bolt"), person("cid", company=None))
    plan = await bench.plan()
    (sample,) = plan.samples
    assert sample.fields == {"lifecyclestage": ("marketingqualifiedlead", CUSTOMER)}
    assert bench.stands("ann")["lifecyclestage"] == "marketingqualifiedlead"


async def test_a_primary_company_gives_way_and_links_of_people_stay(bench: Bench) -> None:
    await bench.both()
    portal = portal_of(bench.sandbox)
    ann = portal.store("contacts").find("ann@corp.example", "email")
    other = portal.create(portal.store("companies"), {"domain": "other.example"}, portal.now_ms(), HUMAN)
    assert ann is not None
    portal.link("contacts", ann.id, "companies", other.id, [279], [280])
    bench.people(person("ann", company="bolt"), person("bob", company="bolt"), person("cid", company=None))
    report = await bench.run()
    assert report.counts == {"linked": 1, "unlinked": 1}
    assert bench.linked("ann") == {"other": [279], "bolt": [1, 279]}


async def test_which_links_stand_is_read_in_one_request(bench: Bench) -> None:
    await bench.both()
    portal = portal_of(bench.sandbox)
    ids = [r.id for r in portal.store("contacts").records.values()]
    async with bench.connect() as hubspot:
        standing = await hubspot.links_of("contacts", "companies", ids)
        assert hubspot.requests == 1
    assert {i: {other: set(kinds) for other, kinds in standing.get(i, {}).items()} for i in ids} == {
        i: {other: set(kinds) for other, kinds in portal.linked("contacts", i, "companies").items()} for i in ids
    }
    assert any(standing.values())
    assert not any(280 in kinds for others in standing.values() for kinds in others.values())


@pytest.mark.parametrize(
    ("action", "kind"),
    [("create", "reset_after"), ("create", "truncate"), ("create", "wrong_json"), ("archive", "reset_after")],
)
async def test_bad_days_lose_no_link(bench: Bench, kind: str, action: str) -> None:
    await bench.both()
    bench.people(person("ann", company="bolt"), person("bob", company=None), person("cid"))
    bench.sandbox.sandbox.faults.add(Fault(f"POST *associations*/batch/{action}", kind, times=1))
    for _ in range(3):
        if (await bench.run()).status == "done":
            break
    assert [bench.linked(key) for key in ("ann", "bob", "cid")] == [{"bolt": [1, 279]}, {}, {"acme": [1, 279]}]


async def test_a_link_to_a_company_that_is_gone_is_refused_alone(bench: Bench) -> None:
    await bench.run(COMPANIES)
    portal = portal_of(bench.sandbox)
    companies = portal.store("companies")
    gone = next(r for r in companies.records.values() if companies.value(r, "domain") == "acme.example")
    portal.archive(companies, gone)
    report = await bench.run()
    assert (report.status, report.counts) == ("partial", {"ok": 3, "linked": 1, "links_rejected": 1})
    assert bench.linked("bob") == {"bolt": [1, 279]}


async def test_the_connector_batches_by_the_vendors_limits(bench: Bench) -> None:
    warehouse, portal = bench.warehouse, portal_of(bench.sandbox)
    warehouse.execute(
        "CREATE OR REPLACE TABLE contacts AS SELECT 'p' || i AS golden_id, 'p' || i || '@corp.example' AS email,"
        " NULL::VARCHAR AS jobtitle, 'lead' AS lifecyclestage, NULL::TIMESTAMP AS last_seen_at,"
        " 'acme' AS company_golden_id FROM range(2100) t(i)"
    )
    await bench.both()
    assert portal.counts["associations.created"] == 2100
    routes = bench.sandbox.sandbox.stats()["requests"]["by_route"]
    assert sum(n for route, n in routes.items() if "associations" in route and "create" in route) == 2
    warehouse.execute("UPDATE contacts SET company_golden_id = NULL WHERE email < 'p15'")
    report = await bench.run()
    assert (report.status, report.links_not_sent) == ("done", 0)
    assert report.counts["unlinked"] > 200


async def test_types_of_links_come_from_the_portal(bench: Bench) -> None:
    async with bench.connect() as hubspot:
        assert await hubspot.link_types("contacts", "companies") == {1, 279}
        with pytest.raises(ConfigError, match="no links contacts → calls"):
            await hubspot.link_types("contacts", "calls")
    bench.spec = replace(CONTACTS, associate=(replace(CONTACTS.associate[0], type=5),))
    await bench.run(COMPANIES)
    with pytest.raises(ConfigError, match="no link of type 5 from contacts to companies"):
        await bench.run()


@pytest.mark.parametrize("version", ["v3", "2026-03"])
async def test_each_pair_is_answered_for(bench: Bench, version: str) -> None:
    await bench.both()
    portal = portal_of(bench.sandbox)
    people = list(portal.store("contacts").records)
    acme = next(iter(portal.store("companies").records))
    pairs = [Pair(i, id_, acme, alone=True) for i, id_ in enumerate([*people, "404"])] + [Pair(9, people[0], "405")]
    async with bench.connect(api_version=version) as hubspot:
        outcomes = {o.ordinal: o for o in await hubspot.link("contacts", "companies", 279, pairs)}
        assert {i: o.status for i, o in outcomes.items()} == {
            **dict.fromkeys(range(len(people)), Status.OK),
            len(people): Status.REJECTED,
            9: Status.REJECTED,
        }
        assert outcomes[9].error_code == "OBJECT_NOT_FOUND"
        labelled = [id_ for id_ in people if 1 in portal.linked("contacts", id_, "companies")[acme]]
        assert {o.status for o in await hubspot.unlink("contacts", "companies", 279, pairs)} == {Status.OK}
        assert labelled
        assert [i for i in people if acme in portal.linked("contacts", i, "companies")] == labelled, "a label keeps it"
        untied = await hubspot.unlink("contacts", "companies", 1, pairs)
        assert {o.status for o in untied} == {Status.OK}
    assert all(not portal.linked("contacts", id_, "companies").get(acme) for id_ in people)
    async with bench.connect(token="pat-readonly") as hubspot:
        with pytest.raises(Denied):
            await hubspot.link("contacts", "companies", 279, pairs[:1])

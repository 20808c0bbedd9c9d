"""People in the HubSpot sandbox, over real HTTP: they merge, archive and make records that we hold, and nothing of it
is written over."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from revetl.model import Association, FieldRule, Guardrails, OnLeave, SyncSpec
from revetl.sandbox.hubspot.schema import Property
from revetl.sandbox.hubspot.store import HUMAN, Record
from revetl.sandbox.server import running_sandbox
from revetl.state import outcomes
from revetl.sync import SyncReport
from tests.simulation.test_sync_hubspot import COMPANIES, CONTACTS, UNLIMITED, Bench
from tests.support.published_hubspot import as_published as as_published
from tests.support.sandbox_hubspot import portal_of
from tests.support.warehouses import SCHEMA, the_warehouse

pytestmark = pytest.mark.usefixtures("as_published")

PEOPLE = replace(CONTACTS, columns=("golden_id", "email", "firstname", "lifecyclestage"))
FIRMS = replace(COMPANIES, columns=("golden_id", "domain", "name"))


class Office(Bench):
    """A bench with people who work in the CRM."""

    async def sync(self, spec: SyncSpec, *rows: tuple[str, ...]) -> SyncReport:
        self.model(spec, *rows)
        return await self.run(replace(spec, columns=spec.columns[: len(rows[0])]))

    def model(self, spec: SyncSpec, *rows: tuple[str, ...]) -> None:
        """The model as of now, with as many of its columns as the rows have."""
        names = spec.columns[: len(rows[0])]
        self.warehouse.execute(f"DROP TABLE IF EXISTS {SCHEMA}.{spec.relation.name}")
        columns = ", ".join(f"{name} VARCHAR" for name in names)
        self.warehouse.execute(f"CREATE TABLE {SCHEMA}.{spec.relation.name} ({columns})")
        for row in rows:
            self.warehouse.execute(
                f"INSERT INTO {SCHEMA}.{spec.relation.name} VALUES ({', '.join('?' for _ in row)})", row
            )

    def find(self, object_: str, **value: str) -> Record:
        [(name, wanted)] = value.items()
        records = portal_of(self.sandbox).store(object_).records.values()
        return next(r for r in records if r.values.get(name) == wanted)

    def make(self, object_: str, **values: str) -> Record:
        portal = portal_of(self.sandbox)
        return portal.create(portal.store(object_), values, portal.now_ms(), HUMAN)

    async def merge(self, object_: str, primary: Record, other: Record) -> str:
        import httpx

        async with httpx.AsyncClient(base_url=self.sandbox.base_url, headers={"authorization": "Bearer pat-x"}) as http:
            body = {"primaryObjectId": primary.id, "objectIdToMerge": other.id}
            answer = await http.post(f"/crm/v3/objects/{object_}/merge", json=body)
            assert answer.status_code == 200, answer.text
            return str(answer.json()["id"])

    def values(self, object_: str, id_: str, *names: str) -> dict[str, str | None]:
        record = portal_of(self.sandbox).store(object_).get(id_)
        assert record is not None
        return {name: record.values.get(name) for name in names}

    def codes(self, report: SyncReport) -> dict[str, str | None]:
        return {o.key: o.error_code for o in outcomes.of_run(self.warehouse, report.run_id)}


@pytest.fixture
async def office() -> AsyncIterator[Office]:
    warehouse = the_warehouse()
    async with running_sandbox(settings=UNLIMITED) as sandbox:
        yield Office(sandbox, warehouse)
    warehouse.close()


KINDS = [
    (PEOPLE, "email", "ann@one.example", "bob@two.example", "hs_additional_emails"),
    (FIRMS, "domain", "one.example", "two.example", "hs_additional_domains"),
]


@pytest.mark.parametrize(("spec", "by", "one", "two", "further"), KINDS, ids=["contacts", "companies"])
async def test_of_two_that_a_person_merged_one_writes(
    office: Office, spec: SyncSpec, by: str, one: str, two: str, further: str
) -> None:
    named = spec.columns[2]
    await office.sync(spec, ("1", one, "One"), ("2", two, "Two"))
    first, second = (office.find(spec.object, **{by: value}) for value in (one, two))
    left = await office.merge(spec.object, second, first)
    for round_ in ("II", "III"):
        report = await office.sync(spec, ("1", one, f"One {round_}"), ("2", two, f"Two {round_}"))
        assert office.codes(report) == {"1": "SAME_RECORD", "2": None}
        assert office.values(spec.object, left, by, named, further) == {by: two, named: f"Two {round_}", further: one}
    office.warehouse.execute(f"UPDATE revetl.snapshot__{spec.name} SET row_hash = NULL")
    await office.sync(spec, ("1", one, "One IV"), ("2", two, "Two IV"))
    assert office.values(spec.object, left, by, named) == {by: two, named: "Two IV"}, "in doubt, and still not taken"


@pytest.mark.parametrize(("spec", "by", "one", "two", "further"), KINDS, ids=["contacts", "companies"])
async def test_a_record_that_went_into_a_strangers_keeps_the_strangers_name(
    office: Office, spec: SyncSpec, by: str, one: str, two: str, further: str
) -> None:
    named = spec.columns[2]
    await office.sync(spec, ("1", one, "One"))
    left = await office.merge(spec.object, office.make(spec.object, **{by: two}), office.find(spec.object, **{by: one}))
    report = await office.sync(spec, ("1", one, "One II"))
    assert (report.counts, office.values(spec.object, left, by, named)) == ({"ok": 1}, {by: two, named: "One II"})
    for _ in range(2):
        office.warehouse.execute(f"UPDATE revetl.snapshot__{spec.name} SET row_hash = NULL")
        await office.sync(spec, ("1", one, "One III"))
        assert office.values(spec.object, left, by, named) == {by: two, named: "One III"}


@pytest.mark.parametrize(("spec", "by", "one", "two", "further"), KINDS, ids=["contacts", "companies"])
async def test_archived_and_made_again_is_found_again(
    office: Office, spec: SyncSpec, by: str, one: str, two: str, further: str
) -> None:
    await office.sync(spec, ("1", one, "One"))
    portal = portal_of(office.sandbox)
    portal.archive(portal.store(spec.object), office.find(spec.object, **{by: one}))
    gone = await office.sync(spec, ("1", one, "One II"))
    assert office.codes(gone) == {"1": "OBJECT_NOT_FOUND"}
    again = office.make(spec.object, **{by: one})
    report = await office.sync(spec, ("1", one, "One III"))
    assert (report.counts, report.plan.found_again) == ({"ok": 1}, 1)
    assert office.values(spec.object, again.id, spec.columns[2]) == {spec.columns[2]: "One III"}
    assert len(portal.store(spec.object).records) == 1


async def test_a_stage_that_goes_back_is_told_as_not_applied(office: Office) -> None:
    await office.sync(PEOPLE, ("1", "ann@one.example", "Ann", "customer"))
    report = await office.sync(PEOPLE, ("1", "ann@one.example", "Anna", "lead"))
    assert (report.counts, report.not_applied) == ({"accepted": 1}, {"lifecyclestage": 1})
    assert report.done.updated == 0
    assert any("lifecyclestage" in note for note in report.plan.notes)
    found = office.find("contacts", email="ann@one.example")
    assert (found.values["firstname"], found.values["lifecyclestage"]) == ("Anna", "customer")
    known: Any = office.warehouse.rows(f"SELECT firstname, lifecyclestage FROM revetl.snapshot__{PEOPLE.name}")
    assert known == [("Anna", "customer")]
    ruled = replace(PEOPLE, fields={"lifecyclestage": FieldRule(policy="forward_only")})
    report = await office.sync(ruled, ("1", "ann@one.example", "Ann", "lead"))
    assert (report.counts, report.not_applied) == ({"ok": 1}, {})


async def test_values_that_are_one_to_hubspot_are_not_sent(office: Office) -> None:
    store = portal_of(office.sandbox).store("contacts")
    store.add_property(Property("colours", "enumeration", field_type="checkbox", options={"red": "R", "blue": "B"}))
    spec = replace(PEOPLE, columns=("golden_id", "email", "colours", "mrr_usd", "last_seen_at", "phone"))
    await office.sync(spec, ("1", "ann@one.example", "red;blue", "12.50", "2026-03-01T10:00:00.123456", ""))
    before = office.writes
    for row in (
        ("1", "Ann@One.example ", "blue;red;red", "12.5", "2026-03-01 10:00:00.123999+00:00", ""),
        ("1", "ann@one.example", "red;blue", "1250e-2", "2026-03-01T12:00:00.123+02:00", ""),
    ):
        report = await office.sync(spec, row)
        assert (report.plan.lines, report.plan.unchanged) == (0, 1)
    assert office.writes == before
    report = await office.sync(spec, ("1", "ann@one.example", "red", "12.51", "2026-03-01T10:00:00.124", "1"))
    assert report.plan.fields == {"colours": 1, "last_seen_at": 1, "mrr_usd": 1, "phone": 1}


async def test_a_domain_in_any_spelling_finds_its_company_and_is_sent_as_a_host(office: Office) -> None:
    office.make("companies", domain="www.acme.example", name="Acme")
    office.make("companies", domain="bücher.example", name="Bücher")
    rows = [
        ("1", "https://acme.example/", "Acme Ltd"),
        ("2", "HTTP://WWW.xn--bcher-kva.example:443/de", "Bücher Ltd"),
        ("3", "https://www.new.example/about", "New"),
    ]
    report = await office.sync(FIRMS, *rows)
    assert (report.plan.adopt, report.plan.create) == (2, 1)
    stands = {
        r.values["name"]: r.values["domain"] for r in portal_of(office.sandbox).store("companies").records.values()
    }
    assert stands == {"Acme Ltd": "www.acme.example", "Bücher Ltd": "bücher.example", "New": "new.example"}
    report = await office.sync(FIRMS, ("1", "acme.example", "Acme Ltd"), rows[1], ("3", "new.example.", "New"))
    assert report.plan.lines == 0


@pytest.mark.parametrize("chosen", ["theirs", "none"])
async def test_the_primary_company_of_a_merged_contact_is_the_persons(office: Office, chosen: str) -> None:
    """Ours went into a record of a person's own. Where that has a primary company it stays; else ours went along, and
    is not made again."""
    tied = replace(
        PEOPLE,
        columns=("golden_id", "email", "firstname", "firm_id"),
        associate=(Association(FIRMS.name, "firm_id", 1, "companies"),),
    )
    await office.sync(FIRMS, ("c1", "one.example", "One"), ("c2", "two.example", "Two"))
    await office.sync(tied, ("1", "ann@one.example", "Ann", "c1"))
    portal = portal_of(office.sandbox)
    theirs = office.make("contacts", email="annie@one.example")
    ours, other = (office.find("companies", domain=f"{name}.example").id for name in ("one", "two"))
    if chosen == "theirs":
        portal.link("contacts", theirs.id, "companies", other, [1, 279], [2, 280])
    left = await office.merge("contacts", theirs, office.find("contacts", email="ann@one.example"))
    report = await office.sync(tied, ("1", "ann@one.example", "Anna", "c1"))
    word, primary = ("links_kept", other) if chosen == "theirs" else ("links_matched", ours)
    assert report.counts == {"ok": 1, word: 1}
    assert (report.plan.links.changes, report.exit_code) == (0, 0)
    assert [to for to, kinds in portal.linked("contacts", left, "companies").items() if 1 in kinds] == [primary]
    report = await office.sync(tied, ("1", "ann@one.example", "Anna II", "c1"))
    assert report.counts == {"ok": 1}


async def test_where_ids_moved_the_plan_counts_the_links_that_the_run_makes(office: Office) -> None:
    """Two contacts of ours merged, one merged into a person's, one archived and made again, two companies merged."""
    tied = replace(
        PEOPLE,
        columns=("golden_id", "email", "firstname", "firm_id"),
        associate=(Association(FIRMS.name, "firm_id", 1, "companies"),),
    )

    def people(name: str) -> list[tuple[str, ...]]:
        changed = ("10", "12", "21")
        return [(k, f"b{k}@x.example", name if k in changed else "-", f"c{k}") for k in ("10", "11", "12", "21", "30")]

    def firms(name: str) -> list[tuple[str, ...]]:
        return [(f"c{k}", f"f{k}.example", name if k == "30" else "-") for k in ("10", "11", "12", "21", "30", "31")]

    await office.sync(FIRMS, *firms("I"))
    await office.sync(tied, *people("I"))
    portal = portal_of(office.sandbox)
    found = {k: office.find("contacts", email=f"b{k}@x.example") for k in ("10", "11", "12", "21")}
    await office.merge("contacts", found["10"], found["11"])
    await office.merge("contacts", office.make("contacts", email="hand@x.example"), found["12"])
    portal.archive(portal.store("contacts"), found["21"])
    office.make("contacts", email="b21@x.example")
    thirty, more = (office.find("companies", domain=f"f{k}.example") for k in ("30", "31"))
    await office.merge("companies", thirty, more)
    await office.sync(FIRMS, *firms("II"))
    report = await office.sync(tied, *people("II"))
    links = report.plan.links
    assert (links.link, links.unlink, links.standing, links.kept) == (1, 0, 3, 0)
    assert report.counts == {"ok": 3, "linked": 1, "links_matched": 3}
    assert report.plan.forecast is not None
    assert report.requests - report.plan.forecast.requests == 2, "beside the fields of the two objects all is foreseen"


@pytest.mark.parametrize("on_leave", ["archive", "erase", "clear"])
@pytest.mark.parametrize("learned", [False, True])
async def test_who_left_takes_nobody_along_who_was_merged_into_their_record(
    office: Office, on_leave: OnLeave, *, learned: bool
) -> None:
    """The record has a new id, and our address is its main one still. `learned`: a sync has written to it since."""
    spec = replace(PEOPLE, mode="mirror", on_leave=on_leave, guardrails=Guardrails(min_rows=0, max_deleted_share=1.0))
    await office.sync(spec, ("1", "ann@one.example", "Ann"), ("2", "bob@two.example", "Bob"))
    person = office.make("contacts", email="who@else.example", phone="123")
    left = await office.merge("contacts", office.find("contacts", email="ann@one.example"), person)
    if learned:
        await office.sync(spec, ("1", "ann@one.example", "Anna"), ("2", "bob@two.example", "Bob"))
    stood = office.values("contacts", left, "email", "firstname", "phone")
    for _ in range(2):
        report = await office.sync(spec, ("2", "bob@two.example", "Bob"))
        assert (report.exit_code, report.waiting_reasons) == (1, {"NOT_OURS": 1})
        assert office.values("contacts", left, "email", "firstname", "phone") == stood
    portal = portal_of(office.sandbox)
    portal.archive(portal.store("contacts"), portal.store("contacts").records[left])
    assert (await office.sync(spec, ("2", "bob@two.example", "Bob"))).exit_code == 0

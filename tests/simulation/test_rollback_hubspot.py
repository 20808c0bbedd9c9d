"""Rollback and drift with the HubSpot connector against its sandbox, over real HTTP on loopback."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest

from revetl.clock import SystemClock
from revetl.destinations.hubspot import HubSpot, Options
from revetl.model import SyncSpec
from revetl.sandbox.faults import Fault
from revetl.sandbox.hubspot.store import HUMAN
from revetl.sandbox.server import RunningSandbox, running_sandbox
from revetl.state.runs import get_run
from revetl.sync import SyncReport, run_sync
from revetl.sync.drift.reading import DriftOptions, DriftReport, find_drift
from revetl.sync.drift.resolution import DriftResolution
from revetl.sync.rollback.rolling_back import RollbackChoices, RollbackReport, roll_back
from revetl.warehouse.base import Warehouse
from tests.simulation.test_sync_hubspot import COMPANIES, CONTACTS, UNLIMITED, make_models
from tests.support.published_hubspot import as_published as as_published
from tests.support.sandbox_hubspot import portal_of
from tests.support.sync_bench import context
from tests.support.warehouses import the_warehouse

pytestmark = pytest.mark.usefixtures("as_published")

ROWS = 230
CLOCK = SystemClock()


@dataclass
class Bench:
    sandbox: RunningSandbox
    warehouse: Warehouse

    def hubspot(self) -> HubSpot:
        options = Options.model_validate(
            {"base_url": self.sandbox.base_url, "token": "pat-test", "searches_per_s": 100, "requests_per_10_s": 1000}
        )
        return HubSpot("hubspot", options, CLOCK, rng=random.Random(1))

    async def sync(self, spec: SyncSpec) -> SyncReport:
        async with self.hubspot() as destination:
            return await run_sync(context(self.warehouse, CLOCK), spec, destination)

    async def roll_back(self, spec: SyncSpec, run_id: str, choices: RollbackChoices | None = None) -> RollbackReport:
        run = get_run(self.warehouse, run_id)
        assert run is not None
        async with self.hubspot() as destination:
            ctx = context(self.warehouse, CLOCK, command="rollback")
            return await roll_back(ctx, spec, destination, run, choices or RollbackChoices())

    async def drift(self, spec: SyncSpec, resolution: DriftResolution | None = None) -> DriftReport:
        async with self.hubspot() as destination:
            ctx = context(self.warehouse, CLOCK, command="drift")
            return await find_drift(ctx, spec, destination, DriftOptions(resolution=resolution))

    def id_of(self, spec: SyncSpec, key: str) -> str:
        sql = f"SELECT destination_id FROM revetl.snapshot__{spec.name} WHERE key = ?"
        return str(self.warehouse.rows(sql, [key])[0][0])

    def edit(self, spec: SyncSpec, key: str, **values: str) -> None:
        """As a person does in the CRM."""
        portal = portal_of(self.sandbox)
        store = portal.store(spec.object)
        portal.update(store, store.records[self.id_of(spec, key)], values, portal.now_ms(), HUMAN)

    def archive(self, spec: SyncSpec, key: str) -> None:
        store = portal_of(self.sandbox).store(spec.object)
        portal_of(self.sandbox).archive(store, store.records[self.id_of(spec, key)])

    async def merge(self, spec: SyncSpec, winner: str, loser: str) -> None:
        import httpx

        async with httpx.AsyncClient(base_url=self.sandbox.base_url, headers={"authorization": "Bearer pat-x"}) as http:
            body = {"primaryObjectId": winner, "objectIdToMerge": loser}
            answer = await http.post(f"/crm/v3/objects/{spec.object}/merge", json=body)
            assert answer.status_code == 200, answer.text

    def stands(self, spec: SyncSpec) -> dict[str, dict[str, str | None]]:
        """The sync's fields of every record, by id."""
        store = portal_of(self.sandbox).store(spec.object)
        names = spec.sent_columns
        return {id_: {n: store.value(r, n) for n in names} for id_, r in sorted(store.records.items())}


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    warehouse = the_warehouse()
    make_models(warehouse, contacts=ROWS, companies=ROWS, blank_every=5)
    async with running_sandbox(settings=UNLIMITED) as sandbox:
        yield Bench(sandbox, warehouse)
    warehouse.close()


SPOIL = {
    "contacts": "UPDATE contacts SET firstname = NULL, open_tickets = open_tickets + 1, last_seen_at = NULL",
    "companies": "UPDATE companies SET name = 'BAD', numberofemployees = 1",
}
both = pytest.mark.parametrize("spec", [CONTACTS, COMPANIES], ids=lambda s: s.object)


@both
async def test_a_bad_push_is_undone_and_stays_undone(bench: Bench, spec: SyncSpec) -> None:
    await bench.sync(spec)
    good = bench.stands(spec)
    bench.warehouse.execute(SPOIL[spec.object])
    bad = await bench.sync(spec)
    assert bench.stands(spec) != good
    report = await bench.roll_back(spec, bad.run_id)
    assert (report.status, report.counts, bench.stands(spec)) == ("done", {"ok": bad.plan.changes}, good)
    assert report.requests <= 3 + 3 + 1, "read by the hundred, written by the hundred, and the properties"
    again = await bench.sync(spec)
    assert (again.plan.changes, bench.stands(spec)) == (0, good)
    second = await bench.roll_back(spec, report.run_id)
    assert second.counts == {"ok": bad.plan.changes}
    assert (await bench.sync(spec)).plan.changes == 0


@both
async def test_what_people_did_since_is_left(bench: Bench, spec: SyncSpec) -> None:
    await bench.sync(spec)
    good = bench.stands(spec)
    bench.warehouse.execute(SPOIL[spec.object])
    bad = await bench.sync(spec)
    key = spec.key and {"contacts": "c", "companies": "k"}[spec.object]
    name = {"contacts": "firstname", "companies": "name"}[spec.object]
    bench.edit(spec, f"{key}7", **{name: "By hand"})
    bench.archive(spec, f"{key}8")
    winner = bench.id_of(spec, f"{key}10")
    await bench.merge(spec, winner, bench.id_of(spec, f"{key}9"))
    gone = {bench.id_of(spec, f"{key}8"), bench.id_of(spec, f"{key}9"), winner}
    report = await bench.roll_back(spec, bad.run_id)
    assert report.plan.left == 2
    stands = bench.stands(spec)
    assert stands.pop(bench.id_of(spec, f"{key}7"))[name] == "By hand"
    # The record of two has a new id, and what stood in the one into which the other went.
    assert stands.pop(bench.id_of(spec, f"{key}10")) == good[winner]
    assert all(stands[id_] == good[id_] for id_ in stands)
    assert gone.isdisjoint(stands)
    assert {reason for reason, whole, _ in report.plan.reasons if whole} == {
        "not there any more: archived or deleted since",
        f"merged into record {bench.id_of(spec, f'{key}10')} there",
    }


@both
async def test_created_records_are_archived_when_asked_unless_touched(bench: Bench, spec: SyncSpec) -> None:
    first = await bench.sync(spec)
    key = {"contacts": "c", "companies": "k"}[spec.object]
    bench.edit(spec, f"{key}7", **{spec.sent_columns[1]: "By hand"})
    report = await bench.roll_back(spec, first.run_id, RollbackChoices(archive_created=True))
    assert report.counts == {"ok": ROWS - 1, "skipped": 1}
    assert len(bench.stands(spec)) == 1
    assert (await bench.sync(spec)).plan.changes == 0
    anew = await bench.roll_back(spec, report.run_id, RollbackChoices(recreate_archived=True))
    assert anew.counts == {"ok": ROWS - 1}
    assert len(bench.stands(spec)) == ROWS
    assert (await bench.sync(spec)).plan.changes == 0


@pytest.mark.parametrize("kind", ["reset_after", "truncate", "status_after"])
async def test_bad_days_while_undoing_lose_nothing(bench: Bench, kind: str) -> None:
    await bench.sync(CONTACTS)
    good = bench.stands(CONTACTS)
    bench.warehouse.execute(SPOIL["contacts"])
    bad = await bench.sync(CONTACTS)
    bench.sandbox.sandbox.faults.add(Fault("POST */batch/update", kind, times=1))
    for _ in range(3):
        report = await bench.roll_back(CONTACTS, bad.run_id)
        if report.status == "done":
            break
    assert (report.status, bench.stands(CONTACTS)) == ("done", good)
    assert (await bench.sync(CONTACTS)).plan.changes == 0


@both
async def test_drift_is_what_people_did_and_not_what_hubspot_does(bench: Bench, spec: SyncSpec) -> None:
    await bench.sync(spec)
    clean = await bench.drift(spec)
    assert (clean.read, clean.drifted) == (ROWS, 0), "lower-cased emails, numbers and times are no drift"
    assert clean.requests <= 3 + 1
    key = {"contacts": "c", "companies": "k"}[spec.object]
    name = spec.sent_columns[1]
    bench.edit(spec, f"{key}1", **{name: "By hand"})
    bench.edit(spec, f"{key}2", **{name: ""})
    bench.archive(spec, f"{key}3")
    await bench.merge(spec, bench.id_of(spec, f"{key}6"), bench.id_of(spec, f"{key}4"))
    report = await bench.drift(spec)
    assert report.fields == {name: {"theirs": 2}}
    assert report.records == {"merged": 2, "missing": 1, "theirs": 2}, "both old ids lead to a new one"
    settled = await bench.drift(spec, DriftResolution("reassert", None))
    assert (settled.resolved, settled.cells) == (4, 2), "the one that went into another of ours is left alone"
    report_of_sync: Any = await bench.sync(spec)
    assert (report_of_sync.plan.update, report_of_sync.plan.create) == (2, 1)
    assert (await bench.drift(spec)).records == {"merged": 1}


async def test_a_contact_merged_into_a_strangers_is_found_again(bench: Bench) -> None:
    await bench.sync(CONTACTS)
    portal = portal_of(bench.sandbox)
    store = portal.store("contacts")
    stranger = portal.create(store, {"email": "stranger@other.example"}, portal.now_ms(), HUMAN)
    await bench.merge(CONTACTS, stranger.id, bench.id_of(CONTACTS, "c4"))
    report = await bench.drift(CONTACTS)
    assert report.records == {"merged": 1, "theirs": 1}, "the stranger's address is the main one now"
    await bench.drift(CONTACTS, DriftResolution("accept", None))
    survivor = store.get(stranger.id)
    assert survivor is not None
    assert bench.id_of(CONTACTS, "c4") == survivor.id
    assert (await bench.sync(CONTACTS)).plan.changes == 0
    bench.warehouse.execute("UPDATE contacts SET firstname = 'New' WHERE golden_id = 'c4'")
    assert (await bench.sync(CONTACTS)).counts == {"ok": 1}
    assert store.value(survivor, "firstname") == "New"

"""The engine, the HubSpot connector and the HubSpot sandbox together, over real HTTP on loopback."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

import pyarrow as pa
import pytest

from revetl.clock import SystemClock
from revetl.destinations.hubspot import HubSpot, Options
from revetl.model import Relation, SyncSpec
from revetl.sandbox.faults import Fault
from revetl.sandbox.server import RunningSandbox, running_sandbox
from revetl.sandbox.settings import SandboxSettings
from revetl.state import outcomes
from revetl.sync import SyncReport, run_sync
from revetl.warehouse.base import Warehouse
from tests.support.published_hubspot import as_published as as_published
from tests.support.sandbox_hubspot import portal_of
from tests.support.sync_bench import context
from tests.support.warehouses import SCHEMA, the_warehouse

pytestmark = pytest.mark.usefixtures("as_published")

UNLIMITED = SandboxSettings(limited=False)
SEEN = datetime.fromisoformat("2026-01-01T10:00")  # without a zone, as models hold UTC
CONTACTS = SyncSpec(
    name="hubspot__contacts",
    relation=Relation(SCHEMA, "contacts"),
    destination="hubspot",
    object="contacts",
    key="golden_id",
    match_on="email",
    columns=("golden_id", "email", "firstname", "open_tickets", "last_seen_at"),
)
COMPANIES = replace(
    CONTACTS,
    name="hubspot__companies",
    relation=Relation(SCHEMA, "companies"),
    object="companies",
    match_on="domain",
    columns=("golden_id", "domain", "name", "numberofemployees"),
)


@dataclass
class Bench:
    sandbox: RunningSandbox
    warehouse: Warehouse

    async def run(self, spec: SyncSpec) -> SyncReport:
        """A process of its own: a new connection to HubSpot, the same warehouse."""
        options = Options.model_validate(
            {"base_url": self.sandbox.base_url, "token": "pat-test", "searches_per_s": 100, "requests_per_10_s": 1000}
        )
        clock = SystemClock()
        async with HubSpot("hubspot", options, clock, rng=random.Random(1)) as destination:
            return await run_sync(context(self.warehouse, clock), spec, destination)

    def records(self, object_: str, name: str) -> list[str | None]:
        store = portal_of(self.sandbox).store(object_)
        return sorted(str(store.value(r, name)) for r in store.records.values())

    @property
    def writes(self) -> int:
        return int(self.sandbox.sandbox.stats()["hubspot"]["write_requests"])


def make_models(warehouse: Warehouse, *, contacts: int, companies: int, blank_every: int | None = None) -> None:
    """`blank_every`: every so manieth company has no number of employees."""
    warehouse.execute(
        f"CREATE TABLE {SCHEMA}.contacts"
        " (golden_id VARCHAR, email VARCHAR, firstname VARCHAR, open_tickets BIGINT, last_seen_at TIMESTAMP)"
    )
    people = [(f"c{i}", f"P{i}@Corp.example", f"Name {i}", i, SEEN + timedelta(hours=i)) for i in range(contacts)]
    warehouse.append(CONTACTS.relation, columns(CONTACTS, people))
    warehouse.execute(
        f"CREATE TABLE {SCHEMA}.companies (golden_id VARCHAR, domain VARCHAR, name VARCHAR, numberofemployees INTEGER)"
    )
    firms = [
        (f"k{i}", f"d{i}.example", f"Company {i}", i * 10 if blank_every is None or i % blank_every else None)
        for i in range(companies)
    ]
    warehouse.append(COMPANIES.relation, columns(COMPANIES, firms))


def columns(spec: SyncSpec, rows: list[tuple[Any, ...]]) -> pa.Table:
    return pa.table(dict(zip(spec.columns, map(list, zip(*rows, strict=True)), strict=True)))


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    warehouse = the_warehouse()
    make_models(warehouse, contacts=250, companies=120)
    async with running_sandbox(settings=UNLIMITED) as sandbox:
        yield Bench(sandbox, warehouse)
    warehouse.close()


@pytest.mark.parametrize("spec", [CONTACTS, COMPANIES], ids=lambda s: s.object)
async def test_create_then_nothing_then_only_what_changed(bench: Bench, spec: SyncSpec) -> None:
    rows = bench.warehouse.rows(f"SELECT count(*) FROM {spec.relation.name}")[0][0]
    first = await bench.run(spec)
    assert (first.status, first.counts, first.plan.create) == ("done", {"ok": rows}, rows)
    writes = bench.writes
    second = await bench.run(spec)
    assert (second.plan.changes, second.requests, bench.writes) == (0, 0, writes)
    changed = "firstname" if spec is CONTACTS else "name"
    bench.warehouse.execute(f"UPDATE {spec.relation.name} SET {changed} = 'New' WHERE golden_id LIKE '%7'")
    third = await bench.run(spec)
    assert third.plan.fields == {changed: third.plan.update}
    assert bench.writes == writes + 1
    assert bench.records(spec.object, changed).count("New") == third.plan.update


@pytest.mark.parametrize("spec", [CONTACTS, COMPANIES], ids=lambda s: s.object)
async def test_a_lost_snapshot_is_no_reason_for_a_second_record(bench: Bench, spec: SyncSpec) -> None:
    await bench.run(spec)
    before = bench.records(spec.object, spec.match_on or "")
    writes = bench.writes
    bench.warehouse.execute(f"DROP TABLE revetl.snapshot__{spec.name}")
    bench.warehouse.execute(f"UPDATE {spec.relation.name} SET golden_id = golden_id || 'x'")
    report = await bench.run(spec)
    assert report.plan.create == 0
    assert report.counts == {"ok": report.plan.source_rows}, "all stand there with these values"
    assert (bench.records(spec.object, spec.match_on or ""), bench.writes) == (before, writes)


@pytest.mark.parametrize("kind", ["reset_before", "reset_after", "truncate", "wrong_json", "status_after"])
@pytest.mark.parametrize("spec", [CONTACTS, COMPANIES], ids=lambda s: s.object)
async def test_bad_days_lose_nothing_and_double_nothing(bench: Bench, spec: SyncSpec, kind: str) -> None:
    bench.sandbox.sandbox.faults.add(Fault("POST */batch/upsert", kind, times=1))
    for _ in range(3):
        report = await bench.run(spec)
        if report.status == "done":
            break
    assert report.status == "done"
    wanted = bench.warehouse.rows(f"SELECT lower({spec.match_on}) FROM {spec.relation.name} ORDER BY 1")
    assert bench.records(spec.object, spec.match_on or "") == [v for (v,) in wanted]


async def test_one_bad_record_costs_nobody_and_says_why(bench: Bench) -> None:
    bench.warehouse.execute("UPDATE contacts SET email = 'not an email' WHERE golden_id = 'c42'")
    report = await bench.run(CONTACTS)
    assert report.counts == {"ok": 249, "rejected": 1}
    (record,) = outcomes.of_run(bench.warehouse, report.run_id, statuses=["rejected"])
    assert (record.key, record.error_class) == ("c42", "Rejected")
    assert record.message


async def test_a_bad_token_is_told_apart(bench: Bench) -> None:
    bench.sandbox.sandbox.faults.add(Fault("POST */batch/upsert", "status", times=None, status=401))
    report = await bench.run(CONTACTS)
    assert (report.status, report.exit_code, report.not_sent) == ("failed", 4, 250)
    bench.sandbox.sandbox.faults.clear()
    again: Any = await bench.run(CONTACTS)
    assert (again.recovered, again.counts) == (0, {"ok": 250})


async def test_addresses_move_round_down_a_chain_and_to_a_new_record(bench: Bench) -> None:
    """HubSpot refuses an address that another contact has, and looks at a batch before it writes any of it."""
    await bench.run(CONTACTS)
    ids = dict(bench.warehouse.rows("SELECT key, destination_id FROM revetl.snapshot__hubspot__contacts"))
    # Two hundred in a circle, twenty in a chain of which the last gets a new address, and one that is new.
    moves = {f"c{i}": f"p{(i + 1) % 200}@corp.example" for i in range(200)}
    moves |= {f"c{i}": f"p{i + 1}@corp.example" for i in range(200, 220)} | {"c220": "new@corp.example"}
    bench.warehouse.execute("ALTER TABLE contacts RENAME TO earlier")
    cases = " ".join(f"WHEN '{key}' THEN '{email}'" for key, email in moves.items())
    bench.warehouse.execute(
        f"""
        CREATE TABLE contacts AS
        SELECT golden_id, CASE golden_id {cases} ELSE email END AS email, firstname, open_tickets, last_seen_at
        FROM earlier
        UNION ALL
        SELECT 'c999', 'p200@corp.example', 'New', 1, NULL
        """
    )
    report = await bench.run(CONTACTS)
    assert (report.plan.update, report.plan.create, report.plan.withheld) == (221, 1, 0)
    assert (report.plan.vacated, report.plan.waves, report.counts) == (1, 200, {"ok": 222})
    after = dict(bench.warehouse.rows("SELECT key, destination_id FROM revetl.snapshot__hubspot__contacts"))
    assert {key: after[key] for key in ids} == ids
    assert after["c999"] not in ids.values()
    store = portal_of(bench.sandbox).store("contacts")
    wanted = dict(bench.warehouse.rows("SELECT golden_id, lower(email) FROM contacts"))
    assert {key: store.value(store.records[str(id_)], "email") for key, id_ in after.items()} == wanted
    assert (await bench.run(CONTACTS)).plan.lines == 0

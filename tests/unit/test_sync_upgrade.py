"""What an earlier version left in the warehouse is read after an upgrade: its plans call `outcome` `settled`."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from revetl.model import Association, Guardrails, Relation
from revetl.state import snapshot
from revetl.state.sync_tables import resolve
from revetl.sync.plan import saved
from tests.support.crashing import Crash, CrashingWarehouse, Fuse
from tests.support.sync_bench import ANN, BOB, CID, Bench, bench_of_three
from tests.support.warehouses import SCHEMA

NAMELESS = ("4", None, "Dan", "Kyiv")


@pytest.fixture
def bench() -> Bench:
    return bench_of_three()


def as_of_the_earlier_version(bench: Bench, plan: str = "plan__fake__contacts") -> None:
    bench.warehouse.execute(f"ALTER TABLE revetl.{plan} RENAME COLUMN outcome TO settled")


def columns(bench: Bench) -> set[str]:
    return {c.name for c in bench.warehouse.columns(Relation("revetl", "plan__fake__contacts"))}


def test_a_run_of_the_earlier_version_that_died_is_recovered(bench: Bench) -> None:
    bench.source([ANN, BOB, CID, NAMELESS])
    fuse, inner = Fuse(), bench.warehouse

    def die(_: object) -> None:
        fuse.dead = True
        fuse.tick()

    bench.warehouse, bench.destination.after_write = CrashingWarehouse(inner, fuse), die
    with pytest.raises(Crash):
        bench.run(run_id="died")
    bench.warehouse, bench.destination.after_write = inner, lambda _: None
    as_of_the_earlier_version(bench)
    landed = len(bench.destination.records)
    assert landed > 0
    report = bench.run()
    assert report.recovered == 3, "in flight were those that were to be sent, and not the one that was withheld"
    assert len(bench.destination.records) == 3, "nothing was made twice"
    unknown = bench.rows("SELECT key FROM revetl.outcomes WHERE run_id = 'died' AND status = 'unknown' ORDER BY key")
    assert unknown == [("1",), ("2",), ("3",)]
    assert bench.run().plan.changes == 0


def test_preparing_the_tables_renames_the_column_once(bench: Bench) -> None:
    bench.plan()
    lines = bench.rows("SELECT key, outcome FROM revetl.plan__fake__contacts ORDER BY key")
    as_of_the_earlier_version(bench)
    tables = resolve(bench.warehouse, bench.spec)
    for _ in range(2):
        snapshot.prepare(tables)
        assert bench.rows("SELECT key, outcome FROM revetl.plan__fake__contacts ORDER BY key") == lines


def test_a_plan_that_the_earlier_version_saved_is_applied(bench: Bench, tmp_path: Path) -> None:
    bench.source([ANN, BOB, CID, NAMELESS])
    plan = bench.plan()
    as_of_the_earlier_version(bench)
    made = saved.entry(bench.warehouse, bench.spec, plan, bench.clock)
    saved.write_file(bench.warehouse, tmp_path / "plan.json", "dev", [made], bench.clock)
    (entry,) = saved.read_file(tmp_path / "plan.json").entries
    saved.check(bench.warehouse, bench.spec, entry)
    report = asyncio.run(bench.start(planner=saved.planner(bench.warehouse, bench.spec, entry)))
    assert (report.status, report.counts) == ("done", {"ok": 3, "skipped": 1})
    assert "settled" not in columns(bench)


def test_links_are_foreseen_beside_another_sync_that_was_planned_before_the_upgrade(bench: Bench) -> None:
    bench.warehouse.execute("CREATE TABLE firms (golden_id VARCHAR, email VARCHAR)")
    bench.warehouse.execute("INSERT INTO firms VALUES ('acme', 'acme@x.io')")
    bench.source([("ann", "ann@x.io", "acme")], "golden_id VARCHAR, email VARCHAR, firm_id VARCHAR")
    contacts = bench.spec
    bench.sync_as(
        name="fake__firms",
        relation=Relation(SCHEMA, "firms"),
        object="firms",
        columns=("golden_id", "email"),
        guardrails=Guardrails(min_rows=0),
    )
    bench.plan()
    bench.spec = contacts
    bench.sync_as(
        columns=("golden_id", "email", "firm_id"),
        associate=(Association("fake__firms", "firm_id", 279, "firms"),),
    )
    now = bench.plan().links
    assert (now.link, now.waiting) == (1, 0)
    as_of_the_earlier_version(bench, "plan__fake__firms")
    assert bench.plan().links == now

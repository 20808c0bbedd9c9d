"""Two syncs of one object that stand on the same records: what one leaves, the other still sends."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from revetl.model import Guardrails, OnLeave, Relation, SyncSpec
from revetl.state import runs, syncs
from revetl.sync import SyncOptions, SyncReport, run_sync
from revetl.sync.disconnect.taking_back import Leaving
from revetl.sync.rollback.judge import RollbackChoices
from revetl.sync.rollback.rolling_back import roll_back
from tests.support.sync_bench import ANN, BOB, Bench
from tests.support.warehouses import SCHEMA
from tests.unit.test_sync_disconnect import left
from tests.unit.test_sync_removals import ErasingFake


def other_of(bench: Bench) -> SyncSpec:
    """Sends `firstname` of the same people, and no city."""
    return replace(
        bench.spec,
        name="other__contacts",
        relation=Relation(SCHEMA, "others"),
        columns=("golden_id", "email", "firstname"),
        mode="upsert",
    )


def run_other(bench: Bench, rows: list[Any]) -> SyncReport:
    bench.warehouse.execute("DROP TABLE IF EXISTS others")
    bench.warehouse.execute("CREATE TABLE others (golden_id VARCHAR, email VARCHAR, firstname VARCHAR)")
    for row in rows:
        bench.warehouse.execute("INSERT INTO others VALUES (?, ?, ?)", list(row[:3]))
    return asyncio.run(run_sync(bench.context(), other_of(bench), bench.destination, SyncOptions()))


def shared(**changes: Any) -> Bench:
    """Ann and Bob were made by the one sync, and Ann is known to the other, too."""
    bench = Bench(destination=ErasingFake())
    bench.sync_as(guardrails=Guardrails(min_rows=0, max_deleted_share=1.0), **changes)
    bench.source([ANN, BOB])
    bench.run()
    run_other(bench, [ANN])
    return bench


def stands(bench: Bench) -> set[Any]:
    return set(bench.destination.by("email"))


def test_a_disconnect_archives_no_record_that_another_sync_sends() -> None:
    bench = shared()
    report = left(bench, Leaving.ARCHIVE)
    assert stands(bench) == {"ann@x.io"}
    assert report.plan.changes is not None
    reasons = [(why, n) for why, _, n in report.plan.changes.reasons]
    assert reasons == [("the sync other__contacts stands on it, too, and still sends it", 1)]
    assert (report.status, report.disconnected) == ("done", True)


def test_a_disconnect_clears_no_field_that_another_sync_sends() -> None:
    bench = shared()
    report = left(bench, Leaving.CLEAR)
    ann, bob = (bench.destination.by("email")[f"{name}@x.io"] for name in ("ann", "bob"))
    assert (ann["firstname"], ann.get("city")) == ("Ann", None)
    assert (bob.get("firstname"), bob.get("city")) == (None, None)
    assert report.plan.changes is not None
    assert ("the sync other__contacts sends it, too", False, 1) in report.plan.changes.reasons


@pytest.mark.parametrize("on_leave", ["archive", "erase", "clear"])
def test_a_mirror_leaves_who_is_in_the_model_of_another_sync(on_leave: OnLeave) -> None:
    bench = shared(mode="mirror", on_leave=on_leave)
    bench.source([])
    report = bench.run()
    assert bench.destination.by("email")["ann@x.io"]["firstname"] == "Ann"
    assert (report.plan.refused, report.exit_code) == ({"NOT_OURS": 1}, 1)
    assert on_leave == "clear" or stands(bench) == {"ann@x.io"}
    # Once the other sync is disconnected nothing is in the way.
    known = syncs.read(bench.warehouse, "other__contacts")
    assert known is not None
    syncs.begin_disconnect(bench.warehouse, known, "r", bench.clock.now())
    bench.run()
    assert on_leave == "clear" or stands(bench) == set()


def test_a_rollback_archives_no_record_that_another_sync_sends() -> None:
    bench = shared()
    run = next(r for r in runs.list_runs(bench.warehouse) if r.subject == bench.spec.name)
    choices = RollbackChoices(archive_created=True)
    report = asyncio.run(roll_back(bench.context(command="rollback"), bench.spec, bench.destination, run, choices))
    assert stands(bench) == {"ann@x.io"}
    assert (report.plan.archive, report.plan.left) == (1, 1)

"""Contacts that left a mirror with `on_leave: erase`: erased for good, one a call, and never taken back."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from revetl.cli.terminal import what_is_deleted
from revetl.clock import SystemClock
from revetl.errors import ConfigError
from revetl.model import Guardrails, SyncSpec
from revetl.sandbox.faults import Fault
from revetl.state import runs
from revetl.sync.rollback.judge import ERASED_FOR_GOOD, RollbackChoices
from revetl.sync.rollback.rolling_back import RollbackReport, roll_back
from tests.support.hubspot_bench import PortalBench, portal_bench
from tests.support.published_hubspot import as_published as as_published
from tests.support.sync_bench import context

pytestmark = pytest.mark.usefixtures("as_published")

PEOPLE = [(f"c{i}", f"p{i}@x.example") for i in range(4)]


@pytest.fixture
async def bench() -> AsyncIterator[PortalBench]:
    async with portal_bench() as bench:
        fill(bench, 4)
        assert (await bench.run(erasing(bench))).counts == {"ok": 4}
        yield bench


def fill(bench: PortalBench, people: int) -> None:
    bench.model("k VARCHAR, email VARCHAR", *PEOPLE[:people])


def erasing(bench: PortalBench, **more: Any) -> SyncSpec:
    given = {"match_on": "email", "mode": "mirror", "on_leave": "erase", "guardrails": Guardrails(min_rows=0)}
    return bench.spec("contacts", **{**given, **more})


async def rolled_back(bench: PortalBench, spec: SyncSpec, run_id: str) -> RollbackReport:
    undone = runs.get_run(bench.warehouse, run_id)
    assert undone is not None
    choices = RollbackChoices(recreate_archived=True, archive_created=True)
    async with bench.connect() as destination:
        return await roll_back(context(bench.warehouse, SystemClock()), spec, destination, undone, choices)


@pytest.mark.parametrize("version", ["v3", "2026-03", "2026-09"])
async def test_who_left_is_erased_and_not_archived(bench: PortalBench, version: str) -> None:
    fill(bench, 2)
    plan = await bench.plan(erasing(bench))
    assert (plan.delete, plan.erased, plan.requests) == (2, 2, 2)
    assert "hubspot__model: erase for good, which nobody can take back, 2 record(s)" in what_is_deleted(plan)
    assert "erases 2 record(s) for good: nobody can bring them back, and no rollback does" in plan.notes
    assert (await bench.run(erasing(bench), api_version=version)).counts == {"ok": 2}
    assert bench.records("contacts", "email") == [("p0@x.example",), ("p1@x.example",)]
    assert bench.portal.store("contacts").archived == {}
    assert (await bench.plan(erasing(bench))).changes == 0


async def test_a_saved_plan_says_so_and_erases(bench: PortalBench) -> None:
    fill(bench, 2)
    data, report = await bench.save_and_apply(erasing(bench))
    assert (data["erased"], report.counts, report.plan.erased) == (2, {"ok": 2}, 2)
    assert (len(bench.records("contacts")), bench.portal.store("contacts").archived) == (2, {})


async def test_on_leave_archive_archives_as_ever(bench: PortalBench) -> None:
    fill(bench, 2)
    plan = await bench.plan(erasing(bench, on_leave="archive"))
    assert (plan.delete, plan.erased, plan.requests) == (2, 0, 1)
    await bench.run(erasing(bench, on_leave="archive"))
    assert len(bench.portal.store("contacts").archived) == 2


async def test_a_rollback_refuses_it_by_name_whatever_is_asked(bench: PortalBench) -> None:
    fill(bench, 3)
    erased = await bench.run(erasing(bench))
    for spec in (erasing(bench), erasing(bench, on_leave="archive")):
        report = await rolled_back(bench, spec, erased.run_id)
        assert (report.plan.changes, [reason for reason, _, _ in report.plan.reasons]) == (0, [ERASED_FOR_GOOD])
    assert len(bench.records("contacts", "email")) == 3


async def test_a_rollback_archives_what_a_run_of_such_a_sync_created(bench: PortalBench) -> None:
    (first,) = runs.list_runs(bench.warehouse)
    await rolled_back(bench, erasing(bench), first.run_id)
    assert (bench.records("contacts"), len(bench.portal.store("contacts").archived)) == ([], 4)


@pytest.mark.parametrize("kind", ["reset_before", "reset_after"])
async def test_an_answer_that_is_lost_is_asked_for_again(bench: PortalBench, kind: str) -> None:
    bench.sandbox.sandbox.faults.add(Fault("POST *gdpr-delete", kind, times=1))
    fill(bench, 1)
    assert (await bench.run(erasing(bench))).counts == {"ok": 3}
    assert len(bench.records("contacts")) == 1


async def test_what_is_denied_half_way_is_unknown_and_sent_again(bench: PortalBench) -> None:
    bench.sandbox.sandbox.faults.add(Fault("POST *gdpr-delete", "status", status=403, skip=1, times=1))
    fill(bench, 1)
    await bench.run(erasing(bench))
    bench.sandbox.sandbox.faults.clear()
    await bench.run(erasing(bench))
    assert len(bench.records("contacts")) == 1
    assert bench.portal.store("contacts").archived == {}


async def test_the_guardrail_of_deletes_holds(bench: PortalBench) -> None:
    fill(bench, 1)
    guarded = erasing(bench, guardrails=Guardrails(min_rows=0, max_deleted_share=0.1))
    assert [v.guardrail for v in (await bench.plan(guarded)).violations] == ["deleted"]


async def test_other_objects_are_refused_before_anything_is_sent(bench: PortalBench) -> None:
    bench.model("k VARCHAR, name VARCHAR", ("1", "A"))
    with pytest.raises(ConfigError, match="hubspot erases no companies"):
        await bench.plan(erasing(bench, object="companies", match_on="name"))


async def test_whom_a_person_archived_is_gone_and_not_erased(bench: PortalBench) -> None:
    """As docs/design/hubspot.md says: that is done in HubSpot."""
    contacts = bench.portal.store("contacts")
    bench.portal.archive(contacts, next(iter(contacts.records.values())))
    bench.model("k VARCHAR, email VARCHAR", *PEOPLE[1:])
    plan = await bench.plan(erasing(bench))
    assert (plan.delete, plan.erased, plan.matched) == (0, 0, 1)
    await bench.run(erasing(bench))
    assert len(contacts.archived) == 1

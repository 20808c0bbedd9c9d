"""Batches that a vendor takes as jobs: what dies with us is fetched by the next run, and nothing is paid for twice.

The vendor's own bill is the witness. By default every seventh step of the database is tried; REVETL_EVERY_STEP=1 tries
all, REVETL_STRIDE=29 every 29th.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from revetl.clock import LoopClock
from revetl.enrich.execution.engine import run_waterfall
from revetl.enrich.options import WaterfallOptions
from revetl.providers.base import Answer
from revetl.providers.grammar import AsyncJob
from revetl.state.schema import create_all
from tests.simulation.test_enrich_crash import Crash, Dying
from tests.support.enrich_fakes import (
    PEOPLE,
    START,
    clock,
    context,
    hit,
    miss,
    person,
    terms,
    warehouse_with,
    waterfall,
)
from tests.support.enrich_job_fakes import JobVendor
from tests.support.virtual_time import run_virtual

PEOPLE_N = 10
STRIDE = 1 if os.environ.get("REVETL_EVERY_STEP") else int(os.environ.get("REVETL_STRIDE", "7"))
SPEC = waterfall(stages=[{"provider": "jobs.email", "fills": ["email"]}], fields={"email": {}})
LATEST = (
    "SELECT call_id, coalesce(max(CASE WHEN status NOT IN ('intent', 'in_doubt') THEN status END),"
    " max(CASE WHEN status = 'in_doubt' THEN status END), 'intent') AS status FROM revetl.enrichment_calls"
    " GROUP BY call_id"
)


def knows(inputs: Mapping[str, str]) -> Answer:
    n = int(inputs["first_name"].lower().removeprefix("first"))
    return hit("0.05", email=f"p{n}@acme.example") if n % 3 else miss()


JOB = AsyncJob.model_validate(
    {"id": "/id", "at_once": 2, "poll": {"path": "/x/{job_id}", "status": [{"http": 200, "verdict": "hit"}]}}
)


def vendor(size: int = 3, **more: Any) -> JobVendor:
    spec = terms("jobs.email", ("email",), per_hit="0.05", concurrency=1, **more)
    return JobVendor(spec.model_copy(update={"job": JOB}), knows, size)


def people() -> Any:
    return warehouse_with([person(n) for n in range(PEOPLE_N)])


def enrich(warehouse: Any, jobs: JobVendor, run_id: str = "r1", **more: Any) -> Any:
    ctx = context(warehouse, clock(), run_id)
    run = run_waterfall(ctx, SPEC, {jobs.name: jobs}, PEOPLE, WaterfallOptions(**more))
    return run_virtual(run)


def statuses(warehouse: Any) -> dict[str, int]:
    rows = warehouse.rows(f"SELECT status, count(*) FROM ({LATEST}) GROUP BY status")
    return {str(status): int(n) for status, n in rows}


def test_a_stage_goes_out_in_whole_batches():
    warehouse, jobs = people(), vendor()
    report = enrich(warehouse, jobs)
    assert jobs.sizes == [3, 3, 3, 1]
    assert (report.asked, report.spent_usd) == (10, jobs.billed_usd)
    assert statuses(warehouse) == {"hit": 6, "miss": 4}
    named = warehouse.rows(
        "SELECT count(*), count(DISTINCT request_id) FROM revetl.enrichment_calls WHERE request_id IS NOT NULL"
    )
    assert named == [(20, 4)]  # the intent once more with the job's id, and the outcome
    assert enrich(warehouse, jobs, "r2").asked == 0


def test_jobs_wait_together_but_leave_one_by_one():
    """What has left and is not named yet is what a crash loses."""
    warehouse, jobs = people(), vendor()
    now = {"unnamed": 0, "waiting": 0}
    most = dict(now)
    moves = {"submit": (1, 0), "noted": (-1, 1), "polled": (0, -1)}

    def watch(moment: str) -> None:
        if moment in moves:
            now["unnamed"] += moves[moment][0]
            now["waiting"] += moves[moment][1]
            most.update({key: max(most[key], now[key]) for key in now})

    jobs.dies = watch
    enrich(warehouse, jobs)
    assert most == {"unnamed": 1, "waiting": 2}


def test_a_batch_takes_no_more_than_the_budget_holds():
    warehouse, jobs = people(), vendor()
    report = enrich(warehouse, jobs, max_spend_usd=Decimal("0.11"))
    assert jobs.billed_usd <= Decimal("0.11")
    assert report.stopped
    assert max(jobs.sizes) == 2


@pytest.mark.parametrize("moment", ["noted", "polled"])
def test_a_job_that_outlives_us_is_fetched_and_not_paid_for_again(moment: str):
    warehouse, jobs = people(), vendor()
    dying = Dying(warehouse, 0)

    def die(now: str) -> None:
        if now == moment:
            dying.dead = True
            raise RuntimeError("died")

    jobs.dies = die
    with pytest.raises((Crash, RuntimeError)):
        enrich(dying, jobs)
    submitted = set(jobs.jobs)
    jobs.dies = lambda now: None
    report = enrich(warehouse, jobs, "r2")
    # What one task had noted when another died may have been written or not; what was written is fetched.
    assert set(jobs.fetched) <= submitted
    assert report.resumed == sum(jobs.sizes[int(job.split("-")[1]) - 1] for job in jobs.fetched)
    assert report.resumed > 0
    assert max(jobs.bill.values()) == 1
    if set(jobs.fetched) == submitted:
        assert statuses(warehouse) == {"hit": 6, "miss": 4}
        assert warehouse.rows("SELECT count(*) FROM revetl.enrichment_values") == [(6,)]


def test_a_crash_at_every_step_of_the_database():
    whole = Dying(people(), 0)
    enrich(whole, vendor())
    for at in range(1, whole.steps + 1, STRIDE):
        warehouse, jobs = people(), vendor()
        with pytest.raises(Crash):
            enrich(Dying(warehouse, at), jobs)
        enrich(warehouse, jobs, "r2")
        enrich(warehouse, jobs, "r3")
        assert max(jobs.bill.values()) == 1, f"step {at}: paid twice"
        ended = statuses(warehouse)
        # Only a job whose id was never heard of can't be told, and there is never more than one of those.
        assert ended.get("in_doubt", 0) <= jobs.batch_size
        unnamed = warehouse.rows(
            f"SELECT count(*) FROM ({LATEST}) l JOIN revetl.enrichment_calls c ON c.call_id = l.call_id"
            " WHERE l.status = 'in_doubt' AND c.request_id IS NOT NULL"
        )
        assert unnamed == [(0,)], f"step {at}: a job with an id was not fetched"
        assert ended.get("intent", 0) == 0
        answers = ended.get("hit", 0) + ended.get("miss", 0) + ended.get("in_doubt", 0)
        assert answers == PEOPLE_N, f"step {at}: {ended}"
        warehouse.close()


@pytest.mark.parametrize("free_repeat_days", [0, 90])
def test_a_job_that_is_never_done_stays_in_doubt_with_its_name_until_it_is(free_repeat_days: int):
    """Also inside the vendor's free window: a repeat of what still runs is not free."""
    warehouse, jobs = people(), vendor(free_repeat_days=free_repeat_days)
    jobs.slow = True
    first = enrich(warehouse, jobs)
    assert first.in_doubt_usd == Decimal("0.50")
    second = enrich(warehouse, jobs, "r2")
    assert (second.asked, second.resumed) == (0, 0)
    jobs.slow = False
    third = enrich(warehouse, jobs, "r3")
    assert (third.asked, third.resumed) == (0, 10)
    assert statuses(warehouse) == {"hit": 6, "miss": 4}
    assert max(jobs.bill.values()) == 1
    # The answers count as any: a later run has nothing to ask or fetch.
    fetched = len(jobs.fetched)
    assert enrich(warehouse, jobs, "r4").asked == 0
    assert len(jobs.fetched) == fetched


def test_a_job_that_was_lost_without_a_name_is_repeated_for_free_only_when_it_is_over():
    warehouse, jobs = people(), vendor(free_repeat_days=90)

    def die(moment: str) -> None:
        if moment == "submitted":
            raise RuntimeError("died")

    jobs.dies = die
    with pytest.raises(RuntimeError):
        enrich(warehouse, jobs)
    lost = sum(jobs.sizes)
    jobs.dies = lambda moment: None
    assert enrich(warehouse, jobs, "r2").asked == PEOPLE_N - lost
    assert max(jobs.bill.values()) == 1
    later = LoopClock(START + timedelta(seconds=JOB.poll.patience_s + 60))
    run = run_waterfall(context(warehouse, later, "r3"), SPEC, {jobs.name: jobs}, PEOPLE)
    assert run_virtual(run).asked == lost


def test_what_a_canceled_job_did_not_do_is_asked_again():
    warehouse, jobs = people(), vendor()
    jobs.slow = True
    enrich(warehouse, jobs)
    jobs.slow, jobs.canceled = False, True
    again = enrich(warehouse, jobs, "r2")
    assert (again.resumed, again.asked) == (10, 10)


def test_a_job_of_a_provider_that_is_gone_is_left_alone():
    warehouse, jobs = people(), vendor()
    jobs.slow = True
    enrich(warehouse, jobs)
    other = JobVendor(terms("other.email", ("email",), per_hit="0.01"), knows)
    spec = waterfall(stages=[{"provider": "other.email", "fills": ["email"]}], fields={"email": {}})
    run_virtual(run_waterfall(context(warehouse, clock(), "r2"), spec, {other.name: other}, PEOPLE))
    assert not other.fetched
    assert statuses(warehouse)["in_doubt"] == 10


def test_somebody_who_turns_out_to_be_erased_is_suppressed_when_the_job_is_fetched():
    warehouse = warehouse_with([person(1)])
    jobs = vendor()
    jobs.script = lambda _: Answer("suppressed", 451)
    jobs.slow = True
    enrich(warehouse, jobs)
    jobs.slow = False
    enrich(warehouse, jobs, "r2")
    assert warehouse.rows("SELECT count(*) > 0 FROM revetl.suppressions") == [(True,)]
    other = JobVendor(terms("other.email", ("email",), per_hit="0.01"), knows)
    spec = waterfall(stages=[{"provider": "other.email", "fills": ["email"]}], fields={"email": {}})
    report = run_virtual(run_waterfall(context(warehouse, clock(), "r3"), spec, {other.name: other}, PEOPLE))
    assert (report.suppressed, report.asked, other.sizes) == (1, 0, [])


def test_the_ledger_keeps_the_vendors_own_count_of_credits():
    warehouse, jobs = people(), vendor()
    answer = Answer("hit", 200, charged_usd=Decimal("0.05"), credits={"charged": Decimal(1), "remaining": Decimal(41)})
    jobs.script = lambda _: answer
    enrich(warehouse, jobs)
    found = warehouse.rows(
        "SELECT DISTINCT credits_charged, credits_remaining FROM revetl.enrichment_calls WHERE status = 'hit'"
    )
    assert found == [(Decimal(1), Decimal(41))]


def test_a_ledger_of_an_earlier_version_gets_the_new_columns():
    warehouse = people()
    for column in ("request_id", "credits_charged", "credits_remaining"):
        warehouse.execute(f"ALTER TABLE revetl.enrichment_calls DROP COLUMN {column}")
    warehouse.execute(
        "INSERT INTO revetl.enrichment_calls (call_id, waterfall, status) VALUES ('old', 'other', 'miss')"
    )
    create_all(warehouse)
    enrich(warehouse, vendor())
    assert warehouse.rows("SELECT request_id FROM revetl.enrichment_calls WHERE call_id = 'old'") == [(None,)]

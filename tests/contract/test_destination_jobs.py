"""Jobs at the destination: durable before they are asked after, followed by whoever comes next, never sent twice."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from revetl.errors import Ambiguous, Denied, JobRunning, Rejected, Unavailable
from revetl.model import Change, FieldRule, Status
from revetl.state import destination_jobs, outcomes
from revetl.state.destination_jobs import from_ranges, to_ranges
from revetl.state.runs import get_run, list_runs
from revetl.sync import SyncReport
from revetl.sync.rollback.rolling_back import roll_back
from revetl.testing.crashing import Crash, CrashingWarehouse, Fuse
from tests.support.destination_kinds import JobFake
from tests.support.fake_destination import FakeDestination
from tests.support.sweeps import stride
from tests.support.sync_bench import Bench
from tests.support.virtual_time import run_virtual

ROWS = 10


def jobs(**options: Any) -> Bench:
    bench = Bench(destination=JobFake(**{"concurrency": 1, **options}))
    source(bench)
    return bench


def source(bench: Bench, word: str = "P", rows: int = ROWS) -> None:
    bench.source([(f"{i:03}", f"p{i}@x.io", f"{word} {i}", None) for i in range(rows)])


def fake(bench: Bench) -> JobFake:
    assert isinstance(bench.destination, JobFake)
    return bench.destination


def run(bench: Bench, **options: Any) -> SyncReport:
    return run_virtual(bench.start(wait_s=3600, **options))


def table(bench: Bench) -> list[tuple[Any, ...]]:
    return bench.rows("SELECT job_id, ordinals, status FROM revetl.destination_jobs ORDER BY job_id")


def test_a_plan_goes_by_jobs_and_each_record_has_its_outcome() -> None:
    bench = jobs(poison={"p5@x.io"})
    plan = bench.plan()
    assert plan.requests == 3, "jobs of four"
    assert any("sent as jobs" in said for said in plan.consequences)
    report = run(bench)
    assert (report.counts, report.exit_code) == ({"ok": 9, "rejected": 1}, 1)
    assert table(bench) == [("job-1", "0-3", "done"), ("job-2", "4-7", "done"), ("job-3", "8-9", "done")]
    assert len(bench.destination.by("email")) == 9
    assert run(bench).plan.changes == 0
    assert len(fake(bench).jobs) == 3


def test_a_small_plan_goes_by_write() -> None:
    bench = jobs(jobs_from=11)
    assert not any("jobs" in said for said in bench.plan().consequences)
    assert run(bench).counts == {"ok": 10}
    assert fake(bench).jobs == {}
    assert table(bench) == []


def test_it_is_asked_after_less_and_less_often_and_only_through_the_clock() -> None:
    bench = jobs(polls=10, job_rows=10)

    async def main() -> float:
        begun = bench.clock.monotonic()
        await bench.start()
        return bench.clock.monotonic() - begun

    assert run_virtual(main()) == pytest.approx(1 + 2 + 4 + 8 + 16 + 5 * 30, abs=1)


def test_who_waits_for_a_job_hears_of_it_at_first_and_once_a_minute() -> None:
    bench, heard = jobs(polls=10, job_rows=10), list[str]()

    async def main() -> SyncReport:
        return await bench.start(note=heard.append)

    assert run_virtual(main()).status == "done"
    waited = "Waiting for job job-1 at the destination: 10 record(s) of contacts"
    assert heard == [f"{waited}.", f"{waited}, for 1 min now.", f"{waited}, for 2 min now."]


def test_a_stop_leaves_the_job_and_the_next_run_follows_it() -> None:
    bench = jobs(polls=50, job_rows=10)

    async def main() -> tuple[SyncReport, float]:
        stop = asyncio.Event()
        asyncio.get_running_loop().call_later(20, stop.set)
        begun = bench.clock.monotonic()
        report = await bench.start(stop_event=stop)
        return report, bench.clock.monotonic() - begun

    report, seconds = run_virtual(main())
    assert (report.status, report.jobs_running, report.not_sent, report.counts) == ("interrupted", 1, 10, {})
    assert (report.done.not_sent, report.done.sent) == (10, 0)
    assert seconds == pytest.approx(20, abs=1), "it does not sleep on"
    assert table(bench) == [("job-1", "0-9", "submitted")]
    fake(bench).polls = 0
    again = run(bench)
    assert (again.plan.changes, again.recovered, again.status) == (0, 0, "done")
    assert len(fake(bench).jobs) == 1, "nothing was sent again"
    assert {o.status for o in outcomes.of_run(bench.warehouse, report.run_id)} == {"ok"}, "under the run that sent it"
    first = get_run(bench.warehouse, report.run_id)
    assert first is not None
    assert first.counts == {"ok": 10}
    assert table(bench) == [("job-1", "0-9", "done")]


def test_a_changed_model_waits_for_the_job_before_it() -> None:
    """The plan in whose lines the job's records stand must not be replaced before its outcomes are written."""
    bench = jobs(polls=50, job_rows=10)

    async def stopped() -> None:
        stop = asyncio.Event()
        asyncio.get_running_loop().call_later(5, stop.set)
        await bench.start(stop_event=stop)

    run_virtual(stopped())
    source(bench, "Q")
    with pytest.raises(JobRunning, match="is not asked here"):
        bench.plan(offline=True)

    async def impatient() -> None:
        stop = asyncio.Event()
        asyncio.get_running_loop().call_later(5, stop.set)
        await bench.start(stop_event=stop)

    with pytest.raises(JobRunning, match="still runs") as told:
        run_virtual(impatient())
    assert told.value.exit_code == 130, "it was told to stop: that is no failure"
    assert list_runs(bench.warehouse)[0].status == "interrupted"
    assert len(fake(bench).jobs) == 1
    fake(bench).polls = 0
    report = run(bench)
    assert (report.plan.update, report.counts) == (10, {"ok": 10})
    assert {r["firstname"] for r in bench.destination.records.values()} == {f"Q {i}" for i in range(ROWS)}


def test_a_column_that_left_the_model_meanwhile_does_not_stop_the_job_from_being_followed() -> None:
    bench = jobs(polls=50, job_rows=10)

    async def stopped() -> None:
        stop = asyncio.Event()
        asyncio.get_running_loop().call_later(5, stop.set)
        await bench.start(stop_event=stop)

    run_virtual(stopped())
    bench.sync_as(columns=("golden_id", "email", "firstname", "country"), match_on="email")
    bench.destination.fields = ("email", "firstname", "country")
    ddl = "golden_id VARCHAR, email VARCHAR, firstname VARCHAR, country VARCHAR"
    bench.source([(f"{i:03}", f"p{i}@x.io", f"P {i}", "LV") for i in range(ROWS)], ddl)
    job = fake(bench)
    job.polls = 0
    # Its changes are handed over without the column that is gone.
    job.jobs["job-1"] = [
        c._replace(fields={k: v for k, v in c.fields.items() if k != "city"}) for c in job.jobs["job-1"]
    ]
    report = run(bench)
    assert report.plan.fields == {"country": 10}
    assert report.counts == {"ok": 10}


@pytest.mark.parametrize(
    ("error", "status", "counts"),
    [(Rejected("a bad file"), "rejected", {"rejected": 10}), (Ambiguous("cut"), "unknown", {"unknown": 10})],
)
def test_what_submit_raises_speaks_of_the_whole_job(error: Exception, status: str, counts: dict[str, int]) -> None:
    bench = jobs(job_rows=10)

    def fail(_: object) -> None:
        raise error

    bench.destination.before_write = fail
    assert run(bench).counts == counts
    assert table(bench) == []


def test_a_job_that_is_refused_when_it_is_handed_over_costs_the_culprit_alone() -> None:
    bench = jobs(job_rows=10)

    def refuse(changes: Sequence[Change]) -> None:
        if any(c.match_value == "p6@x.io" for c in changes):
            raise Rejected("a file with a bad line")

    bench.destination.before_write = refuse
    assert run(bench).counts == {"ok": 9, "rejected": 1}
    assert table(bench) == [
        ("job-1", "0-4", "done"),
        ("job-2", "5", "done"),
        ("job-3", "7", "done"),
        ("job-4", "8-9", "done"),
    ]
    bench.destination.before_write = lambda _: None
    again = run(bench)
    assert (again.counts, len(bench.destination.by("email"))) == ({"ok": 1}, 10)


def test_a_stop_between_two_halves_of_a_refused_job_leaves_the_rest_unsent() -> None:
    bench = jobs(job_rows=10)
    stop = asyncio.Event()

    def refuse(changes: Sequence[Change]) -> None:
        if len(changes) == 10:
            raise Rejected("a file with a bad line")
        stop.set()

    bench.destination.before_write = refuse
    report = run(bench, stop_event=stop)
    assert (report.status, report.counts, report.jobs_running) == ("interrupted", {}, 1)
    bench.destination.before_write = lambda _: None
    again = run(bench)
    assert (again.followed, again.plan.changes, len(bench.destination.by("email"))) == ({"ok": 5}, 5, 10)


@pytest.mark.parametrize("error", [Denied("no"), Unavailable("away")])
def test_a_vendor_that_is_away_leaves_the_job_to_be_followed(error: Exception) -> None:
    bench = jobs(job_rows=10)
    following = fake(bench).follow
    away = True

    async def follow(*args: Any) -> Any:
        if away:
            raise error
        return await following(*args)

    bench.destination.follow = follow  # type: ignore[attr-defined]
    report = run(bench)
    assert (report.status, report.jobs_running) == ("failed", 1)
    assert report.exit_code == error.exit_code  # type: ignore[attr-defined]
    away = False
    assert run(bench).plan.changes == 0
    assert len(fake(bench).jobs) == 1


def test_a_job_that_the_vendor_forgot_leaves_its_records_in_doubt_and_they_are_looked_for() -> None:
    bench = jobs(job_rows=10, forgets=True)
    assert run(bench).counts == {"unknown": 10}
    fake(bench).forgets = False
    report = run(bench)
    assert (report.plan.matched, report.plan.create) == (10, 0)
    assert len(bench.destination.by("email")) == ROWS


def test_a_missing_outcome_of_a_job_is_unknown() -> None:
    bench = jobs(job_rows=10)
    follow = fake(bench).follow

    async def forgetful(*args: Any) -> Any:
        found = await follow(*args)
        return found and found[:-1]

    bench.destination.follow = forgetful  # type: ignore[attr-defined]
    assert run(bench).counts == {"ok": 9, "unknown": 1}


def _killed(concurrency: int, at: int | None, submits: list[int] | None = None) -> tuple[Bench, Fuse, bool]:
    """A bench where the first run died at a step, None: at none; and whether it did. The fuse burns no more.
    `submits` is given the step after each submit, at which its id is not durable yet."""
    bench, fuse, died = jobs(concurrency=concurrency, polls=1, idempotent_creates=True), Fuse(at), False
    job, inner = fake(bench), bench.warehouse
    follow = job.follow

    def written(_: Sequence[Change]) -> None:
        fuse.changed()
        fuse.tick()
        if submits is not None:
            submits.append(fuse.step)

    async def asked(*args: Any) -> Any:
        fuse.tick()
        found = await follow(*args)
        fuse.changed()  # it counts how often it was asked
        return found

    job.before_write, job.after_write = lambda _: fuse.tick(), written
    job.follow = asked  # type: ignore[method-assign,assignment]
    bench.warehouse = CrashingWarehouse(inner, fuse)
    try:
        run(bench)
    except (Crash, BaseExceptionGroup):
        died = True
    bench.warehouse, fuse.at, fuse.dead = inner, None, False
    return bench, fuse, died


@pytest.mark.parametrize("concurrency", [1, 3])
def test_a_kill_at_any_step_sends_no_record_of_a_durable_job_again(concurrency: int) -> None:
    """Every statement, both ends of every transaction, of every submit and of every question are steps. It is killed
    wherever another state is left behind, at every fourth of these places (REVETL_EVERY_STEP=1: at each)."""
    submits: list[int] = []
    _, whole, died = _killed(concurrency, None, submits)
    assert (died, whole.step > 100) == (False, True)
    steps, met = whole.steps_apart(), set()
    assert len(steps) > 40
    for step in (None, 1, submits[0], *steps[:: stride(4)]):
        bench, _, died = _killed(concurrency, step)
        assert died is (step is not None), step
        job = fake(bench)
        durable = {j for (j,) in bench.rows("SELECT job_id FROM revetl.destination_jobs")} if _made(bench) else set()
        submitted = {c.key for j in durable for c in job.jobs[str(j)]}
        met.add((len(job.jobs) - len(durable), len(durable) > 0))
        before = set(job.jobs)
        report = run(bench)
        assert report.status == "done", step
        again = {c.key for j in job.jobs.keys() - before for c in job.jobs[j]}
        assert not again & submitted, f"step {step}: sent again"
        assert len(bench.destination.by("email")) == ROWS, f"step {step}: lost or doubled"
        assert run(bench).plan.changes == 0
        assert {s for _, _, s in table(bench)} <= {"done"}
        assert all(r.status != "running" for r in list_runs(bench.warehouse))
    assert (1, False) in met, "killed between the first submit and its durable id"
    assert (0, True) in met, "killed after a durable id"


def _made(bench: Bench) -> bool:
    return "destination_jobs" in bench.warehouse.tables("revetl")


def test_two_jobs_under_one_id_end_each_by_itself() -> None:
    """A vendor may answer two submits with one id. The end of the first must not close the second."""
    bench = jobs(polls=0, job_rows=5, concurrency=2)
    job = fake(bench)
    submit, stop = job.submit, asyncio.Event()

    async def one_id(*args: Any) -> str:
        await submit(*args)
        return "bulk-1"

    async def follow(_object: str, _job_id: str, changes: Any) -> Any:
        if changes[0].ordinal == 5:
            stop.set()
            return None
        return await _ended(job, changes)

    bench.destination.submit, bench.destination.follow = one_id, follow  # type: ignore[attr-defined]
    report = run_virtual(bench.start(stop_event=stop))
    assert (report.status, report.counts, report.jobs_running) == ("interrupted", {"ok": 5}, 1)
    assert sorted((o, s) for _, o, s in table(bench)) == [("0-4", "done"), ("5-9", "submitted")]
    bench.destination.follow = lambda _o, _j, changes: _ended(job, changes)  # type: ignore[attr-defined]
    again = run(bench)
    assert (again.plan.changes, again.recovered) == (0, 0), "nothing of it is sent again"
    assert len(bench.destination.records) == ROWS


async def _ended(job: JobFake, changes: Any) -> Any:
    return next(r for r in job.results.values() if r[0].ordinal == changes[0].ordinal)


def test_a_job_that_a_rollback_follows_is_written_by_the_rules_of_its_sync() -> None:
    """`when_null: keep` sent no null: the value stands at the destination, and so in the snapshot."""
    bench = jobs(polls=0, job_rows=10)
    bench.sync_as(fields={"city": FieldRule(when_null="keep")})
    bench.source([("1", "a@x.io", "Ann", "Riga")])
    first = run(bench)
    bench.source([("1", "a@x.io", "Anna", None)])
    fake(bench).polls = 50

    async def stopped() -> SyncReport:
        stop = asyncio.Event()
        asyncio.get_running_loop().call_later(5, stop.set)
        return await bench.start(stop_event=stop)

    assert run_virtual(stopped()).jobs_running == 1
    fake(bench).polls = 0
    undone = get_run(bench.warehouse, first.run_id)
    assert undone is not None
    run_virtual(roll_back(bench.context(command="rollback"), bench.spec, bench.destination, undone))
    assert bench.rows("SELECT firstname, city FROM revetl.snapshot__fake__contacts") == [("Anna", "Riga")]


def left_open(cities: bool = True) -> Bench:
    """A job of ten creates still runs; the next question finds it ended."""
    bench = jobs(polls=50, job_rows=10)
    bench.source([(f"{i:03}", f"p{i}@x.io", f"P {i}", "Riga" if cities else None) for i in range(ROWS)])

    async def stopped() -> SyncReport:
        stop = asyncio.Event()
        asyncio.get_running_loop().call_later(5, stop.set)
        return await bench.start(stop_event=stop)

    assert run_virtual(stopped()).jobs_running == 1
    fake(bench).polls = 0
    return bench


@pytest.mark.parametrize(
    ("code", "poison", "ends"),
    [
        ("INVALID_EMAIL", set(), ("partial", 1, {}, 1)),  # lies in the row: waits
        ("BAD", {"p3@x.io"}, ("partial", 1, {"rejected": 1}, 1)),  # may lie outside: tried by this run, refused again
        ("BAD", set(), ("done", 0, {"ok": 1}, 0)),  # and gone by now
    ],
)
def test_refusals_in_a_followed_job_are_told_by_the_run_that_follows_it(
    code: str, poison: set[str], ends: tuple[Any, ...]
) -> None:
    bench = left_open()
    results = fake(bench).results["job-1"]
    results[3] = replace(results[3], status=Status.REJECTED, error_code=code, in_row=code == "INVALID_EMAIL")
    del fake(bench).records[results[3].destination_id or ""]
    fake(bench).poison = poison
    report = run(bench)
    assert report.followed == {"ok": ROWS - 1, "rejected": 1}
    assert (report.status, report.exit_code, report.counts, report.waiting.get("rejected", 0)) == ends


def test_a_column_with_values_that_left_the_model_meanwhile_blocks_nothing() -> None:
    bench = left_open()
    bench.sync_as(columns=("golden_id", "email", "firstname"))
    rows = [(f"{i:03}", f"p{i}@x.io", f"P {i}") for i in range(ROWS)]
    bench.source(rows, "golden_id VARCHAR, email VARCHAR, firstname VARCHAR")
    report = run(bench)
    assert (report.status, len(fake(bench).jobs)) == ("done", 1)
    assert table(bench) == [("job-1", "0-9", "done")]
    assert len(bench.destination.records) == ROWS


def test_a_column_of_another_type_leaves_the_records_of_the_job_in_doubt() -> None:
    bench = left_open()
    rows = [(f"{i:03}", f"p{i}@x.io", f"P {i}", i) for i in range(ROWS)]
    bench.source(rows, "golden_id VARCHAR, email VARCHAR, firstname VARCHAR, city INTEGER")
    report = run(bench)
    assert (report.status, report.plan.create, report.plan.in_doubt) == ("done", 0, ROWS)
    assert ("job-1", "0-9", "given up") in table(bench)
    assert len(bench.destination.records) == ROWS
    assert run(bench).plan.changes == 0


def test_a_connector_that_runs_no_jobs_any_more_leaves_their_records_in_doubt() -> None:
    bench = left_open()
    plain = FakeDestination()
    plain.records = bench.destination.records
    bench.destination = plain
    report = run(bench)
    assert (report.status, report.plan.create, report.plan.matched) == ("done", 0, ROWS)
    assert (report.recovered, report.given_up) == (ROWS, ROWS)
    assert table(bench) == [("job-1", "0-9", "given up")]
    (first,) = (r.run_id for r in list_runs(bench.warehouse) if r.run_id != report.run_id)
    assert {o.status for o in outcomes.of_run(bench.warehouse, first)} == {"unknown"}
    assert len(bench.destination.records) == ROWS


@pytest.mark.parametrize("id_", [None, 7, "", {"id": "1"}])
def test_a_job_id_that_is_no_text_leaves_its_records_in_doubt_and_nothing_to_follow(id_: Any) -> None:
    bench = jobs(job_rows=10)
    submit = fake(bench).submit

    async def broken(*args: Any) -> Any:
        await submit(*args)
        return id_

    bench.destination.submit = broken  # type: ignore[attr-defined]
    report = run(bench)
    assert (report.status, report.counts, report.jobs_running) == ("failed", {"unknown": 10}, 0)
    assert report.error is not None
    assert "job id" in report.error
    assert type(id_).__name__ in report.error
    assert table(bench) == []
    bench.destination.submit = submit  # type: ignore[attr-defined]
    assert run(bench).plan.matched == 10
    assert len(bench.destination.by("email")) == ROWS


def test_ordinals_are_kept_as_ranges() -> None:
    for ordinals in ((0,), (0, 1, 2), (5, 0, 1, 9, 10, 11), tuple(range(10_000))):
        assert from_ranges(to_ranges(ordinals)) == tuple(sorted(ordinals))
    assert to_ranges(range(10_000)) == "0-9999"
    assert destination_jobs.to_ranges([3, 1, 2, 7]) == "1-3,7"

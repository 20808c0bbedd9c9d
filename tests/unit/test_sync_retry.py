"""What waits, why, and who is let go: by key, run, error code and reason."""

from __future__ import annotations

import asyncio

import pytest

from revetl.sync.release import RetryReport, release
from revetl.sync.retry.queue import QueueFilter
from tests.support.sync_bench import Bench

DUP = ("3", "BAD@x.io", "Twin", None)


@pytest.fixture
def bench() -> Bench:
    b = Bench()
    b.destination.poison = {"bad@x.io", "worse@x.io"}
    b.source([("1", "bad@x.io", "A", None), ("2", "worse@x.io", "B", None), DUP, ("4", None, "D", None)])
    return b


def release_of(bench: Bench, which: QueueFilter, **options: bool) -> RetryReport:
    return asyncio.run(release(bench.context(), bench.spec, which, **options))


def test_what_waits_says_why_and_for_which_row(bench: Bench) -> None:
    run = bench.run()
    assert run.counts == {"rejected": 3, "skipped": 1}
    found = release_of(bench, QueueFilter(), dry_run=True)
    assert {(w.status, w.code, w.records, w.keys) for w in found.waiting} == {
        ("rejected", "INVALID_VALUE", 2, ("1", "2")),
        ("rejected", "SAME_IDENTITY", 1, ("3",)),
        ("skipped", "NO_IDENTITY", 1, ("4",)),
    }
    assert all(w.message for w in found.waiting)
    assert bench.rows("SELECT count(DISTINCT row_hash), min(run_id) FROM revetl.rejected__fake__contacts") == [
        (4, run.run_id)
    ]
    assert release_of(bench, QueueFilter(), dry_run=True).records == 4, "a dry run lets nobody go"


@pytest.mark.parametrize(
    ("which", "sent"),
    [
        (QueueFilter(), {"1", "2", "3", "4"}),
        (QueueFilter(keys=("2", "9")), {"2"}),
        (QueueFilter(codes=("INVALID_VALUE",)), {"1", "2"}),
        (QueueFilter(keys=("1",), codes=("NO_IDENTITY",)), set()),
        (QueueFilter(statuses=("skipped",)), {"4"}),
        (QueueFilter(run_id="another"), set()),
    ],
)
def test_only_those_that_are_meant_are_release_of(bench: Bench, which: QueueFilter, sent: set[str]) -> None:
    bench.run()
    assert release_of(bench, which).records == len(sent)
    assert release_of(bench, QueueFilter(), dry_run=True).records == 4 - len(sent)


def test_what_a_person_decided_is_let_go_only_by_name(bench: Bench) -> None:
    run = bench.run()
    bench.warehouse.execute("UPDATE revetl.rejected__fake__contacts SET status = 'rolled_back' WHERE key IN ('1', '2')")
    assert release_of(bench, QueueFilter(), dry_run=True).records == 2
    assert release_of(bench, QueueFilter(keys=("1",)), dry_run=True).records == 1
    assert release_of(bench, QueueFilter(run_id=run.run_id), dry_run=True).records == 4
    assert release_of(bench, QueueFilter(statuses=("rolled_back",)), dry_run=True).records == 2


def test_a_table_of_an_earlier_version_gets_its_reasons(bench: Bench) -> None:
    bench.run()
    for column in ("error_code", "message"):
        bench.warehouse.execute(f"ALTER TABLE revetl.rejected__fake__contacts DROP COLUMN {column}")
    found = release_of(bench, QueueFilter(), dry_run=True)
    assert {(w.status, w.code) for w in found.waiting} == {("rejected", None), ("skipped", None)}
    release_of(bench, QueueFilter())
    bench.run()
    assert "INVALID_VALUE" in {w.code for w in release_of(bench, QueueFilter(), dry_run=True).waiting}

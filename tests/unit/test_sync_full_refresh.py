"""`--full-refresh`: everything is sent again, and nothing is forgotten."""

from __future__ import annotations

import asyncio

import pytest

from revetl.errors import GuardrailError
from revetl.model import FieldRule, Guardrails
from tests.support.sync_bench import ANN, BOB, CID, Bench, bench_of_three


@pytest.fixture
def bench() -> Bench:
    b = bench_of_three()
    b.run()
    b.sent()
    return b


def test_every_record_is_sent_whole_and_nobody_twice(bench: Bench) -> None:
    bench.destination.records["101"]["firstname"] = "edited"
    report = bench.run(full_refresh=True)
    assert (report.plan.update, report.plan.in_doubt, report.plan.full_refresh) == (3, 0, True)
    assert bench.sent() == [
        ("update", "1", {"email": "ann@x.io", "firstname": "Ann", "city": "Riga"}),
        ("update", "2", {"email": "bob@x.io", "firstname": "Bob", "city": None}),
        ("update", "3", {"email": "cid@x.io", "firstname": "Cid", "city": "Oslo"}),
    ]
    assert bench.run().plan.unchanged == 3


def test_who_left_is_still_known(bench: Bench) -> None:
    bench.sync_as(mode="mirror", on_leave="archive")
    bench.source([ANN, BOB])
    report = bench.run(full_refresh=True)
    assert (report.plan.update, report.plan.delete) == (2, 1)
    assert sorted(bench.destination.by("email")) == ["ann@x.io", "bob@x.io"]


def test_planning_one_changes_nothing(bench: Bench) -> None:
    assert bench.plan(full_refresh=True).update == 3
    assert bench.run(full_refresh=True, dry_run=True).plan.update == 3
    assert bench.plan().changes == 0
    assert bench.rows("SELECT count(*) FROM revetl.snapshot__fake__contacts WHERE row_hash IS NULL") == [(0,)]


def test_the_changed_share_does_not_stop_it_and_the_others_do(bench: Bench) -> None:
    bench.sync_as(guardrails=Guardrails(max_changed_share=0.1, max_deleted_share=0.1))
    assert bench.run(full_refresh=True).counts == {"ok": 3}
    bench.sync_as(mode="mirror", on_leave="archive")
    bench.source([ANN])
    with pytest.raises(GuardrailError, match="deleted"):
        bench.run(full_refresh=True)


@pytest.mark.parametrize("status", ["unknown", "rolled_back", "accepted"])
def test_what_was_refused_is_tried_again_and_what_waits_for_a_person_is_not(bench: Bench, status: str) -> None:
    bench.source([ANN, ("2", "bob@y.io", "Bob", None), CID])
    bench.destination.poison = {"bob@y.io"}
    bench.run()
    bench.sent()
    bench.run(full_refresh=True)
    assert [key for _, key, _ in bench.sent()] == ["1", "2", "3"]
    bench.warehouse.execute("UPDATE revetl.rejected__fake__contacts SET status = ?", [status])
    report = bench.run(full_refresh=True)
    assert ([key for _, key, _ in bench.sent()], report.plan.waiting) == (["1", "3"], 1)


def test_insert_leaves_alone_what_it_made(bench: Bench) -> None:
    bench.sync_as(mode="insert")
    bench.run(full_refresh=True)
    assert bench.sent() == []


def test_a_kept_null_is_not_sent(bench: Bench) -> None:
    bench.sync_as(fields={"city": FieldRule(when_null="keep")})
    bench.run(full_refresh=True)
    assert ("update", "2", {"email": "bob@x.io", "firstname": "Bob"}) in bench.sent()


def test_stopped_half_way_the_next_run_goes_on(bench: Bench) -> None:
    stop = asyncio.Event()

    def after_first(_: object) -> None:
        stop.set()

    bench.destination.batch_rows, bench.destination.concurrency = 1, 1
    bench.destination.after_write = after_first
    bench.run(full_refresh=True, stop_event=stop)
    first = [key for _, key, _ in bench.sent()]
    assert 0 < len(first) < 3
    bench.run()
    assert sorted(first + [key for _, key, _ in bench.sent()]) == ["1", "2", "3"]


def test_a_new_record_is_created_with_what_it_has(bench: Bench) -> None:
    bench.source([ANN, BOB, CID, ("4", "dan@x.io", "Dan", None)])
    bench.run(full_refresh=True)
    assert ("create", "4", {"email": "dan@x.io", "firstname": "Dan"}) in bench.sent()

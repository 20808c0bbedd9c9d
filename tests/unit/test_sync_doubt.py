"""What is in doubt after a lost answer or a crash: the next run settles it, without a flag, without a second record."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from revetl.errors import Ambiguous, WarehouseError
from revetl.model import Change, Outcome, Status
from revetl.sync.apply import checkpoint
from tests.support.crashing import Crash, CrashingWarehouse, Fuse
from tests.support.fake_destination import FakeDestination, UnreadableFake
from tests.support.sync_bench import ANN, BOB, CID, Bench, bench_of_three


@pytest.fixture
def bench() -> Bench:
    return bench_of_three()


def dies(bench: Bench, *, applied: bool) -> None:
    """A run whose process dies at its first write, before it was applied or after."""
    fuse = Fuse()
    inner = bench.warehouse

    def die(_: Sequence[Change]) -> None:
        fuse.dead = True
        fuse.tick()

    bench.warehouse = CrashingWarehouse(inner, fuse)
    _around_writes(bench, die, applied=applied)
    try:
        with pytest.raises(Crash):
            bench.run()
    finally:
        bench.warehouse = inner
        _around_writes(bench, lambda _: None)


def loses(bench: Bench, *, applied: bool) -> None:
    """A run whose answers are lost, before the write was applied or after."""

    def lose(_: Sequence[Change]) -> None:
        raise Ambiguous("lost")

    _around_writes(bench, lose, applied=applied)
    assert set(bench.run().counts) == {"unknown"}
    _around_writes(bench, lambda _: None)


def _around_writes(bench: Bench, does: Callable[[Sequence[Change]], None], *, applied: bool | None = None) -> None:
    bench.destination.before_write = does if applied is not True else lambda _: None
    bench.destination.after_write = does if applied is not False else lambda _: None


interruption = pytest.mark.parametrize("interrupted", [dies, loses])


@interruption
def test_of_two_creates_in_doubt_the_one_that_landed_is_found(bench: Bench, interrupted: Callable[..., None]) -> None:
    """The identity changes in between, and changes back: what the second may have created is what stands."""
    bench.destination.idempotent_creates = False
    ann_by_her_first_name = ("1", "a@x.io", "Ann", "Riga")
    bench.source([ANN])
    interrupted(bench, applied=False)
    bench.source([ann_by_her_first_name])
    interrupted(bench, applied=True)
    assert list(bench.destination.by("email")) == ["a@x.io"]
    bench.source([ANN])
    bench.run()
    assert list(bench.destination.by("email")) == ["ann@x.io"]
    assert bench.run().plan.changes == 0


@interruption
@pytest.mark.parametrize("applied", [False, True])
@pytest.mark.parametrize("destination", [FakeDestination, UnreadableFake])
def test_whose_delete_is_in_doubt_is_looked_for_when_the_row_comes_back(
    bench: Bench, interrupted: Callable[..., None], destination: type[FakeDestination], *, applied: bool
) -> None:
    bench.destination = destination()
    bench.sync_as(mode="mirror", on_leave="archive")
    bench.run()
    bench.source([BOB, CID])
    interrupted(bench, applied=applied)
    bench.source([ANN, BOB, CID])
    report = bench.run()
    assert (report.status, report.counts) == ("done", {"ok": 1})
    assert len(bench.destination.records) == 3
    assert bench.destination.by("email")["ann@x.io"]["city"] == "Riga"
    assert bench.run().plan.changes == 0


def test_an_answer_that_is_lost_is_unknown_and_settled_by_the_next_run(bench: Bench) -> None:
    bench.destination.idempotent_creates = False
    loses(bench, applied=True)
    bench.sent()
    report = bench.run()
    assert bench.sent() == [], "all were found as they should be"
    assert report.counts == {"ok": 3}
    assert len(bench.destination.records) == 3
    assert bench.run().plan.changes == 0


def test_a_create_in_doubt_is_found_by_the_value_it_was_sent_with(bench: Bench) -> None:
    bench.destination.idempotent_creates = False
    loses(bench, applied=True)
    bench.source([("1", "new@x.io", "Ann", None), BOB, CID])
    bench.sent()
    bench.run()
    assert bench.sent() == [("update", "1", {"email": "new@x.io", "city": None})]
    assert len(bench.destination.records) == 3


def test_what_cannot_be_reconciled_waits_for_a_person(bench: Bench) -> None:
    bench.sync_as(match_on=None)
    bench.destination.idempotent_creates = False
    loses(bench, applied=True)
    bench.sent()
    assert bench.run().counts == {"unknown": 3}
    assert bench.sent() == []
    assert bench.run().plan.waiting == 3


def test_a_connector_that_forgets_a_record_makes_it_unknown(bench: Bench) -> None:
    bench.destination.answer = lambda outcomes: outcomes[1:]
    assert bench.run().counts == {"ok": 2, "unknown": 1}
    bench.destination.answer = lambda outcomes: outcomes
    assert bench.run().counts == {"ok": 1}


def test_two_outcomes_of_one_change_that_differ_are_the_connectors_fault_and_never_success(bench: Bench) -> None:
    def contradicts(outcomes: list[Outcome]) -> list[Outcome]:
        refused = Outcome(outcomes[0].ordinal, Status.REJECTED, None, "Rejected", "VALIDATION_ERROR", "refused")
        return [outcomes[0], refused, *outcomes[1:]]

    bench.destination.answer = contradicts
    report = bench.run()
    assert (report.status, report.counts) == ("failed", {"ok": 2, "unknown": 1})
    assert "several outcomes for one change" in str(report.error)
    bench.destination.answer = lambda outcomes: [outcomes[0], *outcomes]
    assert bench.run().counts == {"ok": 1}, "what was doubted is sent again, and the same said twice is believed"


def test_a_contradiction_is_seen_where_another_outcome_is_missing(bench: Bench) -> None:
    def contradicts(outcomes: list[Outcome]) -> list[Outcome]:
        return [outcomes[0], Outcome(outcomes[0].ordinal, Status.REJECTED), *outcomes[2:]]

    bench.destination.answer = contradicts
    report = bench.run()
    assert (report.status, report.counts) == ("failed", {"ok": 1, "unknown": 2})


def test_a_connector_that_breaks_is_told_and_its_batch_is_unknown(bench: Bench) -> None:
    def broken(_: list[Outcome]) -> list[Outcome]:
        raise KeyError("id")

    bench.destination.answer = broken
    report = bench.run()
    assert (report.status, report.error, report.counts) == ("failed", "KeyError", {"unknown": 3})


def test_a_crash_between_write_and_checkpoint_leaves_doubt_and_change_and_change_back_is_sent(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.run()
    bench.sent()
    bench.source([("1", "ann@x.io", "Anna", "Riga"), BOB, CID])
    write = checkpoint.write

    def full_disk(*args: object, **kwargs: object) -> None:
        if args[3]:
            raise WarehouseError("the disk is full")
        write(*args, **kwargs)

    monkeypatch.setattr(checkpoint, "write", full_disk)
    with pytest.raises(WarehouseError):
        bench.run()
    monkeypatch.undo()
    assert bench.sent() == [("update", "1", {"firstname": "Anna"})]
    bench.source([ANN, BOB, CID])
    report = bench.run()
    assert report.recovered == 1
    # Whole, but for the email by which it is found: what answers to that already is not told it again.
    assert bench.sent() == [("update", "1", {"firstname": "Ann", "city": "Riga"})]
    assert bench.destination.by("email")["ann@x.io"]["firstname"] == "Ann"
    assert bench.run().plan.changes == 0

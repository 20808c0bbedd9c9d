"""What was done is counted apart from what was planned, and adds up to it."""

from __future__ import annotations

from dataclasses import asdict

from revetl.errors import Unavailable
from tests.support.sync_bench import ANN, BOB, CID, bench_of_three

DAN = ("4", "dan@x.io", "Dan", "Kyiv")


def test_adopted_updated_and_rejected_records_are_told_apart() -> None:
    bench = bench_of_three()
    bench.source([ANN])
    assert bench.run().done.created == 1
    bench.destination.records["r-bob"] = {"email": "bob@x.io", "firstname": "Robert", "city": None}
    bench.destination.records["r-dan"] = {"email": "dan@x.io", "firstname": "Daniel", "city": None}
    bench.destination.poison = {"dan@x.io"}
    bench.source([(*ANN[:2], "Anna", ANN[3]), BOB, CID, DAN])
    report = bench.run()
    assert (report.plan.create, report.plan.adopt, report.plan.update) == (1, 2, 1)
    done = {word: n for word, n in asdict(report.done).items() if n}
    assert done == {"created": 1, "adopted": 1, "updated": 1, "rejected": 1}
    assert (report.done.sent, report.waiting) == (4, {"rejected": 1})


def test_of_a_run_that_broke_off_the_planned_is_not_told_as_done() -> None:
    bench = bench_of_three()

    def away(_: object) -> None:
        raise Unavailable("away")

    bench.destination.before_write = away
    report = bench.run()
    assert (report.plan.create, report.done.created, report.done.not_sent, report.done.sent) == (3, 0, 3, 0)

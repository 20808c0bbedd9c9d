"""Field policies: what may be written where people write too, and what the snapshot then believes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path

import pytest

from revetl.destinations.base import DestinationField
from revetl.errors import ConfigError
from revetl.model import FieldPolicy, FieldRule, Scalar
from revetl.state import outcomes
from revetl.sync.plan import saved
from revetl.sync.plan.policies import allows
from tests.support.fake_destination import UnreadableFake
from tests.support.sync_bench import Bench

STAGES = ("lead", "customer", "evangelist")
STAGE = DestinationField("stage", "enum", options=STAGES)
SEEN = datetime.fromisoformat("2026-01-02 00:00:00")
NUMBER, DAY = DestinationField("n", "number"), DestinationField("d", "date")
DDL = "golden_id VARCHAR, email VARCHAR, jobtitle VARCHAR, stage VARCHAR, score INTEGER, seen TIMESTAMP"


@pytest.fixture
def bench() -> Bench:
    b = Bench()
    b.destination.fields = ("email", "jobtitle", "stage", "score", "seen")
    b.destination.described = {
        "stage": STAGE,
        "score": DestinationField("score", "number"),
        "seen": DestinationField("seen", "datetime"),
    }
    rules = {
        "jobtitle": FieldRule("fill_blank"),
        "stage": FieldRule("forward_only"),
        "score": FieldRule("forward_only"),
        "seen": FieldRule("forward_only"),
    }
    b.sync_as(columns=("golden_id", "email", "jobtitle", "stage", "score", "seen"), fields=rules)
    return b


def given(bench: Bench, rows: Sequence[tuple[Scalar, ...]]) -> None:
    bench.source(rows, DDL)


def ann(
    title: str | None = "CTO", stage: str | None = "lead", score: int | None = 5, seen: str | None = None
) -> tuple[Scalar, ...]:
    return ("1", "ann@x.io", title, stage, score, seen)


@pytest.mark.parametrize(
    ("policy", "field", "stands", "ours", "expected"),
    [
        ("always", STAGE, "customer", None, True),
        ("fill_blank", STAGE, None, "lead", True),
        ("fill_blank", STAGE, "", "lead", True),
        ("fill_blank", STAGE, "  ", "lead", True),
        ("fill_blank", STAGE, "lead", "lead", False),
        ("fill_blank", STAGE, "lead", None, False),
        ("forward_only", STAGE, None, "lead", True),
        ("forward_only", STAGE, "lead", "customer", True),
        ("forward_only", STAGE, "customer", "lead", False),
        ("forward_only", STAGE, "customer", "customer", False),
        ("forward_only", STAGE, "customer", None, False),
        ("forward_only", STAGE, "retired stage", "customer", False),
        ("forward_only", STAGE, "customer", "no such stage", True),
        ("forward_only", NUMBER, "9", "10", True),
        ("forward_only", NUMBER, "10", "9", False),
        ("forward_only", NUMBER, "-1", "0", True),
        ("forward_only", DAY, "2026-01-31", "2026-02-01", True),
        ("forward_only", DAY, "2026-02-01", "2026-01-31", False),
    ],
)
def test_what_each_policy_allows(
    policy: FieldPolicy, field: DestinationField, stands: Scalar, ours: Scalar, expected: bool
) -> None:
    assert allows(policy, field, stands, ours) is expected


def test_a_field_with_a_policy_is_read_back_before_it_is_written(bench: Bench) -> None:
    given(bench, [ann()])
    bench.run()
    assert bench.sent() == [("create", "1", {"email": "ann@x.io", "jobtitle": "CTO", "stage": "lead", "score": 5})]
    assert bench.destination.reads == [], "a record that is created gets all its values, unread"
    stands = bench.destination.records["101"]
    stands |= {"jobtitle": "Chief of all", "stage": "customer", "score": None}
    given(bench, [ann("VP", "evangelist", 4, "2026-01-02 00:00:00")])
    report = bench.run()
    assert bench.destination.reads == ["101"]
    assert bench.sent() == [
        ("update", "1", {"stage": "evangelist", "score": 4, "seen": SEEN}),
    ]
    assert stands["jobtitle"] == "Chief of all"
    (outcome,) = outcomes.of_run(bench.warehouse, report.run_id)
    assert outcome.before == {"stage": "customer", "score": None, "seen": None}, "what stood there, not what we thought"
    snapshot = bench.rows("SELECT jobtitle, stage, score FROM revetl.snapshot__fake__contacts")
    assert snapshot == [("Chief of all", "evangelist", 4)]
    assert report.plan.fields == {"stage": 1, "score": 1, "seen": 1}


def test_a_record_with_nothing_left_to_write_is_settled_and_not_read_again(bench: Bench) -> None:
    given(bench, [ann()])
    bench.run()
    bench.sent()
    bench.destination.records["101"] |= {"jobtitle": "Boss", "stage": "customer"}
    given(bench, [ann("VP", "lead")])
    report = bench.run()
    assert (bench.sent(), report.counts, report.plan.matched, report.plan.changes) == ([], {"ok": 1}, 1, 0)
    (outcome,) = outcomes.of_run(bench.warehouse, report.run_id)
    assert (outcome.status, outcome.message) == ("ok", "its policies keep what stands there: jobtitle")
    reads = len(bench.destination.reads)
    assert bench.run().plan.lines == 0
    assert len(bench.destination.reads) == reads
    assert bench.rows("SELECT jobtitle FROM revetl.snapshot__fake__contacts") == [("Boss",)]


@pytest.mark.parametrize("stands", ["1_000", "1001.4", "１０００"])
def test_what_the_column_can_not_hold_exactly_is_not_held_equal_to_what_it_can(bench: Bench, stands: str) -> None:
    given(bench, [ann(score=1000)])
    bench.run()
    bench.destination.records["101"]["score"] = stands
    given(bench, [ann(score=1001)])
    assert bench.run().counts == {"ok": 1}
    assert bench.rows("SELECT score FROM revetl.snapshot__fake__contacts") == [(None,)]


def test_nulls_never_clear_and_steps_back_are_never_made(bench: Bench) -> None:
    given(bench, [ann("CTO", "customer", 5, "2026-01-02 00:00:00")])
    bench.run()
    bench.sent()
    given(bench, [ann(None, None, None, None)])
    assert bench.run().counts == {"ok": 1}
    given(bench, [ann("CTO", "lead", 4, "2026-01-01 00:00:00")])
    assert bench.run().counts == {"ok": 1}
    assert bench.sent() == []
    assert bench.destination.records["101"]["stage"] == "customer"


def test_an_adopted_record_keeps_what_its_policies_protect(bench: Bench) -> None:
    there = {"email": "ann@x.io", "jobtitle": "Boss", "stage": "customer", "score": "3"}
    bench.destination.records["7"] = there
    given(bench, [ann("VP", "lead", 5)])
    report = bench.run()
    assert (report.plan.adopt, bench.destination.reads) == (1, []), "matching has read it already"
    assert bench.sent() == [("update", "1", {"score": 5})]
    assert bench.rows("SELECT jobtitle, stage, score FROM revetl.snapshot__fake__contacts") == [("Boss", "customer", 5)]
    (outcome,) = outcomes.of_run(bench.warehouse, report.run_id)
    assert outcome.before == {"score": "3"}


def test_clearing_who_left_leaves_protected_fields(bench: Bench) -> None:
    bench.sync_as(mode="mirror", on_leave="clear", guardrails=replace(bench.spec.guardrails, min_rows=0))
    given(bench, [ann()])
    bench.run()
    bench.sent()
    given(bench, [])
    bench.run()
    assert bench.sent() == [], "nor what it is found by"
    assert bench.run().plan.changes == 0


def test_a_record_that_is_gone_is_left_to_the_write_to_tell(bench: Bench) -> None:
    given(bench, [ann()])
    bench.run()
    bench.destination.records.clear()
    given(bench, [ann("VP")])
    assert bench.run().counts == {"rejected": 1}


def test_a_record_in_doubt_is_read_too(bench: Bench) -> None:
    given(bench, [ann()])
    bench.run()
    bench.sent()
    bench.warehouse.execute("UPDATE revetl.snapshot__fake__contacts SET row_hash = NULL")
    bench.destination.records["101"]["jobtitle"] = "Boss"
    bench.run()
    assert bench.sent() == [], "it is kept, and the email stands there"
    assert bench.destination.records["101"]["jobtitle"] == "Boss"


def test_many_records_are_read_in_batches(bench: Bench) -> None:
    rows = [(str(n), f"p{n}@x.io", "CTO", "lead", 1, None) for n in range(20)]
    given(bench, rows)
    bench.run()
    before = bench.destination.requests
    given(bench, [(*row[:2], "VP", *row[3:]) for row in rows])
    assert bench.run().counts == {"ok": 20}
    assert bench.destination.requests - before == 7, "20 records, 3 at a time, and nothing to write"


def test_policies_that_cannot_be_kept_are_refused_by_place(bench: Bench) -> None:
    given(bench, [ann()])
    bench.sync_as(fields={"jobtitle": FieldRule("forward_only")})
    with pytest.raises(ConfigError, match=r"fake__contacts\.yml.*jobtitle: forward_only.*string field has no order"):
        bench.plan()
    bench.sync_as(fields={"jobtitle": FieldRule("fill_blank")})
    bench.destination.__class__ = UnreadableFake
    with pytest.raises(ConfigError, match=r"fake__contacts\.yml.*fill_blank.*can't be read"):
        bench.plan()
    assert bench.sent() == []


def test_numbers_and_dates_as_the_warehouse_gives_them() -> None:
    assert allows("forward_only", NUMBER, "5", str(Decimal("5.5")))
    assert not allows("forward_only", DAY, "2026-01-02", date(2026, 1, 1).isoformat())


def test_a_full_refresh_still_keeps_what_policies_protect(bench: Bench) -> None:
    given(bench, [ann()])
    bench.run()
    bench.sent()
    bench.destination.records["101"] |= {"jobtitle": None, "stage": "customer", "email": "x"}
    bench.run(full_refresh=True)
    assert bench.sent() == [("update", "1", {"email": "ann@x.io", "jobtitle": "CTO"})]


def test_a_plan_that_lay_for_a_while_is_decided_anew(bench: Bench, tmp_path: Path) -> None:
    bob = ("2", "bob@x.io", None, "lead", 1, None)
    given(bench, [ann(None), bob])
    bench.run()
    bench.sent()
    there = {"email": "cid@x.io", "jobtitle": None}
    bench.destination.records["7"] = there
    cid = ("3", "cid@x.io", "CTO", None, None, None)
    given(bench, [ann("CTO", "customer"), ("2", "bob@x.io", "VP", "lead", 1, None), cid])
    plan = bench.plan()
    assert (plan.update, plan.adopt) == (2, 1)
    entry = saved.entry(bench.warehouse, bench.spec, plan, bench.clock)
    bench.destination.records["101"]["jobtitle"] = "Boss"
    bench.destination.records["102"]["jobtitle"] = "Chief"
    there["jobtitle"] = "Founder"
    report = bench.run(planner=saved.planner(bench.warehouse, bench.spec, entry))
    assert bench.sent() == [("update", "1", {"stage": "customer"})]
    assert (report.counts, report.not_sent, report.plan.changes) == ({"ok": 3}, 0, 1)
    titles = bench.rows("SELECT jobtitle FROM revetl.snapshot__fake__contacts ORDER BY key")
    assert titles == [("Boss",), ("Chief",), ("Founder",)]

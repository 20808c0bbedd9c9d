"""Leaving a destination takes back what we sent into a record, and nothing else: people merge records, make them again
by hand, and write in fields that a policy keeps for them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from revetl.destinations.base import DestinationField
from revetl.model import EXISTED, FieldRule, Guardrails, Scalar
from revetl.sync.disconnect.taking_back import Leaving
from tests.support.sync_bench import BOB, CID, Bench
from tests.unit.test_sync_disconnect import fields_of, left

STAGES = ("lead", "customer", "evangelist")
DDL = "golden_id VARCHAR, email VARCHAR, title VARCHAR, stage VARCHAR, tags VARCHAR"


def id_of(bench: Bench, email: str) -> str:
    return next(id_ for id_, record in bench.destination.records.items() if record["email"] == email)


@pytest.fixture
def ours() -> Bench:
    """We made Bob and Cid."""
    bench = Bench()
    bench.source([("2", "bob@x.io", "Bob", "Ulm"), CID])
    bench.run()
    return bench


@pytest.fixture
def ruled() -> Bench:
    """We made Ann, with a title and tags that fill blanks and a stage that only goes forward."""
    bench = Bench()
    bench.destination.fields = ("email", "title", "stage", "tags")
    bench.destination.described = {
        "stage": DestinationField("stage", "enum", options=STAGES),
        "tags": DestinationField("tags", "multi_enum"),
    }
    rules = {"title": FieldRule("fill_blank"), "stage": FieldRule("forward_only"), "tags": FieldRule("fill_blank")}
    bench.sync_as(columns=("golden_id", "email", "title", "stage", "tags"), fields=rules)
    ruled_row(bench, "CTO", "lead", "red")
    return bench


def ruled_row(bench: Bench, *values: Scalar) -> None:
    bench.source([("1", "ann@x.io", *values)], DDL)
    bench.run()


def a_person_writes(bench: Bench) -> None:
    record = bench.destination.records[id_of(bench, "ann@x.io")]
    record.update(title="PERSON", stage="evangelist", tags="red;blue")


def test_a_record_of_two_that_were_merged_keeps_what_was_not_written_into_it(ours: Bench) -> None:
    ours.destination.merge(id_of(ours, "cid@x.io"), id_of(ours, "bob@x.io"))
    ours.source([("3", "cid@x.io", "Cid", "Bern")])
    ours.run()
    assert fields_of(ours, "cid@x.io")["city"] == "Bern"
    left(ours, Leaving.CLEAR)
    assert fields_of(ours, "cid@x.io") == {"email": "cid@x.io", "firstname": "Cid", "city": "Oslo"}


def test_what_our_first_write_into_a_merged_record_found_comes_back(ours: Bench) -> None:
    id_ = ours.destination.merge(id_of(ours, "cid@x.io"), id_of(ours, "bob@x.io"))
    ours.destination.records[id_]["city"] = "Lyon"
    for city in ("Bern", "Rome"):
        ours.source([("3", "cid@x.io", "Cid", city)])
        ours.run()
    left(ours, Leaving.CLEAR)
    assert fields_of(ours, "cid@x.io")["city"] == "Lyon"


@pytest.mark.parametrize("city", ["Bern", "Oslo"], ids=["written into", "found equal"])
def test_a_record_that_a_person_made_again_is_theirs(ours: Bench, city: str) -> None:
    del ours.destination.records[id_of(ours, "cid@x.io")]
    ours.destination.make(email="cid@x.io", firstname="Cid", city="Oslo")
    ours.source([("2", "bob@x.io", "Bob", "Ulm"), ("3", "cid@x.io", "Cid", city)])
    ours.run(full_refresh=True)
    assert fields_of(ours, "cid@x.io")["city"] == city
    left(ours, Leaving.CLEAR)
    assert fields_of(ours, "cid@x.io") == {"email": "cid@x.io", "firstname": "Cid", "city": "Oslo"}


def test_a_record_of_others_never_loses_what_it_is_found_by() -> None:
    bench = Bench()
    bench.source([CID])
    bench.destination.answer = lambda outcomes: [replace(o, error_code=EXISTED) for o in outcomes]
    bench.run()
    bench.destination.answer = lambda outcomes: outcomes
    report = left(bench, Leaving.CLEAR)
    assert report.plan.standing.fields == {"city": 1, "firstname": 1}
    assert fields_of(bench, "cid@x.io") == {"email": "cid@x.io"}


def moved_on(bench: Bench) -> None:
    ruled_row(bench, "CEO", "customer", "green")


def left_and_returned(bench: Bench) -> None:
    bench.source([("9", *BOB[1:3], None, None)], DDL)
    bench.run()
    moved_on(bench)


@pytest.mark.parametrize("way", [Leaving.CLEAR, Leaving.ARCHIVE])
@pytest.mark.parametrize("then", [moved_on, left_and_returned])
def test_what_a_policy_kept_for_people_stays(ruled: Bench, way: Leaving, then: Callable[[Bench], None]) -> None:
    ruled.sync_as(mode="mirror", on_leave="forget", guardrails=Guardrails(min_rows=0, max_deleted_share=1.0))
    a_person_writes(ruled)
    then(ruled)
    theirs: dict[str, Any] = {"title": "PERSON", "stage": "evangelist"}
    assert theirs.items() <= fields_of(ruled, "ann@x.io").items()
    left(ruled, way)
    tags = "blue" if way is Leaving.CLEAR else "red;blue"
    assert fields_of(ruled, "ann@x.io") == {"email": "ann@x.io", **theirs, "tags": tags}

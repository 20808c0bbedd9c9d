"""What a record may be known by: the id that the destination gave, or one column for key and `match_on`."""

from __future__ import annotations

import pytest

from revetl.errors import ConfigError
from revetl.state import outcomes
from tests.support.sync_bench import Bench, bench_of_three

DDL = "golden_id VARCHAR, record_id VARCHAR, firstname VARCHAR"


@pytest.fixture
def by_id() -> Bench:
    bench = bench_of_three()
    bench.destination.fields = ("email", "firstname", "record_id")
    bench.destination.read_only = {"record_id"}
    bench.destination.records |= {"7": {"firstname": "Old"}, "8": {"firstname": "Bob"}}
    bench.sync_as(columns=("golden_id", "record_id", "firstname"), match_on="record_id", mode="update")
    bench.source([("1", "7", "Ann"), ("2", "8", "Bob"), ("3", "9", "Cid"), ("4", None, "Dan")], DDL)
    return bench


def test_records_are_updated_by_the_id_that_the_destination_gave(by_id: Bench) -> None:
    report = by_id.run()
    assert by_id.sent() == [("update", "1", {"firstname": "Ann"})]
    assert report.plan.absent == 2, "no record 9 is there, and one without an id can't be meant"
    assert "9" not in by_id.destination.records
    again = by_id.run()
    assert (by_id.sent(), again.plan.unchanged) == ([], 2)


def test_another_id_means_another_record_and_the_id_is_never_sent(by_id: Bench) -> None:
    by_id.run()
    by_id.sent()
    by_id.destination.records["10"] = {"firstname": "Someone"}
    by_id.source([("1", "10", "Ann"), ("2", "8", "Rob")], DDL)
    report = by_id.run()
    assert by_id.sent() == [("update", "1", {"firstname": "Ann"}), ("update", "2", {"firstname": "Rob"})]
    assert by_id.destination.records["7"] == {"firstname": "Ann"}, "the record of before is left as it is"
    assert by_id.destination.records["10"] == {"firstname": "Ann"}
    stood = {o.key: o.before for o in outcomes.of_run(by_id.warehouse, report.run_id)}
    assert stood["1"] == {"firstname": "Someone"}
    by_id.run(full_refresh=True)
    assert all("record_id" not in fields for _, _, fields in by_id.sent())


def test_an_id_that_only_changed_its_owner_is_looked_at(by_id: Bench) -> None:
    by_id.run()
    by_id.sent()
    by_id.destination.records["10"] = {"firstname": "Ann"}
    by_id.source([("1", "10", "Ann"), ("2", "8", "Bob")], DDL)
    by_id.run()
    assert by_id.sent() == [], "it has these values already"
    by_id.source([("1", "10", "Anna"), ("2", "8", "Bob")], DDL)
    by_id.run()
    assert (by_id.destination.records["10"], by_id.destination.records["7"]) == (
        {"firstname": "Anna"},
        {"firstname": "Ann"},
    )


def test_two_rows_of_one_id_do_not_overwrite_each_other(by_id: Bench) -> None:
    by_id.source([("1", "7", "Ann"), ("2", "7", "Bob")], DDL)
    report = by_id.run()
    assert by_id.sent() == [("update", "1", {"firstname": "Ann"})]
    assert report.counts == {"ok": 1, "rejected": 1}


@pytest.mark.parametrize("mode", ["upsert", "insert", "mirror"])
def test_nothing_can_be_created_by_an_id(by_id: Bench, mode: str) -> None:
    by_id.sync_as(mode=mode)
    with pytest.raises(ConfigError, match="the id that fake gives") as e:
        by_id.run()
    assert "mode: update" in str(e.value)
    assert by_id.sent() == []


@pytest.mark.parametrize("mode", ["upsert", "mirror", "update"])
def test_one_column_may_be_key_and_match_on(mode: str) -> None:
    bench = bench_of_three()
    bench.destination.records["7"] = {"email": "ANN@x.io", "firstname": "Old"}
    bench.sync_as(columns=("email", "firstname"), key="email", match_on="email", mode=mode)
    bench.source([("ann@x.io", "Ann"), ("bob@x.io", "Bob")], "email VARCHAR, firstname VARCHAR")
    bench.run()
    created = [] if mode == "update" else [("create", "bob@x.io", {"email": "bob@x.io", "firstname": "Bob"})]
    assert sorted(bench.sent()) == [*created, ("update", "ann@x.io", {"firstname": "Ann"})]
    assert bench.run().plan.changes == 0
    bench.source([("ann@x.io", "Anna"), ("bob@x.io", "Bob")], "email VARCHAR, firstname VARCHAR")
    bench.run()
    assert bench.sent() == [("update", "ann@x.io", {"firstname": "Anna"})]

"""`create_properties` where fields can't be made, or not such ones; `on_leave: erase` where nobody can be erased."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from revetl.destinations.base import DestinationField, FieldType
from revetl.errors import ConfigError
from tests.support.fake_destination import FakeDestination
from tests.support.sync_bench import Bench


@dataclass
class MakingFake(FakeDestination):
    """Makes fields of text."""

    made: list[str] = field(default_factory=list)

    def new_field(self, object_: str, name: str, type_: FieldType) -> DestinationField:
        if type_ != "string":
            raise ConfigError(f"{name} can't be made as {type_}")
        return DestinationField(name, type_)

    async def try_making_field(self, object_: str) -> None:
        return None

    async def make_field(self, object_: str, name: str, type_: FieldType) -> None:
        assert not self.written, "made before anything is sent"
        self.made.append(name)
        self.fields = (*self.fields, name)


def bench_of(destination: FakeDestination) -> Bench:
    bench = Bench(destination=destination)
    bench.source([("1", "ann@x.io", "Ann", "Rome")])
    bench.sync_as(create_properties=("city",))
    return bench


def test_a_destination_that_makes_none_is_named_with_the_fields_that_lack() -> None:
    bench = bench_of(FakeDestination(fields=("email", "firstname")))
    with pytest.raises(ConfigError, match="create_properties: fake makes no fields") as e:
        bench.plan()
    assert e.value.problems[0].hint == "Make city there yourself, and leave create_properties out."
    bench.destination.fields = ("email", "firstname", "city")
    assert bench.run().counts == {"ok": 1}


def archive_city(destination: FakeDestination) -> None:
    """As a person does: its values go with it."""
    destination.fields = ("email", "firstname")
    for record in destination.records.values():
        record.pop("city", None)


def test_a_field_that_was_written_and_archived_since_is_made_again_and_filled() -> None:
    """Also where nothing else is to be sent; and only records that had a value are sent it."""
    destination = MakingFake(fields=("email", "firstname"))
    bench = bench_of(destination)
    destination = MakingFake(fields=("email", "firstname"))
    bench = bench_of(destination)
    bench.source([("1", "ann@x.io", "Ann", "Rome"), ("2", "bob@x.io", "Bob", ""), ("3", "cid@x.io", "Cid", None)])
    plan = bench.plan()
    assert plan.forecast is not None
    assert plan.forecast.writes["property"] == 1
    bench.run()
    assert bench.plan().changes == 0
    archive_city(destination)
    bench.sent()
    for _ in range(2):  # a plan that is looked at twice says the same lines
        plan = bench.plan()
        assert (plan.update, plan.fields) == (1, {"city": 1})
    report = bench.run()
    assert report.counts == {"ok": 1}
    assert bench.sent() == [("update", "1", {"city": "Rome"})]
    assert (destination.made, bench.plan().changes) == (["city", "city"], 0)


def test_the_plan_says_that_a_field_was_archived() -> None:
    destination = MakingFake(fields=("email", "firstname"))
    bench = bench_of(destination)
    bench.run()
    archive_city(destination)
    said = "city is gone there, though 1 record(s) were given a value of it: somebody archived it"
    assert any(note.startswith(said) for note in bench.plan().notes)


def test_values_of_a_field_that_was_away_meanwhile_are_sent_again_and_equal_ones_are_not() -> None:
    """The sync makes no fields itself: it is refused, and sends the values once a person made the field again."""
    bench = Bench()
    bench.source([("1", "ann@x.io", "Ann", "Rome"), ("2", "bob@x.io", "Bob", "Bonn")])
    bench.run()
    archive_city(bench.destination)
    rows = [("1", "ann@x.io", "Ann", "Rome"), ("2", "bob@x.io", "Rob", "Bonn")]
    bench.source(rows)
    with pytest.raises(ConfigError, match="no field 'city'"):
        bench.run()
    bench.destination.fields = ("email", "firstname", "city")
    next(r for r in bench.destination.records.values() if r["firstname"] == "Ann")["city"] = "Rome"  # restored
    bench.sent()
    bench.run()
    assert bench.sent() == [("update", "2", {"city": "Bonn", "firstname": "Rob"})]


def test_a_field_is_made_once_before_anything_is_sent() -> None:
    destination = MakingFake(fields=("email", "firstname"))
    bench = bench_of(destination)
    assert bench.plan().new_fields == {"city": "string"}
    assert destination.made == []
    assert (bench.run().counts, destination.made) == ({"ok": 1}, ["city"])
    bench.source([("1", "ann@x.io", "Ann", "Oslo")])
    bench.run(full_refresh=True)
    assert destination.made == ["city"]


def test_a_run_that_sends_nothing_makes_none() -> None:
    destination = MakingFake()
    bench = bench_of(destination)
    bench.source([("1", "ann@x.io", "Ann", None)])
    bench.run()
    archive_city(destination)
    assert bench.run().counts == {}
    assert destination.made == []


def test_a_nested_column_is_refused_as_for_any_field() -> None:
    bench = bench_of(MakingFake(fields=("email", "firstname")))
    bench.warehouse.execute("ALTER TABLE contacts DROP COLUMN city")
    bench.warehouse.execute("ALTER TABLE contacts ADD COLUMN city VARCHAR[] DEFAULT ['a']")
    with pytest.raises(ConfigError, match="no field can hold it"):
        bench.plan()


def test_what_the_connector_does_not_take_is_said_with_the_place() -> None:
    bench = bench_of(MakingFake(fields=("email", "firstname")))
    bench.warehouse.execute("ALTER TABLE contacts ALTER city TYPE BOOLEAN USING TRUE")
    with pytest.raises(ConfigError, match="create_properties: city can't be made as bool"):
        bench.plan()


def test_who_can_not_be_erased_is_refused_before_anything_is_sent() -> None:
    bench = Bench(destination=FakeDestination())
    bench.source([("1", "ann@x.io", "Ann", "Rome")])
    bench.sync_as(mode="mirror", on_leave="erase")
    with pytest.raises(ConfigError, match="on_leave: erase: fake erases no contacts"):
        bench.run()
    assert bench.destination.records == {}

"""Structs, lists and JSON of a model: sent as JSON where a field takes it, and compared by what they hold."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pytest

from revetl.destinations.base import DestinationField, ObjectSchema, RecordMatch
from revetl.destinations.http.values import as_json, form, from_json
from revetl.errors import ConfigError
from revetl.model import JsonText, Scalar
from revetl.state import outcomes
from revetl.state.runs import get_run
from revetl.sync.rollback.rolling_back import RollbackChoices, RollbackOptions, roll_back
from tests.support.fake_destination import FakeDestination
from tests.support.sync_bench import Bench, read_back

COLUMNS = ("golden_id", "email", "address", "tags")
DDL = {
    "duckdb": "golden_id VARCHAR, email VARCHAR, address STRUCT(city VARCHAR, zip VARCHAR), tags VARCHAR[]",
    "postgres": "golden_id VARCHAR, email VARCHAR, address JSON, tags JSON",
    "snowflake": "golden_id VARCHAR, email VARCHAR, address JSON, tags JSON",
}
TEXT = "golden_id VARCHAR, email VARCHAR, address VARCHAR, tags VARCHAR"
OTHER_ORDER = "golden_id VARCHAR, email VARCHAR, address STRUCT(zip VARCHAR, city VARCHAR), tags VARCHAR[]"


@dataclass
class JsonFake(FakeDestination):
    """Takes JSON, and gives it back with its keys in an order of its own."""

    fields: Sequence[str] = ("email", "address", "tags")

    async def describe(self, object_: str) -> ObjectSchema:
        return ObjectSchema({name: DestinationField(name, "any") for name in self.fields})

    def normalise(self, object_: str, field: str, value: Scalar) -> str:
        return form(value, "any")

    def _match(self, id_: str, fields: Sequence[str]) -> RecordMatch:
        def stands(value: Scalar) -> Scalar:
            data = as_json(value, "any")
            return from_json(dict(reversed(data.items())) if isinstance(data, dict) else data)

        return RecordMatch(id_, {f: stands(self.records[id_].get(f)) for f in fields})


@pytest.fixture
def bench() -> Bench:
    bench = Bench(destination=JsonFake())
    bench.sync_as(columns=COLUMNS)
    model(bench, {"city": "Riga", "zip": "LV-1"}, ["a", "b"])
    return bench


def model(bench: Bench, address: Any, tags: Any, ddl: str | None = None) -> None:
    bench.source([], ddl or DDL[bench.warehouse.dialect])
    types = {c.name: c.type for c in bench.warehouse.columns(bench.spec.relation)}
    cells = ", ".join(f"CAST(CAST(? AS JSON) AS {types[name]})" for name in ("address", "tags"))
    bench.warehouse.execute(
        f"INSERT INTO contacts SELECT '1', 'ann@x.io', {cells}", [json.dumps(address), json.dumps(tags)]
    )


def sent_data(bench: Bench) -> list[dict[str, Any]]:
    return [{n: as_json(v, "any") for n, v in fields.items()} for _, _, fields in bench.sent()]


def test_a_nested_value_is_sent_once_and_only_when_it_changed(bench: Bench) -> None:
    assert bench.run().counts == {"ok": 1}
    [change] = bench.destination.written
    assert isinstance(change.fields["address"], JsonText)
    assert sent_data(bench) == [{"email": "ann@x.io", "address": {"city": "Riga", "zip": "LV-1"}, "tags": ["a", "b"]}]
    assert bench.run().plan.changes == 0
    model(bench, {"city": "Rome", "zip": "LV-1"}, ["a", "b"])
    report = bench.run()
    assert (report.plan.update, report.plan.fields) == (1, {"address": 1})
    assert sent_data(bench) == [{"address": {"city": "Rome", "zip": "LV-1"}}]
    [outcome] = outcomes.of_run(bench.warehouse, report.run_id)
    assert json.loads(outcome.before["address"])["city"] == "Riga"
    assert json.loads(outcome.after["address"])["city"] == "Rome"


def test_another_order_of_keys_is_no_change_and_another_order_of_a_list_is_one(bench: Bench) -> None:
    bench.run()
    bench.sent()
    other = OTHER_ORDER if bench.warehouse.dialect == "duckdb" else None
    model(bench, {"zip": "LV-1", "city": "Riga"}, ["a", "b"], other)
    assert bench.run().plan.changes == 0
    assert bench.sent() == []
    model(bench, {"zip": "LV-1", "city": "Riga"}, ["b", "a"], other)
    assert bench.run().plan.fields == {"tags": 1}


def test_what_stands_there_in_another_order_is_no_drift_and_what_a_person_changed_is(bench: Bench) -> None:
    bench.run()
    assert asyncio.run(read_back(bench)).drifted == 0
    [record] = bench.destination.records.values()
    record["address"] = JsonText('{"city": "Oslo", "zip": "LV-1"}')
    assert asyncio.run(read_back(bench)).drifted == 1


def test_a_run_over_nested_values_is_rolled_back(bench: Bench) -> None:
    bench.run()
    model(bench, {"city": "BAD", "zip": None}, [])
    run_id = bench.run().run_id
    run = get_run(bench.warehouse, run_id)
    assert run is not None
    bench.sent()
    ctx = bench.context(command="rollback")
    asyncio.run(roll_back(ctx, bench.spec, bench.destination, run, RollbackChoices(), RollbackOptions()))
    assert sent_data(bench) == [{"address": {"city": "Riga", "zip": "LV-1"}, "tags": ["a", "b"]}]


def test_text_that_looks_like_json_stays_text(bench: Bench) -> None:
    bench.source(
        [("1", "ann@x.io", '{"a": 1}', None)], "golden_id VARCHAR, email VARCHAR, address VARCHAR, tags VARCHAR"
    )
    bench.run()
    [change] = bench.destination.written
    assert not isinstance(change.fields["address"], JsonText)
    bench.source(
        [("1", "ann@x.io", '{"a":1}', None)], "golden_id VARCHAR, email VARCHAR, address VARCHAR, tags VARCHAR"
    )
    assert bench.run().plan.fields == {"address": 1}


def test_a_struct_into_a_field_of_text_is_refused_with_the_cure() -> None:
    bench = Bench(destination=FakeDestination(fields=("email", "address", "tags")))
    if bench.warehouse.dialect != "duckdb":
        pytest.skip("only DuckDB has structs")
    bench.sync_as(columns=COLUMNS)
    model(bench, {"city": "Riga", "zip": "LV-1"}, ["a"])
    with pytest.raises(ConfigError) as refused:
        bench.plan()
    assert "address: STRUCT(CITY VARCHAR, ZIP VARCHAR) into a field: no field can hold it" in str(refused.value)
    assert "array_to_string(tags, ';')" in str(refused.value)
    assert bench.destination.written == []


def test_a_whole_row_goes_with_a_change_where_the_connector_asks_for_it(bench: Bench) -> None:
    @dataclass
    class Asking(JsonFake):
        def needs_record(self, object_: str) -> bool:
            return True

        def replaces_record(self, object_: str) -> bool:
            return False

    bench.destination = Asking()
    first = bench.run().run_id
    model(bench, {"city": "Rome", "zip": "LV-1"}, ["a", "b"])
    bench.destination.written.clear()
    bench.run()
    [change] = bench.destination.written
    assert set(change.fields) == {"address"}
    assert change.record is not None
    assert (change.record["email"], as_json(change.record["tags"], "any")) == ("ann@x.io", ["a", "b"])
    assert change.after == first, "the run that last had an answer: what tells this change from an equal one"

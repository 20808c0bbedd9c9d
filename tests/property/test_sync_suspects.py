"""A plan over the buckets that disagree is the plan over everything."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from random import Random

import pytest

from revetl.errors import ConfigError, WarehouseError
from revetl.sync.plan import suspects
from revetl.warehouse.duckdb import DuckDBWarehouse
from tests.support.sync_bench import Bench
from tests.support.warehouses import SCHEMA

FIRST = [(f"k{i}", f"p{i}@x.io", f"Name {i % 7}", f"City {i % 5}") for i in range(300)]


def embedded() -> DuckDBWarehouse:
    """Whatever the other tests run on: elsewhere there is nothing to save."""
    warehouse = DuckDBWarehouse(":memory:")
    warehouse.execute(f"CREATE SCHEMA {SCHEMA}")
    warehouse.execute(f"USE {SCHEMA}")
    return warehouse


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Bench:
    """One whose tables are large enough, and quiet as far as anybody looked."""
    b = Bench(warehouse=embedded())
    b.sync_as(mode="mirror", on_leave="archive")
    b.source(FIRST)
    b.run()
    monkeypatch.setattr(suspects, "_FROM_ROWS", 0)
    monkeypatch.setattr(suspects, "_quiet", lambda *_: True)
    return b


def planned(bench: Bench) -> tuple[object, ...]:
    plan = bench.plan()
    lines = bench.rows(
        "SELECT ordinal, key, op, destination_id, in_doubt, row_hash, changed_fields"
        " FROM revetl.plan__fake__contacts ORDER BY ordinal"
    )
    return lines, plan.source_rows, plan.snapshot_rows, plan.unchanged, plan.left, plan.waiting, plan.fields


def over_everything(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> tuple[object, ...]:
    with monkeypatch.context() as patch:
        patch.setattr(suspects, "find", lambda *_: None)
        return planned(bench)


@pytest.mark.parametrize("seed", range(12))
def test_the_same_plan(bench: Bench, monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    rng = Random(seed)
    rows = [list(row) for row in FIRST if rng.random() > 0.01 * (seed % 3)]
    for row in rng.sample(rows, seed):
        row[rng.randrange(1, 4)] = rng.choice([None, "", "else@x.io", "Name 1"])
    rows += [[f"new{i}", f"new{i}@x.io", None, "Riga"] for i in range(seed % 4)]
    rng.shuffle(rows)
    bench.source(rows)
    for key in rng.sample(range(300), seed % 5):  # in doubt: to be sent although nothing changed
        bench.warehouse.execute("UPDATE revetl.snapshot__fake__contacts SET row_hash = NULL WHERE key = ?", [f"k{key}"])
    assert planned(bench) == over_everything(bench, monkeypatch)


def test_only_what_can_differ_is_joined(bench: Bench) -> None:
    bench.source([*FIRST[:-1], ("k299", "p299@x.io", "Else", "City 4")])
    assert bench.plan().update == 1
    assert len(bench.rows("SELECT bucket FROM temp.main.revetl_suspects__fake__contacts")) == 1
    bench.source(FIRST)
    assert bench.plan().changes == 0
    assert bench.rows("SELECT bucket FROM temp.main.revetl_suspects__fake__contacts") == []


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        ("INSERT INTO contacts SELECT * FROM contacts WHERE golden_id = 'k7'", "not unique: 'k7' (2 times)"),
        ("INSERT INTO contacts VALUES ('new', 'n@x.io', 'N', 'N'), ('new', 'n@x.io', 'N', 'N')", "'new' (2 times)"),
        ("UPDATE contacts SET golden_id = 'k8' WHERE golden_id = 'k7'", "not unique: 'k8' (2 times)"),
        ("UPDATE contacts SET golden_id = NULL WHERE golden_id = 'k7'", "1 row(s) have no golden_id"),
    ],
)
def test_null_and_repeated_keys_are_found(bench: Bench, spoil: str, says: str) -> None:
    bench.warehouse.execute(spoil)
    with pytest.raises(ConfigError) as e:
        bench.plan()
    assert says in str(e.value)


def test_without_the_memory_it_is_planned_the_ordinary_way(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.source([*FIRST[:-1], ("k299", "p299@x.io", "Else", "City 4")])

    @contextmanager
    def none_left(_: int) -> Iterator[None]:
        if asked.pop():
            raise WarehouseError("Out of Memory Error")
        yield

    for fails in ([False, True], [True, False]):  # while looking, while planning
        asked = fails
        monkeypatch.setattr(bench.warehouse, "lean", none_left)
        assert bench.plan().update == 1


def test_a_busy_sample_is_not_looked_at_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench(warehouse=embedded())
    monkeypatch.setattr(suspects, "_FROM_ROWS", 0)
    bench.source(FIRST)
    bench.plan()  # nothing is known: all is new
    with pytest.raises(WarehouseError, match="does not exist"):
        bench.rows("SELECT 1 FROM temp.main.revetl_suspects__fake__contacts")
    bench.run()
    bench.plan()
    assert bench.rows("SELECT 1 FROM temp.main.revetl_suspects__fake__contacts") == []


def test_the_limit_of_before_is_back() -> None:
    warehouse = embedded()
    before = warehouse.rows("SELECT current_setting('memory_limit')")
    with warehouse.lean(10):
        assert warehouse.rows("SELECT current_setting('memory_limit')") != before
    assert warehouse.rows("SELECT current_setting('memory_limit')") == before

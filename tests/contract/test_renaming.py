"""A renamed sync takes over the state of its old name, on every warehouse, whatever statement a crash falls on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from revetl.errors import GuardrailError
from revetl.model import Scalar
from revetl.state import ownership, renaming, schema
from revetl.state.schema import create_all, relation, table_suffix
from revetl.warehouse.base import Warehouse
from revetl.warehouse.open import open_warehouse
from revetl.warehouse.sql import table
from tests.support.sweeps import stride
from tests.support.warehouses import PARAMS, new_database

OLD, NEW, OTHER = "crm people (old)", "crm_people", "firms"
TABLES = ("snapshot", "links", "rejected", "plan", "drift")
NAMING = {"plans": "sync", "saved_plans": "sync", "outcomes": "sync", "runs": "subject"}


@pytest.fixture(params=PARAMS)
def warehouse(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Warehouse]:
    with (
        new_database(request.param, tmp_path) as output,
        closing(open_warehouse(output, root=tmp_path, state_schema="revetl")) as opened,
    ):
        create_all(opened)
        yield opened


class Crash(Exception):
    """The process is gone."""


class Crashing:
    """Lets so many statements that write through, then none."""

    def __init__(self, inner: Warehouse, statements: int) -> None:
        self._inner, self._left = inner, statements

    def execute(self, sql: str, params: tuple[Scalar, ...] = ()) -> None:
        if not self._left:
            raise Crash
        self._left -= 1
        self._inner.execute(sql, params)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


def fill(warehouse: Warehouse, sync: str) -> None:
    suffix = table_suffix(sync)
    for kind in TABLES:
        place = table(relation(warehouse, f"{kind}__{suffix}"))
        warehouse.execute(f"CREATE TABLE {place} (key VARCHAR, to_sync VARCHAR)")
        warehouse.execute(f"INSERT INTO {place} (key, to_sync) VALUES ('{kind}', '{OTHER}')")
    for name, column in NAMING.items():
        warehouse.execute(f"INSERT INTO {table(relation(warehouse, name))} ({column}) VALUES (?)", [sync])


def held(warehouse: Warehouse) -> dict[str, list[tuple[Any, ...]]]:
    """Every row that tells of a sync, by table."""
    found = {}
    for name in warehouse.tables("revetl"):
        if "__" in name:
            found[name] = warehouse.rows(f"SELECT key, to_sync FROM {table(relation(warehouse, name))}")
    for name, column in NAMING.items():
        found[name] = warehouse.rows(f"SELECT {column} FROM {table(relation(warehouse, name))}")
    return found


def test_a_crash_between_any_two_statements_is_repeated(warehouse: Warehouse) -> None:
    """Snowflake's stand-in is slow, and the statements are those of the others: there at every fifth."""
    apart = stride(5) if warehouse.dialect == "snowflake" else 1
    linked = table(relation(warehouse, f"links__{table_suffix('visits')}"))
    warehouse.execute(f"CREATE TABLE {linked} (key VARCHAR, to_sync VARCHAR)")
    new = table_suffix(NEW)
    expected = {f"{kind}__{new}": [(kind, OTHER)] for kind in TABLES}
    expected |= {name: [(NEW,)] for name in NAMING} | {"links__visits": [("v", NEW)]}
    crashes = 0
    while True:
        warehouse.execute(f"DELETE FROM {linked}")
        warehouse.execute(f"INSERT INTO {linked} (key, to_sync) VALUES ('v', ?)", [OLD])
        fill(warehouse, OLD)
        assert renaming.is_pending(warehouse, OLD)
        try:
            renaming.take_over(Crashing(warehouse, crashes), OLD, NEW)  # type: ignore[arg-type]
            done = True
        except Crash:
            done = False
            renaming.take_over(warehouse, OLD, NEW)
        assert held(warehouse) == expected
        assert not renaming.is_pending(warehouse, OLD)
        renaming.take_over(warehouse, OLD, NEW)
        assert held(warehouse) == expected
        for name in NAMING:
            warehouse.execute(f"DELETE FROM {table(relation(warehouse, name))}")
        for kind in TABLES:
            warehouse.execute(f"DROP TABLE {table(relation(warehouse, f'{kind}__{new}'))}")
        if done:
            break
        crashes += apart
    assert crashes > len(TABLES) + len(NAMING)


def test_where_both_names_hold_records_nothing_is_moved(warehouse: Warehouse) -> None:
    fill(warehouse, OLD)
    fill(warehouse, NEW)
    before = held(warehouse)
    with pytest.raises(GuardrailError, match="both hold records"):
        renaming.take_over(warehouse, OLD, NEW)
    assert held(warehouse) == before


def test_an_empty_start_under_the_new_name_gives_way(warehouse: Warehouse) -> None:
    fill(warehouse, OLD)
    suffix = table_suffix(NEW)
    for kind in TABLES:
        warehouse.execute(f"CREATE TABLE {table(relation(warehouse, f'{kind}__{suffix}'))} (key VARCHAR)")
    renaming.take_over(warehouse, OLD, NEW)
    assert held(warehouse)[f"snapshot__{suffix}"] == [("snapshot", OTHER)]


def test_what_no_sync_looks_after_is_named(warehouse: Warehouse) -> None:
    fill(warehouse, OLD)
    fill(warehouse, OTHER)
    (orphan,) = renaming.orphans(warehouse, [OTHER, NEW])
    assert (orphan.sync, orphan.records, orphan.links) == (OLD, 1, 1)
    assert set(orphan.tables) == {f"{kind}__{table_suffix(OLD)}" for kind in TABLES}
    assert renaming.orphans(warehouse, [OTHER, NEW, OLD]) == []


def test_state_belongs_to_the_target_that_came_first(warehouse: Warehouse) -> None:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    ownership.claim(warehouse, "prod", now)
    ownership.claim(warehouse, "prod", now)
    with pytest.raises(GuardrailError, match=r"state of the target 'prod'.*\n.*state_schema.*\n.*UPDATE") as e:
        ownership.claim(warehouse, "staging", now)
    statement = str(e.value).rpartition(": ")[2]
    warehouse.execute(statement)
    ownership.claim(warehouse, "staging", now)


def test_state_of_an_earlier_version_belongs_to_the_target_of_its_last_run(warehouse: Warehouse) -> None:
    runs = table(relation(warehouse, "runs"))
    for target, day in (("dev", 1), ("prod", 2)):
        started = datetime(2026, 1, day)  # noqa: DTZ001 - as the table keeps them
        warehouse.execute(
            f"INSERT INTO {runs} (run_id, target, started_at) VALUES (?, ?, ?)", [target, target, started]
        )
    with pytest.raises(GuardrailError, match="'prod'"):
        ownership.claim(warehouse, "dev", datetime(2026, 1, 3, tzinfo=UTC))


def test_every_table_that_names_a_sync_is_renamed() -> None:
    named = {name for name, columns in schema.TABLES.items() if "sync" in {column for column, _ in columns}}
    assert named - {name for name, column in renaming._NAMING if column == "sync"} == set()

"""Leases on every warehouse: of two that reach for one at once, at most one has it; who lost it writes nothing."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from revetl.errors import LeaseError, RevetlError
from revetl.state import leases
from revetl.state.schema import create_all, relation
from revetl.warehouse.base import Warehouse
from revetl.warehouse.open import open_warehouse
from revetl.warehouse.sql import table
from tests.support.warehouses import PARAMS, new_database

NOW = datetime(2026, 1, 1, tzinfo=UTC)
LASTS = timedelta(minutes=5)
ROUNDS = 5


@pytest.fixture(params=PARAMS)
def pair(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Warehouse, Warehouse]]:
    """Two connections to one database, each with transactions of its own."""
    with new_database(request.param, tmp_path) as output, both(output, tmp_path) as opened:
        create_all(opened[0])
        yield opened
    leases.forget("a")
    leases.forget("b")


@contextmanager
def both(output: dict[str, object], root: Path) -> Iterator[tuple[Warehouse, Warehouse]]:
    def connect() -> Warehouse:
        return open_warehouse(output, root=root, state_schema="revetl")

    with closing(connect()) as first, closing(connect()) as second:
        yield first, second


def take(warehouse: Warehouse, name: str, run_id: str, now: datetime = NOW) -> leases.Holder | None:
    return leases.take(warehouse, name, run_id, now=now, lasts=LASTS)


def test_one_has_it_until_it_is_given_back_or_ends(pair: tuple[Warehouse, Warehouse]) -> None:
    first, second = pair
    assert take(first, "sync:x", "a") is None
    assert take(first, "sync:x", "a") is None, "safe to repeat"
    refused = take(second, "sync:x", "b", NOW + timedelta(minutes=4))
    assert refused is not None
    assert (refused.run_id, refused.acquired_at, refused.expires_at) == ("a", NOW, NOW + LASTS)
    assert take(second, "sync:y", "b") is None, "another name is free"
    leases.release(first, "sync:x", "a")
    assert take(second, "sync:x", "b") is None
    assert take(first, "sync:x", "a", NOW + timedelta(minutes=6)) is None, "the holder was silent for too long"


def test_who_was_taken_over_rolls_back(pair: tuple[Warehouse, Warehouse]) -> None:
    first, second = pair
    runs = table(relation(first, "runs"), first.dialect)
    assert take(first, "sync:x", "a") is None
    with first.transaction():
        leases.hold(first, "sync:x", "a", until=NOW + LASTS)
        first.execute(f"INSERT INTO {runs} (run_id) VALUES ('kept')")
    assert take(second, "sync:x", "b", NOW + timedelta(minutes=6)) is None

    def late() -> None:
        with first.transaction():
            first.execute(f"INSERT INTO {runs} (run_id) VALUES ('lost')")
            leases.hold(first, "sync:x", "a", until=NOW + LASTS)

    with pytest.raises(LeaseError, match="run b"):
        late()
    assert second.rows(f"SELECT run_id FROM {runs}") == [("kept",)]


def test_of_two_at_the_same_moment_at_most_one_wins(pair: tuple[Warehouse, Warehouse]) -> None:
    """The first to come, so that both may insert the row; then with a row that has ended."""
    wins = 0
    for round_ in range(ROUNDS):
        name = f"sync:{round_}"
        for moment in (NOW, NOW + timedelta(minutes=10)):
            won = _race(pair, name, moment)
            assert len(won) <= 1
            wins += len(won)
    assert wins >= ROUNDS, "and mostly one does"


def _race(pair: tuple[Warehouse, Warehouse], name: str, now: datetime) -> list[str]:
    won: list[str] = []
    start = threading.Barrier(2)

    def reach(warehouse: Warehouse, run_id: str) -> None:
        start.wait()
        try:
            if take(warehouse, name, run_id, now) is None:
                won.append(run_id)
        except RevetlError:
            pass  # the database refused a second writer: not taken

    threads = [threading.Thread(target=reach, args=(w, f"{r}-{now:%M}")) for w, r in zip(pair, ("a", "b"), strict=True)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for run_id in ("a", "b"):
        leases.forget(f"{run_id}-{now:%M}")
    return won

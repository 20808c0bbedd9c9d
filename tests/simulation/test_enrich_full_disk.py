"""The disk fills up in the midst of a run: no more calls leave, and nothing that was paid for is lost.

The vendor's own bill is the witness. In the first tests the room is looked at and found short; in the others the
database can't be written to from some step on, as with a user's share of a disk, which nobody sees beforehand.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from revetl.enrich.execution import disk_room
from revetl.enrich.execution.answer_spool import AnswerSpool, KeptAnswer, read_kept
from revetl.enrich.execution.engine import run_waterfall
from revetl.enrich.options import WaterfallOptions
from revetl.errors import WarehouseFull
from revetl.state.calls import CallOutcome, PaidCall
from tests.simulation.test_enrich_engine import enrich, providers
from tests.simulation.test_enrich_lost_connection import check_no_money_lost
from tests.support.enrich_fakes import PEOPLE, FakeProvider, clock, context, person, warehouse_with, waterfall
from tests.support.losing import LosingWarehouse
from tests.support.virtual_time import run_virtual

PEOPLE_N = 12
PLACES = 3
SHORT = disk_room.LEAST_FREE - 1


class FullWarehouse(LosingWarehouse):
    """Nothing can be written from step `at` on; what is read is read."""

    folder: Path | None = None

    def step(self, *, in_doubt: bool = False, committed: bool = False) -> None:
        self.steps += 1

    def _write(self) -> None:
        self.step()
        if self.steps >= self.at:
            raise WarehouseFull("Could not write file: No space left on device")

    def execute(self, sql: str, params: Any = ()) -> None:
        self._write()
        self.inner.execute(sql, params)

    def append(self, target: Any, data: Any) -> None:
        self._write()
        self.inner.append(target, data)

    @contextmanager
    def transaction(self, *, ddl: bool = False) -> Iterator[None]:
        with self.inner.transaction(ddl=ddl):
            yield
            self._write()


def begun() -> Any:
    warehouse = warehouse_with([person(n) for n in range(PEOPLE_N)])
    enrich(warehouse, providers(), run_id="r0", limit=0)
    return warehouse


def run(warehouse: Any, vendors: dict[str, FakeProvider], folder: Path | None, run_id: str = "r1") -> Any:
    ctx = context(warehouse, clock(), run_id, state_dir=folder)
    return run_virtual(run_waterfall(ctx, waterfall(), vendors, PEOPLE, WaterfallOptions()))


def asked(vendors: dict[str, FakeProvider]) -> dict[str, int]:
    return {name: len(vendor.bill) for name, vendor in vendors.items()}


def free_for(looks: int) -> Callable[[Path], int]:
    """Room for so many looks, and none after that."""
    left = iter(range(looks))
    return lambda _: disk_room.LEAST_FREE if next(left, None) is not None else SHORT


def first_step() -> tuple[int, int]:
    """(the step after which the first question is asked, all steps)."""
    vendors = providers()
    seen: list[int] = []
    counting = FullWarehouse(begun(), clock(), 10**9)
    vendors["big.person"].before_answer = lambda: seen.append(counting.steps)
    run(counting, vendors, None)
    return seen[0], counting.steps


def test_with_little_room_left_no_call_leaves_and_the_run_fails_saying_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    warehouse, vendors = begun(), providers()
    on_disk = FullWarehouse(warehouse, clock(), 10**9)
    on_disk.folder = tmp_path
    monkeypatch.setattr(disk_room, "free_bytes", free_for(0))
    with pytest.raises(WarehouseFull, match=f"63 MB are free in {tmp_path}") as e:
        run(on_disk, vendors, None)
    assert "nothing more was asked" in str(e.value)
    assert asked(vendors) == dict.fromkeys(vendors, 0)
    assert warehouse.rows("SELECT status, error FROM revetl.runs WHERE run_id = 'r1'") == [("failed", "WarehouseFull")]


@pytest.mark.parametrize("looks", [1, 3])
def test_what_is_in_flight_when_room_runs_short_is_awaited_and_written(
    looks: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    warehouse, vendors = begun(), providers()
    on_disk = FullWarehouse(warehouse, clock(), 10**9)
    on_disk.folder = tmp_path
    monkeypatch.setattr(disk_room, "free_bytes", free_for(looks))
    with pytest.raises(WarehouseFull):
        run(on_disk, vendors, None)
    before = asked(vendors)
    assert before["big.person"] > 0
    billed = sum((v.billed_usd for v in vendors.values()), Decimal(0))
    assert warehouse.rows("SELECT sum(charged_usd) FROM revetl.enrichment_calls")[0][0] == billed
    monkeypatch.setattr(disk_room, "free_bytes", lambda _: disk_room.LEAST_FREE)
    run(on_disk, vendors, None, "r2")
    check_no_money_lost(warehouse, vendors, before)
    assert enrich(warehouse, vendors, run_id="r3").asked == 0


def test_what_a_full_database_does_not_take_is_kept_and_written_by_the_next_run(tmp_path: Path) -> None:
    first, steps = first_step()
    kept_any = 0
    for n, at in enumerate(range(first + 1, steps - 4, (steps - first) // PLACES)):
        warehouse, vendors, folder = begun(), providers(), tmp_path / str(n)
        with pytest.raises(WarehouseFull) as e:
            run(FullWarehouse(warehouse, clock(), at), vendors, folder)
        kept = AnswerSpool(folder).paths()
        kept_any += bool(kept)
        assert ("paid answers are kept in" in str(e.value)) == bool(kept), "no later failure hides what became of them"
        assert AnswerSpool(folder).partial() == [], "the room that was taken is given back"
        before = asked(vendors)
        run(warehouse, vendors, folder, "r2")
        check_no_money_lost(warehouse, vendors, before)
        warehouse.close()
    assert kept_any


def test_room_for_answers_is_taken_before_anything_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    warehouse, vendors = begun(), providers()
    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(OSError, match="No space left"):
        run(warehouse, vendors, tmp_path)
    assert asked(vendors) == dict.fromkeys(vendors, 0)
    assert AnswerSpool(tmp_path).partial() == []


def test_answers_are_written_into_the_room_that_was_taken(tmp_path: Path) -> None:
    spool = AnswerSpool(tmp_path)
    spool.take_room("r1", 1 << 20)
    (room,) = spool.partial()
    assert room.stat().st_blocks * 512 >= 1 << 20
    number = room.stat().st_ino
    now = datetime(2026, 6, 10, tzinfo=UTC)
    call = PaidCall("r1/w/1", "r1", "w", "big.person", ("g1",), "hash", "v1", Decimal("0.20"), now)
    answers = [KeptAnswer(call, CallOutcome("hit", now, 200, Decimal("0.20"), response={"id": 1}), [], [])]
    kept = spool.keep("r1", answers)
    assert kept is not None
    assert kept.stat().st_ino == number, "no other file, which the full disk would not take"
    assert read_kept(kept) == answers

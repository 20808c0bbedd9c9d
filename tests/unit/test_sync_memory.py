"""What a push holds at once depends on neither the length of its plan nor the width of its rows."""

from __future__ import annotations

import asyncio
import tracemalloc
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pyarrow as pa
import pytest

from revetl.destinations.base import Limits
from revetl.model import Change, Operation, Outcome, Status
from revetl.state.sync_tables import resolve
from revetl.sync.apply import applier, plan_lines
from revetl.sync.apply.batches import BatchCutter, bytes_of
from revetl.sync.plan import equal_forms, lines, matching
from revetl.warehouse.duckdb import DuckDBWarehouse
from tests.support.fake_destination import FakeDestination
from tests.support.sync_bench import Bench
from tests.support.warehouses import SCHEMA

MIB = 2**20


def embedded() -> DuckDBWarehouse:
    """Whatever the other tests run on: a server's memory is not ours."""
    warehouse = DuckDBWarehouse(":memory:")
    warehouse.execute(f"CREATE SCHEMA {SCHEMA}")
    warehouse.execute(f"USE {SCHEMA}")
    return warehouse


@dataclass
class Forgetful(FakeDestination):
    """Takes all and keeps nothing but how large each batch was: (records, bytes)."""

    batch_bytes: int = Limits(1, 1).batch_bytes
    batches: list[tuple[int, int]] = field(default_factory=list)

    def limits(self, object_: str) -> Limits:
        return replace(super().limits(object_), batch_bytes=self.batch_bytes, lookup_rows=1_000)

    async def write(self, object_: str, match_on: str | None, changes: Sequence[Change]) -> list[Outcome]:
        self.batches.append((len(changes), sum(map(bytes_of, changes))))
        await asyncio.sleep(0)
        return [Outcome(c.ordinal, Status.OK, f"id{c.key}") for c in changes]


def long_bench(rows: int, city: str = "'City ' || (i % 9)", **options: int) -> Bench:
    bench = Bench(warehouse=embedded(), destination=Forgetful(**options))  # type: ignore[arg-type]
    bench.warehouse.execute(
        f"""
        CREATE TABLE contacts AS
        SELECT CAST(i AS VARCHAR) AS golden_id, 'p' || i || '@x.io' AS email, 'First' AS firstname, {city} AS city
        FROM range({rows}) t(i)
        """
    )
    return bench


def python_peak(rows: int) -> int:
    bench = long_bench(rows, batch_rows=100)
    tracemalloc.start()
    try:
        report = bench.run()
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert dict(report.counts) == {"ok": rows}
    return peak


def test_python_holds_no_more_of_eight_times_the_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    """With bounds that both sizes are far past."""
    for module, name, rows in (
        (plan_lines, "CHUNK_ROWS", 100),
        (plan_lines, "_RANGE_ROWS", 500),
        (applier, "_STRETCH_ROWS", 500),
        (applier, "_CHECKPOINT_ROWS", 200),
        (matching, "_CHUNK", 500),
        (equal_forms, "_CHUNK", 500),
        (lines, "_CHUNK", 500),
    ):
        monkeypatch.setattr(module, name, rows)
    python_peak(100)  # what is imported and cached at the first run
    few, many = python_peak(1_500), python_peak(12_000)
    assert many < 1.5 * few, (few, many)


def test_wide_cells_never_exceed_what_a_write_takes() -> None:
    most = Limits(1, 1).batch_bytes
    bench = long_bench(500, city=f"CASE WHEN i % 3 = 0 THEN repeat('x', {MIB}) ELSE 'Riga' END", batch_rows=100)
    bench.sync_as(match_on=None)
    assert dict(bench.run().counts) == {"ok": 500}
    batches = bench.destination.batches  # type: ignore[attr-defined]
    assert sum(records for records, _ in batches) == 500
    assert max(size for _, size in batches) <= most
    assert max(size for _, size in batches) > most / 2  # and yet they are filled


def test_a_value_larger_than_a_write_takes_goes_alone() -> None:
    bench = long_bench(
        20, city="CASE WHEN i = 11 THEN repeat('ä', 4000) ELSE 'Riga' END", batch_rows=100, batch_bytes=5_000
    )
    assert dict(bench.run().counts) == {"ok": 20}
    assert [records for records, size in bench.destination.batches if size > 5_000] == [1]  # type: ignore[attr-defined]


def change(ordinal: int, size: int, op: Operation = Operation.UPDATE) -> Change:
    return Change(ordinal, "k", op, f"id{ordinal}", {"city": "x" * size})


def test_what_waits_of_a_wide_chunk_is_counted_in_the_next() -> None:
    cutter = BatchCutter(Limits(4, 1, batch_bytes=100))
    assert [*cutter.full(Operation.UPDATE, [change(0, 60)], wide=True)] == []
    assert [*cutter.full(Operation.DELETE, [change(1, 0, Operation.DELETE)], wide=False)] == []
    cut = [*cutter.full(Operation.UPDATE, [change(n, 30) for n in range(2, 9)], wide=False)]
    assert [[c.ordinal for c in batch] for batch in cut] == [[0, 2], [3, 4, 5]]
    assert [[c.ordinal for c in batch] for batch in cutter.rest()] == [[6, 7, 8], [1]]
    assert [*cutter.rest()] == []


def test_a_chunk_of_a_plan_has_few_bytes_or_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan_lines, "_RANGE_BYTES", 10_000)
    monkeypatch.setattr(plan_lines, "_RANGE_ROWS", 40)
    bench = long_bench(200, city="repeat('y', CASE i % 50 WHEN 0 THEN 30000 WHEN 1 THEN 4000 ELSE 10 END)")
    bench.plan()
    tables = resolve(bench.warehouse, bench.spec)
    bench.warehouse.execute(
        f"DELETE FROM {tables.plan} WHERE ordinal BETWEEN 60 AND 145"
    )  # ranges with nothing in them
    seen = []
    for chunk in plan_lines.stream_lines(tables):
        changes = plan_lines.read_changes(chunk, tables)
        size = sum(len(str(value)) for c in changes for value in c.fields.values())
        assert size - max(len(str(c.fields["city"])) for c in changes) <= 10_000
        seen += [c.ordinal for c in changes]
    assert seen == [*range(60), *range(146, 200)]


def test_nothing_is_left_half_read_while_chunks_are_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    """A half-read result would keep DuckDB from folding its log into the file, and all that is new in memory."""
    monkeypatch.setattr(plan_lines, "CHUNK_ROWS", 2_048)
    bench = long_bench(10_000)
    bench.plan()
    results = []
    stream = bench.warehouse.stream

    def watched(*args: Any, **options: Any) -> Iterator[pa.RecordBatch]:
        results.append("open")
        yield from stream(*args, **options)
        results[-1] = "read"

    monkeypatch.setattr(bench.warehouse, "stream", watched)
    chunks = plan_lines.stream_lines(resolve(bench.warehouse, bench.spec))
    assert next(chunks).num_rows < 10_000
    assert results == ["read"]

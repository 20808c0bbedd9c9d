"""A warehouse whose connection is lost before a given step, and is there again after some of the clock's seconds."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from revetl.clock import Clock
from revetl.errors import WarehouseLost
from revetl.warehouse.base import TypedResults, Warehouse


class LosingWarehouse(TypedResults):
    """Every statement, every piece of a result and both ends of every commit are steps; at the n-th the connection is
    lost (0: never), and what was open went with it. `away_s` None: it never comes back; `again_after` more steps it is
    lost once more. `commits`: only the answers of COMMITs are counted."""

    repeatable_reads = True

    def __init__(
        self,
        inner: Warehouse,
        clock: Clock,
        at: int,
        *,
        away_s: float | None = 0.0,
        again_after: int = 0,
        commits: bool = False,
    ) -> None:
        self.commits = commits
        self.inner, self.clock, self.at, self.away_s, self.again_after = inner, clock, at, away_s, again_after
        self.dialect, self.state_schema = inner.dialect, inner.state_schema
        self.steps = self.losses = 0
        self.back_at: float | None = 0.0
        self.scratch_is_gone = False

    def step(self, *, in_doubt: bool = False, committed: bool = False) -> None:
        if self.back_at is None or self.clock.monotonic() < self.back_at:
            raise WarehouseLost("there is no other")
        if self.scratch_is_gone and self.dialect == "duckdb":
            self.scratch_is_gone = False
            for (name,) in self.inner.rows("SELECT table_name FROM duckdb_tables() WHERE database_name = 'temp'"):
                self.inner.execute(f'DROP TABLE temp.main."{name}"')
        self.steps += committed or not self.commits
        if self.steps == self.at and (committed or not self.commits):
            self.losses += 1
            self.scratch_is_gone = True
            self.at += self.again_after
            self.back_at = None if self.away_s is None else self.clock.monotonic() + self.away_s
            raise WarehouseLost("the connection was lost", in_doubt=in_doubt)

    def execute(self, sql: str, params: Sequence[Any] = ()) -> None:
        self.step()
        self.inner.execute(sql, params)

    def rows(self, sql: str, params: Sequence[Any] = ()) -> Any:
        self.step()
        return self.inner.rows(sql, params)

    def stream(self, sql: str, params: Sequence[Any] = (), *, batch_rows: int = 10_000) -> Iterator[Any]:
        self.step()
        losses = self.losses
        for piece in self.inner.stream(sql, params, batch_rows=batch_rows):
            self.step()
            if self.losses != losses:
                raise WarehouseLost("the connection was lost before its result was read to the end")
            yield piece

    def append(self, target: Any, data: Any) -> None:
        self.step()
        self.inner.append(target, data)

    @contextmanager
    def transaction(self, *, ddl: bool = False) -> Iterator[None]:
        self.step()
        with self.inner.transaction(ddl=ddl):
            yield
            self.step(in_doubt=True)  # COMMIT did not arrive
        self.step(in_doubt=True, committed=True)  # its answer did not arrive

    def tables(self, schema: str) -> Any:
        return self.inner.tables(schema)

    def columns(self, relation: Any) -> Any:
        self.step()
        return self.inner.columns(relation)

    def kind(self, relation: Any) -> Any:
        return self.inner.kind(relation)

    def scratch(self, name: str) -> Any:
        return self.inner.scratch(name)

    def lean(self, columns: int) -> AbstractContextManager[None] | None:
        return self.inner.lean(columns)

    def close(self) -> None:
        self.inner.close()

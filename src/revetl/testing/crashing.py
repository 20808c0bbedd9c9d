"""A process that can die at any statement and any request: from that moment on it does nothing any more."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from typing import Any

from revetl.model import Relation, Scalar
from revetl.warehouse.base import Column, Kind, TypedResults, Warehouse


class Crash(BaseException):
    """Not an Exception: no handler of the engine may take it for a failure that it knows."""


@dataclass
class Fuse:
    """Burns at the given step, counted from 1; None: never."""

    at: int | None = None
    step: int = 0
    dead: bool = False

    def tick(self) -> None:
        self.step += 1
        if self.dead or self.step == self.at:
            self.dead = True
            raise Crash(f"at step {self.step}")


@dataclass
class CrashingWarehouse(TypedResults):
    """Every statement and both ends of every commit are steps."""

    inner: Warehouse
    fuse: Fuse = field(default_factory=Fuse)
    dialect: str = "duckdb"

    @property
    def repeatable_reads(self) -> bool:
        return self.inner.repeatable_reads

    @property
    def state_schema(self) -> str:
        return self.inner.state_schema

    def execute(self, sql: str, params: Sequence[Scalar] = ()) -> None:
        self.fuse.tick()
        self.inner.execute(sql, params)

    def rows(self, sql: str, params: Sequence[Scalar] = ()) -> list[tuple[Scalar, ...]]:
        self.fuse.tick()
        return self.inner.rows(sql, params)

    def stream(self, sql: str, params: Sequence[Scalar] = (), *, batch_rows: int = 10_000) -> Iterator[Any]:
        self.fuse.tick()
        return self.inner.stream(sql, params, batch_rows=batch_rows)

    def append(self, table: Relation, data: Any) -> None:
        self.fuse.tick()
        self.inner.append(table, data)

    @contextmanager
    def transaction(self, *, ddl: bool = False) -> Iterator[None]:
        self.fuse.tick()
        with self.inner.transaction(ddl=ddl):
            yield
            self.fuse.tick()
        self.fuse.tick()

    def columns(self, relation: Relation) -> list[Column]:
        return self.inner.columns(relation)

    def tables(self, schema: str) -> dict[str, list[str]]:
        return self.inner.tables(schema)

    def kind(self, relation: Relation) -> Kind | None:
        return self.inner.kind(relation)

    def scratch(self, name: str) -> Relation:
        return self.inner.scratch(name)

    def lean(self, columns: int) -> AbstractContextManager[None] | None:
        return self.inner.lean(columns)

    def close(self) -> None:
        self.inner.close()

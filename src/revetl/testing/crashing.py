"""A process that can die at any statement and any request: from that moment on it does nothing any more."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from typing import Any

from revetl.model import Relation, Scalar
from revetl.warehouse.base import Column, Kind, TypedResults, Warehouse

_QUESTION = re.compile(r"\s*(SELECT|WITH)\b", re.IGNORECASE)


class Crash(BaseException):
    """Not an Exception: no handler of the engine may take it for a failure that it knows."""


@dataclass
class Fuse:
    """Burns at the given step, counted from 1; None: never. `step`: how many were taken; `changes`: how often something
    was changed that outlives the process."""

    at: int | None = None
    step: int = 0
    dead: bool = False
    changes: int = 0
    _last: dict[int, int] = field(default_factory=dict, repr=False)

    def tick(self) -> None:
        self.step += 1
        self._last[self.changes] = self.step
        if self.dead or self.step == self.at:
            self.dead = True
            raise Crash(f"at step {self.step}")

    def changed(self) -> None:
        self.changes += 1

    def steps_apart(self) -> list[int]:
        """Of the steps that were taken, those at which a death leaves different things behind: the last before each
        lasting change, and the last of all. Whoever dies at another one, such as a question or a statement of a
        transaction that is rolled back, leaves what is left at the next of these."""
        return [*self._last.values()]


@dataclass
class CrashingWarehouse(TypedResults):
    """Every statement and both ends of every commit are steps. What is committed is a lasting change, a temporary table
    too: another run over the same connection finds it."""

    inner: Warehouse
    fuse: Fuse = field(default_factory=Fuse)
    dialect: str = "duckdb"
    _uncommitted: bool | None = field(default=None, init=False)  # whether anything is; None outside of a transaction

    @property
    def repeatable_reads(self) -> bool:
        return self.inner.repeatable_reads

    @property
    def state_schema(self) -> str:
        return self.inner.state_schema

    def execute(self, sql: str, params: Sequence[Scalar] = ()) -> None:
        self.fuse.tick()
        self.inner.execute(sql, params)
        self._wrote()

    def rows(self, sql: str, params: Sequence[Scalar] = ()) -> list[tuple[Scalar, ...]]:
        self.fuse.tick()
        found = self.inner.rows(sql, params)
        if not _QUESTION.match(sql):
            self._wrote()
        return found

    def stream(self, sql: str, params: Sequence[Scalar] = (), *, batch_rows: int = 10_000) -> Iterator[Any]:
        self.fuse.tick()
        return self.inner.stream(sql, params, batch_rows=batch_rows)

    def append(self, table: Relation, data: Any) -> None:
        self.fuse.tick()
        self.inner.append(table, data)
        self._wrote()

    @contextmanager
    def transaction(self, *, ddl: bool = False) -> Iterator[None]:
        self.fuse.tick()
        self._uncommitted = False
        try:
            with self.inner.transaction(ddl=ddl):
                yield
                self.fuse.tick()
            if self._uncommitted:
                self.fuse.changed()
        finally:
            self._uncommitted = None
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

    def _wrote(self) -> None:
        if self._uncommitted is None:
            self.fuse.changed()
        else:
            self._uncommitted = True

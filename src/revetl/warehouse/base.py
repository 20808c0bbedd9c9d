"""What revetl asks of a database. One small interface; the dialects live beside it, one module each.

Statements are text made by `revetl.warehouse.sql` (sqlglot) in the warehouse's own dialect; values are bound, never
formatted in. A `Warehouse` is used from one thread at a time: callers on an event loop hand long statements to
`asyncio.to_thread` and do not overlap them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from revetl.model import Relation, Scalar

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True, slots=True)
class Column:
    """A column as the warehouse knows it; `type` is the warehouse's own spelling (`VARCHAR`, `DECIMAL(18,3)`)."""

    name: str
    type: str


class Warehouse(Protocol):
    """Errors of the driver leave as WarehouseError, without the values that were bound."""

    @property
    def dialect(self) -> str:
        """sqlglot's name: duckdb, snowflake, postgres."""
        ...

    @property
    def state_schema(self) -> str:
        """The schema that holds revetl's own tables."""
        ...

    def execute(self, sql: str, params: Sequence[Scalar] = ()) -> None: ...

    def rows(self, sql: str, params: Sequence[Scalar] = ()) -> list[tuple[Scalar, ...]]:
        """The whole result as plain Python values. For small results only."""
        ...

    def stream(self, sql: str, params: Sequence[Scalar] = (), *, batch_rows: int = 10_000) -> Iterator[pa.RecordBatch]:
        """A large result piece by piece, in bounded memory. Other statements may run between two pieces."""
        ...

    def append(self, table: Relation, data: pa.Table) -> None:
        """Adds rows in bulk; columns are matched by name."""
        ...

    def transaction(self) -> AbstractContextManager[None]:
        """Commits at the end, rolls back on any exception. Does not nest."""
        ...

    def columns(self, relation: Relation) -> list[Column]:
        """The columns of a table or view in order; empty where it does not exist."""
        ...

    def close(self) -> None: ...

"""What revetl asks of a database. One small interface; one module per database lies beside it.

Statements are written once, in DuckDB's dialect, with identifiers quoted by `revetl.warehouse.sql` and values bound
with `?`. An adapter for another database translates them (`revetl.warehouse.translate`), so there is one text of every
statement and the same types, orders of NULLs and names come back everywhere. A `Warehouse` is used from one thread at a
time: callers on an event loop hand long statements to `asyncio.to_thread` and do not overlap them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol, TypeVar

from revetl.model import Relation, Scalar

if TYPE_CHECKING:
    import pyarrow as pa

Kind = Literal["table", "view"]
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Column:
    """A column; `type` is in DuckDB's spelling (`VARCHAR`, `DECIMAL(18,3)`, `TIMESTAMP`) whatever the database."""

    name: str
    type: str


class TypedResults:
    """Results of one cell, one row or two columns as what they are. For whatever has `rows`."""

    def rows(self, sql: str, params: Sequence[Scalar] = ()) -> list[tuple[Scalar, ...]]:
        raise NotImplementedError

    def scalar(self, sql: str, type_: type[T], params: Sequence[Scalar] = ()) -> T:
        """The first cell of the only row, made an int, str, bool or float: databases disagree on what a count is.
        LookupError where there is no row, or the cell is null."""
        found = self.rows(sql, params)
        if not found or found[0][0] is None:
            raise LookupError("a statement that gives one value gave none")
        return type_(found[0][0])  # type: ignore[call-arg]

    def numbers(self, sql: str, params: Sequence[Scalar] = ()) -> list[int]:
        """The only row, all of whose cells are whole numbers; null counts as 0."""
        return [int(str(cell or 0)) for cell in self.rows(sql, params)[0]]

    def counts(self, sql: str, params: Sequence[Scalar] = ()) -> dict[str, int]:
        """Rows of (name, whole number), as `GROUP BY 1` gives them."""
        return {str(name): int(str(number)) for name, number in self.rows(sql, params)}


class Warehouse(Protocol):
    """Errors of the driver leave as WarehouseError, without the values that were bound.

    Every session is in UTC. A connection that is lost is WarehouseLost where that can be seen: inside a transaction, in
    the midst of a write, with a scratch table or a half-read result. Elsewhere it is replaced unseen: before a
    statement that was not sent yet, and for a read, which is asked again once. DuckDB has none to lose.
    """

    @property
    def dialect(self) -> str:
        """The database's own dialect, as sqlglot calls it: duckdb, snowflake, postgres. For SQL that a user wrote."""
        ...

    @property
    def repeatable_reads(self) -> bool:
        """Whether all statements of a transaction see one state of the database."""
        ...

    @property
    def state_schema(self) -> str:
        """The schema that holds revetl's own tables."""
        ...

    def execute(self, sql: str, params: Sequence[Scalar] = ()) -> None: ...

    def rows(self, sql: str, params: Sequence[Scalar] = ()) -> list[tuple[Scalar, ...]]:
        """The whole result as plain Python values. For small results only."""
        ...

    def scalar(self, sql: str, type_: type[T], params: Sequence[Scalar] = ()) -> T:
        """The one value that the statement gives. LookupError where it gives none, or null."""
        ...

    def numbers(self, sql: str, params: Sequence[Scalar] = ()) -> list[int]:
        """The only row, all of whose cells are whole numbers."""
        ...

    def counts(self, sql: str, params: Sequence[Scalar] = ()) -> dict[str, int]:
        """Rows of (name, whole number)."""
        ...

    def stream(self, sql: str, params: Sequence[Scalar] = (), *, batch_rows: int = 10_000) -> Iterator[pa.RecordBatch]:
        """A large result piece by piece, in bounded memory. Other statements and transactions may run between two
        pieces; the result is what was committed when it began. Not for scratch tables, which another cursor may not
        see."""
        ...

    def append(self, table: Relation, data: pa.Table) -> None:
        """Adds rows in bulk; columns are matched by name, those that are not named become NULL. Takes part in the
        transaction that is open, if any."""
        ...

    def transaction(self, *, ddl: bool = False) -> AbstractContextManager[None]:
        """Commits at the end, rolls back on any exception. Does not nest.

        `ddl`: tables are created, altered or dropped inside. Snowflake commits at every such statement, so there
        nothing is held together and each statement stands by itself: whoever asks for it must be safe to repeat from
        between any two. Without it DDL is refused on Snowflake, since it would commit half of the work.
        """
        ...

    def columns(self, relation: Relation) -> list[Column]:
        """The columns of a table or view in order; empty where it does not exist."""
        ...

    def tables(self, schema: str) -> dict[str, list[str]]:
        """The tables and views of a schema with their columns in order; empty where there is no such schema."""
        ...

    def kind(self, relation: Relation) -> Kind | None:
        """None where it does not exist."""
        ...

    def scratch(self, name: str) -> Relation:
        """Where a temporary table of this name lies: seen by this connection only, gone with it (WarehouseLost for who
        then asks for it). It is made with CREATE TEMPORARY TABLE."""
        ...

    def lean(self, columns: int) -> AbstractContextManager[None] | None:
        """Statements inside work in memory that depends on how many columns they read and not on how many rows; what
        needs more spills to disk, or is a WarehouseError. Not inside a transaction. None where the database is a
        server: its memory is not ours to save."""
        ...

    def close(self) -> None: ...


def by_table(rows: Iterable[tuple[Scalar, ...]]) -> dict[str, list[str]]:
    """Rows of (table, column) as `Warehouse.tables` gives them."""
    found: dict[str, list[str]] = {}
    for name, column in rows:
        found.setdefault(str(name), []).append(str(column))
    return found

"""PostgreSQL 16 or later (`pg_input_is_valid` is in none before), through psycopg 3.

Rows go in by COPY and come out of a cursor that the server holds, so memory stays flat. Everything, DDL too, takes part
in a transaction; transactions see one state of the database from their first statement on (REPEATABLE READ), as
DuckDB's do.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from itertools import count
from typing import TYPE_CHECKING, Any, cast

import psycopg
from psycopg.pq import TransactionStatus
from psycopg.types.string import TextLoader

from revetl.errors import WarehouseConflict, WarehouseDenied, WarehouseError
from revetl.model import Relation, Scalar
from revetl.warehouse.base import Column, Kind, TypedResults, by_table
from revetl.warehouse.sql import ident, table
from revetl.warehouse.translate import Statement, fold, translate

if TYPE_CHECKING:
    import pyarrow as pa


class PostgresWarehouse(TypedResults):
    """`options` are libpq's connection parameters (host, port, user, password, dbname, sslmode, …)."""

    dialect = "postgres"
    repeatable_reads = True

    def __init__(self, options: Mapping[str, Any], *, state_schema: str = "revetl", role: str | None = None) -> None:
        self.state_schema = state_schema
        self._in_transaction = False
        self._cursors = (f"revetl_{n}" for n in count())
        self._left: list[str] = []  # cursors that nobody reads any more
        try:
            self._db = psycopg.connect(
                **options, autocommit=True, options="-c timezone=UTC -c client_min_messages=warning"
            )
        except psycopg.Error as e:
            raise _not_connected(e, options) from None
        # A prepared statement breaks when its table is made anew with other columns, as plans are.
        self._db.prepare_threshold = None
        self._db.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        for type_ in ("json", "jsonb", "uuid"):
            self._db.adapters.register_loader(type_, TextLoader)
        if role:
            self._execute(Statement(f"SET ROLE {ident(role)}", (), False))

    def execute(self, sql: str, params: Sequence[Scalar] = ()) -> None:
        self._execute(translate(sql, self.dialect), params).close()

    def rows(self, sql: str, params: Sequence[Scalar] = ()) -> list[tuple[Scalar, ...]]:
        with self._execute(translate(sql, self.dialect), params) as cursor:
            try:
                return cast("list[tuple[Scalar, ...]]", cursor.fetchall())
            except psycopg.Error as e:
                raise _translated(e) from None

    def stream(self, sql: str, params: Sequence[Scalar] = (), *, batch_rows: int = 10_000) -> Iterator[pa.RecordBatch]:
        # Held: the result is complete at the server and outlives the transactions of checkpoints between two pieces.
        statement, name = translate(sql, self.dialect), next(self._cursors)
        declared = f"DECLARE {name} CURSOR WITH HOLD FOR {statement.sql}"
        self._execute(Statement(declared, statement.order, False), params).close()
        try:
            while True:
                with self._execute(Statement(f"FETCH {batch_rows} FROM {name}", (), False)) as cursor:
                    piece = cursor.fetchall()
                    if not piece:
                        return
                    batch = _as_arrow(piece, cursor.description or ())
                yield batch
        except psycopg.Error as e:
            raise _translated(e) from None
        finally:
            # Not here: it may be the garbage collector that ends us, in the midst of another statement, which would
            # wait for us as we for it.
            self._left.append(name)

    def append(self, target: Relation, data: pa.Table) -> None:
        if not data.num_rows:
            return
        names = ", ".join(ident(fold(name, self.dialect)) for name in data.column_names)
        self._close_left()
        try:
            with self._db.cursor() as cursor, cursor.copy(f"COPY {self._name(target)} ({names}) FROM STDIN") as copy:
                for batch in data.to_batches(max_chunksize=10_000):
                    for row in zip(*(column.to_pylist() for column in batch.columns), strict=True):
                        copy.write_row(row)
        except psycopg.Error as e:
            raise _translated(e) from None

    @contextmanager
    def transaction(self, *, ddl: bool = False) -> Iterator[None]:
        if self._in_transaction:
            raise RuntimeError("transactions do not nest")
        self._in_transaction = True
        try:
            with self._db.transaction():
                yield
        except psycopg.Error as e:  # of BEGIN and COMMIT: the statements between translate their own
            raise _translated(e) from None
        finally:
            self._in_transaction = False

    def columns(self, relation: Relation) -> list[Column]:
        found = self._native(
            "SELECT a.attname, format_type(a.atttypid, a.atttypmod), t.typtype"
            " FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid"
            " WHERE a.attrelid = to_regclass($1) AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum",
            [self._name(relation)],
        )
        return [Column(str(n), "VARCHAR" if kind == "e" else _our_type(str(type_))) for n, type_, kind in found]

    def tables(self, schema: str) -> dict[str, list[str]]:
        found = self._native(
            "SELECT c.relname, a.attname FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid"
            " WHERE c.relnamespace = to_regnamespace($1) AND c.relkind IN ('r', 'p', 'v', 'm', 'f')"
            " AND a.attnum > 0 AND NOT a.attisdropped ORDER BY c.relname, a.attnum",
            [ident(fold(schema, self.dialect))],
        )
        return by_table(found)

    def kind(self, relation: Relation) -> Kind | None:
        found = self._native("SELECT relkind FROM pg_class WHERE oid = to_regclass($1)", [self._name(relation)])
        if not found:
            return None
        return "view" if found[0][0] == "v" else "table"

    def scratch(self, name: str) -> Relation:
        return Relation("pg_temp", name)

    def lean(self, columns: int) -> None:
        return None

    def close(self) -> None:
        self._db.close()

    def _native(self, sql: str, params: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        with self._execute(Statement(sql, tuple(range(len(params))), False), params) as cursor:
            return cursor.fetchall()

    def _execute(self, statement: Statement, params: Sequence[Any] = ()) -> psycopg.Cursor[Any]:
        self._close_left()
        cursor = psycopg.RawCursor(self._db)
        try:
            return cursor.execute(statement.sql, statement.bind(params) or None)
        except psycopg.Error as e:
            raise _translated(e) from None

    def _close_left(self) -> None:
        # Outside of a transaction only: one that was declared in a transaction that failed is gone, and closing it
        # again would end the one that is open. A connection that was lost says so at the next statement.
        while self._left and self._db.info.transaction_status is TransactionStatus.IDLE:
            with suppress(psycopg.Error):
                self._db.execute(f"CLOSE {self._left.pop()}").close()

    def _name(self, relation: Relation) -> str:
        database = relation.database and fold(relation.database, self.dialect)
        return table(Relation(fold(relation.schema, self.dialect), fold(relation.name, self.dialect), database))


# What `format_type` says, without its length or precision, in DuckDB's spelling. Types that are not here have no
# counterpart and come out in capitals.
_TYPES = {
    "bigint": "BIGINT",
    "boolean": "BOOLEAN",
    "bytea": "BLOB",
    "character": "VARCHAR",
    "character varying": "VARCHAR",
    "citext": "VARCHAR",
    "date": "DATE",
    "double precision": "DOUBLE",
    "integer": "INTEGER",
    "json": "JSON",
    "jsonb": "JSON",
    "name": "VARCHAR",
    "numeric": "NUMERIC",  # of any precision
    "real": "FLOAT",
    "smallint": "SMALLINT",
    "text": "VARCHAR",
    "timestamp with time zone": "TIMESTAMPTZ",
    "timestamp without time zone": "TIMESTAMP",
    "time without time zone": "TIME",
    "uuid": "UUID",
}
_LENGTH = re.compile(r"\([^)]*\)")


def _our_type(spelled: str) -> str:
    if spelled.startswith("numeric(") and not spelled.endswith("]"):
        return spelled.replace("numeric", "DECIMAL")
    return _TYPES.get(_LENGTH.sub("", spelled), spelled.upper())


def _as_arrow(rows: Sequence[tuple[Any, ...]], description: Sequence[psycopg.Column]) -> pa.RecordBatch:
    import pyarrow as pa

    arrays = []
    for cells, column in zip(zip(*rows, strict=True), description, strict=True):
        try:
            arrays.append(pa.array(cells, _arrow_type(column)))
        except (pa.ArrowException, TypeError):  # its text shows the value
            raise WarehouseError(
                f"Postgres: the column {column.name!r} holds a value that has no form here: cast it to text"
            ) from None
    return pa.RecordBatch.from_arrays(arrays, names=[c.name for c in description])


def _arrow_type(column: psycopg.Column) -> pa.DataType | None:
    """By the type's number in pg_type, which is fixed. None: as the values are, for a numeric of any precision."""
    import pyarrow as pa

    if column.type_code == 1700:
        known = column.precision is not None and column.scale is not None and column.precision <= 38
        return pa.decimal128(column.precision, column.scale) if known else None
    return {
        16: pa.bool_(),
        17: pa.binary(),
        20: pa.int64(),
        21: pa.int16(),
        23: pa.int32(),
        700: pa.float32(),
        701: pa.float64(),
        1082: pa.date32(),
        1083: pa.time64("us"),
        1114: pa.timestamp("us"),
        1184: pa.timestamp("us", "UTC"),
    }.get(column.type_code, pa.string())


# serialization_failure and deadlock_detected: the manual (13.5) says to repeat the whole transaction.
_CONFLICTS = ("40001", "40P01")
_QUOTED = re.compile(r'"[^"]*"|\'[^\']*\'')


def _translated(e: psycopg.Error) -> WarehouseError:
    """The server's first line only: its detail shows rows. What a data exception (class 22) quotes may be a customer's
    value, so it goes; elsewhere the names of tables and columns are quoted, which help."""
    text = e.diag.message_primary or (str(e).splitlines() or [type(e).__name__])[0]
    if e.sqlstate is None or e.sqlstate.startswith("22"):
        text = _QUOTED.sub("…", text)
    if e.sqlstate in _CONFLICTS:
        return WarehouseConflict(f"Postgres: {text}")
    return WarehouseError(f"Postgres: {text}")


def _not_connected(e: psycopg.Error, options: Mapping[str, Any]) -> WarehouseError:
    """libpq gives no code here, only English text. Of the options the place and the user are named, nothing else."""
    place = f"{options.get('host') or 'the local socket'}:{options.get('port') or 5432}"
    text = str(e).lower()
    if any(sign in text for sign in ("authentication failed", "no password supplied", "no pg_hba.conf entry")) or (
        "role" in text and "does not exist" in text
    ):
        return WarehouseDenied(f"Postgres at {place} refuses the user {options.get('user')!r}")
    if "database" in text and "does not exist" in text:
        return WarehouseError(f"Postgres at {place} has no database {options.get('dbname')!r}")
    return WarehouseError(f"Postgres at {place} can't be reached: {_reason(text)}")


def _reason(text: str) -> str:
    for sign in ("connection refused", "timeout expired", "name or service not known", "no such file", "ssl"):
        if sign in text:
            return sign
    return "the connection failed"

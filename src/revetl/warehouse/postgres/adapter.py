"""The adapter. Rows go in by COPY and come out of a cursor that the server holds, so memory stays flat. Everything, DDL
too, takes part in a transaction; transactions see one state of the database from their first statement on (REPEATABLE
READ), as DuckDB's do.

A lost connection. One that was closed while it stood idle is replaced before the next statement is sent, whatever that
is: nothing was asked of the old one. Where it is lost in the midst of a statement, only a read outside of a transaction
is asked again, once. A write is not, even one that would be the same twice: it may still be at work at the server, and
whether it is done is the caller's to look up. All else is WarehouseLost.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from itertools import count
from typing import TYPE_CHECKING, Any, cast

import psycopg
from psycopg.pq import TransactionStatus

from revetl.errors import WarehouseDenied, WarehouseError, WarehouseLost
from revetl.model import Relation, Scalar
from revetl.warehouse.base import Column, Kind, TypedResults, by_table
from revetl.warehouse.postgres import connecting, failures, pooler
from revetl.warehouse.postgres.connecting import PostgresProfile
from revetl.warehouse.postgres.types import as_arrow, our_type
from revetl.warehouse.sql import ident, table
from revetl.warehouse.translate import Statement, fold, translate

if TYPE_CHECKING:
    import pyarrow as pa

# A server that is started anew, or one that takes over from another, is there again within a minute. In seconds.
_PAUSES_S = (0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0, 5.0, 5.0, 5.0, 5.0, 5.0, 5.0, 5.0, 5.0)
_SCRATCH = '"pg_temp".'
_HAS_INPUT_CHECK = 16
# What a statement says of a scratch table that went with an earlier session: undefined_table, invalid_schema_name.
_NOT_THERE = ("42P01", "3F000")


class PostgresWarehouse(TypedResults):
    """`pause` waits for seconds, between two attempts to connect."""

    dialect = "postgres"
    repeatable_reads = True

    def __init__(
        self, profile: PostgresProfile, *, state_schema: str = "revetl", pause: Callable[[float], None] = time.sleep
    ) -> None:
        self.state_schema = state_schema
        self._profile = profile
        self._pause = pause
        self._pauses_s: Sequence[float] = _PAUSES_S
        self._in_transaction = False
        self._closed = False
        self._cursors = (f"revetl_{n}" for n in count())
        self._losses = 0  # sessions before this one
        self._use(connecting.open_session(profile, pause))

    def _use(self, session: connecting.PostgresSession) -> None:
        self._session = session
        self._db = session.connection
        self._checks_input = session.major_version >= _HAS_INPUT_CHECK
        self._left: list[str] = []  # cursors that nobody reads any more
        self._functions: set[str] = set()  # what was made for statements that call it

    def execute(self, sql: str, params: Sequence[Scalar] = ()) -> None:
        self._execute(self._translated(sql), params).close()

    def rows(self, sql: str, params: Sequence[Scalar] = ()) -> list[tuple[Scalar, ...]]:
        with self._execute(self._translated(sql), params) as cursor:
            try:
                return cast("list[tuple[Scalar, ...]]", cursor.fetchall())
            except psycopg.Error as e:
                raise self._failure(e) from None

    def stream(self, sql: str, params: Sequence[Scalar] = (), *, batch_rows: int = 10_000) -> Iterator[pa.RecordBatch]:
        # Held: the result is complete at the server and outlives the transactions of checkpoints between two pieces.
        statement, name = self._translated(sql), next(self._cursors)
        declared = f"DECLARE {name} CURSOR WITH HOLD FOR {statement.sql}"
        self._execute(Statement(declared, statement.order, False, statement.reads, statement.functions), params).close()
        losses = self._losses
        fetch = Statement(f"FETCH {batch_rows} FROM {name}", (), False)
        try:
            while True:
                self._make_ready()
                if self._losses != losses:
                    raise WarehouseLost("Postgres: the connection was lost before its result was read to the end")
                with self._execute(fetch) as cursor:
                    piece = cursor.fetchall()
                    if not piece:
                        return
                    batch = as_arrow(piece, cursor.description or ())
                yield batch
        except psycopg.Error as e:
            raise self._failure(e) from None
        finally:
            # Not here: it may be the garbage collector that ends us, in the midst of another statement, which would
            # wait for us as we for it.
            if self._losses == losses:
                self._left.append(name)

    def append(self, target: Relation, data: pa.Table) -> None:
        if not data.num_rows:
            return
        names = ", ".join(ident(fold(name, self.dialect)) for name in data.column_names)
        self._make_ready()
        try:
            with self._db.cursor() as cursor, cursor.copy(f"COPY {self._name(target)} ({names}) FROM STDIN") as copy:
                for batch in data.to_batches(max_chunksize=10_000):
                    for row in zip(*(column.to_pylist() for column in batch.columns), strict=True):
                        copy.write_row(row)
        except psycopg.Error as e:
            raise self._failure(e, in_doubt=not self._in_transaction) from None

    @contextmanager
    def transaction(self, *, ddl: bool = False) -> Iterator[None]:
        if self._in_transaction:
            raise RuntimeError("transactions do not nest")
        committing = False
        with ExitStack() as open_:
            self._begin(open_)
            functions = set(self._functions)
            self._in_transaction = True
            try:
                with open_.pop_all():
                    yield
                    if self._db.closed:  # psycopg would end it as if it had been committed
                        raise WarehouseLost("Postgres: the connection was lost, and its transaction with it")
                    committing = True
            except BaseException as e:
                self._functions &= functions  # what was made inside went with it
                if isinstance(e, psycopg.Error):  # of COMMIT: the statements between translate their own
                    raise self._failure(e, in_doubt=committing) from None
                raise
            finally:
                self._in_transaction = False

    def _begin(self, open_: ExitStack) -> None:
        self._make_ready()
        try:
            open_.enter_context(self._db.transaction())
        except psycopg.Error as e:
            if not isinstance(failure := self._failure(e), WarehouseLost):
                raise failure from None
            self._reopen()
            open_.enter_context(self._db.transaction())
        process = self._session.process
        if process is not None and pooler.server_process(self._db) != process:
            raise connecting.pooled_by_transaction(self._profile)

    def columns(self, relation: Relation) -> list[Column]:
        found = self._native(
            "SELECT a.attname, format_type(a.atttypid, a.atttypmod), t.typtype"
            " FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid"
            " WHERE a.attrelid = to_regclass($1) AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum",
            [self._name(relation)],
        )
        return [Column(str(n), "VARCHAR" if kind == "e" else our_type(str(type_))) for n, type_, kind in found]

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
        self._closed = True
        self._db.close()

    @contextmanager
    def failing_at_once(self) -> Iterator[None]:
        """Inside, a lost session is replaced at once or not at all: whoever calls waits by himself."""
        before, self._pauses_s = self._pauses_s, ()
        try:
            yield
        finally:
            self._pauses_s = before

    def _translated(self, sql: str) -> Statement:
        return translate(sql, self.dialect, checks_input=self._checks_input)

    def _native(self, sql: str, params: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """A look into the catalogue."""
        with self._execute(Statement(sql, tuple(range(len(params))), False, reads=True), params) as cursor:
            return cursor.fetchall()

    def _execute(self, statement: Statement, params: Sequence[Any] = ()) -> psycopg.Cursor[Any]:
        self._make_ready()
        try:
            return self._send(statement, params)
        except psycopg.Error as e:
            scratch = _SCRATCH in statement.sql
            failure = self._failure(e, in_doubt=not statement.reads and not self._in_transaction)
            if self._losses and scratch and e.sqlstate in _NOT_THERE:
                failure = WarehouseLost("Postgres: the connection was lost, and its scratch tables with it")
        again = isinstance(failure, WarehouseLost) and statement.reads and not scratch and not self._in_transaction
        if not again or self._closed:
            raise failure
        self._reopen()
        try:
            return self._send(statement, params)
        except psycopg.Error as e:
            raise self._failure(e) from None

    def _send(self, statement: Statement, params: Sequence[Any]) -> psycopg.Cursor[Any]:
        for function in statement.functions:
            if function not in self._functions:
                self._db.execute(function).close()
                self._functions.add(function)
        return psycopg.RawCursor(self._db).execute(statement.sql, statement.bind(params) or None)

    def _failure(self, e: psycopg.Error, *, in_doubt: bool = False) -> WarehouseError:
        if self._closed or not failures.is_lost(e, self._db):
            return failures.translated(e)
        with suppress(psycopg.Error):
            self._db.close()
        return failures.lost(e, in_doubt=in_doubt)

    def _make_ready(self) -> None:
        """Before a statement: a new session where the old one was closed meanwhile, and what is left over closed.
        Nothing inside a transaction, which goes with its connection: a cursor that was declared in one that failed is
        gone, and closing it again would end the one that is open."""
        if self._in_transaction or self._closed:
            return
        if connecting.was_closed(self._db):
            self._reopen()
        while self._left and self._db.info.transaction_status is TransactionStatus.IDLE:
            with suppress(psycopg.Error):
                self._db.execute(f"CLOSE {self._left.pop()}").close()

    def _reopen(self) -> None:
        """WarehouseLost where there is none to be had within a minute, WarehouseDenied as soon as it is refused."""
        self._db.close()
        self._losses += 1
        try:
            session = connecting.reopen_session(self._profile, self._pause, self._pauses_s, self._session)
            self._use(session)
        except WarehouseDenied:
            raise
        except WarehouseError as e:
            raise WarehouseLost(f"the connection was lost, and there is no other: {e}") from None

    def _name(self, relation: Relation) -> str:
        database = relation.database and fold(relation.database, self.dialect)
        return table(Relation(fold(relation.schema, self.dialect), fold(relation.name, self.dialect), database))

"""The adapter. Three things differ from the other warehouses, and are settled here or told to callers:
- Names: plain lower-case names mean upper-case columns (see `revetl.warehouse.translate`).
- DDL commits: inside `transaction()` it is refused, and `transaction(ddl=True)` holds nothing together.
- Bulk writes may be part of a transaction, so they use neither a stage nor COPY through one that has to be created:
  rows travel as JSON in one bound value per statement, and the server takes them apart.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, cast

with warnings.catch_warnings():
    # Its own copy of requests warns of versions of packages that it does not use.
    warnings.simplefilter("ignore")
    import snowflake.connector
from snowflake.connector.errors import Error

from revetl.errors import WarehouseDenied, WarehouseError, WarehouseLost
from revetl.model import Relation, Scalar
from revetl.warehouse.base import Column, Kind, TypedResults, by_table
from revetl.warehouse.snowflake import failures
from revetl.warehouse.snowflake.rows import as_json, cell, our_type
from revetl.warehouse.sql import ident, table
from revetl.warehouse.translate import Statement, fold, translate, unfold

if TYPE_CHECKING:
    import pyarrow as pa

# The connector tells of every statement and of every retry; errors come to us as exceptions anyway.
logging.getLogger("snowflake.connector").setLevel(logging.CRITICAL)

# A request that gets no answer is repeated by the connector for this long. Long statements are polled: each poll counts
# for itself.
_NETWORK_TIMEOUT_S = 600
_LOGIN_TIMEOUT_S = 60


# What a statement means, and what a value looks like as text, must not depend on the defaults of an account or a user,
# nor on a profile. As text, times look as in the other warehouses, without losing a digit.
_SESSION = {
    "TIMEZONE": "UTC",
    "TIMESTAMP_TYPE_MAPPING": "TIMESTAMP_NTZ",
    "TIMESTAMP_NTZ_OUTPUT_FORMAT": "YYYY-MM-DD HH24:MI:SS.FF6",
    "TIMESTAMP_TZ_OUTPUT_FORMAT": "YYYY-MM-DD HH24:MI:SS.FF6TZH:TZM",
    "TIMESTAMP_INPUT_FORMAT": "AUTO",
    "DATE_OUTPUT_FORMAT": "YYYY-MM-DD",
    "DATE_INPUT_FORMAT": "AUTO",
    "BINARY_INPUT_FORMAT": "HEX",
    "BINARY_OUTPUT_FORMAT": "HEX",
    "QUOTED_IDENTIFIERS_IGNORE_CASE": False,
    "ROWS_PER_RESULTSET": 0,
}


_COMMIT = Statement("COMMIT", (), False)


class SnowflakeWarehouse(TypedResults):
    """`options` are the connector's parameters (account, user, password, role, warehouse, database, schema, …)."""

    dialect = "snowflake"
    repeatable_reads = False

    def __init__(self, options: Mapping[str, Any], *, state_schema: str = "revetl") -> None:
        self.state_schema = state_schema
        self._options = options
        self._in_transaction = False
        self._ddl_allowed = True
        self._open()

    def _open(self) -> None:
        self._is_gone = False
        self._has_scratch = False
        options = self._options
        try:
            self._db = snowflake.connector.connect(
                **{
                    "login_timeout": _LOGIN_TIMEOUT_S,
                    "network_timeout": _NETWORK_TIMEOUT_S,
                    "application": "revetl",
                    # It would ask the cloud's metadata address on which machine it runs, for telemetry.
                    "platform_detection_timeout_seconds": 0.0,
                    # A push lasts longer than the four hours after which an idle session ends.
                    "client_session_keep_alive": True,
                    **options,
                    "paramstyle": "qmark",
                    # Otherwise money comes as binary floating point.
                    "arrow_number_to_decimal": True,
                    "autocommit": True,
                    "session_parameters": {**(options.get("session_parameters") or {}), **_SESSION},
                }
            )
        except Error as e:
            raise failures.not_connected(e, options) from None

    def _reopen(self) -> None:
        """WarehouseDenied as soon as it is refused; WarehouseLost where nobody is reached: that may be tried again."""
        try:
            self._open()
        except WarehouseDenied:
            raise
        except WarehouseError as e:
            self._is_gone = True
            raise WarehouseLost(f"the session was lost, and there is no other: {e}") from None

    def execute(self, sql: str, params: Sequence[Scalar] = ()) -> None:
        self._run(translate(sql, self.dialect), params).close()

    def rows(self, sql: str, params: Sequence[Scalar] = ()) -> list[tuple[Scalar, ...]]:
        with self._run(translate(sql, self.dialect), params) as cursor:
            try:
                return cast("list[tuple[Scalar, ...]]", cursor.fetchall())
            except Error as e:
                raise failures.translated(e) from None

    def stream(self, sql: str, params: Sequence[Scalar] = (), *, batch_rows: int = 10_000) -> Iterator[pa.RecordBatch]:
        # The result is complete at the server and is fetched in parts, whatever this connection does in between.
        with self._run(translate(sql, self.dialect), params) as cursor:
            try:
                for part in cursor.fetch_arrow_batches(force_microsecond_precision=True):
                    named = part.rename_columns([unfold(name, self.dialect) for name in part.column_names])
                    yield from named.to_batches(max_chunksize=batch_rows)
            except Error as e:
                raise failures.translated(e) from None

    def append(self, target: Relation, data: pa.Table) -> None:
        if not data.num_rows:
            return
        columns = [cell(i, field.type) for i, field in enumerate(data.schema)]
        names = ", ".join(ident(fold(name, self.dialect)) for name in data.column_names)
        sql = (
            f"INSERT INTO {self._name(target)} ({names}) SELECT {', '.join(columns)}"
            " FROM TABLE(FLATTEN(INPUT => PARSE_JSON(?))) f"
        )
        for piece in as_json(data):
            self._run(Statement(sql, (0,), False), [piece]).close()

    @contextmanager
    def transaction(self, *, ddl: bool = False) -> Iterator[None]:
        if self._in_transaction:
            raise RuntimeError("transactions do not nest")
        if not ddl:
            self._native("BEGIN")
        self._in_transaction, self._ddl_allowed = True, ddl
        try:
            yield
            if not ddl:
                self._run(_COMMIT).close()
        except BaseException:
            # Where the connection is gone, so is the transaction.
            with suppress(WarehouseError):
                if not ddl:
                    self._native("ROLLBACK")
            raise
        finally:
            self._in_transaction, self._ddl_allowed = False, True

    def columns(self, relation: Relation) -> list[Column]:
        found = self._look_up(
            "SELECT COLUMN_NAME, DATA_TYPE, NUMERIC_PRECISION, NUMERIC_SCALE", "COLUMNS", relation, "ORDINAL_POSITION"
        )
        hidden = [name for name, *_ in found if fold(name, self.dialect) != name]
        if hidden:
            raise WarehouseError(
                f"{relation.schema}.{relation.name} has the column {hidden[0]!r}, made lower-case in quotes, which"
                f" can't be told from {hidden[0].upper()}: rename it"
            )
        return [Column(unfold(name, self.dialect), our_type(*type_)) for name, *type_ in found]

    def tables(self, schema: str) -> dict[str, list[str]]:
        found = self._native(
            "SELECT TABLE_NAME, COLUMN_NAME FROM INFORMATION_SCHEMA.COLUMNS WHERE TABLE_SCHEMA = ?"
            " ORDER BY TABLE_NAME, ORDINAL_POSITION",
            [fold(schema, self.dialect)],
        )
        return by_table([(unfold(name, self.dialect), unfold(column, self.dialect)) for name, column in found])

    def kind(self, relation: Relation) -> Kind | None:
        found = self._look_up("SELECT TABLE_TYPE", "TABLES", relation, "TABLE_NAME")
        if not found:
            return None
        return "view" if found[0][0] == "VIEW" else "table"

    def scratch(self, name: str) -> Relation:
        return Relation(self.state_schema, name)

    def lean(self, columns: int) -> None:
        return None

    def close(self) -> None:
        with suppress(Error):
            self._db.close()

    def _look_up(self, select: str, view: str, relation: Relation, order: str) -> list[tuple[Any, ...]]:
        database = f"{ident(fold(relation.database, self.dialect))}." if relation.database else ""
        return self._native(
            f"{select} FROM {database}INFORMATION_SCHEMA.{view} WHERE TABLE_SCHEMA = ? AND TABLE_NAME = ?"
            f" ORDER BY {order}",
            [fold(relation.schema, self.dialect), fold(relation.name, self.dialect)],
        )

    def _native(self, sql: str, params: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        with self._run(Statement(sql, tuple(range(len(params))), False, sql.startswith("SELECT")), params) as cursor:
            return cast("list[tuple[Any, ...]]", cursor.fetchall())

    def _run(self, statement: Statement, params: Sequence[Any] = ()) -> Any:
        if statement.is_ddl and not self._ddl_allowed:
            raise RuntimeError("DDL would commit the transaction: ask for transaction(ddl=True)")
        if self._is_gone and not self._in_transaction:
            self._reopen()
        self._has_scratch |= statement.is_ddl and statement.sql.startswith("CREATE TEMPORARY")
        try:
            return self._send(statement, params)
        except Error as e:
            failure = self._failure(e, statement)
        # Sent away before anything was done: whatever it was may be asked again.
        sent_away = isinstance(failure, WarehouseLost) and not failure.in_doubt
        if not sent_away or self._in_transaction or self._has_scratch:
            raise failure
        self._reopen()
        try:
            return self._send(statement, params)
        except Error as e:
            raise self._failure(e, statement) from None

    def _send(self, statement: Statement, params: Sequence[Any]) -> Any:
        return self._db.cursor().execute(statement.sql, statement.bind(params) or None)

    def _failure(self, e: Error, statement: Statement) -> WarehouseError:
        refused, away = e.errno in failures.SESSION_GONE, str(e.sqlstate or "").startswith("08")
        if not refused and not away:
            return failures.translated(e)
        self._is_gone = True
        commits = statement is _COMMIT
        in_doubt = away and not refused and not statement.reads and (commits or not self._in_transaction)
        doubt = "; what it was asked last may have been done" if in_doubt else ""
        scratch = ", and its scratch tables with it" if self._has_scratch else ""
        return WarehouseLost(f"Snowflake: the session was lost{scratch}{doubt} (error {e.errno})", in_doubt=in_doubt)

    def _name(self, relation: Relation) -> str:
        database = relation.database and fold(relation.database, self.dialect)
        return table(Relation(fold(relation.schema, self.dialect), fold(relation.name, self.dialect), database))

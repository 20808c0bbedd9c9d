"""Snowflake through its own connector.

Three things differ from the other warehouses, and are settled here or told to callers:
- Names: plain lower-case names mean upper-case columns (see `revetl.warehouse.translate`).
- DDL commits: inside `transaction()` it is refused, and `transaction(ddl=True)` holds nothing together.
- Bulk writes may be part of a transaction, so they use neither a stage nor COPY through one that has to be created:
  rows travel as JSON in one bound value per statement, and the server takes them apart.
"""

from __future__ import annotations

import base64
import json
import logging
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, cast

with warnings.catch_warnings():
    # Its own copy of requests warns of versions of packages that it does not use.
    warnings.simplefilter("ignore")
    import snowflake.connector
from snowflake.connector.errors import DatabaseError, Error, ForbiddenError, ProgrammingError

from revetl.errors import ConfigError, WarehouseConflict, WarehouseDenied, WarehouseError, WarehouseLost
from revetl.model import Relation, Scalar
from revetl.warehouse.base import Column, Kind, TypedResults, by_table
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
# More than twenty statements wait for one table's lock, and this one was sent away.
_TOO_MANY_WAITERS = 625
# No session of this name any more, or its token has run out; 290401 is the answer 401 without a code of Snowflake's.
# Whoever gets one of these was not let in, so nothing was done. The connector renews a token that it can renew itself.
_SESSION_GONE = frozenset({290401, 390104, 390111, 390112, 390113, 390114, 390115})
# Far below the 16 MB that one VARIANT may hold.
_APPEND_CHARACTERS = 2_000_000


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
            raise _not_connected(e, options) from None

    def execute(self, sql: str, params: Sequence[Scalar] = ()) -> None:
        self._run(translate(sql, self.dialect), params).close()

    def rows(self, sql: str, params: Sequence[Scalar] = ()) -> list[tuple[Scalar, ...]]:
        with self._run(translate(sql, self.dialect), params) as cursor:
            try:
                return cast("list[tuple[Scalar, ...]]", cursor.fetchall())
            except Error as e:
                raise _translated(e) from None

    def stream(self, sql: str, params: Sequence[Scalar] = (), *, batch_rows: int = 10_000) -> Iterator[pa.RecordBatch]:
        # The result is complete at the server and is fetched in parts, whatever this connection does in between.
        with self._run(translate(sql, self.dialect), params) as cursor:
            try:
                for part in cursor.fetch_arrow_batches(force_microsecond_precision=True):
                    named = part.rename_columns([unfold(name, self.dialect) for name in part.column_names])
                    yield from named.to_batches(max_chunksize=batch_rows)
            except Error as e:
                raise _translated(e) from None

    def append(self, target: Relation, data: pa.Table) -> None:
        if not data.num_rows:
            return
        columns = [_cell(i, field.type) for i, field in enumerate(data.schema)]
        names = ", ".join(ident(fold(name, self.dialect)) for name in data.column_names)
        sql = (
            f"INSERT INTO {self._name(target)} ({names}) SELECT {', '.join(columns)}"
            " FROM TABLE(FLATTEN(INPUT => PARSE_JSON(?))) f"
        )
        for piece in _as_json(data):
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
        return [Column(unfold(name, self.dialect), _our_type(*type_)) for name, *type_ in found]

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
            self._open()
        self._has_scratch |= statement.is_ddl and statement.sql.startswith("CREATE TEMPORARY")
        try:
            return self._send(statement, params)
        except Error as e:
            failure = self._failure(e, statement)
        # Sent away before anything was done: whatever it was may be asked again.
        sent_away = isinstance(failure, WarehouseLost) and not failure.in_doubt
        if not sent_away or self._in_transaction or self._has_scratch:
            raise failure
        self._open()
        try:
            return self._send(statement, params)
        except Error as e:
            raise self._failure(e, statement) from None

    def _send(self, statement: Statement, params: Sequence[Any]) -> Any:
        return self._db.cursor().execute(statement.sql, statement.bind(params) or None)

    def _failure(self, e: Error, statement: Statement) -> WarehouseError:
        refused, away = e.errno in _SESSION_GONE, str(e.sqlstate or "").startswith("08")
        if not refused and not away:
            return _translated(e)
        self._is_gone = True
        commits = statement is _COMMIT
        in_doubt = away and not refused and not statement.reads and (commits or not self._in_transaction)
        doubt = "; what it was asked last may have been done" if in_doubt else ""
        scratch = ", and its scratch tables with it" if self._has_scratch else ""
        return WarehouseLost(f"Snowflake: the session was lost{scratch}{doubt} (error {e.errno})", in_doubt=in_doubt)

    def _name(self, relation: Relation) -> str:
        database = relation.database and fold(relation.database, self.dialect)
        return table(Relation(fold(relation.schema, self.dialect), fold(relation.name, self.dialect), database))


def read_private_key(text: str, passphrase: str | None) -> bytes:
    """A key as dbt's profile gives it (PEM, or DER in base64), as the connector takes it. ConfigError where it is
    neither."""
    from cryptography.hazmat.primitives import serialization as s

    password = passphrase.encode() if passphrase else None
    try:
        if "-----BEGIN" in text:
            key = s.load_pem_private_key(text.encode(), password)
        else:
            key = s.load_der_private_key(base64.b64decode(text), password)
    except (ValueError, TypeError):  # their messages may show parts of it
        raise ConfigError("profiles.yml: private_key can't be read", hint="PEM, or DER in base64.") from None
    return key.private_bytes(s.Encoding.DER, s.PrivateFormat.PKCS8, s.NoEncryption())


def _our_type(type_: str, precision: int | None, scale: int | None) -> str:
    """In DuckDB's spelling. Types that are not here have no counterpart and stay as they are."""
    if type_ == "NUMBER":
        return f"DECIMAL({38 if precision is None else precision},{scale or 0})"
    return {
        "TEXT": "VARCHAR",
        "FLOAT": "DOUBLE",
        "TIMESTAMP_NTZ": "TIMESTAMP",
        "TIMESTAMP_TZ": "TIMESTAMPTZ",
        "TIMESTAMP_LTZ": "TIMESTAMPTZ",
        "BINARY": "BLOB",
        "VARIANT": "JSON",
        "OBJECT": "JSON",
        "ARRAY": "JSON",
    }.get(type_, type_)


def _cell(position: int, type_: pa.DataType) -> str:
    """The cell of a row that travelled as a JSON array of texts."""
    import pyarrow as pa

    text = f"CAST(f.value[{position}] AS VARCHAR)"
    if pa.types.is_string(type_) or pa.types.is_large_string(type_) or pa.types.is_null(type_):
        return text
    if pa.types.is_binary(type_) or pa.types.is_large_binary(type_):
        return f"TO_BINARY({text}, 'HEX')"
    if pa.types.is_integer(type_):
        wanted = "NUMBER(38,0)"
    elif pa.types.is_decimal(type_):
        wanted = f"NUMBER({type_.precision},{type_.scale})"
    elif pa.types.is_floating(type_):
        wanted = "DOUBLE"
    elif pa.types.is_boolean(type_):
        wanted = "BOOLEAN"
    elif pa.types.is_date(type_):
        wanted = "DATE"
    elif pa.types.is_timestamp(type_):
        wanted = "TIMESTAMP_TZ" if type_.tz else "TIMESTAMP_NTZ"
    else:
        raise WarehouseError(f"no way to write {type_} to Snowflake")
    return f"CAST({text} AS {wanted})"


def _as_json(data: pa.Table) -> Iterator[str]:
    """The rows in texts of bounded length."""
    rows: list[str] = []
    size = 0
    for batch in data.to_batches(max_chunksize=5_000):
        for row in zip(*(map(_as_text, column.to_pylist()) for column in batch.columns), strict=True):
            rows.append(json.dumps(row, ensure_ascii=False))
            size += len(rows[-1])
            if size > _APPEND_CHARACTERS:
                yield f"[{','.join(rows)}]"
                rows, size = [], 0
    if rows:
        yield f"[{','.join(rows)}]"


def _as_text(cell: Any) -> str | None:
    if cell is None or isinstance(cell, str):
        return cell
    if isinstance(cell, bytes):
        return cell.hex()
    return cell.isoformat() if hasattr(cell, "isoformat") else str(cell)


_SECRETS = ("password", "token", "private_key_file_pwd", "passcode")
_QUOTED = re.compile(r"'[^']*'|\"[^\"]*\"")
# Of a login: 390100 wrong user or password, 390102 locked, 390144 key refused, 390186 no such role, 390189 role not
# granted, 390190 single sign-on, 390201 no such object for this user, 390422 address not allowed (as commonly
# reported; unconfirmed, not met live).
_DENIED = frozenset({390100, 390102, 390111, 390114, 390144, 390186, 390189, 390190, 390191, 390201, 390422})


def _translated(e: Error) -> WarehouseError:
    """The first two lines, the first of which is often only "SQL compilation error:". What a data exception (class 22)
    quotes may be a customer's value, so it goes."""
    lines = [line.strip() for line in str(getattr(e, "raw_msg", None) or e.msg or "").splitlines() if line.strip()]
    text = " ".join(lines[:2]) or type(e).__name__
    if str(e.sqlstate or "").startswith("22") or not isinstance(e, ProgrammingError):
        text = _QUOTED.sub("…", text)
    if e.errno == _TOO_MANY_WAITERS:
        return WarehouseConflict(f"Snowflake: {text}")
    return WarehouseError(f"Snowflake: {text}")


def _not_connected(e: Error, options: Mapping[str, Any]) -> WarehouseError:
    """With the connector's own reason where nobody was reached; a secret that it might repeat is taken out."""
    text = str(e.msg or "")
    code = re.search(r"\b(39\d{4})\b", f"{e.errno} {text}")
    denied = (code and int(code[1]) in _DENIED) or "Incorrect username or password" in text
    if denied or isinstance(e, ForbiddenError):
        return WarehouseDenied(f"Snowflake account {options.get('account')!r} refuses the user {options.get('user')!r}")
    if isinstance(e, DatabaseError) and e.errno in (251001, 251005, 251006):  # an option is missing or empty
        return WarehouseDenied(f"Snowflake: {text.splitlines()[0] if text else 'user or password is empty'}")
    reason = (text.splitlines() or [""])[0]
    for secret in _SECRETS:
        if options.get(secret):
            reason = reason.replace(str(options[secret]), "…")
    return WarehouseError(
        f"Snowflake account {options.get('account')!r} can't be reached (error {e.errno}): {reason[:300]}"
    )

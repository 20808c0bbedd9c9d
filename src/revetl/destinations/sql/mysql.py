"""`type: mysql`: tables of a MySQL or MariaDB database, through PyMySQL."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, SecretStr, model_validator

from revetl.clock import Clock
from revetl.destinations.base import Destination
from revetl.destinations.sql import tls
from revetl.destinations.sql.connector import SqlDestination, SqlLimits
from revetl.destinations.sql.dialect import FailureKind, SqlFailure, SqlSession
from revetl.destinations.sql.facts import facts
from revetl.destinations.sql.tables import Kind, SqlTable, TableColumn, made
from revetl.errors import ConfigError

FACTS = facts("MySQL, MariaDB", "database")


class Options(BaseModel):
    """How to reach it. The names that begin with `ssl_` are PyMySQL's; without any, TLS is used where the server offers
    it, and its certificate is not verified. `database` holds the table of marks, and tables that are named without a
    database."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    host: str | None = None
    unix_socket: str | None = None
    database: str
    user: str
    password: SecretStr | None = None
    port: int = Field(default=3306, ge=1, le=65535)
    ssl_ca: str | None = None
    ssl_cert: str | None = None
    ssl_key: str | None = None
    ssl_verify_cert: bool | None = None
    ssl_verify_identity: bool | None = None
    batch_rows: int = Field(default=500, ge=1, le=5_000)
    concurrency: int = Field(default=4, ge=1, le=16)
    statement_timeout_s: int = Field(default=60, ge=1, le=3_600)

    @model_validator(mode="after")
    def _has_a_place(self) -> Options:
        if (self.host is None) == (self.unix_socket is None):
            raise ValueError("one of `host` and `unix_socket` says where the server is")
        return self


def connect(name: str, options: Options, clock: Clock) -> Destination:
    limits = SqlLimits(options.batch_rows, options.concurrency)
    return SqlDestination(name, MySqlDialect(options), limits, clock)


# Source: the error references of MySQL 8.4 and of MariaDB.
_KINDS: Mapping[int, FailureKind] = {
    **dict.fromkeys((1040, 1203, 1226), "throttled"),
    **dict.fromkeys((1205, 1213, 1020), "repeat"),
    **dict.fromkeys((1044, 1045, 1049, 1054, 1142, 1143, 1146, 1290, 1698, 1836), "denied"),
    **dict.fromkeys((1053, 1927, 2006, 2013, 2014, 2055, 4031), "lost"),
    **dict.fromkeys((1021, 1041, 1114, 1969, 2002, 2003, 2005, 3024), "unavailable"),
}
_DUPLICATE = (1062, 1586)
# Of a value that the column never takes.
_IN_ROW = (1264, 1265, 1292, 1366, 1406, 3140, 3141)
# Without the first a value is cut in silence, without the second a 0 is numbered anew, and no mode here changes how
# text is quoted.
_SQL_MODE = "STRICT_ALL_TABLES,NO_AUTO_VALUE_ON_ZERO,NO_ZERO_IN_DATE,NO_ZERO_DATE,ERROR_FOR_DIVISION_BY_ZERO"
_INTEGERS = {"tinyint": 8, "smallint": 16, "mediumint": 24, "int": 32, "bigint": 64}
_BY_TYPE: Mapping[str, Kind] = {
    **dict.fromkeys(("char", "varchar", "tinytext", "text", "mediumtext", "longtext"), "text"),
    **dict.fromkeys((*_INTEGERS, "bit", "year"), "int"),
    **dict.fromkeys(("float", "double"), "float"),
    **dict.fromkeys(("datetime", "timestamp"), "timestamp"),
    **dict.fromkeys(("binary", "varbinary", "tinyblob", "blob", "mediumblob", "longblob"), "bytes"),
    "decimal": "decimal",
    "date": "date",
    "enum": "enum",
    "json": "json",
    "uuid": "uuid",
}


class MySqlDialect:
    same = "<=>"

    def __init__(self, options: Options) -> None:
        self._options = options

    def open(self) -> SqlSession:
        o = self._options
        given: dict[str, Any] = {
            "host": o.host,
            "unix_socket": o.unix_socket,
            "port": o.port,
            "database": o.database,
            "user": o.user,
            # As bytes: the driver takes a text for latin1.
            "password": o.password.get_secret_value().encode() if o.password else None,
            "ssl_ca": o.ssl_ca,
            "ssl_cert": o.ssl_cert,
            "ssl_key": o.ssl_key,
            "ssl_verify_cert": o.ssl_verify_cert,
            "ssl_verify_identity": o.ssl_verify_identity,
        }
        timeout_s = o.statement_timeout_s
        session = MySqlConnection(
            {name: value for name, value in given.items() if value is not None}
            | {"charset": "utf8mb4", "sql_mode": _SQL_MODE, "read_timeout": timeout_s + 5, "write_timeout": timeout_s}
        )
        session.ask("SET time_zone = '+00:00', innodb_lock_wait_timeout = %s", [max(1, timeout_s // 2)])
        session.ask("SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED")
        [[version]] = session.ask("SELECT VERSION()")
        if "MariaDB" in version:  # MySQL has no such limit for what writes; the driver's holds there
            session.ask("SET max_statement_time = %s", [timeout_s])
        return session

    def quote(self, name: str) -> str:
        return "`" + name.replace("`", "``").replace("%", "%%") + "`"

    def insert_for_id(self, session: SqlSession, table: SqlTable, sql: str, values: Sequence[Any]) -> Any:
        session.ask(sql, values)
        return session.ask("SELECT LAST_INSERT_ID()")[0][0] if table.id.counted else None

    def marks(self) -> str:
        return f"{self.quote(self._options.database)}.`revetl_marks`"

    def account(self, session: SqlSession) -> str:
        [[version, database, user]] = session.ask("SELECT VERSION(), DATABASE(), CURRENT_USER()")
        [[_, tls]] = session.ask("SHOW SESSION STATUS LIKE 'Ssl_version'")
        product = "MariaDB" if "MariaDB" in version else "MySQL"
        return f"{product} {version.split('-')[0]}, database {database} as {user}, {tls or 'without TLS'}"

    def describe(self, session: SqlSession, name: str) -> SqlTable:
        parts = name.split(".")
        database, table = parts if len(parts) == 2 else (self._options.database, name)
        found = session.ask(
            """
            SELECT table_type, engine
            FROM information_schema.tables
            WHERE table_schema = %s
              AND table_name = %s
            """,
            [database, table],
        )
        if not found or found[0][0] != "BASE TABLE":
            what = "is no table" if found else "is not there, or this user has no right on it"
            raise ConfigError(f"the table {database}.{table} {what}", hint="`object` is `database.table`.")
        if found[0][1] != "InnoDB":
            raise ConfigError(
                f"the table {database}.{table} is kept by {found[0][1]}, which has no transactions",
                hint=f"ALTER TABLE {table} ENGINE = InnoDB",
            )
        unique = session.ask(
            """
            SELECT MIN(column_name), index_name
            FROM information_schema.statistics
            WHERE table_schema = %s
              AND table_name = %s
              AND non_unique = 0
            GROUP BY index_name
            HAVING COUNT(*) = 1 AND COUNT(sub_part) = 0 AND COUNT(column_name) = 1
            """,
            [database, table],
        )
        rows = session.ask(
            """
            SELECT
              column_name, data_type, column_type, character_maximum_length, numeric_precision, numeric_scale,
              datetime_precision, is_nullable, extra
            FROM information_schema.columns
            WHERE table_schema = %s
              AND table_name = %s
            ORDER BY ordinal_position
            """,
            [database, table],
        )
        alone = {str(column) for column, _ in unique}
        columns = {str(row[0]): _column(row, unique=row[0] in alone) for row in rows}
        primary = [str(column) for column, index in unique if index == "PRIMARY"]
        return made(f"{database}.{table}", f"{self.quote(database)}.{self.quote(table)}", columns, primary)


def _column(row: Sequence[Any], *, unique: bool) -> TableColumn:
    name, base, declared, length, digits, places, parts, nullable, extra = row
    kind = _BY_TYPE.get(base, "other")
    least, most = _range(base, declared, digits)
    written, read, compared = "%s", "{name}", "{value}"
    if base == "float":
        read = "CAST({name} AS DOUBLE)"  # as it stands it is shown in six digits
    elif base == "bit":
        read = "({name} + 0)"
    elif kind == "other":
        read = "CAST({name} AS CHAR)"
    elif kind == "json":
        written, compared = "CAST(%s AS JSON)", "CAST({value} AS CHAR)"
    if kind in ("text", "enum"):
        compared = "CAST(CONVERT({value} USING utf8mb4) AS BINARY)"
    return TableColumn(
        name=str(name),
        kind=kind,
        nullable=nullable == "YES",
        generated="GENERATED" in str(extra).replace("DEFAULT_GENERATED", ""),
        unique=unique,
        # Of the kinds of TEXT it is told in bytes, which the server counts.
        length=length if base in ("char", "varchar") or kind == "bytes" else None,
        least=least,
        most=most,
        digits=digits if kind == "decimal" else None,
        places=places if kind == "decimal" else parts,
        single=base == "float",
        padded=base == "char",
        zoned=base == "timestamp",
        options=_options(declared) if kind == "enum" else (),
        written=written,
        read=read,
        compared=compared,
        counted="auto_increment" in str(extra),
    )


def _range(base: str, declared: str, digits: int | None) -> tuple[int | None, int | None]:
    if base == "year":
        return 1901, 2155
    if base == "bit":
        return 0, 2 ** (digits or 1) - 1
    if base not in _INTEGERS:
        return None, None
    bits = _INTEGERS[base]
    return (0, 2**bits - 1) if "unsigned" in declared else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)


def _options(declared: str) -> tuple[str, ...]:
    """Of `enum('a','it''s')`."""
    return tuple(option.replace("''", "'") for option in re.findall(r"'((?:[^']|'')*)'", declared))


class MySqlConnection:
    def __init__(self, given: Mapping[str, Any]) -> None:
        try:
            import pymysql
        except ImportError:
            raise ConfigError("PyMySQL is not installed", hint="pip install 'revetl[mysql]'") from None
        self._driver = pymysql
        # Without this flag an UPDATE counts the rows that it changed, not those that it found.
        counts_found = pymysql.constants.CLIENT.FOUND_ROWS
        try:
            self._connection = pymysql.connect(**given, client_flag=counts_found)
        except (pymysql.Error, OSError, RuntimeError) as e:
            code = e.args[0] if e.args and isinstance(e.args[0], int) else None
            kind = _KINDS.get(code, "unavailable") if code is not None else "unavailable"
            place = given.get("unix_socket") or f"{given.get('host')}:{given['port']}"
            if reason := tls.failure(str(e)):
                raise SqlFailure("denied", f"TLS with MySQL at {place} failed: {reason}", tls.CODE) from None
            message = f"MySQL at {place} can't be reached or does not let {given['user']!r} in"
            raise SqlFailure("unavailable" if kind == "lost" else kind, message, str(code or "")) from None

    def ask(self, sql: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        try:
            with self._connection.cursor() as cursor:
                cursor.execute(sql, tuple(values))
                return list(cursor.fetchall())
        except (self._driver.Error, OSError) as e:
            raise self._failure(e) from None

    def change(self, sql: str, values: Sequence[Any] = ()) -> int:
        try:
            with self._connection.cursor() as cursor:
                return int(cursor.execute(sql, tuple(values)))
        except (self._driver.Error, OSError) as e:
            raise self._failure(e) from None

    def commit(self) -> None:
        try:
            self._connection.commit()
        except (self._driver.Error, OSError) as e:
            raise self._failure(e) from None

    def rollback(self) -> None:
        try:
            self._connection.rollback()
        except (self._driver.Error, OSError) as e:
            raise self._failure(e) from None

    def close(self) -> None:
        with suppress(self._driver.Error, OSError):
            self._connection.close()

    def _failure(self, e: Exception) -> SqlFailure:
        code = e.args[0] if e.args and isinstance(e.args[0], int) else 0
        if not self._connection.open or isinstance(e, OSError | self._driver.InterfaceError):
            return SqlFailure("lost", "the connection to the database was lost", str(code))
        kind = _KINDS.get(code)
        if kind is None:
            kind = "denied" if isinstance(e, self._driver.ProgrammingError) else "rejected"
        said = str(e.args[1]) if len(e.args) > 1 else ""
        constraint = _constraint(said)
        return SqlFailure(
            kind,
            _said(code, constraint, _column_of(said)),
            str(code),
            constraint=constraint,
            unique=code in _DUPLICATE,
            in_row=code in _IN_ROW,
        )


def _constraint(said: str) -> str | None:
    """Its name out of the message, which holds the value as well."""
    found = (
        re.search(r" for key '([^']+)'$", said)
        or re.search(r"CONSTRAINT `([^`]+)`", said)
        or re.search(r"^Check constraint '([^']+)'", said)
    )
    return found[1] if found else None


def _column_of(said: str) -> str | None:
    found = re.search(r"[Cc]olumn (?:`[^`]+`\.`[^`]+`\.)?[`']([^`']+)[`']", said)
    return found[1] if found else None


def _said(code: int, constraint: str | None, column: str | None) -> str:
    """In our words: the server's hold the value."""
    if code in _DUPLICATE:
        return f"another row has the value that {constraint} keeps unique"
    if code in (1451, 1452):
        return f"the constraint {constraint} asks for a row of another table, or another table still refers to this one"
    if code in (3819, 4025):
        return f"the check {constraint} does not hold"
    if code in (1048, 1364):
        return f"the column {column} must not be null"
    return f"the database refused ({code})" + (f": the column {column}" if column else "")

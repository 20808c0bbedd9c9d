"""`type: postgres`: tables of a PostgreSQL database, through psycopg."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, SecretStr

from revetl.clock import Clock
from revetl.destinations.base import Destination
from revetl.destinations.sql import tls
from revetl.destinations.sql.connector import SqlDestination, SqlLimits
from revetl.destinations.sql.dialect import FailureKind, SqlFailure, SqlSession
from revetl.destinations.sql.facts import facts
from revetl.destinations.sql.tables import Kind, SqlTable, TableColumn, made
from revetl.errors import ConfigError

FACTS = facts("PostgreSQL", "dbname")


class Options(BaseModel):
    """How to reach it; the names from `sslmode` on are libpq's and mean what they mean there. `default_schema` holds
    tables that are named without a schema, and the table of marks."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    host: str
    dbname: str
    user: str
    password: SecretStr | None = None
    port: int = Field(default=5432, ge=1, le=65535)
    sslmode: str | None = None
    sslrootcert: str | None = None
    sslcert: str | None = None
    sslkey: str | None = None
    ssl_min_protocol_version: str | None = None
    default_schema: str = "public"
    batch_rows: int = Field(default=500, ge=1, le=5_000)
    concurrency: int = Field(default=4, ge=1, le=16)
    statement_timeout_s: int = Field(default=60, ge=1, le=3_600)


def connect(name: str, options: Options, clock: Clock) -> Destination:
    limits = SqlLimits(options.batch_rows, options.concurrency)
    return SqlDestination(name, PostgresDialect(options), limits, clock)


# SQLSTATE, or its class, → what it means; source: PostgreSQL's documentation, appendix A.
_KINDS: Mapping[str, FailureKind] = {
    "22": "rejected",
    "23": "rejected",
    "44": "rejected",
    "P0": "rejected",  # raised by a trigger
    "428C9": "rejected",  # a generated column
    "28": "denied",
    "42501": "denied",
    "3D000": "denied",
    "42P01": "denied",
    "42703": "denied",  # a column that is there no more
    "25006": "denied",  # a standby is read only
    "40": "repeat",
    "55P03": "repeat",
    "57014": "unavailable",  # the statement's time is up
    "53300": "throttled",
    "53": "unavailable",
    "57": "lost",  # the server shuts down or starts
    "08": "lost",
}
_RANGES = {"smallint": 15, "integer": 31, "bigint": 63}
_BY_TYPE: Mapping[str, Kind] = {
    "text": "text",
    "character varying": "text",
    "bpchar": "text",
    "smallint": "int",
    "integer": "int",
    "bigint": "int",
    "numeric": "decimal",
    "real": "float",
    "double precision": "float",
    "boolean": "bool",
    "date": "date",
    "timestamp without time zone": "timestamp",
    "timestamp with time zone": "timestamp",
    "bytea": "bytes",
    "uuid": "uuid",
    "json": "json",
    "jsonb": "json",
}


class PostgresDialect:
    same = "IS NOT DISTINCT FROM"

    def __init__(self, options: Options) -> None:
        self._options = options

    def open(self) -> SqlSession:
        o = self._options
        given = {
            "host": o.host,
            "port": o.port,
            "dbname": o.dbname,
            "user": o.user,
            "password": o.password.get_secret_value() if o.password else None,
            "sslmode": o.sslmode,
            "sslrootcert": o.sslrootcert,
            "sslcert": o.sslcert,
            "sslkey": o.sslkey,
            "ssl_min_protocol_version": o.ssl_min_protocol_version,
            "connect_timeout": 10,
            "application_name": "revetl",
        }
        session = PostgresConnection({name: value for name, value in given.items() if value is not None})
        timeout_ms = o.statement_timeout_s * 1_000
        session.ask(
            """
            SELECT
              set_config('TimeZone', 'UTC', false),
              set_config('DateStyle', 'ISO, MDY', false),
              set_config('extra_float_digits', '1', false),
              set_config('bytea_output', 'hex', false),
              set_config('default_transaction_isolation', 'read committed', false),
              set_config('statement_timeout', %s, false),
              set_config('lock_timeout', %s, false)
            """,
            [str(timeout_ms), str(timeout_ms // 2)],
        )
        session.commit()
        return session

    def quote(self, name: str) -> str:
        return '"' + name.replace('"', '""').replace("%", "%%") + '"'

    def insert_for_id(self, session: SqlSession, table: SqlTable, sql: str, values: Sequence[Any]) -> Any:
        id_ = table.id.read.format(name=self.quote(table.id.name))
        found = session.ask(f"{sql} RETURNING {id_}", values)
        return found[0][0] if found else None

    def marks(self) -> str:
        return f"{self.quote(self._options.default_schema)}.{self.quote('revetl_marks')}"

    def account(self, session: SqlSession) -> str:
        [[version, database, user, tls]] = session.ask(
            """
            SELECT
              current_setting('server_version'),
              current_database(),
              current_user,
              (SELECT s.version FROM pg_stat_ssl AS s WHERE s.pid = pg_backend_pid() AND s.ssl)
            """
        )
        return f"PostgreSQL {version}, database {database} as {user}, {tls or 'without TLS'}"

    def describe(self, session: SqlSession, name: str) -> SqlTable:
        parts = name.split(".")
        schema, table = parts if len(parts) == 2 else (self._options.default_schema, name)
        found = session.ask(
            """
            SELECT c.oid, c.relkind
            FROM pg_class AS c
            JOIN pg_namespace AS n ON n.oid = c.relnamespace
            WHERE n.nspname = %s
              AND c.relname = %s
              AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
            """,
            [schema, table],
        )
        if not found or found[0][1] not in ("r", "p"):
            what = "is no table" if found else "is not there"
            raise ConfigError(
                f"the table {schema}.{table} {what}", hint="`object` is `schema.table`, as the catalogue spells it."
            )
        oid = found[0][0]
        unique = session.ask(
            """
            SELECT a.attname, i.indisprimary
            FROM pg_index AS i
            JOIN pg_attribute AS a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0]
            WHERE i.indrelid = %s
              AND i.indisunique
              AND i.indisvalid
              AND i.indpred IS NULL
              AND i.indnkeyatts = 1
            """,
            [oid],
        )
        rows = session.ask(
            """
            SELECT
              a.attname,
              format_type(t.oid, -1),
              format_type(b.oid, -1),
              CASE WHEN t.typtype = 'd' THEN t.typtypmod ELSE a.atttypmod END,
              a.attnotnull OR t.typnotnull,
              a.attgenerated <> '' OR a.attidentity = 'a',
              b.typcategory,
              ARRAY(SELECT e.enumlabel FROM pg_enum AS e WHERE e.enumtypid = b.oid ORDER BY e.enumsortorder)
            FROM pg_attribute AS a
            JOIN pg_type AS t ON t.oid = a.atttypid
            JOIN pg_type AS b ON b.oid = CASE WHEN t.typtype = 'd' THEN t.typbasetype ELSE t.oid END
            WHERE a.attrelid = %s
              AND a.attnum > 0
              AND NOT a.attisdropped
            ORDER BY a.attnum
            """,
            [oid],
        )
        alone = {str(column) for column, _ in unique}
        columns = {str(row[0]): _column(row, unique=row[0] in alone) for row in rows}
        quoted = f"{self.quote(schema)}.{self.quote(table)}"
        return made(f"{schema}.{table}", quoted, columns, [str(c) for c, is_primary in unique if is_primary])


def _column(row: Sequence[Any], *, unique: bool) -> TableColumn:
    name, declared, base, modifier, not_null, generated, category, labels = row
    kind: Kind = "enum" if labels else "array" if category == "A" else _BY_TYPE.get(base, "other")
    bits = _RANGES.get(base)
    # How PostgreSQL packs a length, or digits and places (ten or eleven bits), into one number: its source, numeric.c.
    length = modifier - 4 if kind == "text" and modifier >= 4 else None
    digits, places = None, None
    if kind == "decimal" and modifier >= 4:
        digits = (modifier - 4) >> 16 & 0xFFFF
        places = ((modifier - 4 & 0x7FF) ^ 1024) - 1024
    elif kind == "timestamp":
        places = modifier if modifier >= 0 else 6
    read = "{name}"
    if kind in ("json", "other", "enum", "uuid", "date", "timestamp"):
        read = "CAST({name} AS text)"  # an infinite date has no form in Python
    elif kind == "array":
        read = "CAST(to_jsonb({name}) AS text)"
    by_bytes = kind in ("text", "json", "other")
    return TableColumn(
        name=str(name),
        kind=kind,
        nullable=not not_null,
        generated=bool(generated),
        unique=unique,
        length=length,
        least=None if bits is None else -(2**bits),
        most=None if bits is None else 2**bits - 1,
        digits=digits,
        places=places,
        single=base == "real",
        padded=base == "bpchar",
        zoned=base == "timestamp with time zone",
        options=tuple(labels),
        written=f"CAST(%s AS {declared.replace('%', '%%')})",
        read=read,
        compared='CAST({value} AS text) COLLATE "C"' if by_bytes else "{value}",
    )


class PostgresConnection:
    def __init__(self, given: Mapping[str, Any]) -> None:
        try:
            import psycopg
        except ImportError:
            raise ConfigError("psycopg is not installed", hint="pip install 'revetl[postgres]'") from None
        self._driver = psycopg
        try:
            self._connection = psycopg.connect(**given)
        except psycopg.OperationalError as e:
            # libpq gives a SQLSTATE to none of what is refused before a session stands.
            said, place = str(e), f"PostgreSQL at {given['host']}:{given['port']}"
            if reason := tls.failure(said):
                raise SqlFailure("denied", f"TLS with {place} failed: {reason}", tls.CODE) from None
            kind: FailureKind = "unavailable"
            if "authentication failed" in said or "does not exist" in said or "no pg_hba.conf entry" in said:
                kind = "denied"
            elif "too many" in said or "remaining connection slots" in said:
                kind = "throttled"
            message = f"{place} can't be reached or does not let {given['user']!r} in"
            raise SqlFailure(kind, message, e.sqlstate) from None

    def ask(self, sql: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        try:
            cursor = self._connection.execute(sql.encode(), values)
            return cursor.fetchall() if cursor.description else []
        except self._driver.Error as e:
            raise self._failure(e) from None

    def change(self, sql: str, values: Sequence[Any] = ()) -> int:
        """A row that a trigger keeps as it is does not count."""
        try:
            return self._connection.execute(sql.encode(), values).rowcount
        except self._driver.Error as e:
            raise self._failure(e) from None

    def commit(self) -> None:
        try:
            self._connection.commit()
        except self._driver.Error as e:
            raise self._failure(e) from None

    def rollback(self) -> None:
        try:
            self._connection.rollback()
        except self._driver.Error as e:
            raise self._failure(e) from None

    def close(self) -> None:
        self._connection.close()

    def _failure(self, e: Any) -> SqlFailure:
        code = e.sqlstate
        if code is None and not self._connection.closed and not isinstance(e, self._driver.OperationalError):
            return SqlFailure("rejected", f"PostgreSQL's driver takes no such value: {type(e).__name__}", in_row=True)
        kind = "lost" if code is None else _KINDS.get(code) or _KINDS.get(code[:2], "denied")
        if kind == "lost" or self._connection.closed:
            return SqlFailure("lost", "the connection to PostgreSQL was lost", code)
        constraint, column = e.diag.constraint_name, e.diag.column_name
        return SqlFailure(
            kind,
            _said(code, constraint, column, e.diag.message_primary if kind == "denied" else None),
            code,
            constraint=constraint,
            unique=code == "23505",
            in_row=code.startswith("22"),
        )


_SAID = {
    "23502": "the column {column} must not be null",
    "23503": "the constraint {constraint} asks for a row of another table, or another table still refers to this one",
    "23505": "another row has the value that {constraint} keeps unique",
    "23514": "the check {constraint} does not hold",
    "22001": "a text is longer than its column",
    "22003": "a number is out of its column's range",
    "22P02": "a value is not of its column's type",
    "55P03": "another transaction holds a lock",
    "57014": "the statement took longer than statement_timeout_s",
}


def _said(code: str, constraint: str | None, column: str | None, primary: str | None) -> str:
    """The server's own words only where they name objects and no values."""
    if code in _SAID:
        return _SAID[code].format(constraint=constraint, column=column)
    return f"PostgreSQL refused ({code})" + (f": {primary}" if primary else f", {constraint}" if constraint else "")

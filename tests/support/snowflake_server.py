"""A Snowflake that runs here: fakesnow behind real HTTP, with the cures that revetl and dbt need.

    python -m tests.support.snowflake_server PORT

It shows that our statements are taken and do what they should by the rules of fakesnow, which is DuckDB inside:
evidence, not proof. Where it is known to be laxer than Snowflake (the case of names, DDL that commits) tests look at
the statements themselves.
"""

from __future__ import annotations

import functools
import os
import re
import sys
import threading
import time
from decimal import Decimal
from string import Template
from typing import Any

import fakesnow.arrow
import fakesnow.cursor
import fakesnow.info_schema
import fakesnow.rowtype
import fakesnow.server
import fakesnow.transforms
import pyarrow as pa
import pyarrow.compute as pc
import sqlglot
from fakesnow.cursor import FakeSnowflakeCursor
from snowflake.connector.errors import Error, ProgrammingError
from sqlglot import exp

_REMEMBERED = 4096  # statements
_TEXT = "text"  # in a parsed statement's meta: what it was parsed from
# Translated alike whatever came before.
_PURE = (exp.Select, exp.SetOperation, exp.Insert, exp.Update, exp.Delete)


def _parsing(parse_one: Any) -> Any:
    """A statement comes again and again, with other values bound to it; one of many rows comes once for each."""

    @functools.lru_cache(_REMEMBERED)
    def parsed(command: str) -> exp.Expr:
        tree: exp.Expr = parse_one(command)
        tree.meta[_TEXT] = command
        return tree

    def parsing(command: str) -> exp.Expr:
        tree = parsed(command)
        return tree if isinstance(tree, _PURE) else tree.copy()  # of the others some are changed where they are

    return parsing


def _cured(transform: Any) -> Any:
    """The translation into DuckDB's SQL: some seventy walks through the statement, so it is done once for each. The
    session's database plays no part in that of the pure ones, so the statements of one test serve the next."""
    known: dict[tuple[str, str], exp.Expr] = {}

    @functools.wraps(transform)
    def cured(self: FakeSnowflakeCursor, expression: exp.Expr, params: Any) -> exp.Expr:
        text = expression.meta.get(_TEXT) if isinstance(expression, _PURE) else None
        key = (text, str(self._conn.schema)) if text else None
        if key in known:
            return known[key]
        _refuse_exists(expression)
        done: exp.Expr = transform(self, expression.copy(), params)
        _hash(done)
        _temporary_tables(self._conn.__dict__.setdefault("_temporary", []), done)
        if key is not None:
            if len(known) >= _REMEMBERED:
                known.clear()
            done.sql = functools.lru_cache(done.sql)
            known[key] = done
        return done

    return cured


def _refuse_exists(tree: exp.Expr) -> None:
    """Snowflake takes a correlated EXISTS as a condition of WHERE; below OR and CASE, and in the list of columns, its
    planner gives up on many ("Operators, subquery" in its reference, which says WHERE)."""
    for exists in tree.find_all(exp.Exists):
        above = exists.parent
        while isinstance(above, exp.And | exp.Not | exp.Paren):
            above = above.parent
        if not isinstance(above, exp.Where | exp.Having) and isinstance(exists.this, exp.Query):
            raise ProgrammingError(msg="Unsupported subquery type cannot be evaluated", errno=2031, sqlstate="42601")


def _hash(tree: exp.Expr) -> None:
    """Snowflake's HASH is a signed number of 64 bits, DuckDB's is unsigned."""
    for call in list(tree.find_all(exp.Anonymous)):
        if str(call.this).upper() == "HASH":
            plain = exp.Anonymous(this="hash", expressions=call.expressions)
            shifted = exp.BitwiseRightShift(this=plain, expression=exp.Literal.number(1))
            call.replace(exp.cast(exp.paren(shifted), "BIGINT"))


def _temporary_tables(names: list[str], tree: exp.Expr) -> None:
    """Snowflake keeps a session's temporary tables in the schema that they name, DuckDB in one of its own, where
    neither a qualified name nor DESCRIBE finds them. Here they are tables that go with the session."""
    properties = tree.args.get("properties") if isinstance(tree, exp.Create) and tree.kind == "TABLE" else None
    temporary = properties and properties.find(exp.TemporaryProperty)
    made = tree.find(exp.Table)
    if temporary and made is not None:
        temporary.pop()
        tree.set("replace", True)
        names.append(made.sql(dialect="duckdb"))


class _Sessions(dict[str, Any]):
    def __delitem__(self, token: str) -> None:
        connection = self[token]
        for name in connection.__dict__.get("_temporary", ()):
            connection._duck_conn.execute(f"DROP TABLE IF EXISTS {name}")
        super().__delitem__(token)


# What DuckDB takes and Snowflake does not: a translation that passes it through must be seen here.
_ONLY_DUCKDB = re.compile(
    r"\b(ARG_MAX|ARG_MIN|BOOL_AND|BOOL_OR|DATE_DIFF|EPOCH|FILTER|GEN_RANDOM_UUID|GENERATE_SERIES|ISFINITE|ISINF|ISNAN|"
    r"JSON_EXTRACT|JSON_EXTRACT_STRING|JSON_GROUP_ARRAY|LIST|LIST_\w+|QUANTILE_CONT|REGEXP_EXTRACT|REGEXP_FULL_MATCH|"
    r"REGEXP_MATCHES|STARTS_WITH|STRFTIME|STRING_AGG|STRING_SPLIT|STRIP_ACCENTS|STRPTIME|STRUCT_PACK|UNNEST)\s*\("
    r"|\bBY NAME\b|\b(SEMI|ANTI|POSITIONAL) JOIN\b|\bUSING SAMPLE\b|\bUBIGINT\b|\bHUGEINT\b",
    re.IGNORECASE,
)
_QUOTED = re.compile(r"'(?:[^'\\]|''|\\.)*'|\"(?:[^\"]|\"\")*\"")


def _answering(execute: Any) -> Any:
    """What fakesnow does not foresee is an error of the statement. As a failure of the server the connector would
    repeat it for minutes."""

    @functools.wraps(execute)
    def answering(self: FakeSnowflakeCursor, command: str, *args: Any, **kwargs: Any) -> Any:
        if foreign := _ONLY_DUCKDB.search(_QUOTED.sub("", command)):
            raise ProgrammingError(msg=f"Snowflake has no {foreign[0]}", errno=1003, sqlstate="42000")
        try:
            return execute(self, command, *args, **kwargs)
        except Error:
            raise
        except Exception as e:
            raise ProgrammingError(msg=f"{type(e).__name__}: {e}", errno=1, sqlstate="XX000") from e

    return answering


def _with_nulls(to_struct: Any) -> Any:
    @functools.wraps(to_struct)
    def with_nulls(moments: Any) -> pa.Array:
        made = to_struct(moments)
        if not moments.null_count:
            return made
        mask = pc.is_null(moments)
        mask = mask.combine_chunks() if isinstance(mask, pa.ChunkedArray) else mask
        parts = [made.field(i).fill_null(0) for i in range(made.type.num_fields)]
        return pa.StructArray.from_arrays(parts, fields=list(made.type), mask=mask)

    return with_nulls


def _whole(to_sf: Any) -> Any:
    """The sum of whole numbers is one: DuckDB hands a HUGEINT to Arrow as binary floating point."""

    @functools.wraps(to_sf)
    def whole(table: pa.Table, rowtype: list[Any]) -> Any:
        for i, (field, column) in enumerate(zip(table.schema, rowtype, strict=True)):
            if column["type"] == "fixed" and pa.types.is_floating(field.type):
                numbers = table.column(i).cast(pa.decimal128(38, 0))
                table = table.set_column(i, field.name, numbers)
        return to_sf(table, rowtype)

    return whole


def _binding(read: Any) -> Any:
    """A bound decimal and a bound NULL of any type; a time without a zone stays without."""

    @functools.wraps(read)
    def binding(given: dict[str, Any]) -> Any:
        type_, value = given["type"], given["value"]
        if value is None or isinstance(value, list):
            return None if value is None else read(given)
        if type_ == "FIXED" and not value.lstrip("-").isdigit():
            return Decimal(value)
        moment = read(given)
        return moment.replace(tzinfo=None) if type_ == "TIMESTAMP_NTZ" else moment

    return binding


def _with_views(creation_sql: Any) -> Any:
    """INFORMATION_SCHEMA.TABLES has the views as well."""
    both = (
        "from (select database_name, schema_name, table_name, estimated_size, 'BASE TABLE' as kind from duckdb_tables()"
        " union all select database_name, schema_name, view_name, 0, 'VIEW' from duckdb_views() where not internal)"
        " tables"
    )

    @functools.wraps(creation_sql)
    def with_views(catalog: str) -> str:
        sql: str = creation_sql(catalog)
        assert "from duckdb_tables tables" in sql
        sql = sql.replace("from duckdb_tables tables", both)
        return sql.replace("'BASE TABLE' AS \"TABLE_TYPE\"", 'tables.kind AS "TABLE_TYPE"')

    return with_views


def _escaping(insert_sql: Any) -> Any:
    """Names may hold an apostrophe."""

    @functools.wraps(insert_sql)
    def escaping(catalog: str, schema: str, table: str, lengths: list[tuple[str, int]]) -> str:
        doubled = [(name.replace("'", "''"), length) for name, length in lengths]
        sql: str = insert_sql(catalog, schema, table.replace("'", "''"), doubled)
        return sql

    return escaping


class _EscapingTemplate(Template):
    """Of the sentences that a statement is answered with."""

    def substitute(self, *args: Any, **kwargs: Any) -> str:
        return super().substitute(*args, **{k: str(v).replace("'", "''") for k, v in kwargs.items()})


def cure() -> None:
    fakesnow.server.sessions = _Sessions()
    fakesnow.server.shared_fs.duck_conn.execute("SET threads = 1")  # small tables: threads cost more than they bring
    for name, value in list(vars(fakesnow.cursor).items()):
        if isinstance(value, Template):
            setattr(fakesnow.cursor, name, _EscapingTemplate(value.template))
    fakesnow.info_schema.insert_text_lengths_sql = _escaping(fakesnow.info_schema.insert_text_lengths_sql)
    fakesnow.info_schema.per_db_creation_sql = _with_views(fakesnow.info_schema.per_db_creation_sql)
    # It reads everything that is summed as binary floating point, for the sake of text: money would lose digits.
    fakesnow.transforms.numeric_agg_implicit_cast = lambda tree: tree
    fakesnow.server.to_sf = _whole(fakesnow.server.to_sf)
    fakesnow.server.from_binding = _binding(fakesnow.server.from_binding)
    fakesnow.server.parse_one = fakesnow.cursor.parse_one = _parsing(fakesnow.cursor.parse_one)
    FakeSnowflakeCursor._transform = _cured(FakeSnowflakeCursor._transform)
    FakeSnowflakeCursor.execute = _answering(FakeSnowflakeCursor.execute)
    FakeSnowflakeCursor._describe_last_sql = _describe_last_sql
    fakesnow.arrow.timestamp_to_sf_struct = _with_nulls(fakesnow.arrow.timestamp_to_sf_struct)
    for name in ("TINYINT", "SMALLINT", "UTINYINT", "USMALLINT", "UINTEGER"):
        fakesnow.rowtype.duckdb_to_sf_type[name] = "fixed"
    fakesnow.rowtype.duckdb_to_sf_type["FLOAT"] = "real"


@functools.lru_cache(_REMEMBERED)
def _described(sql: str) -> exp.Expr:
    return sqlglot.parse_one(f"DESCRIBE {sql}", read="duckdb")


def _describe_last_sql(self: FakeSnowflakeCursor) -> list[Any]:
    """As theirs, which parses the statement anew each time and lets every other error through."""
    try:
        with self._conn.cursor() as cursor:
            cursor._execute(_described(str(self._last_sql)), self._last_params)
            return list(cursor.fetchall())
    except Error:
        raise
    except Exception as e:
        raise ProgrammingError(msg=f"{type(e).__name__}: {e}", errno=1, sqlstate="XX000") from e


def _end_with(parent: int) -> None:
    """Whoever started it may be killed without a chance to stop it."""
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(0)


def main() -> None:
    import uvicorn

    cure()
    threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()
    uvicorn.run(fakesnow.server.app, host="127.0.0.1", port=int(sys.argv[1]), log_level="error")


if __name__ == "__main__":
    main()

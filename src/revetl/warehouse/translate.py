"""Statements written in DuckDB's dialect, as Snowflake and Postgres take them.

sqlglot does most of it. What it passes through unchanged, or translates by name rather than by meaning, is in the
tables of rewrites below. A construct without a translation raises: a statement that would mean something else must
not run.

Names. DuckDB and Postgres get the names as they stand. Snowflake folds what is written without quotes to upper case,
and dbt writes without quotes, so there a plain lower-case name (`golden_id`) means the column GOLDEN_ID, both when it
is asked for and when it comes back; any other name (`First Name`, `FirstName`) is quoted as it is, and its model has
to quote it as well. The price: a Snowflake name that was created lower-case in quotes can't be reached.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, TypeVar

from revetl.errors import WarehouseError
from revetl.warehouse.rewrites import (
    create_schema,
    functions,
    name_subqueries,
    old_postgres_try_cast,
    rewrites,
    types,
)
from revetl.warehouse.sql import LONGEST_NAME

if TYPE_CHECKING:
    from sqlglot import exp

T = TypeVar("T")

_PLAIN = re.compile(r"[a-z_][a-z0-9_$]*\Z")
_PLAIN_UPPER = re.compile(r"[A-Z_][A-Z0-9_$]*\Z")


@dataclass(frozen=True, slots=True)
class Statement:
    """`order`: which of the caller's values each placeholder of `sql` takes; translation may move or repeat them.
    `reads`: it only reads. `functions`: statements that make, in the session, what this one calls; they are safe to
    repeat."""

    sql: str
    order: tuple[int, ...]
    is_ddl: bool
    reads: bool = False
    functions: tuple[str, ...] = ()

    def bind(self, params: Sequence[T]) -> list[T]:
        return [params[i] for i in self.order]


@lru_cache(maxsize=2048)
def translate(sql: str, dialect: str, *, checks_input: bool = True) -> Statement:
    """One statement for `dialect`: snowflake (placeholders `?`) or postgres (`$1`). WarehouseError where it can't be
    said there. `checks_input`: whether this Postgres has `pg_input_is_valid`, as from 16 on."""
    import sqlglot
    from sqlglot import exp
    from sqlglot.errors import ErrorLevel, SqlglotError

    marked, mark = _marked(sql)
    try:
        tree = sqlglot.parse_one(marked, read="duckdb")
        # Leaves first, so that what a rewrite takes over is translated already.
        for node in reversed(list(tree.dfs())):
            _refuse(node, dialect)
            said = _rewrite(node, dialect, checks_input)
            if said is not node:
                tree = said if node is tree else tree
                node.replace(said)
        if dialect == "postgres":
            name_subqueries(tree)
        text = tree.sql(dialect=dialect, unsupported_level=ErrorLevel.RAISE)
        if dialect == "postgres" and isinstance(tree, exp.Create) and tree.kind == "SCHEMA" and tree.args.get("exists"):
            text = create_schema(tree.this.db, text)
    except SqlglotError as e:
        raise WarehouseError(f"a statement has no form on {dialect}: {str(e).splitlines()[0]}") from None
    order: list[int] = []

    def numbered(found: re.Match[str]) -> str:
        order.append(int(found[1]))
        return f"${len(order)}" if dialect == "postgres" else "?"

    text = re.sub(re.escape(mark) + r"(\d+)_", numbered, text)
    return Statement(
        text,
        tuple(order),
        is_ddl=isinstance(tree, exp.Create | exp.Drop | exp.Alter | exp.TruncateTable),
        reads=isinstance(tree, exp.Query) and not tree.find(exp.DML),
        functions=() if checks_input else functions(tree),
    )


def fold(name: str, dialect: str) -> str:
    """A name as the database stores it. WarehouseError for one that Postgres would cut."""
    if dialect == "snowflake" and _PLAIN.match(name):
        return name.upper()
    if dialect == "postgres" and len(name.encode()) > LONGEST_NAME:
        raise WarehouseError(
            f"the name {name!r} is longer than Postgres takes ({LONGEST_NAME} bytes): choose a shorter one"
        )
    return name


def unfold(name: str, dialect: str) -> str:
    """A name that came from the database, as statements call it."""
    return name.lower() if dialect == "snowflake" and _PLAIN_UPPER.match(name) else name


def _marked(sql: str) -> tuple[str, str]:
    """Placeholders as numbered names, so that each can be told after translation; and NUMERIC without a precision as a
    type of its own, since DuckDB would read 18 digits into it, and Postgres has it with any number of them."""
    from sqlglot.dialects.duckdb import DuckDB
    from sqlglot.tokenizer_core import TokenType

    mark = "__bound_"
    while mark in sql:
        mark += "_"
    if "?" not in sql and "NUMERIC" not in sql:
        return sql, mark
    pieces, at, number = [], 0, 0
    tokens = DuckDB().tokenize(sql)
    for token, following in zip(tokens, [*tokens[1:], None], strict=True):
        if token.token_type == TokenType.PLACEHOLDER:
            pieces += [sql[at : token.start], f"{mark}{number}_"]
            at, number = token.end + 1, number + 1
        elif token.text == "NUMERIC" and token.token_type == TokenType.DECIMAL and not _opens(following):
            pieces += [sql[at : token.start], "BIGDECIMAL"]
            at = token.end + 1
    return "".join([*pieces, sql[at:]]), mark


def _opens(token: Any) -> bool:
    return token is not None and token.text == "("


def _refuse(node: exp.Expr, dialect: str) -> None:
    """What sqlglot would pass through to a database that does not have it."""
    from sqlglot import exp

    everything = (isinstance(node, exp.Group) and node.args.get("all")) or (
        isinstance(node, exp.Ordered) and isinstance(node.this, exp.Var) and node.this.name.upper() == "ALL"
    )
    if dialect == "postgres" and everything:
        raise WarehouseError("a statement has no form on postgres: GROUP BY or ORDER BY ALL")


def _rewrite(node: exp.Expr, dialect: str, checks_input: bool) -> exp.Expr:
    from sqlglot import exp

    if isinstance(node, exp.Identifier):
        if node.args.get("quoted"):
            node.set("this", fold(node.this, dialect))
        return node
    if isinstance(node, exp.DataType):
        spelled = types()[dialect].get(node.this)
        return exp.DataType.build(spelled, dialect=dialect) if spelled else node
    if isinstance(node, exp.TryCast) and not checks_input:
        return old_postgres_try_cast(node)
    name = node.this.lower() if isinstance(node, exp.Anonymous) and isinstance(node.this, str) else type(node)
    rewrite = rewrites()[dialect].get(name)
    return rewrite(node) if rewrite else node

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
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, TypeVar, cast

from revetl.errors import WarehouseError
from revetl.warehouse.sql import LONGEST_NAME, ident, literal

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
            _name_subqueries(tree)
        text = tree.sql(dialect=dialect, unsupported_level=ErrorLevel.RAISE)
        if dialect == "postgres" and isinstance(tree, exp.Create) and tree.kind == "SCHEMA" and tree.args.get("exists"):
            text = _create_schema(tree.this.db, text)
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
        functions=() if checks_input else _functions(tree),
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


def _name_subqueries(tree: exp.Expr) -> None:
    """Before 16 Postgres wants a name for every subquery in FROM, and nobody has to use it."""
    from sqlglot import exp

    nameless = [
        node
        for node in tree.find_all(exp.Subquery, exp.Values)
        if isinstance(node.parent, exp.From | exp.Join | exp.Delete)
        and not node.alias
        # Not of joined tables in parentheses: it would hide their own names.
        and (isinstance(node, exp.Values) or isinstance(node.unnest(), exp.Query))
    ]
    for number, node in enumerate(nameless):
        node.set("alias", exp.TableAlias(this=exp.to_identifier(f"nameless_{number}")))


def _create_schema(name: str, statement: str) -> str:
    """Postgres asks for the right to create one before it looks whether one is there, so it is looked first."""
    quoted = ident(name).replace("'", "''")
    body = f"BEGIN IF to_regnamespace('{quoted}') IS NULL THEN {statement}; END IF; END"
    return f"DO {literal(body)}"


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
        spelled = _types()[dialect].get(node.this)
        return exp.DataType.build(spelled, dialect=dialect) if spelled else node
    if isinstance(node, exp.TryCast) and not checks_input:
        return _old_postgres_try_cast(node)
    name = node.this.lower() if isinstance(node, exp.Anonymous) and isinstance(node.this, str) else type(node)
    rewrite = _rewrites()[dialect].get(name)
    return rewrite(node) if rewrite else node


@lru_cache(maxsize=1)
def _types() -> Mapping[str, Mapping[Any, str]]:
    """Types that only DuckDB has. A hash is unsigned there and signed elsewhere; nothing else of ours is unsigned."""
    from sqlglot import exp

    t = exp.DType
    return {
        "snowflake": {t.UBIGINT: "NUMBER(38,0)", t.INT128: "NUMBER(38,0)", t.UINT128: "NUMBER(38,0)"},
        "postgres": {
            t.BIGDECIMAL: "NUMERIC",
            t.UBIGINT: "BIGINT",
            t.INT128: "NUMERIC(38,0)",
            t.UINT128: "NUMERIC(39,0)",
        },
    }


@lru_cache(maxsize=1)
def _rewrites() -> Mapping[str, Mapping[Any, Callable[[Any], exp.Expr]]]:
    from sqlglot import exp

    return {
        "snowflake": {
            exp.TryCast: _snowflake_try_cast,
            exp.ConcatWs: _snowflake_concat_ws,
            exp.Filter: _snowflake_filter,
            exp.IsNan: _equals_nan,
            "to_json": lambda n: _call("TO_JSON", _call("TO_VARIANT", n.expressions[0])),
        },
        "postgres": {
            exp.TryCast: _postgres_try_cast,
            exp.IsNan: _equals_nan,
            exp.Contains: lambda n: exp.GT(
                this=exp.StrPosition(this=n.this, substr=n.expression), expression=exp.Literal.number(0)
            ),
            # 64 bits over any number of columns of any type that has a hash; documented only in its source, since 14.
            "hash": lambda n: _call("hash_record_extended", _call("ROW", *n.expressions), exp.Literal.number(0)),
        },
    }


def _call(name: str, *arguments: exp.Expr) -> exp.Expr:
    from sqlglot import exp

    return exp.Anonymous(this=name, expressions=list(arguments))


def _equals_nan(node: Any) -> exp.Expr:
    """NaN equals NaN on both, unlike in IEEE 754 (Postgres 8.1.3; Snowflake, data types for floating-point)."""
    from sqlglot import exp

    return exp.paren(exp.EQ(this=node.this, expression=exp.cast(exp.Literal.string("NaN"), "DOUBLE")), copy=False)


def _snowflake_try_cast(node: Any) -> exp.Expr:
    """Its TRY_CAST takes only text."""
    from sqlglot import exp

    if isinstance(node.this, exp.Cast) and node.this.to.this in exp.DataType.TEXT_TYPES:
        inner = node.this
    else:
        inner = exp.cast(node.this, "VARCHAR", copy=False)
    if node.to.this in exp.DataType.TEXT_TYPES:
        return inner
    return exp.TryCast(this=inner, to=node.to, requires_string=True)


def _snowflake_concat_ws(node: Any) -> exp.Expr:
    """Its CONCAT_WS is NULL as soon as one part is; ours leaves NULL parts out."""
    from sqlglot import exp

    separator, *parts = node.expressions
    if not separator.is_string:
        return cast("exp.Expr", node)  # not ours: the generator says what it makes of it
    # Every part brings its separator, and the first one's is cut off.
    led = [exp.DPipe(this=separator.copy(), expression=part, safe=True) for part in parts]
    filled = [exp.Coalesce(this=part, expressions=[exp.Literal.string("")]) for part in led]
    whole: exp.Expr = filled[0]
    for part in filled[1:]:
        whole = exp.DPipe(this=whole, expression=part, safe=True)
    return exp.Substring(this=whole, start=exp.Literal.number(len(separator.this) + 1))


def _snowflake_filter(node: Any) -> exp.Expr:
    """It has no FILTER. Aggregates leave out what is null, and a count is 0 where nothing is there."""
    from sqlglot import exp

    aggregate, condition = node.this, node.expression.this
    if not isinstance(aggregate, exp.Count | exp.Sum | exp.Min | exp.Max | exp.Avg) or aggregate.find(exp.Distinct):
        raise WarehouseError(f"a statement has no form on snowflake: FILTER of {type(aggregate).__name__}")
    value = exp.Literal.number(1) if isinstance(aggregate.this, exp.Star) else aggregate.this
    aggregate.set("this", exp.case().when(condition, value))
    return cast("exp.Expr", aggregate)


def _postgres_try_cast(node: Any) -> exp.Expr:
    from sqlglot import exp

    as_text = exp.cast(node.this, "TEXT")
    if node.to.this in exp.DataType.TEXT_TYPES:
        return as_text
    spelled = exp.Literal.string(node.to.sql(dialect="postgres"))
    # The cast stands outside: inside, the planner would try it on a value that is bound before it asks.
    valid = exp.case().when(_call("pg_input_is_valid", as_text.copy(), spelled), as_text)
    return exp.cast(valid, node.to)


# Before 16 Postgres can't say whether a text is valid input: a function tries, and catches the error. It is made in the
# session's temporary schema: that takes no right that scratch tables do not take, leaves nothing behind, and two runs
# can't get into each other's way.
_TRY_CAST = "pg_temp.revetl_as_"
_TRY_CAST_FUNCTION = """
CREATE OR REPLACE FUNCTION {name}(value TEXT) RETURNS {type}
LANGUAGE plpgsql STABLE STRICT AS $$
BEGIN
    RETURN CAST(value AS {type});
EXCEPTION WHEN data_exception THEN
    RETURN NULL;
END
$$
"""


def _old_postgres_try_cast(node: Any) -> exp.Expr:
    from sqlglot import exp

    as_text = exp.cast(node.this, "TEXT")
    if node.to.this in exp.DataType.TEXT_TYPES:
        return as_text
    name = re.sub(r"[^a-z0-9]+", "_", node.to.sql(dialect="postgres").lower()).strip("_")
    # Cast once more, since a function's result has no precision.
    return exp.cast(_call(f"{_TRY_CAST}{name}", as_text), node.to)


def _functions(tree: exp.Expr) -> tuple[str, ...]:
    from sqlglot import exp

    made = {}
    for cast_ in tree.find_all(exp.Cast):
        call = cast_.this
        if isinstance(call, exp.Anonymous) and str(call.this).startswith(_TRY_CAST):
            type_ = cast_.to.sql(dialect="postgres")
            made[call.this] = _TRY_CAST_FUNCTION.format(name=call.this, type=type_).strip()
    return tuple(made.values())

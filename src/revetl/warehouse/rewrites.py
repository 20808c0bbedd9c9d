"""What sqlglot passes through unchanged, or translates by name rather than by meaning, rewritten for Snowflake and
Postgres. `revetl.warehouse.translate` applies it."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any, cast

from revetl.errors import WarehouseError
from revetl.warehouse.sql import ident, literal

if TYPE_CHECKING:
    from sqlglot import exp


@lru_cache(maxsize=1)
def types() -> Mapping[str, Mapping[Any, str]]:
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
def rewrites() -> Mapping[str, Mapping[Any, Callable[[Any], exp.Expr]]]:
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


def old_postgres_try_cast(node: Any) -> exp.Expr:
    from sqlglot import exp

    as_text = exp.cast(node.this, "TEXT")
    if node.to.this in exp.DataType.TEXT_TYPES:
        return as_text
    name = re.sub(r"[^a-z0-9]+", "_", node.to.sql(dialect="postgres").lower()).strip("_")
    # Cast once more, since a function's result has no precision.
    return exp.cast(_call(f"{_TRY_CAST}{name}", as_text), node.to)


def functions(tree: exp.Expr) -> tuple[str, ...]:
    from sqlglot import exp

    made = {}
    for cast_ in tree.find_all(exp.Cast):
        call = cast_.this
        if isinstance(call, exp.Anonymous) and str(call.this).startswith(_TRY_CAST):
            type_ = cast_.to.sql(dialect="postgres")
            made[call.this] = _TRY_CAST_FUNCTION.format(name=call.this, type=type_).strip()
    return tuple(made.values())


def name_subqueries(tree: exp.Expr) -> None:
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


def create_schema(name: str, statement: str) -> str:
    """Postgres asks for the right to create one before it looks whether one is there, so it is looked first."""
    quoted = ident(name).replace("'", "''")
    body = f"BEGIN IF to_regnamespace('{quoted}') IS NULL THEN {statement}; END IF; END"
    return f"DO {literal(body)}"

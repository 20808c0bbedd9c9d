"""Building and quoting SQL through sqlglot. The only way an identifier from configuration gets into a statement."""

from __future__ import annotations

from functools import lru_cache

from revetl.model import Relation


@lru_cache(maxsize=4096)
def ident(name: str, dialect: str) -> str:
    """One identifier, quoted for the dialect whatever it holds."""
    from sqlglot import exp

    return exp.to_identifier(name, quoted=True).sql(dialect=dialect)


@lru_cache(maxsize=1024)
def table(relation: Relation, dialect: str) -> str:
    """A table or view, every part quoted."""
    parts = [p for p in (relation.database, relation.schema, relation.name) if p]
    return ".".join(ident(p, dialect) for p in parts)


def literal(text: str, dialect: str) -> str:
    """A string literal, for the few places that take no bound value."""
    from sqlglot import exp

    return exp.Literal.string(text).sql(dialect=dialect)

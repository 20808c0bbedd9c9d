"""Building and quoting SQL. The only way an identifier from configuration gets into a statement.

Text made here is in DuckDB's dialect, in which every statement is written; see `revetl.warehouse.base`.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache

from revetl.model import Relation

# In bytes. Postgres has the lowest limit of the three, and cuts silently (NAMEDATALEN, its documentation, 4.1.1).
LONGEST_NAME = 63
# The dialect in which statements are handed to a Warehouse.
HOUSE = "duckdb"


@lru_cache(maxsize=4096)
def ident(name: str, dialect: str = HOUSE) -> str:
    """One identifier, quoted whatever it holds."""
    from sqlglot import exp

    return exp.to_identifier(name, quoted=True).sql(dialect=HOUSE)


@lru_cache(maxsize=1024)
def table(relation: Relation, dialect: str = HOUSE) -> str:
    """A table or view, every part quoted."""
    parts = [p for p in (relation.database, relation.schema, relation.name) if p]
    return ".".join(map(ident, parts))


def literal(text: str, dialect: str = HOUSE) -> str:
    """A string literal, for the few places that take no bound value."""
    from sqlglot import exp

    return exp.Literal.string(text).sql(dialect=HOUSE)


def shortened(name: str, most_bytes: int = LONGEST_NAME) -> str:
    """A name that we make out of another one, with a digest in place of its end where it is too long. Different names
    stay different."""
    whole = name.encode()
    if len(whole) <= most_bytes:
        return name
    digest = hashlib.sha256(whole).hexdigest()[:10]
    return f"{whole[: most_bytes - 11].decode(errors='ignore')}_{digest}"


def from_dialect(expression: str, dialect: str) -> str:
    """An expression that a user wrote for his own database, as a part of our statements. ConfigError is the caller's:
    raises ValueError where it can't be read."""
    if dialect == HOUSE:
        return expression
    import sqlglot
    from sqlglot.errors import SqlglotError

    try:
        return sqlglot.parse_one(expression, read=dialect).sql(dialect=HOUSE)
    except SqlglotError as e:
        raise ValueError(str(e).splitlines()[0]) from None

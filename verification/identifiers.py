"""Names and values that want to be SQL, in every place where configuration or data can put them, in every dialect.

Built: each statement is parsed back by sqlglot and must hold the name as one identifier, the value as one literal, and
nothing else. Run: tables with such columns and values go through a whole sync in DuckDB, and arrive as they were.
"""

from __future__ import annotations

import random
from itertools import product

import sqlglot
from sqlglot import exp

from benchmarks.report import Section
from revetl.errors import WarehouseError
from revetl.model import Guardrails, Relation
from revetl.warehouse.sql import ident, literal, table
from revetl.warehouse.translate import fold, translate
from tests.support.fake_destination import FakeDestination
from tests.support.sync_bench import Bench

DIALECTS = ("duckdb", "snowflake", "postgres")
_PARTS = (
    '"', '""', "'", "''", ";", "--", "/*", "*/", "\\", "\\'", '\\"', "$$", "$1", "?", "%s", ":a", "{{x}}", "\n", "\t", " ",
    "`", "[a]", ".", ",", "(", ")", "=", "é", "名前", "🙂", "\u202e", "select", "SELECT", "null", "order", "Aa", "1",
)  # fmt: skip
_WHOLE = (
    '"; DROP TABLE canary; --', "'; DROP TABLE canary; --", '" OR "1"="1', "x') RETURNING *; --", "a\"; COPY canary TO '/x'; --",
    "${jndi}", "x" * 200, "before__x", "__proto__", "key", "ordinal", "at",
)  # fmt: skip


def hostile(count: int, seed: int = 1) -> list[str]:
    """Distinct names, the worst first."""
    rng = random.Random(seed)
    names = list(dict.fromkeys((*_WHOLE, *_PARTS, *("".join(p) for p in product(_PARTS[:12], repeat=2)))))
    while len(names) < count:
        names.append("".join(rng.choices(_PARTS, k=rng.randint(3, 8))))
    return [n for n in dict.fromkeys(names) if n.strip()][:count]


def escapes(name: str, dialect: str) -> list[str]:
    """The places where this name gets out of its quotes on its way to this dialect."""
    try:
        stored = fold(name, dialect)
    except WarehouseError:  # longer than Postgres takes: refused, not cut
        return []
    places = {
        "column": (f"SELECT {ident(name)}", exp.Identifier, [stored]),
        "table": (f"SELECT 1 FROM {table(Relation(name, name, name))}", exp.Identifier, [stored] * 3),
        "literal": (f"SELECT {literal(name)}", exp.Literal, [name]),
    }
    found = []
    for place, (statement, kind, wanted) in places.items():
        sql = statement if dialect == "duckdb" else translate(statement, dialect).sql
        tree = _only(sql, dialect)
        if tree is None or [node.this for node in tree.find_all(kind)] != wanted:
            found.append(f"{place} in {dialect}: {name!r}")
    return found


def _only(sql: str, dialect: str) -> exp.Expression | None:
    try:
        trees = [t for t in sqlglot.parse(sql, dialect=dialect) if t is not None]
    except sqlglot.errors.SqlglotError:
        return None
    return trees[0] if len(trees) == 1 else None


def through_a_sync(names: list[str]) -> list[str]:
    """A model of these columns, whose values are the names too: what does not arrive as it was."""
    bench = Bench()
    columns = ["golden_id", "email", *names]
    bench.destination = FakeDestination(fields=tuple(columns[1:]))
    bench.warehouse.execute("CREATE TABLE canary AS SELECT 1 AS alive")
    bench.sync_as(columns=tuple(columns), guardrails=Guardrails(min_rows=0))
    ddl = ", ".join(f"{ident(c)} VARCHAR" for c in columns)
    found = []
    for version in ("", "!"):
        bench.source([("1", "a@x.example", *(f"{n}{version}" for n in names))], ddl)
        bench.run()
        ((_, record),) = bench.destination.records.items()
        found += [f"arrived changed: {n!r}" for n in names if record.get(n) != f"{n}{version}"]
    if bench.rows("SELECT alive FROM canary") != [(1,)]:
        found.append("the canary is dead")
    bench.warehouse.close()
    return found


def measure(count: int = 200) -> Section:
    names = hostile(count)
    built = [e for name in names for dialect in DIALECTS for e in escapes(name, dialect)]
    # Case only tells columns apart in quotes, and DuckDB's do not even then.
    lower = list({n.lower(): n for n in names}.values())
    ran = [e for i in range(0, len(lower), 10) for e in through_a_sync(lower[i : i + 10])]
    tried = len(names) * len(DIALECTS) * 3 + len(lower) * 2
    return Section(
        title="Hostile names and values",
        workload=(
            f"{len(names)} names made of quotes, comments, statement ends, placeholders, keywords and scripts of the world, "
            f"as column, table and literal in {', '.join(DIALECTS)}; and as columns and values of whole syncs."
        ),
        header=("", "figure"),
        rows=[
            ("tried", f"{tried:,}"),
            ("escaped from their quotes", str(len(built))),
            ("arrived changed", str(len(ran))),
        ],
        verdict="Target 0 escapes: " + ("met." if not (built or ran) else f"NOT met. {[*built, *ran][:5]}"),
    )

"""How Postgres carries out the statements that an engine sends, in rows visited: a number that no load of the machine
changes."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg.pq import TransactionStatus

from revetl.warehouse.postgres import PostgresWarehouse
from revetl.warehouse.translate import Statement

_PLANNED = re.compile(r"\s*(SELECT|WITH|INSERT|UPDATE|DELETE|CREATE (TEMPORARY )?TABLE \S+ AS)\b", re.IGNORECASE)
_CURSOR = re.compile(r"DECLARE \w+ CURSOR WITH HOLD FOR ", re.IGNORECASE)
_REMOVED = ("Rows Removed by Filter", "Rows Removed by Join Filter")


@dataclass(frozen=True)
class Visited:
    """The node of a statement's plan that visited the most rows, and how many over all of its loops."""

    sql: str
    node: str
    rows: int


@contextmanager
def watched(warehouse: PostgresWarehouse) -> Iterator[list[Visited]]:
    """What is sent inside, each statement carried out once more beforehand, and taken back, for its plan."""
    seen: list[Visited] = []
    send = warehouse._send

    def explained(statement: Statement, params: Sequence[Any]) -> psycopg.Cursor[Any]:
        sql = _CURSOR.sub("", statement.sql)
        if _PLANNED.match(sql) and " pg_" not in sql:  # the catalogue is not ours
            seen.append(most_visited(sql, _plan(warehouse._db, sql, statement.bind(params))))
        return send(statement, params)

    warehouse._send = explained  # type: ignore[method-assign]
    try:
        yield seen
    finally:
        del warehouse._send  # type: ignore[method-assign]


def _plan(db: psycopg.Connection[Any], sql: str, values: Sequence[Any]) -> Mapping[str, Any]:
    inside = db.info.transaction_status is TransactionStatus.INTRANS
    db.execute("SAVEPOINT planned" if inside else "BEGIN")
    try:
        explain = f"EXPLAIN (ANALYZE, TIMING OFF, FORMAT JSON) {sql}"
        cursor = psycopg.RawCursor(db).execute(explain.encode(), values or None)
        plan: dict[str, Any] = json.loads(cursor.fetchall()[0][0])[0]["Plan"]
        return plan
    finally:
        db.execute("ROLLBACK TO SAVEPOINT planned" if inside else "ROLLBACK")


def most_visited(sql: str, plan: Mapping[str, Any]) -> Visited:
    return max((Visited(sql, node["Node Type"], _rows(node)) for node in nodes(plan)), key=lambda each: each.rows)


def nodes(plan: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    yield plan
    for below in plan.get("Plans", ()):
        yield from nodes(below)


def _rows(node: Mapping[str, Any]) -> int:
    each = float(node["Actual Rows"]) + sum(float(node.get(name, 0)) for name in _REMOVED)
    return round(each * float(node["Actual Loops"]))

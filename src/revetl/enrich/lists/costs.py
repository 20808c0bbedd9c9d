"""What each cell of a list cost, so that all cells together are what was charged.

The charge of a call is shared equally over whoever it served; of a person, over the wanted fields that it gave him, or
else it stands with the first one that was asked for: a miss is paid for too. What a verdict cost is shared over whoever
has that value. A person who stands in several rows is paid for once, so each row has its part.

Of values in models another rule holds (docs/design/values.md): there a field that is not wanted has a share.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import datetime
from typing import cast

from revetl.enrich.selection.query import Query, compose
from revetl.enrich.selection.questions import QuestionSelection
from revetl.enrich.selection.scope import Scope
from revetl.enrich.waterfall import WaterfallSpec
from revetl.errors import WarehouseLost
from revetl.model import Relation
from revetl.providers.grammar import ProviderSpec
from revetl.state.schema import create_table, relation
from revetl.state.values import VERIFICATION
from revetl.warehouse.base import Warehouse
from revetl.warehouse.reconnecting import failing_at_once
from revetl.warehouse.sql import ident, literal, table

_COLUMNS = [("row_key", "VARCHAR"), ("field", "VARCHAR"), ("usd", "DOUBLE")]


class ListCosts:
    """Of one list, while the block of `costs_of` lasts."""

    def __init__(self, warehouse: Warehouse, costs: Relation, input_: Relation, key: str) -> None:
        self._warehouse, self._costs, self._input, self._key = warehouse, costs, input_, key

    def of_rows(self, rows: range) -> Mapping[tuple[int, str], float]:
        """(row, field) → US dollars; only what cost anything."""
        found = self._warehouse.rows(
            f"""
            SELECT i.row_no, c.field, c.usd
            FROM {table(self._input)} i
            JOIN {table(self._costs)} c ON c.row_key = i.{ident(self._key)}
            WHERE i.row_no >= ?
              AND i.row_no < ?
            """,
            [rows.start, rows.stop],
        )
        return {(int(cast(int, row_no)), str(field)): float(cast(float, usd)) for row_no, field, usd in found}


@contextmanager
def costs_of(
    warehouse: Warehouse,
    spec: WaterfallSpec,
    providers: Mapping[str, ProviderSpec],
    input_: Relation,
    entity: str,
    now: datetime,
) -> Iterator[ListCosts]:
    """`input_`: the list's inputs; `entity`: what its values are kept under."""
    scope = Scope(
        warehouse=warehouse, spec=spec, providers=providers, relation=input_, entity=entity, run_id="", now=now
    )
    target = Relation(input_.schema, f"{input_.name}c")
    create_table(warehouse, target, _COLUMNS)
    try:
        filled = _costs(scope)
        warehouse.execute(f"INSERT INTO {table(target)} {filled.sql}", filled.params)
        yield ListCosts(warehouse, target, input_, spec.key)
    finally:
        with suppress(WarehouseLost), failing_at_once(warehouse):
            warehouse.execute(f"DROP TABLE IF EXISTS {table(target)}")


def _costs(scope: Scope) -> Query:
    values, calls = (table(relation(scope.warehouse, f"enrichment_{name}")) for name in ("values", "calls"))
    fields = list(scope.spec.fields)
    return compose(
        """
        WITH listed AS (
            SELECT {key} AS key, count(*) AS n
            FROM {input}
            GROUP BY {key}
        ),
        charged AS (
            SELECT call_id, max(provider) AS provider, max(request_hash) AS request_hash, max(charged_usd) AS usd
            FROM {calls}
            GROUP BY call_id
            HAVING max(charged_usd) > 0
        ),
        served AS (
            SELECT DISTINCT call_id, entity, key
            FROM {values}
            WHERE entity <> {verdict}
        ),
        number_served AS (
            SELECT call_id, count(*) AS n
            FROM served
            GROUP BY call_id
        ),
        fields_given AS (
            SELECT DISTINCT v.call_id, v.key, v.field
            FROM {values} v
            JOIN listed l ON l.key = v.key
            WHERE v.entity = {entity}
              AND v.field IN ({fields})
        ),
        number_given AS (
            SELECT call_id, key, count(*) AS n
            FROM fields_given
            GROUP BY call_id, key
        ),
        population AS ({population}),
        asked AS ({asked}),
        -- Calls that gave nobody anything: whom they were about is told by their question.
        in_vain AS (
            SELECT c.call_id, a.key, a.stage
            FROM charged c
            JOIN asked a
                ON a.provider = c.provider
                AND a.request_hash = c.request_hash
            WHERE c.call_id NOT IN (SELECT call_id FROM number_served)
        ),
        number_in_vain AS (
            SELECT call_id, count(*) AS n
            FROM in_vain
            GROUP BY call_id
        ),
        verdicts AS (
            SELECT o.field, lower(o.value) AS said, o.provider, sum(c.usd) AS usd
            FROM {values} o
            JOIN charged c ON c.call_id = o.call_id
            WHERE o.entity = {verdict}
            GROUP BY o.field, lower(o.value), o.provider
        ),
        verified AS (
            SELECT DISTINCT entity, key, field, lower(value) AS said, verified_by AS provider
            FROM {values}
            WHERE entity <> {verdict}
              AND verified_by IS NOT NULL
        ),
        number_verified AS (
            SELECT field, said, provider, count(*) AS n
            FROM verified
            GROUP BY field, said, provider
        ),
        shares AS (
            SELECT g.key, g.field, c.usd / s.n / n.n AS usd
            FROM fields_given g
            JOIN charged c ON c.call_id = g.call_id
            JOIN number_served s ON s.call_id = g.call_id
            JOIN number_given n ON n.call_id = g.call_id AND n.key = g.key
            UNION ALL
            SELECT p.key, CASE {first_lacking_of_provider} END AS field, c.usd / n.n AS usd
            FROM served s
            JOIN charged c ON c.call_id = s.call_id
            JOIN number_served n ON n.call_id = s.call_id
            JOIN population p ON p.key = s.key
            LEFT JOIN number_given g ON g.call_id = s.call_id AND g.key = s.key
            WHERE s.entity = {entity}
              AND g.key IS NULL
            UNION ALL
            SELECT p.key, CASE {first_lacking_of_stage} END AS field, c.usd / n.n AS usd
            FROM in_vain v
            JOIN charged c ON c.call_id = v.call_id
            JOIN number_in_vain n ON n.call_id = v.call_id
            JOIN population p ON p.key = v.key
            UNION ALL
            SELECT v.key, v.field, d.usd / n.n AS usd
            FROM verified v
            JOIN verdicts d
                ON d.field = v.field
                AND d.said = v.said
                AND d.provider = v.provider
            JOIN number_verified n
                ON n.field = v.field
                AND n.said = v.said
                AND n.provider = v.provider
            WHERE v.entity = {entity}
        )
        SELECT s.key AS row_key, s.field, CAST(sum(s.usd / l.n) AS DOUBLE) AS usd
        FROM shares s
        JOIN listed l ON l.key = s.key
        WHERE s.field IN ({fields})
        GROUP BY s.key, s.field
        """,
        key=ident(scope.spec.key, scope.warehouse.dialect),
        input=table(scope.relation),
        calls=calls,
        values=values,
        verdict=literal(VERIFICATION),
        entity=literal(scope.entity),
        fields=", ".join(map(literal, fields)),
        population=_people(scope),
        asked=" UNION ALL ".join(
            f"SELECT key, {i} AS stage, {literal(stage.provider)} AS provider, hash_{i} AS request_hash FROM population"
            for i, stage in enumerate(scope.spec.stages)
        ),
        first_lacking_of_provider=_first_lacking(scope, "c.provider = {provider}"),
        first_lacking_of_stage=_first_lacking(scope, "v.stage = {number}"),
    )


def _people(scope: Scope) -> Query:
    """Each once, though in several rows."""
    columns = [f"max(blank_{i}) AS blank_{i}" for i, _ in enumerate(scope.spec.fields)]
    columns += [f"max(hash_{i}) AS hash_{i}" for i, _ in enumerate(scope.spec.stages)]
    return compose(
        "SELECT key, {columns} FROM ({rows}) AS r GROUP BY key",
        columns=", ".join(columns),
        rows=QuestionSelection(scope).population(),
    )


def _first_lacking(scope: Scope, of: str) -> str:
    """Branches: the first field that the stage was asked for and the list does not hold itself; else the first."""
    fields, whens = list(scope.spec.fields), []
    for number, stage in enumerate(scope.spec.stages):
        fills = scope.spec.fills(stage, scope.providers[stage.provider])
        is_it = of.format(provider=literal(stage.provider), number=number)
        whens += [f"WHEN {is_it} AND p.blank_{fields.index(field)} = 1 THEN {literal(field)}" for field in fills]
        whens += [f"WHEN {is_it} THEN {literal(fills[0])}"] if fills else []
    return " ".join(whens)

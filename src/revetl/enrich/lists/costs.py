"""What each cell of a list cost, so that all cells together are what was charged.

The charge of a call is shared equally over those whom it was asked for; of a person, over the wanted fields that it
gave him, or else it stands with the first one that was asked for: a miss is paid for too. Whoever is given an answer
that was paid for already costs nothing more. A person who stands in several rows is paid for once, so each has a part.

Of values in models another rule holds (docs/design/values.md): there whoever is served has a share, wanted or not.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import datetime
from typing import cast

from revetl.enrich.selection.query import Query, compose
from revetl.enrich.selection.questions import QuestionSelection
from revetl.enrich.selection.scope import Scope
from revetl.enrich.waterfall import WaterfallSpec
from revetl.errors import WarehouseFull, WarehouseLost
from revetl.model import Relation
from revetl.providers.grammar import ProviderSpec
from revetl.state.schema import create_table, relation
from revetl.state.values import VERIFICATION
from revetl.warehouse.base import Warehouse
from revetl.warehouse.reconnecting import failing_at_once
from revetl.warehouse.sql import ident, literal, table

_PAID = [("call_id", "VARCHAR"), ("provider", "VARCHAR"), ("row_key", "VARCHAR"), ("usd", "DOUBLE")]
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
    paid, costs = Relation(input_.schema, f"{input_.name}p"), Relation(input_.schema, f"{input_.name}c")
    create_table(warehouse, paid, _PAID)
    create_table(warehouse, costs, _COLUMNS)
    try:
        _put_paid(scope, paid)
        filled = _costs(scope, paid)
        warehouse.execute(f"INSERT INTO {table(costs)} {filled.sql}", filled.params)
        yield ListCosts(warehouse, costs, input_, spec.key)
    finally:
        with suppress(WarehouseLost, WarehouseFull), failing_at_once(warehouse):
            for made in (paid, costs):
                warehouse.execute(f"DROP TABLE IF EXISTS {table(made)}")


def _put_paid(scope: Scope, paid: Relation) -> None:
    """Each charged call of the waterfall, shared over those whom it was asked for. Their keys are a JSON array, which
    each database takes apart in a way of its own."""
    import pyarrow as pa

    calls = table(relation(scope.warehouse, "enrichment_calls"))
    charged = f"""
        SELECT call_id, max(provider) AS provider, max(keys) AS keys, CAST(max(charged_usd) AS DOUBLE) AS usd
        FROM {calls}
        WHERE waterfall = ?
        GROUP BY call_id
        HAVING max(charged_usd) > 0
        """
    names = [name for name, _ in _PAID]
    for batch in scope.warehouse.stream(charged, [scope.spec.name]):
        rows = []
        for call in batch.to_pylist():
            keys = json.loads(str(call["keys"]))
            rows += [(call["call_id"], call["provider"], str(key), float(call["usd"]) / len(keys)) for key in keys]
        types = (pa.string(), pa.string(), pa.string(), pa.float64())
        arrays = [pa.array(cells, type_) for cells, type_ in zip(zip(*rows, strict=True), types, strict=True)]
        if rows:
            scope.warehouse.append(paid, pa.table(arrays, names=names))


def _costs(scope: Scope, paid: Relation) -> Query:
    values = table(relation(scope.warehouse, "enrichment_values"))
    return compose(
        """
        WITH listed AS (
            SELECT {key} AS key, count(*) AS n
            FROM {input}
            GROUP BY {key}
        ),
        paid AS (
            SELECT p.call_id, p.provider, p.row_key AS key, p.usd / l.n AS usd
            FROM {paid} p
            JOIN listed l ON l.key = p.row_key
        ),
        -- What a finder gave, and what a verifier was asked about.
        about AS (
            SELECT DISTINCT v.call_id, v.key, v.field
            FROM {values} v
            JOIN paid p ON p.call_id = v.call_id AND p.key = v.key
            WHERE v.entity = {entity}
              AND v.field IN ({fields})
            UNION
            SELECT DISTINCT v.call_id, p.key, v.field
            FROM {values} v
            JOIN paid p ON p.call_id = v.call_id
            WHERE v.entity = {verdict}
              AND v.field IN ({fields})
        ),
        fields_of_call AS (
            SELECT call_id, key, count(*) AS n
            FROM about
            GROUP BY call_id, key
        ),
        population AS ({population}),
        shares AS (
            SELECT p.key, a.field, p.usd / f.n AS usd
            FROM paid p
            JOIN about a ON a.call_id = p.call_id AND a.key = p.key
            JOIN fields_of_call f ON f.call_id = p.call_id AND f.key = p.key
            UNION ALL
            SELECT p.key, CASE {first_lacking} END AS field, p.usd
            FROM paid p
            JOIN population r ON r.key = p.key
            LEFT JOIN fields_of_call f ON f.call_id = p.call_id AND f.key = p.key
            WHERE f.key IS NULL
        )
        SELECT key AS row_key, field, sum(usd) AS usd
        FROM shares
        WHERE field IS NOT NULL
        GROUP BY key, field
        """,
        key=ident(scope.spec.key, scope.warehouse.dialect),
        input=table(scope.relation),
        paid=table(paid),
        values=values,
        verdict=literal(VERIFICATION),
        entity=literal(scope.entity),
        fields=", ".join(map(literal, scope.spec.fields)),
        population=_people(scope),
        first_lacking=_first_lacking(scope),
    )


def _people(scope: Scope) -> Query:
    """Each once, though in several rows."""
    columns = [f"max(blank_{i}) AS blank_{i}" for i, _ in enumerate(scope.spec.fields)]
    return compose(
        "SELECT key, {columns} FROM ({rows}) AS r GROUP BY key",
        columns=", ".join(columns),
        rows=QuestionSelection(scope).population(),
    )


def _first_lacking(scope: Scope) -> str:
    """Branches: the first field that the call was for and the list does not hold itself; else the first."""
    fields, whens = list(scope.spec.fields), []
    for stage in scope.spec.stages:
        fills = scope.spec.fills(stage, scope.providers[stage.provider])
        is_it = f"p.provider = {literal(stage.provider)}"
        whens += [f"WHEN {is_it} AND r.blank_{fields.index(field)} = 1 THEN {literal(field)}" for field in fills]
        whens += [f"WHEN {is_it} THEN {literal(fills[0])}"]
        whens += [f"WHEN p.provider = {literal(verifier)} THEN {literal(f)}" for f, verifier in stage.verify.items()]
    # Of a provider that the waterfall asked once and asks no more.
    return " ".join(whens) + f" ELSE {literal(fields[0])}"

"""The records of a waterfall, as SQL: who they are, what they lack, which questions can be asked about them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import cast

from revetl.clock import naive
from revetl.enrich.execution.partitions import EVERYTHING, Part
from revetl.enrich.selection.audit import sampled
from revetl.enrich.selection.ledger import Known
from revetl.enrich.selection.query import Query
from revetl.enrich.waterfall import Stage, WaterfallSpec
from revetl.errors import ConfigError
from revetl.model import Relation
from revetl.providers.grammar import ProviderSpec
from revetl.state.schema import relation
from revetl.warehouse.base import Warehouse
from revetl.warehouse.sql import from_dialect, ident, literal, table


class Records:
    """One waterfall over one relation at one moment. `entity` is the name under which values are kept.

    `limit`: only the first so many records by key are looked at, the same ones in every stage and every run. `part`:
    only these of them.
    """

    def __init__(
        self,
        warehouse: Warehouse,
        spec: WaterfallSpec,
        providers: Mapping[str, ProviderSpec],
        relation_: Relation,
        *,
        entity: str,
        run_id: str,
        now: datetime,
        limit: int | None = None,
        part: Part = EVERYTHING,
    ) -> None:
        self.warehouse = warehouse
        self.spec = spec
        self.providers = providers
        self.entity = entity
        self.run_id = run_id
        self.now = now
        self._dialect = warehouse.dialect
        self._calls = table(relation(warehouse, "enrichment_calls"))
        self._values = table(relation(warehouse, "enrichment_values"))
        self._source = table(relation_)
        self._known = Known(warehouse, spec, providers, entity=entity, now=now, part=part)
        self._limit = limit
        self._part = part

    def filled(self) -> dict[str, tuple[int, int]]:
        """field → (records, those that hold a value)."""
        cells = ", ".join(
            f"sum(CASE WHEN blank_{i} = 0 OR coalesce(got_{i}, 0) = 1 THEN 1 ELSE 0 END)"
            for i, _ in enumerate(self.spec.fields)
        )
        query = Query(f"SELECT count(*), {cells} FROM (") + self._scan(None) + ") AS e LEFT JOIN ("
        query = query + self._known.held() + ") AS a ON a.key = e.key"
        total, *filled = (int(cast(int, n or 0)) for n in self.warehouse.rows(query.sql, query.params)[0])
        return {field: (total, n) for field, n in zip(self.spec.fields, filled, strict=True)}

    def filled_by(self) -> dict[tuple[str, str], int]:
        """(field, provider) → records whose blank an accepted value of that provider fills."""
        blank = " OR ".join(f"(v.field = {literal(f)} AND e.blank_{i} = 1)" for i, f in enumerate(self.spec.fields))
        query = (
            Query("SELECT v.field, v.provider, count(DISTINCT v.key) FROM (")
            + self._scan(None)
            + f") AS e JOIN {self._values} v ON v.key = e.key"
            + Query(
                " WHERE v.entity = ? AND v.rejected_reason IS NULL AND (v.expires_at IS NULL OR v.expires_at > ?)",
                (self.entity, naive(self.now)),
            )
            + f" AND ({blank}) GROUP BY v.field, v.provider ORDER BY v.field, v.provider"
        )
        rows = self.warehouse.rows(query.sql, query.params)
        return {(str(field), str(provider)): int(cast(int, n)) for field, provider, n in rows}

    def population(self, segment: str | None = None) -> Query:
        """Every record: key, segment (a SQL expression over the entity's columns, as text), audited, per field whether
        it was blank before anybody was asked (blank_i), per stage the question (hash_i) and whether it can be asked of
        this record (able_i)."""
        part = "''" if segment is None else self._written(segment)
        more = [f"CAST(({part}) AS VARCHAR) AS segment"]
        more += [f"{self._question(i)} AS hash_{i}" for i, _ in enumerate(self.spec.stages)]
        able = []
        for i, stage in enumerate(self.spec.stages):
            condition = "1 = 1" if stage.when is None else self._written(stage.when)
            more.append(f"CASE WHEN ({condition}) THEN 1 ELSE 0 END AS when_{i}")
            enough = self._sufficient(self.providers[stage.provider])
            able.append(f"CASE WHEN e.when_{i} = 1 AND ({enough}) THEN 1 ELSE 0 END AS able_{i}")
        return Query(f"SELECT e.*, {', '.join(able)} FROM (") + self._scan(None, *more) + ") AS e"

    def identity(self, key: str) -> dict[str, str]:
        """All inputs that are known of a record; empty where there is no such record any more."""
        cells = ", ".join(f"e.{self._input(name)}" for name in self.spec.inputs)
        query = Query(f"SELECT {cells} FROM (") + self._scan(None) + Query(") AS e WHERE e.key = ?", (key,))
        rows = self.warehouse.rows(query.sql, query.params)
        found = zip(self.spec.inputs, rows[0], strict=True) if rows else ()
        return {name: str(value) for name, value in found if value}

    def bounds(self, parts: int) -> list[str]:
        """The last keys of so many equal parts but the last part's, as text and in its order."""
        query = (
            Query(
                "SELECT max(key) FROM (SELECT key, ntile(CAST(? AS INTEGER)) OVER (ORDER BY key) AS part FROM (",
                (parts,),
            )
            + self._scan(None)
            + ") AS e) AS cut GROUP BY part ORDER BY part"
        )
        return [str(row[0]) for row in self.warehouse.rows(query.sql, query.params)][:-1]

    # --- pieces ---

    def _scan(self, stage: Stage | None, *more: str) -> Query:
        """key, inputs as text, one blank flag per field, whether all are asked; of a stage its question and those that
        its price depends on (hash_i), and only the records that its condition holds for; and `more`."""
        d = self._dialect
        key = ident(self.spec.key, d)
        # Lists have no audit: their answers would not be looked at again.
        share = self.spec.audit.share if self.entity == self.spec.entity else 0.0
        audited = sampled(f"CAST({key} AS VARCHAR)", share)
        cells = [f"CAST({key} AS VARCHAR) AS key", f"CASE WHEN {audited} THEN 1 ELSE 0 END AS audited", *more]
        cells += [f"{self._clean(column)} AS {self._input(name)}" for name, column in self.spec.inputs.items()]
        for i, field in enumerate(self.spec.fields):
            cells.append(f"CASE WHEN {self._clean(self.spec.column(field))} IS NULL THEN 1 ELSE 0 END AS blank_{i}")
        if stage is not None:
            cells += [f"{self._question(i)} AS hash_{i}" for i in self._questions_of(stage)]
        return Query(f"SELECT {', '.join(cells)} ") + self._from(stage)

    def _from(self, stage: Stage | None) -> Query:
        key = ident(self.spec.key, self._dialect)
        source = f"FROM {self._source} WHERE {key} IS NOT NULL"
        if self._limit is not None:
            source = f"FROM (SELECT * {source} ORDER BY {key} LIMIT {int(self._limit)}) AS first_ WHERE TRUE"
        condition = f" AND ({self._written(stage.when)})" if stage is not None and stage.when else ""
        return Query(source) + self._part.condition(f"CAST({key} AS VARCHAR)") + condition

    def _questions_of(self, stage: Stage) -> range:
        """Of which stages the questions are needed: what a record has cost so far is found by those before this one."""
        here = self.spec.stages.index(stage)
        return range(here if self.spec.budget.per_record_usd is None else 0, here + 1)

    def _question(self, number: int) -> str:
        """The hash of what that stage would ask about a record."""
        names = self.providers[self.spec.stages[number].provider].inputs
        columns = {n: ident(self.spec.inputs[n], self._dialect) for n in names if n in self.spec.inputs}
        return self._hash(names, columns)

    def _sufficient(self, provider: ProviderSpec) -> str:
        groups = [g for g in provider.sufficient if all(n in self.spec.inputs for n in g)]
        return " OR ".join(
            "(" + " AND ".join(f"e.{self._input(n)} IS NOT NULL" for n in group) + ")" for group in groups
        )

    def _hash(self, names: Sequence[str], columns: Mapping[str, str]) -> str:
        """Over all inputs of the provider, present or not, so that every waterfall asks the same under one hash."""
        parts = (
            literal(f"{name}=") + f" || coalesce(lower(trim(CAST({columns[name]} AS VARCHAR))), '')"
            if name in columns
            else literal(f"{name}=")
            for name in sorted(names)
        )
        return f"md5({' || chr(31) || '.join(parts)})"

    def _written(self, expression: str) -> str:
        """What the operator wrote in the database's own dialect, in the one that our statements are in."""
        try:
            return from_dialect(expression, self._dialect)
        except ValueError as e:
            raise ConfigError(f"{expression!r} can't be read as SQL of {self._dialect}: {e}") from None

    def _clean(self, column: str) -> str:
        return f"nullif(trim(CAST({ident(column)} AS VARCHAR)), '')"

    def _input(self, name: str) -> str:
        return ident(f"in_{name}")

    def _count(self, query: Query) -> int:
        return int(cast(int, self.warehouse.rows(query.sql, query.params)[0][0]))

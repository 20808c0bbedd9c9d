"""The SQL of a waterfall: who still lacks what, and has no fresh answer. All set logic is here, in the warehouse.

Two lookups are the same question where the provider's inputs are equal but for letter case and outer blanks: they
share a `request_hash` and are asked once.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, cast

from revetl.enrich.audit import sampled
from revetl.enrich.spec import Stage, WaterfallSpec
from revetl.errors import ConfigError
from revetl.model import Relation, Scalar
from revetl.providers.spec import ProviderSpec
from revetl.state.appending import naive
from revetl.state.schema import relation
from revetl.state.values import VERIFICATION
from revetl.warehouse.base import Warehouse
from revetl.warehouse.sql import from_dialect, ident, literal, table


@dataclass(frozen=True, slots=True)
class Question:
    """One call to make: `keys` are the records that it serves, `identity` all inputs that are known of the first."""

    request_hash: str
    keys: tuple[str, ...]
    inputs: Mapping[str, str]
    identity: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Query:
    """A statement and what is bound to it, kept together while it is composed."""

    sql: str
    params: tuple[Scalar, ...] = ()

    def __add__(self, other: Query | str) -> Query:
        if isinstance(other, str):
            return replace(self, sql=self.sql + other)
        return Query(self.sql + other.sql, self.params + other.params)


class Questions:
    """One waterfall over one relation at one moment. `entity` is the name under which values are kept.

    `limit`: only the first so many records by key are looked at, the same ones in every stage and every run.
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
    ) -> None:
        self.warehouse = warehouse
        self.spec = spec
        self.providers = providers
        self.entity = entity
        self.run_id = run_id
        self.now = now
        self._dialect = warehouse.dialect
        self._calls = table(relation(warehouse, "enrichment_calls"), self._dialect)
        self._values = table(relation(warehouse, "enrichment_values"), self._dialect)
        self._source = table(relation_, self._dialect)
        self._limit = limit

    # --- what is asked ---

    def count(self, stage: Stage) -> int:
        """How many calls the stage would make now, were all of them allowed."""
        return self._count(Query("SELECT count(DISTINCT request_hash) FROM (") + self._open(stage) + ") AS open_")

    def stream(self, stage: Stage) -> Iterator[Question]:
        """The stage's questions, each once, in bounded memory."""
        query = self._open(stage) + " ORDER BY request_hash, key"
        wanted = self.providers[stage.provider].inputs
        return self._grouped(query, tuple(self.spec.inputs), wanted)

    def reusable(self, stage: Stage) -> Iterator[tuple[Any, ...]]:
        """Values that a fresh answer gave to an equal question of another record, and that this one has not yet:
        (key, field, value, confidence, verification, call_id, observed_at, expires_at)."""
        calls = self._ended(stage.provider)
        query = (
            Query(
                "SELECT c.key, v.field, v.value, v.confidence, v.verification, v.call_id, v.observed_at, v.expires_at"
                " FROM ("
            )
            + self._lacking(stage)
            + ") AS c JOIN ("
            + calls
            + ") AS l ON l.request_hash = c.request_hash JOIN (SELECT DISTINCT call_id, field, value, confidence,"
            f" verification, observed_at, expires_at FROM {self._values} WHERE provider = "
            + self._text(stage.provider)
            + Query(
                " AND entity <> ? AND expires_at > ?) AS v ON v.call_id = l.call_id", (VERIFICATION, naive(self.now))
            )
            + Query(
                f" WHERE l.status = 'hit' AND NOT EXISTS (SELECT 1 FROM {self._values} o WHERE o.entity = ?"
                " AND o.key = c.key AND o.call_id = v.call_id) ORDER BY c.key",
                (self.entity,),
            )
        )
        for batch in self.warehouse.stream(query.sql, query.params):
            yield from zip(*(column.to_pylist() for column in batch.columns), strict=True)

    def count_unverified(self, field: str, verifier: str) -> int:
        query = Query("SELECT count(DISTINCT request_hash) FROM (") + self._unverified(field, verifier) + ") AS open_"
        return self._count(query)

    def stream_unverified(self, field: str, verifier: str) -> Iterator[Question]:
        """Values that wait for `verifier`, each once whoever's they are."""
        query = self._unverified(field, verifier) + " ORDER BY request_hash, key"
        return self._grouped(query, (field,), (field,))

    def identity(self, key: str) -> dict[str, str]:
        """All inputs that are known of a record; empty where there is no such record any more."""
        cells = ", ".join(f"e.{self._input(name)}" for name in self.spec.inputs)
        query = Query(f"SELECT {cells} FROM (") + self._scan(None) + Query(") AS e WHERE e.key = ?", (key,))
        rows = self.warehouse.rows(query.sql, query.params)
        found = zip(self.spec.inputs, rows[0], strict=True) if rows else ()
        return {name: str(value) for name, value in found if value}

    # --- how far it has come ---

    def filled(self) -> dict[str, tuple[int, int]]:
        """field → (records, those that hold a value)."""
        cells = ", ".join(
            f"sum(CASE WHEN blank_{i} = 0 OR coalesce(got_{i}, 0) = 1 THEN 1 ELSE 0 END)"
            for i, _ in enumerate(self.spec.fields)
        )
        query = Query(f"SELECT count(*), {cells} FROM (") + self._scan(None) + ") AS e LEFT JOIN ("
        query = query + self._accepted() + ") AS a ON a.key = e.key"
        total, *filled = (int(cast(int, n or 0)) for n in self.warehouse.rows(query.sql, query.params)[0])
        return {field: (total, n) for field, n in zip(self.spec.fields, filled, strict=True)}

    def filled_by(self) -> dict[tuple[str, str], int]:
        """(field, provider) → records whose blank an accepted value of that provider fills."""
        blank = " OR ".join(
            f"(v.field = {literal(f, self._dialect)} AND e.blank_{i} = 1)" for i, f in enumerate(self.spec.fields)
        )
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
        able = []
        for i, stage in enumerate(self.spec.stages):
            condition = "1 = 1" if stage.when is None else self._written(stage.when)
            more.append(f"CASE WHEN ({condition}) THEN 1 ELSE 0 END AS when_{i}")
            enough = self._sufficient(self.providers[stage.provider])
            able.append(f"CASE WHEN e.when_{i} = 1 AND ({enough}) THEN 1 ELSE 0 END AS able_{i}")
        return Query(f"SELECT e.*, {', '.join(able)} FROM (") + self._scan(None, *more) + ") AS e"

    # --- pieces ---

    def _open(self, stage: Stage) -> Query:
        """One row per record and question of the stage that is neither answered nor in flight."""
        query = Query("SELECT c.* FROM (") + self._lacking(stage) + ") AS c WHERE NOT EXISTS (SELECT 1 FROM ("
        query = query + self._ended(stage.provider) + ") AS b WHERE b.request_hash = c.request_hash)"
        cap = self.spec.budget.per_record_usd
        return query if cap is None else query + self._within_record_budget(stage, cap)

    def _lacking(self, stage: Stage) -> Query:
        """Records of the stage's condition, with inputs enough, that lack a field which it fills. Of those that are
        audited, all that lacked one before anybody was asked."""
        provider = self.providers[stage.provider]
        fields = list(self.spec.fields)
        lacks = " OR ".join(
            f"(e.blank_{i} = 1 AND (coalesce(a.got_{i}, 0) = 0 OR e.audited = 1) AND coalesce(r.burned_{i}, 0) = 0)"
            for i in (fields.index(f) for f in self.spec.fills(stage, provider))
        )
        inputs = "".join(f", e.{self._input(name)}" for name in self.spec.inputs)
        earlier = "".join(f", e.hash_{i}" for i, _ in enumerate(self.spec.stages))
        here = self.spec.stages.index(stage)
        return (
            Query(f"SELECT e.key, e.hash_{here} AS request_hash{inputs}{earlier} FROM (")
            + self._scan(stage)
            + ") AS e LEFT JOIN ("
            + self._accepted()
            + ") AS a ON a.key = e.key LEFT JOIN ("
            + self._burned(stage.provider)
            + f") AS r ON r.request_hash = e.hash_{here} WHERE ({self._sufficient(provider)}) AND ({lacks})"
        )

    def _scan(self, stage: Stage | None, *more: str) -> Query:
        """key, inputs as text, one blank flag per field, one hash per stage, whether all are asked; and `more`."""
        d = self._dialect
        key = ident(self.spec.key, d)
        # Lists have no audit: their answers would not be looked at again.
        share = self.spec.audit.share if self.entity == self.spec.entity else 0.0
        audited = sampled(f"CAST({key} AS VARCHAR)", share)
        cells = [f"CAST({key} AS VARCHAR) AS key", f"CASE WHEN {audited} THEN 1 ELSE 0 END AS audited", *more]
        cells += [f"{self._clean(column)} AS {self._input(name)}" for name, column in self.spec.inputs.items()]
        for i, field in enumerate(self.spec.fields):
            cells.append(f"CASE WHEN {self._clean(self.spec.column(field))} IS NULL THEN 1 ELSE 0 END AS blank_{i}")
        for i, each in enumerate(self.spec.stages):
            columns = {
                n: ident(self.spec.inputs[n], d) for n in self.providers[each.provider].inputs if n in self.spec.inputs
            }
            cells.append(f"{self._hash(self.providers[each.provider].inputs, columns)} AS hash_{i}")
        source = f"FROM {self._source} WHERE {key} IS NOT NULL"
        if self._limit is not None:
            source = f"FROM (SELECT * {source} ORDER BY {key} LIMIT {int(self._limit)}) AS first_ WHERE TRUE"
        condition = f" AND ({self._written(stage.when)})" if stage is not None and stage.when else ""
        return Query(f"SELECT {', '.join(cells)} {source}{condition}")

    def _accepted(self) -> Query:
        """key → which fields have an accepted value that has not expired."""
        flags = ", ".join(
            f"max(CASE WHEN field = {literal(f, self._dialect)} THEN 1 ELSE 0 END) AS got_{i}"
            for i, f in enumerate(self.spec.fields)
        )
        return Query(
            f"SELECT key, {flags} FROM {self._values} WHERE entity = ? AND rejected_reason IS NULL"
            " AND (expires_at IS NULL OR expires_at > ?) GROUP BY key",
            (self.entity, naive(self.now)),
        )

    def _burned(self, provider: str) -> Query:
        """Question → fields for which this provider's answer was found false: it is not paid for again."""
        flags = ", ".join(
            f"max(CASE WHEN v.field = {literal(f, self._dialect)} THEN 1 ELSE 0 END) AS burned_{i}"
            for i, f in enumerate(self.spec.fields)
        )
        return Query(
            f"SELECT c.request_hash, {flags} FROM {self._values} v JOIN {self._calls} c ON c.call_id = v.call_id"
            " WHERE c.provider = ? AND c.status = 'hit' AND v.rejected_reason IN ('invalid', 'catch_all')"
            " GROUP BY c.request_hash",
            (provider,),
        )

    def _ended(self, provider: str) -> Query:
        """Calls that answer a question still, or that may not be repeated: fresh hits and misses, refusals of the
        vendor, calls in flight or in doubt outside the vendor's free-repeat window."""
        terms = self.providers[provider]
        outputs = [f for f in self.spec.fields if f in terms.fields] or list(terms.fields)
        hit = self._before(min(terms.ttl_hit_days(f) for f in outputs))
        miss = self._before(terms.miss_days(outputs))
        doubt = self._before(terms.free_repeat_days)
        # Of a vendor without jobs nothing is at work: a moment that no call was asked after.
        at_work = naive(self.now) + timedelta(days=1 if not terms.at_work_s else 0, seconds=-terms.at_work_s)
        return Query(
            "SELECT call_id, request_hash, status FROM (SELECT call_id, request_hash,"
            # The result of a job that was fetched later overrules its doubt.
            " coalesce(max(CASE WHEN status NOT IN ('intent', 'in_doubt') THEN status END),"
            " max(CASE WHEN status = 'in_doubt' THEN status END), 'intent') AS status,"
            " max(answered_at) AS answered_at, max(asked_at) AS asked_at, max(http_status) AS http_status,"
            " max(request_id) AS request_id"
            f" FROM {self._calls} WHERE provider = ? GROUP BY call_id, request_hash) AS latest"
            " WHERE (status = 'hit' AND answered_at > ?) OR (status = 'miss' AND answered_at > ?)"
            " OR (status = 'error' AND http_status IS NOT NULL AND answered_at > ?)"
            " OR (status IN ('intent', 'in_doubt') AND asked_at <= ?)"
            # A job that may still be at work is fetched, not repeated: what runs at the same time is free nowhere.
            " OR (status IN ('intent', 'in_doubt') AND (request_id IS NOT NULL OR asked_at > ?))"
            # A vendor without a window has doubt = now; what this very run asked stands after that.
            " OR (status IN ('intent', 'in_doubt') AND ? = 0)",
            (provider, hit, miss, miss, doubt, at_work, terms.free_repeat_days),
        )

    def _within_record_budget(self, stage: Stage, cap: Decimal) -> Query:
        """What the record has cost in this run, the call now and its verification stay within `cap`.

        A call that serves many records counts in full for each.
        """
        price = self.greatest(stage)
        spent, params = [], list[Scalar]()
        for i, each in enumerate(self.spec.stages[: self.spec.stages.index(stage)]):
            spent.append(
                f"coalesce((SELECT {_COST} FROM {self._calls} k WHERE k.run_id = ? AND k.provider = ?"
                f" AND k.status <> 'intent' AND k.request_hash = c.hash_{i}), 0)"
            )
            params += [self.run_id, each.provider]
            for field, verifier in each.verify.items():
                hash_ = self._hash(self.providers[verifier].inputs, {field: "v.value"})
                spent.append(
                    f"coalesce((SELECT {_COST} FROM {self._values} v JOIN {self._calls} k ON k.request_hash = {hash_}"
                    " WHERE v.entity = ? AND v.key = c.key AND v.field = ? AND v.provider = ? AND k.run_id = ?"
                    " AND k.provider = ? AND k.status <> 'intent'), 0)"
                )
                params += [self.entity, field, each.provider, self.run_id, verifier]
        total = " + ".join([*spent, "CAST(? AS DECIMAL(18,6))"])
        return Query(f" AND {total} <= CAST(? AS DECIMAL(18,6))", (*params, price, cap))

    def _unverified(self, field: str, verifier: str) -> Query:
        i = list(self.spec.fields).index(field)
        hash_ = self._hash(self.providers[verifier].inputs, {field: "v.value"})
        return (
            Query(f"SELECT u.* FROM (SELECT v.key, {hash_} AS request_hash, v.value AS {self._input(field)} FROM (")
            + self._scan(None)
            + ") AS e LEFT JOIN ("
            + self._accepted()
            + f") AS a ON a.key = e.key JOIN {self._values} v ON v.key = e.key"
            + Query(
                " WHERE v.entity = ? AND v.field = ? AND v.rejected_reason = 'not_verified'"
                " AND (v.expires_at IS NULL OR v.expires_at > ?)"
                f" AND e.blank_{i} = 1 AND (coalesce(a.got_{i}, 0) = 0 OR e.audited = 1)) AS u",
                (self.entity, field, naive(self.now)),
            )
            + " WHERE NOT EXISTS (SELECT 1 FROM ("
            + self._ended(verifier)
            + ") AS b WHERE b.request_hash = u.request_hash)"
        )

    def greatest(self, stage: Stage) -> Decimal:
        """The most that one question of this stage may cost, verification of what it finds included."""
        verifiers = (self.providers[name].greatest_usd for name in stage.verify.values())
        return self.providers[stage.provider].greatest_usd + sum(verifiers, Decimal(0))

    def _sufficient(self, provider: ProviderSpec) -> str:
        groups = [g for g in provider.sufficient if all(n in self.spec.inputs for n in g)]
        return " OR ".join(
            "(" + " AND ".join(f"e.{self._input(n)} IS NOT NULL" for n in group) + ")" for group in groups
        )

    def _hash(self, names: Sequence[str], columns: Mapping[str, str]) -> str:
        """Over all inputs of the provider, present or not, so that every waterfall asks the same under one hash."""
        parts = (
            literal(f"{name}=", self._dialect) + f" || coalesce(lower(trim(CAST({columns[name]} AS VARCHAR))), '')"
            if name in columns
            else literal(f"{name}=", self._dialect)
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
        return f"nullif(trim(CAST({ident(column, self._dialect)} AS VARCHAR)), '')"

    def _input(self, name: str) -> str:
        return ident(f"in_{name}", self._dialect)

    def _text(self, value: str) -> Query:
        return Query("?", (value,))

    def _before(self, days: int) -> datetime:
        return naive(self.now) - timedelta(days=days)

    def _count(self, query: Query) -> int:
        return int(cast(int, self.warehouse.rows(query.sql, query.params)[0][0]))

    def _grouped(self, query: Query, names: Sequence[str], asked: Sequence[str]) -> Iterator[Question]:
        """Rows come ordered by hash, so equal questions are neighbours, also across two pieces of the stream."""
        open_: Question | None = None
        keys: dict[str, None] = {}
        for batch in self.warehouse.stream(query.sql, query.params):
            cells = {name: batch.column(f"in_{name}").to_pylist() for name in names}
            hashes, found = batch.column("request_hash").to_pylist(), batch.column("key").to_pylist()
            for i, request_hash in enumerate(hashes):
                if open_ is None or open_.request_hash != request_hash:
                    if open_ is not None:
                        yield replace(open_, keys=tuple(keys))
                    identity = {name: cells[name][i] for name in names if cells[name][i]}
                    inputs = {name: identity[name] for name in asked if name in identity}
                    open_, keys = Question(request_hash, (), inputs, identity), {}
                keys[found[i]] = None
        if open_ is not None:
            yield replace(open_, keys=tuple(keys))


_COST = "sum(coalesce(k.charged_usd, k.expected_usd))"

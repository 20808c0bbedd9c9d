"""The SQL of a waterfall: who still lacks what, and has no fresh answer. All set logic is here, in the warehouse.

Two lookups are the same question where the provider's inputs are equal but for letter case and outer blanks: they
share a `request_hash` and are asked once.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from typing import Any, cast

from revetl.enrich.audit import sampled
from revetl.enrich.known import COST, Known
from revetl.enrich.parts import Part
from revetl.enrich.query import Query, Question
from revetl.enrich.spec import Stage, WaterfallSpec
from revetl.errors import ConfigError
from revetl.model import Relation
from revetl.providers.spec import ProviderSpec
from revetl.state.appending import naive
from revetl.state.schema import relation
from revetl.state.values import VERIFICATION
from revetl.warehouse.base import Warehouse
from revetl.warehouse.sql import from_dialect, ident, literal, table


class Questions:
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
        part: Part | None = None,
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
        self._known = Known(warehouse, spec, providers, entity=entity, now=now)
        self._limit = limit
        self._part = part

    # --- what is asked ---

    def count(self, stage: Stage) -> int:
        """How many calls the stage would make now, were all of them allowed."""
        return self._count(Query("SELECT count(DISTINCT request_hash) FROM (") + self._open(stage) + ") AS open_")

    def stream(self, stage: Stage) -> Iterator[Question]:
        """The stage's questions, each once, in bounded memory."""
        query = self._open(stage) + " ORDER BY request_hash, key"
        terms = self.providers[stage.provider]
        # Nothing of the people at a company leaves with a question about the company.
        names = tuple(n for n in self.spec.inputs if terms.entity == "person" or n in terms.inputs)
        return self._grouped(query, names, terms.inputs)

    def reusable(self, stage: Stage) -> Iterator[tuple[Any, ...]]:
        """Values that a fresh answer gave to an equal question of another record, and that this one has not yet:
        (key, field, value, confidence, verification, call_id, observed_at, expires_at)."""
        query = self._reusable(stage) + " ORDER BY key"
        for batch in self.warehouse.stream(query.sql, query.params):
            yield from zip(*(column.to_pylist() for column in batch.columns), strict=True)

    def _reusable(self, stage: Stage) -> Query:
        fills = self.spec.fills(stage, self.providers[stage.provider])
        return (
            Query(
                "SELECT c.key, v.field, v.value, v.confidence, v.verification, v.call_id, v.observed_at, v.expires_at"
                " FROM ("
            )
            + self._lacking(stage)
            + ") AS c JOIN ("
            + self._known.hits(stage.provider, fills)
            + ") AS l ON l.request_hash = c.request_hash JOIN (SELECT DISTINCT call_id, field, value, confidence,"
            + Query(
                f" verification, observed_at, expires_at FROM {self._values} WHERE provider = ? AND entity <> ?"
                " AND expires_at > ?) AS v ON v.call_id = l.call_id",
                (stage.provider, VERIFICATION, naive(self.now)),
            )
            + Query(
                f" WHERE NOT EXISTS (SELECT 1 FROM {self._values} o WHERE o.entity = ?"
                " AND o.key = c.key AND o.call_id = v.call_id)",
                (self.entity,),
            )
        )

    def in_flight(self, stage: Stage) -> int:
        """How many questions of the stage other runs ask at this moment."""
        return self._count(
            Query("SELECT count(DISTINCT c.request_hash) FROM (")
            + self._lacking(stage)
            + ") AS c JOIN ("
            + self._known.latest(stage.provider)
            + ") AS l ON l.request_hash = c.request_hash WHERE l.status = 'intent'"
        )

    def unverified_in_flight(self, field: str, verifier: str) -> int:
        """How many of the values that wait for `verifier` other runs have verified at this moment."""
        return self._count(
            Query("SELECT count(DISTINCT u.request_hash) FROM (")
            + self._waiting(field, verifier)
            + ") AS u JOIN ("
            + self._known.latest(verifier)
            + ") AS l ON l.request_hash = u.request_hash WHERE l.status = 'intent'"
        )

    def asked_lately(self, provider: str, hashes: Sequence[str]) -> set[str]:
        """Of these questions those that somebody asks now, or has an answer to since a moment ago."""
        query = self._known.asked_lately(provider, hashes)
        return {str(row[0]) for row in self.warehouse.rows(query.sql, query.params)}

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
        able = []
        for i, stage in enumerate(self.spec.stages):
            condition = "1 = 1" if stage.when is None else self._written(stage.when)
            more.append(f"CASE WHEN ({condition}) THEN 1 ELSE 0 END AS when_{i}")
            enough = self._sufficient(self.providers[stage.provider])
            able.append(f"CASE WHEN e.when_{i} = 1 AND ({enough}) THEN 1 ELSE 0 END AS able_{i}")
        return Query(f"SELECT e.*, {', '.join(able)} FROM (") + self._scan(None, *more) + ") AS e"

    def cohorts(self) -> Iterator[tuple[list[int], list[int], bool, int]]:
        """Records that are alike for a forecast: (lacks per field, may be asked per stage, audited, their number).

        A field that an answer which is already paid for will fill is not lacking any more.
        """
        lacks, joins, opens = [], Query(""), []
        for n, stage in enumerate(self.spec.stages):
            joins = joins + " LEFT JOIN (SELECT DISTINCT key FROM (" + self._open(stage)
            joins = joins + f") AS s_{n}) AS open_{n} ON open_{n}.key = e.key LEFT JOIN ("
            joins = joins + self._given(stage) + f") AS given_{n} ON given_{n}.key = e.key"
            opens.append(f"CASE WHEN open_{n}.key IS NULL THEN 0 ELSE 1 END AS may_{n}")
        stages = range(len(opens))
        for i, _ in enumerate(self.spec.fields):
            given = "".join(f" AND coalesce(given_{n}.got_{i}, 0) = 0" for n in stages)
            lacks.append(
                f"CASE WHEN e.blank_{i} = 1 AND coalesce(a.got_{i}, 0) = 0{given} THEN 1 ELSE 0 END AS lacks_{i}"
            )
        flags = [f"lacks_{i}" for i, _ in enumerate(lacks)] + [f"may_{n}" for n in stages] + ["audited"]
        query = (
            Query(f"SELECT {', '.join(flags)}, count(*) FROM (SELECT {', '.join([*lacks, *opens])}, e.audited FROM (")
            + self._scan(None)
            + ") AS e LEFT JOIN ("
            + self._known.found()
            + ") AS a ON a.key = e.key"
            + joins
            + f") AS r GROUP BY {', '.join(flags)} ORDER BY {', '.join(flags)}"
        )
        for row in self.warehouse.rows(query.sql, query.params):
            cells = [int(cast(int, cell)) for cell in row]
            yield cells[: len(lacks)], cells[len(lacks) : -2], bool(cells[-2]), cells[-1]

    def _given(self, stage: Stage) -> Query:
        """key → fields (got_i) that an answer to an equal question will fill without a call."""
        flags = []
        for i, (name, want) in enumerate(self.spec.fields.items()):
            good = f"field = {literal(name, self._dialect)} AND coalesce(verification, '') <> 'invalid'"
            good += f" AND (confidence IS NULL OR confidence >= {float(want.accept.min_confidence)!r})"
            good += " AND verification = 'valid'" if want.accept.verified else ""
            flags.append(f"max(CASE WHEN {good} THEN 1 ELSE 0 END) AS got_{i}")
        query = self._reusable(stage)
        return Query(f"SELECT key, {', '.join(flags)} FROM (") + query + ") AS reused GROUP BY key"

    # --- pieces ---

    def _open(self, stage: Stage) -> Query:
        """One row per record and question of the stage that is neither answered nor in flight."""
        provider = self.providers[stage.provider]
        # A question may be open for one field and answered for another.
        parts = []
        for i in self._places(stage):
            name = list(self.spec.fields)[i]
            parts.append(Query(f"(c.lacks_{i} = 1 AND ") + self._known.still_open(provider.name, [name], "b") + ")")
        query = Query("SELECT c.* FROM (") + self._lacking(stage) + ") AS c LEFT JOIN ("
        query = query + self._known.answered(stage.provider) + ") AS b ON b.request_hash = c.request_hash WHERE ("
        for n, part in enumerate(parts):
            query = query + (" OR " if n else "") + part
        query = query + ")"
        cap = self.spec.budget.per_record_usd
        return query if cap is None else query + self._within_record_budget(stage, cap)

    def _places(self, stage: Stage) -> list[int]:
        fields = list(self.spec.fields)
        return [fields.index(f) for f in self.spec.fills(stage, self.providers[stage.provider])]

    def _lacking(self, stage: Stage) -> Query:
        """Records of the stage's condition, with inputs enough, that lack a field which it fills (lacks_i). Of those
        that are audited, all that lacked one before anybody was asked."""
        provider = self.providers[stage.provider]
        lacks = {
            i: f"e.blank_{i} = 1 AND (coalesce(a.got_{i}, 0) = 0 OR e.audited = 1) AND coalesce(r.burned_{i}, 0) = 0"
            for i in self._places(stage)
        }
        flags = "".join(f", CASE WHEN {lack} THEN 1 ELSE 0 END AS lacks_{i}" for i, lack in lacks.items())
        inputs = "".join(f", e.{self._input(name)}" for name in self.spec.inputs)
        earlier = "".join(f", e.hash_{i}" for i, _ in enumerate(self.spec.stages))
        here = self.spec.stages.index(stage)
        return (
            Query(f"SELECT e.key, e.hash_{here} AS request_hash{inputs}{earlier}{flags} FROM (")
            + self._scan(stage)
            + ") AS e LEFT JOIN ("
            + self._known.found()
            + ") AS a ON a.key = e.key LEFT JOIN ("
            + self._known.burned(stage.provider)
            + f") AS r ON r.request_hash = e.hash_{here} WHERE ({self._sufficient(provider)})"
            + " AND ("
            + " OR ".join(f"({lack})" for lack in lacks.values())
            + ")"
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
        if self._part is not None:
            source += f" AND {self._part.condition(f'CAST({key} AS VARCHAR)')}"
        condition = f" AND ({self._written(stage.when)})" if stage is not None and stage.when else ""
        return Query(f"SELECT {', '.join(cells)} {source}{condition}")

    def _within_record_budget(self, stage: Stage, cap: Decimal) -> Query:
        """What the record has cost in this run, the call now and its verification stay within `cap`.

        A call that serves many records counts in full for each.
        """
        query = Query(" AND ")
        for i, each in enumerate(self.spec.stages[: self.spec.stages.index(stage)]):
            query = query + self._known.cost(self.run_id, each.provider, f"c.hash_{i}") + " + "
            for field, verifier in each.verify.items():
                hash_ = self._hash(self.providers[verifier].inputs, {field: "v.value"})
                query = query + Query(
                    f"coalesce((SELECT {COST} FROM {self._values} v JOIN {self._calls} k ON k.request_hash = {hash_}"
                    " WHERE v.entity = ? AND v.key = c.key AND v.field = ? AND v.provider = ? AND k.run_id = ?"
                    " AND k.provider = ? AND k.status <> 'intent'), 0) + ",
                    (self.entity, field, each.provider, self.run_id, verifier),
                )
        price = self.greatest(stage)
        return query + Query("CAST(? AS DECIMAL(18,6)) <= CAST(? AS DECIMAL(18,6))", (price, cap))

    def _unverified(self, field: str, verifier: str) -> Query:
        """Values that wait for `verifier` and that it may be asked about."""
        return (
            Query("SELECT u.* FROM (")
            + self._waiting(field, verifier)
            + ") AS u LEFT JOIN ("
            + self._known.answered(verifier)
            + ") AS b ON b.request_hash = u.request_hash WHERE "
            + self._known.still_open(verifier, [field], "b")
        )

    def _waiting(self, field: str, verifier: str) -> Query:
        """Values that nobody has verified, of records that still lack the field."""
        i = list(self.spec.fields).index(field)
        hash_ = self._hash(self.providers[verifier].inputs, {field: "v.value"})
        return (
            Query(f"SELECT v.key, {hash_} AS request_hash, v.value AS {self._input(field)} FROM (")
            + self._scan(None)
            + ") AS e LEFT JOIN ("
            + self._known.found()
            + f") AS a ON a.key = e.key JOIN {self._values} v ON v.key = e.key"
            + Query(
                " WHERE v.entity = ? AND v.field = ? AND v.rejected_reason = 'not_verified'"
                " AND (v.expires_at IS NULL OR v.expires_at > ?)"
                f" AND e.blank_{i} = 1 AND (coalesce(a.got_{i}, 0) = 0 OR e.audited = 1)",
                (self.entity, field, naive(self.now)),
            )
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

    def _grouped(self, query: Query, names: Sequence[str], asked: Sequence[str]) -> Iterator[Question]:
        """Rows come ordered by hash, so equal questions are neighbours, also across two pieces of the stream."""
        open_: Question | None = None
        keys: dict[str, None] = {}
        people: dict[tuple[tuple[str, str], ...], None] = {}
        for batch in self.warehouse.stream(query.sql, query.params):
            cells = {name: batch.column(f"in_{name}").to_pylist() for name in names}
            hashes, found = batch.column("request_hash").to_pylist(), batch.column("key").to_pylist()
            for i, request_hash in enumerate(hashes):
                identity = {name: cells[name][i] for name in names if cells[name][i]}
                if open_ is None or open_.request_hash != request_hash:
                    if open_ is not None:
                        yield _whole(open_, keys, people)
                    inputs = {name: identity[name] for name in asked if name in identity}
                    open_, keys, people = Question(request_hash, (), inputs, ()), {}, {}
                keys[found[i]] = None
                people[tuple(identity.items())] = None
        if open_ is not None:
            yield _whole(open_, keys, people)


def _whole(question: Question, keys: Iterable[str], people: Iterable[tuple[tuple[str, str], ...]]) -> Question:
    return replace(question, keys=tuple(keys), identities=tuple(dict(identity) for identity in people))

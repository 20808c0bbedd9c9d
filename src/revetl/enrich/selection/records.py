"""The records of a waterfall, as SQL: who they are, what they lack, which questions can be asked about them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import cast

from revetl.clock import naive
from revetl.enrich.selection.ledger import LedgerSelection
from revetl.enrich.selection.query import Query, compose
from revetl.enrich.selection.scope import Scope
from revetl.enrich.waterfall import Stage
from revetl.errors import ConfigError
from revetl.providers.grammar import ProviderSpec
from revetl.state.schema import relation
from revetl.state.values import OWN
from revetl.warehouse.sql import from_dialect, ident, literal, table

_DIGITS = 8
_MANY_KEYS = 500  # in one statement


class RecordSelection:
    """The records of one scope."""

    def __init__(self, scope: Scope) -> None:
        self._scope = scope
        self.warehouse = scope.warehouse
        self.spec = scope.spec
        self.providers = scope.providers
        self.entity = scope.entity
        self.run_id = scope.run_id
        self.now = scope.now
        self._dialect = scope.warehouse.dialect
        self._calls = table(relation(scope.warehouse, "enrichment_calls"))
        self._values = table(relation(scope.warehouse, "enrichment_values"))
        self._source = table(scope.relation)
        self._ledger = LedgerSelection(scope)
        self._limit = scope.limit
        self._partition = scope.partition
        self._doubted_own = scope.doubted_own
        self._suppressed = scope.suppressed
        self._any_asked: dict[str, bool] = {}

    @property
    def is_list(self) -> bool:
        return self.entity != self.spec.entity

    def filled(self) -> dict[str, tuple[int, int]]:
        """field → (records, those that hold a value)."""
        flags = (f"CASE WHEN blank_{i} = 0 OR coalesce(got_{i}, 0) = 1 THEN 1 ELSE 0 END" for i, _ in self._fields())
        query = compose(
            """
            SELECT count(*), {filled}
            FROM ({records}) AS e
            LEFT JOIN ({accepted}) AS a ON a.key = e.key
            """,
            filled=", ".join(f"sum({flag})" for flag in flags),
            records=self._scan(None),
            accepted=self._ledger.accepted_fields(),
        )
        total, *filled = self.warehouse.numbers(query.sql, query.params)
        return {field: (total, n) for field, n in zip(self.spec.fields, filled, strict=True)}

    def filled_by(self) -> dict[tuple[str, str], int]:
        """(field, provider) → records whose blank an accepted value of that provider fills."""
        blank = " OR ".join(f"(v.field = {literal(field)} AND e.blank_{i} = 1)" for i, field in self._fields())
        query = compose(
            """
            SELECT v.field, v.provider, count(DISTINCT v.key)
            FROM ({records}) AS e
            JOIN {values} v ON v.key = e.key
            WHERE {stands}
              AND ({blank})
            GROUP BY v.field, v.provider
            ORDER BY v.field, v.provider
            """,
            records=self._scan(None),
            values=self._values,
            stands=Query(
                "v.entity = ? AND v.rejected_reason IS NULL AND (v.expires_at IS NULL OR v.expires_at > ?)",
                (self.entity, naive(self.now)),
            ),
            blank=blank,
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
        return compose(
            "SELECT e.*, {able} FROM ({records}) AS e", able=", ".join(able), records=self._scan(None, *more)
        )

    def identity(self, key: str) -> dict[str, str]:
        """All inputs that are known of a record; empty where there is no such record any more."""
        query = compose(
            "SELECT {inputs} FROM ({records}) AS e WHERE e.key = {key}",
            inputs=", ".join(f"e.{self._input(name)}" for name in self.spec.inputs),
            records=self._scan(None),
            key=Query("?", (key,)),
        )
        rows = self.warehouse.rows(query.sql, query.params)
        found = zip(self.spec.inputs, rows[0], strict=True) if rows else ()
        return {name: str(value) for name, value in found if value}

    def lacking(self, keys: Sequence[str]) -> dict[str, set[str]]:
        """key → fields that the record lacks still; without records that are not there, or lack nothing."""
        found: dict[str, set[str]] = {}
        cells = [
            f"CASE WHEN e.blank_{i} = 1 AND coalesce(a.got_{i}, 0) = 0 THEN 1 ELSE 0 END" for i, _ in self._fields()
        ]
        for first in range(0, len(keys), _MANY_KEYS):
            some = keys[first : first + _MANY_KEYS]
            query = compose(
                """
                SELECT e.key, {cells}
                FROM ({records}) AS e
                LEFT JOIN ({found}) AS a ON a.key = e.key
                WHERE e.key IN ({keys})
                """,
                cells=", ".join(cells),
                records=self._scan(None),
                found=self._ledger.found_fields(),
                keys=Query(", ".join("?" for _ in some), tuple(some)),
            )
            for key, *flags in self.warehouse.rows(query.sql, query.params):
                lacks = {field for (_, field), flag in zip(self._fields(), flags, strict=True) if flag}
                if lacks:
                    found[str(key)] = lacks
        return found

    def bounds(self, partitions: int) -> list[str]:
        """The last keys of so many equal partitions but the last one's, as text and in its order."""
        query = compose(
            """
            SELECT max(key)
            FROM (
                SELECT key, ntile(CAST({partitions} AS INTEGER)) OVER (ORDER BY key) AS part
                FROM ({records}) AS e
            ) AS cut
            GROUP BY part
            ORDER BY part
            """,
            partitions=Query("?", (partitions,)),
            records=self._scan(None),
        )
        return [str(row[0]) for row in self.warehouse.rows(query.sql, query.params)][:-1]

    # --- pieces ---

    def _fields(self) -> list[tuple[int, str]]:
        """Wanted fields with their place, by which columns are named: blank_0, got_0."""
        return list(enumerate(self.spec.fields))

    def _scan(self, stage: Stage | None, *more: str) -> Query:
        """One row per record: key, whether it is audited, its inputs (in_<name>) as text, per field whether it is
        blank (blank_i); and `more`. Of a stage also its question and those that its price depends on (hash_i), and only
        the records that its condition holds for."""
        key = ident(self.spec.key, self._dialect)
        # Lists have no audit: their answers would not be looked at again.
        share = 0.0 if self.is_list else self.spec.audit.share
        audited = in_sample(f"CAST({key} AS VARCHAR)", share)
        cells = [f"CAST({key} AS VARCHAR) AS key", f"CASE WHEN {audited} THEN 1 ELSE 0 END AS audited", *more]
        cells += [f"{self._clean(column)} AS {self._input(name)}" for name, column in self.spec.inputs.items()]
        for i, field in self._fields():
            lacks = f"{self._clean(self.spec.column(field))} IS NULL"
            if self.is_list and field in self.spec.verified_fields():
                lacks += f" OR CAST({key} AS VARCHAR) IN ({self._false_own(field)})"
            cells.append(f"CASE WHEN {lacks} THEN 1 ELSE 0 END AS blank_{i}")
        if stage is not None:
            cells += [f"{self._question(i)} AS hash_{i}" for i in self._questions_of(stage)]
        return compose("SELECT {cells} {source}", cells=", ".join(cells), source=self._from(stage))

    def _false_own(self, field: str) -> str:
        """Keys of which the list's own value was found false."""
        reasons = "'invalid', 'catch_all'" + (", 'not_verified'" if self._doubted_own else "")
        return f"""
            SELECT key
            FROM {self._values}
            WHERE entity = {literal(self.entity)}
              AND field = {literal(field)}
              AND provider = {literal(OWN)}
              AND rejected_reason IN ({reasons})
            """

    def _from(self, stage: Stage | None) -> Query:
        key = ident(self.spec.key, self._dialect)
        source = f"FROM {self._source} WHERE {key} IS NOT NULL"
        if self._limit is not None:
            source = f"FROM (SELECT * {source} ORDER BY {key} LIMIT {int(self._limit)}) AS first_ WHERE TRUE"
        condition = f" AND ({self._written(stage.when)})" if stage is not None and stage.when else ""
        return Query(source) + self._partition.condition(f"CAST({key} AS VARCHAR)") + condition

    def _may_ask_about(self, provider: str, key: str) -> Query:
        """` AND …`: the provider may be asked about the record; empty where it may be about all."""
        if self._suppressed is None:
            return Query("")
        return Query(
            f" AND {key} NOT IN (SELECT key FROM {table(self._suppressed)} WHERE provider = ?)",
            (provider,),
        )

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
        inputs = (
            literal(f"{name}=") + f" || coalesce(lower(trim(CAST({columns[name]} AS VARCHAR))), '')"
            if name in columns
            else literal(f"{name}=")
            for name in sorted(names)
        )
        return f"md5({' || chr(31) || '.join(inputs)})"

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

    def _count_all(self) -> int:
        query = compose("SELECT count(*) FROM ({records}) AS e", records=self._scan(None))
        return self.warehouse.scalar(query.sql, int, query.params)

    # --- rows of (key, request_hash, inputs), as questions ---

    def _count_questions(self, query: Query) -> int:
        counted = compose("SELECT count(DISTINCT request_hash) FROM ({rows}) AS counted", rows=query)
        return self.warehouse.scalar(counted.sql, int, counted.params)

    def _among_in_flight(self, questions: Query, calls: Query) -> Query:
        return compose(
            """
            SELECT c.request_hash
            FROM ({questions}) AS c
            JOIN ({calls}) AS l ON l.request_hash = c.request_hash
            WHERE l.status = 'intent'
            """,
            questions=questions,
            calls=calls,
        )


def in_sample(key: str, share: float) -> str:
    """SQL condition over `key`, a SQL expression of text: whether the record is asked of every provider, to learn what
    the order hides. A waterfall asks a later provider only what the earlier ones missed, so the ledger of one order
    can't say what another order would find.

    Drawn by the hash of the key, and so the same in every run; a greater share holds all records of a smaller one.
    """
    if share <= 0:
        return "1 = 0"
    if share >= 1:
        return "1 = 1"
    limit = f"{round(share * 16**_DIGITS):0{_DIGITS}x}"
    return f"substr(md5('audit:' || {key}), 1, {_DIGITS}) < '{limit}'"

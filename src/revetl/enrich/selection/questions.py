"""The SQL of a waterfall: who still lacks what, and has no fresh answer. All set logic is here, in the warehouse.

Two lookups are the same question where the provider's inputs are equal but for letter case and outer blanks: they
share a `request_hash` and are asked once.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any, cast

from revetl.clock import naive
from revetl.enrich.execution.partitions import EVERYTHING
from revetl.enrich.selection.ledger import COST
from revetl.enrich.selection.query import Query, Question
from revetl.enrich.selection.records import Records
from revetl.enrich.waterfall import Stage
from revetl.state.values import VERIFICATION
from revetl.warehouse.sql import literal


class Questions(Records):
    """What may be asked about them, and what is known already."""

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
                "SELECT DISTINCT c.key, v.field, v.value, v.confidence, v.verification, v.call_id, v.observed_at,"
                " v.expires_at FROM ("
            )
            + self._lacking(stage)
            + ") AS c JOIN ("
            + self._known.hits(stage.provider, fills, self._hashes(stage))
            + f") AS l ON l.request_hash = c.request_hash JOIN {self._values} v ON v.call_id = l.call_id"
            + Query(
                " WHERE v.provider = ? AND v.entity <> ? AND v.expires_at > ?"
                f" AND NOT EXISTS (SELECT 1 FROM {self._values} o WHERE o.entity = ?",
                (stage.provider, VERIFICATION, naive(self.now), self.entity),
            )
            + self._part.condition("o.key")
            + " AND o.key = c.key AND o.call_id = v.call_id)"
        )

    def in_flight(self, stage: Stage) -> int:
        """How many questions of the stage other runs ask at this moment."""
        return self._count(
            Query("SELECT count(DISTINCT c.request_hash) FROM (")
            + self._lacking(stage)
            + ") AS c JOIN ("
            + self._known.latest(stage.provider, self._hashes(stage))
            + ") AS l ON l.request_hash = c.request_hash WHERE l.status = 'intent'"
        )

    def unverified_in_flight(self, field: str, verifier: str) -> int:
        """How many of the values that wait for `verifier` other runs have verified at this moment."""
        return self._count(
            Query("SELECT count(DISTINCT u.request_hash) FROM (")
            + self._waiting(field, verifier)
            + ") AS u JOIN ("
            + self._known.latest(verifier, self._said_hashes(field, verifier))
            + ") AS l ON l.request_hash = u.request_hash WHERE l.status = 'intent'"
        )

    def others_ask(self, provider: str) -> bool:
        """Whether another run has a question under way at this provider, be it one of ours or not."""
        query = self._known.others_ask(provider, self.run_id)
        return bool(self.warehouse.rows(query.sql, query.params))

    def asked_lately(self, provider: str, hashes: Sequence[str]) -> set[str]:
        """Of these questions those that somebody asks now, or has an answer to since a moment ago."""
        query = self._known.asked_lately(provider, hashes)
        return {str(row[0]) for row in self.warehouse.rows(query.sql, query.params)}

    def count_waiting(self, field: str, verifier: str) -> int:
        """How many values nobody has verified, each once whoever's they are."""
        query = Query("SELECT count(DISTINCT request_hash) FROM (") + self._waiting(field, verifier) + ") AS waiting"
        return self._count(query)

    def count_unverified(self, field: str, verifier: str) -> int:
        query = Query("SELECT count(DISTINCT request_hash) FROM (") + self._unverified(field, verifier) + ") AS open_"
        return self._count(query)

    def stream_unverified(self, field: str, verifier: str) -> Iterator[Question]:
        """Values that wait for `verifier`, each once whoever's they are."""
        query = self._unverified(field, verifier) + " ORDER BY request_hash, key"
        return self._grouped(query, (field,), (field,))

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
        query = query + self._known.answered(stage.provider, self._hashes(stage))
        query = query + ") AS b ON b.request_hash = c.request_hash WHERE ("
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
        questions = "".join(f", e.hash_{i}" for i in self._questions_of(stage))
        here = self.spec.stages.index(stage)
        return (
            Query(f"SELECT e.key, e.hash_{here} AS request_hash{inputs}{questions}{flags} FROM (")
            + self._scan(stage)
            + ") AS e LEFT JOIN ("
            + self._known.found()
            + ") AS a ON a.key = e.key LEFT JOIN ("
            + self._known.burned(stage.provider, self._hashes(stage))
            + f") AS r ON r.request_hash = e.hash_{here} WHERE ({self._sufficient(provider)})"
            + " AND ("
            + " OR ".join(f"({lack})" for lack in lacks.values())
            + ")"
        )

    def _hashes(self, stage: Stage) -> Query | None:
        """The questions of the part's records, so that of a long ledger only their rows are put together."""
        if self._part == EVERYTHING:
            return None
        return Query(f"SELECT {self._question(self.spec.stages.index(stage))} ") + self._from(stage)

    def _said_hashes(self, field: str, verifier: str) -> Query | None:
        """The same for the questions about values that wait."""
        if self._part == EVERYTHING:
            return None
        hash_ = self._hash(self.providers[verifier].inputs, {field: "w.value"})
        waiting = f"SELECT {hash_} FROM {self._values} w WHERE w.entity = ? AND w.field = ?"
        waiting += " AND w.rejected_reason = 'not_verified'"
        return Query(waiting, (self.entity, field)) + self._part.condition("w.key")

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
            + self._known.answered(verifier, self._said_hashes(field, verifier))
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
            + self._part.condition("v.key")
        )

    def greatest(self, stage: Stage) -> Decimal:
        """The most that one question of this stage may cost, verification of what it finds included."""
        verifiers = (self.providers[name].greatest_usd for name in stage.verify.values())
        return self.providers[stage.provider].greatest_usd + sum(verifiers, Decimal(0))

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

"""Which questions a stage may ask now, as SQL: of records that lack something, to which there is no fresh answer.

Two lookups are the same question where the provider's inputs are equal but for letter case and outer blanks: they
share a `request_hash` and are asked once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from decimal import Decimal
from itertools import starmap
from typing import cast

from revetl.clock import naive
from revetl.enrich.selection.identities import Identities
from revetl.enrich.selection.ledger import CHARGED
from revetl.enrich.selection.partition import EVERYTHING
from revetl.enrich.selection.query import Query, compose
from revetl.enrich.selection.question import Question, ReusableValue
from revetl.enrich.selection.records import RecordSelection
from revetl.enrich.waterfall import Stage
from revetl.state.values import VERIFICATION
from revetl.warehouse.sql import literal


class QuestionSelection(RecordSelection):
    """What may be asked about the records of one scope, and what is known already."""

    # --- what is asked ---

    def count(self, stage: Stage) -> int:
        """How many calls the stage would make now, were all of them allowed."""
        return self._count_questions(self._open(stage))

    def count_spared(self, stage: Stage) -> int:
        """How many more they would be, had the provider not been asked about the same people with other inputs."""
        if not self._by_identity(stage):
            return 0
        own = self._ledger.answered(stage.provider, self._hashes(stage))
        return self._count_questions(self._open(stage, own)) - self.count(stage)

    def count_again(self, stage: Stage) -> int:
        """How many of them are about people whom the provider was asked about with other inputs."""
        if not self._by_identity(stage):
            return 0
        again = compose(
            "SELECT request_hash FROM ({open}) AS o WHERE request_hash IN (SELECT request_hash FROM ({same}) AS s)",
            open=self._open(stage),
            same=self._same(stage),
        )
        return self._count_questions(again)

    def count_records(self, stage: Stage) -> int:
        """Of how many records these calls are: equal questions are one call."""
        query = compose("SELECT count(*) FROM ({open}) AS counted", open=self._open(stage))
        return self.warehouse.scalar(query.sql, int, query.params)

    def stream(self, stage: Stage) -> Iterator[Question]:
        """The stage's questions, each once, in bounded memory."""
        provider = self.providers[stage.provider]
        identities = self._identities(stage)
        digests = identities.digests(self._input_of("o"))
        # Of a list, who is best known is asked about first: others that name the same person need no call then.
        known = " + ".join(f"CASE WHEN {sql} IS NULL THEN 0 ELSE 1 END" for sql in digests.values())
        query = compose(
            """
            SELECT o.*, {digests}
            FROM ({open}) AS o
            ORDER BY {best_known} request_hash, key
            """,
            digests=", ".join(f"{sql} AS id_{n}" for n, sql in enumerate(digests.values())),
            open=self._open(stage),
            best_known=f"({known}) DESC, " if self.is_list else "",
        )
        # Nothing of the people at a company leaves with a question about the company.
        names = tuple(n for n in self.spec.inputs if provider.entity == "person" or n in provider.inputs)
        return self._grouped(query, names, provider.inputs, identities.names)

    def in_flight(self, stage: Stage) -> int:
        """How many questions of the stage other runs ask at this moment."""
        calls = self._ledger.latest(stage.provider, self._hashes(stage))
        return self._count_questions(self._among_in_flight(self._lacking(stage), calls))

    def others_ask(self, provider: str) -> bool:
        """Whether another run has a question in flight at this provider, be it one of ours or not."""
        query = self._ledger.others_ask(provider, self.run_id)
        return bool(self.warehouse.rows(query.sql, query.params))

    def asked_lately(self, provider: str, hashes: Sequence[str]) -> set[str]:
        """Of these questions those that somebody asks now, or has an answer to since a moment ago."""
        query = self._ledger.asked_lately(provider, hashes)
        return {str(row[0]) for row in self.warehouse.rows(query.sql, query.params)}

    def greatest(self, stage: Stage) -> Decimal:
        """The most that one question of this stage may cost, verification of what it finds included."""
        verifiers = (self.providers[name].greatest_usd for name in stage.verify.values())
        return self.providers[stage.provider].greatest_usd + sum(verifiers, Decimal(0))

    def share_found_false(self) -> float:
        """Of the values that a verifier was asked about, those that it found false; one in seven until many are."""
        query = f"""
            SELECT count(*), sum(CASE WHEN verification IN ('invalid', 'catch_all') THEN 1 ELSE 0 END)
            FROM {self._values}
            WHERE entity = ? AND verification IS NOT NULL
            """
        asked, false = self.warehouse.numbers(query, [VERIFICATION])
        return (false + 3) / (asked + 21)

    # --- what is known already ---

    def reusable(self, stage: Stage) -> Iterator[ReusableValue]:
        """Values that a fresh answer gave to an equal question of another record, and that this one has not yet,
        ordered by key."""
        query = self._reusable(stage) + " ORDER BY key"
        for batch in self.warehouse.stream(query.sql, query.params):
            yield from starmap(ReusableValue, zip(*(column.to_pylist() for column in batch.columns), strict=True))

    def cohorts(self) -> Iterator[tuple[list[int], list[int], bool, int]]:
        """Records that are alike for a forecast: (lacks per field, may be asked per stage, audited, their number).

        A field that an answer which is already paid for will fill is not lacking any more.
        """
        joins, stages = Query(""), range(len(self.spec.stages))
        for n, stage in enumerate(self.spec.stages):
            joins += compose(
                """
                LEFT JOIN (SELECT DISTINCT key FROM ({open}) AS s) AS open_{n} ON open_{n}.key = e.key
                LEFT JOIN ({given}) AS given_{n} ON given_{n}.key = e.key
                """,
                open=self._open(stage),
                given=self._given(stage),
                n=str(n),
            )
        flags = []
        for i, _ in self._fields():
            given = "".join(f" AND coalesce(given_{n}.got_{i}, 0) = 0" for n in stages)
            lacking = f"e.blank_{i} = 1 AND coalesce(a.got_{i}, 0) = 0{given}"
            flags.append(f"CASE WHEN {lacking} THEN 1 ELSE 0 END AS lacks_{i}")
        flags += [f"CASE WHEN open_{n}.key IS NULL THEN 0 ELSE 1 END AS may_{n}" for n in stages]
        names = [*(f"lacks_{i}" for i, _ in self._fields()), *(f"may_{n}" for n in stages), "audited"]
        query = compose(
            """
            SELECT {names}, count(*)
            FROM (
                SELECT {flags}, e.audited
                FROM ({records}) AS e
                LEFT JOIN ({found}) AS a ON a.key = e.key
                {joins}
            ) AS r
            GROUP BY {names}
            ORDER BY {names}
            """,
            names=", ".join(names),
            flags=", ".join(flags),
            records=self._scan(None),
            found=self._ledger.found_fields(),
            joins=joins,
        )
        fields = len(self.spec.fields)
        for row in self.warehouse.rows(query.sql, query.params):
            cells = [int(cast(int, cell)) for cell in row]
            yield cells[:fields], cells[fields:-2], bool(cells[-2]), cells[-1]

    # --- pieces ---

    def _open(self, stage: Stage, answered: Query | None = None) -> Query:
        """One row per record and question of the stage that is neither answered nor in flight. `answered`: by what is
        known of them; None: by all that is."""
        may_ask = Query("")
        for n, i in enumerate(self._places(stage)):
            # A question may be open for one field and answered for another.
            field = list(self.spec.fields)[i]
            may_ask += compose(
                "{or_}(c.lacks_{i} = 1 AND {still_open})",
                or_=" OR " if n else "",
                i=str(i),
                still_open=self._ledger.still_open(stage.provider, [field], "b"),
            )
        costs, within_budget = self._record_budget(stage)
        return compose(
            """
            SELECT c.*
            FROM ({lacking}) AS c
            LEFT JOIN ({answered}) AS b ON b.request_hash = c.request_hash
            {costs}
            WHERE ({may_ask})
            {within_budget}
            """,
            lacking=self._lacking(stage),
            answered=answered or self._answered(stage),
            costs=costs,
            may_ask=may_ask,
            within_budget=within_budget,
        )

    def _answered(self, stage: Stage) -> Query:
        """What is known of the stage's questions; of a list's also by what others named the same people."""
        own = self._ledger.answered(stage.provider, self._hashes(stage))
        if not self._by_identity(stage):
            return own
        return compose(
            """
            WITH same AS ({same})
            SELECT request_hash, max(hit_at) AS hit_at, max(miss_at) AS miss_at, max(closed) AS closed
            FROM (
                SELECT request_hash, hit_at, miss_at, closed
                FROM ({own}) AS own
                UNION ALL
                SELECT
                    s.request_hash,
                    a.hit_at,
                    CASE WHEN s.whole = 1 THEN a.miss_at END AS miss_at,
                    CASE WHEN s.whole = 1 THEN a.closed ELSE a.pending END AS closed
                FROM same s
                JOIN ({others}) AS a ON a.request_hash = s.earlier
            ) AS known
            GROUP BY request_hash
            """,
            same=self._same(stage),
            own=own,
            others=self._ledger.answered(stage.provider, Query("SELECT earlier FROM same")),
        )

    def _same(self, stage: Stage) -> Query:
        return self._identities(stage).same(self._lacking(stage), self._input_of("q"))

    def _identities(self, stage: Stage) -> Identities:
        return Identities(self.warehouse, self.providers[stage.provider], self.spec.inputs)

    def _by_identity(self, stage: Stage) -> bool:
        """Models have one record for one person; a list has whoever stands in it, with whatever columns."""
        if not self.is_list:
            return False
        if stage.provider not in self._any_asked:
            self._any_asked[stage.provider] = self._identities(stage).any_asked()
        return self._any_asked[stage.provider]

    def _input_of(self, alias: str) -> Callable[[str], str]:
        return lambda name: f"{alias}.{self._input(name)}"

    def _places(self, stage: Stage) -> list[int]:
        fields = list(self.spec.fields)
        return [fields.index(f) for f in self.spec.fills(stage, self.providers[stage.provider])]

    def _lacking(self, stage: Stage) -> Query:
        """Records of the stage's condition, with inputs enough, that lack a field which it fills (lacks_i). Of those
        that are audited, all that lacked one before anybody was asked."""
        lacks = {
            i: f"e.blank_{i} = 1 AND (coalesce(a.got_{i}, 0) = 0 OR e.audited = 1) AND coalesce(r.false_{i}, 0) = 0"
            for i in self._places(stage)
        }
        here = self.spec.stages.index(stage)
        cells = ["e.key", f"e.hash_{here} AS request_hash"]
        cells += [f"e.{self._input(name)}" for name in self.spec.inputs]
        cells += [f"e.hash_{i}" for i in self._questions_of(stage)]
        cells += [f"CASE WHEN {lack} THEN 1 ELSE 0 END AS lacks_{i}" for i, lack in lacks.items()]
        return compose(
            """
            SELECT {cells}
            FROM ({records}) AS e
            LEFT JOIN ({found}) AS a ON a.key = e.key
            LEFT JOIN ({found_false}) AS r ON r.request_hash = e.hash_{here}
            WHERE ({inputs_suffice})
              AND ({lacks_one})
            """,
            cells=", ".join(cells),
            records=self._scan(stage),
            found=self._ledger.found_fields(),
            found_false=self._ledger.found_false(stage.provider, self._hashes(stage)),
            here=str(here),
            inputs_suffice=self._sufficient(self.providers[stage.provider]),
            lacks_one=" OR ".join(f"({lack})" for lack in lacks.values()),
        )

    def _reusable(self, stage: Stage) -> Query:
        fills = self.spec.fills(stage, self.providers[stage.provider])
        hashes, by = self._hashes(stage), Query("")
        if self._by_identity(stage):
            by = compose(
                """
                JOIN (
                    SELECT request_hash, earlier FROM ({same}) AS same
                    UNION
                    SELECT request_hash, request_hash AS earlier FROM ({lacking}) AS own
                ) AS s ON s.request_hash = c.request_hash
                """,
                same=self._same(stage),
                lacking=self._lacking(stage),
            )
            hashes = None
        return compose(
            """
            SELECT DISTINCT
                c.key, v.field, v.value, v.confidence, v.verification, v.call_id, v.observed_at, v.expires_at
            FROM ({lacking}) AS c
            {by}
            JOIN ({hits}) AS l ON l.request_hash = {asked}
            JOIN {values} v ON v.call_id = l.call_id
            WHERE {usable}
              AND NOT EXISTS (
                  SELECT 1
                  FROM {values} o
                  WHERE {own}
                    AND o.key = c.key
                    AND o.call_id = v.call_id
              )
            """,
            lacking=self._lacking(stage),
            by=by,
            hits=self._ledger.hits(stage.provider, fills, hashes),
            asked="s.earlier" if by.sql else "c.request_hash",
            values=self._values,
            usable=Query(
                "v.provider = ? AND v.entity <> ? AND v.expires_at > ?",
                (stage.provider, VERIFICATION, naive(self.now)),
            ),
            own=Query("o.entity = ?", (self.entity,)) + self._partition.condition("o.key"),
        )

    def _given(self, stage: Stage) -> Query:
        """key → fields (got_i) that an answer to an equal question will fill without a call."""
        flags = []
        for i, (name, wanted) in enumerate(self.spec.fields.items()):
            good = f"field = {literal(name, self._dialect)} AND coalesce(verification, '') <> 'invalid'"
            good += f" AND (confidence IS NULL OR confidence >= {float(wanted.accept.min_confidence)!r})"
            good += " AND verification = 'valid'" if wanted.accept.verified else ""
            flags.append(f"max(CASE WHEN {good} THEN 1 ELSE 0 END) AS got_{i}")
        return compose(
            "SELECT key, {flags} FROM ({reusable}) AS reused GROUP BY key",
            flags=", ".join(flags),
            reusable=self._reusable(stage),
        )

    def _hashes(self, stage: Stage) -> Query | None:
        """The questions of the partition's records, so that of a long ledger only their rows are put together."""
        if self._partition == EVERYTHING:
            return None
        return compose(
            "SELECT {question} {source}",
            question=self._question(self.spec.stages.index(stage)),
            source=self._from(stage),
        )

    def _record_budget(self, stage: Stage) -> tuple[Query, Query]:
        """Joins to what each record has cost in this run, and the condition that this, the call now and its
        verification stay within the budget of a record. Both are empty where there is none.

        A call that serves many records counts in full for each.
        """
        cap = self.spec.budget.per_record_usd
        if cap is None:
            return Query(""), Query("")
        # Joined, and not looked up record by record: Postgres would read the ledger once for each.
        joins, spent = Query(""), Query("")
        for i, earlier in enumerate(self.spec.stages[: self.spec.stages.index(stage)]):
            joins += compose(
                "LEFT JOIN ({costs}) AS asked_{i} ON asked_{i}.request_hash = c.hash_{i} ",
                costs=self._ledger.costs(self.run_id, earlier.provider),
                i=str(i),
            )
            spent += f"coalesce(asked_{i}.usd, 0) + "
            for n, (field, verifier) in enumerate(earlier.verify.items()):
                joins += compose(
                    "LEFT JOIN ({costs}) AS verified_{i}_{n} ON verified_{i}_{n}.key = c.key ",
                    costs=self._verification_costs(earlier.provider, field, verifier),
                    i=str(i),
                    n=str(n),
                )
                spent += f"coalesce(verified_{i}_{n}.usd, 0) + "
        within = compose(
            "AND {spent} {this_call} <= {cap}",
            spent=spent,
            this_call=Query("CAST(? AS DECIMAL(18,6))", (self.greatest(stage),)),
            cap=Query("CAST(? AS DECIMAL(18,6))", (cap,)),
        )
        return joins, within

    def _verification_costs(self, provider: str, field: str, verifier: str) -> Query:
        """Record → what verifying the provider's value of this field has cost in this run (usd)."""
        return compose(
            """
            SELECT v.key, {charged} AS usd
            FROM {values} v
            JOIN {calls} k ON k.request_hash = {hash}
            WHERE {of_records}
              AND {of_run}
              AND k.status <> 'intent'
            GROUP BY v.key
            """,
            charged=CHARGED,
            values=self._values,
            calls=self._calls,
            hash=self._hash(self.providers[verifier].inputs, {field: "v.value"}),
            of_records=Query("v.entity = ? AND v.field = ? AND v.provider = ?", (self.entity, field, provider))
            + self._partition.condition("v.key"),
            of_run=Query("k.run_id = ? AND k.provider = ?", (self.run_id, verifier)),
        )

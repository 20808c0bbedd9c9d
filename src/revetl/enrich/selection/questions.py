"""Which questions a stage may ask now, as SQL: of records that lack something, to which there is no fresh answer.

Two lookups are the same question where the provider's inputs are equal but for letter case and outer blanks: they
share a `request_hash` and are asked once.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise

from revetl.enrich.selection.grouping import grouped
from revetl.enrich.selection.identities import Identities
from revetl.enrich.selection.partition import EVERYTHING, PIECE_RECORDS
from revetl.enrich.selection.query import Query, compose
from revetl.enrich.selection.question import Question
from revetl.enrich.selection.record_costs import RecordCostSelection
from revetl.enrich.waterfall import Stage


class QuestionSelection(RecordCostSelection):
    """What may be asked about the records of one scope, and what is known already."""

    # --- what is asked ---

    def count(self, stage: Stage) -> int:
        """How many calls the stage would make now, were all of them allowed."""
        return self._count_questions(self._open(stage))

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
        best_known = f"({known})" if self.is_list else "0"
        # Nothing of the people at a company leaves with a question about the company.
        names = tuple(n for n in self.spec.inputs if provider.entity == "person" or n in provider.inputs)
        cells = ["key", "request_hash", *(self._input(name) for name in names)]
        columns = [f"o.{cell}" for cell in cells] + [f"{sql} AS id_{n}" for n, sql in enumerate(digests.values())]
        for piece in self._pieces(stage, best_known):
            query = compose(
                """
                SELECT {columns}
                FROM ({open}) AS o
                {piece}
                ORDER BY {best_known} o.request_hash, o.key
                """,
                columns=", ".join(columns),
                open=self._open(stage),
                piece=piece,
                best_known=f"{best_known} DESC, " if self.is_list else "",
            )
            yield from grouped(self.warehouse, query, names, provider.inputs, identities.names)

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

    # --- pieces ---

    def _pieces(self, stage: Stage, best_known: str) -> Iterator[Query]:
        """Conditions that part the stage's questions, in the order in which they are asked, equal ones together: a
        million of them are not sorted at once, which takes more memory the more there are. `best_known` is SQL of a
        number by which equal questions are equal."""
        if self._partition != EVERYTHING or self._count_all() <= PIECE_RECORDS:
            yield Query("")
            return
        counted = compose(
            """
            SELECT known, count(*)
            FROM (SELECT {best_known} AS known FROM ({open}) AS o) AS k
            GROUP BY known
            ORDER BY known DESC
            """,
            best_known=best_known,
            open=self._open(stage),
        )
        for known, records in self.warehouse.rows(counted.sql, counted.params):
            pieces = math.ceil(int(str(records)) / PIECE_RECORDS)
            # A hash begins with any two digits as often as with any other two.
            bounds = [f"{256 * n // pieces:02x}" for n in range(pieces)] + ["g"]
            for low, high in pairwise(bounds):
                yield Query(
                    f"WHERE {best_known} = ? AND o.request_hash >= ? AND o.request_hash < ?",
                    (int(str(known)), low, high),
                )

    def _open(self, stage: Stage, answered: Query | None = None) -> Query:
        """One row per record and question of the stage that is neither answered nor in flight. `answered`: by what is
        known of them; None: by all that is."""
        return compose("SELECT * FROM ({lacking}) AS l WHERE is_open = 1", lacking=self._with_answers(stage, answered))

    def _with_answers(self, stage: Stage, answered: Query | None = None) -> Query:
        """`_lacking` with whether the stage may ask now (is_open). `answered` as of `_open`."""
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
            SELECT c.*, CASE WHEN ({may_ask}) {within_budget} THEN 1 ELSE 0 END AS is_open
            FROM ({lacking}) AS c
            LEFT JOIN ({answered}) AS b ON b.request_hash = c.request_hash
            {costs}
            """,
            may_ask=may_ask,
            within_budget=within_budget,
            lacking=self._lacking(stage),
            answered=answered or self._answered(stage),
            costs=costs,
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
              {may_ask}
            """,
            cells=", ".join(cells),
            records=self._scan(stage),
            found=self._ledger.found_fields(),
            found_false=self._ledger.found_false(stage.provider, self._hashes(stage)),
            here=str(here),
            inputs_suffice=self._sufficient(self.providers[stage.provider]),
            lacks_one=" OR ".join(f"({lack})" for lack in lacks.values()),
            may_ask=self._may_ask_about(stage.provider, "e.key"),
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

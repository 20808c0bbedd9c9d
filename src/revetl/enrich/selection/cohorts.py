"""Records that are alike before anybody is asked, as a forecast sees them: only their numbers leave the warehouse."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any, Literal, cast

from revetl.enrich.selection.partition import EVERYTHING, PIECE_RECORDS, partition_count, partitions_between
from revetl.enrich.selection.query import Query, compose
from revetl.enrich.selection.reusable_answers import ReusableSelection
from revetl.enrich.waterfall import Stage
from revetl.state.values import OWN, VERIFICATION
from revetl.warehouse.sql import literal

# What an answer gives without a call: a field, or a value of it that is to be verified first.
_GIVEN = ("got", "waits")
OthersAnswers = Literal["", "found", "missed"]


@dataclass(frozen=True, slots=True)
class QuestionKind:
    """What a question of a list is before it is asked. `shape`: by which of the provider's sufficient sets it names
    somebody ('101': by the first and the third, in the order of their names). `again`: the provider was asked about
    the same person before, with less to find him by, and found nothing. `others`: whether the
    paid answers of other stages hold what this one is asked for, none of them does, or there are none."""

    shape: str
    again: bool = False
    others: OthersAnswers = ""


@dataclass(frozen=True, slots=True)
class Cohort:
    """`records` records. Fields and stages are bits by place.

    lacks     fields that are blank, and not found yet
    doubtful  fields that a list holds and nobody has verified: found false, they lack too
    open_     stages that may ask about them, if all that is doubtful is false
    audited   all stages ask, whatever is found
    given     by field: one more than the place of the stage whose paid answer fills it; 0: none does. The stages
              before it are asked all the same
    waits     by field, likewise: whose paid answer gives a value that is to be verified first
    kinds     by stage: what its question is; empty of a model, whose records the ledger knows themselves
    """

    lacks: int
    open_: int
    audited: bool
    records: int
    doubtful: int = 0
    given: tuple[int, ...] = ()
    waits: tuple[int, ...] = ()
    kinds: tuple[QuestionKind, ...] = ()


@dataclass(frozen=True, slots=True)
class QuestionCounts:
    """Of one stage: the `questions` that it would ask; of them `again` are about people whom the provider was asked
    about with other inputs. `spared`: how many more there would be, had it not been asked about those."""

    questions: int
    again: int
    spared: int


@dataclass(frozen=True, slots=True)
class VerdictCounts:
    """Values that a verifier was asked about, and how many of them it found false."""

    asked: int
    found_false: int


class CohortSelection(ReusableSelection):
    """The records of one scope, counted. Of a list its scope is one with `doubted_own`."""

    def cohorts(self) -> Iterator[Cohort]:
        """All records, each in one cohort."""
        fields, stages = len(self.spec.fields), len(self.spec.stages)
        for row in self._counts_of_all():
            cells: Iterator[Any] = iter(row)
            lacks, doubtful, given, waits = (tuple(map(int, islice(cells, fields))) for _ in range(4))
            may = tuple(map(int, islice(cells, stages)))
            shapes = tuple(map(str, islice(cells, stages)))
            again = tuple(bool(int(cell)) for cell in islice(cells, stages))
            others = tuple(cast(OthersAnswers, str(cell)) for cell in islice(cells, stages))
            kinds = tuple(map(QuestionKind, shapes, again, others))
            yield Cohort(
                lacks=_mask(lacks),
                open_=_mask(may),
                audited=bool(next(cells)),
                records=int(next(cells)),
                doubtful=_mask(doubtful),
                given=given if any(given) else (),
                waits=waits if any(waits) else (),
                kinds=kinds if self.is_list else (),
            )

    def counts(self, stage: Stage) -> QuestionCounts:
        """The stage's questions, were all of them allowed: a person whom a list names twice is asked about once."""
        open_, join, again = self._open(stage), Query(""), "CAST(NULL AS VARCHAR)"
        if self._by_identity(stage):
            join = compose(
                "LEFT JOIN (SELECT DISTINCT request_hash AS same FROM ({same}) AS s) AS t ON t.same = o.request_hash",
                same=self._same(stage),
            )
            again = "t.same"
        query = compose(
            """
            SELECT count(DISTINCT o.request_hash), count(*), count(DISTINCT {again})
            FROM ({open}) AS o
            {join}
            """,
            again=again,
            open=open_,
            join=join,
        )
        questions, records, asked_again = self.warehouse.numbers(query.sql, query.params)
        spared = 0
        if self._by_identity(stage):
            own = self._ledger.answered(stage.provider, self._hashes(stage))
            spared = self._count_questions(self._open(stage, own)) - questions
        if self.is_list and questions > 1:
            questions -= self._count_covered(stage, open_, records)
        return QuestionCounts(questions, asked_again, spared)

    def own_verdicts(self) -> VerdictCounts:
        """Of all verifiers, about values that no provider had given by then: what lists held themselves. What
        providers give is false less often, or more, than what stands in a list."""
        query = f"""
            SELECT count(*), sum(CASE WHEN v.verification IN ('invalid', 'catch_all') THEN 1 ELSE 0 END)
            FROM {self._values} v
            WHERE v.entity = ?
              AND v.verification IS NOT NULL
              AND NOT EXISTS (
                  SELECT 1
                  FROM {self._values} g
                  WHERE g.entity <> ?
                    AND g.provider <> ?
                    AND g.field = v.field
                    AND lower(g.value) = lower(v.value)
                    AND g.observed_at <= v.observed_at
              )
            """
        return VerdictCounts(*self.warehouse.numbers(query, [VERIFICATION, VERIFICATION, OWN]))

    # --- pieces ---

    def _count_covered(self, stage: Stage, questions: Query, records: int) -> int:
        # Who is best known is asked about first, in each partition.
        one_partition = partition_count(records) == 1
        identities = self._identities(stage)
        covered = identities.covered(questions, self._input_of("q"), best_known_first=one_partition)
        return self._count_questions(covered)

    def _counts_of_all(self) -> list[tuple[Any, ...]]:
        """The rows of `_counted`, a piece of the records at a time: a statement over a million of them would need more
        memory the more there are."""
        pieces = math.ceil(self._count_all() / PIECE_RECORDS)
        partitions = [self._partition]
        if pieces > 1 and self._partition == EVERYTHING:
            partitions = partitions_between(self.bounds(pieces))
        counts: Counter[tuple[Any, ...]] = Counter()
        for partition in partitions:
            counted = CohortSelection(replace(self._scope, partition=partition))._counted()
            for *cells, records in self.warehouse.rows(counted.sql, counted.params):
                counts[tuple(cells)] += int(cast(int, records))
        return [(*cells, records) for cells, records in sorted(counts.items())]

    def _counted(self) -> Query:
        """Per field lacks, doubtful, given and waits; per stage whether it may ask, the shape of its question,
        whether it asks again and what others have answered; audited; the number of records."""
        joins, stages = Query(""), list(enumerate(self.spec.stages))
        for n, stage in stages:
            joins += compose(
                """
                LEFT JOIN (SELECT DISTINCT key, request_hash, is_open FROM ({asked}) AS s) AS asked_{n}
                    ON asked_{n}.key = e.key
                LEFT JOIN ({given}) AS given_{n} ON given_{n}.key = e.key
                """,
                asked=self._with_answers(stage),
                given=self._given(stage),
                n=str(n),
            )
            if self._by_identity(stage):
                joins += compose(
                    """
                    LEFT JOIN (SELECT DISTINCT request_hash FROM ({same}) AS s) AS same_{n}
                        ON same_{n}.request_hash = asked_{n}.request_hash
                    """,
                    same=self._same(stage),
                    n=str(n),
                )
        lacks, doubtful, given, waits = list[str](), list[str](), list[str](), list[str]()
        for i, field in self._fields():
            blank = f"e.blank_{i} = 1 AND coalesce(a.got_{i}, 0) = 0"
            doubt = f"e.key IN ({self._doubted(field)})" if self._may_be_doubted(field) else "1 = 0"
            lacks.append(f"CASE WHEN {blank} AND NOT ({doubt}) THEN 1 ELSE 0 END AS lacks_{i}")
            doubtful.append(f"CASE WHEN {blank} AND {doubt} THEN 1 ELSE 0 END AS doubtful_{i}")
            for name, cells in zip(_GIVEN, (given, waits), strict=True):
                first = " ".join(f"WHEN coalesce(given_{n}.{name}_{i}, 0) = 1 THEN {n + 1}" for n, _ in stages)
                cells.append(f"CASE WHEN NOT ({blank}) THEN 0 {first} ELSE 0 END AS {name}_{i}_by")
        may = [f"coalesce(asked_{n}.is_open, 0) AS may_{n}" for n, _ in stages]
        shapes = [f"{self._shape(n, stage)} AS shape_{n}" for n, stage in stages]
        again = [
            f"CASE WHEN same_{n}.request_hash IS NULL THEN 0 ELSE 1 END AS again_{n}"
            if self._by_identity(stage)
            else f"0 AS again_{n}"
            for n, stage in stages
        ]
        others = [f"{self._others(n, stage)} AS others_{n}" for n, stage in stages]
        cells = [*lacks, *doubtful, *given, *waits, *may, *shapes, *again, *others, "e.audited AS audited"]
        names = ", ".join(cell.rsplit(" AS ", 1)[1] for cell in cells)
        return compose(
            """
            SELECT {names}, count(*)
            FROM (
                SELECT {cells}
                FROM ({records}) AS e
                LEFT JOIN ({found}) AS a ON a.key = e.key
                {joins}
            ) AS r
            GROUP BY {names}
            ORDER BY {names}
            """,
            names=names,
            cells=", ".join(cells),
            records=self._scan(None),
            found=self._ledger.found_fields(),
            joins=joins,
        )

    def _shape(self, number: int, stage: Stage) -> str:
        if not self.is_list:
            return "''"
        named = self._identities(stage).enough_members()
        flags = (
            f"CASE WHEN {' AND '.join(f'e.{self._input(name)} IS NOT NULL' for name in members)} THEN '1' ELSE '0' END"
            for members in named
        )
        return f"CASE WHEN coalesce(asked_{number}.is_open, 0) = 0 THEN '' ELSE {' || '.join(flags)} END"

    def _others(self, number: int, stage: Stage) -> str:
        others = [n for n, _ in enumerate(self.spec.stages) if n != number]
        if not self.is_list or not others:
            return "''"
        answered = " OR ".join(f"asked_{n}.is_open = 0" for n in others)
        found = " OR ".join(f"given_{n}.{a}_{i} = 1" for n in others for i in self._places(stage) for a in _GIVEN)
        is_closed = f"coalesce(asked_{number}.is_open, 0) = 0"
        return f"CASE WHEN {is_closed} THEN '' WHEN {found} THEN 'found' WHEN {answered} THEN 'missed' ELSE '' END"

    def _may_be_doubted(self, field: str) -> bool:
        return self.is_list and field in self.spec.verified_fields()

    def _doubted(self, field: str) -> str:
        """Keys of which nobody has verified what the list itself holds."""
        return f"""
            SELECT key
            FROM {self._values}
            WHERE entity = {literal(self.entity)}
              AND field = {literal(field)}
              AND provider = {literal(OWN)}
              AND rejected_reason = 'not_verified'
            """

    def _given(self, stage: Stage) -> Query:
        """key → fields that an answer to an equal question fills without a call (got_i), and those of which it gives a
        value that is to be verified (waits_i): another one than the list holds, which is false where that is."""
        flags = []
        for i, (name, wanted) in enumerate(self.spec.fields.items()):
            good = f"field = {literal(name, self._dialect)}"
            good += f" AND (confidence IS NULL OR confidence >= {float(wanted.accept.min_confidence)!r})"
            is_found, is_to_be_verified = "coalesce(verification, '') <> 'invalid'", "1 = 0"
            if wanted.accept.verified:
                is_found = "verification = 'valid'"
                if name in stage.verify:
                    unsure = "coalesce(verification, '') NOT IN ('valid', 'invalid', 'catch_all')"
                    is_to_be_verified = f"{unsure} AND own_value IS NULL"
            flags.append(f"max(CASE WHEN {good} AND {is_found} THEN 1 ELSE 0 END) AS got_{i}")
            flags.append(f"max(CASE WHEN {good} AND {is_to_be_verified} THEN 1 ELSE 0 END) AS waits_{i}")
        return compose(
            """
            SELECT key, {flags}
            FROM ({reusable}) AS reused
            LEFT JOIN (
                SELECT key AS own_key, field AS own_field, lower(value) AS own_value
                FROM {values}
                WHERE entity = {entity}
                  AND provider = {own}
            ) AS own
                ON own_key = key
                AND own_field = field
                AND own_value = lower(value)
            GROUP BY key
            """,
            flags=", ".join(flags),
            reusable=self._reusable(stage),
            values=self._values,
            entity=literal(self.entity),
            own=literal(OWN),
        )


def _mask(flags: tuple[int, ...]) -> int:
    return sum(1 << i for i, flag in enumerate(flags) if flag)

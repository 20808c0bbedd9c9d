"""Records that are alike before anybody is asked, as a forecast sees them: only their numbers leave the warehouse."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any, cast

from revetl.enrich.selection.partition import EVERYTHING, PIECE_RECORDS, partition_count, partitions_between
from revetl.enrich.selection.query import Query, compose
from revetl.enrich.selection.reusable_answers import ReusableSelection
from revetl.enrich.waterfall import Stage
from revetl.state.values import OWN, VERIFICATION
from revetl.warehouse.sql import literal


@dataclass(frozen=True, slots=True)
class QuestionKind:
    """What a question of a list is before it is asked. `shape`: by which of the provider's sufficient sets it names
    somebody ('101': by the first and the third, in the order of their names). `again`: the provider was asked about
    the same person before, with less to find him by, and found nothing."""

    shape: str
    again: bool = False


@dataclass(frozen=True, slots=True)
class Cohort:
    """`records` records. Fields and stages are bits by place.

    lacks     fields that are blank, and that no answer which is paid for will fill
    doubtful  fields that a list holds and nobody has verified: found false, they lack too
    open_     stages that may ask about them, if all that is doubtful is false
    audited   all stages ask, whatever is found
    waits     by field: one more than the place of the stage whose paid answer gives a value that is to be verified
              first; 0: none does
    kinds     by stage: what its question is; empty of a model, whose records the ledger knows themselves
    """

    lacks: int
    open_: int
    audited: bool
    records: int
    doubtful: int = 0
    waits: tuple[int, ...] = ()
    kinds: tuple[QuestionKind, ...] = ()


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
            lacks, doubtful, waits = (tuple(map(int, islice(cells, fields))) for _ in range(3))
            may = tuple(map(int, islice(cells, stages)))
            shapes, again = tuple(map(str, islice(cells, stages))), tuple(map(int, islice(cells, stages)))
            kinds = tuple(QuestionKind(shape, bool(a)) for shape, a in zip(shapes, again, strict=True))
            yield Cohort(
                lacks=_mask(lacks),
                open_=_mask(may),
                audited=bool(next(cells)),
                records=int(next(cells)),
                doubtful=_mask(doubtful),
                waits=waits if any(waits) else (),
                kinds=kinds if self.is_list else (),
            )

    def count_asked(self, stage: Stage) -> int:
        """How many calls the stage would make, were all of them allowed: a person whom a list names twice is one."""
        count = self.count(stage)
        return count - self._count_covered(stage) if self.is_list and count else count

    def count_spared(self, stage: Stage) -> int:
        """How many more there would be, had the provider not been asked about the same people with other inputs."""
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

    def verdicts(self) -> VerdictCounts:
        """Of all verifiers, about whatever value."""
        query = f"""
            SELECT count(*), sum(CASE WHEN verification IN ('invalid', 'catch_all') THEN 1 ELSE 0 END)
            FROM {self._values}
            WHERE entity = ? AND verification IS NOT NULL
            """
        return VerdictCounts(*self.warehouse.numbers(query, [VERIFICATION]))

    # --- pieces ---

    def _count_covered(self, stage: Stage) -> int:
        # Who is best known is asked about first, in each partition.
        one_partition = partition_count(self.count_records(stage)) == 1
        identities = self._identities(stage)
        covered = identities.covered(self._open(stage), self._input_of("q"), best_known_first=one_partition)
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
        """Per field lacks, doubtful and waits; per stage whether it may ask, the shape of its question and whether it
        asks again; audited; the number of records."""
        joins, stages = Query(""), list(enumerate(self.spec.stages))
        for n, stage in stages:
            joins += compose(
                """
                LEFT JOIN (SELECT DISTINCT key, request_hash FROM ({open}) AS s) AS open_{n} ON open_{n}.key = e.key
                LEFT JOIN ({given}) AS given_{n} ON given_{n}.key = e.key
                """,
                open=self._open(stage),
                given=self._given(stage),
                n=str(n),
            )
            if self._by_identity(stage):
                joins += compose(
                    """
                    LEFT JOIN (SELECT DISTINCT request_hash FROM ({same}) AS s) AS same_{n}
                        ON same_{n}.request_hash = open_{n}.request_hash
                    """,
                    same=self._same(stage),
                    n=str(n),
                )
        lacks, doubtful, waits = [], [], []
        for i, field in self._fields():
            given = "".join(f" AND coalesce(given_{n}.got_{i}, 0) = 0" for n, _ in stages)
            blank = f"e.blank_{i} = 1 AND coalesce(a.got_{i}, 0) = 0{given}"
            doubt = f"e.key IN ({self._doubted(field)})" if self._may_be_doubted(field) else "1 = 0"
            lacks.append(f"CASE WHEN {blank} AND NOT ({doubt}) THEN 1 ELSE 0 END AS lacks_{i}")
            doubtful.append(f"CASE WHEN {blank} AND {doubt} THEN 1 ELSE 0 END AS doubtful_{i}")
            first = " ".join(f"WHEN coalesce(given_{n}.waits_{i}, 0) = 1 THEN {n + 1}" for n, _ in stages)
            waits.append(f"CASE WHEN NOT ({blank}) THEN 0 {first} ELSE 0 END AS waits_{i}")
        may = [f"CASE WHEN open_{n}.key IS NULL THEN 0 ELSE 1 END AS may_{n}" for n, _ in stages]
        shapes = [f"{self._shape(n, stage)} AS shape_{n}" for n, stage in stages]
        again = [
            f"CASE WHEN same_{n}.request_hash IS NULL THEN 0 ELSE 1 END AS again_{n}"
            if self._by_identity(stage)
            else f"0 AS again_{n}"
            for n, stage in stages
        ]
        cells = [*lacks, *doubtful, *waits, *may, *shapes, *again, "e.audited AS audited"]
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
        return f"CASE WHEN open_{number}.key IS NULL THEN '' ELSE {' || '.join(flags)} END"

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
        value that is to be verified (waits_i)."""
        flags = []
        for i, (name, wanted) in enumerate(self.spec.fields.items()):
            good = f"field = {literal(name, self._dialect)}"
            good += f" AND (confidence IS NULL OR confidence >= {float(wanted.accept.min_confidence)!r})"
            is_found, is_to_be_verified = "coalesce(verification, '') <> 'invalid'", "1 = 0"
            if wanted.accept.verified:
                is_found = "verification = 'valid'"
                if name in stage.verify:
                    is_to_be_verified = "coalesce(verification, '') NOT IN ('valid', 'invalid', 'catch_all')"
            flags.append(f"max(CASE WHEN {good} AND {is_found} THEN 1 ELSE 0 END) AS got_{i}")
            flags.append(f"max(CASE WHEN {good} AND {is_to_be_verified} THEN 1 ELSE 0 END) AS waits_{i}")
        return compose(
            "SELECT key, {flags} FROM ({reusable}) AS reused GROUP BY key",
            flags=", ".join(flags),
            reusable=self._reusable(stage),
        )


def _mask(flags: tuple[int, ...]) -> int:
    return sum(1 << i for i, flag in enumerate(flags) if flag)

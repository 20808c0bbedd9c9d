"""A share of a run's records, as a range of their keys."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from revetl.enrich.selection.query import Query

MIN_RECORDS = 500  # in one partition: each costs some statements
PIECE_RECORDS = 100_000  # the most that one statement of a long list sorts, or counts by many joins
MAX_PARTITIONS = 200  # the last provider begins, and the first ends, this share of the run before the others


@dataclass(frozen=True, slots=True)
class Partition:
    """The records whose key, as text, comes after `after` and not after `upto`; None: no bound. `share` of them all."""

    after: str | None = None
    upto: str | None = None
    share: float = 1.0

    def condition(self, key: str) -> Query:
        """` AND …` over `key`, a SQL expression of text; empty where the partition is everything."""
        low = Query("") if self.after is None else Query(f" AND {key} > ?", (self.after,))
        return low if self.upto is None else low + Query(f" AND {key} <= ?", (self.upto,))


EVERYTHING = Partition()


def partition_count(records: int) -> int:
    """Into how many partitions so many records are cut; one where there are few."""
    return max(1, int(records / max(MIN_RECORDS, records / MAX_PARTITIONS)))


def partitions_between(bounds: Sequence[str]) -> list[Partition]:
    """One partition more than there are bounds, which come in the database's own order of text."""
    ends = [None, *dict.fromkeys(bounds), None]
    return [Partition(low, high, 1 / (len(ends) - 1)) for low, high in pairwise(ends)]

"""What an order costs and fills, with how sure that is; or why it can't be told.

A cost per value is a ratio of two sums over records, so its standard error is that of the mean of
`cost - ratio * values` over the mean of the values (the delta method). Two orders are compared on the same records:
what they have in common cancels. Intervals are at 95 %.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from revetl.enrich.ordering.asked_records import AskedRecord, Candidate, KnownReply
from revetl.enrich.ordering.prices import ObservedPrice
from revetl.enrich.ordering.replay import path_of

Z = 1.96
FEWEST = 30  # records below which a normal interval means nothing


@dataclass(frozen=True, slots=True)
class Interval:
    """An estimate with its 95 % interval."""

    value: float
    low: float
    high: float

    @classmethod
    def around(cls, value: float, error: float, least: float = -math.inf, most: float = math.inf) -> Interval:
        return cls(value, max(least, value - Z * error), min(most, value + Z * error))


@dataclass(frozen=True, slots=True)
class PlayedOrders:
    """`orders` over the same records, each weighing the same in the mean: one order, or many of which one is drawn."""

    weights: tuple[float, ...]
    usd: tuple[float, ...]  # for one record of each group
    values: tuple[float, ...]
    blanks: tuple[float, ...]

    @property
    def records(self) -> float:
        return sum(self.weights)

    @property
    def usd_per_value(self) -> Interval | None:
        """None where nothing is filled."""
        filled = _dot(self.weights, self.values)
        if not filled:
            return None
        ratio = _dot(self.weights, self.usd) / filled
        return Interval.around(ratio, _error(self.weights, self._off(ratio)) / filled, least=0.0)

    @property
    def usd_per_record(self) -> float:
        return _dot(self.weights, self.usd) / self.records if self.weights else 0.0

    @property
    def coverage(self) -> Interval | None:
        """Of the blanks, the share that is filled."""
        blanks = _dot(self.weights, self.blanks)
        if not blanks:
            return None
        share = _dot(self.weights, self.values) / blanks
        off = [v - share * b for v, b in zip(self.values, self.blanks, strict=True)]
        return Interval.around(share, _error(self.weights, off) / blanks, 0.0, 1.0)

    def saved_against(self, other: PlayedOrders) -> Interval | None:
        """The share by which a value is cheaper than under `other`, over the same records."""
        mine, theirs = self.usd_per_value, other.usd_per_value
        if mine is None or theirs is None or not theirs.value:
            return None
        ours, base = _dot(self.weights, self.values), _dot(other.weights, other.values)
        ratio = mine.value / theirs.value
        off = [
            a / ours / theirs.value - ratio * b / base / theirs.value
            for a, b in zip(self._off(mine.value), other._off(theirs.value), strict=True)
        ]
        return Interval.around(1 - ratio, _error(self.weights, off))

    def more_than(self, other: PlayedOrders, *, value_usd: float, usd: float) -> Interval | None:
        """The mean over records of `value_usd` per value and `usd` per dollar of cost, above that of `other`."""
        if not self.weights:
            return None
        more = [
            value_usd * (v - w) + usd * (c - d)
            for v, w, c, d in zip(self.values, other.values, self.usd, other.usd, strict=True)
        ]
        mean = _dot(self.weights, more) / self.records
        return Interval.around(mean, _error(self.weights, more) / self.records)

    def _off(self, ratio: float) -> list[float]:
        return [u - ratio * v for u, v in zip(self.usd, self.values, strict=True)]


def play(
    candidates: Sequence[Candidate], asked_records: Sequence[AskedRecord], orders: Sequence[Sequence[int]]
) -> PlayedOrders:
    """The mean of the orders, record by record. ValueError where one meets an answer that nobody knows."""
    usd, values = [], []
    for record in asked_records:
        paths = [path_of(candidates, record, order) for order in orders]
        complete = [w for w in paths if w is not None]
        if len(complete) < len(paths):
            raise ValueError("an order asks for an answer that is not in the ledger")
        usd.append(sum(w.usd for w in complete) / len(complete))
        values.append(sum(w.filled.bit_count() for w in complete) / len(complete))
    return PlayedOrders(
        tuple(c.weight for c in asked_records),
        tuple(usd),
        tuple(values),
        tuple(float(c.wants.bit_count()) for c in asked_records),
    )


def together(pieces: Sequence[PlayedOrders]) -> PlayedOrders:
    """All of them as one population."""
    return PlayedOrders(
        tuple(w for p in pieces for w in p.weights),
        tuple(u for p in pieces for u in p.usd),
        tuple(v for p in pieces for v in p.values),
        tuple(b for p in pieces for b in p.blanks),
    )


def known_share(candidates: Sequence[Candidate], asked_records: Sequence[AskedRecord], order: Sequence[int]) -> float:
    """Of the records, those for which the ledger tells what the order would do."""
    all_ = sum(c.weight for c in asked_records)
    return sum(c.weight for c in asked_records if path_of(candidates, c, order) is not None) / all_ if all_ else 0.0


def bounds(
    candidates: Sequence[Candidate],
    prices: Sequence[ObservedPrice],
    checks: Sequence[float],
    asked_records: Sequence[AskedRecord],
    order: Sequence[int],
) -> tuple[float, float] | None:
    """The least and the most that a value may cost under this order, whatever the answers are that nobody knows.

    Every unknown answer is tried as a miss, as a hit that fills all it can, and as one that is charged, verified and
    refused. None where nothing may be filled at all. Infinite above where possibly nothing is filled.
    """
    least = most = fewest = greatest = 0.0
    for record in asked_records:
        ends = list(_ends(candidates, prices, checks, record, order))
        least += record.weight * min(usd for usd, _ in ends)
        most += record.weight * max(usd for usd, _ in ends)
        fewest += record.weight * min(filled for _, filled in ends)
        greatest += record.weight * max(filled for _, filled in ends)
    if not greatest:
        return None
    return least / greatest, most / fewest if fewest else math.inf


def _ends(
    candidates: Sequence[Candidate],
    prices: Sequence[ObservedPrice],
    checks: Sequence[float],
    record: AskedRecord,
    order: Sequence[int],
) -> Iterator[tuple[float, int]]:
    """(cost, values) of the record for every way in which its unknown answers may turn out."""
    path = path_of(candidates, record, order)
    if path is not None:
        yield path.usd, path.filled.bit_count()
        return
    i = next(
        i
        for k, i in enumerate(order)
        if record.replies[i] is None and path_of(candidates, record, order[: k + 1]) is None
    )
    owed = checks[i]
    for reply in (
        KnownReply(prices[i].miss),
        KnownReply(prices[i].cheapest_hit, candidates[i].fills, True),
        KnownReply(prices[i].dearest_hit + owed, 0, True),
    ):
        replies = (*record.replies[:i], reply, *record.replies[i + 1 :])
        yield from _ends(candidates, prices, checks, replace(record, replies=replies), order)


def _dot(a: Sequence[float], b: Sequence[float]) -> float:
    return math.fsum(x * y for x, y in zip(a, b, strict=True))


def _error(weights: Sequence[float], off: Sequence[float]) -> float:
    """Standard error of the sum of `off` over the records, which is about 0 by construction."""
    n = math.fsum(weights)
    if n <= 1:
        return math.inf
    mean = _dot(weights, off) / n
    return math.sqrt(math.fsum(w * (x - mean) ** 2 for w, x in zip(weights, off, strict=True)) * n / (n - 1))

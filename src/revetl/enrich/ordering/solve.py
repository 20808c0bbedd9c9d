"""The exact best order and stopping point, by dynamic programming over sets of providers.

What a record still lacks after some providers depends on which they were, not on their order; so does the cost of
asking one more. With `cost(i, S)` what provider i costs after the set S, summed over the records that S leaves lacking
a field of i,

    least(S) = min over i in S of  least(S without i) + cost(i, S without i)

is the lowest cost at which exactly S can be asked, and every objective picks its S from these 2^n numbers. The
recursion with a price V on a blank, f(S) = min(V * lacking(S), min over i of cost(i, S) + f(S and i)), has its optimum
at the same place: min over S of least(S) + V * lacking(S). Exact on the records that it is given, up to
rounding.

`cost(i, .)` is built without looking at a set twice: a field stays lacking exactly where the set is disjoint from those
who fill it. So each record adds a few signed weights (inclusion and exclusion over its fields) to an array over sets,
and one pass over subsets sums them: n * n * 2^n additions, for 15 providers some seconds.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from revetl.enrich.ordering.asked_records import AskedRecord, Candidate
from revetl.enrich.ordering.replay import path_of, replay

MAX_CANDIDATES = 15
_EQUAL = 1e-12  # of the greatest number at hand: two sums that differ by less are equal


@dataclass(frozen=True, slots=True)
class SolvedOrder:
    """A set of providers in its cheapest order, over all records: what it costs and how many values it fills."""

    order: tuple[int, ...]
    usd: float
    filled: float

    @property
    def usd_per_value(self) -> float | None:
        return self.usd / self.filled if self.filled > 0 else None


class CheapestOrders:
    """The cheapest order of every set of providers. Made by `solve`."""

    def __init__(self, least: list[float], last: list[int], filled: list[float]) -> None:
        self._least = least
        self._last = last
        self._filled = filled

    def point(self, members: int) -> SolvedOrder:
        order: list[int] = []
        left = members
        while left:
            order.append(self._last[left])
            left &= ~(1 << order[-1])
        return SolvedOrder(tuple(reversed(order)), self._least[members], self._filled[members])

    @property
    def everyone(self) -> SolvedOrder:
        """All providers, also those that fill nothing, in their cheapest order."""
        return self.point(len(self._least) - 1)

    def cheapest(self, *, filled: float | None = None) -> SolvedOrder:
        """The lowest cost at which at least `filled` values come (default: all that can come). The most that can come
        where that is less."""
        most = max(self._filled)
        floor = most if filled is None else min(filled, most)
        slack = _EQUAL * max(most, 1.0)
        return self._best(lambda s: self._least[s] if self._filled[s] >= floor - slack else None)

    def most_net(self, value_usd: float) -> SolvedOrder:
        """The greatest worth less cost, where each value is worth `value_usd`. Asks nobody where nothing pays."""
        return self._best(lambda s: self._least[s] - value_usd * self._filled[s])

    def cheapest_value(self) -> SolvedOrder:
        """The lowest cost per value, over whatever number of them; the more values of two that are equal."""
        slack = _EQUAL * max(max(self._filled), 1.0)
        return self._best(lambda s: self._least[s] / self._filled[s] if self._filled[s] > slack else None)

    def within(self, budget_usd: float) -> SolvedOrder:
        """The most values for at most `budget_usd` in all; of equals the cheaper."""
        slack = _EQUAL * max(budget_usd, 1.0)
        return self._best(lambda s: -self._filled[s] if self._least[s] <= budget_usd + slack else None)

    def curve(self) -> list[SolvedOrder]:
        """What more money buys: the sets that no other beats in both cost and values, from nothing to everything."""
        found: list[SolvedOrder] = []
        slack = _EQUAL * max(max(self._filled), 1.0)
        for s in sorted(range(len(self._least)), key=lambda s: (self._least[s], -self._filled[s], s.bit_count())):
            if not found or self._filled[s] > found[-1].filled + slack:
                found.append(self.point(s))
        return found

    def _best(self, price: Callable[[int], float | None]) -> SolvedOrder:
        """Of the sets that have a price the lowest; of equals more values, then lower cost, then fewer providers."""
        best, key = 0, None
        for s in range(len(self._least)):
            paid = price(s)
            if paid is None:
                continue
            rank = (paid, -self._filled[s], self._least[s], s.bit_count())
            if key is None or _less(rank, key):
                best, key = s, rank
        return self.point(best)


_Rank = tuple[float, float, float, int]


def _less(a: _Rank, b: _Rank) -> bool:
    """In order of the parts, where rounding does not decide between equals."""
    for x, y in zip(a, b, strict=True):
        if abs(x - y) > _EQUAL * max(abs(x), abs(y), 1.0):
            return x < y
    return False


def solve(candidates: Sequence[Candidate], asked_records: Sequence[AskedRecord]) -> CheapestOrders:
    """From cases that are complete. ValueError for one that is not, or for more than `MAX_CANDIDATES` providers."""
    n = len(candidates)
    if n > MAX_CANDIDATES:
        raise ValueError(f"{n} providers have {2**n:,} sets; the most that are solved are {MAX_CANDIDATES}")
    full = (1 << n) - 1
    costs, blanks = _tables(candidates, asked_records)
    least, last = [0.0] * (full + 1), [0] * (full + 1)
    for members in range(1, full + 1):
        best = None
        for i in range(n):
            if members >> i & 1:
                before = members ^ 1 << i
                usd = least[before] + costs[i][full ^ before]
                if best is None or usd < best:
                    best, last[members] = usd, i
        least[members] = 0.0 if best is None else best
    return CheapestOrders(least, last, [blanks[full] - blanks[full ^ s] for s in range(full + 1)])


def solve_stops(
    candidates: Sequence[Candidate], asked_records: Sequence[AskedRecord], order: Sequence[int]
) -> CheapestOrders:
    """Where to stop in this one order: the sets that are no beginning of it can't be chosen. For history in which
    nothing else can be told. Records for which the order meets an unknown answer are left out."""
    known = [record for record in asked_records if path_of(candidates, record, order) is not None]
    size = 1 << len(candidates)
    least, last, filled = [math.inf] * size, [0] * size, [0.0] * size
    members = 0
    for length in range(len(order) + 1):
        if length:
            members |= 1 << order[length - 1]
            last[members] = order[length - 1]
        totals = replay(candidates, known, order[:length])
        least[members], filled[members] = totals.usd, totals.filled
    return CheapestOrders(least, last, filled)


def _tables(
    candidates: Sequence[Candidate], asked_records: Sequence[AskedRecord]
) -> tuple[list[list[float]], list[float]]:
    """At the complement of S: what each provider costs after S; how many blanks S leaves."""
    size = 1 << len(candidates)
    costs = [[0.0] * size for _ in candidates]
    blanks = [0.0] * size
    for record in asked_records:
        fillers = _fillers(record)
        for by in fillers.values():
            blanks[by] += record.weight
        for i, (candidate, reply) in enumerate(zip(candidates, record.replies, strict=True)):
            if reply is None:
                raise ValueError("a case that is not complete can't be solved")
            if not reply.able:
                continue
            if reply.usd:
                for by, sign in _union_terms(by for f, by in fillers.items() if candidate.fills >> f & 1):
                    costs[i][by] += sign * record.weight * reply.usd
            for check in reply.checks:
                if check.field in fillers:
                    costs[i][fillers[check.field] | (check.same & ~(1 << i))] += record.weight * check.usd
    for table in (*costs, blanks):
        _sum_subsets(table)
    return costs, blanks


def _fillers(record: AskedRecord) -> dict[int, int]:
    """Wanted field → mask of the providers that fill it for this case."""
    found = {f: 0 for f in range(record.wants.bit_length()) if record.wants >> f & 1}
    for i, reply in enumerate(record.replies):
        if reply is not None:
            for f in found:
                found[f] |= (reply.fills >> f & 1) << i
    return found


def _union_terms(masks: Iterable[int]) -> list[tuple[int, int]]:
    """ "Disjoint from at least one of the masks" as a signed sum of "disjoint from this mask"."""
    smallest: list[int] = []
    for mask in sorted(set(masks), key=int.bit_count):
        if not any(known & mask == known for known in smallest):  # disjoint from it implies disjoint from the known one
            smallest.append(mask)
    signs: dict[int, int] = {}
    for mask in smallest:
        for by, sign in list(signs.items()):
            signs[by | mask] = signs.get(by | mask, 0) - sign
        signs[mask] = signs.get(mask, 0) + 1
    return [(by, sign) for by, sign in signs.items() if sign]


def _sum_subsets(table: list[float]) -> None:
    """table[X] becomes the sum over the subsets of X."""
    bit = 1
    while bit < len(table):
        for mask in range(len(table)):
            if mask & bit:
                table[mask] += table[mask ^ bit]
        bit <<= 1

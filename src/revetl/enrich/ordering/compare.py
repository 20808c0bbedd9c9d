"""Today's order beside the best one and the usual ones, for one segment, and where the ledger can't tell, it says so.

Where the ledger shows the outcome of an order for (nearly) every record, as it does for the order that ran, all records
count. Any other order is judged on the audited records alone: a random sample that was asked of everybody. Without
enough of those it is not identified, and only bounds are given.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import permutations
from typing import Literal

from revetl.enrich.ordering.asked_records import AskedRecord, blank_count, provider_names, record_count
from revetl.enrich.ordering.history import FOLDS, History
from revetl.enrich.ordering.order_cost import FEWEST, Interval, PlayedOrders, bounds, known_share, play, together
from revetl.enrich.ordering.plan_audit import AuditPlan, plan_audit
from revetl.enrich.ordering.replay import path_of, replay
from revetl.enrich.ordering.solve import CheapestOrders, SolvedOrder, solve, solve_stops
from revetl.seeded_random import Seeded

NEARLY_ALL = 0.98  # of the records: calls that failed leave a few without an answer
INCOMPLETE = 0.05  # of the sample: above it, who is complete may depend on what was found
# Who fills nothing in so many records fills, at 95 %, less than one in a hundred (three in n, the rule of three).
SURE_TO_DROP = 300
MOST_SHUFFLES = 120  # all orders of five

ObjectiveKind = Literal["coverage", "cost", "net", "budget"]
Basis = Literal["ledger", "audit", "not identified"]


@dataclass(frozen=True, slots=True)
class Objective:
    """coverage: the lowest cost at which `at_least` of what all providers together fill is filled (1: all of it; nobody
    is dropped on fewer than `SURE_TO_DROP` records).
    cost: the lowest cost per value, however few. net: the most value less cost, a value being worth `value_usd`.
    budget: the most values for `budget_usd` per record."""

    kind: ObjectiveKind = "coverage"
    at_least: float = 1.0
    value_usd: float = 0.0
    budget_usd: float = 0.0

    def pick(self, solution: CheapestOrders, of_records: float) -> SolvedOrder:
        if self.kind == "cost":
            return solution.cheapest_value()
        if self.kind == "net":
            return solution.most_net(self.value_usd)
        if self.kind == "budget":
            return solution.within(self.budget_usd * of_records)
        if self.at_least == 1 and of_records < SURE_TO_DROP:
            return solution.everyone
        return solution.cheapest(filled=self.at_least * solution.cheapest().filled)

    def gain(self, mine: PlayedOrders, theirs: PlayedOrders) -> Interval | None:
        """By how much `mine` is better on the same records. coverage and cost: the share by which a value is cheaper;
        net: US dollars per record; budget: values per record."""
        if self.kind == "net":
            return mine.more_than(theirs, value_usd=self.value_usd, usd=-1.0)
        if self.kind == "budget":
            return mine.more_than(theirs, value_usd=1.0, usd=0.0)
        return mine.saved_against(theirs)


@dataclass(frozen=True, slots=True)
class CurvePoint:
    """What more money buys: providers in their best order, US dollars per record, share of the blanks filled."""

    order: tuple[str, ...]
    usd_per_record: float
    coverage: float


@dataclass(frozen=True, slots=True)
class OrderLine:
    """One order. `order` is empty for random, which is the mean of them. `saved` is the share by which a value is
    cheaper than today, on the same records. Where it is not identified, `bounds_usd` hold. `point`: where it lies
    beside the curve, on the records that the curve is drawn from."""

    label: str
    order: tuple[str, ...]
    basis: Basis
    records: float
    usd_per_value: Interval | None = None
    usd_per_record: float | None = None
    coverage: Interval | None = None
    saved: Interval | None = None
    bounds_usd: tuple[float, float] | None = None
    point: CurvePoint | None = None


@dataclass(frozen=True, slots=True)
class Comparison:
    """`records`: those that were asked of somebody. `audited`: of them, those asked of everybody by lot; `incomplete`:
    drawn for it, but not asked of everybody yet. `identified`: whether orders other than today's can be told apart.
    `gain`: what the best order brings over today's on records that it was not chosen on, which is the honest figure,
    in the objective's terms (`Objective.gain`); None where today's is the best. `by_rule`: an order that is known to be
    the cheapest without an audit (`paid_by_hit`); empty where the rule does not hold, or the ledger tells by itself."""

    segment: str
    records: float
    audited: float
    incomplete: float
    identified: bool
    lines: tuple[OrderLine, ...]
    best: tuple[str, ...]
    gain: Interval | None
    curve: tuple[CurvePoint, ...]
    audit: AuditPlan | None
    by_rule: tuple[str, ...] = ()

    @property
    def better(self) -> bool:
        """Whether the best order is better than today's beyond chance."""
        return self.gain is not None and self.gain.low > 0


def compare(
    history: History,
    asked_records: Sequence[AskedRecord],
    objective: Objective,
    *,
    segment: str = "",
    within: float = 0.05,
    seed: int = 0,
) -> Comparison:
    """`asked_records`: the segment's. `within`: the audit is planned so that savings can be told to that share. `seed`
    is for the orders that are drawn where there are too many to take all."""
    audited = record_count([c for c in asked_records if c.audited and c.complete])
    incomplete = record_count([c for c in asked_records if c.audited and not c.complete])
    identified = audited >= FEWEST and incomplete <= INCOMPLETE * (audited + incomplete)
    rng = Seeded(seed)
    comparing = _Comparer(history, tuple(asked_records), objective, rng, identified=identified)
    best = comparing.best(comparing.base)
    lines = [comparing.line("today", [comparing.today]), comparing.line("best", [best])]
    lines += [comparing.line(label, orders) for label, orders in comparing.usual().items()]
    return Comparison(
        segment,
        record_count(asked_records),
        audited,
        incomplete,
        identified,
        tuple(lines),
        provider_names(history.candidates, best),
        comparing.gain() if best != comparing.today else None,
        comparing.curve(),
        plan_audit(history.candidates, history.prices, history.checks, asked_records, comparing.sample, best, within),
        () if identified or objective != Objective() else paid_by_hit(history, asked_records),
    )


def paid_by_hit(history: History, asked_records: Sequence[AskedRecord]) -> tuple[str, ...]:
    """Ascending price, where that is the cheapest order for every single record, so whatever the correlation: one
    field, every provider paid for hits alone at one price, and in the ledger no hit that did not count. Empty where it
    can't be said. A record is then paid for once, to the first that knows it, and the cheapest that knows it comes
    first."""
    one_price = all(p.per_call == 0 and p.least_hit == p.greatest_hit for p in history.prices)
    if len(history.fields) > 1 or not one_price or any(history.checks):
        return ()
    for i, _ in enumerate(history.candidates):
        hits = [(c.weight, r) for c in asked_records if (r := c.replies[i]) is not None and r.hit]
        if sum(weight for weight, _ in hits) < FEWEST or not all(reply.fills for _, reply in hits):
            return ()
    ascending = sorted(range(len(history.candidates)), key=lambda i: history.prices[i].hit)
    return provider_names(history.candidates, ascending)


class _Comparer:
    """`base`: the records on which orders are chosen. With an audited sample that is the sample, and every order can be
    chosen; without one it is all records, and only the beginnings of today's order can."""

    def __init__(
        self,
        history: History,
        asked_records: tuple[AskedRecord, ...],
        objective: Objective,
        rng: random.Random,
        *,
        identified: bool,
    ) -> None:
        self.history = history
        self.candidates = history.candidates
        self.asked_records = asked_records
        self.objective = objective
        self.rng = rng
        self.identified = identified
        self.today = tuple(range(len(self.candidates)))
        self.sample = tuple(c for c in asked_records if c.audited and c.complete) if identified else ()
        self.base = self.sample or tuple(
            c for c in asked_records if path_of(self.candidates, c, self.today) is not None
        )

    def solution(self, asked_records: Sequence[AskedRecord]) -> CheapestOrders:
        return (
            solve(self.candidates, asked_records)
            if self.identified
            else solve_stops(self.candidates, asked_records, self.today)
        )

    def best(self, asked_records: Sequence[AskedRecord]) -> tuple[int, ...]:
        """Of orders that cost the same, today's: nobody should move lines for nothing."""
        found = self.objective.pick(self.solution(asked_records), record_count(asked_records))
        same = tuple(i for i in self.today if i in found.order)
        usd = replay(self.candidates, asked_records, same).usd
        return same if math.isclose(usd, found.usd, rel_tol=1e-9) else found.order

    def line(self, label: str, orders: Sequence[tuple[int, ...]]) -> OrderLine:
        """On all records where they tell, else on the sample, else bounds."""
        if len(orders) == 1 and known_share(self.candidates, self.asked_records, orders[0]) >= self._enough(orders[0]):
            seen = [c for c in self.asked_records if path_of(self.candidates, c, orders[0]) is not None]
            return self._told(label, orders, "ledger", play(self.candidates, seen, orders))
        if self.identified:
            return self._told(label, orders, "audit")
        limits = None
        if len(orders) == 1:
            limits = bounds(self.candidates, self.history.prices, self.history.checks, self.asked_records, orders[0])
        order_names = provider_names(self.candidates, orders[0]) if len(orders) == 1 else ()
        return OrderLine(label, order_names, "not identified", record_count(self.asked_records), bounds_usd=limits)

    def _enough(self, order: tuple[int, ...]) -> float:
        """The share of the records that has to be known. Of today's order a few calls that failed may be left out; of
        another one those that nobody knows may be the very ones on which it differs."""
        return NEARLY_ALL if order == self.today[: len(order)] else 1 - 1e-9

    def _told(
        self, label: str, orders: Sequence[tuple[int, ...]], basis: Basis, seen: PlayedOrders | None = None
    ) -> OrderLine:
        """`seen`: the records that tell of the order, where they are others than those that orders are chosen on."""
        order_names = provider_names(self.candidates, orders[0]) if len(orders) == 1 else ()
        base = self.base
        if not self.identified:
            base = tuple(c for c in base if all(path_of(self.candidates, c, order) is not None for order in orders))
        here = play(self.candidates, base, orders)
        saved = None if list(orders) == [self.today] else here.saved_against(play(self.candidates, base, [self.today]))
        point = None if here.coverage is None else CurvePoint(order_names, here.usd_per_record, here.coverage.value)
        seen = seen or here
        return OrderLine(
            label,
            order_names,
            basis,
            seen.records,
            seen.usd_per_value,
            seen.usd_per_record,
            seen.coverage,
            saved,
            point=point,
        )

    def usual(self) -> dict[str, list[tuple[int, ...]]]:
        """The orders that people use: by price, by price over hit rate as if hits were independent, by chance."""
        prices = self.history.prices
        alone = {
            i: replay(self.candidates, [c for c in self.base if c.replies[i] is not None], (i,)) for i in self.today
        }
        index = {i: totals.usd / totals.filled if totals.filled else math.inf for i, totals in alone.items()}
        return {
            "cheapest first": [tuple(sorted(self.today, key=lambda i: prices[i].hit))],
            "price/hit rate": [tuple(sorted(self.today, key=index.__getitem__))],
            "random": self._shuffles(),
        }

    def _shuffles(self) -> list[tuple[int, ...]]:
        """All orders where they are few."""
        if math.factorial(len(self.today)) <= MOST_SHUFFLES:
            return list(permutations(self.today))
        return [tuple(self.rng.sample(self.today, len(self.today))) for _ in range(MOST_SHUFFLES)]

    def gain(self) -> Interval | None:
        """Chosen on four fifths, judged on the fifth that was left out, five times."""
        chosen, today = [], []
        for fold in range(FOLDS):
            train = [c for c in self.base if c.fold != fold]
            test = [c for c in self.base if c.fold == fold]
            if train and test:
                chosen.append(play(self.candidates, test, [self.best(train)]))
                today.append(play(self.candidates, test, [self.today]))
        return self.objective.gain(together(chosen), together(today)) if chosen else None

    def curve(self) -> tuple[CurvePoint, ...]:
        count, blanks = record_count(self.base), blank_count(self.base)
        if not count:
            return ()
        points = self.solution(self.base).curve()
        return tuple(
            CurvePoint(provider_names(self.candidates, p.order), p.usd / count, p.filled / blanks) for p in points
        )

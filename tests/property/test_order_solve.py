"""The subset DP against every order with every stopping point, played record by record."""

from __future__ import annotations

import random
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from revetl.enrich.ordering.asked_records import AskedRecord, Candidate, KnownReply
from revetl.enrich.ordering.replay import path_of, replay
from revetl.enrich.ordering.solve import MAX_CANDIDATES, solve
from tests.support.order_instances import every_order, instance, play

CLOSE = {"rel": 1e-9, "abs": 1e-9}


def sizes(seed: int) -> int:
    """Most instances are small, where 6 providers have 1957 orders to play."""
    return (2, 3, 4, 3, 4, 5, 3, 4, 2, 6)[seed % 10]


@pytest.mark.parametrize("batch", range(10))
def test_no_order_and_no_stopping_point_is_better(batch):
    for seed in range(batch * 40, batch * 40 + 40):  # 400 instances
        rng = random.Random(seed)
        candidates, asked_records = instance(rng, most_arms=sizes(seed), asked_records=12)
        value = rng.choice((0.02, 0.1, 0.5, 5.0))
        budget = rng.uniform(0, 30)
        solution = solve(candidates, asked_records)
        played = [play(candidates, asked_records, order) for order in every_order(len(candidates))]
        most = max(filled for _, filled in played)
        half = most / 2

        full = solution.cheapest()
        assert full.filled == pytest.approx(most, **CLOSE)
        assert full.usd == pytest.approx(min(u for u, f in played if f > most - 1e-6), **CLOSE)
        enough = solution.cheapest(filled=half)
        assert enough.usd == pytest.approx(min(u for u, f in played if f > half - 1e-6), **CLOSE)
        net = solution.most_net(value)
        assert value * net.filled - net.usd == pytest.approx(max(value * f - u for u, f in played), **CLOSE)
        if most:
            ratio = solution.cheapest_value()
            assert ratio.usd_per_value == pytest.approx(min(u / f for u, f in played if f > 0), **CLOSE)
        rich = solution.within(budget)
        assert rich.usd <= budget + 1e-9
        assert rich.filled == pytest.approx(max(f for u, f in played if u <= budget + 1e-9), **CLOSE)
        for point in (full, enough, net, rich, *solution.curve()):
            assert (point.usd, point.filled) == pytest.approx(play(candidates, asked_records, point.order), **CLOSE)


def test_the_curve_rises_and_nothing_lies_above_it():
    for seed in range(40):
        candidates, asked_records = instance(random.Random(seed), most_arms=4)
        curve = solve(candidates, asked_records).curve()
        assert curve[0].filled == 0 or curve[0].usd == 0
        assert all(a.usd <= b.usd and a.filled < b.filled for a, b in pairwise(curve))
        for order in every_order(len(candidates)):
            usd, filled = play(candidates, asked_records, order)
            assert max(p.filled for p in curve if p.usd <= usd + 1e-9) >= filled - 1e-9


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000), st.randoms(use_true_random=False))
def test_a_replay_is_the_story_of_the_same_order(seed, rng):
    candidates, asked_records = instance(random.Random(seed))
    order = rng.sample(range(len(candidates)), rng.randint(0, len(candidates)))
    told = replay(candidates, asked_records, order)
    assert (told.usd, told.filled) == pytest.approx(play(candidates, asked_records, order), **CLOSE)
    assert told.unknown == 0
    assert told.records == pytest.approx(sum(c.weight for c in asked_records))


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.floats(0.01, 5))
def test_the_recursion_with_a_price_on_a_blank_has_the_same_optimum(seed, value):
    """f(S) = min(V * blanks(S), min over i of cost(i, S) + f(S and i)), worked out from the stories of the orders."""
    candidates, asked_records = instance(random.Random(seed), most_arms=4)
    blanks = sum(c.weight * c.wants.bit_count() for c in asked_records)

    def f(asked: tuple[int, ...]) -> float:
        usd, filled = play(candidates, asked_records, asked)
        here = value * (blanks - filled)
        after = [
            play(candidates, asked_records, (*asked, i))[0] - usd + f((*asked, i))
            for i in range(len(candidates))
            if i not in asked
        ]
        return min([here, *after])

    best = solve(candidates, asked_records).most_net(value)
    assert best.usd + value * (blanks - best.filled) == pytest.approx(f(()), **CLOSE)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000))
def test_where_only_hits_are_paid_for_ascending_price_is_best_whatever_the_correlation(seed):
    rng = random.Random(seed)
    n = rng.randint(1, 5)
    prices = [round(rng.uniform(0.01, 1), 3) for _ in range(n)]
    asked_records = [
        AskedRecord(
            rng.randint(1, 9), 1, tuple(KnownReply(p, 1, True) if rng.random() < 0.5 else KnownReply() for p in prices)
        )
        for _ in range(30)
    ]
    candidates = [Candidate(str(i), 1) for i in range(n)]
    ascending = sorted(range(n), key=prices.__getitem__)
    assert solve(candidates, asked_records).cheapest().usd == pytest.approx(
        play(candidates, asked_records, ascending)[0], **CLOSE
    )


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000))
def test_where_hits_are_independent_the_index_is_best(seed):
    """a/p + b ascending, on the product of the marginals as cases."""
    rng = random.Random(seed)
    n = rng.randint(1, 4)
    a, b = [rng.uniform(0.01, 1) for _ in range(n)], [rng.uniform(0, 1) for _ in range(n)]
    p = [rng.uniform(0.05, 0.95) for _ in range(n)]
    asked_records = []
    for hits in range(1 << n):
        weight = 1.0
        for i in range(n):
            weight *= p[i] if hits >> i & 1 else 1 - p[i]
        got = tuple(KnownReply(a[i] + (hits >> i & 1) * b[i], hits >> i & 1, bool(hits >> i & 1)) for i in range(n))
        asked_records.append(AskedRecord(weight, 1, got))
    candidates = [Candidate(str(i), 1) for i in range(n)]
    by_index = sorted(range(n), key=lambda i: a[i] / p[i] + b[i])
    assert solve(candidates, asked_records).cheapest().usd == pytest.approx(
        play(candidates, asked_records, by_index)[0], **CLOSE
    )


def test_what_nobody_asked_is_neither_solved_nor_replayed():
    candidates = [Candidate("a", 1), Candidate("b", 1)]
    seen, half = (
        AskedRecord(3, 1, (KnownReply(0.1, 1, True), KnownReply(0.2))),
        AskedRecord(2, 1, (KnownReply(0.1, 1, True), None)),
    )
    with pytest.raises(ValueError, match="not complete"):
        solve(candidates, [seen, half])
    assert path_of(candidates, half, (0, 1)) is not None  # the first filled it: the second would not have been asked
    assert path_of(candidates, half, (1, 0)) is None
    assert replay(candidates, [seen, half], (1, 0)).unknown == 2


def test_more_providers_than_can_be_solved_are_refused():
    with pytest.raises(ValueError, match="sets"):
        solve([Candidate(str(i), 1) for i in range(MAX_CANDIDATES + 1)], [])

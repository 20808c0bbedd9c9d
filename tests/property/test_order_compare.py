"""What is said of orders is true: intervals hold the truth, bounds always do, and what can't be told is not told."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from revetl.enrich.ordering.asked_records import AskedRecord, Candidate, KnownReply
from revetl.enrich.ordering.compare import Objective, compare
from revetl.enrich.ordering.order_cost import bounds, play
from revetl.enrich.ordering.solve import solve
from tests.support import order_instances as made
from tests.support.order_instances import as_run, every_order, history, pooled, resold

LISTED = (0, 1, 2, 3)
OTHER = (3, 1, 0, 2)


def test_intervals_hold_the_truth_as_often_as_they_say():
    rng = random.Random(5)
    candidates, people = resold(rng)
    truth = play(candidates, pooled(people), [OTHER])
    base = play(candidates, pooled(people), [LISTED])
    cost, coverage, saved = truth.usd_per_value.value, truth.coverage.value, truth.saved_against(base).value
    held = [0, 0, 0]
    draws = 200
    for _ in range(draws):
        sample = pooled(rng.choices(people, k=250))
        told, today = play(candidates, sample, [OTHER]), play(candidates, sample, [LISTED])
        figures = (told.usd_per_value, told.coverage, told.saved_against(today))
        for k, (figure, true) in enumerate(zip(figures, (cost, coverage, saved), strict=True)):
            held[k] += figure.low <= true <= figure.high
    assert all(0.91 <= h / draws <= 0.99 for h in held), held


def test_what_the_best_order_gains_is_told_from_records_that_it_was_not_chosen_on():
    """Between vendors that are all alike there is nothing to gain, however lucky one looks in the sample."""
    rng = random.Random(1)
    candidates = [Candidate(str(i), 1) for i in range(4)]

    def alike() -> AskedRecord:
        hits = [rng.random() < 0.5 for _ in candidates]
        return AskedRecord(1.0, 1, tuple(KnownReply(0.1, int(h), h) for h in hits), True, rng.randrange(5))

    lucky, honest, wrong = [], [], 0
    for _ in range(40):
        asked_records = pooled([alike() for _ in range(120)])
        told = compare(history(candidates, asked_records), asked_records, Objective())
        if told.gain is not None:
            lucky.append(told.lines[1].saved.value)
            honest.append(told.gain.value)
            wrong += told.better
    assert sum(lucky) / len(lucky) > 0.03
    assert sum(honest) / len(honest) < 0.01
    assert wrong <= 4


@pytest.mark.parametrize("seed", range(4))
def test_one_order_alone_tells_its_own_cost_and_where_to_stop_but_not_another_order(seed):
    candidates, people = resold(random.Random(seed), records=2000)
    seen = pooled([as_run(candidates, c, LISTED) for c in people])
    told = compare(history(candidates, people), seen, Objective())
    today, best, *usual = told.lines
    truth = play(candidates, people, [LISTED])
    assert not told.identified
    assert today.basis == "ledger"
    assert today.usd_per_value.value == pytest.approx(truth.usd_per_value.value)
    assert best.order == today.order
    assert not told.better
    for line in usual:
        if line.order != today.order:
            assert line.basis == "not identified"
            assert line.usd_per_value is line.saved is None
    cheap = compare(history(candidates, people), seen, Objective("cost"))
    stops = [play(candidates, people, [LISTED[:k]]).usd_per_value.value for k in range(1, 5)]
    assert cheap.lines[1].usd_per_value.value == pytest.approx(min(stops))
    assert cheap.best == tuple(candidates[i].name for i in LISTED[: stops.index(min(stops)) + 1])


@pytest.mark.parametrize("seed", range(6))
def test_bounds_hold_for_every_order_whatever_was_not_asked(seed):
    rng = random.Random(seed)
    candidates, people = made.instance(rng, most_arms=4, asked_records=25)
    people = [c for c in people if any(r.able for r in c.replies)]
    listed = tuple(range(len(candidates)))
    seen = [as_run(candidates, c, listed) for c in people]
    # Prices are those of a population, so answers that nobody saw cost what the seen ones do.
    for order in every_order(len(candidates)):
        usd, filled = made.play(candidates, people, order)
        limits = bounds(candidates, history(candidates, people).prices, history(candidates, people).checks, seen, order)
        if filled:
            assert limits is not None
            assert limits[0] <= usd / filled + 1e-9
            assert usd / filled <= limits[1] + 1e-9


@pytest.mark.parametrize("seed", range(4))
def test_an_audited_share_makes_every_order_known(seed):
    rng = random.Random(seed)
    candidates, people = resold(rng, records=6000)
    seen = pooled([as_run(candidates, c, LISTED, audited=rng.random() < 0.25) for c in people])
    told = compare(history(candidates, people), seen, Objective())
    truth = solve(candidates, pooled(people)).cheapest()
    assert told.identified
    assert {line.basis for line in told.lines} <= {"ledger", "audit"}
    chosen = play(candidates, people, [[int(name[1:]) for name in told.best]])
    assert chosen.usd_per_record * 6000 <= truth.usd * 1.02
    for line in told.lines:
        if line.order:
            true = play(candidates, people, [[int(name[1:]) for name in line.order]]).usd_per_value.value
            assert abs(line.usd_per_value.value - true) / true < 0.1


def test_an_audit_that_is_not_through_tells_nothing_yet():
    rng = random.Random(2)
    candidates, people = resold(rng, records=1000)
    seen = []
    for case in people:
        drawn = rng.random() < 0.3
        full = as_run(candidates, case, LISTED, audited=drawn)
        seen.append(replace(as_run(candidates, case, LISTED), audited=True) if drawn and rng.random() < 0.3 else full)
    told = compare(history(candidates, people), pooled(seen), Objective())
    assert not told.identified
    assert told.incomplete > 0.05 * told.audited


def test_the_planned_audit_is_about_what_it_takes():
    rng = random.Random(4)
    candidates, people = resold(rng, records=10_000)
    first = compare(
        history(candidates, people), pooled([as_run(candidates, c, LISTED) for c in people]), Objective(), within=0.05
    )
    assert first.audit.planned_on == "independent hits"
    assert 0 < first.audit.share < 1
    share = first.audit.share
    seen = pooled([as_run(candidates, c, LISTED, audited=rng.random() < share) for c in people])
    then = compare(history(candidates, people), seen, Objective(), within=0.05)
    saved = then.lines[1].saved
    assert (saved.high - saved.low) / 2 < 2 * 0.05
    assert then.audit.planned_on == "audited records"
    whole = sum(sum(r.usd for r in c.replies) for c in people) / len(people)
    today = play(candidates, people, [LISTED]).usd_per_record
    assert then.audit.usd == pytest.approx(then.audit.records * (whole - today), rel=0.1)


@pytest.mark.parametrize(
    "objective",
    [
        Objective("cost"),
        Objective("net", value_usd=0.08),
        Objective("budget", budget_usd=0.04),
        Objective(at_least=0.7),
    ],
)
def test_each_objective_is_the_best_of_all_orders_and_stops(objective):
    candidates, people = resold(random.Random(7), records=500)
    asked_records = pooled([replace(c, audited=True) for c in people])
    told = compare(history(candidates, people), asked_records, objective)
    played = {o: made.play(candidates, asked_records, o) for o in every_order(4)}
    most = max(f for _, f in played.values())
    usd, filled = played[tuple(int(name[1:]) for name in told.best)]
    if objective.kind == "cost":
        assert usd / filled == pytest.approx(min(u / f for u, f in played.values() if f))
    elif objective.kind == "net":
        assert 0.08 * filled - usd == pytest.approx(max(0.08 * f - u for u, f in played.values()))
    elif objective.kind == "budget":
        assert filled == max(f for u, f in played.values() if u <= 0.04 * 500 + 1e-9)
    else:
        assert usd == pytest.approx(min(u for u, f in played.values() if f >= 0.7 * most - 1e-9))


@pytest.mark.parametrize("wrong", [False, True])
def test_where_everybody_is_paid_by_the_hit_the_best_order_needs_no_audit(wrong):
    rng = random.Random(8)
    candidates, prices = [Candidate(f"p{i}", 1) for i in range(3)], (0.3, 0.1, 0.2)
    people = []
    for _ in range(400):
        hits = [rng.random() < 0.5 for _ in candidates]
        lost = wrong and rng.random() < 0.1
        replies = [KnownReply(p, int(not lost), True) if h else KnownReply() for p, h in zip(prices, hits, strict=True)]
        people.append(AskedRecord(1.0, 1, tuple(replies), fold=rng.randrange(5)))
    seen = pooled([as_run(candidates, c, (0, 1, 2)) for c in people])
    told = compare(history(candidates, seen), seen, Objective())
    assert told.by_rule == (() if wrong else ("p1", "p2", "p0"))
    if told.by_rule:
        assert solve(candidates, people).cheapest().order == (1, 2, 0)
    assert compare(history(candidates, seen), seen, Objective("cost")).by_rule == ()


@pytest.mark.parametrize(("records", "kept"), [(120, True), (600, False)])
def test_nobody_is_dropped_on_few_records(records, kept):
    rng = random.Random(3)
    candidates = [Candidate("idle", 1), Candidate("good", 1)]
    people = [
        AskedRecord(
            1.0,
            1,
            (KnownReply(0.01), KnownReply(0.1, 1, True) if rng.random() < 0.6 else KnownReply()),
            True,
            rng.randrange(5),
        )
        for _ in range(records)
    ]
    told = compare(history(candidates, people), pooled(people), Objective())
    assert told.best == (("good", "idle") if kept else ("good",))
    assert compare(history(candidates, people), pooled(people), Objective("cost")).best == ("good",)


def test_another_order_is_known_from_the_ledger_only_where_all_of_it_is():
    """The few records that nobody knows are those on which the orders differ."""
    candidates = (Candidate("a", 1), Candidate("b", 1))
    asked_records = [
        AskedRecord(990, 1, (KnownReply(), KnownReply())),
        AskedRecord(10, 1, (KnownReply(0.1, 1, True), None)),
    ]
    today, _, cheapest, *_ = compare(history(candidates, asked_records), asked_records, Objective()).lines
    assert (today.order, today.basis) == (("a", "b"), "ledger")
    assert (cheapest.order, cheapest.basis) == (("b", "a"), "not identified")


def test_of_orders_that_cost_the_same_todays_is_the_best():
    candidates = tuple(Candidate(name, 1) for name in "abc")
    hit, miss = KnownReply(0.1, 1, True), KnownReply(0.1)
    each = [tuple(hit if i == k else miss for i in range(3)) for k in range(3)]
    asked_records = [AskedRecord(20, 1, replies, True, fold) for replies in each for fold in range(5)]
    told = compare(history(candidates, asked_records), asked_records, Objective())
    assert told.identified
    assert told.best == ("a", "b", "c")
    assert told.gain is None

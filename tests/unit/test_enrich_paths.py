"""What is counted of a stage, and of whom nothing may be concluded."""

from __future__ import annotations

from revetl.enrich.forecasting.paths import Outcome, State, seen_along
from revetl.enrich.ordering.cases import UNABLE, Arm, Case, Check, Reply

EMAIL, TITLE, BOTH = 1, 2, 3
ARMS = (Arm("a", BOTH), Arm("b", BOTH))
MISS, HIT = Reply(), Reply(0.1, BOTH, True)


def test_a_stage_is_counted_by_what_was_lacking_when_a_record_came_to_it():
    bad_email = Reply(0.1, TITLE, True, (Check(0, 0.01, 1),))
    cases = [
        Case(5, BOTH, (HIT, None)),  # done: nobody else is asked
        Case(3, BOTH, (bad_email, Reply(0.1, BOTH, True))),
        Case(2, BOTH, (MISS, MISS)),
        Case(4, EMAIL, (UNABLE, HIT)),
    ]
    first, second = seen_along(ARMS, cases)
    assert first == {
        State(BOTH, 0, BOTH, False): {
            Outcome(True, BOTH, 0): 5,
            Outcome(True, TITLE, EMAIL): 3,
            Outcome(False, 0, 0): 2,
        }
    }
    assert second == {
        State(BOTH, 1, EMAIL, False): {Outcome(True, EMAIL, 0): 3},
        State(BOTH, 1, BOTH, False): {Outcome(False, 0, 0): 2},
        State(EMAIL, 0, EMAIL, False): {Outcome(True, EMAIL, 0): 4},
    }


def test_under_another_order_only_the_audited_tell():
    """b was asked first, so a is known for what b left: that is not what a finds when it comes first."""
    cases = [
        Case(50, EMAIL, (None, HIT)),
        Case(40, EMAIL, (HIT, MISS)),
        Case(6, EMAIL, (HIT, HIT), audited=True),
        Case(4, EMAIL, (MISS, HIT), audited=True),
    ]
    first, second = seen_along(ARMS, cases)
    asked = State(EMAIL, 0, EMAIL, False)
    assert first[asked] == {Outcome(True, EMAIL, 0): 6, Outcome(False, 0, 0): 4}
    assert second[State(EMAIL, 1, EMAIL, False)] == {Outcome(True, EMAIL, 0): 4}
    assert seen_along(ARMS, cases[:2]) == [{}, {}]


def test_a_run_that_a_budget_ended_still_tells_of_the_records_that_it_came_to():
    cases = [Case(50, EMAIL, (MISS, None)), Case(50, EMAIL, (MISS, HIT))]
    _, second = seen_along(ARMS, cases)
    assert second == {State(EMAIL, 1, EMAIL, False): {Outcome(True, EMAIL, 0): 50}}


def test_the_audited_are_asked_whatever_they_lack_and_are_counted_apart():
    checked = Reply(0.1, EMAIL, True, (Check(0, 0.01, 2),))
    _, second = seen_along(ARMS, [Case(7, EMAIL, (HIT, checked), audited=True)])
    assert second == {State(EMAIL, 1, 0, True): {Outcome(True, 0, EMAIL): 7}}

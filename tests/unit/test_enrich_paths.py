"""What is counted of a stage, and of whom nothing may be concluded."""

from __future__ import annotations

from revetl.enrich.forecasting.paths import LookupOutcome, RecordState, observed_outcomes
from revetl.enrich.ordering.asked_records import UNABLE, AskedRecord, Candidate, KnownReply, VerificationCharge

EMAIL, TITLE, BOTH = 1, 2, 3
ARMS = (Candidate("a", BOTH), Candidate("b", BOTH))
MISS, HIT = KnownReply(), KnownReply(0.1, BOTH, True)


def test_a_stage_is_counted_by_what_was_lacking_when_a_record_came_to_it():
    bad_email = KnownReply(0.1, TITLE, True, (VerificationCharge(0, 0.01, 1),))
    asked_records = [
        AskedRecord(5, BOTH, (HIT, None)),  # done: nobody else is asked
        AskedRecord(3, BOTH, (bad_email, KnownReply(0.1, BOTH, True))),
        AskedRecord(2, BOTH, (MISS, MISS)),
        AskedRecord(4, EMAIL, (UNABLE, HIT)),
    ]
    first, second = observed_outcomes(ARMS, asked_records)
    assert first == {
        RecordState(BOTH, 0, BOTH, False): {
            LookupOutcome(True, BOTH, 0): 5,
            LookupOutcome(True, TITLE, EMAIL): 3,
            LookupOutcome(False, 0, 0): 2,
        }
    }
    assert second == {
        RecordState(BOTH, 1, EMAIL, False): {LookupOutcome(True, EMAIL, 0): 3},
        RecordState(BOTH, 1, BOTH, False): {LookupOutcome(False, 0, 0): 2},
        RecordState(EMAIL, 0, EMAIL, False): {LookupOutcome(True, EMAIL, 0): 4},
    }


def test_under_another_order_only_the_audited_tell():
    """b was asked first, so a is known for what b left: that is not what a finds when it comes first."""
    asked_records = [
        AskedRecord(50, EMAIL, (None, HIT)),
        AskedRecord(40, EMAIL, (HIT, MISS)),
        AskedRecord(6, EMAIL, (HIT, HIT), audited=True),
        AskedRecord(4, EMAIL, (MISS, HIT), audited=True),
    ]
    first, second = observed_outcomes(ARMS, asked_records)
    asked = RecordState(EMAIL, 0, EMAIL, False)
    assert first[asked] == {LookupOutcome(True, EMAIL, 0): 6, LookupOutcome(False, 0, 0): 4}
    assert second[RecordState(EMAIL, 1, EMAIL, False)] == {LookupOutcome(True, EMAIL, 0): 4}
    assert observed_outcomes(ARMS, asked_records[:2]) == [{}, {}]


def test_a_run_that_a_budget_ended_still_tells_of_the_records_that_it_came_to():
    asked_records = [AskedRecord(50, EMAIL, (MISS, None)), AskedRecord(50, EMAIL, (MISS, HIT))]
    _, second = observed_outcomes(ARMS, asked_records)
    assert second == {RecordState(EMAIL, 1, EMAIL, False): {LookupOutcome(True, EMAIL, 0): 50}}


def test_the_audited_are_asked_whatever_they_lack_and_are_counted_apart():
    checked = KnownReply(0.1, EMAIL, True, (VerificationCharge(0, 0.01, 2),))
    _, second = observed_outcomes(ARMS, [AskedRecord(7, EMAIL, (HIT, checked), audited=True)])
    assert second == {RecordState(EMAIL, 1, 0, True): {LookupOutcome(True, 0, EMAIL): 7}}

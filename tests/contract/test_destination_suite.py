"""The suite itself: a connector that keeps the contract passes, one with a fault is found, a waiver must be needed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from revetl.model import Scalar
from tests.support import small_connector as small
from tests.support.small_connector import SmallConnector, SmallSuite


class TestSmallConnector(SmallSuite):
    """Keeps the contract."""


class TestSmallConnectorByJobs(SmallSuite):
    """Keeps it with jobs too."""

    connector = small.ByJobs


class TestSmallConnectorOfEvents(SmallSuite):
    """And with events that nobody can see."""

    connector = small.Events


def passes(connector: type[SmallConnector], test: str) -> bool:
    class Suite(SmallSuite):
        pass

    Suite.connector = connector
    try:
        getattr(Suite(), test)()
    except (Exception, pytest.fail.Exception):  # noqa: BLE001 - whatever it is, the test fails
        return False
    return True


@pytest.mark.parametrize(
    ("connector", "found_by"),
    [
        (small.ByOrder, "test_outcomes_are_attributed_by_ordinal_whatever_the_order_of_answers"),
        (small.WholeBatchOk, "test_a_refused_record_costs_no_other"),
        (small.MissingIsOk, "test_what_the_vendor_did_not_answer_for_is_never_ok"),
        (small.DropsRefused, "test_a_refused_record_costs_no_other"),
        (small.OneRefusesAll, "test_a_refused_record_costs_no_other"),
        (small.DeletesTheFirst, "test_several_deletes_are_each_done_and_answered_by_name"),
        (small.DeletesByOrder, "test_several_deletes_are_each_done_and_answered_by_name"),
        (small.GoneIsRejected, "test_a_delete_of_what_is_gone_is_no_refusal"),
        (small.SearchesUnescaped, "test_look_up_finds_values_that_need_escaping"),
        (small.SearchesWords, "test_look_up_finds_values_that_need_escaping"),
        (small.SearchesAscii, "test_look_up_finds_values_that_need_escaping"),
        (small.Sleeps, "test_write_neither_sleeps_nor_reads_the_environment"),
        (small.BlocksTheLoop, "test_write_neither_sleeps_nor_reads_the_environment"),
        (small.ReadsTheEnvironment, "test_write_neither_sleeps_nor_reads_the_environment"),
        (small.DoublesOnRepeat, "test_a_repeat_makes_no_second_record"),
        (small.Leaks, "test_no_secret_shows_in_reprs_errors_outcomes_or_logs"),
        (small.LeaksInErrors, "test_no_secret_shows_in_reprs_errors_outcomes_or_logs"),
        (small.LostIsRejected, "test_a_lost_answer_is_unknown_and_never_ok"),
        (small.LostIsOk, "test_lost_answers_are_healed_by_the_next_run"),
        (small.SwallowsDenied, "test_refused_credentials_leave_as_denied"),
        (small.ChokesOnTheLimit, "test_a_batch_of_exactly_the_limit_is_taken_whole"),
        (small.ComparesAsSent, "test_normalise_is_idempotent_and_agrees_with_what_the_vendor_stores"),
        (small.NormalisesTwice, "test_normalise_is_idempotent_and_agrees_with_what_the_vendor_stores"),
        (small.FindsTheAbsent, "test_look_up_finds_what_stands_and_nothing_else"),
        (small.AsksWhenOpened, "test_opening_asks_the_vendor_nothing"),
    ],
    ids=lambda value: value.__name__ if isinstance(value, type) else "",
)
def test_a_fault_is_found(connector: type[SmallConnector], found_by: str) -> None:
    assert passes(SmallConnector, found_by)
    assert not passes(connector, found_by)


def test_the_crash_test_finds_a_second_record() -> None:
    """Not by the repeat alone: under the real engine, after the process died between the vendor's work and its word."""

    class Doubles(small.DoublesOnRepeat):
        """Nothing can be looked up either, so nothing heals it."""

        look_up = None  # type: ignore[assignment]

    assert not passes(Doubles, "test_a_crash_at_any_write_loses_nothing_and_doubles_nothing")


def test_a_poison_that_changes_the_identity_is_refused_with_the_reason() -> None:
    class Suite(SmallSuite):
        def poison(self, fields: Mapping[str, Scalar]) -> dict[str, Scalar]:
            return {**fields, "email": "no address"}

    with pytest.raises(AssertionError, match="`poison` changes 'email', which is the identity"):
        Suite().test_a_refused_record_costs_no_other()


def test_values_of_the_identity_are_refused_with_the_reason() -> None:
    class Suite(SmallSuite):
        def values(self) -> Mapping[str, Any]:
            return {"email": ["one@x.io", "two@x.io"]}

    with pytest.raises(AssertionError, match="`values` names 'email', which is the identity"):
        Suite().test_normalise_is_idempotent_and_agrees_with_what_the_vendor_stores()


def test_a_job_that_only_its_own_process_can_follow_is_found() -> None:
    assert passes(small.ByJobs, "test_a_job_is_followed_by_another_process")
    assert not passes(small.ForgetsJobs, "test_a_job_is_followed_by_another_process")
    assert not passes(small.ForgetsJobs, "test_a_crash_at_any_write_loses_nothing_and_doubles_nothing")


def test_a_waiver_names_a_test_and_its_reason() -> None:
    with pytest.raises(TypeError, match="no test 'test_nothing'"):
        type("Suite", (SmallSuite,), {"waivers": {"test_nothing": "because"}})
    with pytest.raises(TypeError, match="has no reason"):
        type("Suite", (SmallSuite,), {"waivers": {"test_check_says_a_line_for_people": " "}})


def test_a_waiver_that_is_needed_holds_and_one_that_is_not_fails() -> None:
    class Suite(SmallSuite):
        connector = small.AsksWhenOpened
        waivers: Mapping[str, str] = {  # type: ignore[misc]
            "test_opening_asks_the_vendor_nothing": "its sessions begin with a request",
            "test_check_says_a_line_for_people": "no reason at all",
            "test_links_are_made_once_and_removed": "skipped: it has no links",
        }

    with pytest.raises(pytest.xfail.Exception, match="its sessions begin"):
        Suite().test_opening_asks_the_vendor_nothing()
    with pytest.raises(pytest.fail.Exception, match="not needed"):
        Suite().test_check_says_a_line_for_people()
    with pytest.raises(pytest.fail.Exception, match="not needed"):
        Suite().test_links_are_made_once_and_removed()


# The HTTP sink, against a receiver behind a real socket.

"""A provider whose charged answers hold nothing is left alone after a few dozen."""

from __future__ import annotations

from decimal import Decimal

from revetl.enrich.execution.usable_answers import EMPTY_AT_MOST, UsableAnswers
from revetl.providers.base import Answer, ProvidedValue

EMPTY = Answer("miss", 200, charged_usd=Decimal("0.1"), empty_hit=True)
FREE = Answer("miss", 200, empty_hit=True)
MISS = Answer("miss", 404, charged_usd=Decimal("0.1"))
HIT = Answer("hit", 200, (ProvidedValue("phone", "1"),), Decimal("0.1"))


def stopped_after(*answers: Answer) -> int | None:
    usable = UsableAnswers()
    for number, answer in enumerate(answers, 1):
        if usable.reason_to_stop("acme.phone", answer):
            return number
    return None


def test_nothing_in_a_few_dozen_paid_answers_is_a_wrong_pointer() -> None:
    assert stopped_after(*[EMPTY] * 100) == EMPTY_AT_MOST
    assert stopped_after(*[MISS] * 50, *[EMPTY] * 100) == 50 + EMPTY_AT_MOST
    said = UsableAnswers()
    reasons = [said.reason_to_stop("acme.phone", EMPTY) for _ in range(EMPTY_AT_MOST)]
    assert "revetl provider test acme.phone" in (reasons[-1] or "")


def test_one_value_shows_that_the_pointers_are_right_and_what_is_free_costs_nothing() -> None:
    assert stopped_after(HIT, *[EMPTY] * 1000) is None
    assert stopped_after(*[FREE] * 1000, *[MISS] * 1000) is None

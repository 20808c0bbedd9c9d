"""What an answer means for a run: the values that it gave, whether each is good enough, for how long it stands."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Protocol

from revetl.enrich.execution.run import WaterfallRun
from revetl.enrich.execution.run_ledger import ReservedCall
from revetl.enrich.selection.question import Question, ReusableValue
from revetl.enrich.waterfall import Stage, WantedField
from revetl.providers.base import Answer
from revetl.state.values import VERIFICATION, ValueRow


def reason_to_reject(wanted: WantedField | None, confidence: float | None, verification: str | None) -> str | None:
    """The word that stands in `rejected_reason`; None: the value is accepted.

    `not_verified` is the only reason that a verifier may still lift, so it comes last: what fails on other grounds is
    not worth a verifier's price.
    """
    if wanted is None:
        return "not_wanted"
    if confidence is not None and confidence < wanted.accept.min_confidence:
        return "low_confidence"
    if verification == "invalid":
        return "invalid"
    if wanted.accept.verified and verification == "catch_all":
        return "catch_all"
    if wanted.accept.verified and verification != "valid":
        return "not_verified"
    return None


class AnswerHandler(Protocol):
    """What is done with the answers of one provider in one run."""

    def values(self, reserved: ReservedCall, answer: Answer, at: datetime) -> list[ValueRow]:
        """The rows that a hit gives."""
        ...

    def needs_verification(self, values: Sequence[ValueRow]) -> bool:
        """Whether one of these values still has to be verified, so that the money for it stays reserved."""
        ...

    def suppress(self, question: Question) -> None:
        """The vendor says that the person asked not to be processed. Runs in the transaction that writes the answer."""
        ...


class FinderAnswers:
    """Of a provider that finds values. `stage`: where the waterfall asks it."""

    def __init__(self, run: WaterfallRun, provider: str, stage: Stage) -> None:
        self._run = run
        self._provider = run.providers[provider].spec
        self._verify = stage.verify

    def values(self, reserved: ReservedCall, answer: Answer, at: datetime) -> list[ValueRow]:
        """One row per record that the question serves and value that was given; rejected ones with the reason."""
        return [
            ValueRow(
                self._run.entity,
                key,
                given.field,
                given.value,
                self._provider.name,
                given.confidence,
                given.verification,
                reserved.call.call_id,
                at,
                at + timedelta(days=self._provider.ttl_hit_days(given.field)),
                reason_to_reject(self._run.spec.fields.get(given.field), given.confidence, given.verification),
            )
            for key in reserved.question.keys
            for given in answer.values
        ]

    def needs_verification(self, values: Sequence[ValueRow]) -> bool:
        return any(v.rejected_reason == "not_verified" and v.field in self._verify for v in values)

    def suppress(self, question: Question) -> None:
        self._run.suppress(question)


class VerifierAnswers:
    """Of a provider that says whether a value is true. Its question has one input: the value, named by its field."""

    def __init__(self, run: WaterfallRun, verifier: str) -> None:
        self._run = run
        self._provider = run.providers[verifier].spec

    def values(self, reserved: ReservedCall, answer: Answer, at: datetime) -> list[ValueRow]:
        """One row about the value itself, whoever's it is; none where the verifier said nothing."""
        said = next((v for v in answer.values if v.verification is not None), None)
        if said is None:
            return []
        ((field, value),) = reserved.question.inputs.items()
        # A verifier's `unknown` is no knowledge: it is asked again as after a miss.
        unknown = said.verification == "unknown"
        days = self._provider.ttl_miss_days if unknown else self._provider.ttl_hit_days(field)
        return [
            ValueRow(
                VERIFICATION,
                reserved.question.request_hash,
                field,
                value,
                self._provider.name,
                said.confidence,
                said.verification,
                reserved.call.call_id,
                at,
                at + timedelta(days=days),
                None,
            )
        ]

    def needs_verification(self, values: Sequence[ValueRow]) -> bool:
        return False

    def suppress(self, question: Question) -> None:
        self._run.suppress(question)


class FetchedAnswers(FinderAnswers):
    """Of a job that an earlier run submitted. The ledger knows the records of its questions and not their inputs, so
    who is behind them is read from the records."""

    def suppress(self, question: Question) -> None:
        questions = self._run.questions()
        identities = tuple(filter(None, (questions.identity(key) for key in question.keys)))
        super().suppress(replace(question, identities=identities))


def reused_value(run: WaterfallRun, provider: str, found: ReusableValue) -> ValueRow:
    """What an equal question brought for another record, as a value of this one, judged by this waterfall's rule."""
    return ValueRow(
        run.entity,
        found.key,
        found.field,
        found.value,
        provider,
        found.confidence,
        found.verification,
        found.call_id,
        found.observed_at.replace(tzinfo=UTC),
        None if found.expires_at is None else found.expires_at.replace(tzinfo=UTC),
        reason_to_reject(run.spec.fields.get(found.field), found.confidence, found.verification),
    )

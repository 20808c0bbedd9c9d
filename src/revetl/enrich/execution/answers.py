"""Answers as rows of values: what was given, whether it is good enough, for how long it stands."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from revetl.enrich.execution.acceptance import judge
from revetl.enrich.execution.admission import Job
from revetl.enrich.selection.questions import ReusableValue
from revetl.enrich.waterfall import WaterfallSpec
from revetl.providers.base import Answer
from revetl.providers.grammar import ProviderSpec
from revetl.state.values import VERIFICATION, ValueRow


@dataclass(frozen=True, slots=True)
class Reading:
    """How one waterfall reads answers. `entity` is the name under which values are kept."""

    spec: WaterfallSpec
    terms: Mapping[str, ProviderSpec]
    entity: str

    def values(self, provider: str, job: Job, answer: Answer, at: datetime) -> list[ValueRow]:
        """For each record that the question serves, each value that was given."""
        terms = self.terms[provider]
        return [
            ValueRow(
                self.entity,
                key,
                given.field,
                given.value,
                provider,
                given.confidence,
                given.verification,
                job.call.call_id,
                at,
                at + timedelta(days=terms.ttl_hit_days(given.field)),
                judge(self.spec.fields.get(given.field), given.confidence, given.verification),
            )
            for key in job.question.keys
            for given in answer.values
        ]

    def verdict(self, verifier: str, job: Job, answer: Answer, at: datetime) -> list[ValueRow]:
        """What the verifier said of the value itself, as one row; nothing where it said nothing. The field is the one
        input of the question."""
        said = next((v for v in answer.values if v.verification is not None), None)
        if said is None:
            return []
        ((field, value),) = job.question.inputs.items()
        terms = self.terms[verifier]
        # A verifier's `unknown` is no knowledge: it is asked again as after a miss.
        days = terms.ttl_miss_days if said.verification == "unknown" else terms.ttl_hit_days(field)
        return [
            ValueRow(
                VERIFICATION,
                job.question.request_hash,
                field,
                value,
                verifier,
                said.confidence,
                said.verification,
                job.call.call_id,
                at,
                at + timedelta(days=days),
                None,
            )
        ]

    def reused(self, provider: str, found: ReusableValue) -> ValueRow:
        """A value that another record's answer gave, judged by this waterfall's rule."""
        ends = None if found.expires_at is None else found.expires_at.replace(tzinfo=UTC)
        return ValueRow(
            self.entity,
            found.key,
            found.field,
            found.value,
            provider,
            found.confidence,
            found.verification,
            found.call_id,
            found.observed_at.replace(tzinfo=UTC),
            ends,
            judge(self.spec.fields.get(found.field), found.confidence, found.verification),
        )

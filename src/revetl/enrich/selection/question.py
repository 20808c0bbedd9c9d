"""What a provider is asked, and what an earlier answer to the same question gave."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import NamedTuple

from revetl.privacy.suppressions import Suppressions
from revetl.providers.base import Verification


@dataclass(frozen=True, slots=True)
class Question:
    """One call to make. `keys` are the records that its answer serves. `identities` are all inputs that are known of
    the people behind them, each person once; of a company they are the company's own. `digests`: by what it names whom
    it is about (see `selection/identities.py`); none of a verifier's."""

    request_hash: str
    keys: tuple[str, ...]
    inputs: Mapping[str, str]
    identities: tuple[Mapping[str, str], ...]
    digests: Mapping[str, str] = field(default_factory=dict)

    def allowed(self, suppressions: Suppressions) -> Question:
        """The question for those of its records that may be asked about. Without any where somebody behind it is
        suppressed: no answer may be asked for then."""
        keys = self.keys
        if any(identity in suppressions for identity in self.identities):
            keys = ()
        return replace(self, keys=tuple(key for key in keys if not suppressions.is_erased(key)))


class ReusableValue(NamedTuple):
    """For the record `key`: what a fresh answer to an equal question gave to another one. Times are in UTC, naive."""

    key: str
    field: str
    value: str
    confidence: float | None
    verification: Verification | None
    call_id: str
    observed_at: datetime
    expires_at: datetime | None

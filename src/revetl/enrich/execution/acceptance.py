"""Whether a value is good enough, and if not, why: the word that stands in `rejected_reason`."""

from __future__ import annotations

from revetl.enrich.waterfall import Want
from revetl.providers.base import Verification


def judge(want: Want | None, confidence: float | None, verification: Verification | None) -> str | None:
    """None: accepted. `not_verified` is the only reason that a verifier may still lift, so it comes last: what fails
    on other grounds is not worth a verifier's price."""
    if want is None:
        return "not_wanted"
    if confidence is not None and confidence < want.accept.min_confidence:
        return "low_confidence"
    if verification == "invalid":
        return "invalid"
    if want.accept.verified and verification == "catch_all":
        return "catch_all"
    if want.accept.verified and verification != "valid":
        return "not_verified"
    return None

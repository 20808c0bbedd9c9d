"""What an endpoint fills: where a value stands in the answer, and how sure the vendor is of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field

from revetl.providers.base import Verification
from revetl.providers.grammar.model import GrammarModel, OneOrMany, Pointer, Pointers

Entity = Literal["person", "company"]
Transform = Literal["lower", "upper", "strip", "title", "first", "last", "https", "digits", "year"]

# Names that the specs of revetl use. They are never taken for misspelt, so that a spec serves projects which want only
# some of its fields; which fields a project wants is said by its models (`enrichable` columns).
COMMON_FIELDS: Mapping[Entity, tuple[str, ...]] = {
    "person": ("email", "phone", "job_title", "seniority", "linkedin_url", "city", "country"),
    "company": ("industry", "employee_count", "founded_year", "linkedin_url", "city", "country", "lei"),
}


class ConfidenceRule(GrammarModel):
    """Where the vendor's own certainty stands and the number that means certain: 10 for PDL's likelihood."""

    at: Pointer
    scale: float = Field(default=1.0, gt=0)


class VerificationRule(GrammarModel):
    """Where a verifier's word stands, and what each of its words means. A word that is not listed is `unknown`."""

    at: Pointer
    map: Mapping[str, Verification] = Field(min_length=1)


class Output(GrammarModel):
    """One field that the vendor fills: the first of `at` that holds a usable value, transformed in order, then mapped.

    `map` translates the vendor's words into ours; a word that is not listed gives no value.
    `confidence` and `verification` override the endpoint's.
    """

    at: Pointers
    transform: Annotated[tuple[Transform, ...], OneOrMany()] = ()
    map: Mapping[str, str] | None = None
    confidence: ConfidenceRule | None = None
    verification: VerificationRule | None = None

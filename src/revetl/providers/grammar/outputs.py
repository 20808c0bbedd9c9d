"""What an endpoint fills: where a value stands in the answer, and how sure the vendor is of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from revetl.one_or_many import OneOrMany
from revetl.providers.base import Verification
from revetl.providers.grammar.model import GrammarModel, Pointer, Pointers

Entity = Literal["person", "company"]
Transform = Literal["lower", "upper", "strip", "title", "first", "last", "https", "digits", "year"]

# Names that the specs of revetl use. They are never taken for misspelt, so that a spec serves projects which want only
# some of its fields; which fields a project wants is said by its models (`enrichable` columns).
COMMON_FIELDS: Mapping[Entity, tuple[str, ...]] = {
    "person": ("email", "phone", "job_title", "seniority", "linkedin_url", "city", "country"),
    "company": (
        "industry",
        "employee_count",
        "founded_year",
        "linkedin_url",
        "city",
        "country",
        "lei",
        "revenue_range",
    ),
}


class ConfidenceRule(GrammarModel):
    """Where the vendor's own certainty stands: a number, of which `scale` means certain (10 for PDL's likelihood), or a
    grade, of which `map` says how certain each is, 0 to 1. A grade that is not listed is no confidence at all: 0."""

    at: Pointer
    scale: float = Field(default=1.0, gt=0)
    map: Mapping[str, Annotated[float, Field(ge=0, le=1)]] | None = Field(default=None, min_length=1)

    @model_validator(mode="after")
    def _number_or_grade(self) -> Self:
        if self.map is not None and "scale" in self.model_fields_set:
            raise ValueError("a number has 'scale', a grade has 'map'")
        return self


class VerificationRule(GrammarModel):
    """Where a verifier's word stands, and what each of its words means. A word that is not listed is `unknown`."""

    at: Pointer
    map: Mapping[str, Verification] = Field(min_length=1)


class ListItem(GrammarModel):
    """The item of the list at `from` (the first of several pointers that holds one) whose value at `at`, a pointer into
    the item, is `equals`, or one of a list: then an item of the first listed value goes before one of the next."""

    list_at: Pointers = Field(alias="from")
    at: Pointer
    equals: Any


class Output(GrammarModel):
    """One field that the vendor fills: the first of `at` that holds a usable value, transformed in order, then mapped.

    `pick`: not from the whole answer but from one item of a list, where the output's own `at`, `confidence` and
    `verification` then point into the item; without such an item there is no value.

    `map` translates the vendor's words into ours; a word that is not listed gives no value.
    `confidence` and `verification` override the endpoint's.
    """

    at: Pointers
    pick: ListItem | None = None
    transform: Annotated[tuple[Transform, ...], OneOrMany()] = ()
    map: Mapping[str, str] | None = None
    confidence: ConfidenceRule | None = None
    verification: VerificationRule | None = None

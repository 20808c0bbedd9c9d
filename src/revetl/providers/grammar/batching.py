"""Many lookups in one request, and whose each record of the answer is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

from pydantic import Field

from revetl.one_or_many import OneOrMany
from revetl.providers.grammar.model import GrammarModel, Pointer, PointerOrWhole, Pointers
from revetl.providers.grammar.templates import texts
from revetl.providers.grammar.verdicts import VerdictRow

# What the vendor says of one record of a batch; the meanings are those of `LookupVerdict`.
RecordVerdict = Literal["hit", "miss", "suppressed", "bad_input", "unavailable", "out_of_credits", "ambiguous"]


class RecordRow(VerdictRow):
    """One row of the table over a record. `at` points into the record; a row without it matches every one."""

    verdict: RecordVerdict


class RecordMatching(GrammarModel):
    """Where a record of the answer says whose it is (the first of `at` that holds something), and what stands there:
    text with `{ref}` or an input in it, compared without letter case."""

    at: Pointers
    equals: str = "{ref}"


class BatchRequest(GrammarModel):
    """Up to `size` lookups in one request: each as `item`, in a list at `at` of the request's body.

    The answer's records stand in the list at `results`, or in several. Without `match` they come in the order of the
    request, with none left out. `named` are lists beside it that hold names alone, by what being named there means:
    `{miss: /nobody}`. `status` without rows takes every record as a hit. Pointers of `outputs`, `confidence` and
    `verification` point into the record.
    """

    size: int = Field(ge=2, le=1000)
    at: Pointer
    item: Mapping[str, Any]
    results: Annotated[Annotated[tuple[PointerOrWhole, ...], Field(min_length=1)], OneOrMany()]
    match: RecordMatching | None = None
    named: Mapping[RecordVerdict, Pointer] = Field(default_factory=dict)
    status: tuple[RecordRow, ...] = ()

    def templates(self) -> Iterator[tuple[tuple[str | int, ...], str]]:
        """Every template, with its place inside the endpoint."""
        yield from texts(self.item, ("batch", "item"))
        if self.match is not None:
            yield ("batch", "match", "equals"), self.match.equals

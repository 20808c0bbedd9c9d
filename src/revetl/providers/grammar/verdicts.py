"""The status table: what an HTTP status and a look into the body mean for a lookup."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, WithJsonSchema, model_validator

from revetl.one_or_many import OneOrMany
from revetl.providers.grammar.model import GrammarModel, PointerOrWhole

# What one answer means.
#   hit, miss       an answer
#   suppressed      the person asked not to be processed: ask nobody again
#   bad_input       this lookup will never be taken
#   slow_down       wait; nothing was charged
#   in_progress     ask the same again; nothing is charged twice
#   submitted       the vendor works on it as a job, which is asked for by its id
#   out_of_credits, denied   the account can't go on
#   blocked         the account is shut out for a while, nothing was processed
#   unavailable     certainly not processed
#   ambiguous       may have been charged, so never repeated; also what a status that no row matches means
LookupVerdict = Literal[
    "hit",
    "miss",
    "slow_down",
    "out_of_credits",
    "blocked",
    "suppressed",
    "in_progress",
    "submitted",
    "bad_input",
    "denied",
    "unavailable",
    "ambiguous",
]

_STATUS = re.compile(r"[1-5](\d\d|xx)")


def _status(value: object) -> str:
    text = str(value)
    if isinstance(value, bool) or not _STATUS.fullmatch(text):
        raise ValueError(f"an HTTP status is a number or a class such as '5xx'; this is {text!r}")
    return text


HttpStatus = Annotated[str, BeforeValidator(_status), WithJsonSchema({"type": ["integer", "string"]})]
HttpStatuses = Annotated[Annotated[tuple[HttpStatus, ...], Field(min_length=1)], OneOrMany()]


class VerdictRow(GrammarModel):
    """One row of a table: where it looks in the body, what it expects there, and what that means.

    `at` with `equals`: the value at the pointer is that, or one of a list; null also matches where nothing stands.
    """

    at: PointerOrWhole | None = None
    equals: Any = None
    verdict: str

    @model_validator(mode="after")
    def _looks(self) -> Self:
        if ("equals" in self.model_fields_set) != ("at" in self.model_fields_set):
            raise ValueError("'at' and 'equals' go together")
        return self


class HttpRow(VerdictRow):
    """A row that also asks for an HTTP status: one, a class such as `5xx`, or a list of those."""

    http: HttpStatuses

    def matches_status(self, status: int) -> bool:
        return any(str(status) == s or (s.endswith("xx") and s[0] == str(status)[0]) for s in self.http)


class StatusRow(HttpRow):
    """One row of the status table; the first that matches gives the verdict.

    `wait_s`: the pause before the same is asked again (slow_down without Retry-After, in_progress). After `attempts`
    questions in all an in_progress answer counts as `then`.
    """

    verdict: LookupVerdict
    wait_s: float = Field(default=5.0, gt=0, le=3600)
    attempts: int = Field(default=3, ge=1, le=100)
    then: Literal["hit", "miss", "unavailable", "ambiguous"] = "ambiguous"

    @model_validator(mode="after")
    def _whole(self) -> Self:
        given = self.model_fields_set
        if self.verdict != "in_progress" and given & {"attempts", "then"}:
            raise ValueError("'attempts' and 'then' go with the verdict in_progress only")
        if self.verdict not in ("in_progress", "slow_down") and "wait_s" in given:
            raise ValueError("'wait_s' goes with the verdicts slow_down and in_progress only")
        return self

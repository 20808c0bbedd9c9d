"""Answers that come later: as a job that is polled for, or that calls."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from revetl.providers.grammar.model import GrammarModel, Pointer
from revetl.providers.grammar.verdicts import HttpRow

# What the answer to a poll means for the job.
#   hit, miss       it is done: the records say what was found; or nothing was, for any
#   in_progress     poll again
#   slow_down, unavailable   this poll was not answered: poll again
#   stopped         it ended early: what it found is paid for and taken, the rest was not looked for
#   out_of_credits  the same, and the account can't go on
PollVerdict = Literal[
    "hit", "miss", "in_progress", "slow_down", "unavailable", "stopped", "out_of_credits", "ambiguous"
]


class PollRow(HttpRow):
    """One row of the table over the answer to a poll. `wait_s`: the pause after this answer, in place of the usual."""

    verdict: PollVerdict
    wait_s: float | None = Field(default=None, gt=0, le=3600)

    @model_validator(mode="after")
    def _waits(self) -> Self:
        if self.wait_s is not None and self.verdict not in ("in_progress", "slow_down"):
            raise ValueError("'wait_s' goes with the verdicts slow_down and in_progress only")
        return self


class JobPoll(GrammarModel):
    """How a job's result is asked for: GET `path`, with `{job_id}` in it or in `query`; first after `every_s`, then
    after pauses that grow by `backoff` up to `longest_s`. After `patience_s` a later run goes on."""

    path: str = Field(pattern=r"^/([^{}?#\s]|\{job_id\})*$")
    query: Mapping[str, str] = Field(default_factory=dict)
    every_s: float = Field(default=30.0, gt=0, le=3600)
    backoff: float = Field(default=1.0, ge=1, le=10)
    longest_s: float = Field(default=300.0, gt=0, le=3600)
    patience_s: float = Field(default=1800.0, gt=0, le=86400)
    status: Annotated[tuple[PollRow, ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _names_the_job(self) -> Self:
        if not any("{job_id}" in text for text in (self.path, *self.query.values())):
            raise ValueError("a poll has to say which job: '{job_id}' in 'path' or in 'query'")
        return self


class CallbackSignature(GrammarModel):
    """A delivery is genuine where `header` holds the hex digest of the raw body under the account's api_key."""

    header: str
    algorithm: Literal["hmac-sha1", "hmac-sha256"]
    prefix: str = ""


class JobCallback(GrammarModel):
    """The vendor calls when a job is done: the address goes to `at` of the request's body; a delivery names its job at
    `id` and holds what a poll would. Polling begins only after `wait_s`."""

    at: Pointer
    id: Pointer
    signature: CallbackSignature
    wait_s: float = Field(default=300.0, gt=0, le=86400)


class AsyncJob(GrammarModel):
    """The answer to the request is a job; its id stands at `id`. `at_once`: how many may be under way at a time.

    Of a batch every `hit` of the status table is a job. Of one question the row says `submitted`, so that a vendor may
    also answer at once; the poll's answer is then read like the answer to the request.
    """

    id: Pointer
    at_once: int = Field(default=8, ge=1, le=1000)
    poll: JobPoll
    callback: JobCallback | None = None

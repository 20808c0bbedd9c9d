"""Many lookups in one request, and answers that come later: as a job that is polled for, or that calls."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from revetl.providers.spec.parts import AnyPointer, HttpRow, OneOrMany, Part, Pointer, Pointers, Row, texts

# What the vendor says of one record of a batch; the meanings are those of `Verdict`.
RecordVerdict = Literal["hit", "miss", "suppressed", "bad_input", "unavailable", "out_of_credits", "ambiguous"]
# What the answer to a poll means for the job.
#   hit, miss       it is done: the records say what was found; or nothing was, for any
#   in_progress     poll again
#   slow_down, unavailable   this poll was not answered: poll again
#   stopped         it ended early: what it found is paid for and taken, the rest was not looked for
#   out_of_credits  the same, and the account can't go on
PollVerdict = Literal[
    "hit", "miss", "in_progress", "slow_down", "unavailable", "stopped", "out_of_credits", "ambiguous"
]


class RecordRow(Row):
    """One row of the table over a record. `at` points into the record; a row without it matches every one."""

    verdict: RecordVerdict


class Match(Part):
    """Where a record of the answer says whose it is (the first of `at` that holds something), and what stands there:
    text with `{ref}` or an input in it, compared without letter case."""

    at: Pointers
    equals: str = "{ref}"


class Batch(Part):
    """Up to `size` lookups in one request: each as `item`, in a list at `at` of the request's body.

    The answer's records stand in the list at `results`, or in several. Without `match` they come in the order of the
    request, with none left out. `named` are lists beside it that hold names alone, by what being named there means:
    `{miss: /nobody}`. `status` without rows takes every record as a hit. Pointers of `outputs`, `confidence` and
    `verification` point into the record.
    """

    size: int = Field(ge=2, le=1000)
    at: Pointer
    item: Mapping[str, Any]
    results: Annotated[Annotated[tuple[AnyPointer, ...], Field(min_length=1)], OneOrMany()]
    match: Match | None = None
    named: Mapping[RecordVerdict, Pointer] = Field(default_factory=dict)
    status: tuple[RecordRow, ...] = ()

    def templates(self) -> Iterator[tuple[tuple[str | int, ...], str]]:
        """Every template, with its place inside the endpoint."""
        yield from texts(self.item, ("batch", "item"))
        if self.match is not None:
            yield ("batch", "match", "equals"), self.match.equals


class PollRow(HttpRow):
    """One row of the table over the answer to a poll. `wait_s`: the pause after this answer, in place of the usual."""

    verdict: PollVerdict
    wait_s: float | None = Field(default=None, gt=0, le=3600)

    @model_validator(mode="after")
    def _waits(self) -> Self:
        if self.wait_s is not None and self.verdict not in ("in_progress", "slow_down"):
            raise ValueError("'wait_s' goes with the verdicts slow_down and in_progress only")
        return self


class Poll(Part):
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


class Signature(Part):
    """A delivery is genuine where `header` holds the hex digest of the raw body under the account's api_key."""

    header: str
    algorithm: Literal["hmac-sha1", "hmac-sha256"]
    prefix: str = ""


class Callback(Part):
    """The vendor calls when a job is done: the address goes to `at` of the request's body; a delivery names its job at
    `id` and holds what a poll would. Polling begins only after `wait_s`."""

    at: Pointer
    id: Pointer
    signature: Signature
    wait_s: float = Field(default=300.0, gt=0, le=86400)


class Job(Part):
    """The answer to the request is a job; its id stands at `id`. `at_once`: how many may be under way at a time."""

    id: Pointer
    at_once: int = Field(default=8, ge=1, le=1000)
    poll: Poll
    callback: Callback | None = None

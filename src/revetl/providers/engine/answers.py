"""From the meaning of a response to what the caller gets: an `Answer`, or the error of its kind. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from revetl.errors import Ambiguous, Denied, Unavailable
from revetl.providers.base import Answer, AnswerStatus
from revetl.providers.engine.about import SOMEBODY_ELSE
from revetl.providers.engine.reading import ResponseMeaning
from revetl.providers.grammar import LookupVerdict

Failure = TypeVar("Failure", Denied, Unavailable, Ambiguous)

_ANSWERS: Mapping[LookupVerdict, AnswerStatus] = {
    "hit": "hit",
    "miss": "miss",
    "suppressed": "suppressed",
    "bad_input": "error",
}


@dataclass(frozen=True, slots=True)
class VendorResponse:
    """One HTTP response, or a delivery: headers by lower-case name, the body as JSON data (None where it was not JSON).

    `latency_ms` counts from handing the request over, waiting for a slot included; of a job, until its result.
    """

    status: int
    headers: Mapping[str, str]
    body: Any
    latency_ms: int


def answer(name: str, meaning: ResponseMeaning, response: VendorResponse) -> Answer | Denied | Unavailable | Ambiguous:
    """What the provider `name` says with this response; `response.body` is what the ledger keeps of it."""
    status = _ANSWERS.get(meaning.verdict)
    if status is None:
        return failure(name, meaning, response)
    empty = status == "hit" and not meaning.values
    if empty:
        status = "miss"  # a match that fills nothing; the vendor charges for it all the same
    said = response.body
    if meaning.error_code == SOMEBODY_ELSE:
        said = {SOMEBODY_ELSE: said}  # the ledger says why an answer that was charged gave nothing
    return Answer(
        status=status,
        http_status=response.status,
        values=meaning.values,
        charged_usd=meaning.charged_usd,
        latency_ms=response.latency_ms,
        response=said,
        error_code=meaning.error_code,
        credits=meaning.credits,
        empty_hit=empty,
    )


def failure(name: str, meaning: ResponseMeaning, response: VendorResponse) -> Denied | Unavailable | Ambiguous:
    """The error of a verdict that is no answer."""
    match meaning.verdict:
        case "out_of_credits":
            return error(name, Denied, "the account is out of credits", meaning, response)
        case "denied":
            return error(name, Denied, "the request was refused: check base_url and api_key", meaning, response)
        case "blocked":
            return error(name, Unavailable, "the account is shut out for a while", meaning, response)
        case "unavailable":
            return error(name, Unavailable, "the vendor can't answer now", meaning, response)
        case _:
            why = "the outcome is unknown" if meaning.row else "the answer is not one that its spec knows"
            return error(name, Ambiguous, f"{why}; it may have been charged", meaning, response)


def error(name: str, kind: type[Failure], what: str, meaning: ResponseMeaning, response: VendorResponse) -> Failure:
    """`kind` with a message that holds the vendor's word for it and nothing of a customer."""
    code = f", {meaning.error_code}" if meaning.error_code else ""
    return kind(f"{name}: {what} (HTTP {response.status}{code})", code=meaning.error_code, status=response.status)

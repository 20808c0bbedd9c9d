"""Salesforce's ways of saying no, and what its answers tell of the day's requests."""

from __future__ import annotations

import re
from collections.abc import Mapping
from math import inf
from typing import Any

from revetl.errors import Rejected
from revetl.http import Response, ResponseVerdict, Session, one_word
from revetl.json_documents import parse_json

# A refusal because of a value that no org takes. What an administrator or another record can change is not among them.
IN_ROW = frozenset(
    {
        *("INVALID_EMAIL_ADDRESS", "INVALID_TYPE_ON_FIELD_IN_RECORD", "INVALID_VALUE", "MALFORMED_ID", "MISSING_ID"),
        *("NUMBER_OUTSIDE_VALID_RANGE", "REQUIRED_FIELD_MISSING", "STRING_TOO_LONG"),
    }
)
LOCKED = "UNABLE_TO_LOCK_ROW"
GONE = frozenset({"ENTITY_IS_DELETED", "INVALID_CROSS_REFERENCE_KEY"})
_BODY = "revetl.body"  # where an answer that was read once is kept
_USAGE = re.compile(r"(?:^|[;\s])api-usage=(\d{1,9})/(\d{1,9})")


def document(response: Response) -> Any:
    """The JSON of the answer; None where there is none."""
    read = response.extensions
    if _BODY not in read:
        try:
            read[_BODY] = parse_json(response.content)
        except ValueError:
            read[_BODY] = None
    return read[_BODY]


def readable(response: Response) -> bool:
    """A success is JSON, or has no body (docs); results of a bulk job are CSV."""
    kind = response.headers.get("content-type", "")
    return not response.content or kind.startswith("text/csv") or isinstance(document(response), list | dict)


def first_error(response: Response) -> Mapping[str, Any]:
    """Of `[{message, errorCode}]` (docs), or of the token endpoint's and the bulk jobs' forms."""
    body = document(response)
    found = body[0] if isinstance(body, list) and body else body
    return found if isinstance(found, dict) else {}


def error_code(response: Response) -> str | None:
    return None if response.is_success else one_word(str(first_error(response).get("errorCode") or "")) or None


def verdict(response: Response) -> ResponseVerdict | None:
    """A limit is said with 403, a lock with 400 (docs)."""
    code = error_code(response)
    if code == "REQUEST_LIMIT_EXCEEDED":
        return ResponseVerdict.THROTTLED
    return ResponseVerdict.UNAVAILABLE if code == LOCKED else None


def wait_s(response: Response) -> float | None:
    """The day's requests come back over 24 hours: not worth holding a run for. A limit of requests at once passes."""
    spent = error_code(response) == "REQUEST_LIMIT_EXCEEDED" and "oncurrent" not in str(first_error(response))
    return inf if spent else None


def usage(response: Response) -> tuple[int, int] | None:
    """(requests of the last 24 hours, how many are allowed), as `Sforce-Limit-Info` tells (docs)."""
    found = _USAGE.search(response.headers.get("sforce-limit-info", ""))
    return (int(found[1]), int(found[2])) if found else None


def refused(session: Session, response: Response) -> Rejected:
    """The request as a whole was refused."""
    said = session.excerpt(response, str(first_error(response).get("message") or ""))
    code = error_code(response) or str(response.status_code)
    return Rejected(f"{session.name}: {code}: {said}", code=code, status=response.status_code)

"""What is refused, as RFC 9457 says it (`application/problem+json`). The page shows the same words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from starlette.responses import JSONResponse

MEDIA_TYPE = "application/problem+json"

# slug → (status, title). The type of a problem is `urn:revetl:problem:` and its slug, and never changes its meaning.
PROBLEMS: Mapping[str, tuple[int, str]] = {
    "bad-request": (400, "What was sent can't be read"),
    "no-token": (401, "A token is needed"),
    "not-allowed": (403, "The token's role does not allow this"),
    "plan-needed": (403, "This project sends plans that were approved"),
    "not-found": (404, "There is nothing of this name"),
    "method-not-allowed": (405, "Not by this method"),
    "own-plan": (409, "A plan is approved by somebody else than who made it"),
    "approval-missing": (409, "The plan lacks approvals"),
    "already-applying": (409, "The plan is being applied"),
    "key-in-use": (422, "This Idempotency-Key was used for another request"),
    "invalid": (422, "What was sent does not fit"),
    "too-large": (413, "What was sent is too large"),
    "too-many-requests": (429, "Too many requests"),
    "address-too-long": (414, "The address is too long"),
    "wrong-media-type": (415, "The body is JSON"),
    "warehouse-busy": (503, "A run works in the database file"),
    "warehouse-away": (503, "The warehouse can't be used at this moment"),
}


class ServiceProblem(Exception):
    """Raised anywhere in the service, answered once. `detail`: a sentence for this one case, without a value of a
    record. `retry_after_s`: when to try again."""

    def __init__(
        self,
        slug: str,
        detail: str,
        *,
        retry_after_s: float | None = None,
        errors: Sequence[Mapping[str, Any]] = (),
    ) -> None:
        super().__init__(detail)
        self.slug, self.detail, self.errors = slug, detail, errors
        self.status, self.title = PROBLEMS[slug]
        self.retry_after_s = retry_after_s

    def response(self) -> JSONResponse:
        body: dict[str, Any] = {
            "type": f"urn:revetl:problem:{self.slug}",
            "title": self.title,
            "status": self.status,
            "detail": self.detail,
        }
        if self.errors:
            body["errors"] = [dict(error) for error in self.errors]
        headers = {}
        if self.status == 401:
            headers["WWW-Authenticate"] = 'Bearer realm="revetl"'
        if self.retry_after_s is not None:
            headers["Retry-After"] = str(max(1, round(self.retry_after_s)))
        return JSONResponse(body, self.status, headers, media_type=MEDIA_TYPE)

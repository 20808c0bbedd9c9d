"""An incoming webhook: one channel that was chosen when it was made. It answers `ok`, gives no id, and knows nothing of
what it took: messages are events without an id."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import urlsplit

from revetl.clock import Clock
from revetl.destinations.base import Limits, ObjectSchema, Quota
from revetl.destinations.session_destination import SessionDestination
from revetl.destinations.slack import messages
from revetl.errors import ConfigError, Rejected
from revetl.http import Policy, Rate, Response, ResponseRules, ResponseVerdict, Session, SessionOptions, Transport
from revetl.model import Change, Outcome, Scalar, Status

OBJECT = "messages"
_DENIED = dict.fromkeys((403, 404, 410), ResponseVerdict.DENIED)  # the webhook, its app or its channel is gone
# A post that may have been taken is never repeated.
_IN_DOUBT = dict.fromkeys((503,), ResponseVerdict.AMBIGUOUS)
_IN_ROW = ("invalid_payload", "no_text", "invalid_blocks", "too_many_attachments")


class SlackWebhook(SessionDestination):
    def __init__(
        self, name: str, url: str, clock: Clock, *, allow_insecure: bool = False, transport: Transport | None = None
    ) -> None:
        self.name = name
        whole = urlsplit(url)
        self._path = whole.path  # it is the secret
        self._session = Session(
            name,
            f"{whole.scheme}://{whole.netloc}",
            SessionOptions(
                secrets=[whole.path, *(part for part in whole.path.split("/") if len(part) > 7)],
                rates={"default": Rate(1)},
                policy=Policy(),
                allow_insecure=allow_insecure,
            ),
            ResponseRules(verdicts={**_DENIED, **_IN_DOUBT}, readable=_is_ok, error_code=_code),
            transport=transport,
            clock=clock,
        )

    async def check(self) -> str:
        return "a webhook can't be tried without a message: nothing was asked"

    async def describe(self, object_: str) -> ObjectSchema:
        if object_ != OBJECT:
            message = f"{self.name} is a webhook, whose channel is fixed: it has no object {object_!r}"
            raise ConfigError(message, hint=f"Write `object: {OBJECT}`.")
        return messages.schema(events=True)

    def limits(self, object_: str) -> Limits:
        return Limits(batch_rows=1, concurrency=1)

    def quota(self, object_: str, match_on: str | None) -> Quota:
        return Quota(write=Rate(1), notes=("a webhook is write-only: what was sent can't be seen, edited or deleted",))

    def normalise(self, object_: str, field: str, value: Scalar) -> str:
        return messages.form(field, value)

    def idempotent(self, object_: str, match_on: str | None) -> bool:
        return False

    async def write(self, object_: str, match_on: str | None, changes: Sequence[Change]) -> list[Outcome]:
        return [await self._post(change) for change in changes]

    async def _post(self, change: Change) -> Outcome:
        try:
            sent = {**messages.body(change.fields), "mrkdwn": False}
            response = await self._session.request("POST", self._path, json=sent)
            if not response.is_success:
                code = _code(response)
                raise Rejected(f"Slack refuses it: {code}", code=code, in_row=code in _IN_ROW)
        except Rejected as e:
            message = f"{self.name}: {e}"
            return Outcome(change.ordinal, Status.REJECTED, None, "Rejected", e.code, message, in_row=e.in_row)
        return Outcome(change.ordinal, Status.OK, attempts=response.extensions["attempts"])


def _is_ok(response: Response) -> bool:
    return response.content.strip() == b"ok"


def _code(response: Response) -> str | None:
    """A refusal's body is its code (docs); a page of a proxy is none."""
    said = response.content[:100].decode("ascii", "replace").strip()
    return said if said and said.replace("_", "").isalpha() and not response.is_success else None

"""Who looks at a page, and whether a form that was sent is his."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from urllib.parse import parse_qsl

from starlette.requests import Request

from revetl.accounts.roles import Principal, Right, Role
from revetl.service.access import TokenBook
from revetl.service.page.sessions import COOKIE, PageSession, PageSessions
from revetl.service.problems import ServiceProblem

_MOST_FORM = 16 * 1024
# Without an account the page can be read on this machine.
LOCAL_READER = Principal("local reader", Role.VIEWER)


@dataclass(frozen=True, slots=True)
class Visitor:
    """`session` None: nobody has signed in."""

    principal: Principal
    session: PageSession | None = None

    @property
    def csrf(self) -> str:
        return self.session.csrf if self.session is not None else ""

    @property
    def acts(self) -> bool:
        return self.session is not None and self.principal.may(Right.ACT)

    @property
    def decides(self) -> bool:
        return self.session is not None and self.principal.may(Right.DECIDE)

    def key(self) -> str:
        """An Idempotency-Key for one form: sent twice, it is one act."""
        return secrets.token_urlsafe(16)


async def visitor_of(request: Request, sessions: PageSessions, tokens: TokenBook) -> Visitor:
    """A session is as good as its token, which may have been revoked meanwhile."""
    cookie = request.cookies.get(COOKIE)
    session = sessions.find(cookie) if cookie else None
    if cookie is None or session is None:
        return Visitor(LOCAL_READER)
    principal = await tokens.still(session.token_id)
    if principal is None:
        sessions.end(cookie)
        return Visitor(LOCAL_READER)
    return Visitor(principal, session)


async def form_of(request: Request) -> dict[str, str]:
    """The fields, each once. ServiceProblem where it comes from another site, or is none."""
    if not _from_here(request):
        raise ServiceProblem("not-allowed", "This form was not sent from this page.")
    type_ = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if type_ != "application/x-www-form-urlencoded":
        raise ServiceProblem("wrong-media-type", "A form is sent as one.")
    raw = bytearray()
    async for chunk in request.stream():
        raw += chunk
        if len(raw) > _MOST_FORM:
            raise ServiceProblem("too-large", f"A form is {_MOST_FORM // 1024} KiB at most.")
    try:
        return dict(parse_qsl(raw.decode("ascii"), keep_blank_values=True, strict_parsing=True, max_num_fields=50))
    except ValueError:
        raise ServiceProblem("bad-request", "The form can't be read.") from None


def _from_here(request: Request) -> bool:
    """By what the browser says of where the form stood. Our pages send no referrer, and a browser then says
    `Origin: null` of its own site's forms too, as a foreign frame would: `Sec-Fetch-Site` tells the two apart."""
    site, origin = request.headers.get("sec-fetch-site"), request.headers.get("origin")
    if site is not None:
        return site == "same-origin"
    host = request.headers.get("host", "")
    return origin is None or origin in (f"http://{host}", f"https://{host}")


def check_csrf(visitor: Visitor, form: dict[str, str]) -> None:
    """ServiceProblem where nobody signed in, or the word of the session is missing."""
    if visitor.session is None:
        raise ServiceProblem("no-token", "Sign in first.")
    if not visitor.session.takes(form.get("csrf", "")):
        raise ServiceProblem("not-allowed", "The form is of an earlier session: open the page again.")

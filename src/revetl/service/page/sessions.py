"""Who has signed in on the page: a random cookie of which this process keeps a digest. A restart ends all sessions."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections import OrderedDict
from dataclasses import dataclass

from revetl.clock import Clock

COOKIE = "revetl_session"
LASTS_S, UNUSED_S = 8 * 3600.0, 3600.0
_MOST = 1_000


@dataclass(slots=True)
class PageSession:
    """`csrf`: a word that every form of it holds; another site can't read it."""

    token_id: str
    csrf: str
    began_at: float
    used_at: float

    def takes(self, csrf: str) -> bool:
        return hmac.compare_digest(self.csrf.encode(), csrf.encode("utf-8", "replace"))


class PageSessions:
    """In memory, of one service."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._sessions: OrderedDict[str, PageSession] = OrderedDict()

    def begin(self, token_id: str) -> str:
        """The value of the cookie: always a new one, so that nobody can plant one beforehand."""
        cookie, now = secrets.token_urlsafe(32), self._clock.monotonic()
        self._sessions[_digest(cookie)] = PageSession(token_id, secrets.token_urlsafe(32), now, now)
        while len(self._sessions) > _MOST:
            self._sessions.popitem(last=False)
        return cookie

    def find(self, cookie: str) -> PageSession | None:
        """None where there is none, or it is over."""
        session, now = self._sessions.get(_digest(cookie)), self._clock.monotonic()
        if session is None:
            return None
        if now - session.began_at > LASTS_S or now - session.used_at > UNUSED_S:
            self.end(cookie)
            return None
        session.used_at = now
        return session

    def end(self, cookie: str) -> None:
        """Safe to repeat."""
        self._sessions.pop(_digest(cookie), None)


def _digest(cookie: str) -> str:
    return hashlib.sha256(cookie.encode("utf-8", "replace")).hexdigest()

"""Slack's ways of saying no. Nearly all come with HTTP 200 and `{"ok": false, "error": code}` (docs)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from revetl.errors import Rejected
from revetl.http import Response, ResponseVerdict, Session, one_word
from revetl.json_documents import parse_json

# Nothing else that goes to this channel or with this token will succeed.
_DENIED: Mapping[str, str] = {
    "not_authed": "there is no token",
    "invalid_auth": "the token is not one of Slack's",
    "account_inactive": "the token's app was removed from the workspace",
    "token_revoked": "the token was revoked",
    "token_expired": "the token has expired",
    "missing_scope": "the token lacks a scope",
    "no_permission": "the token may not do this",
    "ekm_access_denied": "an administrator suspended it",
    "team_access_not_granted": "the app is not let into this workspace",
    "channel_not_found": "there is no such channel, or it is private and the app is no member: `/invite` the app there",
    "not_in_channel": "the app is no member of the channel: `/invite` it there",
    "is_archived": "the channel is archived: unarchive it, or name another one",
    "restricted_action": "a setting of the workspace keeps the app from posting there",
}
# "Some aspect of the operation may have succeeded" (docs), or nobody says that it did not.
_AMBIGUOUS = frozenset({"internal_error", "fatal_error", "service_unavailable", "request_timeout"})
_THROTTLED = frozenset({"ratelimited", "rate_limited"})
# A value of the row that no channel takes.
IN_ROW = frozenset({"no_text", "msg_too_long", "msg_blocks_too_long", "invalid_blocks", "invalid_blocks_format"})
GONE = "message_not_found"
_BODY = "revetl.body"  # where an answer that was read once is kept


def document(response: Response) -> Mapping[str, Any]:
    """The JSON object of the answer; empty where there is none."""
    read = response.extensions
    if _BODY not in read:
        try:
            body = parse_json(response.content)
        except ValueError:
            body = None
        read[_BODY] = body if isinstance(body, dict) else {}
    found: Mapping[str, Any] = read[_BODY]
    return found


def is_ok(response: Response) -> bool:
    return document(response).get("ok") is True


def readable(response: Response) -> bool:
    return isinstance(document(response).get("ok"), bool)


def error_code(response: Response) -> str | None:
    return None if is_ok(response) else one_word(str(document(response).get("error") or "")) or None


def verdict(response: Response) -> ResponseVerdict | None:
    code = error_code(response)
    if code is None:
        return None
    if code in _THROTTLED:
        return ResponseVerdict.THROTTLED
    if code in _AMBIGUOUS:
        return ResponseVerdict.AMBIGUOUS
    return ResponseVerdict.DENIED if code in _DENIED else ResponseVerdict.REJECTED


def explain(response: Response) -> str | None:
    said = _DENIED.get(error_code(response) or "")
    needed = document(response).get("needed")
    return f"{said}: {needed}" if said and isinstance(needed, str) and needed else said


def refused(session: Session, response: Response) -> Rejected:
    """Slack says why by a code alone, beside messages about our request."""
    code = error_code(response) or str(response.status_code)
    about = document(response).get("response_metadata")
    messages = about.get("messages") if isinstance(about, dict) else None
    said = session.excerpt(response, "; ".join(str(m) for m in messages)) if isinstance(messages, list) else ""
    message = f"{session.name}: Slack refuses it: {code}" + (f": {said}" if said else "")
    return Rejected(message, code=code, status=response.status_code, in_row=code in IN_ROW)

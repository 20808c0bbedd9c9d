"""Two marketing tools as their APIs are: a member of a list under the MD5 of the address, as Mailchimp has it; and a
bulk update that lists only what it refused, as Iterable has it."""

from __future__ import annotations

import hashlib
from typing import Any

from aiohttp import BasicAuth, web

from revetl.sandbox.any_api.records import ApiRefusal, json_of

_MEMBER = frozenset({"email_address", "status", "status_if_new", "merge_fields"})
_STATES = frozenset({"subscribed", "unsubscribed", "pending", "cleaned"})


class Marketing:
    """`members`: (list, hash) → member. `users`: address → its fields."""

    def __init__(self) -> None:
        self.members: dict[tuple[str, str], dict[str, Any]] = {}
        self.users: dict[str, dict[str, Any]] = {}

    def clear(self) -> None:
        self.members.clear()
        self.users.clear()

    async def put_member(self, request: web.Request) -> tuple[int, Any]:
        _let_in_by_password(request)
        place, body = _place(request), await json_of(request, dict)
        email = body.get("email_address")
        if not isinstance(email, str) or "@" not in email:
            raise ApiRefusal(400, "Invalid Resource", "please provide a valid email address")
        if place[1] != hashlib.md5(email.lower().encode(), usedforsecurity=False).hexdigest():
            raise ApiRefusal(400, "Invalid Resource", "the hash in the address is of another one")
        if not body.keys() <= _MEMBER or body.get("status_if_new", "subscribed") not in _STATES:
            raise ApiRefusal(400, "Invalid Resource", "the resource has a field that is not one of a member's")
        found = self.members.setdefault(place, {"status": body.get("status_if_new"), "merge_fields": {}})
        if found["status"] is None:
            del self.members[place]
            raise ApiRefusal(400, "Invalid Resource", "a new member has a status_if_new")
        found["email_address"] = email
        found["merge_fields"] |= body.get("merge_fields", {})
        found["status"] = body.get("status", found["status"])
        return 200, {"id": place[1], **found}

    async def get_member(self, request: web.Request) -> tuple[int, Any]:
        _let_in_by_password(request)
        return 200, {"id": _place(request)[1], **self._member(request)}

    async def delete_member(self, request: web.Request) -> tuple[int, Any]:
        _let_in_by_password(request)
        self._member(request)
        del self.members[_place(request)]
        return 204, None

    async def bulk_update(self, request: web.Request) -> tuple[int, Any]:
        if "bad" in request.headers.get("api-key", "bad"):
            raise ApiRefusal(401, "BadApiKey", "the key is not taken")
        users = (await json_of(request, dict)).get("users")
        if not isinstance(users, list) or len(users) > 1_000:
            raise ApiRefusal(400, "BadJsonBody", "users is a list of at most 1,000")
        invalid = []
        for user in users:
            email = user.get("email", "") if isinstance(user, dict) else ""
            if "@" not in email:
                invalid.append(email)
                continue
            self.users.setdefault(email, {}).update(user.get("dataFields", {}))
        return 200, {
            "successCount": len(users) - len(invalid),
            "failCount": len(invalid),
            "failedUpdates": {"invalidEmails": invalid},
        }

    def _member(self, request: web.Request) -> dict[str, Any]:
        found = self.members.get(_place(request))
        if found is None:
            raise ApiRefusal(404, "Resource Not Found", "there is no such member")
        return found


def _place(request: web.Request) -> tuple[str, str]:
    return request.match_info["list"], request.match_info["hash"]


def _let_in_by_password(request: web.Request) -> None:
    try:
        password = BasicAuth.decode(request.headers.get("authorization", "")).password
    except ValueError:
        password = "bad"  # noqa: S105 - nobody's
    if "bad" in password:
        raise ApiRefusal(401, "API Key Invalid", "the key is not taken")

"""Owners: the people to whom records are assigned. The API reads them and changes none (docs)."""

from __future__ import annotations

from typing import Any

from revetl.sandbox.hubspot import errors
from revetl.sandbox.hubspot.account import PortalOwner
from revetl.sandbox.hubspot.portal import PortalCall, Reply
from revetl.sandbox.hubspot.query import int_of, is_asked, next_page, page_size
from revetl.sandbox.hubspot.store import iso_ms

PAGE_MAX = 500


def list_all(call: PortalCall) -> Reply:
    """Those who work there, or with `archived=true` those who have left; with `email` the one who has it. In order of
    id, 100 a page unless `limit` says another number, at most 500 (docs)."""
    limit = page_size(call, default=100, most=PAGE_MAX)
    after = int_of(call.query.get("after"), "after", 0)
    email = call.query.get("email")
    found = [o for o in _of(call) if int(o.id) > after and (not email or o.email.lower() == email.lower())]
    found.sort(key=lambda o: int(o.id))
    body: dict[str, Any] = {"results": [_json(o) for o in found[:limit]]}
    if len(found) > limit:
        body["paging"] = next_page(call, found[limit - 1].id)
    return 200, body


def read(call: PortalCall) -> Reply:
    """`idProperty` is `id` or `userId` (spec)."""
    by = call.query.get("idProperty", "id")
    if by not in ("id", "userId"):
        raise errors.invalid_input(f"idProperty must be id or userId, was {by}")
    wanted = call.match["id"]
    for owner in _of(call):
        if wanted == (owner.id if by == "id" else str(owner.user_id)):
            return 200, _json(owner)
    raise errors.not_found()


def _of(call: PortalCall) -> list[PortalOwner]:
    archived = is_asked(call, "archived")
    return [o for o in call.portal.owners.values() if o.archived == archived]


def _json(owner: PortalOwner) -> dict[str, Any]:
    """Of somebody who has left `userId` is null, and the number stands beside it (docs)."""
    return {
        "id": owner.id,
        "email": owner.email,
        "type": "PERSON",
        "firstName": owner.first_name,
        "lastName": owner.last_name,
        "userId": None if owner.archived else owner.user_id,
        "userIdIncludingInactive": owner.user_id,
        "createdAt": iso_ms(owner.created_ms),
        "updatedAt": iso_ms(owner.created_ms),
        "archived": owner.archived,
    }

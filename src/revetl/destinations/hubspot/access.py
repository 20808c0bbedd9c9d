"""Whether a token may do what a sync does, tried without changing anything.

HubSpot looks at the scopes before it looks at the body: an empty request is refused as invalid (400) where the token
may write, and as forbidden (403, with the scopes that are missing) where it may not. That order is believed from
captured refusals and not confirmed for every endpoint, so a pass is not a promise; what is refused is.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

from revetl.destinations.hubspot import api
from revetl.destinations.hubspot.lists import LISTS
from revetl.destinations.hubspot.paths import ApiPaths
from revetl.destinations.hubspot.schema import VENDORS_OBJECTS
from revetl.errors import CallError, Denied
from revetl.http import Policy, Session, SessionRequest

# Asked by a person who waits: how it is now, not whether it comes back.
ONCE = Policy(timeout_s=5.0, max_attempts=1)
_PLURALS = {
    "contact": "contacts",
    "company": "companies",
    "deal": "deals",
    "ticket": "tickets",
    "0-1": "contacts",
    "0-2": "companies",
    "0-3": "deals",
    "0-5": "tickets",
}
_OF_OTHERS = {"owners": ("crm.objects.owners.read",), LISTS: ("crm.lists.read", "crm.lists.write")}


async def try_making_property(session: Session, paths: ApiPaths, object_: str) -> None:
    """Denied, with the scopes, where the token may not make a property of the object. Makes none. Safe to repeat."""
    await session.request("POST", paths.properties(object_), json={}, idempotent=True)


async def missing(session: Session, paths: ApiPaths, object_: str, *, creates_key: bool) -> list[str]:
    """A sentence for each thing that is refused: reading and writing the object, and creating our key property where a
    sync would have to. Other errors leave as they are. Safe to repeat."""
    objects = paths.objects(object_)
    requests: list[tuple[str, str, Any]] = [
        ("GET", objects, None),
        ("POST", f"{objects}/batch/update", {"inputs": []}),
        *([("POST", paths.properties(object_), {})] if creates_key else []),
    ]
    found = []
    for method, path, body in requests:
        try:
            await session.request(method, path, json=body, idempotent=True, policy=ONCE)
        except Denied as e:
            found.append(str(e))
    return found


def needed_scopes(object_: str, others: Sequence[str], *, creates_key: bool, makes_fields: bool) -> tuple[str, ...]:
    """The least that a sync takes, by the names of the granular scopes (docs). `object_` as an address calls it; one of
    the account's own types stands under `custom`, and all that is done with tickets takes the one scope `tickets`."""
    name = _PLURALS.get(object_, object_)
    name = name if name in VENDORS_OBJECTS else "custom"
    scopes = [f"crm.objects.{name}.read", f"crm.objects.{name}.write"]
    scopes += ["crm.schemas.custom.read"] if name == "custom" else []
    scopes += [f"crm.schemas.{name}.write"] if creates_key or makes_fields else []
    if name == "tickets":
        scopes = ["tickets"]
    for other in others:
        scopes += _OF_OTHERS.get(other, ())
    return tuple(dict.fromkeys(scopes))


async def granted_scopes(
    session: Session, *, private_app: str | None, access_token: str | None
) -> frozenset[str] | None:
    """Those of the token, as HubSpot's own addresses about tokens say (docs); None where they say nothing, as of a
    service key (unconfirmed). Changes nothing."""
    if access_token is not None:
        path = f"/oauth/v1/access-tokens/{quote(access_token, safe='')}"
        asked = SessionRequest("GET", path, shown_as="/oauth/v1/access-tokens/{token}")
    else:
        body = json.dumps({"tokenKey": private_app}).encode()
        headers = {"content-type": "application/json"}
        asked = SessionRequest("POST", "/oauth/v2/private-apps/get/access-token-info", body, headers=headers)
    try:
        response = await session.send(asked, idempotent=True, policy=ONCE)
    except CallError:
        return None  # it is said for people: no sync depends on it
    scopes = api.body_of(response).get("scopes") if response.is_success else None
    return frozenset(map(str, scopes)) if isinstance(scopes, list) else None

"""Whether a token may do what a sync does, tried without changing anything.

HubSpot looks at the scopes before it looks at the body: an empty request is refused as invalid (400) where the token
may write, and as forbidden (403, with the scopes that are missing) where it may not. That order is believed from
captured refusals and not confirmed for every endpoint, so a pass is not a promise; what is refused is.
"""

from __future__ import annotations

from typing import Any

from revetl.destinations.hubspot.paths import ApiPaths
from revetl.errors import Denied
from revetl.http import Policy, Session

# Asked by a person who waits: how it is now, not whether it comes back.
ONCE = Policy(timeout_s=5.0, max_attempts=1)


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

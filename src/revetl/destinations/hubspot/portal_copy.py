"""What an account is made of, without a record: its objects with their properties, groups and pipelines, the kinds of
link between them, its lists without their members, and its owners. A sandbox that is started with the copy is of this
account.

Everything is as the API gave it, so that the copy holds what we do not know too. Only reads are sent.
"""

from __future__ import annotations

from itertools import permutations
from typing import Any

from revetl.destinations.hubspot import api
from revetl.destinations.hubspot.lists import every_list
from revetl.destinations.hubspot.paging import Pages
from revetl.destinations.hubspot.paths import ApiPaths
from revetl.errors import ConfigError, Denied
from revetl.http import Session

FORMAT = "hubspot portal 1"
_STANDARD = ("contacts", "companies", "deals", "tickets")
_OWNERS_PAGE = 500  # docs


async def copy_portal(session: Session, paths: ApiPaths) -> tuple[dict[str, Any], list[str]]:
    """The copy as JSON, and a sentence for each part that the token may not read: it is left out."""
    reader = _Reader(session, paths)
    types = [t for t in await reader.all(paths.schemas(), "the account's own objects") if t.get("objectTypeId")]
    objects = [o for name in _STANDARD if (o := await reader.object(name, name, None)) is not None]
    for type_ in types:
        own = await reader.object(str(type_["objectTypeId"]), str(type_.get("name")), type_)
        objects += [] if own is None else [own]
    labels = []
    for one, other in permutations([str(o["address"]) for o in objects], 2):
        if kinds := await reader.all(f"{paths.associations(one, other)}/labels", f"links {one} → {other}"):
            labels.append({"from": one, "to": other, "results": kinds})
    owners = [
        owner
        for archived in ("false", "true")
        for owner in await reader.all(paths.owners(), "owners", limit=str(_OWNERS_PAGE), archived=archived)
    ]
    lists = await reader.lists()
    copy = {"format": FORMAT, "objects": objects, "labels": labels, "lists": lists, "owners": owners}
    return copy, reader.left_out


class _Reader:
    def __init__(self, session: Session, paths: ApiPaths) -> None:
        self._session = session
        self._paths = paths
        self.left_out: list[str] = []

    async def object(self, address: str, name: str, definition: dict[str, Any] | None) -> dict[str, Any] | None:
        """None where its properties can't be read."""
        path = self._paths.properties(address)
        if not (properties := await self.all(path, name)):
            return None
        return {
            "address": address,
            "definition": definition,
            "properties": properties,
            "groups": await self.all(f"{path}/groups", f"groups of properties of {name}"),
            "pipelines": await self.all(self._paths.pipelines(address), f"pipelines of {name}"),
        }

    async def lists(self) -> list[dict[str, Any]]:
        try:
            return await every_list(self._session, self._paths)
        except Denied as e:
            if e.status != 403:
                raise
            self.left_out.append(f"lists: {e}")
            return []

    async def all(self, path: str, what: str, **query: str) -> list[dict[str, Any]]:
        """Every page. Empty where the token may not, or where the account has none of it."""
        pages, found = Pages(f"{self._session.name}: {path}"), list[dict[str, Any]]()
        after: str | None = None
        while True:
            params = {**query, "after": after} if after else query
            try:
                response = await self._session.request("GET", path, params=params, idempotent=True)
            except Denied as e:
                if e.status != 403:
                    raise
                self.left_out.append(f"{what}: {e}")
                return []
            body = api.body_of(response)
            if not response.is_success:
                refusal = api.refusal(body)
                if response.status_code in (400, 404):  # an object that is not there, or that has none of these
                    return found
                raise ConfigError(f"{self._session.name}: {what} can't be read: {refusal.code}", hint=refusal.message)
            found += [r for r in api.listed(body.get("results")) if isinstance(r, dict)]
            after = pages.next_after(body)
            if after is None:
                return found

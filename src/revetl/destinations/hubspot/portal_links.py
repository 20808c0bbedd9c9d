"""The kinds of link between the objects of a portal, read once each, and what makes and removes links of them."""

from __future__ import annotations

from revetl.destinations.hubspot.linking import Linker, LinkKinds
from revetl.destinations.hubspot.lists import LISTS, ListMembers
from revetl.destinations.hubspot.paths import ApiPaths
from revetl.destinations.hubspot.schema import Schema
from revetl.http import Session


class PortalLinks:
    """Objects are named as a sync names them."""

    def __init__(self, session: Session, paths: ApiPaths, schema: Schema) -> None:
        self._session = session
        self._paths = paths
        self._schema = schema
        self._kinds: dict[tuple[str, str], LinkKinds] = {}

    async def kinds(self, object_: str, to_object: str) -> LinkKinds:
        """ConfigError where there are none."""
        if (object_, to_object) not in self._kinds:
            self._kinds[object_, to_object] = await (await self.linker(object_, to_object)).kinds()
        return self._kinds[object_, to_object]

    def known(self, object_: str, to_object: str) -> LinkKinds | None:
        """Without asking; None before the first `kinds`."""
        return self._kinds.get((object_, to_object))

    async def linker(self, object_: str, to_object: str) -> Linker | ListMembers:
        if to_object == LISTS:
            return ListMembers(self._session, self._paths.lists(), await self._schema.address(object_))
        ends = (await self._schema.address(object_), await self._schema.address(to_object))
        return Linker(self._session, self._paths.associations(*ends), f"{object_} → {to_object}")

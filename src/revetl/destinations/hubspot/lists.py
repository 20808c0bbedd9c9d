"""Members of lists. A membership is a link from a record to a list, so whoever was a member before us stays one. Every
request may be repeated: who is a member already, or is none, is passed over (docs).

Only lists that people or an API fill (MANUAL, SNAPSHOT) take members; those of a DYNAMIC one HubSpot works out.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from revetl.destinations.base import Pair, RecordMatch
from revetl.destinations.capabilities import LinkedRecords
from revetl.destinations.hubspot import api
from revetl.destinations.hubspot.linking import LinkKinds
from revetl.destinations.hubspot.paths import ApiPaths
from revetl.errors import CallError, ConfigError
from revetl.http import Response, Session
from revetl.model import Outcome, Status

LISTS = "lists"
MEMBER = 1  # the one kind of link to a list; the number is ours
_FILLED = ("MANUAL", "SNAPSHOT")
_PAGE = 500  # docs
_TYPE_IDS = {"contacts": "0-1", "companies": "0-2", "deals": "0-3", "tickets": "0-5"}


async def find_lists(session: Session, paths: ApiPaths, names: Sequence[str]) -> dict[str, RecordMatch]:
    """By name without case: names are unique in a portal (docs). ConfigError for one that takes no members."""
    found: dict[str, RecordMatch] = {}
    for name in names:
        for listed in await _search(session, paths, query=name, listIds=[]):
            if str(listed.get("name")).strip().casefold() != name.strip().casefold():
                continue
            if listed.get("processingType") not in _FILLED:
                raise ConfigError(
                    f"{session.name}: the list {listed.get('name')!r} takes no members: it is dynamic",
                    hint="Its filter decides who is on it. Name a static list.",
                )
            found[name] = RecordMatch(str(listed["listId"]), {})
    return found


async def standing_lists(session: Session, paths: ApiPaths, ids: Sequence[str]) -> dict[str, RecordMatch]:
    """Those that are not deleted, by their ids."""
    listed = await _search(session, paths, query="", listIds=list(ids))
    return {str(one["listId"]): RecordMatch(str(one["listId"]), {}) for one in listed if str(one["listId"]) in ids}


async def every_list(session: Session, paths: ApiPaths) -> list[dict[str, Any]]:
    """As the API gives them, without how many are on each."""
    found = await _search(session, paths, query="", listIds=[])
    return [{name: value for name, value in one.items() if name != "additionalProperties"} for one in found]


async def _search(session: Session, paths: ApiPaths, **wanted: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    offset = 0
    while True:
        body = {"offset": offset, "count": _PAGE, "additionalProperties": [], "processingTypes": [], **wanted}
        response = await session.request("POST", f"{paths.lists()}/search", json=body, idempotent=True)
        if not response.is_success:
            raise ConfigError(f"{session.name}: lists can't be searched: {api.error_code(response)}")
        page = api.body_of(response)
        lists = [one for one in api.listed(page.get("lists")) if isinstance(one, dict) and one.get("listId")]
        found += lists
        offset += len(lists)
        if not lists or not page.get("hasMore"):
            return found


class ListMembers:
    """Memberships of one object's records; the lists are the other ends of the links."""

    def __init__(self, session: Session, path: str, address: str) -> None:
        self._session = session
        self._path = path
        self._type_id = _TYPE_IDS.get(address, address)

    async def kinds(self) -> LinkKinds:
        return LinkKinds({MEMBER: "LIST"}, None)

    async def link(self, type_: int, category: str, pairs: Sequence[Pair]) -> list[Outcome]:
        return await self._change("add", pairs)

    async def unlink(self, type_: int, kinds: LinkKinds, pairs: Sequence[Pair]) -> list[Outcome]:
        return await self._change("remove", pairs)

    async def standing(self, ids: Sequence[str], kinds: LinkKinds | None) -> dict[str, LinkedRecords]:
        """Which lists each record is on."""
        inputs = [{"objectTypeId": self._type_id, "recordId": id_} for id_ in ids]
        response = await self._session.request(
            "POST", f"{self._path}/records/memberships/batch/read", json={"inputs": inputs}, idempotent=True
        )
        if not response.is_success:
            raise ConfigError(f"{self._session.name}: memberships can't be read: {api.error_code(response)}")
        found: dict[str, LinkedRecords] = {}
        for record in api.listed(api.body_of(response).get("results")):
            on = api.listed(record.get("recordListMemberships"))
            found[str(record.get("recordId"))] = {str(one.get("listId")): frozenset((MEMBER,)) for one in on}
        return found

    async def _change(self, action: str, pairs: Sequence[Pair]) -> list[Outcome]:
        """One request a list. What a call raises leaves as it is where nothing was sent before, and makes the rest
        unknown after."""
        of_list: dict[str, list[Pair]] = defaultdict(list)
        for pair in pairs:
            of_list[pair.to_id].append(pair)
        outcomes: list[Outcome] = []
        for list_id, those in of_list.items():
            path, ids = f"{self._path}/{list_id}/memberships/{action}", [pair.from_id for pair in those]
            try:
                response = await self._session.request("PUT", path, json=ids, idempotent=True)
            except CallError as e:
                if not outcomes:
                    raise
                kind = type(e).__name__
                outcomes += [Outcome(p.ordinal, Status.UNKNOWN, p.from_id, kind, e.code, str(e)) for p in those]
                continue
            outcomes += _settled(those, response, removes=action == "remove")
        return outcomes


def _settled(pairs: Sequence[Pair], response: Response, *, removes: bool) -> list[Outcome]:
    """Who is not named as missing is a member now, or none."""
    body, attempts = api.body_of(response), int(response.extensions["attempts"])
    if not response.is_success:
        refusal = api.refusal(body)
        return [
            Outcome(p.ordinal, Status.REJECTED, p.from_id, "Rejected", refusal.code, refusal.message, attempts)
            for p in pairs
        ]
    missing = set() if removes else {str(id_) for id_ in api.listed(body.get("recordIdsMissing"))}
    return [
        Outcome(p.ordinal, Status.REJECTED, p.from_id, "Rejected", "OBJECT_NOT_FOUND", "no such record", attempts)
        if p.from_id in missing
        else Outcome(p.ordinal, Status.OK, p.from_id, attempts=attempts)
        for p in pairs
    ]

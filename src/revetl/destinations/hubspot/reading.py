"""Which records stand there already: by a unique property in one batch read, by any other through search."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

from revetl.destinations.base import DestinationField, RecordMatch
from revetl.destinations.hubspot import api
from revetl.destinations.hubspot.domains import DOMAINS, spellings
from revetl.destinations.hubspot.paging import Pages
from revetl.destinations.hubspot.schema import CONTACTS
from revetl.destinations.hubspot.values import canonical
from revetl.errors import ConfigError
from revetl.http import Session

ID = "hs_object_id"
_MERGED = "hs_merged_object_ids"
_SEARCH_VALUES = 100
_SEARCH_CHARS = 2_900  # of 3,000 (docs)
_SEARCH_PAGE = 200
_SEARCH_REACH = 10_000  # results of one query past which no page is given (docs)
# Where the further values stand by which a record is known: after a merge those of the record that went into it (docs).
_ALSO = {"email": "hs_additional_emails", "domain": "hs_additional_domains"}


def unique_property(object_: str, name: str | None, fields: dict[str, DestinationField]) -> bool:
    """Whether `idProperty` may be this one. A company's domain may not: it is not unique (live)."""
    if name is None:
        return False
    return (object_ in CONTACTS and name == "email") or (name in fields and fields[name].unique)


class Reader:
    """Reads of one object. `wanted` are the properties to bring, `match_on` the one to look by."""

    def __init__(
        self, session: Session, path: str, object_: str, match_on: str, wanted: Sequence[str], field: DestinationField
    ) -> None:
        self._session = session
        self._path = path
        self._object = object_
        self._by = match_on
        self._type = field.type
        # A contact is found by its other addresses too (live), and a record by the ids that were merged into it (docs).
        # Only these properties say by which.
        self._also = {**_ALSO, ID: _MERGED}.get(match_on)
        more = [_ALSO[name] for name in wanted if name in _ALSO]
        also = [self._also] if self._also else []
        self._properties = list(dict.fromkeys([*wanted, match_on, *also, *more, _MERGED]))

    async def by_unique(self, values: Sequence[str]) -> dict[str, RecordMatch]:
        """By the canonical value. A value that HubSpot can't take as an identifier stands for no record."""
        body = api.batch_read(values, self._properties, None if self._by == ID else self._by)
        response = await self._session.request("POST", f"{self._path}/batch/read", json=body, idempotent=True)
        if response.is_success:
            return self._index(api.body_of(response).get("results"), set(values))
        self._raise_if_misconfigured(api.refusal(api.body_of(response)))
        if len(values) == 1:
            return {}
        half = len(values) // 2
        return await self.by_unique(values[:half]) | await self.by_unique(values[half:])

    async def by_search(self, values: Sequence[str]) -> dict[str, RecordMatch]:
        """By the canonical value; where several records have it, the oldest stands for it (then the lowest id)."""
        found: dict[str, RecordMatch] = {}
        for chunk in self._chunks(values):
            found |= await self._search(chunk)
        return found

    def _chunks(self, values: Sequence[str]) -> Iterator[list[str]]:
        chunk: list[str] = []
        for value in values:
            if chunk and self._too_long([*chunk, value]):
                yield chunk
                chunk = []
            chunk.append(value)
        if chunk:
            yield chunk

    def _too_long(self, values: list[str]) -> bool:
        query = self._query(values)
        asked_for = query["filterGroups"][0]["filters"][0]["values"]
        return len(asked_for) > _SEARCH_VALUES or len(json.dumps(query)) > _SEARCH_CHARS

    def _query(self, values: list[str], after: str | None = None) -> dict[str, Any]:
        # IN compares strings in lower case and wants them so (docs).
        folded = [v.lower() for v in values] if self._type == "string" else values
        if self._by in DOMAINS:
            folded = [spelling for v in folded for spelling in spellings(v)]
        where = {"propertyName": self._by, "operator": "IN", "values": folded}
        query = {"filterGroups": [{"filters": [where]}], "properties": self._properties, "limit": _SEARCH_PAGE}
        return query | ({"after": after} if after else {})

    async def _search(self, values: list[str]) -> dict[str, RecordMatch]:
        results: list[dict[str, Any]] = []
        after: str | None = None
        pages = Pages(f"{self._session.name}: a search of {self._object}")
        while True:
            query = self._query(values, after)
            response = await self._session.request(
                "POST", f"{self._path}/search", json=query, idempotent=True, limit="search"
            )
            body = api.body_of(response)
            if not response.is_success:
                refusal = api.refusal(body)
                self._raise_if_misconfigured(refusal)
                raise ConfigError(
                    f"{self._session.name}: {self._object} can't be searched by {self._by!r}: {refusal.code}"
                )
            if int(body.get("total") or 0) > _SEARCH_REACH and len(values) > 1:
                half = len(values) // 2
                return await self._search(values[:half]) | await self._search(values[half:])
            results += api.listed(body.get("results"))
            after = pages.next_after(body)
            if after is None or len(results) >= _SEARCH_REACH:
                break
        results.sort(key=_age, reverse=True)  # the oldest is indexed last, over the others
        return self._index(results, set(values))

    def _index(self, results: Any, asked: set[str]) -> dict[str, RecordMatch]:
        found: dict[str, RecordMatch] = {}
        for result in results if isinstance(results, list) else []:
            if not isinstance(result, dict) or not result.get("id"):
                continue
            properties = {name: _text(value) for name, value in (result.get("properties") or {}).items()}
            match = RecordMatch(
                str(result["id"]),
                properties,
                _created(result),
                _also(properties),
                tuple(filter(None, (properties.get(_MERGED) or "").split(";"))),
            )
            forms = [canonical(self._by, properties.get(self._by) or "", self._type)]
            if self._by == ID:
                forms.append(match.destination_id)
            if self._also:
                forms += canonical(self._also, properties.get(self._also) or "").split(";")
            found |= {form: match for form in forms if form in asked}
        return found

    def _raise_if_misconfigured(self, refusal: api.Refusal) -> None:
        if refusal.code == "PROPERTY_DOESNT_EXIST" or "non-unique" in refusal.message:
            raise ConfigError(
                f"{self._session.name}: {self._object} can't be looked up by {self._by!r}: {refusal.code}"
            )


def _text(value: Any) -> str | None:
    """A property as HubSpot documents it, a text; other scalars have been seen. None where it is empty."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return None if value is None or value == "" else str(value)


def _also(properties: dict[str, str | None]) -> dict[str, tuple[str, ...]]:
    """Field → its further values."""
    texts = {name: properties.get(further) or "" for name, further in _ALSO.items() if name in properties}
    return {name: tuple(filter(None, text.split(";"))) for name, text in texts.items() if text}


def _created(result: dict[str, Any]) -> datetime | None:
    try:
        moment = datetime.fromisoformat(str(result.get("createdAt")))
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def _age(result: dict[str, Any]) -> tuple[str, int, str]:
    id_ = str(result.get("id") or "")
    return str(result.get("createdAt") or ""), int(id_) if id_.isdecimal() and len(id_) < 20 else 0, id_

"""SOQL: records by the values of a field, and where a merged one went."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any
from urllib.parse import quote_plus

from revetl.destinations.base import RecordMatch
from revetl.destinations.salesforce import api
from revetl.destinations.salesforce.schema import DescribedField
from revetl.destinations.salesforce.values import canonical, is_id, whole_id
from revetl.errors import ConfigError, Unavailable
from revetl.http import Session
from revetl.model import Scalar

_MOST_CHARS = 12_000  # of a query in an address, encoded: 16,384 is the address's limit (docs)
_MOST_PAGES = 1_000
_MOST_MERGES = 10  # a record that is left may itself be merged later
ID = "Id"
_BARE = ("number", "bool", "date", "datetime")


class SoqlReader:
    """Reads one object."""

    def __init__(self, session: Session, path: str, object_: str, described: Mapping[str, DescribedField]) -> None:
        self._session, self._path, self._object, self._described = session, path, object_, described

    def has(self, names: Iterable[str]) -> list[str]:
        """Those of them that the object has."""
        return [name for name in names if name in self._described]

    async def read(self, ids: Sequence[str], fields: Sequence[str]) -> dict[str, RecordMatch]:
        """By id, as it was asked for. One whose record was merged into another gives that other."""
        forms = {id_: whole_id(id_) for id_ in ids}
        found = await self.find(ID, {f for f in forms.values() if is_id(f)}, fields)
        merged = await self.survivors(f for f in forms.values() if is_id(f) and f not in found)
        found |= await self.find(ID, merged.values(), fields) if merged else {}
        ends = {id_: merged.get(form, form) for id_, form in forms.items()}
        return {id_: found[end] for id_, end in ends.items() if end in found}

    async def find(
        self, by: str, values: Iterable[str], fields: Sequence[str], condition: str | None = None
    ) -> dict[str, RecordMatch]:
        """By the normal form of `by`. Where several records have it, the oldest stands for it. `condition`: SOQL that
        they have to meet as well."""
        names = list(dict.fromkeys((ID, by, *fields, *(["CreatedDate"] if "CreatedDate" in self._described else []))))
        wanted, found = set(values), dict[str, RecordMatch]()
        for chunk in self._chunks(by, sorted(wanted), 300 + len(quote_plus(", ".join(names)))):
            soql = self._soql(names, by, chunk) + (f" AND {condition}" if condition else "")
            for row in await self._query("query", soql):
                form = canonical(_value(row, by), self._described.get(by))
                if form not in wanted:
                    continue
                values_ = {name: _value(row, name) for name in fields}
                match = RecordMatch(str(row["Id"]), values_, _created(row))
                found[form] = min(found.get(form, match), match, key=_age)
        return found

    async def survivors(self, ids: Iterable[str]) -> dict[str, str]:
        """Of records that are gone, those that were merged: id → the record that is left."""
        if "MasterRecordId" not in self._described:
            return {}
        into: dict[str, str] = {}
        asked = set(ids)
        for _ in range(_MOST_MERGES):
            if not asked:
                break
            masters: dict[str, str] = {}
            for chunk in self._chunks(ID, sorted(asked), 300):
                rows = await self._query("queryAll", self._soql([ID, "MasterRecordId"], ID, chunk))
                masters |= {str(r["Id"]): str(r["MasterRecordId"]) for r in rows if r.get("MasterRecordId")}
            into |= masters
            asked = set(masters.values()) - set(into)
        return {id_: _end(into, id_) for id_ in into}

    def _soql(self, names: Sequence[str], by: str, values: Sequence[str]) -> str:
        literals = ", ".join(self._literal(by, v) for v in values)
        return f"SELECT {', '.join(names)} FROM {self._object} WHERE {by} IN ({literals})"

    def _literal(self, by: str, value: str) -> str:
        known = self._described.get(by)
        if known is not None and known.field.type in _BARE:
            return value
        for plain, escaped in (("\\", "\\\\"), ("'", "\\'"), ("\n", "\\n"), ("\r", "\\r"), ("\t", "\\t")):
            value = value.replace(plain, escaped)
        return f"'{value}'"

    def _chunks(self, by: str, values: Sequence[str], taken: int) -> Iterator[list[str]]:
        chunk, size = list[str](), taken
        for value in values:
            cost = len(quote_plus(self._literal(by, value) + ", "))
            if chunk and size + cost > _MOST_CHARS:
                yield chunk
                chunk, size = [], taken
            chunk.append(value)
            size += cost
        if chunk:
            yield chunk

    async def _query(self, kind: str, soql: str) -> list[Mapping[str, Any]]:
        path, params, rows = f"{self._path}/{kind}", {"q": soql}, list[Mapping[str, Any]]()
        for _ in range(_MOST_PAGES):
            response = await self._session.request("GET", path, params=params, idempotent=True)
            body = api.document(response)
            if not response.is_success:
                raise ConfigError(f"{api.refused(self._session, response)}", hint=f"It was asked of {self._object}.")
            records = body.get("records") if isinstance(body, dict) else None
            if not isinstance(records, list) or not all(isinstance(r, dict) and r.get("Id") for r in records):
                raise Unavailable(f"{self._session.name} did not answer with records", code="NO_RECORDS")
            rows += records
            if body.get("done", True):
                return rows
            path, params = str(body.get("nextRecordsUrl")), {}
            if not path.startswith("/services/data/"):
                break
        raise Unavailable(f"{self._session.name}: the pages of an answer do not end", code="NO_RECORDS")


def _value(row: Mapping[str, Any], name: str) -> Scalar:
    """Also of a parent: `{"Account": {"ExternalId__c": "x"}}`."""
    value: Any = row
    for step in name.split("."):
        value = value.get(step) if isinstance(value, dict) else None
    return None if isinstance(value, dict | list) else value


def _created(row: Mapping[str, Any]) -> datetime | None:
    try:
        return datetime.fromisoformat(str(row.get("CreatedDate")))
    except ValueError:
        return None


def _age(match: RecordMatch) -> tuple[bool, float, str]:
    at = match.created_at
    return at is None, at.timestamp() if at is not None and at.tzinfo else 0.0, match.destination_id


def _end(into: Mapping[str, str], id_: str) -> str:
    for _ in range(_MOST_MERGES):
        id_ = into.get(id_, id_)
    return id_

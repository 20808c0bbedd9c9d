"""sObject rows: one record a call (docs)."""

from __future__ import annotations

from typing import Any

from revetl.sandbox.salesforce.composite import Collections
from revetl.sandbox.salesforce.errors import RecordRefusal, SalesforceRefusal, not_found
from revetl.sandbox.salesforce.org import SalesforceOrg, WriteHeaders
from revetl.sandbox.salesforce.soql import attributes

Answer = tuple[int, Any]


class Rows:
    def __init__(self, org: SalesforceOrg, collections: Collections) -> None:
        self._org, self._collections = org, collections

    def create(self, name: str, values: dict[str, Any], headers: WriteHeaders) -> Answer:
        object_ = self._org.object(name)
        try:
            record = self._org.create(object_, values, headers)
        except RecordRefusal as e:
            raise e.whole() from None
        return 201, {"id": record.id, "success": True, "errors": []}

    def get(self, name: str, id_: str, fields: str | None) -> Answer:
        object_ = self._org.object(name)
        try:
            record = self._org.get(object_, id_)
        except RecordRefusal:
            raise not_found() from None
        names = fields.split(",") if fields else [*object_.fields]
        return 200, {"attributes": attributes(name, record.id)} | {n: self._org.shown(record, n) for n in names}

    def update(self, name: str, id_: str, values: dict[str, Any], headers: WriteHeaders) -> Answer:
        object_ = self._org.object(name)
        try:
            self._org.update(object_, self._org.get(object_, id_), values, headers)
        except RecordRefusal as e:
            raise e.whole() from None
        return 204, None

    def delete(self, name: str, id_: str) -> Answer:
        try:
            self._org.delete(self._org.get(self._org.object(name), id_))
        except RecordRefusal as e:
            raise e.whole() from None
        return 204, None

    def by_key(self, method: str, path: tuple[str, str, str], values: dict[str, Any], headers: WriteHeaders) -> Answer:
        """`/{object}/{external id}/{value}`: 201 created, 200 updated, 300 with all that match (docs)."""
        object_ = self._org.object(path[0])
        key = object_.field(path[1])
        if key is None or not (key.external_id or key.id_lookup):
            raise not_found()
        try:
            found = self._org.matches(object_, key, path[2])
            if len(found) > 1:
                return 300, [f"/services/data/v59.0/sobjects/{object_.name}/{r.id}" for r in found]
            if method == "PATCH":
                item = values | {key.name: path[2]}
                record, created = self._collections.upsert_one(object_, key.name, item, headers)
                status = 201 if created else 200
                return status, {"id": record.id, "success": True, "errors": [], "created": created}
        except RecordRefusal as e:
            raise e.whole() from None
        if not found:
            raise SalesforceRefusal(404, "NOT_FOUND", "The requested resource does not exist")
        return self.delete(path[0], found[0].id) if method == "DELETE" else self.get(path[0], found[0].id, None)

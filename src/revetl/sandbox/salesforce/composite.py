"""sObject collections: up to 200 records a call, each answered for in the order in which it was sent (docs)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from revetl.sandbox.salesforce.errors import RecordRefusal, SalesforceRefusal, malformed
from revetl.sandbox.salesforce.org import SalesforceOrg, SalesforceRecord, WriteHeaders
from revetl.sandbox.salesforce.schema import SalesforceObject

MOST_ROWS = 200


class Collections:
    def __init__(self, org: SalesforceOrg) -> None:
        self._org = org

    def create(self, body: Any, headers: WriteHeaders) -> list[dict[str, Any]]:
        return self._each(body, lambda item: self._create(item, headers))

    def update(self, body: Any, headers: WriteHeaders) -> list[dict[str, Any]]:
        return self._each(body, lambda item: self._update(item, headers))

    def upsert(self, object_name: str, by: str, body: Any, headers: WriteHeaders) -> list[dict[str, Any]]:
        object_ = self._org.object(object_name)
        key = object_.field(by)
        if key is None or not (key.external_id or key.id_lookup):
            raise SalesforceRefusal(
                404, "NOT_FOUND", f"Provided external ID field does not exist or is not accessible: {by}"
            )
        records = _records(body)
        forms = [r.get(key.name) for r in records]
        twins = (
            {f for f in forms if f is not None and forms.count(f) > 1}
            if len(set(map(str, forms))) < len(forms)
            else set()
        )

        def one(item: Mapping[str, Any]) -> dict[str, Any]:
            if _type(item) != object_.name:
                raise RecordRefusal("INVALID_TYPE", f"{_type(item)} is not {object_.name}")
            if item.get(key.name) in twins:  # unconfirmed
                raise RecordRefusal("DUPLICATE_VALUE", f"Duplicate external id specified: {item[key.name]}", key.name)
            record, created = self.upsert_one(object_, key.name, item, headers)
            return {"id": record.id, "success": True, "errors": [], "created": created}

        return self._each(body, one)

    def upsert_one(
        self, object_: SalesforceObject, by: str, item: Mapping[str, Any], headers: WriteHeaders
    ) -> tuple[SalesforceRecord, bool]:
        key = object_.fields[by]
        value = item.get(by)
        if value in (None, ""):
            raise RecordRefusal("MISSING_ARGUMENT", f"{by} not specified")
        if any(k.lower() == "id" for k in item) and by != "Id":
            raise RecordRefusal(
                "INVALID_FIELD", f"The Id field should not be specified in the sobject data when {by} is"
            )
        found = self._org.matches(object_, key, value)
        if len(found) > 1:  # an external id that is not unique (reported)
            raise RecordRefusal("DUPLICATE_EXTERNAL_ID", f"{by}: more than one record found for external id field")
        values = _values(item)
        if found:
            if by == "Id" or not key.updateable:
                values.pop(by, None)
            self._org.update(object_, found[0], values, headers)
            return found[0], False
        if by == "Id":
            raise RecordRefusal("INVALID_CROSS_REFERENCE_KEY", "invalid cross reference id")
        return self._org.create(object_, values, headers), True

    def delete(self, ids: list[str], *, all_or_none: bool) -> list[dict[str, Any]]:
        if len(ids) > MOST_ROWS:
            raise SalesforceRefusal(400, "EXCEEDED_ID_LIMIT", "record limit reached: 200")
        return self._all([{"id": i} for i in ids], lambda item: self._delete(str(item["id"])), all_or_none)

    def read(self, object_name: str, ids: list[str], fields: list[str]) -> list[Any]:
        """As many items as ids, null for what is not there (unconfirmed)."""
        object_ = self._org.object(object_name)
        for name in fields:
            if object_.field(name) is None:
                raise SalesforceRefusal(
                    400, "INVALID_FIELD", f"No such column '{name}' on sobject of type {object_.name}"
                )
        found: list[Any] = []
        for id_ in ids:
            try:
                record = self._org.get(object_, id_)
            except RecordRefusal:
                found.append(None)
                continue
            shown = {name: self._org.shown(record, name) for name in ("Id", *fields)}
            found.append({"attributes": {"type": object_.name}, **shown})
        return found

    def _create(self, item: Mapping[str, Any], headers: WriteHeaders) -> dict[str, Any]:
        values = _values(item)
        if any(k.lower() == "id" for k in values):
            raise RecordRefusal("INVALID_FIELD_FOR_INSERT_UPDATE", "cannot specify Id in an insert call", "Id")
        record = self._org.create(self._org.object(_type(item)), values, headers)
        return {"id": record.id, "success": True, "errors": []}

    def _update(self, item: Mapping[str, Any], headers: WriteHeaders) -> dict[str, Any]:
        object_ = self._org.object(_type(item))
        values = _values(item)
        id_ = next((values.pop(k) for k in [*values] if k.lower() == "id"), None)
        if not id_:
            raise RecordRefusal("MISSING_ARGUMENT", "Id not specified in an update call", "Id")
        record = self._org.get(object_, str(id_))
        self._org.update(object_, record, values, headers)
        return {"id": record.id, "success": True, "errors": []}

    def _delete(self, id_: str) -> dict[str, Any]:
        object_ = next((o for o in self._org.objects.values() if o.prefix == id_[:3]), None)
        if object_ is None:
            raise RecordRefusal("MALFORMED_ID", f"malformed id {id_}", "Id")
        record = self._org.get(object_, id_)
        self._org.delete(record)
        return {"id": record.id, "success": True, "errors": []}

    def _each(self, body: Any, one: Callable[[Mapping[str, Any]], dict[str, Any]]) -> list[dict[str, Any]]:
        return self._all(_records(body), one, bool(body.get("allOrNone", False)))

    def _all(
        self,
        items: list[Mapping[str, Any]] | list[dict[str, str]],
        one: Callable[[Mapping[str, Any]], dict[str, Any]],
        all_or_none: bool,
    ) -> list[dict[str, Any]]:
        results, refused = [], 0
        if all_or_none:
            raise SalesforceRefusal(400, "NOT_PLAYED", "this sandbox plays allOrNone=false only")
        for item in items:
            try:
                results.append(one(item))
            except RecordRefusal as e:
                refused += 1
                results.append({"success": False, "errors": [e.error()]})
            except SalesforceRefusal as e:
                if e.code != "INVALID_FIELD":
                    raise
                # Per record, or of the whole request: unconfirmed, per record here.
                refused += 1
                error = {"statusCode": e.code, "message": e.message, "fields": [*e.fields]}
                results.append({"success": False, "errors": [error]})
        return results


def _records(body: Any) -> list[Mapping[str, Any]]:
    if not isinstance(body, dict) or not isinstance(body.get("records"), list):
        raise malformed("records must be an array")
    if unknown := set(body) - {"allOrNone", "records"}:
        raise malformed(f"Unrecognized field '{min(unknown)}'")
    records: list[Mapping[str, Any]] = body["records"]
    if len(records) > MOST_ROWS:
        raise SalesforceRefusal(400, "EXCEEDED_ID_LIMIT", "record limit reached. cannot submit more than 200 records")
    if not all(isinstance(r, dict) for r in records):
        raise malformed("a record is an object")
    return records


def _type(item: Mapping[str, Any]) -> str:
    attributes = item.get("attributes")
    found = attributes.get("type") if isinstance(attributes, dict) else None
    if not isinstance(found, str):
        raise SalesforceRefusal(400, "INVALID_INPUT", "Include an entity type in the attributes of each record")
    return found


def _values(item: Mapping[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in item.items() if k != "attributes"}

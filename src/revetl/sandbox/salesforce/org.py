"""One org: its records, and what is done to one record at a time. For tests to set: `validation_rules` and
`duplicate_rules`, as an administrator makes them, and `locked`: how many more writes meet a record that another
transaction holds."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from revetl.clock import Clock
from revetl.sandbox.salesforce.errors import RecordRefusal, SalesforceRefusal, not_found
from revetl.sandbox.salesforce.schema import SalesforceField, SalesforceObject, standard_objects
from revetl.sandbox.salesforce.values import compared, stored, whole_id

_ASSIGNED = ("Account", "Case", "Lead")  # objects that have assignment rules (docs)


@dataclass(slots=True)
class SalesforceRecord:
    """`master`: of one that lost a merge, the record that is left."""

    id: str
    object: str
    values: dict[str, Any]
    deleted: bool = False
    master: str | None = None


@dataclass(frozen=True, slots=True)
class WriteHeaders:
    """What a request says of rules. Assignment rules run unless it says not to (docs). `allow_duplicates`: an alert
    of a duplicate rule is overridden (docs)."""

    auto_assign: bool = True
    allow_duplicates: bool = False
    from_csv: bool = False


@dataclass(frozen=True, slots=True)
class DuplicateRule:
    """Records of equal `field` are duplicates. `blocks`: no header overrides it."""

    field: str
    blocks: bool = False


@dataclass(slots=True)
class SalesforceOrg:
    clock: Clock
    objects: dict[str, SalesforceObject] = field(default_factory=standard_objects)
    records: dict[str, SalesforceRecord] = field(default_factory=dict)
    validation_rules: dict[str, Callable[[Mapping[str, Any]], str | None]] = field(default_factory=dict)
    duplicate_rules: dict[str, DuplicateRule] = field(default_factory=dict)
    locked: dict[str, int] = field(default_factory=dict)
    version: int = 0
    _last: int = 0
    owner: str = ""
    queue_owner: str = ""
    _by_unique: dict[tuple[str, str, Any], set[str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.records:
            people = [
                self._add("User", {"Username": f"{n}@revetl.example", "Email": f"{n}@revetl.example", "LastName": n})
                for n in ("olive", "queue")
            ]
            self.owner, self.queue_owner = (p.id for p in people)

    def object(self, name: str) -> SalesforceObject:
        found = self.objects.get(name) or next(
            (o for o in self.objects.values() if o.name.lower() == name.lower()), None
        )
        if found is None:
            raise not_found()
        return found

    def standing(self, object_: str) -> list[SalesforceRecord]:
        return [r for r in self.records.values() if r.object == object_ and not r.deleted]

    def get(self, object_: SalesforceObject, id_: str) -> SalesforceRecord:
        """RecordRefusal where the id is none, is of another object, or its record is gone."""
        whole = whole_id(id_)
        if whole is None:
            raise RecordRefusal("MALFORMED_ID", f"malformed id {id_}", "Id")
        record = self.records.get(whole)
        if record is None or record.object != object_.name:
            raise RecordRefusal("INVALID_CROSS_REFERENCE_KEY", "invalid cross reference id")
        if record.deleted:
            raise RecordRefusal("ENTITY_IS_DELETED", "entity is deleted")
        return record

    def create(self, object_: SalesforceObject, sent: Mapping[str, Any], headers: WriteHeaders) -> SalesforceRecord:
        _check_right(object_, "createable")
        values = self._prepared(object_, sent, headers, creating=True)
        missing = [f.name for f in object_.fields.values() if f.required and values.get(f.name) is None]
        if missing:
            message = f"Required fields are missing: [{', '.join(missing)}]"
            raise RecordRefusal("REQUIRED_FIELD_MISSING", message, *missing)
        values = {f.name: f.default for f in object_.fields.values() if f.default is not None} | values
        values |= {f.name: False for f in object_.fields.values() if f.type == "boolean" and f.name not in values}
        if "OwnerId" in object_.fields:
            values.setdefault("OwnerId", self.owner)
        self._check_rules(object_, values, None, headers)
        return self._add(object_.name, self._assigned(object_, values, headers))

    def update(
        self, object_: SalesforceObject, record: SalesforceRecord, sent: Mapping[str, Any], headers: WriteHeaders
    ) -> None:
        _check_right(object_, "updateable")
        if record.values.get("IsConverted"):
            raise RecordRefusal("CANNOT_UPDATE_CONVERTED_LEAD", "cannot reference converted lead")
        self._check_lock(record.id)
        values = self._prepared(object_, sent, headers, creating=False)
        self._check_rules(object_, record.values | values, record, headers)
        self._index(record, remove=True)
        record.values |= self._assigned(object_, values, headers)
        record.values |= self._stamps()
        self._index(record)
        self.version += 1

    def delete(self, record: SalesforceRecord) -> None:
        _check_right(self.objects[record.object], "deletable")
        self._check_lock(record.id)
        self._index(record, remove=True)
        record.deleted = True
        self.version += 1

    def merge(self, survivor: str, merged: str) -> None:
        """As a person does it; over the API it is SOAP's (docs)."""
        loser = self.records[merged]
        self._index(loser, remove=True)
        loser.deleted, loser.master = True, survivor
        self.version += 1

    def convert(self, lead: str, contact: str | None = None) -> str:
        """As a person does it; over the API it is SOAP's (docs). Into a new Contact, which is given the fields that the
        two objects share, or into one that stands and keeps its own. Returns the Contact's id."""
        record, object_ = self.records[lead], self.objects["Contact"]
        if contact is None:
            own = ("CreatedDate", "LastModifiedDate", "SystemModstamp")
            shared = {n: v for n, v in record.values.items() if n in object_.fields and n not in own}
            contact = self._add("Contact", shared).id
        record.values |= {"IsConverted": True, "ConvertedContactId": contact}
        self.version += 1
        return contact

    def matches(self, object_: SalesforceObject, field: SalesforceField, value: Any) -> list[SalesforceRecord]:
        """By an external id or another field that can be looked up by."""
        if field.name == "Id":
            record = self.records.get(whole_id(str(value)) or "")
            return [record] if record is not None and not record.deleted and record.object == object_.name else []
        form = compared(field, stored(field, value if not isinstance(value, int | float) else str(value)))
        return [self.records[i] for i in sorted(self._by_unique.get((object_.name, field.name, form), ()))]

    def shown(self, record: SalesforceRecord, name: str) -> Any:
        if name == "Id":
            return record.id
        if name == "IsDeleted":
            return record.deleted
        if name == "MasterRecordId":
            return record.master
        return record.values.get(name)

    def restore(self, last: int, records: list[SalesforceRecord]) -> None:
        self.records = {r.id: r for r in records}
        self._last = last
        self._by_unique.clear()
        for record in records:
            if not record.deleted:
                self._index(record)
        users = sorted(r.id for r in records if r.object == "User")
        self.owner, self.queue_owner = users[:2]

    @property
    def last_number(self) -> int:
        return self._last

    def _prepared(
        self, object_: SalesforceObject, sent: Mapping[str, Any], headers: WriteHeaders, *, creating: bool
    ) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for name, value in sent.items():
            if isinstance(value, Mapping) or "." in name:
                values |= self._parent(object_, name, value)
                continue
            known = object_.field(name)
            if known is None:
                message = f"No such column '{name}' on sobject of type {object_.name}"
                raise SalesforceRefusal(400, "INVALID_FIELD", message)
            if not (known.createable if creating else known.updateable):
                message = f"Unable to create/update fields: {known.name}"
                raise RecordRefusal("INVALID_FIELD_FOR_INSERT_UPDATE", message, known.name)
            values[known.name] = stored(known, value, from_csv=headers.from_csv)
            target = values[known.name]
            if known.type == "reference" and target is not None:
                parent = self.records.get(target)
                if parent is None or parent.object != known.reference_to:
                    raise RecordRefusal("INVALID_CROSS_REFERENCE_KEY", "invalid cross reference id", known.name)
                if parent.deleted:
                    raise RecordRefusal("ENTITY_IS_DELETED", "entity is deleted", known.name)
                self._check_lock(target)
        return values

    def _parent(self, object_: SalesforceObject, name: str, value: Any) -> dict[str, Any]:
        """`"Account": {"ExternalId__c": "x"}`, in a CSV `Account.ExternalId__c` (docs)."""
        relationship, _, by = name.partition(".")
        if isinstance(value, Mapping):
            [(by, value)] = [(k, v) for k, v in value.items() if k != "attributes"]
        reference = object_.parent(relationship)
        if reference is None or reference.reference_to is None:
            message = f"No such column '{relationship}' on sobject of type {object_.name}"
            raise SalesforceRefusal(400, "INVALID_FIELD", message)
        parent = self.object(reference.reference_to)
        key = parent.field(str(by))
        if key is None or not (key.external_id or key.id_lookup):
            message = f"{by} is not an external id of {parent.name}"
            raise RecordRefusal("INVALID_FIELD", message, reference.name)
        if value is None:
            return {reference.name: None}
        found = self.matches(parent, key, value)
        if len(found) != 1:
            message = f"Foreign key external ID: {value} not found for field {key.name} in entity {parent.name}"
            raise RecordRefusal("INVALID_FIELD", message)
        self._check_lock(found[0].id)
        return {reference.name: found[0].id}

    def _check_lock(self, id_: str) -> None:
        if self.locked.get(id_, 0) > 0:
            self.locked[id_] -= 1
            raise RecordRefusal("UNABLE_TO_LOCK_ROW", "unable to obtain exclusive access to this record")

    def _check_rules(
        self,
        object_: SalesforceObject,
        values: Mapping[str, Any],
        record: SalesforceRecord | None,
        headers: WriteHeaders,
    ) -> None:
        own = record.id if record is not None else None
        for known in object_.fields.values():
            value = values.get(known.name)
            if known.unique and value is not None:
                others = {r.id for r in self.matches(object_, known, value)} - {own}
                if others:
                    message = f"duplicate value found: {known.name} duplicates value on record with id: {min(others)}"
                    raise RecordRefusal("DUPLICATE_VALUE", message)
        rule = self.duplicate_rules.get(object_.name)
        if rule is not None and (rule.blocks or not headers.allow_duplicates):
            known_field = object_.fields[rule.field]
            value = values.get(rule.field)
            twins = {r.id for r in self.matches(object_, known_field, value)} - {own} if value is not None else set()
            if twins:
                raise RecordRefusal("DUPLICATES_DETECTED", "Use one of these records?")
        check = self.validation_rules.get(object_.name)
        if check is not None and (said := check(values)):
            raise RecordRefusal("FIELD_CUSTOM_VALIDATION_EXCEPTION", said)

    def _assigned(self, object_: SalesforceObject, values: dict[str, Any], headers: WriteHeaders) -> dict[str, Any]:
        moved = object_.name in _ASSIGNED and headers.auto_assign
        return values | {"OwnerId": self.queue_owner} if moved else values

    def _stamps(self) -> dict[str, str]:
        now = f"{self.clock.now():%Y-%m-%dT%H:%M:%S}.000+0000"
        return {"LastModifiedDate": now, "SystemModstamp": now}

    def _add(self, object_: str, values: dict[str, Any]) -> SalesforceRecord:
        self._last += 1
        id_ = str(whole_id(f"{self.objects[object_].prefix}Sb{self._last:010d}"))
        stamps = self._stamps()
        record = SalesforceRecord(id_, object_, {**values, **stamps, "CreatedDate": stamps["SystemModstamp"]})
        self.records[id_] = record
        self._index(record)
        self.version += 1
        return record

    def _index(self, record: SalesforceRecord, *, remove: bool = False) -> None:
        for known in self.objects[record.object].fields.values():
            value = record.values.get(known.name)
            if value is None or not (known.unique or known.external_id or known.id_lookup):
                continue
            held = self._by_unique.setdefault((record.object, known.name, compared(known, value)), set())
            (held.discard if remove else held.add)(record.id)


def _check_right(object_: SalesforceObject, flag: str) -> None:
    if flag in object_.refused:
        raise RecordRefusal("INSUFFICIENT_ACCESS_OR_READONLY", "insufficient access rights on object id")

"""The records of one object type: values, what was written when and by whom, and the indexes that keep them unique."""

from __future__ import annotations

import bisect
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, NamedTuple

from revetl.sandbox.hubspot import errors
from revetl.sandbox.hubspot.account import PropertyGroup, starting_groups
from revetl.sandbox.hubspot.rules import email_problems, hold_back_lifecycle, stage_problems
from revetl.sandbox.hubspot.schema import (
    DEFAULT_PROPERTIES,
    SYSTEM_PROPERTIES,
    Property,
    starting_properties,
)
from revetl.sandbox.hubspot.values import ValueProblem, check_value

# Looked up by search often enough to deserve an index, though not unique.
_LOOKED_UP = {"companies": ("domain",)}

INTEGRATION = "INTEGRATION"
HUMAN = "CRM_UI"


class Write(NamedTuple):
    """One write, as the history remembers it. `values` holds "" for what was cleared."""

    at_ms: int
    source: str
    values: dict[str, str]


class Record:
    __slots__ = ("archived_ms", "created_ms", "id", "updated_ms", "values", "writes")

    def __init__(self, record_id: str, values: dict[str, str], at_ms: int, source: str) -> None:
        self.id = record_id
        self.values = dict(values)
        self.created_ms = at_ms
        self.updated_ms = at_ms
        self.archived_ms: int | None = None
        self.writes: list[Write] = [Write(at_ms, source, values)]

    def value_at(self, name: str, at_ms: int) -> str | None:
        """The value as it stood at a moment; None where unset."""
        for write in reversed(self.writes):
            if write.at_ms <= at_ms and name in write.values:
                return write.values[name] or None
        return None

    def history(self, name: str) -> Iterator[Write]:
        """Latest first."""
        return (w for w in reversed(self.writes) if name in w.values)


class ObjectStore:
    """Not thread-safe. Values given to `create` and `update` must come from `prepare`."""

    def __init__(self, object_type: str) -> None:
        self.type = object_type
        self.properties: dict[str, Property] = starting_properties(object_type)
        self.archived_properties: dict[str, Property] = {}
        self.groups: dict[str, PropertyGroup] = starting_groups(object_type)
        self.records: dict[str, Record] = {}
        self.archived: dict[str, Record] = {}
        self.order: list[int] = []
        self.merged: dict[str, str] = {}
        self.unique: dict[str, dict[str, str]] = {"email": {}} if object_type == "contacts" else {}
        self.lookup: dict[str, dict[str, list[str]]] = {n: {} for n in _LOOKED_UP.get(object_type, ())}
        # Pipeline → its stages, where the object moves through some.
        self.stages: dict[str, frozenset[str]] = {}
        self.pipeline_properties = ("", "")
        # What HubSpot works out of a record, by property.
        self.calculations: dict[str, Callable[[Record], str | None]] = {}
        self.default_properties = DEFAULT_PROPERTIES.get(object_type, ())

    # reading

    def get(self, record_id: str) -> Record | None:
        """By id; a merged record's old id leads to the one it was merged into."""
        record = self.records.get(record_id)
        if record is None and record_id in self.merged:
            record = self.records.get(self.merged[record_id])
        return record

    def find(self, identifier: str, id_property: str | None) -> Record | None:
        """By id or a unique property; a contact also by an additional email."""
        if id_property is None or id_property == "hs_object_id":
            return self.get(identifier)
        found = self.unique[id_property].get(self.normal_form(id_property, identifier))
        return None if found is None else self.records[found]

    def normal_form(self, name: str, value: str) -> str:
        """In which a unique value is compared: emails without regard to case."""
        return value.strip().lower() if name == "email" else value.strip()

    def after(self, record_id: int) -> Iterator[Record]:
        """Living records with a greater id, in order of id."""
        for i in range(bisect.bisect_right(self.order, record_id), len(self.order)):
            record = self.records.get(str(self.order[i]))
            if record is not None:
                yield record

    # checking

    def prepare(self, properties: Any, record: Record | None) -> dict[str, str]:
        """Validated, normalised values. Raises one ApiError that names every bad property."""
        if not isinstance(properties, Mapping):
            raise errors.invalid_json("properties must be an object")
        values: dict[str, str] = {}
        problems: list[dict[str, Any]] = []
        known, standing = self.properties, None if record is None else record.values
        for name, raw in properties.items():
            property_ = known.get(name)
            if property_ is None:
                message = f'Property "{name}" does not exist'
                problems.append(errors.property_problem(name, "PROPERTY_DOESNT_EXIST", message))
                continue
            try:
                values[name] = check_value(property_, raw, (standing or {}).get(name))
            except ValueProblem as e:
                problems.append(e.problem)
        if self.type == "contacts":
            problems += email_problems(values)
        if self.stages:
            problems += stage_problems(self.pipeline_properties, self.stages, values, standing)
        if problems:
            raise errors.invalid_properties(problems)
        if "lifecyclestage" in values:
            hold_back_lifecycle(tuple(known["lifecyclestage"].options), values, standing)
        return values

    def check_unique(
        self, values: Mapping[str, str], record: Record | None, pending: dict[tuple[str, str], str]
    ) -> None:
        """Raises where a unique value belongs to another record. `pending` holds what earlier inputs of the same
        request claimed; on success the values join it."""
        own = None if record is None else record.id
        claims = list(self._unique_values(values))
        for name, value in claims:
            holder = self.unique[name].get(value) or pending.get((name, value))
            if holder is None or holder == own:
                continue
            if name == "email":
                raise errors.already_exists(self.type, holder)
            raise errors.unique_taken(self.type, name, value, own, holder)
        for claim in claims:
            pending[claim] = own or "0"

    def _unique_values(self, values: Mapping[str, str]) -> Iterator[tuple[str, str]]:
        for name in self.unique:
            value = values.get(name)
            if value:
                yield name, self.normal_form(name, value)
        if self.type == "contacts":
            for address in (values.get("hs_additional_emails") or "").split(";"):
                if address:
                    yield "email", address

    # writing

    def create(self, record_id: str, values: dict[str, str], at_ms: int, source: str) -> Record:
        values = {name: value for name, value in values.items() if value}
        record = Record(record_id, values, at_ms, source)
        self.records[record_id] = record
        self.order.append(int(record_id))
        self._index(record, values)
        return record

    def update(self, record: Record, values: dict[str, str], at_ms: int, source: str) -> None:
        self._unindex(record, values)
        for name, value in values.items():
            if value:
                record.values[name] = value
            else:
                record.values.pop(name, None)
        record.updated_ms = at_ms
        record.writes.append(Write(at_ms, source, values))
        self._index(record, values)

    def archive(self, record: Record, at_ms: int) -> None:
        """Moves it out of sight; its unique values are free again."""
        self._unindex(record, record.values)
        record.archived_ms = at_ms
        del self.records[record.id]
        self.archived[record.id] = record

    def erase(self, record: Record) -> None:
        """As archive, but nothing is kept."""
        self._unindex(record, record.values)
        del self.records[record.id]

    def add_property(self, property_: Property) -> None:
        self.properties[property_.name] = property_
        self.archived_properties.pop(property_.name, None)
        if property_.unique:
            self.unique[property_.name] = {}

    def drop_property(self, name: str) -> None:
        self.archived_properties[name] = self.properties.pop(name)
        self.unique.pop(name, None)
        for record in self.records.values():
            record.values.pop(name, None)

    def reindex(self, record: Record) -> None:
        """Puts all of a record's values into the indexes, after it was loaded."""
        self._index(record, record.values)

    def _index(self, record: Record, values: Mapping[str, str]) -> None:
        # All of the record's unique values: an address that is main and additional at once survives the loss of one.
        for name, value in self._unique_values(record.values):
            self.unique[name][value] = record.id
        for name, by_value in self.lookup.items():
            if values.get(name):
                by_value.setdefault(values[name].lower(), []).append(record.id)

    def _unindex(self, record: Record, changing: Mapping[str, str]) -> None:
        old = {name: record.values[name] for name in changing if name in record.values}
        for name, value in self._unique_values(old):
            self.unique[name].pop(value, None)
        for name, by_value in self.lookup.items():
            if name in old:
                by_value[old[name].lower()].remove(record.id)

    # showing

    def value(self, record: Record, name: str) -> str | None:
        """One property as text, system and calculated ones included; None where unset."""
        if name in self.calculations:
            return self.calculations[name](record)
        if name not in SYSTEM_PROPERTIES:
            return record.values.get(name)
        if name == "hs_object_id":
            return record.id
        return iso_ms(record.created_ms if name in ("createdate", "hs_createdate") else record.updated_ms)

    def is_stored(self, name: str) -> bool:
        """Whether values of it stand in the record, and so in its history."""
        return name not in SYSTEM_PROPERTIES and name not in self.calculations

    def show(self, record: Record, names: Any = None) -> dict[str, Any]:
        """As an answer holds it. Unset properties are null; unknown names are left out, not refused (live)."""
        wanted = self.default_properties if not names else dict.fromkeys((*self._always(), *names))
        shown: dict[str, Any] = {
            "id": record.id,
            "properties": {n: self.value(record, n) for n in wanted if n in self.properties},
            "createdAt": iso_ms(record.created_ms),
            "updatedAt": iso_ms(record.updated_ms),
            "archived": record.archived_ms is not None,
        }
        if record.archived_ms is not None:
            shown["archivedAt"] = iso_ms(record.archived_ms)
        return shown

    def show_written(self, record: Record, names: Mapping[str, object]) -> dict[str, Any]:
        """As a write answers: what was written and the system's own (captured)."""
        return self.show(record, names or self._always())

    def _always(self) -> tuple[str, ...]:
        changed = "lastmodifieddate" if self.type == "contacts" else "hs_lastmodifieddate"
        return ("createdate", "hs_createdate", "hs_object_id", changed)


def iso_ms(at_ms: int) -> str:
    """ISO 8601 with milliseconds."""
    second, ms = divmod(at_ms, 1000)
    return f"{_iso_second(second)}.{ms:03d}Z"


@lru_cache(maxsize=256)  # most of an answer's stamps share a second
def _iso_second(second: int) -> str:
    return datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S")

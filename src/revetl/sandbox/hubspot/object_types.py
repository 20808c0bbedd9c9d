"""The types of record that the portal holds: the vendor's own, and those that an account defines."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class StandardType:
    """`id` is the objectTypeId; `title` is what messages call one record."""

    plural: str
    singular: str
    id: str
    title: str
    pipeline: tuple[str, str] | None = None  # the properties that hold the pipeline and the stage


STANDARD_TYPES = {
    t.plural: t
    for t in (
        StandardType("contacts", "contact", "0-1", "Contact"),
        StandardType("companies", "company", "0-2", "Company"),
        StandardType("deals", "deal", "0-3", "Deal", ("pipeline", "dealstage")),
        StandardType("tickets", "ticket", "0-5", "Ticket", ("hs_pipeline", "hs_pipeline_stage")),
    )
}
OBJECT_TYPES = tuple(STANDARD_TYPES)
_NAMES = {name: t.plural for t in STANDARD_TYPES.values() for name in (t.plural, t.singular, t.id)}


@dataclass(slots=True)
class CustomObject:
    """A type that the account defined (docs: `name` and `id` never change). `full_name` is unique over all accounts."""

    id: str
    name: str
    full_name: str
    singular: str
    plural: str
    primary: str
    secondary: list[str] = field(default_factory=list)
    required: list[str] = field(default_factory=list)
    searchable: list[str] = field(default_factory=list)
    created_ms: int = 0

    def goes_by(self, name: str) -> bool:
        """As an address may name it (docs: the id or the full name)."""
        return name in (self.id, self.full_name)


def standard_type(name: str) -> str:
    """`contact`, `contacts`, `0-1` → `contacts`; any other name as it is."""
    return _NAMES.get(name, name)


def title(object_type: str) -> str:
    return STANDARD_TYPES[object_type].title if object_type in STANDARD_TYPES else "Object"


def type_id(object_type: str) -> str:
    """The records of an account's own types are kept under their ids."""
    return STANDARD_TYPES[object_type].id if object_type in STANDARD_TYPES else object_type

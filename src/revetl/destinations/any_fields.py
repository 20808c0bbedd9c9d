"""The fields of an object that takes whatever it is sent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from revetl.destinations.base import DestinationField, FieldType


class AnyFields(dict[str, DestinationField]):
    """Every name is a field; those that are declared have their types, all others take any value."""

    def __init__(self, types: Mapping[str, FieldType] | None = None, unique: Sequence[str] = ()) -> None:
        declared: Mapping[str, FieldType] = {**dict.fromkeys(unique, "string"), **(types or {})}
        super().__init__({n: DestinationField(n, type_, unique=n in unique) for n, type_ in declared.items()})

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str)

    def __missing__(self, name: str) -> DestinationField:
        return DestinationField(name, "any")

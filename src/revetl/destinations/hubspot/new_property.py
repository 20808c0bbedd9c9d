"""Properties that we make: the one for our keys, and those of columns that a sync asks for (`create_properties`)."""

from __future__ import annotations

import re
from typing import Any

from revetl.destinations.base import DestinationField, FieldType
from revetl.errors import ConfigError

_NAME = re.compile(r"[a-z][a-z0-9_]{0,99}")
# Our type → HubSpot's type and the control that shows it (docs).
_FORMS: dict[FieldType, tuple[str, str]] = {
    "string": ("string", "text"),
    "number": ("number", "number"),
    "bool": ("bool", "booleancheckbox"),
    "date": ("date", "date"),
    "datetime": ("datetime", "date"),
}
# A yes-or-no is shown by its two options; all four members are required (spec).
_YES_NO = [
    {"label": label, "value": value, "displayOrder": i, "hidden": False}
    for i, (label, value) in enumerate((("Yes", "true"), ("No", "false")))
]


def planned(name: str, type_: FieldType) -> DestinationField:
    """The field as it would be. ConfigError for a name that HubSpot does not take."""
    if not _NAME.fullmatch(name):
        raise ConfigError(
            f"{name!r} can't be the name of a property: a small letter, then small letters, digits and _ (100 at most)",
            hint="Rename the column in the model.",
        )
    if type_ not in _FORMS:
        raise ConfigError(f"{name!r}: no property is made of the type {type_}")
    return DestinationField(name, type_)


def key_definition(name: str, group: str) -> dict[str, Any]:
    """The body that makes a unique property for our keys."""
    description = "The record's identity in the warehouse. Written by revetl; do not edit."
    return _definition(name, "string", group, label="revetl key", description=description, unique=True)


def column_definition(name: str, type_: FieldType, group: str) -> dict[str, Any]:
    """The body that makes a property for a column. People may give it another label and group."""
    label = name.replace("_", " ").strip().capitalize() or name
    return _definition(name, type_, group, label=label, description="Written by revetl from the warehouse.")


def _definition(
    name: str, type_: FieldType, group: str, *, label: str, description: str, unique: bool = False
) -> dict[str, Any]:
    vendors_type, control = _FORMS[type_]
    body: dict[str, Any] = {
        "name": name,
        "label": label,
        "description": description,
        "groupName": group,
        "type": vendors_type,
        "fieldType": control,
        "hasUniqueValue": unique,
        "formField": False,
    }
    return {**body, "options": _YES_NO} if type_ == "bool" else body

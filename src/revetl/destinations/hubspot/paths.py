"""Where each family of HubSpot's endpoints is, by version of the API (docs): a dated version stands at another place in
each."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from revetl.errors import ConfigError

LEGACY = "v3"

# family → (before dates, with a date)
_FAMILIES: Mapping[str, tuple[str, str]] = {
    "objects": ("/crm/v3/objects", "/crm/objects/{version}"),
    "associations": ("/crm/v4/associations", "/crm/associations/{version}"),
    "properties": ("/crm/v3/properties", "/crm/properties/{version}"),
    "pipelines": ("/crm/v3/pipelines", "/crm/pipelines/{version}"),
    "owners": ("/crm/v3/owners", "/crm/owners/{version}"),
    "lists": ("/crm/v3/lists", "/crm/lists/{version}"),
    "schemas": ("/crm-object-schemas/v3/schemas", "/crm-object-schemas/{version}/schemas"),
    "token": ("/oauth/v1/token", "/oauth/{version}/token"),
}
_OBJECT = re.compile(r"[A-Za-z0-9_-]+")


@dataclass(frozen=True, slots=True)
class ApiPaths:
    """Of one version: `v3`, or a date such as `2026-03`. Objects are named as the vendor takes them in an address
    (`contacts`, `0-1`, `2-1234`); ConfigError for what is no such name."""

    version: str

    def objects(self, object_: str) -> str:
        return self._of("objects", object_)

    def associations(self, object_: str, to_object: str) -> str:
        return self._of("associations", object_, to_object)

    def properties(self, object_: str) -> str:
        return self._of("properties", object_)

    def pipelines(self, object_: str) -> str:
        return self._of("pipelines", object_)

    def owners(self) -> str:
        return self._of("owners")

    def lists(self) -> str:
        return self._of("lists")

    def schemas(self) -> str:
        return self._of("schemas")

    def token(self) -> str:
        return self._of("token")

    def _of(self, family: str, *objects: str) -> str:
        legacy, dated = _FAMILIES[family]
        base = legacy if self.version == LEGACY else dated.format(version=self.version)
        return "/".join((base, *map(object_name, objects)))


def object_name(object_: str) -> str:
    """The same name; ConfigError where it can be none: as a part of a path it would lead elsewhere."""
    if not _OBJECT.fullmatch(object_):
        raise ConfigError(f"{object_!r} is not the name of a HubSpot object")
    return object_

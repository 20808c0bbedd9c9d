"""Every address that is served, what answers there, and which scopes it takes."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from revetl.sandbox.hubspot import (
    associations,
    batch,
    labels,
    lists,
    object_schemas,
    objects,
    owners,
    pipelines,
    properties,
    property_groups,
    search,
    tokens,
)
from revetl.sandbox.hubspot.portal import PortalCall, Reply

Endpoint = Callable[[PortalCall], Reply]

DATED = ("2026-03", "2026-09")

# Any one of a set will do. `{type}`, `{from}` and `{to}` stand for the objects of the address. Which ones: spec, where
# it names one object's own; for links and pipelines, whose specification names those of every object, unconfirmed.
_READ = ("crm.objects.{type}.read",)
_WRITE = ("crm.objects.{type}.write",)
_SCHEMA_READ = ("crm.schemas.{type}.read", "crm.objects.{type}.read", "crm.objects.{type}.write")
_SCHEMA_WRITE = ("crm.schemas.{type}.write",)
_LINKS_READ = ("crm.objects.{from}.read", "crm.objects.{from}.write")
_LINKS_WRITE = ("crm.objects.{from}.write",)
_OWNERS = ("crm.objects.owners.read",)
_CUSTOM_READ = ("crm.schemas.custom.read", "crm.objects.custom.read")
_CUSTOM_WRITE = ("crm.schemas.custom.write",)

_Table = tuple[tuple[str, str, Endpoint, tuple[str, ...]], ...]

_OBJECTS: _Table = (
    ("POST", "/batch/create", batch.create, _WRITE),
    ("POST", "/batch/read", batch.read, _READ),
    ("POST", "/batch/update", batch.update, _WRITE),
    ("POST", "/batch/upsert", batch.upsert, _WRITE),
    ("POST", "/batch/archive", batch.archive, _WRITE),
    ("POST", "/search", search.search, _READ),
    ("POST", "/merge", objects.merge, _WRITE),
    ("POST", "/gdpr-delete", objects.gdpr_delete, _WRITE),
    ("GET", "", objects.list_all, _READ),
    ("POST", "", objects.create, _WRITE),
    ("GET", "/{id}", objects.read, _READ),
    ("PATCH", "/{id}", objects.update, _WRITE),
    ("DELETE", "/{id}", objects.archive, _WRITE),
)
_PROPERTIES: _Table = (
    ("POST", "/batch/create", properties.batch_create, _SCHEMA_WRITE),
    ("POST", "/batch/read", properties.batch_read, _SCHEMA_READ),
    ("POST", "/batch/archive", properties.batch_archive, _SCHEMA_WRITE),
    ("GET", "/groups", property_groups.list_all, _SCHEMA_READ),
    ("POST", "/groups", property_groups.create, _SCHEMA_WRITE),
    ("GET", "/groups/{name}", property_groups.read, _SCHEMA_READ),
    ("PATCH", "/groups/{name}", property_groups.update, _SCHEMA_WRITE),
    ("DELETE", "/groups/{name}", property_groups.archive, _SCHEMA_WRITE),
    ("GET", "", properties.list_all, _SCHEMA_READ),
    ("POST", "", properties.create, _SCHEMA_WRITE),
    ("GET", "/{name}", properties.read, _SCHEMA_READ),
    ("PATCH", "/{name}", properties.update, _SCHEMA_WRITE),
    ("DELETE", "/{name}", properties.archive, _SCHEMA_WRITE),
)
_ASSOCIATIONS: _Table = (
    ("GET", "/labels", labels.list_all, _LINKS_READ),
    ("POST", "/labels", labels.create, _LINKS_WRITE),
    ("PUT", "/labels", labels.update, _LINKS_WRITE),
    ("DELETE", "/labels/{type_id}", labels.delete, _LINKS_WRITE),
    ("POST", "/batch/create", associations.create, _LINKS_WRITE),
    ("POST", "/batch/read", associations.read, _LINKS_READ),
    ("POST", "/batch/archive", associations.archive, _LINKS_WRITE),
    ("POST", "/batch/labels/archive", associations.archive_labels, _LINKS_WRITE),
    ("POST", "/batch/associate/default", associations.associate_default, _LINKS_WRITE),
)
_LINKS_OF_ONE: _Table = (
    ("GET", "/{to}", associations.list_of, _READ),
    ("PUT", "/default/{to}/{to_id}", associations.put_default, _WRITE),
    ("PUT", "/{to}/{to_id}", associations.put_one, _WRITE),
    ("DELETE", "/{to}/{to_id}", associations.delete_one, _WRITE),
)
# The latest version describes no list of one record's links (spec): they are read in batches.
_LINKS_OF_ONE_UNLISTED: _Table = tuple(line for line in _LINKS_OF_ONE if line[0] != "GET")
_OWNERS_TABLE: _Table = (("GET", "", owners.list_all, _OWNERS), ("GET", "/{id}", owners.read, _OWNERS))
_PIPELINES: _Table = (
    ("GET", "", pipelines.list_all, _SCHEMA_READ),
    ("POST", "", pipelines.create, _SCHEMA_WRITE),
    ("GET", "/{pipeline}", pipelines.read, _SCHEMA_READ),
    ("PATCH", "/{pipeline}", pipelines.update, _SCHEMA_WRITE),
    ("PUT", "/{pipeline}", pipelines.replace, _SCHEMA_WRITE),
    ("DELETE", "/{pipeline}", pipelines.archive, _SCHEMA_WRITE),
    ("GET", "/{pipeline}/stages", pipelines.list_stages, _SCHEMA_READ),
    ("POST", "/{pipeline}/stages", pipelines.create_stage, _SCHEMA_WRITE),
    ("GET", "/{pipeline}/stages/{stage}", pipelines.read_stage, _SCHEMA_READ),
    ("PATCH", "/{pipeline}/stages/{stage}", pipelines.update_stage, _SCHEMA_WRITE),
    ("PUT", "/{pipeline}/stages/{stage}", pipelines.replace_stage, _SCHEMA_WRITE),
    ("DELETE", "/{pipeline}/stages/{stage}", pipelines.archive_stage, _SCHEMA_WRITE),
)
_OBJECT_SCHEMAS: _Table = (
    ("GET", "", object_schemas.list_all, _CUSTOM_READ),
    ("POST", "", object_schemas.create, _CUSTOM_WRITE),
    ("GET", "/{type}", object_schemas.read, (*_SCHEMA_READ, *_CUSTOM_READ)),
)
_LISTS_READ, _LISTS_WRITE = ("crm.lists.read",), ("crm.lists.write",)
_LISTS: _Table = (
    ("POST", "", lists.create, _LISTS_WRITE),
    ("POST", "/search", lists.search, _LISTS_READ),
    ("POST", "/records/memberships/batch/read", lists.memberships, _LISTS_READ),
    ("GET", "/{list}", lists.read, _LISTS_READ),
    ("DELETE", "/{list}", lists.delete, _LISTS_WRITE),
    ("GET", "/{list}/memberships", lists.members, _LISTS_READ),
    ("PUT", "/{list}/memberships/add", lists.add, _LISTS_WRITE),
    ("PUT", "/{list}/memberships/remove", lists.remove, _LISTS_WRITE),
)
# The shorter one is what readers ask for (captured in the sources of two).
_SCHEMA_BASES = ("/crm-object-schemas/v3/schemas", "/crm/v3/schemas")
_TABLES: tuple[tuple[_Table, tuple[str, ...]], ...] = (
    (_OBJECTS, ("/crm/v3/objects/{type}", *(f"/crm/objects/{d}/{{type}}" for d in DATED))),
    (_PROPERTIES, ("/crm/v3/properties/{type}", *(f"/crm/properties/{d}/{{type}}" for d in DATED))),
    (_ASSOCIATIONS, ("/crm/v4/associations/{from}/{to}", *(f"/crm/associations/{d}/{{from}}/{{to}}" for d in DATED))),
    (
        _LINKS_OF_ONE,
        ("/crm/v4/objects/{type}/{id}/associations", "/crm/objects/2026-03/{type}/{id}/associations"),
    ),
    (_LINKS_OF_ONE_UNLISTED, ("/crm/objects/2026-09/{type}/{id}/associations",)),
    (_OWNERS_TABLE, ("/crm/v3/owners", *(f"/crm/owners/{d}" for d in DATED))),
    (_PIPELINES, ("/crm/v3/pipelines/{type}", *(f"/crm/pipelines/{d}/{{type}}" for d in DATED))),
    (_LISTS, ("/crm/v3/lists", *(f"/crm/lists/{d}" for d in DATED))),
    (_OBJECT_SCHEMAS, (*_SCHEMA_BASES, *(f"/crm-object-schemas/{d}/schemas" for d in DATED))),
    ((("GET", "", tokens.account, ()),), ("/account-info/v3/details",)),
)
# Asked about a token that stands in the address or in the body, without one in the header (docs).
_PUBLIC: _Table = (
    ("GET", "/oauth/v1/access-tokens/{token}", tokens.access_token, ()),
    ("GET", "/oauth/v1/refresh-tokens/{token}", tokens.refresh_token, ()),
    ("POST", "/oauth/v2/private-apps/get/access-token-info", tokens.private_app, ()),
)
# Of POST endpoints, those that change nothing.
_READING = frozenset(
    {
        lists.search,
        lists.memberships,
        batch.read,
        search.search,
        properties.batch_read,
        associations.read,
        tokens.private_app,
    }
)
# Where an access token is given for a refresh token.
TOKEN_PATHS = ("/oauth/v1/token", *(f"/oauth/{d}/token" for d in DATED))
# Below these the vendor's own answers stand where nothing else is served.
FAMILIES = ("/crm", "/crm-object-schemas", "/oauth", "/account-info")


@dataclass(frozen=True, slots=True)
class ServedRoute:
    """`scopes`: any one is enough. `public`: no credentials are looked at."""

    method: str
    path: str
    endpoint: Endpoint
    scopes: tuple[str, ...]
    public: bool = False

    @property
    def writes(self) -> bool:
        return self.method != "GET" and self.endpoint not in _READING

    @property
    def searches(self) -> bool:
        return self.endpoint is search.search

    def is_at(self, path: str) -> bool:
        return re.fullmatch(re.sub(r"\\?\{.*?\\?\}", "[^/]+", re.escape(self.path)), path) is not None


def all_routes() -> Iterator[ServedRoute]:
    """In the order in which they are tried. A collection answers with a slash at its end too, as the vendor's pages
    write some."""
    for table, bases in _TABLES:
        for base in bases:
            for method, path, endpoint, scopes in table:
                yield ServedRoute(method, base + path, endpoint, scopes)
                if path == "":
                    yield ServedRoute(method, base + "/", endpoint, scopes)
    for method, path, endpoint, scopes in _PUBLIC:
        yield ServedRoute(method, path, endpoint, scopes, public=True)

"""The HubSpot destination: what goes which way. Facts of the vendor are in docs/design/hubspot.md."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from revetl.clock import Clock
from revetl.destinations.base import (
    Destination,
    DestinationField,
    FieldType,
    Limits,
    ObjectSchema,
    Pair,
    Quota,
    RecordMatch,
)
from revetl.destinations.capabilities import LinkedRecords, TokenScopes
from revetl.destinations.hubspot import access, api, erasing, linking, new_property
from revetl.destinations.hubspot.allowance import Allowance
from revetl.destinations.hubspot.batch_items import BatchRoute, Item
from revetl.destinations.hubspot.directory import PortalDirectory
from revetl.destinations.hubspot.options import Options
from revetl.destinations.hubspot.outgoing import ItemBuilder, route_of
from revetl.destinations.hubspot.paths import ApiPaths
from revetl.destinations.hubspot.portal_copy import copy_portal
from revetl.destinations.hubspot.portal_links import PortalLinks
from revetl.destinations.hubspot.reading import ID, Reader, unique_property
from revetl.destinations.hubspot.schema import CONTACTS, Schema
from revetl.destinations.hubspot.values import canonical
from revetl.destinations.hubspot.writing import Writer
from revetl.destinations.session_destination import SessionDestination
from revetl.errors import ConfigError
from revetl.http import Policy, Rate, RateHeaders, ResponseRules, Session, SessionOptions, Transport
from revetl.model import Change, Outcome, Scalar, Status

READ_ROWS = 100  # of a batch read (docs)


class HubSpot(SessionDestination):
    """One portal. Every write is idempotent: by the record's id, by email, or by our own unique property."""

    def __init__(
        self,
        name: str,
        options: Options,
        clock: Clock,
        *,
        transport: Transport | None = None,
        rng: random.Random | None = None,
    ) -> None:
        self.name = name
        self._options = options
        self._allowance = Allowance(options)
        headers, secrets, auth = options.session_auth()
        self._token = auth[0] if auth else None
        self._session = Session(
            name,
            options.base_url,
            SessionOptions(
                headers=headers,
                secrets=secrets,
                auth=auth,
                rates={
                    "default": Rate(options.requests_per_10_s, 10.0),
                    "search": Rate(options.searches_per_s, 1.0),
                },
                policy=Policy(timeout_s=options.timeout_s, first_backoff_s=1.0),
                allow_insecure=options.allow_insecure,
            ),
            ResponseRules(
                verdicts=api.VERDICTS,
                rate_headers=RateHeaders("x-hubspot-ratelimit-max", "x-hubspot-ratelimit-remaining"),
                retry_after_s=api.wait_s,
                error_code=api.error_code,
                explain=api.missing_scopes,
                readable=api.readable,
                on_response=self._allowance.observe,
            ),
            transport=transport,
            clock=clock,
            rng=rng,
        )
        self._paths = ApiPaths(options.api_version)
        self._schema = Schema(self._session, self._paths)
        self._directory = PortalDirectory(self._session, self._paths, self._schema)
        self._links = PortalLinks(self._session, self._paths, self._schema)
        # Records found by `match` that do not carry our key yet: the next update gives it to them.
        self._unkeyed: dict[str, set[str]] = defaultdict(set)

    async def check(self) -> str:
        response = await self._session.request("GET", "/account-info/v3/details", idempotent=True, policy=access.ONCE)
        pace = f"{self._options.requests_per_10_s} requests per 10 s"
        portal = api.body_of(response).get("portalId") if response.is_success else None
        if portal is not None:
            return f"portal {portal}, {pace}"
        fields = await self._schema.fields("contacts")  # a token without that scope still shows that it is one
        return f"{len(fields)} contact properties, {pace}"

    async def probe(self, object_: str, match_on: str | None) -> list[str]:
        creates_key = await self._key_to_make(object_, match_on) is not None
        address = await self._schema.address(object_)
        return await access.missing(self._session, self._paths, address, creates_key=creates_key)

    async def scopes(
        self, object_: str, match_on: str | None, others: Sequence[str], *, makes_fields: bool
    ) -> TokenScopes:
        creates_key = await self._key_to_make(object_, match_on) is not None
        needed = access.needed_scopes(object_, others, creates_key=creates_key, makes_fields=makes_fields)
        app = self._options.token.get_secret_value() if self._options.token else None
        bearer = self._token.bearer if self._token is not None else None
        return TokenScopes(needed, await access.granted_scopes(self._session, private_app=app, access_token=bearer))

    async def key_field_to_make(self, object_: str, match_on: str | None) -> str | None:
        name = await self._key_to_make(object_, match_on)
        if name is not None:
            await access.try_making_property(self._session, self._paths, await self._schema.address(object_))
        return name

    async def _key_to_make(self, object_: str, match_on: str | None) -> str | None:
        """A sync's own (`match_on` is its key_property then), or else the connection's, where one is needed."""
        fields = await self._schema.fields(object_)
        if match_on is not None and match_on not in fields:
            return match_on
        key = self._options.key_property
        needs_none = match_on == ID or unique_property(object_, match_on, fields)
        return None if needs_none or key in fields else key

    async def copy_setup(self) -> tuple[dict[str, Any], list[str]]:
        return await copy_portal(self._session, self._paths)

    async def describe(self, object_: str) -> ObjectSchema:
        if self._directory.has(object_):
            return self._directory.describe(object_)
        return ObjectSchema(dict(await self._schema.fields(object_)))

    def limits(self, object_: str) -> Limits:
        return Limits(
            self._options.batch_rows,
            self._options.concurrency,
            lookup_rows=min(READ_ROWS, self._options.batch_rows),
            read_rows=READ_ROWS,
            link_rows=linking.CREATE_ROWS,
            unlink_rows=linking.ARCHIVE_ROWS,
            link_read_rows=linking.READ_ROWS,
        )

    def quota(self, object_: str, match_on: str | None) -> Quota:
        """A unique property is looked up by batch read; any other by search, which has a limit of its own."""
        unique = unique_property(object_, match_on, self._schema.known(object_))
        return self._allowance.quota(searched=match_on is not None and not unique)

    def idempotent(self, object_: str, match_on: str | None) -> bool:
        return True

    def keeps_key(self, object_: str, match_on: str | None) -> bool:
        """Whoever is upserted by a unique property of the vendor's or the user's (an email) carries that alone."""
        return not (match_on and unique_property(object_, match_on, self._schema.known(object_)))

    def new_field(self, object_: str, name: str, type_: FieldType) -> DestinationField:
        return new_property.planned(name, type_)

    async def try_making_field(self, object_: str) -> None:
        await access.try_making_property(self._session, self._paths, await self._schema.address(object_))

    async def make_field(self, object_: str, name: str, type_: FieldType) -> None:
        await self._schema.ensure_column(object_, name, type_)

    def erases(self, object_: str) -> bool:
        """The API has it for contacts alone (spec)."""
        return object_ in CONTACTS

    async def make_key_field(self, object_: str, name: str) -> None:
        await self._schema.ensure_key(object_, name)

    def normalise(self, object_: str, field: str, value: Scalar) -> str:
        if self._directory.has(object_):
            return self._directory.form(value)
        known = self._schema.known(object_).get(field)
        return canonical(field, value, known.type if known else None)

    def id_field(self, object_: str) -> str:
        return self._directory.id_field(object_) if self._directory.has(object_) else ID

    async def look_up(
        self, object_: str, match_on: str, values: Sequence[Scalar], fields: Sequence[str]
    ) -> dict[str, RecordMatch]:
        """Search lags behind writes by seconds (docs): a record made just now may not be found through it."""
        self._allowance.check(self.name)
        if self._directory.has(object_):
            return await self._directory.look_up(object_, values)
        described = await self._schema.fields(object_)
        if match_on not in described:
            raise ConfigError(f"{self.name}: {object_} has no property {match_on!r} to match on")
        unique = match_on == ID or unique_property(object_, match_on, described)
        key = self._options.key_property
        wanted = [*fields, key] if not unique and key in described else [*fields]
        path = self._paths.objects(await self._schema.address(object_))
        reader = Reader(self._session, path, object_, match_on, wanted, described[match_on])
        forms = list(dict.fromkeys(self.normalise(object_, match_on, v) for v in values if v is not None and v != ""))
        if unique:
            return await reader.by_unique(forms) if forms else {}
        found = await reader.by_search(forms)
        self._unkeyed[object_] |= {m.destination_id for m in found.values() if not m.fields.get(key)}
        return found

    async def read_back(self, object_: str, ids: Sequence[str], fields: Sequence[str]) -> dict[str, RecordMatch]:
        """Reads by id show a write at once, where search lags."""
        if self._directory.has(object_):
            return await self._directory.read_back(object_, ids)
        return await self.look_up(object_, ID, ids, fields)

    async def link_types(self, object_: str, to_object: str) -> frozenset[int]:
        return frozenset((await self._links.kinds(object_, to_object)).categories)

    async def implied_type(self, object_: str, to_object: str) -> int | None:
        return (await self._links.kinds(object_, to_object)).plain

    async def exclusive_types(self, object_: str, to_object: str) -> frozenset[int]:
        """A record has one primary company, and a company one parent; a company is the primary one of many, so it is
        not held once seen from its side (docs)."""
        if to_object != "companies":
            return frozenset()
        return (await self._links.kinds(object_, to_object)).held_once

    async def link(self, object_: str, to_object: str, type_: int, pairs: Sequence[Pair]) -> list[Outcome]:
        self._allowance.check(self.name)
        kinds = await self._links.kinds(object_, to_object)
        return await (await self._links.linker(object_, to_object)).link(type_, kinds.category(type_), pairs)

    async def unlink(self, object_: str, to_object: str, type_: int, pairs: Sequence[Pair]) -> list[Outcome]:
        self._allowance.check(self.name)
        kinds = await self._links.kinds(object_, to_object)
        return await (await self._links.linker(object_, to_object)).unlink(type_, kinds, pairs)

    async def links_of(self, object_: str, to_object: str, ids: Sequence[str]) -> Mapping[str, LinkedRecords]:
        self._allowance.check(self.name)
        kinds = self._links.known(object_, to_object)
        return await (await self._links.linker(object_, to_object)).standing(ids, kinds)

    async def write(self, object_: str, match_on: str | None, changes: Sequence[Change]) -> list[Outcome]:
        """A record that was archived at HubSpot is
        rejected with the code OBJECT_NOT_FOUND: it is not made anew behind the back of who archived it."""
        self._allowance.check(self.name)
        described = await self._schema.fields(object_)
        base = self._paths.objects(await self._schema.address(object_))
        if changes and changes[0].erase:  # all are of one operation
            return await erasing.erase(self._session, base, changes)
        key = self._options.key_property
        by = match_on if match_on and unique_property(object_, match_on, described) else key
        builder = ItemBuilder(described, key, by == key, self._unkeyed[object_])
        routes: dict[BatchRoute, list[Item]] = defaultdict(list)
        items = []
        for change in changes:
            route = route_of(base, by, change)
            item = builder.build(route, change)
            items.append(item)
            if item.outcome is None:
                routes[route].append(item)
        writer = Writer(self._session)
        if any(key in item.properties for item in items):
            await self._schema.ensure_key(object_, key)
        for route, group in routes.items():
            for i in range(0, len(group), self._options.batch_rows):
                await writer.write(route, group[i : i + self._options.batch_rows])
        outcomes = [item.outcome for item in items if item.outcome is not None]
        taken = (o for o in outcomes if o.status in (Status.OK, Status.ACCEPTED))
        self._unkeyed[object_] -= {o.destination_id for o in taken if o.destination_id}
        return outcomes


def connect(name: str, options: Options, clock: Clock) -> Destination:
    return HubSpot(name, options, clock)

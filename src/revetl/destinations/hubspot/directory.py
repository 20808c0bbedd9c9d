"""What people set up in a portal, looked up by the names that they know: owners by their email, pipelines and stages by
their labels, lists by their names. Records hold ids of these.

They are objects that can be looked up and not written: `owners`, `lists`, and for an object with pipelines
`deals/pipelines` and `deals/stages`. All but lists are read whole, once in a session.

What can fail here, and what then happens:
- the token may not read them → Denied, with the scope, when it is planned.
- a label is that of several stages → ConfigError when it is planned; it names them as they can be told apart.
- nobody has the name → it is absent, as any record that is not there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from revetl.destinations.base import DestinationField, ObjectSchema, RecordMatch
from revetl.destinations.hubspot import api
from revetl.destinations.hubspot.lists import LISTS, find_lists, standing_lists
from revetl.destinations.hubspot.paging import Pages
from revetl.destinations.hubspot.paths import ApiPaths
from revetl.destinations.hubspot.schema import Schema
from revetl.errors import ConfigError
from revetl.http import Session
from revetl.model import Scalar

OWNERS = "owners"
_BY = {OWNERS: "email", LISTS: "name", "pipelines": "label", "stages": "label"}
_OWNERS_PAGE = 500  # docs


@dataclass(slots=True)
class NamedEntries:
    """Name, in the form in which it is compared → id. `several`: names that lead to more than one, with what tells
    these apart."""

    ids: dict[str, str] = field(default_factory=dict)
    several: dict[str, list[str]] = field(default_factory=dict)


class PortalDirectory:
    """Of one portal. Objects are named as a sync names them."""

    def __init__(self, session: Session, paths: ApiPaths, schema: Schema) -> None:
        self._session = session
        self._paths = paths
        self._schema = schema
        self._entries: dict[str, NamedEntries] = {}

    @staticmethod
    def has(object_: str) -> bool:
        """Whether this is looked up here, and not among records."""
        return object_ in (OWNERS, LISTS) or object_.endswith(("/pipelines", "/stages"))

    @staticmethod
    def describe(object_: str) -> ObjectSchema:
        name = PortalDirectory.id_field(object_)
        return ObjectSchema({name: DestinationField(name, "string", read_only=True)})

    @staticmethod
    def id_field(object_: str) -> str:
        """The name, by which the portal knows it: nothing is created by it."""
        return _BY[object_.rpartition("/")[2]]

    @staticmethod
    def form(value: Scalar) -> str:
        """Emails and labels without case and outer blanks: nobody tells two apart by these."""
        return "" if value is None else str(value).strip().casefold()

    async def look_up(self, object_: str, values: Sequence[Scalar]) -> dict[str, RecordMatch]:
        if object_ == LISTS:
            names = {self.form(value): str(value) for value in values}
            found = await find_lists(self._session, self._paths, list(names.values()))
            return {form: found[name] for form, name in names.items() if name in found}
        if object_ not in self._entries:
            self._entries[object_] = await self._read(object_)
        entries, forms = self._entries[object_], {self.form(value) for value in values}
        for form in sorted(forms & entries.several.keys()):
            raise ConfigError(
                f"{self._session.name}: {object_}: several have the label {form!r}",
                hint=f"Write one of {', '.join(map(repr, entries.several[form]))}.",
            )
        return {form: RecordMatch(entries.ids[form], {}) for form in forms if form in entries.ids}

    async def read_back(self, object_: str, ids: Sequence[str]) -> dict[str, RecordMatch]:
        """Of lists alone: owners and stages are no ends of links, so nobody reads them by their ids."""
        return await standing_lists(self._session, self._paths, ids) if object_ == LISTS else {}

    async def _read(self, object_: str) -> NamedEntries:
        if object_ == OWNERS:
            return NamedEntries({self.form(o["email"]): str(o["id"]) for o in await self._owners() if o.get("email")})
        of, _, kind = object_.rpartition("/")
        path = self._paths.pipelines(await self._schema.address(of))
        pipelines = await self._results(path, {})
        return _pipelines(pipelines) if kind == "pipelines" else _stages(pipelines)

    async def _owners(self) -> list[dict[str, Any]]:
        """Those who work there; one who has left can't be given a record (docs)."""
        return await self._results(self._paths.owners(), {"limit": str(_OWNERS_PAGE), "archived": "false"})

    async def _results(self, path: str, query: Mapping[str, str]) -> list[dict[str, Any]]:
        pages, found = Pages(f"{self._session.name}: {path}"), list[dict[str, Any]]()
        after: str | None = None
        while True:
            params = {**query, "after": after} if after else dict(query)
            response = await self._session.request("GET", path, params=params, idempotent=True)
            body = api.body_of(response)
            if not response.is_success:
                refusal = api.refusal(body)
                raise ConfigError(f"{self._session.name}: {path} can't be read: {refusal.code}", hint=refusal.message)
            found += [r for r in api.listed(body.get("results")) if isinstance(r, dict) and r.get("id")]
            after = pages.next_after(body)
            if after is None:
                return found


def _pipelines(pipelines: Sequence[Mapping[str, Any]]) -> NamedEntries:
    """By label, or by the id where two have the same label."""
    return _named([(str(p.get("label") or ""), str(p["id"]), str(p["id"])) for p in pipelines])


def _stages(pipelines: Sequence[Mapping[str, Any]]) -> NamedEntries:
    """By label, or as `pipeline/stage` where several pipelines have a stage of that label."""
    return _named(
        [
            (str(stage.get("label") or ""), f"{pipeline.get('label')}/{stage.get('label')}", str(stage["id"]))
            for pipeline in pipelines
            for stage in api.listed(pipeline.get("stages"))
            if isinstance(stage, dict) and stage.get("id") and not stage.get("archived")
        ]
    )


def _named(entries: Sequence[tuple[str, str, str]]) -> NamedEntries:
    """Of (label, what tells it apart, id). The id serves as a name too."""
    found, labelled = NamedEntries(), dict[str, list[tuple[str, str]]]()
    for label, apart, id_ in entries:
        labelled.setdefault(PortalDirectory.form(label), []).append((apart, id_))
    for label, those in labelled.items():
        if len(those) == 1:
            found.ids[label] = those[0][1]
        else:
            found.several[label] = sorted(apart for apart, _ in those)
    for _, apart, id_ in entries:
        found.ids.setdefault(PortalDirectory.form(apart), id_)
        found.ids.setdefault(PortalDirectory.form(id_), id_)
    return found

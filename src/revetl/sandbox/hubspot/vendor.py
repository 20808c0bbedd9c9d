"""HubSpot as the sandbox serves it: one portal at the root, where the vendor's own paths begin."""

from __future__ import annotations

from typing import Any

from revetl.sandbox.hubspot.app import HubSpotApp
from revetl.sandbox.hubspot.errors import ApiError, unknown_type
from revetl.sandbox.hubspot.limits import RateLimits
from revetl.sandbox.hubspot.options import HubSpotSandboxOptions
from revetl.sandbox.hubspot.portal import Portal
from revetl.sandbox.hubspot.portal_file import read_portal_file, set_up_from
from revetl.sandbox.hubspot.state import dump_portal, restore_portal
from revetl.sandbox.hubspot.store import HUMAN, ObjectStore, Record
from revetl.sandbox.vendor import Routes, SandboxVendor, VendorContext


class HubSpotSandbox(SandboxVendor):
    """`portal` is public so that tests may look inside and set things up directly; a reset puts another in its place.

    Lets a person edit records, and keeps them over a restart.
    """

    name = "hubspot"
    mount = ""
    Options = HubSpotSandboxOptions

    def __init__(self, context: VendorContext, options: HubSpotSandboxOptions) -> None:
        self._clock = context.clock
        self._options = options if context.settings.limited else options.without_limits()
        self.portal = self._fresh_portal()
        self._app = HubSpotApp(self.portal, RateLimits(self._options, self._clock))

    def _fresh_portal(self) -> Portal:
        portal = Portal(self._clock, search_lag_s=self._options.search_lag_s, grants=self._options.scopes)
        if self._options.portal is not None:
            set_up_from(portal, read_portal_file(self._options.portal))
        return portal

    def add_routes(self, routes: Routes) -> None:
        self._app.add_routes(routes)

    def reset(self, *, keep_records: bool = False) -> None:
        if not keep_records:
            version = self.portal.version
            self.portal = self._app.portal = self._fresh_portal()
            self.portal.version = version + 1
        self._app.limits = RateLimits(self._options, self._clock)
        self._app.requests = self._app.writes = self._app.refused = 0
        self.portal.counts.clear()

    def stats(self, *, calls: bool = False) -> dict[str, Any]:
        return {
            "requests": self._app.requests,
            "write_requests": self._app.writes,
            "refused": self._app.refused,
            "records": {name: len(store.records) for name, store in self.portal.stores.items()},
            "changes": dict(self.portal.counts),
        }

    # a person edits a record

    def has_object(self, name: str) -> bool:
        return self.portal.canonical(name) in self.portal.stores

    def edit(self, document: dict[str, Any]) -> tuple[int, Any]:
        """Goes into the history as the user interface, not as an integration."""
        portal, object_ = self.portal, self.portal.canonical(str(document.get("object", "")))
        if not self.has_object(object_):
            return 404, unknown_type(object_).body()
        try:
            store = portal.store(object_)
            record = _meant(store, document)
            if record is None:
                return 404, {"error": "no such record"}
            values = store.prepare(document.get("properties", {}), record)
            store.check_unique(values, record, {})
        except ApiError as e:
            return e.status, e.body()
        portal.update(store, record, values, portal.now_ms(), HUMAN)
        return 200, store.show_written(record, values)

    # records outlive the server

    @property
    def version(self) -> int:
        return self.portal.version

    def dump(self) -> dict[str, Any]:
        return dump_portal(self.portal)

    def restore(self, document: dict[str, Any]) -> None:
        restore_portal(self.portal, document)


def _meant(store: ObjectStore, document: dict[str, Any]) -> Record | None:
    """By id; else the first whose properties all match, letter case aside."""
    if "id" in document:
        record = store.get(str(document["id"]))
        if record is not None:
            return record
    match = document.get("match") or {}
    wanted = [(name, str(value).lower()) for name, value in match.items()]
    if not wanted:
        return None
    everyone = store.records.values()
    return next((r for r in everyone if all((store.value(r, n) or "").lower() == v for n, v in wanted)), None)

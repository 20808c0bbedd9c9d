"""HubSpot passes the suite that every connector inherits, against the sandbox in process and on virtual time."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from revetl.clock import Clock
from revetl.destinations.base import Destination
from revetl.destinations.hubspot import HubSpot, Options
from revetl.model import Scalar
from revetl.sandbox.hubspot.portal import Portal
from revetl.sandbox.hubspot.vendor import HubSpotSandbox
from revetl.sandbox.inprocess import InProcess, sandbox_in_process
from revetl.sandbox.server import Sandbox
from revetl.sandbox.settings import SandboxSettings
from revetl.testing import DestinationSuite, LinkCase, StoredRecord, VendorWire
from tests.support.published_hubspot import as_published as as_published

pytestmark = pytest.mark.usefixtures("as_published")


@dataclass
class Vendor:
    transport: InProcess
    sandbox: Sandbox

    @property
    def portal(self) -> Portal:
        return self.sandbox.vendor(HubSpotSandbox).portal


class HubSpotSuite(DestinationSuite):
    def vendor(self, clock: Clock) -> AbstractAsyncContextManager[Vendor]:
        @asynccontextmanager
        async def started() -> AsyncIterator[Vendor]:
            settings = SandboxSettings(vendors={"hubspot": {"search_lag_s": 0}}, limited=False)
            async with sandbox_in_process(settings, clock) as (transport, sandbox):
                yield Vendor(transport, sandbox)

        return started()

    def transport(self, vendor: Vendor) -> httpx.AsyncBaseTransport:
        return vendor.transport

    def connect(self, vendor: Vendor, wire: VendorWire, clock: Clock) -> Destination:
        options = Options.model_validate(
            {
                "token": self.token,
                "base_url": "http://127.0.0.1:1",
                "batch_rows": 10,
                "concurrency": 3,
                "requests_per_10_s": 1000,
                "searches_per_s": 100,
            }
        )
        return HubSpot("hubspot", options, clock, transport=wire, rng=random.Random(1))

    async def standing(self, vendor: Vendor) -> list[StoredRecord]:
        """From the portal's own store."""
        store = vendor.portal.store(self.object)
        return [
            StoredRecord(r.id, {name: store.value(r, name) for name in r.values})
            for r in store.records.values()
            if r.archived_ms is None
        ]

    def is_write(self, request: httpx.Request) -> bool:
        return "/batch/" in request.url.path and not request.url.path.endswith("/read")

    def success_with_errors(self) -> httpx.Response:
        error = {"status": "error", "category": "VALIDATION_ERROR", "message": "Property values were not valid"}
        body = {"status": "COMPLETE", "results": [], "numErrors": 1, "errors": [error]}
        return httpx.Response(207, json=body)

    async def merge(self, vendor: Vendor, survivor: str, merged: str) -> bool:
        body = {"primaryObjectId": survivor, "objectIdToMerge": merged}
        answer = await vendor.transport.handle_async_request(
            httpx.Request(
                "POST",
                f"http://127.0.0.1:1/crm/v3/objects/{self.object}/merge",
                json=body,
                headers={"authorization": "Bearer pat-person"},
            )
        )
        assert answer.status_code == 200, answer.text
        return True


class TestHubSpotContacts(HubSpotSuite):
    object, identity, text, match_on = "contacts", "email", "firstname", "email"
    links = LinkCase("companies", 279, "domain", lambda n: {"domain": f"c{n}.example", "name": f"Company {n}"})

    def poison(self, fields: Mapping[str, Scalar]) -> dict[str, Scalar]:
        return {**fields, "lifecyclestage": "no such stage"}

    def values(self) -> Mapping[str, Sequence[Scalar]]:
        return {**super().values(), "lifecyclestage": ["lead", "customer"]}


class TestHubSpotCompanies(HubSpotSuite):
    """Not deduplicated by the vendor: a unique property of ours makes a create repeatable."""

    object, identity, text, match_on = "companies", "domain", "name", "domain"
    links = LinkCase("contacts", 280, "email", lambda n: {"email": f"p{n}@c.example"})

    def fields(self, n: int) -> dict[str, Any]:
        return {"domain": f"d{n}.example", "name": f"Company {n}"}

    def poison(self, fields: Mapping[str, Scalar]) -> dict[str, Scalar]:
        return {**fields, "numberofemployees": "many"}

    def values(self) -> Mapping[str, Sequence[Scalar]]:
        return {**super().values(), "numberofemployees": [0, 7, 12_000]}

"""Any HTTP API keeps the contract in each of the shapes that it may have, against the sandbox in process."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Any, ClassVar

import httpx

from revetl.clock import Clock
from revetl.destinations.base import Destination
from revetl.destinations.http import Options, connect
from revetl.model import Scalar
from revetl.sandbox.any_api.vendor import SIGNING_SECRET, AnyApi
from revetl.sandbox.inprocess import sandbox_in_process
from revetl.sandbox.settings import SandboxSettings
from revetl.testing import DestinationSuite, StoredRecord, VendorWire
from tests.support.any_api import BATCH, EVENTS, JOBS, REST


@dataclass
class Vendor:
    transport: httpx.AsyncBaseTransport
    api: AnyApi


class ApiSuite(DestinationSuite):
    options: ClassVar[Mapping[str, Any]] = {}
    page_rows: ClassVar[int] = 2

    def vendor(self, clock: Clock) -> AbstractAsyncContextManager[Vendor]:
        @asynccontextmanager
        async def started() -> AsyncIterator[Vendor]:
            settings = SandboxSettings(vendors={"any_api": {"page_rows": self.page_rows}}, limited=False)
            async with sandbox_in_process(settings, clock) as (transport, sandbox):
                yield Vendor(transport, sandbox.vendor(AnyApi))

        return started()

    def transport(self, vendor: Vendor) -> httpx.AsyncBaseTransport:
        return vendor.transport

    def connect(self, vendor: Vendor, wire: VendorWire, clock: Clock) -> Destination:
        options = Options.model_validate({**self.options, "base_url": "http://127.0.0.1:1/any_api"})
        return connect("api", options, clock, wire)

    def is_write(self, request: httpx.Request) -> bool:
        return request.method != "GET" and "/oauth/" not in request.url.path

    def poison(self, fields: Mapping[str, Scalar]) -> dict[str, Scalar]:
        return {**fields, "name": "x" * 101}

    def values(self) -> Mapping[str, Sequence[Scalar]]:
        return {**super().values(), "age": [0, 41], "active": [True, False]}


class TestOneRecordACall(ApiSuite):
    object, identity, text, match_on = "users", "email", "name", "email"
    waivers: ClassVar[Mapping[str, str]] = {
        "test_what_the_vendor_did_not_answer_for_is_never_ok": "an answer is of one record, and holds no list of them",
    }
    options: ClassVar[Mapping[str, Any]] = {
        **REST,
        "auth": {"type": "api_key", "header": "x-api-key", "value": ApiSuite.token},
    }

    async def standing(self, vendor: Vendor) -> list[StoredRecord]:
        return [StoredRecord(id_, row) for id_, row in vendor.api.users.rows.items()]

    def success_with_errors(self) -> httpx.Response:
        return httpx.Response(200, json={"error": {"code": "busy", "message": "nothing was saved"}})


class TestAllInAListThatIsSearched(TestOneRecordACall):
    """There is no filter: the list is read page by page."""

    options: ClassVar[Mapping[str, Any]] = {
        **TestOneRecordACall.options,
        "objects": {
            "users": {
                **REST["objects"]["users"],
                "look_up": {
                    "path": "/rest/users",
                    "records": "/data",
                    "by": ["email"],
                    "page": {"param": "cursor", "next": "/next"},
                },
                "read_back": {"path": "/rest/users", "records": "/data", "page": {"param": "cursor", "next": "/next"}},
            }
        },
    }


_BY_ADDRESS = {"path": "/rest/users", "records": "/data", "page": {"next_url": "/next_url"}}


class TestAllInAListThatNamesItsNextPage(TestOneRecordACall):
    options: ClassVar[Mapping[str, Any]] = {
        **TestOneRecordACall.options,
        "objects": {
            "users": {
                **REST["objects"]["users"],
                "look_up": {**_BY_ADDRESS, "by": ["email"]},
                "read_back": _BY_ADDRESS,
            }
        },
    }


class TestManyRecordsACall(ApiSuite):
    object, identity, text, match_on = "contacts", "email", "name", "email"
    options: ClassVar[Mapping[str, Any]] = {**BATCH, "auth": {**BATCH["auth"], "client_secret": ApiSuite.token}}

    async def standing(self, vendor: Vendor) -> list[StoredRecord]:
        return [StoredRecord(id_, row) for id_, row in vendor.api.contacts.rows.items()]

    def success_with_errors(self) -> httpx.Response:
        return httpx.Response(207, json={"results": [{"status": 500, "error": {"message": "nothing was saved"}}]})


class TestJobs(TestManyRecordsACall):
    """What is sent is worked off a little later."""

    page_rows = 50
    options: ClassVar[Mapping[str, Any]] = {**JOBS, "auth": {**JOBS["auth"], "client_secret": ApiSuite.token}}

    def is_write(self, request: httpx.Request) -> bool:
        """Or the question whose answer says what became of the records."""
        return super().is_write(request) or request.url.path.endswith("/results")


class TestSignedEvents(ApiSuite):
    object, identity, text, match_on = "events", "event_id", "name", "event_id"
    waivers: ClassVar[Mapping[str, str]] = {
        "test_what_the_vendor_did_not_answer_for_is_never_ok": "2xx speaks of every event: the answer has no body",
        "test_an_error_inside_a_success_is_no_success": "2xx means that all was taken: the answer has no body",
    }
    options: ClassVar[Mapping[str, Any]] = {**EVENTS, "signing_secret": SIGNING_SECRET}
    token = SIGNING_SECRET

    async def standing(self, vendor: Vendor) -> list[StoredRecord]:
        return [StoredRecord(id_, row) for id_, row in vendor.api.events.items()]

"""Mailroom keeps the contract of a destination, against its sandbox in process."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import httpx

from revetl.clock import Clock
from revetl.destinations.base import Destination
from revetl.model import Scalar
from revetl.sandbox.inprocess import sandbox_in_process
from revetl.sandbox.settings import SandboxSettings
from revetl.testing import DestinationSuite, StoredRecord, VendorWire
from revetl_mailroom import Options
from revetl_mailroom.destination import Mailroom
from revetl_mailroom.sandbox import MailroomSandbox


class TestMailroom(DestinationSuite):
    object, identity, text, match_on = "subscribers", "email", "name", "email"

    def vendor(self, clock: Clock) -> AbstractAsyncContextManager[Any]:
        @asynccontextmanager
        async def started() -> AsyncIterator[Any]:
            async with sandbox_in_process(SandboxSettings(limited=False), clock) as (transport, sandbox):
                yield transport, sandbox.vendor(MailroomSandbox)

        return started()

    def transport(self, vendor: Any) -> httpx.AsyncBaseTransport:
        transport: httpx.AsyncBaseTransport = vendor[0]
        return transport

    def connect(self, vendor: Any, wire: VendorWire, clock: Clock) -> Destination:
        options = Options.model_validate({"api_key": self.token, "base_url": "http://127.0.0.1:1/mailroom"})
        return Mailroom("mailroom", options, clock, wire)

    async def standing(self, vendor: Any) -> list[StoredRecord]:
        return [StoredRecord(id_, fields) for id_, fields in vendor[1].subscribers.items()]

    def is_write(self, request: httpx.Request) -> bool:
        return request.url.path.endswith(("/save", "/remove"))

    def poison(self, fields: Mapping[str, Scalar]) -> dict[str, Scalar]:
        return {**fields, "name": "x" * 101}

    def success_with_errors(self) -> httpx.Response:
        error = {"ref": None, "code": "BUSY", "message": "nothing was saved"}
        return httpx.Response(200, json={"results": [], "errors": [error]})

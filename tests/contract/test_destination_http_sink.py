"""The HTTP sink passes the suite that every connector inherits, against an endpoint behind a real socket."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
from aiohttp import web

from revetl.clock import Clock
from revetl.destinations.base import Destination
from revetl.destinations.http_sink import HttpSink, Options
from revetl.http import default_transport
from revetl.model import Scalar
from revetl.testing import DestinationSuite, StoredRecord, VendorWire


@dataclass
class Receiver:
    """Keys by `key`, as the sink asks of whoever receives. Refuses a batch with a name that is too long whole."""

    url: str = ""
    records: dict[str, dict[str, Any]] = field(default_factory=dict)

    async def take(self, request: web.Request) -> web.Response:
        rows = await request.json()
        if any(len(row["fields"].get("name") or "") > 100 for row in rows):
            return web.json_response({"message": "a name is too long"}, status=422)
        for row in rows:
            if row["op"] == "delete":
                self.records.pop(row["key"], None)
            else:
                self.records.setdefault(row["key"], {}).update(row["fields"])
        return web.Response(status=202)


class TestHttpSink(DestinationSuite):
    object, identity, text = "anything", "email", "name"
    virtual_time = False
    waivers: Mapping[str, str] = {  # type: ignore[misc]
        "test_an_unknown_object_is_a_configuration_error": "an endpoint takes whatever object it is sent",
        "test_what_the_vendor_did_not_answer_for_is_never_ok": "2xx speaks of every record: the answer has no body",
        "test_an_error_inside_a_success_is_no_success": "2xx means that all was taken: the answer has no body",
    }

    def vendor(self, clock: Clock) -> AbstractAsyncContextManager[Receiver]:
        @asynccontextmanager
        async def started() -> AsyncIterator[Receiver]:
            receiver, app = Receiver(), web.Application()
            app.router.add_post("/push", receiver.take)
            runner = web.AppRunner(app, access_log=None)
            await runner.setup()
            site = web.TCPSite(runner, "127.0.0.1", 0)
            await site.start()
            host, port = runner.addresses[0][:2]
            receiver.url = f"http://{host}:{port}/push"
            try:
                yield receiver
            finally:
                await runner.cleanup()

        return started()

    def transport(self, vendor: Receiver) -> httpx.AsyncBaseTransport:
        return default_transport(vendor.url)

    def connect(self, vendor: Receiver, wire: VendorWire, clock: Clock) -> Destination:
        options = Options.model_validate(
            {"url": vendor.url, "headers": {"x-api-key": self.token}, "batch_rows": 5, "concurrency": 2}
        )
        return HttpSink("sink", options, clock, wire)

    async def standing(self, vendor: Receiver) -> list[StoredRecord]:
        return [StoredRecord(key, json.loads(json.dumps(fields))) for key, fields in vendor.records.items()]

    def poison(self, fields: Mapping[str, Scalar]) -> dict[str, Scalar]:
        return {**fields, "name": "x" * 101}

    def values(self) -> Mapping[str, Any]:
        return {**super().values(), "age": [0, 41], "active": [True, False]}

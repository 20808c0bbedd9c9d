"""Google Sheets passes the suite that every connector inherits, against the sandbox in process and on virtual time."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import httpx

from revetl.clock import Clock
from revetl.destinations.base import Destination
from revetl.destinations.google_sheets import Options, connect
from revetl.model import Scalar
from revetl.sandbox.google_sheets.vendor import SPREADSHEET, GoogleSheetsSandbox
from revetl.sandbox.inprocess import InProcess, sandbox_in_process
from revetl.sandbox.settings import SandboxSettings
from revetl.testing import DestinationSuite, StoredRecord, VendorWire
from revetl.testing.destinations.harness import SuiteBench

BASE = "http://127.0.0.1:1/google_sheets"


@dataclass
class Vendor:
    transport: InProcess
    sandbox: GoogleSheetsSandbox


class TestCustomers(DestinationSuite):
    """The header names the columns, the first one is the key."""

    object, identity, text, match_on = "Customers", "id", "name", "id"

    def vendor(self, clock: Clock) -> AbstractAsyncContextManager[Vendor]:
        @asynccontextmanager
        async def started() -> AsyncIterator[Vendor]:
            async with sandbox_in_process(SandboxSettings(), clock) as (transport, sandbox):
                yield Vendor(transport, sandbox.vendor(GoogleSheetsSandbox))

        return started()

    def transport(self, vendor: Vendor) -> httpx.AsyncBaseTransport:
        return vendor.transport

    def connect(self, vendor: Vendor, wire: VendorWire, clock: Clock) -> Destination:
        auth = {"type": "oauth_refresh_token", "client_id": "app", "client_secret": "a-word"}
        consent = {**auth, "refresh_token": self.token, "token_url": f"{BASE}/token"}
        options = {"spreadsheet_id": SPREADSHEET, "base_url": BASE, "auth": consent, "batch_rows": 5}
        return connect("sheets", Options.model_validate(options), clock, wire)

    async def standing(self, vendor: Vendor) -> list[StoredRecord]:
        """From the sandbox's own grid."""
        sheet = vendor.sandbox.shared.tab("Customers")
        header = [str(sheet.value(0, c)) for c in range(6)]
        rows = [[sheet.value(r, c) for c in range(6)] for r in range(1, sheet.last_row)]
        return [StoredRecord(str(row[0]), dict(zip(header, row, strict=True))) for row in rows]

    def poison(self, fields: Mapping[str, Scalar]) -> dict[str, Scalar]:
        return {**fields, "name": "x" * 50_001}

    def is_write(self, request: httpx.Request) -> bool:
        return request.method != "GET" and not request.url.path.endswith("/token")

    def success_with_errors(self) -> httpx.Response:
        return httpx.Response(200, json={"spreadsheetId": SPREADSHEET})

    def values(self) -> Mapping[str, Sequence[Scalar]]:
        return {
            "name": [*super().values()["name"], "=1+1", "'quoted", "+49 30 1", "TRUE", "1/2", "12.50", ""],
            "score": [0, -7, 12.5, Decimal("12.50"), 2**62, Decimal("0.1234567890123456789"), 1e300, 0.1 + 0.2],
            "vip": [True, False],
            "plan": [date(1990, 2, 1), datetime(2026, 1, 2, 3, 4, 5, 600_000, UTC)],
        }

    async def fail(self, bench: SuiteBench, kind: str) -> None:
        """Of 503 Google does not say that nothing was done; where its edge does not reach it, nothing was. Cells of a
        row are a list too: only what stands in the order of the requests is turned round."""
        if kind == "unavailable":
            bench.wire.answer_instead(httpx.Response(521))
        elif kind == "shuffled":
            bench.wire.spoil(_turned_round)
        else:
            await super().fail(bench, kind)


def _turned_round(request: httpx.Request, response: httpx.Response) -> httpx.Response:
    document: dict[str, Any] = json.loads(response.content)
    for name in ("responses", "replies"):
        if name in document:
            document[name].reverse()
    return httpx.Response(response.status_code, json=document)

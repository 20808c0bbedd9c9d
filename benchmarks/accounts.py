"""Accounts of destinations on virtual time, each behind the sandbox that counts and limits as the vendor does; for
`requests` and `ceilings`."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx

from revetl.clock import Clock
from revetl.destinations.base import Destination
from revetl.destinations.google_sheets import Options as SheetsOptions
from revetl.destinations.google_sheets import connect as connect_sheets
from revetl.destinations.http import Options as HttpOptions
from revetl.destinations.http import connect as connect_http
from revetl.destinations.hubspot import HubSpot
from revetl.destinations.hubspot import Options as HubSpotOptions
from revetl.destinations.salesforce import Options as SalesforceOptions
from revetl.destinations.salesforce import Salesforce
from revetl.destinations.slack import Options as SlackOptions
from revetl.destinations.slack import connect as connect_slack
from revetl.model import Guardrails, Relation, SyncSpec
from revetl.sandbox.inprocess import sandbox_in_process
from revetl.sandbox.settings import SandboxSettings
from revetl.sync import SyncReport, run_sync
from revetl.testing.clocks import VirtualClock
from revetl.warehouse.duckdb import DuckDBWarehouse
from tests.support import any_api
from tests.support.sync_bench import context

_ANYWHERE = "http://127.0.0.1:1"
_SECRET = {"type": "oauth_client_credentials", "client_id": "app", "client_secret": "a-word"}

Connect = Callable[[Clock, httpx.AsyncBaseTransport], Destination]


@dataclass
class Counted(httpx.AsyncBaseTransport):
    """Passes on. `statuses`: how often each was answered; `first_s` and `last_s`: when requests came, on the clock."""

    inner: httpx.AsyncBaseTransport
    clock: Clock
    statuses: Counter[int] = field(default_factory=Counter)
    first_s: float | None = None
    last_s: float = 0.0

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        now = self.clock.monotonic()
        self.first_s = now if self.first_s is None else self.first_s
        response = await self.inner.handle_async_request(request)
        self.last_s = self.clock.monotonic()
        self.statuses[response.status_code] += 1
        return response

    def begin_anew(self) -> None:
        self.statuses, self.first_s = Counter(), None


@dataclass(frozen=True)
class Account:
    """`columns`: of the model, in SQL over `n` and `version`."""

    title: str
    object: str
    match_on: str
    columns: Mapping[str, str]
    connect: Connect


def hubspot(**options: Any) -> Account:
    def connect(clock: Clock, wire: httpx.AsyncBaseTransport) -> Destination:
        given = {"base_url": _ANYWHERE, "token": "pat-test", **options}
        return HubSpot("crm", HubSpotOptions.model_validate(given), clock, transport=wire, rng=random.Random(1))

    columns = {"email": "'p' || n || '@corp.example'", "firstname": "'v' || version", "lastname": "'Name ' || n"}
    return Account("HubSpot", "contacts", "email", columns, connect)


def salesforce(title: str, **options: Any) -> Account:
    def connect(clock: Clock, wire: httpx.AsyncBaseTransport) -> Destination:
        given = {"base_url": f"{_ANYWHERE}/salesforce", "auth": _SECRET, **options}
        return Salesforce("crm", SalesforceOptions.model_validate(given), clock, transport=wire, rng=random.Random(1))

    columns = {"ExternalId__c": "'p' || n", "FirstName": "'v' || version", "LastName": "'Name ' || n"}
    return Account(title, "Contact", "ExternalId__c", columns, connect)


def http_api(title: str, object_: str, api: Mapping[str, Any]) -> Account:
    def connect(clock: Clock, wire: httpx.AsyncBaseTransport) -> Destination:
        options = HttpOptions.model_validate({**api, "base_url": f"{_ANYWHERE}/any_api"})
        return connect_http("crm", options, clock, wire)

    return Account(title, object_, "email", {"email": "'p' || n || '@corp.example'", "name": "'v' || version"}, connect)


def http_single() -> Account:
    auth = {"type": "api_key", "header": "x-api-key", "value": "a-word"}
    return http_api("HTTP API, one record a call", "users", {**any_api.REST, "auth": auth})


def http_batch() -> Account:
    auth = {**any_api.BATCH["auth"], "client_secret": "a-word"}
    return http_api("HTTP API, 20 records a call", "contacts", {**any_api.BATCH, "auth": auth})


def slack() -> Account:
    def connect(clock: Clock, wire: httpx.AsyncBaseTransport) -> Destination:
        given = {"base_url": f"{_ANYWHERE}/slack/api", "token": "xoxb-a-word", "on_change": "update"}
        return connect_slack("chat", SlackOptions.model_validate(given), clock, wire)

    columns = {"message_key": "'p' || n", "text": "'v' || version || ' of ' || n"}
    return Account("Slack, one message a row", "#signups", "message_key", columns, connect)


def google_sheets() -> Account:
    def connect(clock: Clock, wire: httpx.AsyncBaseTransport) -> Destination:
        base = f"{_ANYWHERE}/google_sheets"
        consent = {
            "client_id": "app",
            "client_secret": "a-word",
            "refresh_token": "a-word",
            "token_url": f"{base}/token",
        }
        given = {
            "base_url": base,
            "spreadsheet_id": "1SandboxSpreadsheetThatIsSharedWithYou",
            "auth": {"type": "oauth_refresh_token", **consent},
        }
        return connect_sheets("sheets", SheetsOptions.model_validate(given), clock, wire)

    columns = {"id": "'p' || n", "name": "'v' || version", "email": "'p' || n || '@corp.example'"}
    return Account("Google Sheets", "Customers", "id", columns, connect)


@dataclass
class Running:
    """One account with its warehouse, on virtual time."""

    account: Account
    clock: VirtualClock
    wire: Counted
    warehouse: DuckDBWarehouse

    def model(self, rows: int, changed: int = 0) -> None:
        """`changed` of the rows have another value."""
        columns = ", ".join(f'{sql} AS "{name}"' for name, sql in self.account.columns.items())
        self.warehouse.execute(
            f"""
            CREATE OR REPLACE TABLE people AS
            SELECT 'g' || n AS golden_id, {columns}
            FROM (SELECT n, CASE WHEN n < {changed} THEN 2 ELSE 1 END AS version FROM range({rows}) AS r (n))
            """
        )

    async def push(self) -> SyncReport:
        """AssertionError where it does not end with every record sent."""
        self.wire.begin_anew()
        spec = SyncSpec(
            name="people",
            relation=Relation("main", "people"),
            destination="crm",
            object=self.account.object,
            key="golden_id",
            match_on=self.account.match_on,
            columns=tuple(self.account.columns),
            guardrails=Guardrails(max_changed_share=1.0),
        )
        async with self.account.connect(self.clock, self.wire) as destination:
            report = await run_sync(context(self.warehouse, self.clock), spec, destination)
        assert report.status == "done", report
        return report


@asynccontextmanager
async def running(account: Account, settings: SandboxSettings, latency_s: float = 0.0) -> AsyncIterator[Running]:
    clock = VirtualClock()
    async with sandbox_in_process(settings, clock, latency_s) as (transport, _):
        warehouse = DuckDBWarehouse(":memory:", threads=1)
        yield Running(account, clock, Counted(transport, clock), warehouse)
        warehouse.close()

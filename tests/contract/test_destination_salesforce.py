"""Salesforce passes the suite that every connector inherits, against the sandbox in process and on virtual time."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any, ClassVar

import httpx

from revetl.clock import Clock
from revetl.destinations.base import Destination
from revetl.destinations.salesforce import Options, Salesforce
from revetl.model import Scalar
from revetl.sandbox.inprocess import InProcess, sandbox_in_process
from revetl.sandbox.salesforce.org import SalesforceOrg
from revetl.sandbox.salesforce.vendor import SalesforceSandbox
from revetl.sandbox.server import Sandbox
from revetl.sandbox.settings import SandboxSettings
from revetl.testing import DestinationSuite, StoredRecord, VendorWire


@dataclass
class Vendor:
    transport: InProcess
    sandbox: Sandbox

    @property
    def org(self) -> SalesforceOrg:
        return self.sandbox.vendor(SalesforceSandbox).org


class SalesforceSuite(DestinationSuite):
    more_options: ClassVar[Mapping[str, Any]] = {}

    def vendor(self, clock: Clock) -> AbstractAsyncContextManager[Vendor]:
        @asynccontextmanager
        async def started() -> AsyncIterator[Vendor]:
            async with sandbox_in_process(SandboxSettings(limited=False), clock) as (transport, sandbox):
                yield Vendor(transport, sandbox)

        return started()

    def transport(self, vendor: Vendor) -> httpx.AsyncBaseTransport:
        return vendor.transport

    def connect(self, vendor: Vendor, wire: VendorWire, clock: Clock) -> Destination:
        auth = {"type": "oauth_client_credentials", "client_id": "app", "client_secret": self.token}
        options = {"base_url": "http://127.0.0.1:1/salesforce", "auth": auth, "batch_rows": 10, "concurrency": 3}
        validated = Options.model_validate({**options, **self.more_options})
        return Salesforce("salesforce", validated, clock, transport=wire, rng=random.Random(1))

    async def standing(self, vendor: Vendor) -> list[StoredRecord]:
        """From the org's own store."""
        return [StoredRecord(r.id, r.values) for r in vendor.org.standing(self.object)]

    def is_write(self, request: httpx.Request) -> bool:
        return request.method != "GET" and "/oauth2/" not in request.url.path

    def success_with_errors(self) -> httpx.Response:
        error = {"statusCode": "UNKNOWN_EXCEPTION", "message": "An unexpected error occurred", "fields": []}
        return httpx.Response(200, json=[{"success": False, "errors": [error]}])

    async def merge(self, vendor: Vendor, survivor: str, merged: str) -> bool:
        vendor.org.merge(survivor, merged)
        return True


class TestContactsByAnExternalId(SalesforceSuite):
    """A create is an upsert, and may be repeated."""

    object, identity, text, match_on = "Contact", "ExternalId__c", "FirstName", "ExternalId__c"

    def fields(self, n: int) -> dict[str, Scalar]:
        return {"ExternalId__c": f"ext-{n}@x", "FirstName": f"Text {n}", "LastName": f"Last {n}"}

    def poison(self, fields: Mapping[str, Scalar]) -> dict[str, Scalar]:
        return {**fields, "Tier__c": "Platinum"}

    def values(self) -> Mapping[str, Sequence[Scalar]]:
        return {
            **super().values(),
            "Score__c": [0, 7, 12.5, Decimal("12.50")],
            "Birthdate": [date(1990, 2, 1), "1990-02-01"],
            "Seen__c": [datetime(2026, 1, 2, 3, 4, 5, 600_000, UTC), "2026-01-02T03:04:05Z", "2026-01-02"],
            "DoNotCall": [True, False],
            "Languages__c": ["en;de", "de"],
            "LeadSource": ["Web", "Something of our own"],
        }


class TestContactsByEmail(SalesforceSuite):
    """Nothing at Salesforce keeps two of them apart: a create is looked for first, and never repeated blindly."""

    object, identity, text, match_on = "Contact", "Email", "FirstName", "Email"

    def fields(self, n: int) -> dict[str, Scalar]:
        return {**super().fields(n), "LastName": f"Last {n}"}

    def poison(self, fields: Mapping[str, Scalar]) -> dict[str, Scalar]:
        return {**fields, "LastName": "x" * 81}


class TestAccounts(SalesforceSuite):
    object, identity, text, match_on = "Account", "ExternalId__c", "Name", "ExternalId__c"

    def fields(self, n: int) -> dict[str, Scalar]:
        return {"ExternalId__c": f"acme{n}@x", "Name": f"Company {n}"}

    def poison(self, fields: Mapping[str, Scalar]) -> dict[str, Scalar]:
        return {**fields, "NumberOfEmployees": "many"}

    def values(self) -> Mapping[str, Sequence[Scalar]]:
        return {**super().values(), "NumberOfEmployees": [0, 7, 12_000], "AnnualRevenue": [Decimal("1000000.10")]}


class TestContactsByJobs(TestContactsByAnExternalId):
    """Every plan goes by Bulk API 2.0, as upserts."""

    more_options: ClassVar[Mapping[str, Any]] = {"bulk_from": 1}


class TestContactsInsertedByJobs(TestContactsByEmail):
    more_options: ClassVar[Mapping[str, Any]] = {"bulk_from": 1}


class TestLeadsOrContacts(SalesforceSuite):
    """Two objects as one. Whoever is no Contact is a Lead."""

    waivers: ClassVar[Mapping[str, str]] = dict.fromkeys(
        ("test_a_job_is_followed_by_another_process", "test_a_refused_record_of_a_job_costs_no_other"),
        "a job is of one object of the org's, so `LeadOrContact` runs none",
    )
    object, identity, text, match_on = "LeadOrContact", "Email", "FirstName", "Email"

    async def standing(self, vendor: Vendor) -> list[StoredRecord]:
        return [StoredRecord(r.id, r.values) for o in ("Lead", "Contact") for r in vendor.org.standing(o)]

    def fields(self, n: int) -> dict[str, Scalar]:
        return {**super().fields(n), "LastName": f"Last {n}", "Company": f"Company {n}"}

    def poison(self, fields: Mapping[str, Scalar]) -> dict[str, Scalar]:
        return {**fields, "LastName": "x" * 81}

"""Hunter: finds business addresses and verifies them. Shapes: docs, except the answer for nobody found (unconfirmed).

Its dialect: 403 is too fast, 429 is out of credits, 451 is a person who asked to be forgotten. The same question is
charged once in a billing period, taken as 28 days.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from aiohttp import web

from revetl.sandbox.data_vendors.billing import Charge, FixedWindow, FreeRepeats
from revetl.sandbox.data_vendors.knowledge import Knowledge, VendorRecord
from revetl.sandbox.data_vendors.matching import find_company, find_person, names
from revetl.sandbox.data_vendors.truth import TrueCompany, TruePerson, World, domain_key, email_key
from revetl.sandbox.data_vendors.vendor import DataVendor, DataVendorOptions, VendorAnswer, VendorRefusal
from revetl.sandbox.faults import FAULT
from revetl.sandbox.vendor import Routes, VendorContext

FIND_CREDITS, FIND_USD = Decimal(1), Decimal("0.034")
VERIFY_CREDITS, VERIFY_USD = Decimal("0.5"), Decimal("0.017")
BILLING_PERIOD_DAYS = 28

_REFUSALS = {
    "bad_key": (401, "authentication_failed", "No user found for the API key supplied"),
    "throttled": (403, "rate_limit", "You have reached the limit of requests per second or minute"),
    "out_of_credits": (429, "too_many_requests", "You have reached the limit for the number of requests per month"),
    "unavailable": (500, "internal_error", "Something went wrong on our side"),
}


class Hunter(DataVendor):
    """Any key serves except one with `bad` (401)."""

    name = "hunter"

    def __init__(self, context: VendorContext, options: DataVendorOptions) -> None:
        super().__init__(context, options)
        self._finder = (self.fixed_window(15, 1), self.fixed_window(500, 60))
        self._verifier = (self.fixed_window(10, 1), self.fixed_window(300, 60))
        self._repeats = FreeRepeats(self.clock, BILLING_PERIOD_DAYS)

    def reset(self, *, keep_records: bool = False) -> None:
        super().reset(keep_records=keep_records)
        self._repeats.clear()

    def add_routes(self, routes: Routes) -> None:
        routes.get("/v2/email-finder", self.serve(self._find))
        routes.get("/v2/email-verifier", self.serve(self._verify))

    async def key_of(self, request: web.Request) -> str:
        """A header, a bearer token or the query: Hunter takes any of the three."""
        bearer = request.headers.get("Authorization", "").removeprefix("Bearer ").strip()
        return request.headers.get("X-API-KEY") or bearer or request.query.get("api_key", "")

    def refusal(self, kind: str) -> VendorRefusal:
        return _refusal(*_REFUSALS[kind])

    def _admit(self, key: str, windows: tuple[FixedWindow, FixedWindow], credits: Decimal) -> None:
        self.refuse_bad_key(key)
        self.take(key, *windows)
        self.afford(key, credits)

    async def _find(self, request: web.Request, key: str) -> VendorAnswer:
        self._admit(key, self._finder, FIND_CREDITS)
        query = request.query
        first, last = names(query, full="full_name")
        if not query.get("domain") and not query.get("company"):
            raise _refusal(400, "wrong_params", "You are missing the domain or company parameter")
        if not first or not last:
            raise _refusal(400, "wrong_params", "You are missing the first_name and last_name parameters")
        company = find_company(self.world, query.get("domain") or query["company"])
        person, _ = find_person(
            self.world, first=first, last=last, companies=(company.domain or "",) if company else ()
        )
        if person is not None and self.knowledge.erased(person):
            details = "The person owning the email requested us to stop the processing of their personal data"
            raise _refusal(451, "claimed_email", details)
        known = self.knowledge.person(self.world, person) if person is not None else None
        if known is not None and known.record.email is None:
            known = None
        params = {name: value for name, value in query.items() if name != "api_key"}
        data = self._finding(first, last, company, known, query.get("domain", ""))
        body = {"data": data, "meta": {"params": params}}
        if known is None:
            return VendorAnswer(body, "miss")
        charge = Charge(known.record.person_id, FIND_CREDITS, FIND_USD)
        return VendorAnswer(body, "hit", (self._repeats.price(key, f"find {known.record.person_id}", charge),))

    def _finding(
        self, first: str, last: str, company: TrueCompany | None, known: VendorRecord[TruePerson] | None, domain: str
    ) -> dict[str, Any]:
        today = self.clock.now().date().isoformat()
        email = (known.record.email or "").lower() if known else None
        right = known is not None and "email" not in known.wrong
        catches_all = bool(company and company.domain and self.knowledge.catch_all(domain_key(company.domain)))
        status = "accept_all" if catches_all else "valid" if right else "unknown"
        source = {"domain": domain, "uri": f"https://{domain}/team", "extracted_on": today, "last_seen_on": today}
        return {
            "first_name": first,
            "last_name": last,
            "email": email,
            "score": self._score(known) if known else None,
            "domain": company.domain if company else domain or None,
            "accept_all": catches_all,
            "position": None,
            "linkedin_url": None,
            "phone_number": None,
            "company": company.name if company else None,
            "sources": [{**source, "still_on_page": True}] if right and not catches_all else [],
            "verification": {"date": today, "status": status} if email else {"date": None, "status": None},
        }

    def _score(self, known: VendorRecord[TruePerson]) -> int:
        """0 to 100; scores of right and wrong addresses overlap."""
        sureness = self.knowledge.own(known.record.person_id, "score")
        return 45 + int(sureness * 40) if "email" in known.wrong else 68 + int(sureness * 32)

    async def _verify(self, request: web.Request, key: str) -> VendorAnswer:
        self._admit(key, self._verifier, VERIFY_CREDITS)
        email = request.query.get("email", "").strip().lower()
        if "@" not in email:
            raise _refusal(400, "wrong_params", "You are missing the email parameter or it is not an email address")
        fault = request.get(FAULT)
        if fault is not None and fault.kind == "never_done":
            # The mail server at the other end takes its time: the same is to be asked again (docs).
            return VendorAnswer({"data": {"status": "pending", "email": email}}, "in_progress", status=202)
        status, score = verify_email(self.world, self.knowledge, email)
        result = {"valid": "deliverable", "invalid": "undeliverable"}.get(status, "risky")
        data = {
            "status": status,
            "result": result,
            "score": score,
            "email": email,
            "regexp": True,
            "gibberish": False,
            "disposable": False,
            "webmail": status == "webmail",
            "mx_records": status != "invalid",
            "smtp_server": status != "invalid",
            "smtp_check": status == "valid",
            "accept_all": status == "accept_all",
            "block": False,
            "sources": [],
        }
        body = {"data": data, "meta": {"params": {"email": email}}}
        charge = Charge(email, VERIFY_CREDITS, VERIFY_USD)
        return VendorAnswer(body, "hit", (self._repeats.price(key, f"verify {email}", charge),))


def verify_email(world: World, knowledge: Knowledge, email: str) -> tuple[str, int]:
    domain = email.partition("@")[2]
    if email_key(email) in world.by_email:
        return ("accept_all", 70) if knowledge.catch_all(domain) else ("valid", 97)
    if domain in world.company_by_domain and knowledge.catch_all(domain):
        return "accept_all", 60
    return "invalid", 4


def _refusal(status: int, error_id: str, details: str) -> VendorRefusal:
    return VendorRefusal(status, {"errors": [{"id": error_id, "code": status, "details": details}]}, error_id)

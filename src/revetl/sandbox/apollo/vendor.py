"""Apollo: people, single and up to 10 at once, and organizations. Shapes and credits: docs; the wording of errors, the
dollar price and the answer to a single miss: unconfirmed.

Its dialect: a miss is a 200 with null in the place of the person. Mobiles never come in the answer: they are charged
when they are found and sent to `webhook_url`, unsigned and perhaps twice, or fetched with the request's id.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from aiohttp import web

from revetl.sandbox.data_vendors.billing import Charge, FixedWindow
from revetl.sandbox.data_vendors.jobs import Callbacks, VendorJob, VendorJobs, is_loopback
from revetl.sandbox.data_vendors.knowledge import VendorRecord
from revetl.sandbox.data_vendors.matching import find_company, find_person, names
from revetl.sandbox.data_vendors.truth import TrueCompany, TruePerson, domain_key
from revetl.sandbox.data_vendors.vendor import DataVendor, DataVendorOptions, VendorAnswer, VendorRefusal, json_body
from revetl.sandbox.faults import FAULT
from revetl.sandbox.vendor import Routes, VendorContext

CREDIT, MOBILE_CREDITS, USD = Decimal(1), Decimal(8), Decimal("0.02")
BULK_MAX = 10
PER_MINUTE = 1000
RESULTS_KEPT_DAYS = 30

_REFUSALS = {
    "bad_key": (401, "INVALID_ACCESS_CREDENTIALS", "Invalid access credentials."),
    "throttled": (429, "RATE_LIMITED", "The maximum number of api calls allowed per minute was reached."),
    "out_of_credits": (402, "INSUFFICIENT_CREDITS", "You have insufficient credits."),
    "unavailable": (503, "UNAVAILABLE", "Service temporarily unavailable."),
}


class Apollo(DataVendor):
    """Any key serves except one with `bad` (401)."""

    name = "apollo"

    def __init__(self, context: VendorContext, options: DataVendorOptions) -> None:
        super().__init__(context, options)
        self._window = self.fixed_window(PER_MINUTE, 60)
        self._organizations = self.fixed_window(PER_MINUTE, 60)
        self._jobs = VendorJobs(self.clock, self.job_s, kept_days=10_000)
        self._callbacks = Callbacks(self.clock)

    def reset(self, *, keep_records: bool = False) -> None:
        super().reset(keep_records=keep_records)
        self._jobs.clear()

    async def close(self) -> None:
        await self._callbacks.close()

    def add_routes(self, routes: Routes) -> None:
        routes.post("/api/v1/people/match", self.serve(self._match))
        routes.post("/api/v1/people/bulk_match", self.serve(self._bulk))
        routes.get("/api/v1/organizations/enrich", self.serve(self._organization))
        routes.get("/api/v1/webhook_result/{request_id}", self.serve(self._webhook_result))

    async def key_of(self, request: web.Request) -> str:
        bearer = request.headers.get("Authorization", "").removeprefix("Bearer ").strip()
        return request.headers.get("x-api-key") or bearer

    def headers(self, key: str, charged: Decimal) -> Mapping[str, str]:
        left = self._window.left(key)
        if left is None:
            return {}
        return {
            "x-rate-limit-minute": str(PER_MINUTE),
            "x-minute-usage": str(PER_MINUTE - left),
            "x-minute-requests-left": str(left),
        }

    def refusal(self, kind: str) -> VendorRefusal:
        return _refusal(*_REFUSALS[kind])

    def settle(self) -> None:
        for job in self._jobs.due():
            self._settle_job(job)

    def _admit(self, key: str, window: FixedWindow) -> None:
        self.refuse_bad_key(key)
        self.take(key, window)
        self.afford(key, CREDIT)

    async def _match(self, request: web.Request, key: str) -> VendorAnswer:
        self._admit(key, self._window)
        said = {**await _body(request), **request.query}
        known = self._find(said)
        mobiles = self._start_mobiles(request, key, said, [known])
        person = self._describe(known) if known is not None else None
        body = {"person": person, **mobiles}
        return VendorAnswer(body, "hit", (_charge(known),)) if known is not None else VendorAnswer(body, "miss")

    async def _bulk(self, request: web.Request, key: str) -> VendorAnswer:
        """`matches` has the places of `details`; null where nobody was found (docs)."""
        self._admit(key, self._window)
        said = {**await _body(request), **request.query}
        details = said.get("details")
        if not isinstance(details, list) or not 1 <= len(details) <= BULK_MAX:
            raise _refusal(422, "INVALID_REQUEST", f"details must hold 1 to {BULK_MAX} people")
        matches = [self._find(one) if isinstance(one, dict) else None for one in details]
        charges = tuple(_charge(known) for known in matches if known is not None)
        credits = sum((c.credits for c in charges), Decimal(0))
        self.afford(key, credits)
        body = {
            "status": "success",
            "error_code": None,
            "error_message": None,
            "total_requested_enrichments": len(details),
            "unique_enriched_records": len({c.subject for c in charges}),
            "missing_records": len(details) - len(charges),
            "credits_consumed": int(credits),
            "matches": [self._describe(known) if known is not None else None for known in matches],
            **self._start_mobiles(request, key, said, matches),
        }
        return VendorAnswer(body, "bulk", charges)

    async def _organization(self, request: web.Request, key: str) -> VendorAnswer:
        self._admit(key, self._organizations)
        domain = request.query.get("domain", "")
        if not domain:
            raise _refusal(422, "INVALID_REQUEST", "domain is required")
        company = find_company(self.world, domain)
        known = self.knowledge.company(self.world, company) if company is not None else None
        if known is None:
            return VendorAnswer({}, "miss")
        charge = Charge(known.record.company_id, CREDIT, USD)
        return VendorAnswer({"organization": describe_organization(known.record)}, "hit", (charge,))

    async def _webhook_result(self, request: web.Request, key: str) -> VendorAnswer:
        """What the webhook got, for those who missed it (docs): 404 while pending, 410 after 30 days."""
        self.refuse_bad_key(key)
        self.settle()
        job = self._jobs.get(request.match_info["request_id"], key)
        if job is None:
            raise VendorRefusal(404, {"error_code": "request_id_unknown"}, "unknown_job")
        if self.clock.now().timestamp() - job.started > RESULTS_KEPT_DAYS * 86_400:
            raise VendorRefusal(410, {"error_code": "result_expired"}, "expired")
        if not job.settled:
            raise VendorRefusal(404, {"error_code": "result_pending", "retry_after_seconds": 5}, "pending")
        return VendorAnswer(job.result, "polled")

    def _find(self, said: Mapping[str, Any]) -> VendorRecord[TruePerson] | None:
        texts = {name: value for name, value in said.items() if isinstance(value, str)}
        first, last = names(texts)
        person, _ = find_person(
            self.world,
            profile=texts.get("linkedin_url", ""),
            email=texts.get("email", ""),
            first=first,
            last=last,
            companies=(texts.get("domain", ""), texts.get("organization_name", "")),
        )
        return self.knowledge.person(self.world, person) if person is not None else None

    def _describe(self, known: VendorRecord[TruePerson]) -> dict[str, Any]:
        person = known.record
        employer = self.world.companies.get(person.company_id or "")
        company = self.knowledge.company(self.world, employer) if employer else None
        return {
            "id": f"ap_{person.person_id}",
            "first_name": person.first_name,
            "last_name": person.last_name,
            "name": " ".join(filter(None, (person.first_name, person.last_name))),
            "linkedin_url": person.linkedin_url,
            "title": person.job_title,
            "headline": person.job_title,
            "seniority": person.seniority,
            "email": person.email.lower() if person.email else None,
            "email_status": self._email_status(known),
            "city": person.city,
            "country": person.country,
            "organization_id": f"apo_{employer.company_id}" if employer else None,
            "organization": describe_organization(company.record) if company else None,
        }

    def _email_status(self, known: VendorRecord[TruePerson]) -> str | None:
        email = known.record.email
        if email is None:
            return "unavailable"
        if self.knowledge.catch_all(domain_key(email.rpartition("@")[2])):
            return "extrapolated"
        return "verified"

    def _start_mobiles(
        self, request: web.Request, key: str, said: Mapping[str, Any], matches: list[VendorRecord[TruePerson] | None]
    ) -> dict[str, str]:
        """Phones are looked for afterwards; the request's id is in the answer."""
        if str(said.get("reveal_phone_number", "")).lower() != "true":
            return {}
        url = str(said.get("webhook_url", ""))
        if not is_loopback(url):
            raise _refusal(422, "INVALID_REQUEST", "reveal_phone_number needs a webhook_url; here on loopback")
        fault = request.get(FAULT)
        asked = [known for known in matches if known is not None]
        job = self._jobs.start(uuid.uuid4().hex, key, asked, fault)

        def message() -> tuple[bytes, Mapping[str, str]]:
            self._settle_job(job)
            return json.dumps(job.result).encode(), {}

        self._callbacks.schedule(url, message, self.job_s, fault)
        return {"request_id": job.id}

    def _settle_job(self, job: VendorJob) -> None:
        if job.settled:
            return
        job.settled = True
        known: list[VendorRecord[TruePerson]] = job.asked
        found = [k.record for k in known if k.record.phone]
        credits = MOBILE_CREDITS * len(found)
        usd = MOBILE_CREDITS * USD
        self.bill.charge(job.key, job.id, [Charge(p.person_id, MOBILE_CREDITS, usd) for p in found])
        job.result = {
            "status": "success",
            "total_requested_enrichments": len(known),
            "unique_enriched_records": len(found),
            "missing_records": len(known) - len(found),
            "credits_consumed": int(credits),
            "people": [
                {
                    "id": f"ap_{p.person_id}",
                    "status": "success",
                    "phone_numbers": [{"raw_number": p.phone, "sanitized_number": p.phone, "type_cd": "mobile"}],
                }
                for p in found
            ],
        }


def describe_organization(company: TrueCompany) -> dict[str, Any]:
    return {
        "id": f"apo_{company.company_id}",
        "name": company.name,
        "website_url": f"http://www.{company.domain}" if company.domain else None,
        "primary_domain": company.domain,
        "linkedin_url": company.linkedin_url,
        "industry": company.industry,
        "estimated_num_employees": company.employee_count,
        "founded_year": company.founded_year,
        "city": company.city,
        "country": company.country,
    }


def _charge(known: VendorRecord[TruePerson]) -> Charge:
    return Charge(known.record.person_id, CREDIT, USD)


async def _body(request: web.Request) -> dict[str, Any]:
    """Parameters may stand in the query, the body, or both."""
    if not await request.read():
        return {}
    body = await json_body(request)
    if not isinstance(body, dict):
        raise _refusal(422, "INVALID_REQUEST", "The body must be a JSON object")
    return body


def _refusal(status: int, code: str, message: str) -> VendorRefusal:
    return VendorRefusal(status, {"error": message, "error_code": code}, code.lower())

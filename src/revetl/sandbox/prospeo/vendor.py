"""Prospeo: people with their company, email and mobile; single and up to 50 at once. Shapes, prices and error codes:
docs; limits and the dollar price are of one plan (unconfirmed). A record is paid for once in the life of an account.

Its dialect: everything but a wrong key (401) and a throttle (429) is a 400 with an `error_code`, "no match" too.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from aiohttp import web

from revetl.sandbox.data_vendors.billing import Charge, FreeRepeats
from revetl.sandbox.data_vendors.knowledge import VendorRecord
from revetl.sandbox.data_vendors.matching import find_person, names
from revetl.sandbox.data_vendors.truth import TrueCompany, TruePerson, domain_key
from revetl.sandbox.data_vendors.vendor import DataVendor, DataVendorOptions, VendorAnswer, VendorRefusal, json_body
from revetl.sandbox.vendor import Routes, VendorContext

CREDIT, MOBILE_CREDITS, USD = Decimal(1), Decimal(10), Decimal("0.039")
BULK_MAX = 50
PER_SECOND, PER_MINUTE, PER_DAY = 5, 300, 100_000


class Prospeo(DataVendor):
    """Any key serves except one with `bad` (401)."""

    name = "prospeo"

    def __init__(self, context: VendorContext, options: DataVendorOptions) -> None:
        super().__init__(context, options)
        self._second = self.fixed_window(PER_SECOND, 1)
        self._minute = self.fixed_window(PER_MINUTE, 60)
        self._day = self.fixed_window(PER_DAY, 86_400)
        self._repeats = FreeRepeats(self.clock, None)

    def reset(self, *, keep_records: bool = False) -> None:
        super().reset(keep_records=keep_records)
        self._repeats.clear()

    def add_routes(self, routes: Routes) -> None:
        routes.post("/enrich-person", self.serve(self._enrich))
        routes.post("/bulk-enrich-person", self.serve(self._bulk))
        routes.post("/account-information", self.serve(self._account))
        routes.get("/account-information", self.serve(self._account))

    async def key_of(self, request: web.Request) -> str:
        return request.headers.get("X-KEY", "")

    def headers(self, key: str, charged: Decimal) -> Mapping[str, str]:
        if self._minute.limit is None:
            return {}
        return {
            "x-second-rate-limit": str(PER_SECOND),
            "x-minute-request-left": str(self._minute.left(key)),
            "x-minute-reset-seconds": str(self._minute.resets_in_s()),
            "x-daily-request-left": str(self._day.left(key)),
            "x-daily-reset-seconds": str(self._day.resets_in_s()),
        }

    def refusal(self, kind: str) -> VendorRefusal:
        status, code = {
            "bad_key": (401, "INVALID_API_KEY"),
            "throttled": (429, "RATE_LIMITED"),
            "out_of_credits": (400, "INSUFFICIENT_CREDITS"),
            "unavailable": (400, "INTERNAL_ERROR"),
        }[kind]
        return _refusal(code, status)

    async def _admit(self, request: web.Request, key: str) -> dict[str, Any]:
        self.refuse_bad_key(key)
        self.take(key, self._second, self._minute, self._day)
        body = await json_body(request)
        if not isinstance(body, dict):
            raise _refusal("INVALID_REQUEST")
        return body

    async def _enrich(self, request: web.Request, key: str) -> VendorAnswer:
        body = await self._admit(request, key)
        self.afford(key, CREDIT)
        if not isinstance(body.get("data"), dict):
            raise _refusal("INVALID_REQUEST")
        if not _enough(body["data"]):
            raise _refusal("INVALID_DATAPOINTS")
        known = self._match(body["data"], body)
        if known is None:
            raise VendorRefusal(400, {"error": True, "error_code": "NO_MATCH"}, "miss")
        self._afford_all(key, [known], body)
        charge = self._charge(key, known, body)
        answer = {"error": False, "free_enrichment": charge.kind == "free", **self._describe(known, body)}
        return VendorAnswer(answer, "hit", (charge,))

    async def _bulk(self, request: web.Request, key: str) -> VendorAnswer:
        body = await self._admit(request, key)
        self.afford(key, CREDIT)
        asked = body.get("data")
        if not isinstance(asked, list) or not 1 <= len(asked) <= BULK_MAX:
            raise _refusal("INVALID_REQUEST")
        if not all(isinstance(one, dict) and one.get("identifier") for one in asked):
            raise _refusal("INVALID_REQUEST")
        invalid = [one["identifier"] for one in asked if not _enough(one)]
        matches = {one["identifier"]: self._match(one, body) for one in asked if _enough(one)}
        found = {identifier: known for identifier, known in matches.items() if known is not None}
        self._afford_all(key, list(found.values()), body)
        charges = tuple(self._charge(key, known, body) for known in found.values())
        answer = {
            "error": False,
            "total_cost": float(sum(c.credits for c in charges)),
            "matched": [{"identifier": name, **self._describe(known, body)} for name, known in found.items()],
            "not_matched": [name for name, known in matches.items() if known is None],
            "invalid_datapoints": invalid,
        }
        return VendorAnswer(answer, "bulk", charges)

    async def _account(self, request: web.Request, key: str) -> VendorAnswer:
        self.refuse_bad_key(key)
        answer = {"current_plan": "SANDBOX", "remaining_credits": int(self.bill.remaining(key))}
        return VendorAnswer({"error": False, "response": answer}, "account")

    def _match(self, said: Mapping[str, Any], controls: Mapping[str, Any]) -> VendorRecord[TruePerson] | None:
        texts = {name: value for name, value in said.items() if isinstance(value, str)}
        first, last = names(texts, full="full_name")
        person, _ = find_person(
            self.world,
            profile=texts.get("linkedin_url", ""),
            email=texts.get("email", ""),
            first=first,
            last=last,
            companies=tuple(texts.get(n, "") for n in ("company_website", "company_linkedin_url", "company_name")),
        )
        known = self.knowledge.person(self.world, person) if person is not None else None
        if known is None:
            return None
        if controls.get("only_verified_email") and self._email_status(known) != "VERIFIED":
            return None
        if controls.get("only_verified_mobile") and known.record.phone is None:
            return None
        return known

    def _price(self, known: VendorRecord[TruePerson], controls: Mapping[str, Any]) -> tuple[str, Decimal]:
        """What is paid for, and the credits: 10 with a mobile, else 1."""
        mobile = _wants_mobile(controls) and known.record.phone is not None
        question = f"{'mobile' if mobile else 'person'} {known.record.person_id}"
        return question, MOBILE_CREDITS if mobile else CREDIT

    def _afford_all(self, key: str, found: list[VendorRecord[TruePerson]], controls: Mapping[str, Any]) -> None:
        prices = dict(self._price(known, controls) for known in found)
        due = (credits for question, credits in prices.items() if not self._repeats.is_free(key, question))
        self.afford(key, sum(due, Decimal(0)))

    def _charge(self, key: str, known: VendorRecord[TruePerson], controls: Mapping[str, Any]) -> Charge:
        question, credits = self._price(known, controls)
        return self._repeats.price(key, question, Charge(known.record.person_id, credits, credits * USD))

    def _email_status(self, known: VendorRecord[TruePerson]) -> str:
        email = known.record.email
        if email is None:
            return "UNAVAILABLE"
        return "UNVERIFIED" if self.knowledge.catch_all(domain_key(email.rpartition("@")[2])) else "VERIFIED"

    def _describe(self, known: VendorRecord[TruePerson], controls: Mapping[str, Any]) -> dict[str, Any]:
        person = known.record
        employer = self.world.companies.get(person.company_id or "")
        company = self.knowledge.company(self.world, employer) if employer else None
        revealed = _wants_mobile(controls) and person.phone is not None
        job = {
            "title": person.job_title,
            "company_name": employer.name if employer else None,
            "current": True,
            "seniority": person.seniority,
        }
        described = {
            "person_id": f"pr_{person.person_id}",
            "first_name": person.first_name,
            "last_name": person.last_name,
            "full_name": " ".join(filter(None, (person.first_name, person.last_name))),
            "linkedin_url": person.linkedin_url,
            "current_job_title": person.job_title,
            "headline": person.job_title,
            "job_history": [job] if person.job_title else [],
            "mobile": {
                "status": "VERIFIED" if person.phone else "UNAVAILABLE",
                "revealed": revealed,
                "mobile": person.phone if revealed else None,
            },
            "email": {
                "status": self._email_status(known),
                "revealed": person.email is not None,
                "email": person.email.lower() if person.email else None,
            },
            "location": {"country": person.country, "city": person.city},
        }
        return {"person": described, "company": describe_company(employer, company) if employer else None}


def describe_company(employer: TrueCompany, known: VendorRecord[TrueCompany] | None) -> dict[str, Any]:
    record = known.record if known else TrueCompany(employer.company_id)
    return {
        "company_id": f"prc_{employer.company_id}",
        "name": employer.name,
        "website": f"https://{employer.domain}" if employer.domain else None,
        "domain": employer.domain,
        "industry": record.industry,
        "employee_count": record.employee_count,
        "founded": record.founded_year,
        "linkedin_url": record.linkedin_url,
        "location": {"country": record.country, "city": record.city},
    }


def _wants_mobile(controls: Mapping[str, Any]) -> bool:
    return bool(controls.get("enrich_mobile") or controls.get("only_verified_mobile"))


def _enough(said: Mapping[str, Any]) -> bool:
    """A profile, an email, the vendor's id, or a name with a company (docs)."""
    if any(said.get(n) for n in ("linkedin_url", "email", "person_id")):
        return True
    named = bool(said.get("full_name") or (said.get("first_name") and said.get("last_name")))
    return named and any(said.get(n) for n in ("company_name", "company_website", "company_linkedin_url"))


def _refusal(code: str, status: int = 400) -> VendorRefusal:
    return VendorRefusal(status, {"error": True, "error_code": code}, code.lower())

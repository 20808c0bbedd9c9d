"""LeadMagic: finds business addresses, and says whether one takes mail. Shapes, limits, headers and errors (RFC 9457):
docs. The answer for nobody found and the dollar price: unconfirmed. Only a found address is charged.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

from aiohttp import web

from revetl.sandbox.data_vendors.billing import Charge
from revetl.sandbox.data_vendors.mailboxes import judge
from revetl.sandbox.data_vendors.matching import find_company, find_person, names
from revetl.sandbox.data_vendors.truth import domain_key
from revetl.sandbox.data_vendors.vendor import DataVendor, DataVendorOptions, VendorAnswer, VendorRefusal, json_body
from revetl.sandbox.vendor import Routes, VendorContext

CREDIT, USD = Decimal(1), Decimal("0.02")
VALIDATION_CREDITS = Decimal("0.05")
PER_MINUTE = 300

_REFUSALS = {
    "bad_key": (401, "unauthorized", "Unauthorized"),
    "throttled": (429, "rate_limit_exceeded", "Too Many Requests"),
    "out_of_credits": (402, "insufficient_credits", "Payment Required"),
    "unavailable": (503, "service_unavailable", "Service Unavailable"),
}


class LeadMagic(DataVendor):
    """Any key serves except one with `bad` (401)."""

    name = "leadmagic"

    def __init__(self, context: VendorContext, options: DataVendorOptions) -> None:
        super().__init__(context, options)
        self.finder = self.fixed_window(PER_MINUTE, 60)
        self._validation = self.fixed_window(PER_MINUTE, 60)

    def add_routes(self, routes: Routes) -> None:
        routes.post("/v1/people/email-finder", self.serve(self._find))
        routes.post("/v1/people/email-validation", self.serve(self._validate))
        routes.get("/v1/credits", self.serve(self._credits))

    async def key_of(self, request: web.Request) -> str:
        bearer = request.headers.get("Authorization", "").removeprefix("Bearer ").strip()
        return request.headers.get("X-API-Key") or bearer

    def headers(self, key: str, charged: Decimal) -> Mapping[str, str]:
        credits = {"X-Credits-Remaining": str(self.bill.remaining(key)), "X-Credits-Cost": str(charged)}
        if self.finder.limit is None:
            return credits
        return {
            **credits,
            "RateLimit-Limit": str(PER_MINUTE),
            "RateLimit-Remaining": str(self.finder.left(key)),
            "RateLimit-Reset": str(self.finder.resets_in_s()),
        }

    def refusal(self, kind: str) -> VendorRefusal:
        wait = {"Retry-After": str(self.finder.resets_in_s())} if kind == "throttled" else {}
        return _problem(*_REFUSALS[kind], headers=wait)

    async def _find(self, request: web.Request, key: str) -> VendorAnswer:
        self.refuse_bad_key(key)
        self.take(key, self.finder)
        self.afford(key, CREDIT)
        said = await _texts(request)
        first, last = names(said, full="full_name")
        if not first or not last or not (said.get("domain") or said.get("company_name")):
            raise _problem(400, "bad_request", "Bad Request", "A name and a domain or company_name are required")
        company = find_company(self.world, said.get("domain", ""), said.get("company_name", ""))
        person, _ = find_person(
            self.world, first=first, last=last, companies=(company.domain or "",) if company else ()
        )
        known = self.knowledge.person(self.world, person) if person is not None else None
        email = known.record.email if known else None
        catches_all = bool(company and company.domain and self.knowledge.catch_all(domain_key(company.domain)))
        answer = {
            "email": email.lower() if email else None,
            "status": ("valid_catch_all" if catches_all else "valid") if email else "not_found",
            "credits_consumed": 1 if email else 0,
            "message": "Valid email found." if email else "No email found.",
            "first_name": first,
            "last_name": last,
            "domain": company.domain if company else said.get("domain"),
            "is_domain_catch_all": catches_all,
            "company_name": company.name if company else said.get("company_name"),
        }
        if known is None or email is None:
            return VendorAnswer(answer, "miss")
        return VendorAnswer(answer, "hit", (Charge(known.record.person_id, CREDIT, USD),))

    async def _validate(self, request: web.Request, key: str) -> VendorAnswer:
        self.refuse_bad_key(key)
        self.take(key, self._validation)
        self.afford(key, VALIDATION_CREDITS)
        email = (await _texts(request)).get("email", "")
        if not email:
            raise _problem(400, "bad_request", "Bad Request", "email is required")
        verdict, _ = judge(self.world, self.knowledge, email)
        status = {"catch-all": "catch_all", "valid": "valid", "unknown": "unknown"}.get(verdict, "invalid")
        domain = email.partition("@")[2].lower()
        free = status == "unknown"
        answer = {
            "email": email,
            "status": status,
            "domain": domain,
            "credits_consumed": 0 if free else float(VALIDATION_CREDITS),
            "is_domain_catch_all": status == "catch_all",
        }
        charge = Charge(email.lower(), VALIDATION_CREDITS, VALIDATION_CREDITS * USD)
        return VendorAnswer(answer, status, () if free else (charge,))

    async def _credits(self, request: web.Request, key: str) -> VendorAnswer:
        self.refuse_bad_key(key)
        return VendorAnswer({"credits": float(self.bill.remaining(key))}, "account")


async def _texts(request: web.Request) -> dict[str, str]:
    body = await json_body(request)
    if not isinstance(body, dict):
        raise _problem(400, "bad_request", "Bad Request", "The body must be a JSON object")
    return {name: value for name, value in body.items() if isinstance(value, str)}


def _problem(
    status: int, code: str, title: str, detail: str | None = None, headers: Mapping[str, str] | None = None
) -> VendorRefusal:
    body = {
        "type": f"https://leadmagic.io/docs/errors/{code}",
        "title": title,
        "status": status,
        "detail": detail or title,
        "code": code,
    }
    return VendorRefusal(status, body, code, {"Content-Type": "application/problem+json", **(headers or {})})

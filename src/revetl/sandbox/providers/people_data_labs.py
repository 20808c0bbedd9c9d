"""People Data Labs: person and company enrichment. Shapes: docs. Charges one credit per match, a miss (404) is free."""

from __future__ import annotations

import json
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from aiohttp import web

from revetl.sandbox.providers.billing import Bill
from revetl.sandbox.providers.truth import (
    Belief,
    Company,
    Person,
    World,
    email_key,
    phone_key,
    profile_key,
)
from revetl.sandbox.providers.vendor import Context, Found, Refusal, endpoint

VENDOR = "people_data_labs"
BASE = f"/providers/{VENDOR}"
CREDIT = Decimal(1)
PERSON_USD = Decimal("0.28")
COMPANY_USD = Decimal("0.10")
PAID_PER_MINUTE = 1000
FREE_PER_MINUTE = 100

# The share of people and companies of which the vendor can say this at all.
KNOWN = 0.85
PERSON_RATES = {
    "email": 0.55,
    "job_title": 0.70,
    "phone": 0.35,
    "linkedin_url": 0.75,
    "city": 0.70,
    "country": 0.80,
}
COMPANY_RATES = {
    "industry": 0.80,
    "employee_count": 0.75,
    "founded_year": 0.70,
    "linkedin_url": 0.75,
    "city": 0.70,
    "country": 0.80,
}
# Of what it says, how much is out of date.
STALE_TITLE = 0.12
STALE_EMAIL = 0.06

_LOCATIONS = ("location", "locality", "region", "country", "postal_code", "street_address")


class PeopleDataLabs:
    """Any key serves except one with `bad` (401); one with `free` has the free account's limit."""

    def __init__(self, context: Context) -> None:
        self.bill = Bill(VENDOR)
        self._truth = context.truth
        self._belief = context.belief(VENDOR)
        self._paid = context.window(PAID_PER_MINUTE, 60)
        self._free = context.window(FREE_PER_MINUTE, 60)

    def reset(self) -> None:
        self.bill.clear()

    def add_routes(self, app: web.Application) -> None:
        for path, answer in (("/v5/person/enrich", self._person), ("/v5/company/enrich", self._company)):
            handler = endpoint(self.bill, _key, answer, self._headers)
            app.router.add_get(BASE + path, handler)
            app.router.add_post(BASE + path, handler)

    def _headers(self, key: str, charged: Decimal) -> dict[str, str]:
        return {
            "x-call-credits-spent": str(charged),
            "x-call-credits-type": "enrich",
            "x-totallimit-remaining": str(self.bill.remaining(key)),
        }

    def _admit(self, key: str) -> None:
        if not key or "bad" in key:
            raise _refusal(401, "authentication_error", "Request contained a missing or invalid key")
        window = self._free if "free" in key else self._paid
        if not window.take(key):
            raise _refusal(429, "rate_limit_error", "An error occurred due to requests hitting the API too quickly")
        if self.bill.remaining(key) < CREDIT:
            raise _refusal(402, "payment_required", "You have hit your account maximum for person enrichment")

    async def _person(self, request: web.Request, key: str) -> Found:
        self._admit(key)
        params = await _params(request)
        if not _enough_for_person(params):
            message = (
                "Request must contain a profile, email, phone, email_hash, lid, or a name with a location, "
                "company or school"
            )
            raise _refusal(400, "invalid_request_error", message)
        person, likelihood = _match_person(self._truth.world, params)
        if person is None or likelihood < _number(params, "min_likelihood"):
            return _miss()
        data = describe_person(self._truth.world, self._belief, person, _says(params.get("titlecase")))
        if data is None or not _has_required(data, params.get("required")):
            return _miss()
        return Found({"status": 200, "likelihood": likelihood, "data": data}, "hit", CREDIT, PERSON_USD)

    async def _company(self, request: web.Request, key: str) -> Found:
        """The company's fields stand at the top of the answer, not below `data` (docs)."""
        self._admit(key)
        params = await _params(request)
        world = self._truth.world
        if not any(params.get(n) for n in ("website", "profile", "name", "ticker", "pdl_id")):
            raise _refusal(400, "invalid_request_error", "Request must contain a name, website, profile or ticker")
        company, likelihood = _match_company(world, params)
        if company is None or likelihood < _number(params, "min_likelihood"):
            return _miss()
        data = describe_company(self._belief, company, _says(params.get("titlecase")))
        if data is None or not _has_required(data, params.get("required")):
            return _miss()
        return Found({"status": 200, "likelihood": likelihood, **data}, "hit", CREDIT, COMPANY_USD)


def describe_person(world: World, belief: Belief, person: Person, titlecase: bool) -> dict[str, Any] | None:
    """What the vendor says of somebody; None for someone it doesn't know. Text is in lower case unless asked
    otherwise (docs)."""
    who = person.person_id
    if belief.erased(person) or belief.draw(who, "known") >= KNOWN:
        return None

    def knows(field: str) -> bool:
        return belief.draw(who, field) < PERSON_RATES[field] / KNOWN

    def text(value: str | None) -> str | None:
        return value if value is None or titlecase else value.lower()

    company = world.companies.get(person.company_id or "")
    title, seniority = (person.job_title, person.seniority) if knows("job_title") else (None, None)
    if title is not None and belief.own(who, "stale title") < STALE_TITLE:
        earlier = world.people[int(belief.own(who, "which title") * len(world.people))]
        title, seniority = earlier.job_title, earlier.seniority
    email = person.email if knows("email") else None
    if email is not None and company is not None and belief.own(who, "stale email") < STALE_EMAIL:
        email = _earlier_email(world, belief, who, email)
    phone = person.phone if knows("phone") else None
    profile = profile_key(person.linkedin_url) if person.linkedin_url and knows("linkedin_url") else None
    name = " ".join(filter(None, (person.first_name, person.last_name)))
    return {
        "id": f"pdl_{who}",
        "full_name": text(name),
        "first_name": text(person.first_name),
        "last_name": text(person.last_name),
        "linkedin_url": profile,
        "linkedin_username": profile.rsplit("/", 1)[-1] if profile else None,
        "work_email": email.lower() if email else None,
        "personal_emails": [],
        "recommended_personal_email": None,
        "emails": [{"address": email.lower(), "type": "current_professional"}] if email else [],
        "mobile_phone": phone,
        "phone_numbers": [phone] if phone else [],
        "job_title": text(title),
        "job_title_levels": [seniority.lower()] if seniority else [],
        "job_company_name": text(company.name) if company else None,
        "job_company_website": company.domain if company else None,
        "location_locality": text(person.city) if knows("city") else None,
        "location_country": text(person.country) if knows("country") else None,
    }


def describe_company(belief: Belief, company: Company, titlecase: bool) -> dict[str, Any] | None:
    who = company.company_id
    if belief.draw(who, "known") >= KNOWN:
        return None

    def known(field: str) -> Any:
        return getattr(company, field) if belief.draw(who, field) < COMPANY_RATES[field] / KNOWN else None

    def text(value: str | None) -> str | None:
        return value if value is None or titlecase else value.lower()

    profile = known("linkedin_url")
    return {
        "id": f"pdl_{who}",
        "name": text(company.name),
        "display_name": company.name,
        "website": company.domain,
        "industry": (known("industry") or "").lower() or None,
        "employee_count": known("employee_count"),
        "founded": known("founded_year"),
        "linkedin_url": profile_key(profile) if profile else None,
        "location": {"locality": text(known("city")), "country": text(known("country"))},
    }


def _earlier_email(world: World, belief: Belief, who: str, email: str) -> str:
    """The same person at an employer they have left: an address that no longer takes mail."""
    companies = list(world.companies.values())
    earlier = companies[int(belief.own(who, "which employer") * len(companies))]
    return f"{email.partition('@')[0]}@{earlier.domain}" if earlier.domain else email


def _match_person(world: World, params: Mapping[str, str]) -> tuple[Person | None, int]:
    """Who is meant, and how sure the vendor is, 1 to 10."""
    for name, known, key, sureness in (
        ("profile", world.by_profile, profile_key, 10),
        ("email", world.by_email, email_key, 9),
        ("phone", world.by_phone, phone_key, 8),
    ):
        person = known.get(key(params[name])) if params.get(name) else None
        if person is not None:
            return person, sureness
    first, last = _name(params)
    if not first or not last:
        return None, 0
    company = world.company(params["company"]) if params.get("company") else None
    if company is not None:
        return world.person_at(first, last, company), 7
    places = {params[n].lower() for n in _LOCATIONS if params.get(n)}
    named = world.by_name.get((first.strip().casefold(), last.strip().casefold()), [])
    there = [p for p in named if {(p.city or "").lower(), (p.country or "").lower()} & places]
    return (there[0], 4) if len(there) == 1 else (None, 0)


def _match_company(world: World, params: Mapping[str, str]) -> tuple[Company | None, int]:
    for name, sureness in (("website", 10), ("profile", 10), ("name", 6)):
        company = world.company(params[name]) if params.get(name) else None
        if company is not None:
            return company, sureness
    return None, 0


def _name(params: Mapping[str, str]) -> tuple[str, str]:
    if params.get("first_name") and params.get("last_name"):
        return params["first_name"], params["last_name"]
    first, _, last = params.get("name", "").strip().partition(" ")
    return first, last


def _enough_for_person(params: Mapping[str, str]) -> bool:
    if any(params.get(n) for n in ("profile", "email", "phone", "email_hash", "lid", "pdl_id")):
        return True
    named = bool(params.get("name") or (params.get("first_name") and params.get("last_name")))
    return named and any(params.get(n) for n in ("company", "school", *_LOCATIONS))


def _has_required(data: Mapping[str, Any], required: str | None) -> bool:
    """`required` is names joined by AND or OR; AND binds closer."""
    if not required:
        return True
    return any(all(data.get(name.strip()) for name in part.split(" AND ")) for part in required.split(" OR "))


def _number(params: Mapping[str, str], name: str) -> int:
    try:
        return int(params.get(name) or 0)
    except ValueError:
        raise _refusal(400, "invalid_request_error", f"{name} must be an integer") from None


def _says(value: str | None) -> bool:
    return (value or "").lower() == "true"


async def _params(request: web.Request) -> dict[str, str]:
    """The query of a GET, or the JSON body of a POST."""
    if request.method == "GET":
        return dict(request.query)
    try:
        body = json.loads(await request.read())
    except ValueError:
        body = None
    if not isinstance(body, dict):
        raise _refusal(400, "invalid_request_error", "The body must be a JSON object")
    return {name: _as_text(value) for name, value in body.items() if value is not None}


def _as_text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _key(request: web.Request) -> str:
    return request.headers.get("X-Api-Key") or request.query.get("api_key", "")


def _miss() -> Found:
    body = {"status": 404, "error": {"type": "not_found", "message": "No records were found matching your request"}}
    return Found(body, "miss", status=404)


def _refusal(status: int, kind: str, message: str) -> Refusal:
    return Refusal(status, {"status": status, "error": {"type": kind, "message": message}}, kind)

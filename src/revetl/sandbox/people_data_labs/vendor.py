"""People Data Labs: person and company enrichment, single and in bulk. Shapes: docs, except the answer of the company
bulk (unconfirmed). Charges one credit per match, a miss (404) is free; a repeat is charged
again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

from aiohttp import web

from revetl.sandbox.data_vendors.billing import Charge
from revetl.sandbox.data_vendors.matching import find_company, find_person, names
from revetl.sandbox.data_vendors.truth import TrueCompany, TruePerson, World, profile_key
from revetl.sandbox.data_vendors.vendor import (
    DataVendor,
    DataVendorOptions,
    Endpoint,
    VendorAnswer,
    VendorRefusal,
    json_body,
)
from revetl.sandbox.vendor import Routes, VendorContext

Single = Callable[[Mapping[str, str]], VendorAnswer]

CREDIT = Decimal(1)
PERSON_USD = Decimal("0.28")
COMPANY_USD = Decimal("0.10")
PAID_PER_MINUTE = 1000
FREE_PER_MINUTE = 100
BULK_MAX = 100
_REVENUE_PER_HEAD_USD = 150_000
# Millions of dollars a year → the vendor's word for up to so many.
_REVENUES = (
    (1, "$0-$1M"),
    (10, "$1M-$10M"),
    (25, "$10M-$25M"),
    (50, "$25M-$50M"),
    (100, "$50M-$100M"),
    (250, "$100M-$250M"),
    (500, "$250M-$500M"),
    (1_000, "$500M-$1B"),
    (10_000, "$1B-$10B"),
)

# How sure the vendor is, 1 to 10, by what the match rests on.
_LIKELIHOOD = {"profile": 10, "email": 9, "phone": 8, "company": 7, "location": 4}
_LOCATIONS = ("location", "locality", "region", "country", "postal_code", "street_address")
_REFUSALS = {
    "bad_key": (401, "authentication_error", "Request contained a missing or invalid key"),
    "throttled": (429, "rate_limit_error", "An error occurred due to requests hitting the API too quickly"),
    "out_of_credits": (402, "payment_required", "You have hit your account maximum for person enrichment"),
    "unavailable": (500, "api_error", "The server encountered an unexpected condition"),
}


class PeopleDataLabs(DataVendor):
    """Any key serves except one with `bad` (401); one with `free` has the free account's limit."""

    name = "people_data_labs"

    def __init__(self, context: VendorContext, options: DataVendorOptions) -> None:
        super().__init__(context, options)
        self._paid = self.fixed_window(PAID_PER_MINUTE, 60)
        self._free = self.fixed_window(FREE_PER_MINUTE, 60)

    def add_routes(self, routes: Routes) -> None:
        for path, answer in (("/v5/person/enrich", self._person), ("/v5/company/enrich", self._company)):
            handler = self.serve(self._one(answer))
            routes.get(path, handler)
            routes.post(path, handler)
        routes.post("/v5/person/bulk", self.serve(self._bulk(self._person)))
        routes.post("/v5/company/enrich/bulk", self.serve(self._bulk(self._company)))

    async def key_of(self, request: web.Request) -> str:
        return request.headers.get("X-Api-Key") or request.query.get("api_key", "")

    def headers(self, key: str, charged: Decimal) -> Mapping[str, str]:
        return {
            "x-call-credits-spent": str(charged),
            "x-call-credits-type": "enrich",
            "x-totallimit-remaining": str(self.bill.remaining(key)),
        }

    def refusal(self, kind: str) -> VendorRefusal:
        return _refusal(*_REFUSALS[kind])

    def _admit(self, key: str) -> None:
        self.refuse_bad_key(key)
        self.take(key, self._free if "free" in key else self._paid)
        self.afford(key, CREDIT)

    def _person(self, params: Mapping[str, str]) -> VendorAnswer:
        if not _enough_for_person(params):
            message = (
                "Request must contain a profile, email, phone, email_hash, lid, or a name with a location, "
                "company or school"
            )
            raise _refusal(400, "invalid_request_error", message)
        person, likelihood = _match_person(self.world, params)
        known = self.knowledge.person(self.world, person) if person is not None else None
        if known is None or likelihood < _number(params, "min_likelihood"):
            return _miss()
        data = describe_person(self.world, known.record, titlecase=_says(params.get("titlecase")))
        if not _has_required(data, params.get("required")):
            return _miss()
        body = {"status": 200, "likelihood": likelihood, "data": data}
        return VendorAnswer(body, "hit", (Charge(known.record.person_id, CREDIT, PERSON_USD),))

    def _company(self, params: Mapping[str, str]) -> VendorAnswer:
        """The company's fields stand at the top of the answer, not below `data` (docs)."""
        if not any(params.get(n) for n in ("website", "profile", "name", "ticker", "pdl_id")):
            raise _refusal(400, "invalid_request_error", "Request must contain a name, website, profile or ticker")
        company, likelihood = _match_company(self.world, params)
        known = self.knowledge.company(self.world, company) if company is not None else None
        if known is None or likelihood < _number(params, "min_likelihood"):
            return _miss()
        data = describe_company(known.record, titlecase=_says(params.get("titlecase")))
        if not _has_required(data, params.get("required")):
            return _miss()
        charge = Charge(known.record.company_id, CREDIT, COMPANY_USD)
        return VendorAnswer({"status": 200, "likelihood": likelihood, **data}, "hit", (charge,))

    def _one(self, single: Single) -> Endpoint:
        async def answer(request: web.Request, key: str) -> VendorAnswer:
            self._admit(key)
            return single(await _params(request))

        return answer

    def _bulk(self, single: Single) -> Endpoint:
        """1 to 100 questions; a list of answers in their order, each with its own status and its metadata (docs).
        What an answer holds beside status, likelihood and metadata stands below `data`."""

        async def answer(request: web.Request, key: str) -> VendorAnswer:
            self._admit(key)
            document = await json_body(request)
            asked = document.get("requests") if isinstance(document, dict) else None
            if not isinstance(asked, list) or not 1 <= len(asked) <= BULK_MAX:
                raise _refusal(400, "invalid_request_error", f"requests must hold 1 to {BULK_MAX} requests")
            answers: list[Any] = []
            charges: list[Charge] = []
            for one in asked:
                params = one.get("params") if isinstance(one, dict) else None
                try:
                    found = single(_as_params(params if isinstance(params, dict) else {}))
                    # The last credit of the account may go in the middle of a batch.
                    self.afford(key, CREDIT * (len(charges) + len(found.charges)))
                except VendorRefusal as e:
                    found = VendorAnswer(e.body, e.why, status=e.status)
                charges += found.charges
                metadata = {"metadata": one["metadata"]} if isinstance(one, dict) and "metadata" in one else {}
                answers.append({**_below_data(found.body), **metadata})
            return VendorAnswer(answers, "bulk", tuple(charges))

        return answer


def describe_person(world: World, person: TruePerson, *, titlecase: bool) -> dict[str, Any]:
    """What the vendor says of somebody. Text is in lower case unless asked otherwise (docs)."""

    def text(value: str | None) -> str | None:
        return value if value is None or titlecase else value.lower()

    company = world.companies.get(person.company_id or "")
    email = person.email.lower() if person.email else None
    profile = profile_key(person.linkedin_url) if person.linkedin_url else None
    name = " ".join(filter(None, (person.first_name, person.last_name)))
    return {
        "id": f"pdl_{person.person_id}",
        "full_name": text(name),
        "first_name": text(person.first_name),
        "last_name": text(person.last_name),
        "linkedin_url": profile,
        "linkedin_username": profile.rsplit("/", 1)[-1] if profile else None,
        "work_email": email,
        "personal_emails": [],
        "recommended_personal_email": None,
        "emails": [{"address": email, "type": "current_professional"}] if email else [],
        "mobile_phone": person.phone,
        "phone_numbers": [person.phone] if person.phone else [],
        "job_title": text(person.job_title),
        "job_title_levels": [person.seniority.lower()] if person.seniority else [],
        "job_company_name": text(company.name) if company else None,
        "job_company_website": company.domain if company else None,
        "location_locality": text(person.city),
        "location_country": text(person.country),
    }


def describe_company(company: TrueCompany, *, titlecase: bool) -> dict[str, Any]:
    def text(value: str | None) -> str | None:
        return value if value is None or titlecase else value.lower()

    return {
        "id": f"pdl_{company.company_id}",
        "name": text(company.name),
        "display_name": company.name,
        "website": company.domain,
        "industry": (company.industry or "").lower() or None,
        "employee_count": company.employee_count,
        "founded": company.founded_year,
        "linkedin_url": profile_key(company.linkedin_url) if company.linkedin_url else None,
        "location": {"locality": text(company.city), "country": text(company.country)},
        "inferred_revenue": _revenue(company.employee_count),
    }


def _revenue(employees: int | None) -> str | None:
    """One of the vendor's ranges, by what so many people commonly make; none where their number is not known."""
    if employees is None:
        return None
    millions = employees * _REVENUE_PER_HEAD_USD / 1e6
    return next((said for below, said in _REVENUES if millions < below), "$10B+")


def _match_person(world: World, params: Mapping[str, str]) -> tuple[TruePerson | None, int]:
    """Who is meant, and how sure the vendor is, 1 to 10."""
    first, last = names(params)
    person, by = find_person(
        world,
        profile=params.get("profile", ""),
        email=params.get("email", ""),
        phone=params.get("phone", ""),
        first=first,
        last=last,
        companies=(params.get("company", ""),),
    )
    if by:
        return person, _LIKELIHOOD[by]
    places = {params[n].lower() for n in _LOCATIONS if params.get(n)}
    named = world.by_name.get((first.strip().casefold(), last.strip().casefold()), [])
    there = [p for p in named if {(p.city or "").lower(), (p.country or "").lower()} & places]
    return (there[0], _LIKELIHOOD["location"]) if len(there) == 1 else (None, 0)


def _match_company(world: World, params: Mapping[str, str]) -> tuple[TrueCompany | None, int]:
    for name, likelihood in (("website", 10), ("profile", 10), ("name", 6)):
        company = find_company(world, params.get(name, ""))
        if company is not None:
            return company, likelihood
    return None, 0


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
    body = await json_body(request)
    if not isinstance(body, dict):
        raise _refusal(400, "invalid_request_error", "The body must be a JSON object")
    return _as_params(body)


def _as_params(body: Mapping[str, Any]) -> dict[str, str]:
    """As text; of several values for one parameter the first."""
    firsts = {name: value[0] if isinstance(value, list) and value else value for name, value in body.items()}
    return {name: _as_text(value) for name, value in firsts.items() if value not in (None, [])}


def _as_text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _below_data(body: Mapping[str, Any]) -> dict[str, Any]:
    top = {name: body[name] for name in ("status", "likelihood", "error", "data") if name in body}
    rest = {name: value for name, value in body.items() if name not in top}
    return {**top, "data": rest} if rest else top


def _miss() -> VendorAnswer:
    body = {"status": 404, "error": {"type": "not_found", "message": "No records were found matching your request"}}
    return VendorAnswer(body, "miss", status=404)


def _refusal(status: int, kind: str, message: str) -> VendorRefusal:
    return VendorRefusal(status, {"status": status, "error": {"type": kind, "message": message}}, kind)

"""Hunter: finds business addresses and verifies them. Shapes: docs, except the answer for nobody found (unconfirmed).

Its dialect: 403 is too fast, 429 is out of credits, 451 is a person who asked to be forgotten.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from aiohttp import web

from revetl.sandbox.providers.billing import Bill
from revetl.sandbox.providers.truth import Belief, Company, Person, World, domain_key, email_key
from revetl.sandbox.providers.vendor import Context, Found, Refusal, endpoint

VENDOR = "hunter"
BASE = f"/providers/{VENDOR}"
FIND_CREDITS, FIND_USD = Decimal(1), Decimal("0.034")
VERIFY_CREDITS, VERIFY_USD = Decimal("0.5"), Decimal("0.017")
FOUND_RATE = 0.60
# Of the addresses it gives, how many it made up from the company's usual pattern, and wrongly.
GUESSED_WRONG = 0.12


class Hunter:
    """Any key serves except one with `bad` (401). The same question is charged once while the server runs: a billing
    period."""

    def __init__(self, context: Context) -> None:
        self.bill = Bill(VENDOR)
        self._truth = context.truth
        self._clock = context.clock
        self._belief = context.belief(VENDOR)
        self._finder = (context.window(15, 1), context.window(500, 60))
        self._verifier = (context.window(10, 1), context.window(300, 60))
        self._paid: set[tuple[str, str]] = set()

    def reset(self) -> None:
        self.bill.clear()
        self._paid.clear()

    def add_routes(self, app: web.Application) -> None:
        app.router.add_get(f"{BASE}/v2/email-finder", endpoint(self.bill, _key, self._find))
        app.router.add_get(f"{BASE}/v2/email-verifier", endpoint(self.bill, _key, self._verify))

    def _admit(self, key: str, windows: tuple[Any, Any]) -> None:
        if not key or "bad" in key:
            raise _refusal(401, "authentication_failed", "No user found for the API key supplied")
        if not all(w.take(key) for w in windows):
            raise _refusal(403, "rate_limit", "You have reached the limit of requests per second or minute")
        if self.bill.remaining(key) < VERIFY_CREDITS:
            raise _refusal(429, "too_many_requests", "You have reached the limit for the number of requests per month")

    async def _find(self, request: web.Request, key: str) -> Found:
        self._admit(key, self._finder)
        query = request.query
        first, last = _name(query.get("first_name", ""), query.get("last_name", ""), query.get("full_name", ""))
        if not query.get("domain") and not query.get("company"):
            raise _refusal(400, "wrong_params", "You are missing the domain or company parameter")
        if not first or not last:
            raise _refusal(400, "wrong_params", "You are missing the first_name and last_name parameters")
        world = self._truth.world
        company = (
            world.company_by_domain.get(domain_key(query["domain"]))
            if query.get("domain")
            else world.company(query["company"])
        )
        person = world.person_at(first, last, company) if company else None
        if person is not None and self._belief.erased(person):
            details = "The person owning the email requested us to stop the processing of their personal data"
            raise _refusal(451, "claimed_email", details)
        found = find_email(self._belief, person, company) if person and company else None
        data = self._finding(first, last, company, found, query.get("domain", ""))
        body = {"data": data, "meta": {"params": dict(query)}}
        body["meta"]["params"].pop("api_key", None)
        if found is None or person is None:
            return Found(body, "miss")
        return self._charged_once(key, f"find {person.person_id}", body, FIND_CREDITS, FIND_USD)

    def _finding(
        self, first: str, last: str, company: Company | None, found: tuple[str, int, bool] | None, domain: str
    ) -> dict[str, Any]:
        email, score, right = found or (None, None, False)
        today = self._clock.now().date().isoformat()
        catches_all = bool(company and company.domain and self._belief.catch_all(domain_key(company.domain)))
        status = "accept_all" if catches_all else "valid" if right else "unknown"
        source = {"domain": domain, "uri": f"https://{domain}/team", "extracted_on": today, "last_seen_on": today}
        return {
            "first_name": first,
            "last_name": last,
            "email": email,
            "score": score,
            "domain": company.domain if company else domain or None,
            "accept_all": catches_all,
            "position": None,
            "linkedin_url": None,
            "phone_number": None,
            "company": company.name if company else None,
            "sources": [{**source, "still_on_page": True}] if right and not catches_all else [],
            "verification": {"date": today, "status": status} if email else {"date": None, "status": None},
        }

    async def _verify(self, request: web.Request, key: str) -> Found:
        self._admit(key, self._verifier)
        email = request.query.get("email", "").strip().lower()
        if "@" not in email:
            raise _refusal(400, "wrong_params", "You are missing the email parameter or it is not an email address")
        status, score = verify_email(self._truth.world, self._belief, email)
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
        return self._charged_once(key, f"verify {email}", body, VERIFY_CREDITS, VERIFY_USD)

    def _charged_once(self, key: str, question: str, body: Any, credits: Decimal, usd: Decimal) -> Found:
        if (key, question) in self._paid:
            return Found(body, "hit")
        self._paid.add((key, question))
        return Found(body, "hit", credits, usd)


def find_email(belief: Belief, person: Person, company: Company) -> tuple[str, int, bool] | None:
    """The address, a score of 0 to 100 and whether it is right; scores of right and wrong ones overlap."""
    who = person.person_id
    if not person.email or belief.draw(who, "email") >= FOUND_RATE:
        return None
    sureness = belief.own(who, "score")
    if belief.own(who, "guessed") < GUESSED_WRONG and company.domain:
        first, last = (person.first_name or "").lower(), (person.last_name or "").lower()
        guesses = (f"{first[:1]}{last}", f"{first}_{last}", f"{last}.{first}")
        guess = next(g for g in guesses if f"{g}@{company.domain}".lower() != person.email.lower())
        return f"{guess}@{company.domain}".lower(), 45 + int(sureness * 40), False
    return person.email.lower(), 68 + int(sureness * 32), True


def verify_email(world: World, belief: Belief, email: str) -> tuple[str, int]:
    domain = email.partition("@")[2]
    if email_key(email) in world.by_email:
        return ("accept_all", 70) if belief.catch_all(domain) else ("valid", 97)
    if domain in world.company_by_domain and belief.catch_all(domain):
        return "accept_all", 60
    return "invalid", 4


def _name(first: str, last: str, full: str) -> tuple[str, str]:
    if first and last:
        return first, last
    first, _, last = full.strip().partition(" ")
    return first, last


def _key(request: web.Request) -> str:
    """A header, a bearer token or the query: Hunter takes any of the three."""
    bearer = request.headers.get("Authorization", "").removeprefix("Bearer ").strip()
    return request.headers.get("X-API-KEY") or bearer or request.query.get("api_key", "")


def _refusal(status: int, error_id: str, details: str) -> Refusal:
    return Refusal(status, {"errors": [{"id": error_id, "code": status, "details": details}]}, error_id)

"""Companies House: the public register of companies of the United Kingdom. Free. Shapes, limit and the headers of the
limit: docs. It knows every company of the country, by its name and number, never by its domain.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from hashlib import blake2b
from typing import Any

from aiohttp import BasicAuth, web

from revetl.sandbox.data_vendors.knowledge import VendorRecord
from revetl.sandbox.data_vendors.truth import TrueCompany, World, company_key
from revetl.sandbox.data_vendors.vendor import DataVendor, DataVendorOptions, VendorAnswer, VendorRefusal
from revetl.sandbox.vendor import Routes, VendorContext

CALLS, PER_S = 600, 300
COUNTRY = "United Kingdom"
PAGE, PAGE_MAX = 20, 100
_SCOTTISH = ("Edinburgh", "Glasgow", "Aberdeen")

_REFUSALS = {
    "bad_key": (401, {"error": "Invalid Authorization", "type": "ch:service"}),
    "throttled": (429, None),
    "out_of_credits": (403, {"error": "Forbidden", "type": "ch:service"}),
    "unavailable": (503, None),
}


class CompaniesHouse(DataVendor):
    """The key is the user name of basic authentication. Any serves except one with `bad` (401)."""

    name = "companies_house"

    def __init__(self, context: VendorContext, options: DataVendorOptions) -> None:
        super().__init__(context, options)
        self.window = self.fixed_window(CALLS, PER_S)
        self._register = Register()

    def add_routes(self, routes: Routes) -> None:
        routes.get("/search/companies", self.serve(self._search))
        routes.get("/company/{number}", self.serve(self._profile))

    async def key_of(self, request: web.Request) -> str:
        try:
            return str(BasicAuth.decode(request.headers.get("Authorization", "")).login)
        except ValueError:
            return ""

    def headers(self, key: str, charged: Decimal) -> Mapping[str, str]:
        if self.window.limit is None:
            return {}
        return {
            "X-Ratelimit-Limit": str(CALLS),
            "X-Ratelimit-Remain": str(self.window.left(key)),
            "X-Ratelimit-Reset": str(int(self.clock.now().timestamp()) + self.window.resets_in_s()),
            "X-Ratelimit-Window": "5m",
        }

    def refusal(self, kind: str) -> VendorRefusal:
        status, body = _REFUSALS[kind]
        return VendorRefusal(status, body, kind)

    async def _search(self, request: web.Request, key: str) -> VendorAnswer:
        """By words of the name; with the restriction `legally-equivalent-company-name` only names that are the same
        but for letter case, punctuation and legal form."""
        self.refuse_bad_key(key)
        self.take(key, self.window)
        query = request.query.get("q", "").strip()
        if not query:
            raise VendorRefusal(400, {"errors": [{"error": "query-required", "type": "ch:service"}]}, "bad_request")
        exact = "legally-equivalent-company-name" in request.query.get("restrictions", "")
        size = min(_number(request, "items_per_page", PAGE), PAGE_MAX)
        start = _number(request, "start_index", 0)
        found = self._register.search(self.world, query, exact=exact)
        body = {
            "kind": "search#companies",
            "total_results": len(found),
            "items_per_page": size,
            "start_index": start,
            "page_number": start // size + 1 if size else 1,
            "items": [self._item(company) for company in found[start : start + size]],
        }
        return VendorAnswer(body, "hit" if found else "miss")

    async def _profile(self, request: web.Request, key: str) -> VendorAnswer:
        self.refuse_bad_key(key)
        self.take(key, self.window)
        company = self._register.by_number(self.world).get(request.match_info["number"].upper())
        if company is None:
            errors = [{"error": "company-profile-not-found", "type": "ch:service"}]
            return VendorAnswer({"errors": errors}, "miss", status=404)
        known = self._known(company)
        number = company_number(company.company_id)
        body = {
            "company_name": (company.name or "").upper(),
            "company_number": number,
            "company_status": "active",
            "type": "ltd",
            "jurisdiction": "england-wales",
            "date_of_creation": _founded(known),
            "registered_office_address": _address(known),
            "sic_codes": ["62020"],
            "has_been_liquidated": False,
            "links": {"self": f"/company/{number}"},
        }
        return VendorAnswer(body, "hit")

    def _item(self, company: TrueCompany) -> dict[str, Any]:
        known = self._known(company)
        number = company_number(company.company_id)
        address = _address(known)
        return {
            "kind": "searchresults#company",
            "title": (company.name or "").upper(),
            "company_number": number,
            "company_status": "active",
            "company_type": "ltd",
            "date_of_creation": _founded(known),
            "address": address,
            "address_snippet": ", ".join(str(part) for part in address.values()),
            "links": {"self": f"/company/{number}"},
        }

    def _known(self, company: TrueCompany) -> TrueCompany:
        known: VendorRecord[TrueCompany] | None = self.knowledge.company(self.world, company)
        return known.record if known else TrueCompany(company.company_id, company.name)


class Register:
    """Indexes over the companies of the country; made anew when the truth was replaced."""

    def __init__(self) -> None:
        self._of: World | None = None
        self._by_number: dict[str, TrueCompany] = {}
        self._by_key: dict[str, list[TrueCompany]] = {}
        self._by_word: dict[str, list[TrueCompany]] = {}

    def by_number(self, world: World) -> Mapping[str, TrueCompany]:
        self._index(world)
        return self._by_number

    def search(self, world: World, query: str, *, exact: bool) -> list[TrueCompany]:
        """Names that are the same come first, then those with the most words in common."""
        self._index(world)
        key = company_key(query)
        same = self._by_key.get(key, [])
        if exact:
            return same
        common: dict[str, int] = {}
        candidates: dict[str, TrueCompany] = {}
        for word in key.split():
            for company in self._by_word.get(word, ()):
                candidates[company.company_id] = company
                common[company.company_id] = common.get(company.company_id, 0) + 1
        others = [c for c in candidates.values() if c not in same]
        return same + sorted(others, key=lambda c: (-common[c.company_id], c.company_id))

    def _index(self, world: World) -> None:
        if self._of is world:
            return
        self._of = world
        for index in (self._by_number, self._by_key, self._by_word):
            index.clear()
        for company in world.company_list:
            if company.country != COUNTRY or not company.name:
                continue
            key = company_key(company.name)
            self._by_number[company_number(company.company_id)] = company
            self._by_key.setdefault(key, []).append(company)
            for word in set(key.split()):
                self._by_word.setdefault(word, []).append(company)


def company_number(company_id: str) -> str:
    """Eight digits."""
    digest = blake2b(company_id.encode(), digest_size=8, person=b"ch-number").digest()
    return f"{int.from_bytes(digest, 'big') % 10**8:08d}"


def _founded(company: TrueCompany) -> str | None:
    """The day of the year is made up: the truth holds the year only."""
    return f"{company.founded_year}-01-15" if company.founded_year else None


def _address(company: TrueCompany) -> dict[str, Any]:
    part = "Scotland" if company.city in _SCOTTISH else "England"
    country = part if company.country == COUNTRY else company.country
    address = {"premises": "1", "address_line_1": "High Street", "locality": company.city, "country": country}
    return {name: value for name, value in address.items() if value is not None}


def _number(request: web.Request, name: str, default: int) -> int:
    text = request.query.get(name, "")
    return int(text) if text.isdigit() else default

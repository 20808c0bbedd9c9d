"""GLEIF: the register of Legal Entity Identifiers. Free, and nobody needs a key. Path, filters, the shape of a record
and the limit: docs. It finds companies by their legal name alone; what it does with a name that two have is assumed.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import Any

from aiohttp import web

from revetl.sandbox.data_vendors.truth import TrueCompany, company_key
from revetl.sandbox.data_vendors.vendor import DataVendor, DataVendorOptions, VendorAnswer, VendorRefusal
from revetl.sandbox.vendor import Routes, VendorContext

CALLS, PER_S = 60, 60
PAGE, PAGE_MAX = 15, 200
ANYBODY = "anybody"  # whose window and bill it is, since nobody says who asks
_LETTERS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_REFUSALS = {"bad_key": 401, "throttled": 429, "out_of_credits": 402, "unavailable": 503}


class Gleif(DataVendor):
    name = "gleif"

    def __init__(self, context: VendorContext, options: DataVendorOptions) -> None:
        super().__init__(context, options)
        self.window = self.fixed_window(CALLS, PER_S)

    def add_routes(self, routes: Routes) -> None:
        routes.get("/api/v1/lei-records", self.serve(self._search))

    async def key_of(self, request: web.Request) -> str:
        return ANYBODY

    def refusal(self, kind: str) -> VendorRefusal:
        status = _REFUSALS[kind]
        return VendorRefusal(status, {"errors": [{"status": str(status), "title": kind}]}, kind)

    async def _search(self, request: web.Request, key: str) -> VendorAnswer:
        self.take(key, self.window)
        wanted = request.query.get("filter[entity.legalName]", "").strip()
        size = request.query.get("page[size]", str(PAGE))
        if not wanted or not size.isdigit() or not 1 <= int(size) <= PAGE_MAX:
            refused = {"errors": [{"status": "400", "title": "Invalid filter or page"}]}
            raise VendorRefusal(400, refused, "bad_request")
        found = [c for c in self.world.company_list if c.name and company_key(c.name) == company_key(wanted)]
        known = [known for company in found if (known := self.knowledge.company(self.world, company)) is not None]
        records = [_record(item.record) for item in known]
        page = {"currentPage": 1, "perPage": int(size), "total": len(records), "lastPage": 1}
        body = {"meta": {"pagination": page}, "data": records[: int(size)]}
        return VendorAnswer(body, "hit" if records else "miss")


def lei(company_id: str) -> str:
    """Twenty characters, the last two of which check the rest (ISO 17442, ISO 7064 mod 97-10)."""
    digest = int.from_bytes(blake2b(company_id.encode(), digest_size=16, person=b"lei").digest(), "big")
    letters = ""
    for _ in range(18):
        digest, place = divmod(digest, len(_LETTERS))
        letters += _LETTERS[place]
    number = int("".join(str(_LETTERS.index(letter)) for letter in f"{letters}00"))
    return f"{letters}{98 - number % 97:02d}"


def _record(company: TrueCompany) -> dict[str, Any]:
    number = lei(company.company_id)
    address = {"city": company.city, "country": None}
    founded = f"{company.founded_year}-01-15T00:00:00Z" if company.founded_year else None
    entity = {
        "legalName": {"name": (company.name or "").upper(), "language": "en"},
        "legalAddress": address,
        "headquartersAddress": address,
        "status": "ACTIVE",
        "creationDate": founded,
    }
    return {"type": "lei-records", "id": number, "attributes": {"lei": number, "entity": entity}}

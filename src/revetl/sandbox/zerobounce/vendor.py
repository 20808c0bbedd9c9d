"""ZeroBounce: says whether an address takes mail. Shapes and test addresses: docs;
how errors look apart: unconfirmed.
"""

from __future__ import annotations

from collections import deque
from decimal import Decimal
from typing import Any

from aiohttp import web

from revetl.sandbox.data_vendors.billing import Charge
from revetl.sandbox.data_vendors.mailboxes import FREE_MAIL, TEST_ADDRESSES, judge
from revetl.sandbox.data_vendors.truth import email_key
from revetl.sandbox.data_vendors.vendor import DataVendor, DataVendorOptions, VendorAnswer, VendorRefusal, json_body
from revetl.sandbox.vendor import Routes, VendorContext

CREDIT, USD = Decimal(1), Decimal("0.008")
BATCH_MAX = 100
BATCHES_PER_MINUTE = 30
BLOCK_S = 600.0
BAD_REQUESTS_PER_MINUTE = 100
SHUT_OUT_S = 3600.0


class ZeroBounce(DataVendor):
    """Any key serves except one with `bad` (401). `unknown` is free, and the vendor's way to say: ask again."""

    name = "zerobounce"

    def __init__(self, context: VendorContext, options: DataVendorOptions) -> None:
        super().__init__(context, options)
        self._singles = self.fixed_window(80_000, 10)
        self._batches = self.fixed_window(BATCHES_PER_MINUTE, 60)
        self._blocked_until: dict[str, float] = {}
        self._shut_out_until: dict[str, float] = {}
        self._bad_requests: dict[str, deque[float]] = {}

    def reset(self, *, keep_records: bool = False) -> None:
        super().reset(keep_records=keep_records)
        self._blocked_until.clear()
        self._shut_out_until.clear()
        self._bad_requests.clear()

    def add_routes(self, routes: Routes) -> None:
        routes.get("/v2/validate", self.serve(self._validate))
        routes.post("/v2/validatebatch", self.serve(self._validate_batch))
        routes.get("/v2/getcredits", self._credits)

    async def key_of(self, request: web.Request) -> str:
        """In the query, of a batch in the body."""
        if request.method == "GET":
            return request.query.get("api_key", "")
        document = await json_body(request)
        return str(document.get("api_key", "")) if isinstance(document, dict) else ""

    def refusal(self, kind: str) -> VendorRefusal:
        no_credits = "Invalid API key or your account ran out of credits"
        if kind == "out_of_credits":
            return _refusal(200, no_credits, kind)  # HTTP 200 with an error in it (docs)
        if kind == "bad_key":
            return _refusal(401, no_credits, "denied")
        if kind == "throttled":
            return _refusal(429, "Too many requests", kind)
        return _refusal(503, "Service temporarily unavailable", kind)

    def _admit(self, key: str) -> None:
        now = self.clock.monotonic()
        if now < self._shut_out_until.get(key, 0.0):
            raise VendorRefusal(403, {"error": "Forbidden"}, "shut_out")  # a shield in front of the API (docs)
        self.refuse_bad_key(key)
        if now < self._blocked_until.get(key, 0.0):
            raise _refusal(429, "Too many requests; blocked for 10 minutes", "blocked")

    def _bad_request(self, key: str, message: str) -> VendorRefusal:
        """100 of these in a minute shut the account out for an hour (docs)."""
        now = self.clock.monotonic()
        recent = self._bad_requests.setdefault(key, deque(maxlen=BAD_REQUESTS_PER_MINUTE))
        recent.append(now)
        if self.limited and len(recent) == BAD_REQUESTS_PER_MINUTE and now - recent[0] < 60:
            self._shut_out_until[key] = now + SHUT_OUT_S
        return _refusal(400, message, "bad_request")

    async def _validate(self, request: web.Request, key: str) -> VendorAnswer:
        self._admit(key)
        self.take(key, self._singles)
        self.afford(key, CREDIT)
        email = request.query.get("email", "")
        if not email:
            raise self._bad_request(key, "Missing parameter: email")
        verdict = self._verdict(email)
        return VendorAnswer(verdict, verdict["status"], _charges([verdict]))

    async def _validate_batch(self, request: web.Request, key: str) -> VendorAnswer:
        self._admit(key)
        if not self._batches.take(key):
            self._blocked_until[key] = self.clock.monotonic() + BLOCK_S
            raise _refusal(429, "Too many requests; blocked for 10 minutes", "blocked")
        document = await json_body(request)
        asked = document.get("email_batch") if isinstance(document, dict) else None
        if not isinstance(asked, list) or not 1 <= len(asked) <= BATCH_MAX:
            raise self._bad_request(key, f"email_batch must hold 1 to {BATCH_MAX} addresses")
        self.afford(key, CREDIT * len(asked))
        addresses = [str(one.get("email_address", "")) if isinstance(one, dict) else "" for one in asked]
        verdicts = [self._verdict(address) for address in addresses if address]
        errors = [] if all(addresses) else [{"error": "email_address is missing", "email_address": ""}]
        return VendorAnswer({"email_batch": verdicts, "errors": errors}, "batch", _charges(verdicts))

    async def _credits(self, request: web.Request) -> web.StreamResponse:
        """`-1` for a wrong key (docs). Not counted as a call."""
        key = await self.key_of(request)
        credits = "-1" if not key or "bad" in key else str(self.bill.remaining(key))
        return web.json_response({"Credits": credits})

    def _verdict(self, email: str) -> dict[str, Any]:
        status, sub_status = judge(self.world, self.knowledge, email)
        domain = email.strip().lower().partition("@")[2]
        person = self.world.by_email.get(email_key(email))
        return {
            "address": email.strip(),
            "status": status,
            "sub_status": sub_status,
            "free_email": domain in FREE_MAIL,
            "did_you_mean": None,
            "account": email.strip().partition("@")[0] or None,
            "domain": domain or None,
            "mx_found": "false" if sub_status in ("failed_syntax_check", "no_dns_entries") else "true",
            "smtp_provider": None,
            "firstname": person.first_name if person else None,
            "lastname": person.last_name if person else None,
            "processed_at": self.clock.now().strftime("%Y-%m-%d %H:%M:%S.000"),
        }


def _charges(verdicts: list[dict[str, Any]]) -> tuple[Charge, ...]:
    """One credit for each address but those that stay `unknown` and those that are for tests."""
    return tuple(
        Charge(verdict["address"].lower(), CREDIT, CREDIT * USD)
        for verdict in verdicts
        if verdict["status"] != "unknown" and verdict["address"].lower() not in TEST_ADDRESSES
    )


def _refusal(status: int, message: str, why: str) -> VendorRefusal:
    return VendorRefusal(status, {"error": message}, why)

"""ZeroBounce: says whether an address takes mail. Shapes and test addresses: docs;
how errors look apart: unconfirmed.
"""

from __future__ import annotations

import re
from collections import deque
from decimal import Decimal
from typing import Any

from aiohttp import web

from revetl.sandbox.providers.billing import Charge
from revetl.sandbox.providers.knowledge import Knowledge
from revetl.sandbox.providers.truth import World, email_key
from revetl.sandbox.providers.vendor import Context, Found, Refusal, Vendor, json_body

CREDIT, USD = Decimal(1), Decimal("0.008")
BATCH_MAX = 100
BATCHES_PER_MINUTE = 30
BLOCK_S = 600.0
BAD_REQUESTS_PER_MINUTE = 100
SHUT_OUT_S = 3600.0

_SYNTAX = re.compile(r"[^@\s;,]+@[^@\s;,]+\.[^@\s;,.]{2,}")
_ROLE_WORDS = "info sales support admin contact hello office billing accounts team help marketing hr jobs noreply"
_ROLES = frozenset(_ROLE_WORDS.split())
_FREE = frozenset(("gmail.com", "yahoo.com", "hotmail.com", "outlook.com", "icloud.com", "proton.me"))
# The vendor's own addresses for tests: they cost nothing there, and here.
_TEST_ADDRESSES = {
    "valid@example.com": ("valid", ""),
    "invalid@example.com": ("invalid", "mailbox_not_found"),
    "disposable@example.com": ("do_not_mail", "disposable"),
    "role_based@example.com": ("do_not_mail", "role_based"),
    "toxic@example.com": ("do_not_mail", "toxic"),
    "donotmail@example.com": ("do_not_mail", "role_based"),
    "spamtrap@example.com": ("spamtrap", ""),
    "abuse@example.com": ("abuse", ""),
    "unknown@example.com": ("unknown", "mail_server_temporary_error"),
    "catch_all@example.com": ("catch-all", ""),
    "timeout_exceeded@example.com": ("unknown", "timeout_exceeded"),
    "greylisted@example.com": ("unknown", "greylisted"),
}


class ZeroBounce(Vendor):
    """Any key serves except one with `bad` (401). `unknown` is free, and the vendor's way to say: ask again."""

    name = "zerobounce"

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._singles = context.window(80_000, 10)
        self._batches = context.window(BATCHES_PER_MINUTE, 60)
        self._blocked_until: dict[str, float] = {}
        self._shut_out_until: dict[str, float] = {}
        self._bad_requests: dict[str, deque[float]] = {}

    def reset(self) -> None:
        super().reset()
        self._blocked_until.clear()
        self._shut_out_until.clear()
        self._bad_requests.clear()

    def add_routes(self, app: web.Application) -> None:
        app.router.add_get(self.path("/v2/validate"), self.serve(self._validate))
        app.router.add_post(self.path("/v2/validatebatch"), self.serve(self._validate_batch))
        app.router.add_get(self.path("/v2/getcredits"), self._credits)

    async def key_of(self, request: web.Request) -> str:
        """In the query, of a batch in the body."""
        if request.method == "GET":
            return request.query.get("api_key", "")
        document = await json_body(request)
        return str(document.get("api_key", "")) if isinstance(document, dict) else ""

    def refusal(self, kind: str) -> Refusal:
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
            raise Refusal(403, {"error": "Forbidden"}, "shut_out")  # a shield in front of the API (docs)
        self.refuse_bad_key(key)
        if now < self._blocked_until.get(key, 0.0):
            raise _refusal(429, "Too many requests; blocked for 10 minutes", "blocked")

    def _bad_request(self, key: str, message: str) -> Refusal:
        """100 of these in a minute shut the account out for an hour (docs)."""
        now = self.clock.monotonic()
        recent = self._bad_requests.setdefault(key, deque(maxlen=BAD_REQUESTS_PER_MINUTE))
        recent.append(now)
        if self.context.limited and len(recent) == BAD_REQUESTS_PER_MINUTE and now - recent[0] < 60:
            self._shut_out_until[key] = now + SHUT_OUT_S
        return _refusal(400, message, "bad_request")

    async def _validate(self, request: web.Request, key: str) -> Found:
        self._admit(key)
        self.take(key, self._singles)
        self.afford(key, CREDIT)
        email = request.query.get("email", "")
        if not email:
            raise self._bad_request(key, "Missing parameter: email")
        verdict = self._verdict(email)
        return Found(verdict, verdict["status"], _charges([verdict]))

    async def _validate_batch(self, request: web.Request, key: str) -> Found:
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
        return Found({"email_batch": verdicts, "errors": errors}, "batch", _charges(verdicts))

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
            "free_email": domain in _FREE,
            "did_you_mean": None,
            "account": email.strip().partition("@")[0] or None,
            "domain": domain or None,
            "mx_found": "false" if sub_status in ("failed_syntax_check", "no_dns_entries") else "true",
            "smtp_provider": None,
            "firstname": person.first_name if person else None,
            "lastname": person.last_name if person else None,
            "processed_at": self.clock.now().strftime("%Y-%m-%d %H:%M:%S.000"),
        }


def judge(world: World, knowledge: Knowledge, email: str) -> tuple[str, str]:
    """Status and sub-status as the mail server at the other end would have them."""
    address = email.strip().lower()
    if address in _TEST_ADDRESSES:
        return _TEST_ADDRESSES[address]
    if not _SYNTAX.fullmatch(address):
        return "invalid", "failed_syntax_check"
    local, _, domain = address.partition("@")
    if domain not in world.company_by_domain and domain not in _FREE and email_key(address) not in world.by_email:
        return "invalid", "no_dns_entries"
    if local in _ROLES:
        return "do_not_mail", "role_based"
    if domain not in _FREE and knowledge.catch_all(domain):
        return "catch-all", ""
    return ("valid", "") if email_key(address) in world.by_email else ("invalid", "mailbox_not_found")


def _charges(verdicts: list[dict[str, Any]]) -> tuple[Charge, ...]:
    """One credit for each address but those that stay `unknown` and those that are for tests."""
    return tuple(
        Charge(verdict["address"].lower(), CREDIT, CREDIT * USD)
        for verdict in verdicts
        if verdict["status"] != "unknown" and verdict["address"].lower() not in _TEST_ADDRESSES
    )


def _refusal(status: int, message: str, why: str) -> Refusal:
    return Refusal(status, {"error": message}, why)

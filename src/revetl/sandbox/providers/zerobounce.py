"""ZeroBounce: says whether an address takes mail. Shapes and test addresses: docs;
how errors look apart: unconfirmed.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from aiohttp import web

from revetl.sandbox.providers.billing import Bill
from revetl.sandbox.providers.truth import Belief, World, email_key
from revetl.sandbox.providers.vendor import Context, Found, Refusal, endpoint

VENDOR = "zerobounce"
BASE = f"/providers/{VENDOR}"
CREDIT, USD = Decimal(1), Decimal("0.008")
BATCH_MAX = 100
BATCHES_PER_MINUTE = 30
BLOCK_S = 600.0

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


class ZeroBounce:
    """Any key serves except one with `bad` (401). `unknown` is free, and the vendor's way to say: ask again."""

    def __init__(self, context: Context) -> None:
        self.bill = Bill(VENDOR)
        self._truth = context.truth
        self._clock = context.clock
        self._belief = context.belief(VENDOR)
        self._singles = context.window(80_000, 10)
        self._batches = context.window(BATCHES_PER_MINUTE, 60)
        self._blocked_until: dict[str, float] = {}

    def reset(self) -> None:
        self.bill.clear()
        self._blocked_until.clear()

    def add_routes(self, app: web.Application) -> None:
        app.router.add_get(f"{BASE}/v2/validate", endpoint(self.bill, _query_key, self._validate))
        app.router.add_post(f"{BASE}/v2/validatebatch", self._batch)
        app.router.add_get(f"{BASE}/v2/getcredits", self._credits)

    def _admit(self, key: str) -> None:
        if not key or "bad" in key:
            raise _refusal(401, "Invalid API key or your account ran out of credits", "denied")
        if self._clock.monotonic() < self._blocked_until.get(key, 0.0):
            raise _refusal(429, "Too many requests; blocked for 10 minutes", "blocked")

    def _spendable(self, key: str, addresses: int) -> None:
        if self.bill.remaining(key) < addresses:
            # HTTP 200 with an error in it (docs).
            raise _refusal(200, "Invalid API key or your account ran out of credits", "out_of_credits")

    async def _validate(self, request: web.Request, key: str) -> Found:
        self._admit(key)
        if not self._singles.take(key):
            raise _refusal(429, "Too many requests", "throttled")
        self._spendable(key, 1)
        email = request.query.get("email", "")
        if not email:
            raise _refusal(400, "Missing parameter: email", "bad_request")
        verdict = self._verdict(email)
        credits = _price(verdict)
        return Found(verdict, verdict["status"], credits, credits * USD)

    async def _batch(self, request: web.Request) -> web.StreamResponse:
        """The key comes in the body, so it is read before the books are opened."""
        try:
            body = json.loads(await request.read())
        except ValueError:
            body = None
        document = body if isinstance(body, dict) else {}

        async def answer(_: web.Request, key: str) -> Found:
            return self._validate_batch(key, document)

        return await endpoint(self.bill, lambda _: str(document.get("api_key", "")), answer)(request)

    def _validate_batch(self, key: str, document: Mapping[str, Any]) -> Found:
        self._admit(key)
        if not self._batches.take(key):
            self._blocked_until[key] = self._clock.monotonic() + BLOCK_S
            raise _refusal(429, "Too many requests; blocked for 10 minutes", "blocked")
        asked = document.get("email_batch")
        if not isinstance(asked, list) or not asked or len(asked) > BATCH_MAX:
            raise _refusal(400, f"email_batch must hold 1 to {BATCH_MAX} addresses", "bad_request")
        self._spendable(key, len(asked))
        verdicts = [self._verdict(str(a.get("email_address", ""))) for a in asked if isinstance(a, dict)]
        credits = sum((_price(v) for v in verdicts), Decimal(0))
        return Found({"email_batch": verdicts, "errors": []}, "batch", credits, credits * USD)

    async def _credits(self, request: web.Request) -> web.StreamResponse:
        """`-1` for a wrong key (docs). Not counted as a call."""
        key = _query_key(request)
        credits = "-1" if not key or "bad" in key else str(self.bill.remaining(key))
        return web.json_response({"Credits": credits})

    def _verdict(self, email: str) -> dict[str, Any]:
        status, sub_status = judge(self._truth.world, self._belief, email)
        domain = email.strip().lower().partition("@")[2]
        person = self._truth.world.by_email.get(email_key(email))
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
            "processed_at": self._clock.now().strftime("%Y-%m-%d %H:%M:%S.000"),
        }


def judge(world: World, belief: Belief, email: str) -> tuple[str, str]:
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
    if domain not in _FREE and belief.catch_all(domain):
        return "catch-all", ""
    return ("valid", "") if email_key(address) in world.by_email else ("invalid", "mailbox_not_found")


def _price(verdict: Mapping[str, Any]) -> Decimal:
    free = verdict["status"] == "unknown" or verdict["address"].lower() in _TEST_ADDRESSES
    return Decimal(0) if free else CREDIT


def _query_key(request: web.Request) -> str:
    return request.query.get("api_key", "")


def _refusal(status: int, message: str, why: str) -> Refusal:
    return Refusal(status, {"error": message}, why)

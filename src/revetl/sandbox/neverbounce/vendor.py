"""NeverBounce: says whether an address takes mail. Its failures come under HTTP 200 and are told apart by `status`
(the vendor's description of its API); how it says that credits are used up, and its limit of calls: unconfirmed.
"""

from __future__ import annotations

from decimal import Decimal

from aiohttp import web

from revetl.sandbox.data_vendors.billing import Charge
from revetl.sandbox.data_vendors.mailboxes import judge
from revetl.sandbox.data_vendors.vendor import DataVendor, DataVendorOptions, VendorAnswer, VendorRefusal
from revetl.sandbox.vendor import Routes, VendorContext

CREDIT, USD = Decimal(1), Decimal("0.008")
CALLS_PER_SECOND = 100
# Our verdicts in its words; whatever else there is may be sent to by nobody.
WORDS = {"valid": "valid", "catch-all": "catchall", "unknown": "unknown"}
REFUSED = {
    "bad_key": ("auth_failure", "We were unable to authenticate your request"),
    "throttled": ("throttle_triggered", "Too many requests in a short amount of time"),
    "out_of_credits": ("general_failure", "Insufficient credits"),
    "unavailable": ("temp_unavail", "Temporarily unavailable"),
}


class NeverBounce(DataVendor):
    """Any key serves except one with `bad`. Each check takes a credit, whatever it says."""

    name = "neverbounce"

    def __init__(self, context: VendorContext, options: DataVendorOptions) -> None:
        super().__init__(context, options)
        self._calls = self.fixed_window(CALLS_PER_SECOND, 1)

    def add_routes(self, routes: Routes) -> None:
        routes.get("/v4/single/check", self.serve(self._check))

    async def key_of(self, request: web.Request) -> str:
        return request.query.get("key", "")

    def refusal(self, kind: str) -> VendorRefusal:
        status, message = REFUSED[kind]
        return VendorRefusal(200, {"status": status, "message": message, "execution_time": 3}, kind)

    async def _check(self, request: web.Request, key: str) -> VendorAnswer:
        self.refuse_bad_key(key)
        self.take(key, self._calls)
        self.afford(key, CREDIT)
        email = request.query.get("email", "").strip()
        if not email:
            message = "Missing required parameter 'email'"
            raise VendorRefusal(200, {"status": "general_failure", "message": message}, "bad_request")
        verdict, _ = judge(self.world, self.knowledge, email)
        result = WORDS.get(verdict, "invalid")
        body = {"status": "success", "result": result, "flags": [], "suggested_correction": "", "execution_time": 120}
        body["email"] = email
        if request.query.get("credits_info") == "1":
            body["credits_info"] = {
                "paid_credits_used": 1,
                "free_credits_used": 0,
                "paid_credits_remaining": int(self.bill.remaining(key) - CREDIT),
                "free_credits_remaining": 0,
            }
        return VendorAnswer(body, result, (Charge(email.lower(), CREDIT, CREDIT * USD),))

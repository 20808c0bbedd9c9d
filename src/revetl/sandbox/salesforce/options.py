"""What may be set of the org."""

from __future__ import annotations

from pydantic import Field

from revetl.sandbox.vendor import VendorOptions


class SalesforceSandboxOptions(VendorOptions):
    """`daily`: API requests in 24 hours (docs: 15,000 of a Developer org, 100,000 and more of a company's). None, or a
    sandbox that is not limited: none are refused. `page_rows`: records of one page of a query (docs: 2,000).
    `token_life_s`: how long an access token is taken (docs: a setting of the org, two hours at first)."""

    daily: int | None = Field(default=15_000, ge=0)
    page_rows: int = Field(default=2_000, ge=1, le=2_000)
    token_life_s: float = Field(default=7_200.0, gt=0)

    def without_limits(self) -> SalesforceSandboxOptions:
        return self.model_copy(update={"daily": None})

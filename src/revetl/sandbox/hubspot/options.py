"""What may be set of the portal."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field, field_validator

from revetl.sandbox.hubspot.portal_file import read_portal_file
from revetl.sandbox.vendor import VendorOptions

Calls = Annotated[int, Field(ge=0)]


class HubSpotSandboxOptions(VendorOptions):
    """`search_lag_s`: how long a write stays unseen by search (docs: seconds).

    Requests allowed: `burst` per app in any 10 s, `search_per_s` and `daily` per account. The defaults are the
    Professional tier's (docs). None switches a limit off; a sandbox that is not limited switches all of them off.

    `scopes`: what a token may do, as in `{pat-sales: [crm.objects.contacts.read]}`. A token that is not named may do
    everything.

    `portal`: a file of `revetl sandbox clone`; the portal is made as that account is.
    """

    search_lag_s: float = Field(default=0.0, ge=0)
    burst: Calls | None = 190
    search_per_s: Calls | None = 5
    daily: Calls | None = 625_000
    scopes: dict[str, tuple[str, ...]] = Field(
        default_factory=dict, examples=["{pat-sales: [crm.objects.contacts.read]}"]
    )
    portal: Path | None = None

    @field_validator("portal")
    @classmethod
    def _is_a_portal(cls, path: Path | None) -> Path | None:
        if path is not None:
            read_portal_file(path)
        return path

    def without_limits(self) -> HubSpotSandboxOptions:
        return self.model_copy(update={"burst": None, "search_per_s": None, "daily": None})

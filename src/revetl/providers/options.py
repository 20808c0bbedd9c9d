"""What an operator says of an account in profiles/connections.yml: its key, its address, and what it is sold."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from revetl.http import header_value
from revetl.providers.grammar import Auth, EndpointLimits, ProviderSpec, RateWindow

Count = Annotated[int, Field(ge=1)]
_SECONDS = {"requests_per_second": 1.0, "requests_per_minute": 60.0, "requests_per_day": 86_400.0}


class LimitOptions(BaseModel):
    """What an account is sold, over what the spec says: a window of the same length is replaced, another is added."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    requests_per_second: Count | None = None
    requests_per_minute: Count | None = None
    requests_per_day: Count | None = None
    concurrency: Count | None = None

    def over(self, limits: EndpointLimits) -> EndpointLimits:
        """`limits` with what is set here."""
        said = {seconds: getattr(self, name) for name, seconds in _SECONDS.items()}
        kept = [window for window in limits.windows if said.get(window.seconds) is None]
        new = [RateWindow(calls=calls, seconds=seconds) for seconds, calls in said.items() if calls is not None]
        concurrency = self.concurrency or limits.concurrency
        return limits.model_copy(update={"windows": (*kept, *new), "concurrency": concurrency})


class AccountLimits(LimitOptions):
    """For all endpoints, and for single ones over that."""

    endpoints: Mapping[str, LimitOptions] = Field(default_factory=dict)


class AccountOptions(BaseModel):
    """The options of a provider's connection. Which credentials it has to hold is said by the spec's `auth`: an
    `api_key`, or `client_id` and `client_secret`, or none. `base_url`, `token_url`: None for the vendor's own.
    `callback_url` is the address under which the vendor reaches `callback_port` of this machine's loopback, through the
    operator's proxy or tunnel.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    api_key: str | None = Field(default=None, min_length=1, repr=False)
    client_id: str | None = Field(default=None, min_length=1)
    client_secret: str | None = Field(default=None, min_length=1, repr=False)
    token_url: str | None = Field(default=None, pattern=r"^https?://")
    base_url: str | None = Field(default=None, pattern=r"^https?://")
    limits: AccountLimits = AccountLimits()
    callback_url: str | None = Field(default=None, pattern=r"^https?://")
    callback_port: int | None = Field(default=None, ge=0, le=65_535)

    @field_validator("api_key")
    @classmethod
    def _goes_into_a_header(cls, api_key: str | None) -> str | None:
        return None if api_key is None else header_value(api_key)

    @model_validator(mode="after")
    def _callback_is_whole(self) -> Self:
        if (self.callback_url is None) != (self.callback_port is None):
            raise ValueError("'callback_url' and 'callback_port' go together")
        return self

    @property
    def secrets(self) -> tuple[str, ...]:
        """What no message and no copy of an answer may hold."""
        return tuple(secret for secret in (self.api_key, self.client_secret) if secret)

    def missing(self, auth: Auth) -> tuple[str, ...]:
        """The options without which this auth can't be done."""
        return tuple(name for name in auth.needs if getattr(self, name) is None)

    def limited(self, spec: ProviderSpec) -> ProviderSpec:
        """The spec as this account may use it. An endpoint with limits of its own here counts by itself."""
        own = self.limits.endpoints.get(spec.name.removeprefix(f"{spec.vendor}."))
        limits = self.limits.over(spec.limits)
        if own is None:
            return spec.model_copy(update={"limits": limits})
        alone = {"limits": own.over(limits), "limiter": spec.name}
        return spec.model_copy(update=alone)

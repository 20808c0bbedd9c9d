"""What stands under an output of type `hubspot` in connections.yml."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator, model_validator

from revetl.destinations.hubspot.paths import ApiPaths
from revetl.http import TokenAuth, TokenRequest, header_value


class HubSpotRefreshToken(BaseModel):
    """A public app that the account installed. Access tokens live half an hour (docs); they are fetched when needed,
    renewed while a run goes on, and kept in memory only."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    type: Literal["oauth_refresh_token"]
    client_id: str = Field(min_length=1)
    client_secret: SecretStr = Field(min_length=1)
    refresh_token: SecretStr = Field(min_length=1)

    def token(self, token_url: str) -> TokenAuth:
        form = {"grant_type": "refresh_token", "refresh_token": self.refresh_token.get_secret_value()}
        secret = self.client_secret.get_secret_value()
        return TokenAuth(TokenRequest(token_url, lambda _: form, self.client_id, secret, client_auth="body"))


class Options(BaseModel):
    """`token` of a private app or a service key, or `auth`. `requests_per_10_s` by tier: 100 Free and Starter, 190
    Professional and Enterprise, 250 with the limit increase, 110 per account for a public app (docs). `daily_reserve`:
    the share of the account's requests of a day that is left to others. `key_property` is the unique property of ours
    that makes creating companies repeatable; it is created on first use."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    token: SecretStr | None = Field(default=None, min_length=1)
    auth: HubSpotRefreshToken | None = None
    base_url: str = "https://api.hubapi.com"
    api_version: str = Field(default="v3", pattern=r"^(v3|20\d\d-\d\d)$")
    requests_per_10_s: int = Field(default=190, ge=1, le=1_000)
    searches_per_s: int = Field(default=5, ge=1, le=100)
    daily_reserve: float = Field(default=0.0, ge=0, lt=1)
    batch_rows: int = Field(default=100, ge=1, le=100)
    concurrency: int = Field(default=8, ge=1, le=32)
    key_property: str = Field(default="revetl_key", pattern=r"^[a-z][a-z0-9_]{0,99}$")
    timeout_s: float = Field(default=30.0, gt=0, le=300)
    allow_insecure: bool = False

    @field_validator("token")
    @classmethod
    def _goes_into_a_header(cls, token: SecretStr | None) -> SecretStr | None:
        if token is not None:
            header_value(token.get_secret_value())
        return token

    @model_validator(mode="after")
    def _has_one_credential(self) -> Self:
        if (self.token is None) == (self.auth is None):
            raise ValueError("give 'token' (of a private app or a service key) or 'auth' (of a public app)")
        return self

    def session_auth(self) -> tuple[dict[str, str], list[str], list[TokenAuth]]:
        """Headers that stay, secrets, and what authorises each attempt."""
        if self.auth is not None:
            return {}, [], [self.auth.token(self.base_url.rstrip("/") + ApiPaths(self.api_version).token())]
        token = self.token.get_secret_value() if self.token else ""
        return {"authorization": f"Bearer {token}"}, [token], []

"""What stands under an output of type `google_sheets` in connections.yml."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, SecretStr, model_validator

from revetl.http import TokenAuth, TokenRequest
from revetl.http.service_account import service_account_token

SCOPE = "https://www.googleapis.com/auth/spreadsheets"


class GoogleRefreshToken(BaseModel):
    """A person's consent, given once to an OAuth client of yours. Google takes its refresh token again and again
    (docs)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    type: Literal["oauth_refresh_token"]
    client_id: str = Field(min_length=1)
    client_secret: SecretStr = Field(min_length=1)
    refresh_token: SecretStr = Field(min_length=1)
    token_url: str = Field(default="https://oauth2.googleapis.com/token", pattern=r"^https?://[^/?#]+(/[^?#]*)?$")

    def token(self) -> TokenAuth:
        form = {"grant_type": "refresh_token", "refresh_token": self.refresh_token.get_secret_value()}
        secret = self.client_secret.get_secret_value()
        return TokenAuth(TokenRequest(self.token_url, lambda _: form, self.client_id, secret, "body"))


class Options(BaseModel):
    """`spreadsheet_id`: of its address, between `/d/` and `/edit`. `service_account`: the whole JSON file of its key;
    the spreadsheet is shared with its e-mail address. `auth`: a person's consent in its place. `keys`: tab → the column
    that names a row, where it is not the first one. `requests_per_min`: the account's share of reads, and as much of
    writes; Google lets each user have 60 of both."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    spreadsheet_id: str = Field(pattern=r"^[A-Za-z0-9_-]{10,}$")
    service_account: SecretStr | None = Field(default=None, min_length=1)
    auth: GoogleRefreshToken | None = None
    base_url: str = Field(default="https://sheets.googleapis.com", pattern=r"^https?://[^/?#]+(/[^?#]*)?$")
    keys: dict[str, str] = {}
    batch_rows: int = Field(default=1_000, ge=1, le=10_000)
    requests_per_min: int = Field(default=60, ge=1, le=300)
    allow_insecure: bool = False

    @model_validator(mode="after")
    def _one_way_in(self) -> Self:
        if (self.service_account is None) == (self.auth is None):
            raise ValueError("write `service_account` or `auth`, and not both")
        return self

    def token(self, name: str) -> TokenAuth:
        """ConfigError where the key file is none."""
        if self.auth is not None:
            return self.auth.token()
        key = self.service_account.get_secret_value() if self.service_account is not None else ""
        return service_account_token(f"{name}: service_account", key, SCOPE)

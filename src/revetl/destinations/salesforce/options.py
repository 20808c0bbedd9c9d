"""What stands under an output of type `salesforce` in connections.yml."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr

from revetl.http import JwtAssertion, TokenAuth, TokenRequest
from revetl.http.oauth import JWT_BEARER

INSTANCE = "instance_url"  # where the org that gave a token takes it (docs)
TOKEN_PATH = "/services/oauth2/token"  # noqa: S105 - an address


class SalesforceClientCredentials(BaseModel):
    """An external client app with a user to run as. Only the org's own host gives such a token (docs)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    type: Literal["oauth_client_credentials"]
    client_id: str = Field(min_length=1)
    client_secret: SecretStr = Field(min_length=1)

    def token(self, base_url: str) -> TokenAuth:
        form = {"grant_type": "client_credentials"}
        secret = self.client_secret.get_secret_value()
        return TokenAuth(
            TokenRequest(base_url + TOKEN_PATH, lambda _: form, self.client_id, secret, api_url_in=INSTANCE)
        )


class SalesforceJwtBearer(BaseModel):
    """An app that is approved for `username`, whose certificate belongs to `private_key`. `audience`:
    https://test.salesforce.com for a sandbox org of the vendor's (docs)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    type: Literal["oauth_jwt_bearer"]
    client_id: str = Field(min_length=1)
    username: str = Field(min_length=1)
    private_key: SecretStr = Field(min_length=1)
    audience: str = "https://login.salesforce.com"

    def token(self, base_url: str) -> TokenAuth:
        key = self.private_key.get_secret_value()
        signed = JwtAssertion(self.client_id, self.username, self.audience, key, lives_s=180)  # 3 minutes (docs)
        return TokenAuth(
            TokenRequest(
                base_url + TOKEN_PATH,
                lambda now: {"grant_type": JWT_BEARER, "assertion": signed.sign(now)},
                api_url_in=INSTANCE,
            )
        )


class Options(BaseModel):
    """`base_url`: the org's My Domain. `assignment_rules`: whether writes run them; they move owners.
    `allow_duplicates`: save where a duplicate rule would only warn. `bulk_from`: plans of so many records go by
    Bulk API 2.0 (docs: worth it above 2,000), unless rules are asked for, which jobs take no headers for."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    base_url: str = Field(pattern=r"^https?://[^/?#]+(/[^?#]*)?$")
    auth: Annotated[SalesforceClientCredentials | SalesforceJwtBearer, Field(discriminator="type")]
    api_version: str = Field(default="v67.0", pattern=r"^v\d\d\.0$")
    batch_rows: int = Field(default=200, ge=1, le=200)
    concurrency: int = Field(default=4, ge=1, le=20)
    bulk_from: int = Field(default=2_000, ge=1)
    assignment_rules: bool = False
    allow_duplicates: bool = False
    timeout_s: float = Field(default=120.0, gt=0, le=600)
    allow_insecure: bool = False

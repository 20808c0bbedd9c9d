"""What stands under an output of type `hubspot` in connections.yml."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator

from revetl.http import header_value


class Options(BaseModel):
    """`token` of a private app or service key. `requests_per_10_s` by tier: 100 Free and Starter, 190 Professional and
    Enterprise, 250 with the limit increase, 110 per account for a public app (docs). `key_property` is the unique
    property of ours that makes creating companies repeatable; it is created on first use."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    token: SecretStr = Field(min_length=1)
    base_url: str = "https://api.hubapi.com"
    api_version: str = Field(default="v3", pattern=r"^(v3|20\d\d-\d\d)$")
    requests_per_10_s: int = Field(default=190, ge=1, le=1_000)
    searches_per_s: int = Field(default=5, ge=1, le=100)
    batch_rows: int = Field(default=100, ge=1, le=100)
    concurrency: int = Field(default=8, ge=1, le=32)
    key_property: str = Field(default="revetl_key", pattern=r"^[a-z][a-z0-9_]{0,99}$")
    timeout_s: float = Field(default=30.0, gt=0, le=300)
    allow_insecure: bool = False

    @field_validator("token")
    @classmethod
    def _goes_into_a_header(cls, token: SecretStr) -> SecretStr:
        header_value(token.get_secret_value())
        return token

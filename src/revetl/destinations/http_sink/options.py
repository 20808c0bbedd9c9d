"""What stands under an output of type `http_sink` in connections.yml."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator

from revetl.destinations.http.options import check_headers


class Options(BaseModel):
    """`url` takes every batch. `headers` go with each request; their values are secrets."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    url: str
    headers: dict[str, SecretStr] = {}
    batch_rows: int = Field(default=100, ge=1, le=10_000)
    concurrency: int = Field(default=8, ge=1, le=64)
    allow_insecure: bool = False

    _headers = field_validator("headers")(check_headers)

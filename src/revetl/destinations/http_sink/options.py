"""What stands under an output of type `http_sink` in connections.yml."""

from __future__ import annotations

import re

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator

from revetl.http import header_value

_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")  # a token of RFC 9110


class Options(BaseModel):
    """`url` takes every batch. `headers` go with each request; their values are secrets."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    url: str
    headers: dict[str, SecretStr] = {}
    batch_rows: int = Field(default=100, ge=1, le=10_000)
    concurrency: int = Field(default=8, ge=1, le=64)
    allow_insecure: bool = False

    @field_validator("headers")
    @classmethod
    def _are_headers(cls, headers: dict[str, SecretStr]) -> dict[str, SecretStr]:
        for name, value in headers.items():
            if not _NAME.fullmatch(name):
                raise ValueError("the name of a header is letters, digits and -")
            try:
                header_value(value.get_secret_value())
            except ValueError as e:
                raise ValueError(f"{name} {e}") from None
        return headers

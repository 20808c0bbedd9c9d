"""What stands under an output of type `http` in connections.yml: the account, and what its objects look like."""

from __future__ import annotations

import re
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator

from revetl.destinations.http.answers import ApiStatusRow
from revetl.destinations.http.grammar import ApiObject
from revetl.destinations.http.syntax import Path
from revetl.http import header_value
from revetl.http.auth_options import Auth, ClientCertificateOptions

_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")  # a token of RFC 9110
ANY = "*"


def check_headers(headers: dict[str, SecretStr]) -> dict[str, SecretStr]:
    """ValueError, without any of a value, for what can't be a header."""
    for name, value in headers.items():
        if not _NAME.fullmatch(name):
            raise ValueError("the name of a header is letters, digits and -")
        try:
            header_value(value.get_secret_value())
        except ValueError as e:
            raise ValueError(f"{name} {e}") from None
    return headers


class RateOptions(BaseModel):
    """So many requests in so many seconds."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    requests: int = Field(ge=1)
    per_s: float = Field(default=1.0, gt=0)


class CheckOptions(BaseModel):
    """What `revetl debug` asks: a cheap request that needs the credentials."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    method: Literal["GET", "HEAD", "POST"] = "GET"
    path: Path
    body: str | None = None


class IdempotencyOptions(BaseModel):
    """A header that is the same for a change however often it is sent, and never the same for two. `across_runs`: the
    vendor keeps keys for longer than our runs lie apart, so that a create whose answer was lost may be sent again by
    the next one."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    header: str = Field(default="Idempotency-Key", pattern=_NAME.pattern)
    across_runs: bool = False


class Options(BaseModel):
    """`headers` go with each request; their values are secrets. `status`: what answers mean beyond the session's table,
    the first row that matches. `objects`: by the name that a sync writes under `object`; `*` is for all others."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    base_url: str
    auth: Auth | None = None
    headers: dict[str, SecretStr] = {}
    client_certificate: ClientCertificateOptions | None = None
    signing_secret: SecretStr | None = None
    idempotency: IdempotencyOptions | None = None
    check: CheckOptions | None = None
    rate: RateOptions | None = None
    concurrency: int = Field(default=4, ge=1, le=64)
    status: tuple[ApiStatusRow, ...] = ()
    objects: dict[str, ApiObject] = Field(min_length=1)
    allow_insecure: bool = False

    _headers = field_validator("headers")(check_headers)

    @field_validator("signing_secret")
    @classmethod
    def _is_base64(cls, secret: SecretStr | None) -> SecretStr | None:
        from revetl.http import WebhookSignature

        if secret is not None:
            try:
                WebhookSignature(secret.get_secret_value())
            except ValueError:
                raise ValueError("is no signing secret: whsec_ and base64") from None
        return secret

    @field_validator("objects")
    @classmethod
    def _same_abilities(cls, objects: dict[str, ApiObject]) -> dict[str, ApiObject]:
        """A connector can look up or read, or it can't: that is of the whole connection."""
        for name in ("look_up", "read_back", "id_field"):
            have = {getattr(o, name) is not None: key for key, o in objects.items()}
            if len(have) == 2:
                raise ValueError(
                    f"{have[True]!r} has {name} and {have[False]!r} has none; what a destination can do holds for all"
                    " of its objects: declare another destination for one of them"
                )
        return objects

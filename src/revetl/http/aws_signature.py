"""AWS Signature Version 4 in the header `Authorization`: who receives a request sees whose it is, that it is whole, and
that it was sent within the last minutes. botocore signs, which comes with the extra `files`.

Signed are the host, the kind of the body, the body and what is called `x-amz-…`: a proxy may change any other header.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from revetl.errors import ConfigError
from revetl.http.auth import AuthContext

if TYPE_CHECKING:
    import httpx

ALGORITHM = "AWS4-HMAC-SHA256"


class AwsSignature:
    """A `RequestAuth` of one access key, for one service in one region. `session_token`: of temporary credentials."""

    def __init__(
        self, access_key_id: str, secret_access_key: str, region: str, service: str, session_token: str | None = None
    ) -> None:
        self._key = access_key_id, secret_access_key
        self._region, self._service, self._session_token = region, service, session_token
        self._context: AuthContext | None = None
        self._signer: Any = None

    def __repr__(self) -> str:
        return "AwsSignature()"

    def bind(self, context: AuthContext) -> None:
        """ConfigError where botocore is not installed."""
        try:
            from botocore.auth import S3SigV4Auth, SigV4Auth
            from botocore.credentials import Credentials
        except ImportError:
            raise ConfigError("signing for AWS needs botocore", hint="pip install 'revetl[files]'") from None
        # S3 alone takes the path as it is sent; all others have it percent-encoded once more.
        kind = S3SigV4Auth if self._service == "s3" else SigV4Auth
        self._signer = kind(Credentials(*self._key), self._service, self._region)
        self._context = context
        for secret in filter(None, (self._key[1], self._session_token)):
            context.learn_secret(secret)

    async def authorise(self, request: httpx.Request) -> Mapping[str, str]:
        """botocore's steps one by one, since `add_auth` reads the machine's clock and not ours."""
        from botocore.awsrequest import AWSRequest
        from botocore.compat import HTTPHeaders

        if self._context is None:
            raise RuntimeError(f"{self!r} is used before its session is open")
        body = request.content
        added = {"x-amz-date": self._context.clock.now().strftime("%Y%m%dT%H%M%SZ")}
        if self._session_token is not None:
            added["x-amz-security-token"] = self._session_token
        signed = {name: value for name, value in request.headers.items() if _is_signed(name)} | added
        asked = AWSRequest(request.method, str(request.url), HTTPHeaders.from_dict(signed), body)
        asked.context["timestamp"] = added["x-amz-date"]
        if self._service == "s3":
            added["x-amz-content-sha256"] = asked.headers["X-Amz-Content-SHA256"] = self._signer.payload(asked)
        to_sign = self._signer.string_to_sign(asked, self._signer.canonical_request(asked))
        names = self._signer.signed_headers(self._signer.headers_to_sign(asked))
        signature = self._signer.signature(to_sign, asked)
        scope = self._signer.scope(asked)
        return {
            **added,
            "authorization": f"{ALGORITHM} Credential={scope}, SignedHeaders={names}, Signature={signature}",
        }

    def refresh(self, request: httpx.Request) -> bool:
        return False


def _is_signed(name: str) -> bool:
    return name in ("host", "content-type") or name.startswith("x-amz-")

"""Requests that are signed for AWS: against AWS's own published examples, and against its rules written down again."""

from __future__ import annotations

import asyncio
import hmac
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any
from urllib.parse import quote, unquote

import httpx
import pytest
from pydantic import BaseModel, ValidationError

from revetl.errors import Unavailable
from revetl.http import Session, SessionOptions, SessionRequest
from revetl.http.auth import AuthContext
from revetl.http.auth_options import Auth
from revetl.http.aws_signature import AwsSignature
from revetl.testing.clocks import VirtualClock
from revetl.testing.virtual_time import run_virtual

# The key of AWS's test suite and of its documentation.
KEY, SECRET = "AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
THEN = datetime(2015, 8, 30, 12, 36, tzinfo=UTC)


class Holder(BaseModel):
    auth: Auth


class At(VirtualClock):
    """As of `THEN`."""

    def now(self) -> datetime:
        return THEN


def signed(request: httpx.Request, service: str) -> Mapping[str, str]:
    signature = AwsSignature(KEY, SECRET, "us-east-1", service)
    signature.bind(AuthContext("api", At(), lambda _: None))
    return asyncio.run(signature.authorise(request))


@pytest.mark.parametrize(
    ("service", "request_", "names", "signature"),
    [
        (  # get-vanilla of the test suite
            "service",
            httpx.Request("GET", "https://example.amazonaws.com/"),
            "host;x-amz-date",
            "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31",
        ),
        (  # the worked example of the documentation
            "iam",
            httpx.Request(
                "GET",
                "https://iam.amazonaws.com/?Action=ListUsers&Version=2010-05-08",
                headers={"content-type": "application/x-www-form-urlencoded; charset=utf-8", "accept": "text/xml"},
            ),
            "content-type;host;x-amz-date",
            "5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7",
        ),
    ],
)
def test_the_published_examples(service: str, request_: httpx.Request, names: str, signature: str) -> None:
    headers = signed(request_, service)
    assert headers["x-amz-date"] == "20150830T123600Z"
    assert headers["authorization"] == (
        f"AWS4-HMAC-SHA256 Credential={KEY}/20150830/us-east-1/{service}/aws4_request, "
        f"SignedHeaders={names}, Signature={signature}"
    )


def as_aws_reckons(request: httpx.Request, secret: str, service: str) -> str:
    """The signature of what arrived, by the documentation's steps."""
    authorization = request.headers["authorization"]
    names = str(re.search(r"SignedHeaders=([^,]+)", authorization)[1])  # type: ignore[index]
    scope = str(re.search(r"Credential=[^/]+/([^,]+)", authorization)[1])  # type: ignore[index]
    target = request.url.raw_path.decode()
    path, _, query = target.partition("?")
    if service != "s3":
        path = quote(path, safe="/~")
    pairs = sorted(tuple(map(unquote, pair.partition("=")[::2])) for pair in query.split("&") if pair)
    canonical = "\n".join(
        [
            request.method,
            path,
            "&".join(f"{quote(n, safe='~')}={quote(v, safe='~')}" for n, v in pairs),
            *(f"{name}:{' '.join(request.headers[name].split())}" for name in names.split(";")),
            "",
            names,
            sha256(request.content).hexdigest(),
        ]
    )
    digest = sha256(canonical.encode()).hexdigest()
    to_sign = "\n".join(["AWS4-HMAC-SHA256", request.headers["x-amz-date"], scope, digest])
    key = f"AWS4{secret}".encode()
    for part in scope.split("/"):
        key = hmac.digest(key, part.encode(), sha256)
    return hmac.new(key, to_sign.encode(), sha256).hexdigest()


@pytest.mark.parametrize("service", ["execute-api", "s3"])
@pytest.mark.parametrize(
    ("path", "params", "body"),
    [
        ("/prod/users", {}, b'{"a": 1}'),
        ("/prod/users/a%2Fb%20c~%C3%A9", {"q": "a b+c/ä~&=", "b": "", "a": "2"}, None),
    ],
)
def test_each_attempt_is_signed_as_it_is_sent(
    service: str, path: str, params: dict[str, str], body: bytes | None
) -> None:
    options: dict[str, Any] = {"type": "aws_signature_v4", "access_key_id": KEY, "region": "eu-west-1"}
    options |= {"service": service, "secret_access_key": SECRET, "session_token": "t0ken/of+ours=="}
    account = Holder.model_validate({"auth": options}).auth.account()
    assert account.signature is not None
    arrived: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        arrived.append(request)
        said = f"{request.headers['authorization']} {request.headers['x-amz-security-token']}"
        return httpx.Response(503, json={"message": said})

    async def main() -> None:
        given = SessionOptions(auth=[account.signature], secrets=account.secrets)  # type: ignore[list-item]
        transport = httpx.MockTransport(answer)
        async with Session("api", "https://api.example", given, transport=transport, clock=VirtualClock()) as session:
            with pytest.raises(Unavailable) as failed:
                await session.send(SessionRequest("POST", path, body, params), idempotent=True)
            assert "t0ken" not in str(failed.value)

    run_virtual(main())
    assert len(arrived) > 1
    assert len({r.headers["x-amz-date"] for r in arrived}) > 1, "a repeat bears the time at which it is sent"
    for request in arrived:
        assert request.headers["authorization"].endswith(f"Signature={as_aws_reckons(request, SECRET, service)}")
        assert "x-amz-security-token" in request.headers["authorization"]
        assert "user-agent" not in request.headers["authorization"], "a proxy may change it"


def test_what_can_not_be_signed_with_is_refused_without_the_secret() -> None:
    with pytest.raises(ValidationError) as refused:
        Holder.model_validate(
            {
                "auth": {
                    "type": "aws_signature_v4",
                    "access_key_id": KEY,
                    "secret_access_key": SECRET,
                    "region": "eu west",
                }
            }
        )
    assert "region" in str(refused.value)
    assert SECRET not in repr(AwsSignature(KEY, SECRET, "eu-west-1", "s3"))

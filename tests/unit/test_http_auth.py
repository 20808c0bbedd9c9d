"""How a session shows whose it is: tokens fetched once, renewed in time and once on a 401, never said aloud."""

from __future__ import annotations

import asyncio
import datetime
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import httpx
import jwt
import pytest
from aiohttp import web
from cryptography.hazmat.primitives import serialization as s
from cryptography.hazmat.primitives.asymmetric import rsa
from pydantic import BaseModel, ConfigDict, ValidationError
from standardwebhooks.webhooks import Webhook

from revetl.clock import Clock
from revetl.errors import CallError, ConfigError, Denied, Unavailable
from revetl.http import Session, SessionOptions, SessionRequest, TokenAuth, TokenRequest, WebhookSignature
from revetl.http.auth_options import Auth, ClientCertificateOptions
from revetl.http.certificates import trusted
from revetl.testing.clocks import VirtualClock
from revetl.testing.virtual_time import run_virtual
from tests.support.certificates import authority

SECRET = "s3cret-of-ours"


class Holder(BaseModel):
    model_config = ConfigDict(extra="forbid")

    auth: Auth


def auth(**given: Any) -> Any:
    return Holder.model_validate({"auth": given}).auth


CLIENT = {
    "type": "oauth_client_credentials",
    "token_url": "https://id.example/oauth/token?tenant=9",
    "client_id": "us:er",
    "client_secret": SECRET,
    "scopes": ["a.read", "a.write"],
    "params": {"audience": "https://api.example"},
}


class Vendor:
    """Gives tokens that live `life_s`, and takes the last `kept` of them."""

    def __init__(self, life_s: int | None = 600, **answer: Any) -> None:
        self.life_s, self.answer = life_s, answer
        self.forms: list[dict[str, str]] = []
        self.asked: list[httpx.Request] = []
        self.served: list[httpx.Request] = []
        self.taken: set[str] = set()
        self.before: Callable[[httpx.Request], httpx.Response | None] = lambda _: None

    async def __call__(self, request: httpx.Request) -> httpx.Response:
        await asyncio.sleep(0.1)
        if (instead := self.before(request)) is not None:
            return instead
        if request.url.host == "id.example":
            self.asked.append(request)
            self.forms.append({k: v[0] for k, v in parse_qs(request.content.decode()).items()})
            token = f"token-{len(self.asked)}"
            self.taken.add(token)
            life = {} if self.life_s is None else {"expires_in": self.life_s}
            return httpx.Response(200, json={"access_token": token, "token_type": "bearer", **life, **self.answer})
        self.served.append(request)
        bearer = request.headers.get("authorization", "").removeprefix("Bearer ")
        return httpx.Response(200 if bearer in self.taken else 401, json={"said": bearer})


def session(vendor: Vendor, clock: Clock, given: Any = None) -> Session:
    account = (given or auth(**CLIENT)).account()
    options = SessionOptions(
        headers=account.headers,
        params=account.params,
        secrets=account.secrets,
        auth=[account.token] if account.token else [],
    )
    return Session("api", "https://api.example", options, transport=httpx.MockTransport(vendor), clock=clock)


def test_one_token_serves_all_and_is_renewed_before_it_ends() -> None:
    async def main() -> None:
        clock, vendor = VirtualClock(), Vendor(life_s=600)
        async with session(vendor, clock) as api:
            assert vendor.asked == [], "opening asks nothing"
            await asyncio.gather(*(api.request("GET", "/") for _ in range(8)))
            assert len(vendor.asked) == 1, "whoever comes meanwhile waits for the one that is fetched"
            await clock.sleep(530)
            await api.request("GET", "/")
            assert len(vendor.asked) == 1
            await clock.sleep(20)
            await api.request("GET", "/")
            assert len(vendor.asked) == 2, "a minute before its end"
        assert {r.headers["authorization"] for r in vendor.served} == {"Bearer token-1", "Bearer token-2"}
        assert vendor.asked[0].url.query == b"tenant=9"
        assert httpx.BasicAuth("us%3Aer", SECRET)._auth_header == vendor.asked[0].headers["authorization"]
        assert vendor.forms[0] == {
            "grant_type": "client_credentials",
            "audience": "https://api.example",
            "scope": "a.read a.write",
        }

    run_virtual(main())


def test_a_refused_token_is_renewed_once_and_then_it_is_denied() -> None:
    async def main() -> None:
        clock, vendor = VirtualClock(), Vendor()
        async with session(vendor, clock) as api:
            await api.request("GET", "/")
            vendor.taken.clear()
            response = await api.request("POST", "/", json={})
            assert response.status_code == 200, "not applied where it is refused, so a create too is sent again"
            assert response.extensions["attempts"] == 2
            vendor.before = lambda r: httpx.Response(401) if r.url.host == "api.example" else None
            served = len(vendor.asked)
            with pytest.raises(Denied):
                await api.request("GET", "/")
            assert len(vendor.asked) == served + 1

    run_virtual(main())


def test_many_that_are_refused_at_once_renew_it_once() -> None:
    async def main() -> None:
        clock, vendor = VirtualClock(), Vendor()
        async with session(vendor, clock) as api:
            await api.request("GET", "/")
            vendor.taken.clear()
            await asyncio.gather(*(api.request("GET", "/") for _ in range(6)))
        assert len(vendor.asked) == 2

    run_virtual(main())


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (httpx.Response(401, json={"error": "invalid_client", "error_description": SECRET}), Denied),
        (httpx.Response(400, json={"error": "invalid_grant"}), Denied),
        (httpx.Response(503), Unavailable),
        (httpx.Response(500), Unavailable),
        (httpx.Response(200, content=b"<html>"), Unavailable),
        (httpx.Response(200, json={"token_type": "bearer", "error": SECRET}), Denied),
        (httpx.Response(200, json={"access_token": "x", "token_type": "mac"}), Denied),
    ],
)
def test_without_a_token_nothing_is_sent_and_nothing_is_in_doubt(
    answer: httpx.Response, error: type[CallError], caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        clock, vendor = VirtualClock(), Vendor()
        vendor.before = lambda r: (
            httpx.Response(answer.status_code, headers=answer.headers, content=answer.content)
            if r.url.host == "id.example"
            else None
        )
        async with session(vendor, clock) as api:
            with pytest.raises(error) as raised:
                await api.request("POST", "/", json={})
        assert vendor.served == []
        assert SECRET not in str(raised.value) + caplog.text

    with caplog.at_level("DEBUG"):
        run_virtual(main())


def test_a_doubt_of_an_earlier_attempt_outlives_a_token_that_can_not_be_had() -> None:
    async def main() -> None:
        clock, vendor = VirtualClock(), Vendor(life_s=1)
        async with session(vendor, clock) as api:
            lost: list[bool] = []

            def spoil(request: httpx.Request) -> httpx.Response | None:
                if request.url.host == "api.example":
                    lost.append(True)
                    raise httpx.ReadError("cut", request=request)
                return httpx.Response(401) if lost else None

            vendor.before = spoil
            with pytest.raises(CallError) as raised:
                await api.request("PUT", "/", json={}, idempotent=True)
        assert type(raised.value).__name__ == "Ambiguous"

    run_virtual(main())


def test_no_message_holds_a_token_that_was_fetched(caplog: pytest.LogCaptureFixture) -> None:
    token = "very-secret-token"

    async def main() -> None:
        vendor = Vendor(access_token=token)
        vendor.taken.add(token)
        async with session(vendor, VirtualClock()) as api:
            response = await api.request("GET", "/")
            assert token in response.text, "the vendor repeats what it was sent"
            assert token not in api.excerpt(response) + repr(api)

    with caplog.at_level("DEBUG"):
        run_virtual(main())
    assert token not in caplog.text


def test_a_refresh_token_that_is_exchanged_is_used_from_then_on() -> None:
    async def main() -> None:
        clock, vendor = VirtualClock(), Vendor(life_s=None, refresh_token="second-refresh", scope="a.read")
        given = auth(
            type="oauth_refresh_token",
            token_url="https://id.example/t",
            client_id="c",
            client_secret=SECRET,
            client_auth="body",
            refresh_token="first-refresh",
            scopes=["a.read", "a.write"],
        )
        account = given.account()
        options = SessionOptions(auth=[account.token])
        async with Session(
            "api", "https://api.example", options, transport=httpx.MockTransport(vendor), clock=clock
        ) as api:
            await api.request("GET", "/")
            await clock.sleep(300)
            await api.request("GET", "/")
        assert [form["refresh_token"] for form in vendor.forms] == ["first-refresh", "second-refresh"]
        assert vendor.forms[0]["client_secret"] == SECRET
        assert account.token.scopes_missing == ("a.write",)

    run_virtual(main())


def test_a_jwt_is_signed_anew_each_time_and_the_vendor_can_check_it() -> None:
    key = rsa.generate_private_key(65537, 2048)
    pem = key.private_bytes(s.Encoding.PEM, s.PrivateFormat.PKCS8, s.NoEncryption()).decode()

    async def main() -> None:
        clock, vendor = VirtualClock(), Vendor(life_s=60)
        given = auth(
            type="oauth_jwt_bearer", token_url="https://id.example/t", issuer="us", private_key=pem, key_id="k1"
        )
        async with session(vendor, clock, given) as api:
            await api.request("GET", "/")
            await clock.sleep(100)
            await api.request("GET", "/")
        first, second = (form["assertion"] for form in vendor.forms)
        claims = jwt.decode(
            first,
            key.public_key(),
            ["RS256"],
            audience="https://id.example/t",
            options={"verify_exp": False, "verify_iat": False},
        )
        assert (claims["iss"], claims["sub"], claims["exp"] - claims["iat"]) == ("us", "us", 300)
        assert jwt.get_unverified_header(first)["kid"] == "k1"
        assert first != second
        assert "client_id" not in vendor.forms[0]

    run_virtual(main())


def test_a_key_that_signs_nothing_is_said_without_it() -> None:
    async def main() -> None:
        given = auth(type="oauth_jwt_bearer", token_url="https://id.example/t", issuer="us", private_key=SECRET)
        async with session(Vendor(), VirtualClock(), given) as api:
            with pytest.raises(ConfigError) as raised:
                await api.request("GET", "/")
        assert SECRET not in str(raised.value)

    run_virtual(main())


@pytest.mark.parametrize(
    ("given", "header", "query"),
    [
        ({"type": "api_key", "header": "X-Key", "value": SECRET, "prefix": "Key "}, ("x-key", f"Key {SECRET}"), ""),
        ({"type": "api_key", "query": "key", "value": SECRET}, None, f"key={SECRET}"),
        ({"type": "basic", "user": "u", "password": SECRET}, ("authorization", "Basic dTpzM2NyZXQtb2Ytb3Vycw=="), ""),
        ({"type": "bearer", "token": SECRET}, ("authorization", f"Bearer {SECRET}"), ""),
    ],
)
def test_what_is_set_once(given: dict[str, Any], header: tuple[str, str] | None, query: str) -> None:
    async def main() -> None:
        vendor = Vendor()

        def refuse(request: httpx.Request) -> httpx.Response:
            vendor.served.append(request)
            return httpx.Response(403, text=SECRET)

        async with session(vendor, VirtualClock(), auth(**given)) as api:
            vendor.before = refuse
            with pytest.raises(Denied) as raised:
                await api.request("GET", "/p")
        [sent] = vendor.served
        assert sent.url.query.decode() == query
        assert header is None or sent.headers[header[0]] == header[1]
        assert SECRET not in str(raised.value) + repr(auth(**given))

    run_virtual(main())


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"type": "api_key", "value": "x"}, "give 'header' or 'query'"),
        ({"type": "api_key", "value": "x", "header": "a", "query": "b"}, "give 'header' or 'query'"),
        ({**CLIENT, "token_url": "http://id.example/t"}, "plain http to another machine"),
        ({**CLIENT, "token_url": "https://u:p@id.example/t"}, "user name or password"),
        ({"type": "kerberos"}, "does not match any of the expected tags"),
        ({"type": "bearer", "token": "x", "tokn": "y"}, "Extra inputs"),
    ],
)
def test_what_makes_no_sense_is_refused_when_it_is_read(given: dict[str, Any], says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        auth(**given)


def test_a_signature_is_one_that_others_check_and_is_of_the_moment_it_leaves() -> None:
    secret = "whsec_c2VjcmV0LW9mLXRoZS1zdWl0ZQ=="

    async def main() -> list[tuple[dict[str, str], bytes]]:
        clock, sent = VirtualClock(), list[httpx.Request]()

        async def answer(request: httpx.Request) -> httpx.Response:
            sent.append(request)
            return httpx.Response(503 if len(sent) == 1 else 200, headers={"retry-after": "20"})

        options = SessionOptions(auth=[WebhookSignature(secret)], secrets=[secret])
        async with Session(
            "api", "https://api.example", options, transport=httpx.MockTransport(answer), clock=clock
        ) as api:
            body = b'{"n": "\xc3\xb6"}'
            await api.send(SessionRequest("POST", "/", body, {}, {"webhook-id": "msg_1"}))
            await api.request("GET", "/")
        first, second, question = sent
        assert first.headers["webhook-id"] == second.headers["webhook-id"] == "msg_1"
        assert int(second.headers["webhook-timestamp"]) >= int(first.headers["webhook-timestamp"]) + 20
        assert first.headers["webhook-signature"] != second.headers["webhook-signature"]
        assert "webhook-signature" not in question.headers
        return [(dict(r.headers), r.content) for r in (first, second)]

    signed = run_virtual(main())
    witness = Webhook(secret)
    for headers, content in signed:
        # The witness has the machine's clock; ours is virtual. Its own signature of that moment has to be ours.
        moment = datetime.datetime.fromtimestamp(int(headers["webhook-timestamp"]), datetime.UTC)
        assert witness.sign("msg_1", moment, content.decode()) == headers["webhook-signature"]


def test_a_client_certificate_is_shown_to_who_asks_for_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ours = authority("us", tmp_path)
    server_certificate, server_key = ours.sign("server", tmp_path, address="127.0.0.1")
    client_certificate, client_key = ours.sign("client", tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(ours.file))
    server_side = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server_side.load_cert_chain(server_certificate, server_key)
    server_side.load_verify_locations(ours.file)
    server_side.verify_mode = ssl.CERT_REQUIRED

    async def main() -> None:
        app = web.Application()

        async def hello(_: web.Request) -> web.Response:
            return web.Response(text="in")

        app.router.add_get("/", hello)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=server_side)
        await site.start()
        url = f"https://127.0.0.1:{runner.addresses[0][1]}"
        shown = ClientCertificateOptions(certificate=client_certificate, key=client_key).shown()
        try:
            async with Session("api", url, SessionOptions(client_certificate=shown)) as api:
                assert (await api.request("GET", "/")).text == "in"
            async with Session("api", url) as api:
                with pytest.raises(CallError):
                    await api.request("POST", "/", json={})
        finally:
            await runner.cleanup()

    asyncio.run(main())


@asynccontextmanager
async def tls_server(folder: Path, newest: ssl.TLSVersion) -> AsyncIterator[str]:
    """Its address. It speaks `newest` and what is older."""
    certificate, key = authority("them", folder).sign("server", folder, address="127.0.0.1")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    context.maximum_version = newest
    app = web.Application()

    async def hello(_: web.Request) -> web.Response:
        return web.Response(text="in")

    app.router.add_get("/", hello)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
    try:
        yield f"https://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


@pytest.mark.parametrize(
    ("newest", "agreed"), [(ssl.TLSVersion.TLSv1_3, "TLSv1.3"), (ssl.TLSVersion.TLSv1_2, "TLSv1.2")]
)
def test_the_version_of_tls_that_both_settle_on_is_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, newest: ssl.TLSVersion, agreed: str
) -> None:
    async def main() -> None:
        async with tls_server(tmp_path, newest) as url:
            monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "them.crt"))
            async with Session("api", url) as api:
                assert api.tls_version is None, "nothing is open yet"
                await api.request("GET", "/")
                assert api.tls_version == agreed

    asyncio.run(main())


@pytest.mark.parametrize("instance", ["https://eu7.example/org", "https://EU7.example:8443"])
def test_requests_go_to_the_address_that_comes_with_the_token(instance: str) -> None:
    async def main() -> None:
        vendor = Vendor(instance_url=instance)
        request = TokenRequest("https://id.example/t", lambda _: {}, "c", SECRET, api_url_in="instance_url")
        options = SessionOptions(auth=[TokenAuth(request)])
        transport = httpx.MockTransport(vendor)
        async with Session("api", "https://api.example/v1", options, transport=transport, clock=VirtualClock()) as api:
            await api.request("POST", "/a%2Fb", json={"n": 1}, params={"q": "x y"})
        [sent] = vendor.served
        assert str(sent.url).lower() == f"{instance.lower()}/a%2fb?q=x%20y"
        assert sent.headers["host"] == sent.url.netloc.decode()
        assert sent.content == b'{"n":1}'

    run_virtual(main())


@pytest.mark.parametrize(
    "instance",
    ["http://eu7.example", "https://user:pw@eu7.example", "https://eu7.example/?a=1", "https://eu7.example/#x", "eu7"],
)
def test_a_token_never_goes_to_an_address_that_no_connection_could_have(instance: str) -> None:
    async def main() -> None:
        vendor = Vendor(instance_url=instance)
        request = TokenRequest("https://id.example/t", lambda _: {}, "c", SECRET, api_url_in="instance_url")
        options = SessionOptions(auth=[TokenAuth(request)])
        transport = httpx.MockTransport(vendor)
        async with Session("api", "https://api.example", options, transport=transport, clock=VirtualClock()) as api:
            with pytest.raises(Denied, match="instance_url of the token endpoint") as refused:
                await api.request("GET", "/")
        assert "eu7" not in str(refused.value), "credentials are put there wrongly"
        assert vendor.served == []

    run_virtual(main())


def test_tls_is_1_2_at_least_and_a_certificate_that_is_not_there_is_named(tmp_path: Path) -> None:
    assert trusted({}).minimum_version is ssl.TLSVersion.TLSv1_2
    missing = ClientCertificateOptions(certificate=tmp_path / "none.pem").shown()
    with pytest.raises(ConfigError, match="names no file"):
        trusted({}, missing)
    (tmp_path / "bad.pem").write_text("no certificate")
    with pytest.raises(ConfigError, match="can't be used"):
        trusted({}, ClientCertificateOptions(certificate=tmp_path / "bad.pem").shown())

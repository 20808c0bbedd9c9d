"""What the machine and whoever answers may do: no password of the machine leaves, no answer costs more than its bound,
and what was in the way is named."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import hmac
import json
import resource
import ssl
import zlib
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest

from revetl.errors import Ambiguous, CallError, ConfigError, Unavailable
from revetl.http import Listener, Policy, ResponseRules, Session, SessionOptions
from revetl.http import body as http_body
from revetl.http.certificates import trusted
from revetl.http.proxy import proxy_for
from revetl.providers.engine.webhooks import WebhookReceiver, genuine
from revetl.providers.grammar import JobCallback
from tests.support.certificates import Authority, authority
from tests.unit.test_http_transport import closes, listening, read_request

ONCE = Policy(max_attempts=1, timeout_s=20.0)
PATIENT = Policy(max_attempts=4, timeout_s=20.0, first_backoff_s=0.001)


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("https_proxy", "HTTPS_PROXY", "no_proxy", "NO_PROXY", "SSL_CERT_FILE", "SSL_CERT_DIR"):
        monkeypatch.delenv(name, raising=False)


async def asked(
    base_url: str,
    *,
    policy: Policy = ONCE,
    rules: ResponseRules | None = None,
    headers: Mapping[str, str] | None = None,
) -> tuple[httpx.Response | CallError, int]:
    """What one request came to, and how often it was sent."""
    options = SessionOptions(policy=policy, headers=headers or {})
    async with Session("vendor", base_url, options, rules) as session:
        try:
            return await session.request("POST", "/x", json={}, idempotent=True), session.requests
        except CallError as e:
            return e, session.requests


@asynccontextmanager
async def answering(head: bytes, piece: bytes, times: int, status: bytes = b"200 OK") -> AsyncIterator[str]:
    """A server that answers with `piece`, many times over."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(b"HTTP/1.1 " + status + b"\r\n" + head + b"\r\n")
        try:
            for _ in range(times):
                writer.write(piece)
                await writer.drain()
        except ConnectionError:
            pass  # whoever reads has had enough

    async with listening(serve) as url:
        yield url


def peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


# ---- bodies ----


@pytest.mark.parametrize("declared", [True, False])
async def test_a_body_of_a_gigabyte_and_a_half_costs_no_more_than_its_bound(declared: bool) -> None:
    piece, times = b" " * 2**20, 1_500
    head = b"Content-Length: %d\r\n" % (len(piece) * times) if declared else b"Connection: close\r\n"
    before = peak_mib()
    async with answering(head, piece, times) as url:
        said, _ = await asked(url)
    assert isinstance(said, Ambiguous)
    assert "more than 32 MiB" in str(said)
    assert peak_mib() - before < 150


@pytest.mark.parametrize("coding", ["gzip", "deflate", "bare deflate"])
async def test_a_bomb_is_not_unpacked_past_the_bound(coding: str) -> None:
    pack = zlib.compressobj(1, zlib.DEFLATED, {"gzip": 31, "deflate": 15, "bare deflate": -15}[coding])
    blanks = b" " * 2**20
    body = b"".join([*(pack.compress(blanks) for _ in range(300)), pack.flush()])
    assert len(body) < 2**22
    head = b"Content-Length: %d\r\nContent-Encoding: %s\r\n" % (len(body), coding.split()[-1].encode())
    before = peak_mib()
    async with answering(head, body, 1) as url:
        said, _ = await asked(url)
    assert isinstance(said, Ambiguous)
    assert "more than 32 MiB" in str(said)
    assert peak_mib() - before < 150


def test_one_piece_of_a_bomb_gives_no_more_than_there_is_room_for() -> None:
    unpack = http_body._Unpacker("gzip")
    assert len(unpack(gzip.compress(b" " * 2**20), 1_000)) == 1_001, "one more, so that it is seen to be too much"


@pytest.mark.parametrize("coding", ["gzip, gzip", "br", "zstd", "what"])
async def test_what_is_packed_otherwise_is_a_lost_answer(coding: str) -> None:
    body = gzip.compress(gzip.compress(b" " * 2**20))
    head = b"Content-Length: %d\r\nContent-Encoding: %s\r\n" % (len(body), coding.encode())
    async with answering(head, body, 1) as url:
        said, _ = await asked(url)
    assert isinstance(said, Ambiguous)
    assert "can't be unpacked" in str(said)


@pytest.mark.parametrize("window", [31, 15, -15])
async def test_what_is_packed_is_unpacked(window: int) -> None:
    pack = zlib.compressobj(9, zlib.DEFLATED, window)
    body = pack.compress(b'{"a": "%s"}' % (b"x" * 100_000)) + pack.flush()
    coding = b"gzip" if window == 31 else b"deflate"
    head = b"Content-Length: %d\r\nContent-Encoding: %s\r\n" % (len(body), coding)
    async with answering(head, body, 1) as url:
        said, _ = await asked(url)
    assert isinstance(said, httpx.Response)
    assert said.json() == {"a": "x" * 100_000}


async def test_half_of_what_is_packed_is_a_lost_answer() -> None:
    body = gzip.compress(b'{"a": 1}' * 1_000)[:-12]
    head = b"Content-Length: %d\r\nContent-Encoding: gzip\r\n" % len(body)
    async with answering(head, body, 1) as url:
        said, _ = await asked(url)
    assert isinstance(said, Ambiguous)


@pytest.mark.parametrize(("status", "kind"), [(b"400 Bad", 400), (b"503 Away", Unavailable)])
async def test_a_refusal_is_one_however_long_its_body_is(status: bytes, kind: int | type) -> None:
    async with answering(b"Connection: close\r\n", b"x" * 2**20, 100, status) as url:
        said, _ = await asked(url)
    if isinstance(kind, int):
        assert isinstance(said, httpx.Response)
        assert (said.status_code, said.content) == (kind, b"")
    else:
        assert isinstance(said, kind)


async def test_where_the_status_says_all_a_long_body_takes_nothing_back() -> None:
    async with answering(b"Connection: close\r\n", b"x" * 2**20, 100) as url:
        said, _ = await asked(url, rules=ResponseRules(status_suffices=True))
    assert isinstance(said, httpx.Response)


async def test_a_code_without_end_is_cut_in_the_message() -> None:
    endless = "a@" * 1_000_000 + "\x1b[2J"
    rules = ResponseRules(error_code=lambda _: endless, explain=lambda _: "\x1b[2J" + endless)
    async with answering(b"Content-Length: 2\r\n", b"{}", 1, b"500 No") as url:
        said, _ = await asked(url, rules=rules)
    assert len(str(said)) < 1_000
    assert "\x1b" not in str(said)


@pytest.mark.parametrize("value", ["9" * 5_000, "1e999", "Infinity", "-inf", "nan", "Mon, 01 Jan 99999 00:00:00 GMT"])
@pytest.mark.parametrize("status", [b"429 Slow", b"503 Away"])
async def test_a_wait_that_is_no_time_is_not_believed(value: str, status: bytes) -> None:
    head = b"Content-Length: 2\r\nRetry-After: %s\r\nX-Left: %s\r\n" % (value.encode(), value.encode())
    policy = Policy(max_attempts=2, first_backoff_s=0.001, throttle_patience_s=0.01, timeout_s=5)
    async with answering(head, b"{}", 1, status) as url:
        said, _ = await asked(url, policy=policy)
    assert isinstance(said, CallError)
    assert "nan" not in str(said)


# ---- the machine ----


async def test_no_password_of_netrc_leaves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    netrc = tmp_path / ".netrc"
    netrc.write_text("default login alice password netrcsecret\nmachine localhost login alice password netrcsecret\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    heads: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append((await read_request(reader)).lower())
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")

    ca = authority("ours", tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(ca.file))
    async with tls_server(ca, tmp_path, serve) as url:
        for headers in ({"x-api-key": "k"}, {"authorization": "Bearer t"}):
            said, _ = await asked(url, headers=headers)
            assert isinstance(said, httpx.Response), said
    assert b"authorization" not in heads[0]
    assert heads[1].count(b"authorization: bearer t") == 1


@asynccontextmanager
async def tls_server(ca: Authority, folder: Path, serve: object) -> AsyncIterator[str]:
    certificate, key = ca.sign("server", folder, address="127.0.0.1")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await serve(reader, writer)  # type: ignore[operator]
        finally:
            writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0, ssl=context)
    async with server:
        yield f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}"


async def test_a_certificate_that_is_not_trusted_is_named_at_once(tmp_path: Path) -> None:
    async with tls_server(authority("strange", tmp_path), tmp_path, closes) as url:
        said, requests = await asked(url, policy=PATIENT)
    assert isinstance(said, Unavailable)
    assert "its certificate is not trusted" in str(said)
    assert "SSL_CERT_FILE" in str(said)
    assert "not permitted" not in str(said)
    assert requests == 1


async def test_a_port_without_tls_is_named() -> None:
    async def plain(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")

    async with listening(plain) as url:
        said, _ = await asked(url.replace("http:", "https:"))
    assert isinstance(said, Unavailable)
    assert "no TLS connection" in str(said)


async def test_a_host_that_nobody_knows_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    said, _ = await asked("https://no-such-host.invalid")
    assert isinstance(said, Unavailable)
    assert "no such host" in str(said) or "no name server answered" in str(said)


async def test_a_proxy_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    async with listening(closes) as url:
        pass
    monkeypatch.setenv("HTTPS_PROXY", url.replace("http://", "http://alice:s3cret@"))
    said, _ = await asked("https://vendor.example")
    assert isinstance(said, Unavailable)
    assert f"the proxy {url.removeprefix('http://')} that HTTPS_PROXY names: Connection refused" in str(said)
    assert "s3cret" not in str(said)


@pytest.mark.parametrize(("status", "requests"), [(407, 1), (403, 1), (502, 4)])
async def test_a_proxy_that_refuses_is_named(status: int, requests: int, monkeypatch: pytest.MonkeyPatch) -> None:
    heads: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(b"HTTP/1.1 %d No\r\nContent-Length: 0\r\n\r\n" % status)

    async with listening(serve) as url:
        monkeypatch.setenv("HTTPS_PROXY", url.replace("http://", "http://alice:s3cret@"))
        said, sent = await asked("https://vendor.example", policy=PATIENT)
    assert isinstance(said, Unavailable)  # nothing of the request left
    assert f"the proxy that HTTPS_PROXY names answered {status}" in str(said)
    assert sent == requests
    assert heads[0].startswith(b"CONNECT vendor.example:443 ")
    assert b"proxy-authorization: basic" in heads[0].lower()


async def test_plain_http_to_this_machine_takes_no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    async with answering(b"Content-Length: 2\r\n", b"{}", 1) as url:
        said, _ = await asked(url)
    assert isinstance(said, httpx.Response)


PROXY = {"HTTPS_PROXY": "http://proxy.example:3128"}


@pytest.mark.parametrize(
    ("url", "listed", "taken"),
    [
        ("https://api.vendor.example", "", True),
        ("https://api.vendor.example", "*", False),
        ("https://api.vendor.example", "vendor.example", False),
        ("https://api.vendor.example", ".vendor.example", False),
        ("https://api.vendor.example", "*.vendor.example", False),
        ("https://vendor.example", ".vendor.example", False),
        ("https://myvendor.example", "vendor.example", True),
        ("https://api.vendor.example", "other.example, api.vendor.example:443", False),
        ("https://api.vendor.example:8443", "api.vendor.example:443", True),
        ("https://10.1.2.3", "10.0.0.0/8", False),
        ("https://11.1.2.3", "10.0.0.0/8", True),
        ("https://[::1]", "::1", False),
        ("https://[::1]:8443", "[::1]:8443", False),
        ("https://API.vendor.example.", "Vendor.Example", False),
    ],
)
def test_no_proxy_lists_who_is_asked_directly(url: str, listed: str, taken: bool) -> None:
    assert (proxy_for(url, PROXY | {"NO_PROXY": listed}) is not None) is taken


def test_the_small_name_comes_first_and_an_empty_one_is_none() -> None:
    both = {"https_proxy": "http://small.example:1", "HTTPS_PROXY": "http://large.example:2"}
    assert "small" in str(proxy_for("https://a.example", both))
    assert proxy_for("https://a.example", {"HTTPS_PROXY": ""}) is None
    assert proxy_for("https://a.example", {"ALL_PROXY": "http://all.example:1"}) is None
    assert "bare.example:3128" in str(proxy_for("https://a.example", {"HTTPS_PROXY": "bare.example:3128"}))


@pytest.mark.parametrize(
    "value",
    [
        *("socks5://s3cret.example:1080", "socks5h://a:s3cret@b:1", "https://s3cret.example:3128", "ftp://s3cret"),
        *("http://", "http://s3cret.example:99999", "http://s3cret.example:port", "http://[s3cret", "s3cret example"),
        *("http://s3cret.example\n:3128", "http://\x00s3cret", "://s3cret"),
    ],
)
def test_a_proxy_that_can_not_be_used_is_a_mistake_of_the_variable(value: str) -> None:
    with pytest.raises(ConfigError) as e:
        proxy_for("https://a.example", {"HTTPS_PROXY": value})
    assert "HTTPS_PROXY" in str(e.value)
    assert "s3cret" not in str(e.value)


def test_certificates_that_are_not_there_are_a_mistake_of_the_variable(tmp_path: Path) -> None:
    text = tmp_path / "text.pem"
    text.write_text("no certificate")
    for environ in (
        {"SSL_CERT_FILE": str(tmp_path / "missing.pem")},
        {"SSL_CERT_FILE": str(tmp_path)},
        {"SSL_CERT_FILE": str(text)},
        {"SSL_CERT_DIR": str(tmp_path / "missing")},
    ):
        ((variable, value),) = environ.items()
        with pytest.raises(ConfigError) as e:
            trusted(environ)
        assert variable in str(e.value)
        assert value in str(e.value)


async def test_missing_certificates_reach_whoever_asks_as_a_mistake_of_the_variable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "missing.pem"))
    with pytest.raises(ConfigError, match=r"missing\.pem"):
        await asked("https://127.0.0.1:1")


def test_the_keys_of_connections_are_written_nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSLKEYLOGFILE", str(tmp_path / "keys"))
    context = trusted()
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname
    assert context.keylog_filename is None
    assert not (tmp_path / "keys").exists()


@pytest.mark.parametrize("token", ["s3cret\n", "s3cret\r\nx: y", " s3cret", "s3cret\x00", "s3crét", "s3\tcret"])
def test_a_token_that_no_header_can_hold_is_a_configuration_error(token: str) -> None:
    with pytest.raises(ConfigError) as e:
        Session("vendor", "https://vendor.example", SessionOptions(headers={"x-api-key": token}))
    assert "vendor" in str(e.value)
    assert "s3" not in str(e.value)


# ---- deliveries ----


async def delivered(*requests: bytes, longest_s: float = 5.0) -> tuple[list[bytes], list[bytes]]:
    """The status lines that raw requests to the listener are answered with, and the bodies that it handed on."""
    taken: list[bytes] = []

    def take(_: str, __: Mapping[str, str], body: bytes) -> int:
        taken.append(body)
        return 200

    async def one(port: int, request: bytes) -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            writer.write(request)
            return await asyncio.wait_for(reader.readline(), longest_s)
        except ConnectionError:
            return b"closed"
        finally:
            writer.close()

    async with Listener(0, take) as listener:
        lines = await asyncio.gather(*(one(listener.port, request) for request in requests))
    return list(lines), taken


def post(body: bytes, *headers: str) -> bytes:
    head = "\r\n".join(["POST /callbacks/x HTTP/1.1", "Host: x", f"Content-Length: {len(body)}", *headers])
    return head.encode("latin-1") + b"\r\n\r\n" + body


async def test_a_delivery_is_bounded_packed_or_not() -> None:
    bomb = gzip.compress(b" " * (64 * 2**20), 1)
    lines, taken = await delivered(
        post(b" " * (17 * 2**20)), post(bomb, "Content-Encoding: gzip"), post(b"{}", "X-Odd: \xff\xfe")
    )
    assert b"413" in lines[0]
    assert b"200" not in lines[1]
    assert b"200" in lines[2]
    assert taken == [b"{}"]


async def test_deliveries_that_drip_hold_nobody_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("revetl.http.listener.LONGEST_S", 0.2)
    dripping = [post(b"x" * 100)[:-50]] * 20
    lines, taken = await delivered(*dripping, post(b"{}"))
    assert b"200" in lines[-1]
    assert all(b"408" in line for line in lines[:-1])
    assert taken == [b"{}"]


CALLBACK = {"at": "/url", "id": "/id", "wait_s": 1, "signature": {"header": "x-sign", "algorithm": "hmac-sha256"}}


def test_deliveries_that_nobody_waits_for_take_no_more_than_their_bound() -> None:
    callback = JobCallback.model_validate(CALLBACK)
    receiver = WebhookReceiver("https://us.example", 0, "a-secret-key")
    receiver.address("acme.bulk", callback)

    def deliver(job: str) -> int:
        raw = json.dumps({"id": job, "of": "x" * 2**20}).encode()
        sign = hmac.new(b"a-secret-key", raw, hashlib.sha256).hexdigest()
        return receiver.take("/callbacks/acme.bulk", {"x-sign": sign}, raw)

    assert {deliver("same") for _ in range(50)} == {200}
    assert receiver.inbox("acme.bulk", "same").qsize() <= 8
    assert {deliver(f"job-{n}") for n in range(100)} == {200}
    assert sum(receiver.inbox("acme.bulk", f"job-{n}").qsize() for n in range(100)) <= 64
    assert deliver("..") == 400


def test_a_signature_that_is_no_text_is_none() -> None:
    callback = JobCallback.model_validate(CALLBACK)
    assert not genuine(callback.signature, "a-secret-key", {"x-sign": "\udcff"}, b"{}")

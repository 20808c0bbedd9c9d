"""The real transport on loopback: which of its failures mean that nothing was sent."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from revetl.errors import Ambiguous, CallError, Unavailable
from revetl.http import Policy, Session, SessionOptions, default_transport

Server = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nSet-Cookie: a=b\r\n\r\n{}"


@asynccontextmanager
async def listening(serve: Server) -> AsyncIterator[str]:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await serve(reader, writer)
        finally:
            writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


async def outcome(base_url: str, *, idempotent: bool = False, max_attempts: int = 1) -> object:
    policy = Policy(max_attempts=max_attempts, timeout_s=0.5, first_backoff_s=0.01)
    async with Session("vendor", base_url, SessionOptions(policy=policy)) as session:
        try:
            return (await session.request("POST", "/x", json={}, idempotent=idempotent)).content
        except CallError as e:
            return e


async def read_request(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readuntil(b"\r\n\r\n")
    return head + await reader.readexactly(2)


async def closes(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await read_request(reader)


async def resets(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await read_request(reader)
    writer.transport.abort()


async def cuts(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await read_request(reader)
    writer.write(ANSWER.replace(b"2\r\n", b"9\r\n"))


async def babbles(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await read_request(reader)
    writer.write(b"what?\r\n\r\n")


async def sleeps(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await read_request(reader)
    await reader.read()


async def lies_about_gzip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await read_request(reader)
    writer.write(ANSWER.replace(b"\r\n\r\n", b"\r\nContent-Encoding: gzip\r\n\r\n"))


@pytest.mark.parametrize("serve", [closes, resets, cuts, babbles, sleeps, lies_about_gzip])
async def test_once_it_was_sent_nothing_is_certain(serve: Server) -> None:
    async with listening(serve) as url:
        assert isinstance(await outcome(url), Ambiguous)


async def test_nobody_listens() -> None:
    async with listening(closes) as url:
        pass
    assert isinstance(await outcome(url), Unavailable)


async def test_a_lost_answer_is_asked_for_again() -> None:
    count = iter(range(10))

    async def once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        if next(count):
            writer.write(ANSWER)

    async with listening(once) as url:
        assert await outcome(url, idempotent=True, max_attempts=2) == b"{}"


async def test_connections_are_reused_and_cookies_are_not() -> None:
    connections, requests = [], []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.append(1)
        for _ in range(3):
            requests.append((await read_request(reader)).lower())
            writer.write(ANSWER)
        await reader.read()

    async with listening(serve) as url, Session("vendor", url) as session:
        for _ in range(3):
            await session.request("POST", "/x", json={})
    assert len(connections) == 1
    assert len(requests) == 3
    assert not any(b"cookie" in r for r in requests)


async def test_certificates_are_verified() -> None:
    client = default_transport("https://vendor.example").get_client()
    context = client.connector._ssl
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname
    await client.close()


async def test_what_was_not_reached_is_named_with_the_systems_word_for_it() -> None:
    async with listening(closes) as base_url:
        pass  # the port is free again
    said = str(await outcome(base_url))
    assert said == f"vendor was not reached at {base_url.removeprefix('http://')} (Connection refused): POST /x"


async def test_the_attempts_of_one_request_may_be_fewer_than_the_policys() -> None:
    async with listening(closes) as base_url:
        pass
    policy = Policy(first_backoff_s=60.0)
    async with Session("vendor", base_url, SessionOptions(policy=policy)) as session:
        with pytest.raises(Unavailable):
            await session.request("GET", "/x", idempotent=True, policy=replace(policy, max_attempts=1))
        assert (session.requests, session.retries) == (1, 0)

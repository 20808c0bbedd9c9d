"""The transport that talks to the world: httpx's interface over aiohttp's connections."""

from __future__ import annotations

from urllib.parse import urlsplit

import aiohttp
import httpx
from httpx_aiohttp import AiohttpTransport


def default_transport(base_url: str, connections: int = 100) -> httpx.AsyncBaseTransport:
    """Certificates are verified. The proxies of the environment serve https only: plain http goes to this machine,
    and through a proxy it would take the token to another one. No cookie is kept."""
    https = urlsplit(base_url).scheme == "https"

    def client() -> aiohttp.ClientSession:
        connector = aiohttp.TCPConnector(limit=connections, ttl_dns_cache=300)
        return aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar(), trust_env=https)

    transport: httpx.AsyncBaseTransport = AiohttpTransport(client=client, verify=https)
    return transport

"""The transport that talks to the world: httpx's interface over aiohttp's connections."""

from __future__ import annotations

from urllib.parse import urlsplit

import aiohttp
import httpx
from httpx_aiohttp import AiohttpTransport

# The two types of httpx that the rest of the house may name: what answers, and the seam that tests replace.
Response = httpx.Response
Transport = httpx.AsyncBaseTransport


def default_transport(base_url: str, connections: int = 100) -> Transport:
    """Certificates are verified against httpx's store (certifi, or SSL_CERT_FILE). The environment's proxies serve
    https only: plain http goes to this machine, and through a proxy it would take the token to another one. No cookie
    is kept."""
    https = urlsplit(base_url).scheme == "https"

    def client() -> aiohttp.ClientSession:
        verifying = httpx.create_ssl_context() if https else True
        connector = aiohttp.TCPConnector(limit=connections, ttl_dns_cache=300, ssl=verifying)
        return aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar(), trust_env=https)

    # The transport's own context is not used, since the client brings one: not verifying saves loading it twice.
    transport: Transport = AiohttpTransport(client=client, verify=False)
    return transport

"""The transport that talks to the world: httpx's interface over aiohttp's connections."""

from __future__ import annotations

from urllib.parse import urlsplit

import aiohttp
import httpx
from httpx_aiohttp import AiohttpTransport

from revetl.http.auth import ClientCertificate
from revetl.http.certificates import TlsContext, trusted
from revetl.http.proxy import proxy_for

# The two types of httpx that the rest of the house may name: what answers, and the seam that tests replace.
Response = httpx.Response
Transport = httpx.AsyncBaseTransport


class NetworkTransport(AiohttpTransport):
    """The network's own. `tls`: what its connections are made with; None for plain http, and before the first."""

    tls: TlsContext | None = None

    @property
    def tls_version(self) -> str | None:
        """Of the connection that was opened last, as `TLSv1.3`."""
        return self.tls.agreed if self.tls is not None else None


def default_transport(
    base_url: str, connections: int = 100, client_certificate: ClientCertificate | None = None
) -> Transport:
    """Certificates are verified (`certificates.py`), the proxy is what HTTPS_PROXY says (`proxy.py`), no cookie is
    kept. Nothing else of the environment counts: aiohttp's `trust_env` would send the passwords of `~/.netrc` along.

    ConfigError for a proxy or a `client_certificate` that can't be used, here; for other certificates that can't be
    read, at the first request."""
    https = urlsplit(base_url).scheme == "https"

    def client() -> aiohttp.ClientSession:
        if https:
            transport.tls = trusted(client=client_certificate)
        verifying = transport.tls if transport.tls is not None else True
        connector = aiohttp.TCPConnector(limit=connections, ttl_dns_cache=300, ssl=verifying)
        return aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar(), trust_env=False)

    if client_certificate is not None:
        trusted(client=client_certificate)
    # The transport's own context is not used, since the client brings one: not verifying saves loading it twice.
    transport = NetworkTransport(client=client, verify=False, proxy=proxy_for(base_url))
    return transport

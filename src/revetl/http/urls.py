"""Which addresses revetl talks to: https anywhere, plain http to this machine only, unless the connection says so."""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit

import httpx

from revetl.errors import ConfigError


def check_url(url: str, *, allow_insecure: bool = False, what: str = "base_url") -> str:
    """The address without a trailing slash. ConfigError where a token could leak through it; the message never
    repeats the address, since that is where credentials are wrongly put."""
    try:
        parts = urlsplit(url)
        host = parts.hostname
        _ = parts.port  # reading it is what checks it
        httpx.URL(url)  # a name that can't be one (xn--, empty labels, longer than DNS has) is refused here
    except (ValueError, httpx.InvalidURL):
        raise ConfigError(f"{what} is not a valid address") from None
    if parts.scheme not in ("http", "https"):
        raise ConfigError(f"{what} must begin with https://")
    if not host:
        raise ConfigError(f"{what} has no host")
    if parts.username is not None or parts.password is not None:
        raise ConfigError(f"{what} holds a user name or password", hint="give the secret as token or header instead")
    if parts.fragment:
        raise ConfigError(f"{what} must not hold a fragment (#…)")
    if any(c.isspace() or not c.isprintable() for c in url):
        raise ConfigError(f"{what} holds a blank or a control character")
    if parts.scheme == "http" and not (allow_insecure or is_loopback(host)):
        raise ConfigError(
            f"{what} is plain http to another machine: the token would travel in the open",
            hint="use https://, or set allow_insecure: true on the connection",
        )
    return url.rstrip("/")


def is_loopback(host: str) -> bool:
    """Whether the host names this machine, without asking DNS."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False

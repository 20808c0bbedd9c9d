"""The proxy between us and a vendor: what HTTPS_PROXY and NO_PROXY say. Nothing else of the environment has a say in
where a request goes or what it carries: no ALL_PROXY, no system settings, no `~/.netrc`."""

from __future__ import annotations

import ipaddress
import os
from base64 import b64encode
from collections.abc import Mapping
from urllib.parse import SplitResult, unquote, urlsplit

import httpx

from revetl.errors import ConfigError

# As curl reads them, the small name first: programs that set both mean the small one.
_PROXY = ("https_proxy", "HTTPS_PROXY")
_NO_PROXY = ("no_proxy", "NO_PROXY")
_DEFAULT_PORT = 443


def proxy_for(base_url: str, environ: Mapping[str, str] | None = None) -> httpx.Proxy | None:
    """The proxy for this address, with its user and password where the variable holds them; None where it is asked
    directly. Plain http is never sent through one: it goes to this machine, and would take the token to another.

    ConfigError for what is no http proxy. The message names the variable and never its value, which may hold a
    password.
    """
    env = os.environ if environ is None else environ
    target = urlsplit(base_url)
    variable = next((name for name in _PROXY if env.get(name)), None)
    if variable is None or target.scheme != "https":
        return None
    excepted = next((env[name] for name in _NO_PROXY if env.get(name)), "")
    if _is_excepted(target.hostname or "", target.port or _DEFAULT_PORT, excepted):
        return None
    return _parsed(variable, env[variable])


def _parsed(variable: str, value: str) -> httpx.Proxy:
    hint = f"{variable} is http://[user:password@]host:port; NO_PROXY names the hosts that are asked directly."
    address = value if "://" in value else f"http://{value}"
    try:
        parts = urlsplit(address)
        host, _ = parts.hostname, parts.port  # reading them is what checks them
        odd = any(c.isspace() or not c.isprintable() for c in address)
        proxy = _made(parts) if host and not odd and parts.scheme == "http" else None
    except (ValueError, httpx.InvalidURL):
        raise ConfigError(f"{variable} does not hold the address of a proxy", hint=hint) from None
    if proxy is None and host and not odd and parts.scheme.isalnum():
        raise ConfigError(f"{variable} names a {parts.scheme} proxy, which revetl can't use", hint=hint)
    if proxy is None:
        raise ConfigError(f"{variable} does not hold the address of a proxy", hint=hint)
    return proxy


def _made(parts: SplitResult) -> httpx.Proxy:
    """Its user and password go in the header that asks for the tunnel, to the proxy alone."""
    headers = {}
    if parts.username is not None:
        pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        headers["Proxy-Authorization"] = "Basic " + b64encode(pair.encode()).decode("ascii")
    return httpx.Proxy(f"http://{parts.netloc.rpartition('@')[2]}", headers=headers)


def _is_excepted(host: str, port: int, listed: str) -> bool:
    """Whether NO_PROXY lists the host: by its name, a domain that it is in (with or without a leading dot), its address
    or a network that holds it, each with or without a port; `*` lists all."""
    host = host.lower().rstrip(".")
    for raw in listed.replace(",", " ").split():
        entry = raw.lower()
        if entry == "*":
            return True
        name, colon, number = entry.rpartition(":")
        if colon and number.isascii() and number.isdigit() and (":" not in name or name.endswith("]")):
            if int(number[:6]) != port:
                continue
            entry = name
        entry = entry.strip("[]")
        if _same_network(host, entry):
            return True
        domain = entry.removeprefix("*").strip(".")
        if domain and (host == domain or host.endswith(f".{domain}")):
            return True
    return False


def _same_network(host: str, entry: str) -> bool:
    try:
        return ipaddress.ip_address(host) in ipaddress.ip_network(entry, strict=False)
    except ValueError:
        return False

"""An address that an API gives: of a next page, of a job. Credentials go with the request that it becomes, so it has to
lie below the account's own address: whoever can write into an answer must not choose who is asked."""

from __future__ import annotations

from urllib.parse import parse_qsl, unquote, urljoin, urlsplit

from revetl.errors import Denied
from revetl.http import Response, SessionRequest

_PORTS = {"http": 80, "https": 443}


def linked_next(response: Response) -> str | None:
    """Of the header `Link` with `rel="next"` (RFC 8288)."""
    found = response.links.get("next", {}).get("url")
    return found or None


def request_of_address(
    name: str, base_url: str, asked: SessionRequest, address: str, what: str = "the next page"
) -> SessionRequest:
    """The question for what stands at `address`, which may be relative to what was `asked`. Denied for one that lies
    elsewhere: at another host or port, by another scheme, above the base_url, or with a user in it."""
    base = urlsplit(base_url.rstrip("/"))
    try:
        url = urlsplit(urljoin(f"{base.geturl()}{asked.path}", address))
        same = (url.scheme, url.hostname, _port(url.scheme, url.port)) == (
            base.scheme,
            base.hostname,
            _port(base.scheme, base.port),
        )
    except ValueError:  # what is no address at all
        raise Denied(f"{name}: {what} of {asked.target} has no address that can be read") from None
    below = url.path.startswith(f"{base.path}/") and ".." not in unquote(url.path).split("/")
    if not same or not below or url.username is not None or any(c.isspace() or c in "\\" for c in url.path):
        raise Denied(f"{name}: {what} of {asked.target} lies elsewhere than {base_url}, and is not asked for")
    pairs = parse_qsl(url.query, keep_blank_values=True)
    params = dict(pairs)
    if len(params) != len(pairs):
        raise Denied(f"{name}: {what} of {asked.target} repeats a parameter, which can't be asked for")
    return SessionRequest("GET", url.path.removeprefix(base.path), params=params, shown_as=asked.target)


def _port(scheme: str, port: int | None) -> int | None:
    return _PORTS.get(scheme) if port is None else port

"""Answers as nobody should give them: documents with any part replaced, bodies that are none, headers that lie."""

from __future__ import annotations

import copy
import json
import random
from typing import Any

import httpx

_LEAVES: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1.5, -0.0, 2**63, 10**30, 10**400, 1e308),
    *("", " ", "²", "٣", "1e999999999", "9" * 5_000, "\x00", "\ud800", "\x1b]0;x\x07", "\u202e", "many", ".."),
    *("x@" * 5_000, "a" * 50_000, "2024-13-45", "0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59"),
    *([], {}, [[]], [None], ["x"], [1, {}], {"id": 1}, {"next": {"after": "1"}}, {"value": {}}),
)
_BODIES: tuple[bytes, ...] = (
    *(b"", b"null", b"[]", b"{}", b"true", b'"text"', b"[", b"NaN", b"<html>", b"1" * 5_000, b'"\\ud800"'),
    *(b"[" * 200_000, b'{"a":' * 100_000, b"[" * 60 + b"]" * 60, b'{"results":' * 900 + b"1" + b"}" * 900),
    *(b"\xff\xfe{\x00}\x00", b"\xef\xbb\xbf{}", b"\xff\xff", b'{"results": [1e999], "total": 1e999}'),
)
_STATUSES = (200, 200, 201, 202, 204, 207, 301, 400, 401, 403, 404, 409, 423, 429, 477, 500, 501, 503, 524)
_HEADERS: tuple[tuple[str, str], ...] = (
    *(("retry-after", v) for v in ("9" * 400, "1e999", "nan", "-1", "soon", "Mon, 01 Jan 99999 00:00:00 GMT")),
    *(("content-type", f"application/json; charset={c}") for c in ("zlib", "hex", "utf-16", "rot13", "no-such", "")),
    *((f"x-hubspot-ratelimit-{n}", v) for n in ("max", "remaining", "daily-remaining") for v in ("9" * 5_000, "²")),
)


def mutated(document: Any, rng: random.Random) -> Any:
    """A copy with one to three of its parts replaced, taken out or repeated."""
    document = copy.deepcopy(document)
    for _ in range(rng.randint(1, 3)):
        places = _places(document)
        if not places:
            return rng.choice(_LEAVES)
        holder, at = rng.choice(places)
        what = rng.random()
        if what < 0.8:
            holder[at] = copy.deepcopy(rng.choice(_LEAVES))
        elif what < 0.9:
            del holder[at]
        elif isinstance(holder, list):
            holder.extend([copy.deepcopy(holder[at])] * rng.choice((1, 50)))
    return document


def _places(document: Any) -> list[tuple[Any, Any]]:
    found, waiting = [], [document]
    while waiting:
        holder = waiting.pop()
        if isinstance(holder, dict | list):
            keys = list(holder) if isinstance(holder, dict) else range(len(holder))
            found += [(holder, key) for key in keys]
            waiting += [holder[key] for key in keys]
    return found


def hostile(genuine: httpx.Response, rng: random.Random) -> httpx.Response:
    """In place of a genuine answer: most often the same one with something in it changed."""
    what = rng.random()
    status, body = genuine.status_code, genuine.content
    if what < 0.75 and body:
        body = json.dumps(mutated(json.loads(body), rng)).encode()
    elif what < 0.9:
        body = rng.choice(_BODIES)
    if rng.random() < 0.25:
        status = rng.choice(_STATUSES)
    headers = [(n.encode(), v.encode()) for n, v in (rng.choice(_HEADERS),)] if rng.random() < 0.25 else []
    return httpx.Response(status, headers=headers, content=body)

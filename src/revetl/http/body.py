"""Reads the body of an answer within a bound, however large it is or would become.

A vendor, a proxy or whoever answers in their place decides what comes. A body is read piece by piece; what passes the
bound, packed or unpacked, is not read further and its connection is closed.
"""

from __future__ import annotations

import zlib

import httpx

_PACKED = {"gzip": 16 + zlib.MAX_WBITS, "x-gzip": 16 + zlib.MAX_WBITS, "deflate": zlib.MAX_WBITS}


async def read_body(response: httpx.Response, most_bytes: int) -> httpx.Response:
    """The same answer with its body read and unpacked. One that is longer than `most_bytes` is given without any of it,
    and `too_large` says so. httpx.DecodingError where it is packed in a way that was not asked for, or not whole."""
    if response.is_stream_consumed:  # a transport in memory
        return response if len(response.content) <= most_bytes else _emptied(response)
    said = response.headers.get("content-length", "")
    if said.isascii() and said.isdigit() and (len(said) > 15 or int(said) > most_bytes):
        return _emptied(response)
    unpack = _Unpacker(response.headers.get("content-encoding", ""))
    pieces: list[bytes] = []
    came = held = 0
    async for piece in response.aiter_raw():
        came += len(piece)
        plain = unpack(piece, most_bytes - held)
        held += len(plain)
        if came > most_bytes or held > most_bytes:
            return _emptied(response)
        pieces.append(plain)
    unpack.check_whole(came)
    return _with_body(response, b"".join(pieces))


def too_large(response: httpx.Response) -> bool:
    """Whether its body was longer than was allowed, and so is not there."""
    return bool(response.extensions.get("revetl.too_large"))


class _Unpacker:
    def __init__(self, coding: str) -> None:
        name = coding.strip().lower()
        self._may_be_bare = name == "deflate"
        self._zlib = None
        if name in _PACKED:
            self._zlib = zlib.decompressobj(_PACKED[name])
        elif name not in ("", "identity"):  # also two one over the other: only bombs are packed twice
            raise httpx.DecodingError("packed in a way that was not asked for")

    def __call__(self, piece: bytes, room: int) -> bytes:
        """At most one byte more than there is room for."""
        if self._zlib is None:
            return piece
        try:
            return self._zlib.decompress(piece, max(room, 0) + 1)
        except zlib.error as e:
            if not self._may_be_bare:
                raise httpx.DecodingError(str(e)) from e
        finally:
            self._may_be_bare = False
        # `deflate` is zlib's form by the standard, and the bare one of many servers.
        self._zlib = zlib.decompressobj(-zlib.MAX_WBITS)
        return self(piece, room)

    def check_whole(self, came: int) -> None:
        if self._zlib is not None and came and not self._zlib.eof:
            raise httpx.DecodingError("the packed body breaks off")


def _emptied(response: httpx.Response) -> httpx.Response:
    emptied = _with_body(response, b"")
    emptied.extensions["revetl.too_large"] = True
    return emptied


def _with_body(response: httpx.Response, body: bytes) -> httpx.Response:
    left_out = {b"content-encoding", b"content-length", b"transfer-encoding"}
    headers = [(name, value) for name, value in response.headers.raw if name.lower() not in left_out]
    read = httpx.Response(response.status_code, headers=headers, content=body, extensions=response.extensions)
    read.request = response.request
    return read

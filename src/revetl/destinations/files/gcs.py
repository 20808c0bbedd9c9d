"""A bucket of Google Cloud Storage, by its JSON API. Facts: docs/design/files.md."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, urlsplit

from revetl.clock import Clock
from revetl.destinations.files.options import GcsOptions, Location
from revetl.destinations.files.spool import SpooledFile
from revetl.errors import Ambiguous, Denied, Unavailable
from revetl.http import Policy, Response, ResponseRules, ResponseVerdict, Session, SessionOptions, Transport
from revetl.http.attempt import SessionRequest
from revetl.http.service_account import service_account_token
from revetl.json_documents import parse_json

_SCOPE = "https://www.googleapis.com/auth/devstorage.read_write"
_CHUNK_BYTES = 32 * 2**18  # a multiple of 256 KiB (docs)
_MORE = 308  # so far so good, of a piece that is not the last
_EXISTS, _GONE = 412, 404


class GcsStore:
    """A resumable upload with `ifGenerationMatch=0` makes an object only where none stands, whole or not at all:
    nothing is seen before its last piece. One that breaks off is begun anew."""

    def __init__(
        self, name: str, place: Location, options: GcsOptions, clock: Clock, transport: Transport | None = None
    ) -> None:
        self._name, self._place = name, place
        token = service_account_token(
            f"{name}: gcs: service_account", options.service_account.get_secret_value(), _SCOPE
        )
        self._session = Session(
            name,
            options.base_url,
            SessionOptions(auth=[token], policy=Policy(timeout_s=120.0)),
            ResponseRules(
                verdicts={
                    _MORE: ResponseVerdict.OK,
                    _EXISTS: ResponseVerdict.REJECTED,
                    _GONE: ResponseVerdict.REJECTED,
                }
            ),
            transport=transport,
            clock=clock,
        )
        self._is_open = False

    async def check(self) -> str:
        found = await self._asked(SessionRequest("GET", f"/storage/v1/b/{quote(self._place.host, safe='')}"))
        if not found.is_success:
            raise Denied(f"{self._name}: the bucket {self._place.host} answered {found.status_code}")
        return f"the bucket {self._place.host}"

    async def create(self, path: str, file: SpooledFile) -> bool:
        said = {"metadata": {"sha256": file.sha256}, "md5Hash": await asyncio.to_thread(_md5, file)}
        target = f"/upload/storage/v1/b/{quote(self._place.host, safe='')}/o"
        begun = await self._asked(
            SessionRequest(
                "POST",
                target,
                json.dumps(said).encode(),
                {"uploadType": "resumable", "name": self._object(path), "ifGenerationMatch": "0"},
                {"content-type": "application/json", "x-upload-content-length": str(file.bytes)},
            )
        )
        if begun.status_code == _EXISTS:
            return False
        upload = urlsplit(begun.headers.get("location", ""))
        if not begun.is_success or not upload.path:
            raise Denied(f"{self._name}: the bucket {self._place.host} answered {begun.status_code}")
        return await self._send(f"{upload.path}?{upload.query}", target, file)

    async def _send(self, upload: str, shown_as: str, file: SpooledFile) -> bool:
        """`upload`: where the pieces go, at the host that was asked, whatever host it names."""
        sent = 0
        while True:
            piece = await asyncio.to_thread(file.content.read, _CHUNK_BYTES)
            until = sent + len(piece)
            range_ = f"bytes {sent}-{until - 1}/{file.bytes}"
            headers = {"content-range": range_, "content-type": "application/octet-stream"}
            is_last = until == file.bytes
            try:
                answer = await self._session.send(SessionRequest("PUT", upload, piece, {}, headers, shown_as))
            except Ambiguous as e:
                if is_last:
                    raise
                raise Unavailable(str(e), code=e.code, status=e.status) from None
            if answer.status_code == _EXISTS:
                return False
            if is_last and answer.is_success:
                return True
            if is_last or answer.status_code != _MORE:
                raise Unavailable(f"{self._name}: the upload broke off with {answer.status_code}")
            sent = until

    async def holds(self, path: str, file: SpooledFile) -> bool:
        target = f"/storage/v1/b/{quote(self._place.host, safe='')}/o/{quote(self._object(path), safe='')}"
        found = await self._asked(SessionRequest("GET", target))
        if not found.is_success:
            return False
        data: Mapping[str, Any] = parse_json(found.content)
        return data.get("size") == str(file.bytes) and data.get("metadata", {}).get("sha256") == file.sha256

    async def close(self) -> None:
        if self._is_open:
            self._is_open = False
            await self._session.__aexit__()

    async def _asked(self, request: SessionRequest) -> Response:
        """Of what changes nothing that is seen."""
        if not self._is_open:
            await self._session.__aenter__()
            self._is_open = True
        return await self._session.send(request, idempotent=True)

    def _object(self, path: str) -> str:
        return f"{self._place.folder}/{path}" if self._place.folder else path


def _md5(file: SpooledFile) -> str:
    """By it the store sees whether all arrived as it was sent."""
    digest = hashlib.md5(usedforsecurity=False)
    while piece := file.content.read(_CHUNK_BYTES):
        digest.update(piece)
    file.content.seek(0)
    return base64.b64encode(digest.digest()).decode()

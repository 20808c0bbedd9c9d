"""A stand-in of Google Cloud Storage's JSON API, strict where the emulators that are at hand are not: it heeds
`ifGenerationMatch`, at the begin of an upload and at its end, and refuses pieces, sums and tokens that are wrong."""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
from dataclasses import dataclass, field
from functools import cache
from typing import Any
from urllib.parse import parse_qs, unquote

import httpx
import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

TOKEN_URL = "https://oauth2.googleapis.com/token"
WRITES = "https://www.googleapis.com/auth/devstorage.read_write"
_QUARTER_MIB = 2**18


@cache
def _key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, 2048)


@dataclass
class Upload:
    name: str
    size: int
    said: dict[str, Any]
    if_new: bool
    content: bytes = b""


@dataclass
class GcsStandIn:
    """`fail`: what becomes of the next piece of an upload: a status, or 0 for an answer that is lost. `objects`: name →
    (content, metadata)."""

    bucket: str
    objects: dict[str, tuple[bytes, dict[str, str]]] = field(default_factory=dict)
    uploads: dict[str, Upload] = field(default_factory=dict)
    tokens: set[str] = field(default_factory=set)
    fail: list[int] = field(default_factory=list)

    @property
    def service_account(self) -> str:
        pem = _key().private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        named = {"type": "service_account", "client_email": "sender@project.example", "private_key_id": "k1"}
        return json.dumps({**named, "private_key": pem.decode(), "token_uri": TOKEN_URL})

    def below(self, prefix: str) -> dict[str, bytes]:
        return {n.removeprefix(prefix): content for n, (content, _) in self.objects.items() if n.startswith(prefix)}

    def answer(self, request: httpx.Request) -> httpx.Response:
        if str(request.url) == TOKEN_URL:
            return self._token(request)
        if request.headers.get("authorization", "").removeprefix("Bearer ") not in self.tokens:
            return httpx.Response(401, json={"error": {"code": 401}})
        assert request.url.host == "storage.googleapis.com"
        path, query = request.url.raw_path.decode().partition("?")[0], request.url.params
        if path.startswith("/upload/"):
            if not path.startswith(f"/upload/storage/v1/b/{self.bucket}/o"):
                return httpx.Response(404)
            return self._piece(request) if "upload_id" in query else self._begin(request)
        if path == f"/storage/v1/b/{self.bucket}":
            return httpx.Response(200, json={"name": self.bucket})
        name = unquote(path.removeprefix(f"/storage/v1/b/{self.bucket}/o/"))
        if request.method != "GET" or name not in self.objects:
            return httpx.Response(404)
        content, metadata = self.objects[name]
        return httpx.Response(200, json={"name": name, "size": str(len(content)), "metadata": metadata})

    def _token(self, request: httpx.Request) -> httpx.Response:
        form = {name: values[0] for name, values in parse_qs(request.content.decode()).items()}
        assert form["grant_type"] == "urn:ietf:params:oauth:grant-type:jwt-bearer"
        public = _key().public_key()
        claims = jwt.decode(
            form["assertion"],
            public,
            algorithms=["RS256"],
            audience=TOKEN_URL,
            options={"verify_exp": False, "verify_iat": False},
        )
        if claims["iss"] != "sender@project.example" or WRITES not in claims["scope"]:
            return httpx.Response(400, json={"error": "invalid_grant"})
        self.tokens.add(token := secrets.token_hex(8))
        return httpx.Response(200, json={"access_token": token, "token_type": "Bearer", "expires_in": 3599})

    def _begin(self, request: httpx.Request) -> httpx.Response:
        query = request.url.params
        assert (request.method, query["uploadType"]) == ("POST", "resumable")
        if_new = query.get("ifGenerationMatch") == "0"
        if if_new and query["name"] in self.objects:
            return httpx.Response(412)
        size = int(request.headers["x-upload-content-length"])
        self.uploads[id_ := secrets.token_hex(8)] = Upload(query["name"], size, json.loads(request.content), if_new)
        where = (
            f"https://storage.googleapis.com/upload/storage/v1/b/{self.bucket}/o?uploadType=resumable&upload_id={id_}"
        )
        return httpx.Response(200, headers={"location": where})

    def _piece(self, request: httpx.Request) -> httpx.Response:
        upload = self.uploads[request.url.params["upload_id"]]
        range_, _, total = request.headers["content-range"].removeprefix("bytes ").partition("/")
        first, last = map(int, range_.split("-"))
        status = self.fail.pop(0) if self.fail else 200
        if status >= 400:
            return httpx.Response(status)
        assert (first, int(total), last - first + 1) == (len(upload.content), upload.size, len(request.content))
        upload.content += request.content
        if len(upload.content) < upload.size:
            assert len(request.content) % _QUARTER_MIB == 0
            answer = httpx.Response(308, headers={"range": f"bytes=0-{last}"})
        elif upload.if_new and upload.name in self.objects:
            answer = httpx.Response(412)
        elif base64.b64encode(hashlib.md5(upload.content).digest()).decode() != upload.said["md5Hash"]:
            answer = httpx.Response(400)
        else:
            self.objects[upload.name] = (upload.content, upload.said["metadata"])
            answer = httpx.Response(200, json={"name": upload.name, "size": str(upload.size), "generation": "1"})
        if not status:
            raise httpx.ReadError("the answer was lost")
        return answer

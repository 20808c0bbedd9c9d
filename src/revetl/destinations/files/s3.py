"""A bucket of S3, or of a store that speaks its language, through boto3. Facts: docs/design/files.md."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Callable
from typing import Any, TypeVar

from revetl.destinations.files.options import Location, S3Options
from revetl.destinations.files.spool import SpooledFile
from revetl.errors import Ambiguous, CallError, ConfigError, Denied, Throttled, Unavailable
from revetl.http.urls import check_url

T = TypeVar("T")

_EXISTS = {"PreconditionFailed", "412"}
_GONE = {"404", "NoSuchKey", "NotFound"}
# S3's code, or the status where a HEAD has no body → what it means. 5xx that are not here may have been applied.
_VERDICTS: dict[str, type[CallError]] = {
    **dict.fromkeys(("AccessDenied", "403", "InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken"), Denied),
    **dict.fromkeys(("NoSuchBucket", "404", "InvalidBucketName", "PermanentRedirect", "301", "400"), Denied),
    **dict.fromkeys(("InvalidToken", "AllAccessDisabled", "EntityTooLarge", "AuthorizationHeaderMalformed"), Denied),
    **dict.fromkeys(("SlowDown", "TooManyRequests", "RequestLimitExceeded", "429"), Throttled),
    **dict.fromkeys(("ServiceUnavailable", "503", "ConditionalRequestConflict", "409"), Unavailable),
    **dict.fromkeys(("RequestTimeTooSkewed", "BadDigest", "InvalidDigest", "IncompleteBody"), Unavailable),
}


class S3Store:
    """A PUT with `If-None-Match: *` makes an object only where none stands, whole or not at all. The store reckons its
    checksum itself and refuses what arrived otherwise."""

    def __init__(self, name: str, place: Location, options: S3Options, *, allow_insecure: bool) -> None:
        self._name, self._place, self._options = name, place, options
        self._endpoint = options.endpoint_url
        if self._endpoint is not None:
            self._endpoint = check_url(self._endpoint, allow_insecure=allow_insecure, what=f"endpoint_url of {name}")
        self._client: Any = None

    async def check(self) -> str:
        await self._asked(lambda client: client.head_bucket(Bucket=self._place.host))
        return f"the bucket {self._place.host}"

    async def create(self, path: str, file: SpooledFile) -> bool:
        def put(client: Any) -> bool:
            client.put_object(
                Bucket=self._place.host,
                Key=self._key(path),
                Body=file.content,
                ContentLength=file.bytes,
                ChecksumSHA256=base64.b64encode(bytes.fromhex(file.sha256)).decode(),
                Metadata={"sha256": file.sha256},
                IfNoneMatch="*",
            )
            return True

        return await self._asked(put, otherwise=_EXISTS)

    async def holds(self, path: str, file: SpooledFile) -> bool:
        def look(client: Any) -> bool:
            found = client.head_object(Bucket=self._place.host, Key=self._key(path))
            return bool(found["ContentLength"] == file.bytes and found["Metadata"].get("sha256") == file.sha256)

        return await self._asked(look, otherwise=_GONE)

    async def close(self) -> None:
        if self._client is not None:
            await asyncio.to_thread(self._client.close)

    def _key(self, path: str) -> str:
        return f"{self._place.folder}/{path}" if self._place.folder else path

    async def _asked(self, ask: Callable[[Any], T], otherwise: frozenset[str] | set[str] = frozenset()) -> T | bool:
        """What the store answered, in a thread; False for a code of `otherwise`."""
        return await asyncio.to_thread(self._ask, ask, otherwise)

    def _ask(self, ask: Callable[[Any], T], otherwise: frozenset[str] | set[str]) -> T | bool:
        try:
            from botocore import exceptions as aws
        except ImportError:
            raise ConfigError(f"{self._name}: S3 needs boto3", hint="pip install 'revetl[files]'") from None
        try:
            if self._client is None:
                self._client = self._new_client()
            return ask(self._client)
        except aws.ClientError as e:
            code = str(e.response.get("Error", {}).get("Code", ""))
            if code in otherwise:
                return False
            raise _VERDICTS.get(code, Ambiguous)(f"{self._name}: S3 answered {code}", code=code) from None
        except (aws.NoCredentialsError, aws.PartialCredentialsError, aws.CredentialRetrievalError) as e:
            raise Denied(f"{self._name}: no credentials were found ({type(e).__name__})") from None
        except (aws.EndpointConnectionError, aws.ConnectTimeoutError, aws.ProxyConnectionError, aws.SSLError) as e:
            raise Unavailable(f"{self._name}: S3 is not reached ({type(e).__name__})") from None
        except aws.ParamValidationError:
            raise Denied(f"{self._name}: {self._place.host} is no name of a bucket") from None
        except aws.BotoCoreError as e:  # its message may quote the address with what was signed
            raise Ambiguous(f"{self._name}: the answer of S3 was lost ({type(e).__name__})") from None

    def _new_client(self) -> Any:
        import boto3
        from botocore.config import Config

        o = self._options
        secrets = {
            "aws_access_key_id": o.access_key_id,
            "aws_secret_access_key": o.secret_access_key,
            "aws_session_token": o.session_token,
        }
        given = {name: value.get_secret_value() for name, value in secrets.items() if value is not None}
        own = self._endpoint is not None
        return boto3.session.Session(**given).client(
            "s3",
            region_name=o.region or ("us-east-1" if own else None),
            endpoint_url=self._endpoint,
            config=Config(
                # Repeated by us, who know what may have been applied.
                retries={"total_max_attempts": 1},
                connect_timeout=10,
                read_timeout=120,
                s3={"addressing_style": "path" if own else "auto"},
                request_checksum_calculation="when_required",
            ),
        )

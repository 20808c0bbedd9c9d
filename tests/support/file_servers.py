"""Places for files that others wrote, on this machine: moto for S3, OpenSSH's own server for SFTP."""

from __future__ import annotations

import atexit
from dataclasses import dataclass
from functools import cache
from itertools import count
from typing import Any

import boto3
from moto.server import ThreadedMotoServer

_names = (f"bucket-{n}" for n in count())


@dataclass(frozen=True, slots=True)
class S3Server:
    """`client` is boto3's own, beside the connector's."""

    endpoint: str
    client: Any

    def new_bucket(self) -> str:
        bucket = next(_names)
        self.client.create_bucket(Bucket=bucket)
        return bucket

    def options(self, secret: str = "a word") -> dict[str, Any]:
        return {"endpoint_url": self.endpoint, "access_key_id": "sender", "secret_access_key": secret}


@cache
def lasting_s3() -> S3Server:
    """One for all tests of this process."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    atexit.register(server.stop)
    host, port = server.get_host_and_port()
    endpoint = f"http://{host}:{port}"
    keys = {"aws_access_key_id": "admin", "aws_secret_access_key": "admin", "region_name": "us-east-1"}
    return S3Server(endpoint, boto3.session.Session(**keys).client("s3", endpoint_url=endpoint))


def files_in_bucket(server: S3Server, bucket: str, prefix: str) -> dict[str, bytes]:
    """By path below the prefix."""
    pages = server.client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
    keys = [found["Key"] for page in pages for found in page.get("Contents", ())]
    return {key.removeprefix(prefix): server.client.get_object(Bucket=bucket, Key=key)["Body"].read() for key in keys}

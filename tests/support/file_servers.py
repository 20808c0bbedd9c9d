"""Places for files that others wrote, on this machine: moto for S3, OpenSSH's own server for SFTP."""

from __future__ import annotations

import atexit
import getpass
import os
import shutil
import socket
import subprocess
import tempfile
import time
from dataclasses import dataclass
from functools import cache
from itertools import count
from pathlib import Path
from typing import Any

import boto3
import pytest
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


@dataclass(frozen=True, slots=True)
class SftpServer:
    """OpenSSH on this machine, in a folder of its own. Who comes with `private_key` is let in as `user`; `known_hosts`
    names the server's key. `log`: what it says."""

    port: int
    user: str
    private_key: str
    known_hosts: Path
    log: Path

    def options(self, **options: Any) -> dict[str, Any]:
        return {"private_key": self.private_key, "known_hosts": str(self.known_hosts), **options}

    def url(self, folder: Path) -> str:
        return f"sftp://{self.user}@127.0.0.1:{self.port}{folder}"


@cache
def lasting_sftp() -> SftpServer:
    """One for all tests of this process. Skips, with the reason, where OpenSSH's server is not installed."""
    sshd = shutil.which("sshd", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if sshd is None:
        pytest.skip("OpenSSH's server is not installed: apt-get install openssh-server")
    folder = Path(tempfile.mkdtemp(prefix="revetl-sshd-"))
    for name in ("host", "sender"):
        command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)]
        subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
    shutil.copy(folder / "sender.pub", folder / "authorized")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = int(free.getsockname()[1])
    (folder / "config").write_text(
        f"""
        Port {port}
        ListenAddress 127.0.0.1
        HostKey {folder}/host
        AuthorizedKeysFile {folder}/authorized
        PidFile none
        StrictModes no
        UsePAM no
        PasswordAuthentication no
        PermitRootLogin prohibit-password
        MaxStartups 100
        Subsystem sftp internal-sftp
        """
    )
    if os.getuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)  # it asks for the folder, and Debian's service makes it
    log = (folder / "log").open("wb")
    process = subprocess.Popen([sshd, "-D", "-e", "-f", str(folder / "config")], stdout=log, stderr=log)

    def stop() -> None:
        process.terminate()
        process.wait(10)
        log.close()
        shutil.rmtree(folder, ignore_errors=True)

    atexit.register(stop)
    kind, key, *_ = (folder / "host.pub").read_text().split()
    (folder / "known_hosts").write_text(f"[127.0.0.1]:{port} {kind} {key}\n")
    _wait_for(port, folder / "log")
    user = getpass.getuser()
    return SftpServer(port, user, (folder / "sender").read_text(), folder / "known_hosts", folder / "log")


def _wait_for(port: int, log: Path) -> None:
    for _ in range(200):
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=1):
                return
        except OSError:
            time.sleep(0.05)
    raise AssertionError(f"sshd does not come up: {log.read_text()}")

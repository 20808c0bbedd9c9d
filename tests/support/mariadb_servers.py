"""A MariaDB server of one's own, on loopback, for as long as a test needs it: Debian's `mariadb-server`. Where it is
not installed the tests that ask for one are skipped, with that reason."""

from __future__ import annotations

import atexit
import os
import shutil
import subprocess
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest

from tests.support.postgres_servers import free_port

_NOBODY = 65534
_FAST = (
    "--innodb-use-native-aio=0",  # where containers share a kernel its rings run out
    "--innodb-flush-log-at-trx-commit=0",
    "--innodb-buffer-pool-size=16M",
    "--innodb-log-file-size=8M",
)


def program(name: str) -> str:
    """Skips the test where it is not installed."""
    found = shutil.which(name) or shutil.which(name, path="/usr/sbin:/usr/bin")
    if found is None:
        pytest.skip("MariaDB is not installed: apt-get install mariadb-server")
    return found


@dataclass
class MariaDBServer:
    """`user` is its administrator, let in without a password from loopback. `certificate`: with it and its key the
    server offers TLS."""

    user: str = "admin"
    port: int = field(default_factory=free_port)
    certificate: tuple[Path, Path] | None = None

    def __post_init__(self) -> None:
        server, install = program("mariadbd"), program("mariadb-install-db")
        self.folder = Path(tempfile.mkdtemp(prefix="revetl-mariadb-"))
        self.folder.chmod(0o755)
        if os.geteuid() == 0:
            os.chown(self.folder, _NOBODY, _NOBODY)
        self._log = (self.folder / "log").open("wb")
        data = f"--datadir={self.folder}/data"
        made = [install, "--no-defaults", data, "--auth-root-authentication-method=normal", "--skip-test-db"]
        subprocess.run(made, stdout=self._log, stderr=self._log, check=True, **self._as_nobody())
        (self.folder / "first.sql").write_text(
            f"CREATE USER '{self.user}'@'127.0.0.1' IDENTIFIED BY '';\n"
            f"GRANT ALL ON *.* TO '{self.user}'@'127.0.0.1' WITH GRANT OPTION;\n"
        )
        (self.folder / "first.sql").chmod(0o644)  # whatever the umask is
        arguments = [f"--port={self.port}", f"--socket={self.folder}/socket", f"--pid-file={self.folder}/pid"]
        if self.certificate is not None:
            names = ("cert.pem", "key.pem")
            for made_file, name in zip(self.certificate, names, strict=True):
                shutil.copy(made_file, self.folder / name)
                if os.geteuid() == 0:
                    os.chown(self.folder / name, _NOBODY, _NOBODY)
            arguments += [f"--ssl-cert={self.folder}/cert.pem", f"--ssl-key={self.folder}/key.pem"]
        started = [server, "--no-defaults", data, "--bind-address=127.0.0.1", "--skip-name-resolve", *arguments, *_FAST]
        self._process = subprocess.Popen(
            [*started, f"--init-file={self.folder}/first.sql"], stdout=self._log, stderr=self._log, **self._as_nobody()
        )
        self._wait()

    def ask(self, sql: str, *values: object, database: str | None = None) -> list[tuple[Any, ...]]:
        """As its administrator."""
        import pymysql

        connection = pymysql.connect(
            host="127.0.0.1", port=self.port, user=self.user, database=database, charset="utf8mb4", autocommit=True
        )
        with connection, connection.cursor() as cursor:
            cursor.execute(sql, values or None)
            return list(cursor.fetchall())

    def close(self) -> None:
        self._process.kill()  # its data is thrown away
        self._process.wait(20)
        self._log.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _wait(self) -> None:
        """It listens before it has run its first statements."""
        import pymysql

        deadline = time.monotonic() + 60
        while True:
            with suppress(pymysql.OperationalError):
                self.ask("SELECT 1")
                return
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"MariaDB did not start: {(self.folder / 'log').read_text()[-2000:]}")
            time.sleep(0.05)

    @staticmethod
    def _as_nobody() -> dict[str, Any]:
        env = {"PATH": os.environ["PATH"], "TZ": "UTC"}
        return {"env": env} | ({"user": _NOBODY, "group": _NOBODY, "extra_groups": []} if os.geteuid() == 0 else {})


@lru_cache(maxsize=1)
def lasting_mariadb() -> MariaDBServer:
    """One for all tests of this process."""
    made = MariaDBServer()
    atexit.register(made.close)
    return made

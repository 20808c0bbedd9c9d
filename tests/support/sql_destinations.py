"""SQL databases as the suite sees them: a fresh database for each test, and a wire between connector and server.

The wire passes statements on. It is told of writes (COMMIT of a transaction that wrote), dies at either end of one,
and spoils what it was told to spoil.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from typing import Any, Protocol

import pytest

from revetl.clock import Clock
from revetl.destinations.base import Destination
from revetl.destinations.sql.connector import SqlDestination, SqlLimits
from revetl.destinations.sql.dialect import SqlDialect, SqlFailure, SqlSession
from revetl.destinations.sql.mysql import MySqlDialect
from revetl.destinations.sql.mysql import Options as MySqlOptions
from revetl.destinations.sql.postgres import Options as PostgresOptions
from revetl.destinations.sql.postgres import PostgresDialect
from revetl.destinations.sql.tables import SqlTable
from revetl.testing.crashing import Fuse
from tests.support.mariadb_servers import MariaDBServer, lasting_mariadb
from tests.support.postgres_servers import NEWEST, PostgresServer, lasting_server

TOKEN = "suite-token-7f3a91"
_names = (f"sql_destination_{n}" for n in count())


class SqlVendor(Protocol):
    """A fresh database of a real server. `ask` is its administrator's."""

    def ask(self, sql: str) -> list[tuple[Any, ...]]: ...

    def dialect(self, **options: Any) -> SqlDialect:
        """For the user `sender`, who may do what docs/guides/permissions.md lists."""
        ...

    def drop(self) -> None: ...


@dataclass
class PostgresVendor:
    server: PostgresServer = field(default_factory=lambda: lasting_server(NEWEST))
    database: str = field(default_factory=lambda: next(_names))

    def __post_init__(self) -> None:
        self.server.ask(f"CREATE DATABASE {self.database}")
        exists = self.server.ask("SELECT 1 FROM pg_roles WHERE rolname = 'sender'")
        if not exists:
            self.server.ask("CREATE ROLE sender LOGIN")
        self.ask("GRANT USAGE, CREATE ON SCHEMA public TO sender")
        self.ask("ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO sender")

    def ask(self, sql: str) -> list[tuple[Any, ...]]:
        return self.server.ask(sql, self.database)

    @property
    def options(self) -> dict[str, Any]:
        place = {"host": "127.0.0.1", "port": self.server.port}
        return place | {"user": "sender", "password": TOKEN, "dbname": self.database}

    def dialect(self, **options: Any) -> SqlDialect:
        return PostgresDialect(PostgresOptions.model_validate(self.options | options))

    def drop(self) -> None:
        self.server.ask(f"DROP DATABASE {self.database} WITH (FORCE)")


@dataclass
class MariaDBVendor:
    server: MariaDBServer = field(default_factory=lasting_mariadb)
    database: str = field(default_factory=lambda: next(_names))

    def __post_init__(self) -> None:
        self.server.ask(f"CREATE DATABASE {self.database} CHARACTER SET utf8mb4")
        self.server.ask(f"CREATE OR REPLACE USER 'sender'@'127.0.0.1' IDENTIFIED BY '{TOKEN}'")
        rights = "SELECT, INSERT, UPDATE, DELETE, CREATE"
        self.server.ask(f"GRANT {rights} ON {self.database}.* TO 'sender'@'127.0.0.1'")

    def ask(self, sql: str) -> list[tuple[Any, ...]]:
        return self.server.ask(sql, database=self.database)

    @property
    def options(self) -> dict[str, Any]:
        place = {"host": "127.0.0.1", "port": self.server.port}
        return place | {"user": "sender", "password": TOKEN, "database": self.database}

    def dialect(self, **options: Any) -> SqlDialect:
        return MySqlDialect(MySqlOptions.model_validate(self.options | options))

    def drop(self) -> None:
        self.server.ask(f"DROP DATABASE {self.database}")


@dataclass
class SqlWire:
    """`fuse` burns before and after each COMMIT of a transaction that wrote. `lose`: so many COMMITs are done and their
    answer is cut; `dark`: nobody is reached afterwards. `lose_before`: so many never come there. `failure`: what writes
    meet instead. `spoil`: what becomes of the rows that a writing transaction reads."""

    fuse: Fuse = field(default_factory=Fuse)
    commits: int = 0
    lose: int = 0
    lose_before: int = 0
    dark: bool = False
    is_dark: bool = False
    failure: SqlFailure | None = None
    spoil: Callable[[list[tuple[Any, ...]]], list[tuple[Any, ...]]] | None = None
    on_change: Callable[[], None] = lambda: None
    on_write: Callable[[], None] = lambda: None
    on_ask: Callable[[str], None] = lambda sql: None

    def mend(self) -> None:
        self.lose, self.dark, self.is_dark, self.failure, self.spoil = 0, False, False, None, None


class WiredDialect:
    """A dialect whose sessions go over the wire."""

    def __init__(self, inner: SqlDialect, wire: SqlWire) -> None:
        self._inner, self._wire = inner, wire
        self.same = inner.same

    def open(self) -> SqlSession:
        if self._wire.fuse.dead:
            self._wire.fuse.tick()
        if self._wire.is_dark:
            raise SqlFailure("lost", "nobody is there")
        return WiredSession(self._inner.open(), self._wire)

    def quote(self, name: str) -> str:
        return self._inner.quote(name)

    def insert_for_id(self, session: SqlSession, table: SqlTable, sql: str, values: Sequence[Any]) -> Any:
        return self._inner.insert_for_id(session, table, sql, values)

    def marks(self) -> str:
        return self._inner.marks()

    def account(self, session: SqlSession) -> str:
        return self._inner.account(session)

    def describe(self, session: SqlSession, name: str) -> SqlTable:
        return self._inner.describe(session, name)


class WiredSession:
    def __init__(self, inner: SqlSession, wire: SqlWire) -> None:
        self._inner, self._wire = inner, wire
        self._writes = False

    def ask(self, sql: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        wire = self._wire
        if wire.fuse.dead:
            self._inner.close()
            wire.fuse.tick()
        wire.on_ask(sql)
        if not self._writes and sql.lstrip().startswith("UPDATE") and "revetl_marks" in sql:
            self._writes = True
            wire.on_write()
        if self._writes and wire.failure is not None:
            raise wire.failure
        rows = self._inner.ask(sql, values)
        if self._writes and wire.spoil is not None and "revetl_marks" not in sql:
            spoilt = wire.spoil(rows)
            if spoilt != rows:
                wire.on_change()
            return spoilt
        return rows

    def change(self, sql: str, values: Sequence[Any] = ()) -> int:
        wire = self._wire
        if wire.fuse.dead:
            self._inner.close()
            wire.fuse.tick()
        wire.on_ask(sql)
        if self._writes and wire.failure is not None:
            raise wire.failure
        return self._inner.change(sql, values)

    def commit(self) -> None:
        wire = self._wire
        if not self._writes:
            self._inner.commit()
            return
        wire.fuse.tick()
        if wire.lose_before:
            wire.lose_before -= 1
            self._inner.close()
            raise SqlFailure("lost", "the connection was cut before COMMIT came there")
        self._inner.commit()
        wire.commits += 1
        wire.fuse.tick()
        self._writes = False
        if wire.lose:
            wire.lose -= 1
            wire.is_dark = wire.dark
            self._inner.close()
            raise SqlFailure("lost", "the connection was cut before the answer")

    def rollback(self) -> None:
        if self._wire.fuse.dead:
            self._inner.close()  # a dead process keeps no connection
            self._wire.fuse.tick()
        self._writes = False
        self._inner.rollback()

    def close(self) -> None:
        self._inner.close()


def connected(
    vendor: SqlVendor, wire: SqlWire, clock: Clock, *, batch_rows: int = 5, concurrency: int = 2
) -> Destination:
    return SqlDestination("crm", WiredDialect(vendor.dialect(), wire), SqlLimits(batch_rows, concurrency), clock)


VENDORS: Mapping[str, Callable[[], SqlVendor]] = {"postgres": PostgresVendor, "mariadb": MariaDBVendor}
# For fixtures and tests: under xdist each server is started by one worker only.
VENDOR_PARAMS = tuple(pytest.param(kind, marks=pytest.mark.xdist_group(kind)) for kind in VENDORS)


@contextmanager
def fresh(kind: str) -> Iterator[SqlVendor]:
    """Dropped afterwards."""
    vendor = VENDORS[kind]()
    try:
        yield vendor
    finally:
        vendor.drop()

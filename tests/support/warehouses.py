"""The three warehouses for tests: DuckDB in memory, a PostgreSQL server, and Snowflake's stand-in over HTTP.

Servers start once per test process, on loopback, when the first test asks. Every warehouse that is handed out is empty:
a database of its own.
"""

from __future__ import annotations

import atexit
import os
import socket
import subprocess
import sys
import tempfile
import time
import weakref
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from copy import copy
from dataclasses import dataclass
from functools import lru_cache
from itertools import count
from pathlib import Path
from typing import Any, cast

import pytest

from revetl.state.schema import create_all
from revetl.warehouse.base import Warehouse
from revetl.warehouse.open import open_warehouse
from revetl.warehouse.sql import ident
from tests.support.postgres_servers import NEWEST, lasting_server

SCHEMA = "analytics"
KINDS = ("duckdb", "postgres", "snowflake")
# Beside the newest; each is a kind of its own for `new_warehouse` and its like. Skipped where it is not installed.
OLDER_POSTGRES = ("postgres14", "postgres15", "postgres16", "postgres17")
THE_WAREHOUSE = "REVETL_TEST_WAREHOUSE"  # the environment's name for the kind that `the_warehouse` gives
REPOSITORY = Path(__file__).resolve().parents[2]
# For fixtures: under xdist each server is started by one worker only.
PARAMS = tuple(pytest.param(kind, marks=pytest.mark.xdist_group(kind)) for kind in KINDS)
EVERY_VERSION = (*PARAMS, *(pytest.param(kind, marks=pytest.mark.xdist_group(kind)) for kind in OLDER_POSTGRES))
_numbers = count(1)


def postgres_server(kind: str = "postgres") -> dict[str, Any]:
    """How to reach the server, as a dbt profile says it, without `dbname`. `postgres15` is of that version, `postgres`
    of the one that REVETL_TEST_POSTGRES says."""
    version = kind.removeprefix("postgres") or os.environ.get("REVETL_TEST_POSTGRES", NEWEST)
    return lasting_server(version).output


@lru_cache(maxsize=1)
def snowflake_server() -> dict[str, Any]:
    """How to reach the server, as a dbt profile says it, without `database`."""
    server = SnowflakeServer()
    atexit.register(server.stop)
    return server.output


class SnowflakeServer:
    """Snowflake's stand-in in a process of its own. Stopped and started it has the same address and is empty."""

    def __init__(self) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.start()

    @property
    def output(self) -> dict[str, Any]:
        place = {"host": "127.0.0.1", "port": self.port, "protocol": "http"}
        return {"type": "snowflake", "account": "test", "user": "tester", "password": "unused", **place}

    def start(self) -> None:
        with tempfile.NamedTemporaryFile(prefix="revetl-snowflake-", suffix=".log", delete=False) as log:
            command = [sys.executable, "-W", "ignore", "-m", "tests.support.snowflake_server", str(self.port)]
            environment = {**os.environ, "TZ": "UTC"}
            self._process = subprocess.Popen(command, cwd=REPOSITORY, stdout=log, stderr=log, env=environment)
        self._log = Path(log.name)
        deadline = time.monotonic() + 60
        while not _listens(self.port):
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"the test server did not start: {self._log.read_text()[-2000:]}")
            time.sleep(0.05)

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait(10)
        self._log.unlink(missing_ok=True)


def _listens(port: int) -> bool:
    with socket.socket() as s:
        return s.connect_ex(("127.0.0.1", port)) == 0


@contextmanager
def new_database(kind: str, directory: Path) -> Iterator[dict[str, Any]]:
    """A dbt output for an empty database, which is gone afterwards."""
    name = f"revetl_{os.getpid()}_{next(_numbers)}"
    if kind == "duckdb":
        yield {"type": "duckdb", "path": str(directory / f"{name}.duckdb"), "schema": SCHEMA, "threads": 1}
    elif kind.startswith("postgres"):
        server, name = postgres_server(kind), _new_postgres_database(kind)
        yield {**server, "dbname": name, "schema": SCHEMA, "threads": 2}
        with _administrator(server) as db:
            db.execute(f"DROP DATABASE {name} WITH (FORCE)")
    else:
        # Connecting makes the database there; it stays until the server ends.
        yield {**snowflake_server(), "database": name.upper(), "schema": SCHEMA, "threads": 1}


@contextmanager
def new_warehouse(kind: str, directory: Path, *, state_schema: str = "revetl") -> Iterator[Warehouse]:
    """An open, empty warehouse with the schema `SCHEMA`, which unqualified names mean."""
    warehouse = empty_warehouse(kind, directory, state_schema=state_schema)
    try:
        yield warehouse
    finally:
        warehouse.close()


def the_warehouse() -> Warehouse:
    """For tests that run on one warehouse after the other: on which one REVETL_TEST_WAREHOUSE says. DuckDB where it is
    not set. Each that is given has an empty database of its own; who forgets it need not close it."""
    kind = os.environ.get(THE_WAREHOUSE, "duckdb")
    warehouse: Any = empty_warehouse(kind, Path())
    if kind == "snowflake":
        create_all(warehouse)  # here, for a schema that is made becomes the current one
        _use_schema(warehouse)
    return cast(Warehouse, warehouse)


def another(warehouse: Any) -> Warehouse:
    """A second connection to the database of one that `the_warehouse` gave, with transactions of its own."""
    if warehouse.dialect == "duckdb":
        made = copy(warehouse)
        made._db = warehouse._db.cursor()
        return cast(Warehouse, made)
    first = next(given for given in _given if given.warehouse() is warehouse)
    return cast(Warehouse, _opened(first.output, Path(), warehouse.state_schema, first.kind))


def empty_warehouse(kind: str, directory: Path, *, state_schema: str = "revetl") -> Warehouse:
    """As `new_warehouse`; the caller closes it, or forgets it."""
    warehouse: Any
    if kind == "duckdb":
        from revetl.warehouse.duckdb import DuckDBWarehouse

        warehouse = DuckDBWarehouse(":memory:", state_schema=state_schema, threads=1)
        warehouse.execute(f"CREATE SCHEMA {SCHEMA}")
        warehouse.execute(f"USE {SCHEMA}")
        return cast(Warehouse, warehouse)
    _close_forgotten()
    if kind == "snowflake":
        # Connecting makes the database there.
        output = {**snowflake_server(), "database": f"REVETL_{next(_numbers)}"}
        warehouse = _opened(output, directory, state_schema, kind)
        warehouse.execute(f"CREATE SCHEMA {SCHEMA}")
        return cast(Warehouse, warehouse)
    emptied = _emptied[kind]
    output = {**postgres_server(kind), "dbname": emptied.pop() if emptied else _new_postgres_database(kind)}
    warehouse = _opened(output, directory, state_schema, kind)
    mine = "nspname !~ '^pg_' AND nspname NOT IN ('information_schema', 'public')"
    for (schema,) in warehouse._native(f"SELECT nspname FROM pg_namespace WHERE {mine}"):
        warehouse.execute(f"DROP SCHEMA {ident(schema)} CASCADE")
    warehouse.execute(f"CREATE SCHEMA {SCHEMA}")
    _use_schema(warehouse)
    return cast(Warehouse, warehouse)


@dataclass(frozen=True)
class _Given:
    """`connection` is that of `warehouse`, and outlives it where a test forgets it."""

    warehouse: weakref.ref[Any]
    connection: Any
    output: dict[str, Any]
    kind: str


_given: list[_Given] = []
# Databases of Postgres that nobody uses, by kind: making one takes longer than emptying it.
_emptied: dict[str, list[str]] = defaultdict(list)


def _opened(output: dict[str, Any], directory: Path, state_schema: str, kind: str) -> Any:
    warehouse: Any = open_warehouse(output, root=directory, state_schema=state_schema)
    _given.append(_Given(weakref.ref(warehouse), warehouse._db, output, kind))
    return warehouse


def _close_forgotten() -> None:
    """Not by the garbage collector: a connection's end is a request, and it may be in the midst of another."""
    in_use = []
    for given in _given:
        warehouse = given.warehouse()
        if warehouse is None or _is_closed(given.connection):
            given.connection.close()
        else:
            in_use.append(given)
    databases = {given.output.get("dbname") for given in in_use}
    for kind in ("postgres", *OLDER_POSTGRES):
        here = {g.output["dbname"] for g in _given if g.kind == kind}
        _emptied[kind].extend(here - databases)
    _given[:] = in_use


def _is_closed(connection: Any) -> bool:
    return bool(connection.closed if hasattr(connection, "closed") else connection.is_closed())


def _new_postgres_database(kind: str) -> str:
    name = f"revetl_{os.getpid()}_{next(_numbers)}"
    with _administrator(postgres_server(kind)) as db:
        db.execute(f"CREATE DATABASE {name} TEMPLATE template0 ENCODING 'UTF8' LC_COLLATE 'C' LC_CTYPE 'C'")
    return name


def _administrator(server: dict[str, Any]) -> Any:
    import psycopg

    place = {key: server[key] for key in ("host", "port", "user")}
    return psycopg.connect(**place, dbname="postgres", autocommit=True)


def _use_schema(warehouse: Any) -> None:
    said = {"postgres": "SET search_path TO", "snowflake": "USE SCHEMA"}[warehouse.dialect]
    warehouse._db.cursor().execute(f"{said} {SCHEMA}")

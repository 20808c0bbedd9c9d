"""PostgreSQL and MariaDB as destinations: the contract, against real servers."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import ClassVar

import httpx
import pytest

from revetl.clock import Clock
from revetl.destinations.base import Destination
from revetl.destinations.sql.dialect import SqlFailure
from revetl.model import Scalar
from revetl.testing import DestinationSuite, StoredRecord, VendorWire
from revetl.testing.destinations.harness import SuiteBench
from tests.support.sql_destinations import TOKEN, SqlVendor, SqlWire, connected, fresh

PEOPLE = {
    "postgres": """
        CREATE TABLE people (
          id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
          email text NOT NULL UNIQUE,
          name varchar(100),
          age smallint,
          score numeric(12, 4),
          share double precision,
          active boolean,
          born date,
          seen_at timestamptz,
          notes jsonb,
          tags text[],
          photo bytea
        )
        """,
    "mariadb": """
        CREATE TABLE people (
          id bigint AUTO_INCREMENT PRIMARY KEY,
          email varchar(200) NOT NULL,
          name varchar(100),
          age smallint,
          score decimal(12, 4),
          share double,
          born date,
          seen_at datetime(6),
          photo blob,
          CONSTRAINT people_email UNIQUE (email)
        )
        """,
}


@dataclass
class SuiteDatabase:
    database: SqlVendor
    sql_wire: SqlWire = field(default_factory=SqlWire)


class SqlSuite(DestinationSuite):
    object, identity, text, match_on = "people", "email", "name", "email"
    virtual_time = False
    token = TOKEN
    kind: ClassVar[str]
    read: ClassVar[Mapping[str, str]] = {}

    def vendor(self, clock: Clock) -> AbstractAsyncContextManager[SuiteDatabase]:
        @asynccontextmanager
        async def started() -> AsyncIterator[SuiteDatabase]:
            with fresh(self.kind) as database:
                database.ask(PEOPLE[self.kind])
                yield SuiteDatabase(database)

        return started()

    def transport(self, vendor: SuiteDatabase) -> httpx.AsyncBaseTransport:
        return httpx.MockTransport(lambda request: httpx.Response(500))

    def connect(self, vendor: SuiteDatabase, wire: VendorWire, clock: Clock) -> Destination:
        """The suite's wire is for HTTP: ours tells it what it sees, burns its fuse and is mended with it."""
        ours = vendor.sql_wire
        ours.fuse = wire.fuse

        def seen(sql: str) -> None:
            wire.requests.append(httpx.Request("POST", "http://database/"))

        def wrote() -> None:
            wire.writes += 1

        def changed() -> None:
            wire.changed += 1

        ours.on_ask, ours.on_write, ours.on_change = seen, wrote, changed
        wire.mend = ours.mend  # type: ignore[method-assign]
        return connected(vendor.database, ours, clock)

    async def standing(self, vendor: SuiteDatabase) -> list[StoredRecord]:
        names = ["id", "email", *self.values()]
        read = ", ".join(self.read.get(name, name) for name in names)
        rows = [dict(zip(names, row, strict=True)) for row in vendor.database.ask(f"SELECT {read} FROM people")]
        return [StoredRecord(str(row["id"]), row) for row in rows]

    def poison(self, fields: Mapping[str, Scalar]) -> dict[str, Scalar]:
        return {**fields, "name": "x" * 101}

    async def fail(self, bench: SuiteBench, kind: str) -> None:
        wire: SqlWire = bench.vendor.sql_wire
        if kind == "denied":
            # What a server says of a password, quoted as a careless one would.
            wire.failure = SqlFailure("denied", "the server refuses the user", "28P01")
        elif kind == "throttled":
            wire.failure = SqlFailure("throttled", "too many connections", "53300")
        elif kind == "unavailable":
            wire.failure = SqlFailure("unavailable", "the server starts", "57P03")
        elif kind in ("lost", "lost_once"):
            wire.lose, wire.dark = (1, False) if kind == "lost_once" else (10**6, True)
        elif kind == "shuffled":
            wire.spoil = lambda rows: rows[::-1]
        elif kind == "unanswered":
            wire.spoil = lambda rows: []
        else:
            await super().fail(bench, kind)

    def values(self) -> Mapping[str, Sequence[Scalar]]:
        return {
            **super().values(),
            "age": [0, -32768, 32767, "41"],
            "score": [Decimal("0.1"), Decimal("-99999999.9999"), 3, 1.5],
            "share": [0.1, 1e300, -0.0, 12],
            "born": [date(1, 1, 1) if self.kind == "postgres" else date(1000, 1, 1), date(9999, 12, 31), "2024-02-29"],
            "seen_at": [datetime(2024, 5, 1, 12, 30, 1, 5, tzinfo=UTC), datetime(1970, 1, 2), date(2024, 1, 1)],  # noqa: DTZ001
            "photo": [b"", b"\0\xff'\"\\%s"],
        }

    waivers: Mapping[str, str] = {  # type: ignore[misc]
        "test_an_error_inside_a_success_is_no_success": "a statement that fails gives no rows and no success",
    }


class TestPostgres(SqlSuite):
    pytestmark = pytest.mark.xdist_group("postgres")
    kind = "postgres"
    read: ClassVar[Mapping[str, str]] = {"notes": "notes::text", "tags": "to_jsonb(tags)::text"}

    def values(self) -> Mapping[str, Sequence[Scalar]]:
        return {
            **super().values(),
            "active": [True, False, "true", 0],
            "notes": ['{"b": 1.50, "a": [1, null, "x"]}', "[]", '"text"', "null"],
            "tags": ["[]", '["a", null, "b,c", "\\"quoted\\" \\\\ {x}", ""]', '["NULL"]'],
        }


class TestMariaDB(SqlSuite):
    pytestmark = pytest.mark.xdist_group("mariadb")
    kind = "mariadb"

"""Every session means the same, whatever the machine, the server, the database, the role or the profile says."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from revetl.errors import ConfigError
from revetl.warehouse.open import open_warehouse
from revetl.warehouse.postgres import connecting
from tests.support.postgres_servers import PostgresServer
from tests.support.warehouses import OLDER_POSTGRES, new_database, postgres_server

REPOSITORY = Path(__file__).resolve().parents[2]
MOMENT = "CAST('2024-03-31 00:30:00+00' AS TIMESTAMPTZ)"
# Each depends on a setting somewhere.
EXPRESSIONS = (
    f"CAST({MOMENT} AS VARCHAR)",
    f"CAST({MOMENT} AS DATE)",
    f"CAST({MOMENT} AS TIMESTAMP)",
    "CAST(CAST('2024-02-01' AS DATE) AS VARCHAR)",
    "CAST('2024-02-01 10:00:00' AS TIMESTAMPTZ)",
    "CAST(CAST(0.1 AS DOUBLE) + CAST(0.2 AS DOUBLE) AS VARCHAR)",
    "CAST(0.1 AS DOUBLE) + CAST(0.2 AS DOUBLE)",
    "'a\\nb'",
    "'ü漢'",
    "CASE WHEN 1 = NULL THEN 1 ELSE 2 END",
    "CASE WHEN NULL = NULL THEN 1 ELSE 2 END",
    "md5('ü')",
    "7 / 2",
)
ORDERED = "SELECT a FROM (VALUES (1), (NULL), (2)) AS t(a) ORDER BY a"
# In a process of its own: libraries read the environment once.
ASK = """
import json, sys
from pathlib import Path
from revetl.warehouse.open import open_warehouse
output, statements = json.load(sys.stdin)
warehouse = open_warehouse(output, root=Path(), state_schema="revetl")
asked = [[str(cell) for row in warehouse.rows(sql) for cell in row] for sql in statements]
streamed = [str(cell) for sql in statements for batch in warehouse.stream(sql) for row in batch.to_pylist()
            for cell in row.values()]
with warehouse.transaction():
    again = [[str(cell) for row in warehouse.rows(sql) for cell in row] for sql in statements]
warehouse.close()
json.dump([asked, again, streamed], sys.stdout)
"""
HOSTILE_ENVIRONMENT = {
    "TZ": "Asia/Tokyo",
    "LC_ALL": "de_DE.UTF-8",
    "PGTZ": "Asia/Kolkata",
    "PGDATESTYLE": "German",
    "PGCLIENTENCODING": "LATIN1",
    "PGOPTIONS": "-c timezone=America/New_York -c extra_float_digits=-10",
}
HOSTILE_DEFAULTS = {
    "TimeZone": "'Asia/Tokyo'",
    "DateStyle": "'German, DMY'",
    "IntervalStyle": "'iso_8601'",
    "extra_float_digits": "-15",
    "standard_conforming_strings": "off",
    "bytea_output": "'escape'",
    "transform_null_equals": "on",
    "default_transaction_isolation": "'serializable'",
    "default_transaction_deferrable": "on",
    "client_min_messages": "'debug5'",
}


def ask(output: dict[str, Any], environment: dict[str, str]) -> list[Any]:
    statements = [f"SELECT {', '.join(f'{e} AS c{i}' for i, e in enumerate(EXPRESSIONS))}", ORDERED]
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("PG", "LC_", "TZ"))}
    done = subprocess.run(
        [sys.executable, "-c", ASK],
        input=json.dumps([output, statements]),
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        cwd=REPOSITORY,
        env={**clean, **environment},
    )
    assert done.returncode == 0, done.stderr[-2000:]
    found: list[Any] = json.loads(done.stdout)
    return found


@pytest.mark.xdist_group("postgres")
@pytest.mark.parametrize("kind", ["postgres", *OLDER_POSTGRES])
def test_postgres_means_the_same_under_hostile_defaults(kind: str, tmp_path: Path) -> None:
    with new_database(kind, tmp_path) as calm, new_database(kind, tmp_path) as hostile:
        server = _of(kind)
        for name, value in HOSTILE_DEFAULTS.items():
            # What the server is set to at its start-up, a database overrides, and a role that.
            where = "ROLE hostile" if name in ("DateStyle", "TimeZone") else f"DATABASE {hostile['dbname']}"
            if where.startswith("ROLE") and not server.ask("SELECT 1 FROM pg_roles WHERE rolname = 'hostile'"):
                server.ask("CREATE ROLE hostile LOGIN")
            server.ask(f"ALTER {where} SET {name} = {value}")
        as_hostile = {**hostile, "user": "hostile"}
        assert ask(as_hostile, HOSTILE_ENVIRONMENT) == ask(calm, {})


@pytest.mark.parametrize("kind", ["duckdb", pytest.param("snowflake", marks=pytest.mark.xdist_group("snowflake"))])
def test_the_others_mean_the_same_under_a_hostile_machine_and_profile(kind: str, tmp_path: Path) -> None:
    with new_database(kind, tmp_path) as output:
        theirs = {
            "duckdb": {
                "settings": {"timezone": "Asia/Tokyo", "default_null_order": "NULLS_FIRST", "integer_division": "true"}
            },
            "snowflake": {"session_parameters": {"TIMEZONE": "Asia/Tokyo", "DATE_OUTPUT_FORMAT": "DD.MM.YYYY"}},
        }[kind]
        assert ask({**output, **theirs}, HOSTILE_ENVIRONMENT) == ask(output, {})


def test_a_session_is_utc(tmp_path: Path) -> None:
    with new_database("duckdb", tmp_path) as output:
        ((first, *_), _), _, _ = ask(output, {"TZ": "Asia/Tokyo"})
        assert first == "2024-03-31 00:30:00+00"


def test_snowflake_is_told_so_at_its_login(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its stand-in is laxer than Snowflake is, so what is sent is looked at."""
    connector = pytest.importorskip("snowflake.connector")
    from revetl.warehouse.snowflake import SnowflakeWarehouse

    sent: dict[str, Any] = {}
    monkeypatch.setattr(connector, "connect", lambda **options: sent.update(options))
    SnowflakeWarehouse({"account": "a", "session_parameters": {"TIMEZONE": "Asia/Tokyo", "QUERY_TAG": "mine"}})
    told = sent["session_parameters"]
    assert (told["TIMEZONE"], told["QUERY_TAG"]) == ("UTC", "mine")
    assert told["QUOTED_IDENTIFIERS_IGNORE_CASE"] is False
    assert sent["autocommit"] is True


@pytest.mark.xdist_group("postgres")
def test_a_version_that_is_too_old_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """There is no old server here, so the bound is raised above the one that is; the server is asked for nothing."""
    monkeypatch.setattr(connecting, "OLDEST", 99)
    monkeypatch.setattr(connecting.pooler, "stands_between", lambda _: pytest.fail("it was asked for something"))
    with (
        new_database("postgres", tmp_path) as output,
        pytest.raises(ConfigError, match=r"is version \d+\.\d+, and revetl needs 99"),
    ):
        open_warehouse(output, root=tmp_path, state_schema="revetl")


def _of(kind: str) -> PostgresServer:
    from tests.support.postgres_servers import NEWEST, lasting_server

    postgres_server(kind)
    return lasting_server(kind.removeprefix("postgres") or os.environ.get("REVETL_TEST_POSTGRES", NEWEST))

"""Sessions of Snowflake that are lost, on its stand-in: it forgets them as it is started anew. And what a failure of
the network means, which only the connector's errors show."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import closing
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

from revetl.cli.main import run
from revetl.errors import RevetlError, WarehouseError, WarehouseLost
from revetl.model import Relation
from revetl.warehouse.open import open_warehouse
from revetl.warehouse.sql import table
from tests.support.cli_project import sandbox_thread
from tests.support.project_files import make_project, write
from tests.support.small_project import SOURCES, small_project
from tests.support.warehouses import SnowflakeServer

connector = pytest.importorskip("snowflake.connector")
GUIDE = Path(__file__).resolve().parents[2] / "docs/guides/snowflake.md"
pytestmark = pytest.mark.xdist_group("snowflake")
T = table(Relation("revetl", "things"))


@pytest.fixture(scope="module")
def server() -> Iterator[SnowflakeServer]:
    made = SnowflakeServer()
    yield made
    made.stop()


@pytest.fixture
def warehouse(server: SnowflakeServer) -> Iterator[Any]:
    made: Any = open_warehouse({**server.output, "database": "D"}, root=Path(), state_schema="revetl")
    with closing(made):
        yield made


def restart(server: SnowflakeServer) -> None:
    server.stop()
    server.start()


def test_a_session_that_is_gone_is_replaced(server: SnowflakeServer, warehouse: Any) -> None:
    restart(server)
    assert warehouse.rows("SELECT 1") == [(1,)]
    restart(server)
    warehouse.execute("CREATE SCHEMA IF NOT EXISTS revetl")
    assert [batch.num_rows for batch in warehouse.stream("SELECT 1")] == [1]
    restart(server)
    with warehouse.transaction():
        assert warehouse.rows("SELECT 1") == [(1,)]


def test_inside_a_transaction_it_is_lost_and_may_be_repeated(server: SnowflakeServer, warehouse: Any) -> None:
    def work(*, lost: bool) -> None:
        with warehouse.transaction():
            if lost:
                restart(server)
            assert warehouse.rows("SELECT 1") == [(1,)]

    with pytest.raises(WarehouseLost) as e:
        work(lost=True)
    assert not e.value.in_doubt
    work(lost=False)


def test_a_session_with_scratch_tables_is_not_replaced_unseen(server: SnowflakeServer, warehouse: Any) -> None:
    warehouse.execute("CREATE SCHEMA IF NOT EXISTS revetl")
    warehouse.execute(f"CREATE TEMPORARY TABLE {T} (a BIGINT)")
    restart(server)
    with pytest.raises(WarehouseLost, match="scratch tables"):
        warehouse.rows("SELECT 1")
    assert warehouse.rows("SELECT 1") == [(1,)]  # from the start of the work


@pytest.mark.parametrize(
    ("sql", "in_doubt"), [("SELECT 1", False), (f"INSERT INTO {T} VALUES (1)", True), (f"DROP TABLE {T}", True)]
)
def test_a_failure_of_the_network_leaves_a_write_in_doubt(
    warehouse: Any, monkeypatch: pytest.MonkeyPatch, sql: str, in_doubt: bool
) -> None:
    sent = _away(warehouse, monkeypatch)
    with pytest.raises(WarehouseLost) as e:
        warehouse.execute(sql)
    assert e.value.in_doubt is in_doubt
    assert len(sent) == (1 if in_doubt else 2), "only a read is asked again"


def test_a_commit_without_an_answer_is_in_doubt(warehouse: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def work() -> None:
        with warehouse.transaction():
            _away(warehouse, monkeypatch)

    with pytest.raises(WarehouseLost) as e:
        work()
    assert e.value.in_doubt


def test_the_reason_is_said_without_secrets(server: SnowflakeServer) -> None:
    output = {**server.output, "database": "D", "port": 1, "password": "s3cret", "login_timeout": 1}
    with pytest.raises(WarehouseError, match=r"can't be reached \(error \d+\): .+") as e:
        open_warehouse(output, root=Path(), state_schema="revetl")
    assert "s3cret" not in str(e.value)


def _away(warehouse: Any, monkeypatch: pytest.MonkeyPatch) -> list[object]:
    sent: list[object] = []

    def send(statement: object, params: object) -> Any:
        sent.append(statement)
        raise connector.errors.OperationalError("no route", errno=250003, sqlstate="08001")

    monkeypatch.setattr(warehouse, "_send", send)
    return sent


# --- the guide ---


def test_every_message_of_the_guide_is_one_that_is_said(
    server: SnowflakeServer, warehouse: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from revetl.warehouse.snowflake.failures import not_connected

    said = []
    here = {**server.output, "database": "D"}
    for wrong in ({"port": 1, "login_timeout": 1}, {"private_key": "nonsense"}, {"account": ""}):
        with pytest.raises(RevetlError) as e:
            open_warehouse({**here, **wrong}, root=Path(), state_schema="revetl")
        said.append(str(e.value))
    wrong_password = connector.errors.DatabaseError("Incorrect username or password was specified.", errno=250001)
    said.append(str(not_connected(wrong_password, here)))
    warehouse.execute("CREATE SCHEMA IF NOT EXISTS revetl")
    warehouse._native('CREATE TABLE revetl."HIDDEN" ("lower" VARCHAR)')
    with pytest.raises(WarehouseError) as hidden:
        warehouse.columns(Relation("revetl", "hidden"))
    said.append(str(hidden.value))
    _away(warehouse, monkeypatch)
    with pytest.raises(WarehouseLost) as lost:
        warehouse.execute("DROP TABLE x")
    said.append(str(lost.value))

    rows = re.findall(r"^\| `(.+?)` \|", GUIDE.read_text("utf-8").partition("## Messages")[2], re.MULTILINE)
    patterns = [".*".join(map(re.escape, row.split("…"))) for row in rows]
    assert [row for row, p in zip(rows, patterns, strict=True) if not any(re.search(p, s) for s in said)] == []
    assert [s for s in said if not any(re.search(p, s) for p in patterns)] == []


def test_the_profile_of_the_guide_is_read(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Up to the connector, which is not asked: the stand-in looks at no key."""
    from revetl.project import load

    (text,) = re.findall(r"```yaml profile\n(.*?)```", GUIDE.read_text("utf-8"), re.DOTALL)
    make_project(tmp_path)
    write(tmp_path / "profiles/profiles.yml", text)
    dbt = tmp_path / "dbt_project/dbt_project.yml"
    write(dbt, dbt.read_text().replace("profile: tiny", "profile: my_project"))
    monkeypatch.setenv("SNOWFLAKE_ACCOUNT", "acme")
    asked: dict[str, Any] = {}
    monkeypatch.setattr(connector, "connect", lambda **options: asked.update(options))
    load(tmp_path, None, None).open_warehouse()
    wanted = {"account": "acme", "user": "SENDER", "role": "SENDER", "warehouse": "LOADING", "database": "CRM"}
    assert {key: asked[key] for key in wanted} == wanted
    assert asked["private_key_file"] == str(tmp_path / "sender.p8")
    assert asked["session_parameters"]["QUERY_TAG"] == "revetl"


def test_the_first_run_of_the_guide(
    server: SnowflakeServer, warehouse: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (commands,) = re.findall(r"```sh first-run\n(.*?)```", GUIDE.read_text("utf-8"), re.DOTALL)
    for statement in ("CREATE SCHEMA raw", *SOURCES):
        warehouse.execute(statement)
    output = {**server.output, "database": "D", "schema": "analytics", "threads": 1}
    with sandbox_thread() as sandbox:
        monkeypatch.setenv("REVETL_PROJECT_DIR", str(small_project(tmp_path, output, sandbox)))
        for line in commands.splitlines():
            assert run(line.removeprefix("revetl ").split()) == 0, line
    assert warehouse.rows("SELECT status, count(*) FROM revetl.outcomes GROUP BY 1") == [("ok", 3)]


@pytest.mark.parametrize("extra", ["postgres", "snowflake"])
def test_the_extra_that_a_guide_installs(extra: str) -> None:
    text = GUIDE.with_name(f"{extra}.md").read_text("utf-8")
    assert f"pip install '.[{extra}]' dbt-{extra}" in text  # the driver is ours, the adapter is dbt's
    needed = [line for line in metadata.requires("revetl") or () if re.search(f"extra == ['\"]{extra}['\"]", line)]
    driver = {"postgres": "psycopg", "snowflake": "snowflake-connector-python"}[extra]
    assert any(line.startswith(driver) for line in needed)

"""Whoever else uses the machine reads no customers, whatever the umask is; and no locale decides what is written."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, suppress
from io import BytesIO
from pathlib import Path

import duckdb
import pytest

from revetl.clock import SystemClock
from revetl.enrich.lists.files import open_list
from revetl.enrich.lists.writing import write_list
from revetl.errors import RevetlError, WarehouseError, WarehouseFull
from revetl.private_files import _Umask, replaced
from revetl.project.dbt import Dbt, run_dbt
from revetl.sync.plan import saved
from revetl.warehouse.duckdb import DuckDBWarehouse, _translated
from tests.support.sync_bench import Bench


@pytest.fixture(autouse=True)
def _open_umask(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    # Of its own: a warehouse that another test left open holds the process's.
    monkeypatch.setattr("revetl.warehouse.duckdb.private_umask", _Umask())
    before = os.umask(0)
    yield
    os.umask(before)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_saved_plan(tmp_path: Path) -> None:
    saved.write_file(Bench().warehouse, tmp_path / "plan.json", "dev", [], SystemClock())
    assert mode(tmp_path / "plan.json") == 0o600
    assert list(tmp_path.iterdir()) == [tmp_path / "plan.json"]


@pytest.mark.parametrize("target", ["out.csv", "out.parquet"])
def test_an_enriched_list(tmp_path: Path, target: str) -> None:
    (tmp_path / "in.csv").write_text("email\nada@a.example\n")
    (tmp_path / target).write_text("an older one, that all may read")
    with open_list(str(tmp_path / "in.csv"), BytesIO()) as listing:
        write_list(str(tmp_path / target), BytesIO(), listing, ["city"], iter([[("ada@a.example", "Turin")]]))
    assert mode(tmp_path / target) == 0o600
    with open_list(str(tmp_path / target), BytesIO()) as again:
        assert list(again.chunks()) == [[("ada@a.example", "Turin")]] or list(again.chunks())


def test_a_list_to_stdout(tmp_path: Path) -> None:
    (tmp_path / "in.csv").write_text("email\nada@a.example\n")
    out = BytesIO()
    with open_list(str(tmp_path / "in.csv"), BytesIO()) as listing:
        write_list("-", out, listing, ["city"], iter([[("ada@a.example", "Turin")]]))
    assert out.getvalue() == b"email,city\nada@a.example,Turin\n"


def test_a_link_that_somebody_laid_is_not_written_through(tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.write_text("kept")
    (tmp_path / f".out.{os.getpid()}.part").symlink_to(precious)
    with replaced(tmp_path / "out") as file:
        file.write(b"new")
    assert precious.read_text() == "kept"
    assert (tmp_path / "out").read_bytes() == b"new"


def test_what_failed_leaves_what_stood_there(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("before")

    def fails() -> None:
        with replaced(tmp_path / "out") as file:
            file.write(b"half")
            raise OSError("full")

    with pytest.raises(OSError, match="full"):
        fails()
    assert [p.read_text() for p in tmp_path.iterdir()] == ["before"]


def test_the_duckdb_file_its_log_and_what_is_spilled(tmp_path: Path) -> None:
    warehouse = DuckDBWarehouse(tmp_path / "w.duckdb")
    another = DuckDBWarehouse(tmp_path / "v.duckdb")
    another.close()
    warehouse.execute("CREATE TABLE t AS SELECT range AS i, random()::VARCHAR AS s FROM range(10000)")
    warehouse.execute("CHECKPOINT")
    warehouse.execute("INSERT INTO t SELECT 1, 'x'")
    warehouse.execute("SET memory_limit = '60 MiB'")
    warehouse.execute(
        "CREATE TEMP TABLE big AS SELECT range AS i, random()::VARCHAR || random() AS s FROM range(2000000)"
    )
    made = {p.name: mode(p) for p in tmp_path.rglob("*")}
    assert "w.duckdb.wal" in made
    assert any(name.startswith("duckdb_temp") for name in made), made
    assert {n: m for n, m in made.items() if m & 0o077} == {}
    warehouse.close()
    (tmp_path / "mine").touch()
    assert mode(tmp_path / "mine") == 0o666  # the process has its own umask again


def test_a_umask_that_somebody_set_while_another_file_is_open(tmp_path: Path) -> None:
    with closing(DuckDBWarehouse(tmp_path / "w.duckdb")):
        os.umask(0)
        with closing(DuckDBWarehouse(tmp_path / "v.duckdb")):
            assert mode(tmp_path / "v.duckdb") == 0o600


def test_a_file_that_did_not_open_leaves_the_umask(tmp_path: Path) -> None:
    (tmp_path / "w.duckdb").write_text("no database")
    with pytest.raises(WarehouseError):
        DuckDBWarehouse(tmp_path / "w.duckdb")
    (tmp_path / "mine").touch()
    assert mode(tmp_path / "mine") == 0o666


@pytest.mark.parametrize(
    "environ",
    [
        {"PYTHONIOENCODING": "ascii"},
        {"PYTHONIOENCODING": "latin-1", "PYTHONUTF8": "0"},
        {"LC_ALL": "C"},
    ],
)
def test_what_a_program_reads_is_utf8_in_every_locale(tmp_path: Path, environ: dict[str, str]) -> None:
    (tmp_path / "profile").mkdir()
    done = subprocess.run(
        [sys.executable, "-m", "revetl.cli.main", "ls", "--json", "--project-dir", str(tmp_path / "kein Pläne")],
        env={**os.environ, **environ},
        capture_output=True,
        timeout=60,
    )
    assert b"Traceback" not in done.stderr
    assert "Pläne" in done.stderr.decode()
    assert "Pläne" in json.dumps(json.loads(done.stdout.decode()), ensure_ascii=False)


@pytest.mark.parametrize(
    ("text", "full"),
    [
        ('IO Error: Could not write file "/data/w.duckdb": No space left on device', True),
        ('IO Error: Could not write file "/data/w.duckdb": File too large', True),
        ('TransactionContext Error: Failed to commit: Could not write file "/x": Disk quota exceeded', True),
        ('Catalog Error: Table with name "no space left on device" does not exist!', False),
        ('IO Error: Cannot open file "/disk is full/w.duckdb": Permission denied', False),
    ],
)
def test_a_full_disk_is_told_by_what_the_system_said(text: str, full: bool) -> None:
    assert isinstance(_translated(duckdb.IOException(text)), WarehouseFull) is full


def _read(path: Path) -> None:
    with closing(DuckDBWarehouse(path)) as warehouse:
        warehouse.rows("SELECT max(i), max(s) FROM t")


@pytest.mark.parametrize("folder", ["block", "lock", "clock", "locked"])
@pytest.mark.parametrize("damage", ["text", "header", "pages"])
def test_a_damaged_file_is_never_called_locked(tmp_path: Path, folder: str, damage: str) -> None:
    path = tmp_path / folder / "w.duckdb"
    path.parent.mkdir()
    with duckdb.connect(str(path)) as db:
        db.execute("CREATE TABLE t AS SELECT range AS i, hash(range)::VARCHAR AS s FROM range(100000)")
    raw = bytearray(path.read_bytes())
    if damage == "text":
        raw = bytearray(b"could not set lock on file, held in block (PID 1)")
    elif damage == "header":
        raw[8:12] = b"XXXX"
    else:
        for at in range(4096 * 3 + 5000, len(raw), 20_000):
            raw[at] ^= 0xFF
    path.write_bytes(raw)
    with pytest.raises(WarehouseError) as e:
        _read(path)
    assert type(e.value) is WarehouseError
    assert "is open in" not in str(e.value)


@pytest.mark.parametrize("private", [True, False])
def test_what_dbt_builds_into_a_file_is_as_private_as_the_file(tmp_path: Path, private: bool) -> None:
    program = tmp_path / "dbt"
    program.write_text("#!/bin/sh\necho x > made\n")
    program.chmod(0o755)
    dbt = Dbt(
        executable=str(program),
        root=tmp_path,
        project_dir=tmp_path,
        profiles_dir=tmp_path,
        profile="p",
        target="t",
        target_path=tmp_path / "target",
        private=private,
    )
    with suppress(RevetlError):  # it leaves no results behind, as dbt would
        run_dbt("build", dbt)
    assert mode(tmp_path / "made") == (0o600 if private else 0o666)

"""Why a DuckDB file can't be opened is told by kind, never by a word that may come from a path or a name."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from revetl.errors import WarehouseBusy, WarehouseConflict, WarehouseError, WarehouseOutOfMemory
from revetl.warehouse.duckdb import DuckDBWarehouse
from revetl.warehouse.memory import repeated_when_short

HOLD = """
import sys, duckdb
held = duckdb.connect(sys.argv[1])
held.execute("CREATE TABLE IF NOT EXISTS t (i INTEGER)")
print("open", flush=True)
sys.stdin.read()
"""
# As a user who owns nothing; modules first, which that user may not be able to read.
AS_NOBODY = """
import os, sys
from pathlib import Path
from revetl.errors import RevetlError
from revetl.warehouse.duckdb import DuckDBWarehouse

if os.geteuid() == 0:
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
try:
    DuckDBWarehouse(Path(sys.argv[1])).close()
except RevetlError as e:
    print(type(e).__name__, e.exit_code, e)
"""


@pytest.fixture(params=["plain", "block-lock-conflict"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    made = tmp_path / request.param
    made.mkdir()
    return made


def test_a_file_that_another_process_has_names_its_pid(folder: Path) -> None:
    file = folder / "w.duckdb"
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(file)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "open\n"
        with pytest.raises(WarehouseBusy, match=rf"is open in process {other.pid} \(.+\)\. .*--wait"):
            DuckDBWarehouse(file)
        other.communicate("")
    DuckDBWarehouse(file).close()


def test_a_damaged_file_is_not_called_locked(folder: Path) -> None:
    file = folder / "w.duckdb"
    warehouse = DuckDBWarehouse(file)
    warehouse.execute("CREATE TABLE t AS SELECT i, md5(CAST(i AS VARCHAR)) AS m FROM range(200000) r(i)")
    warehouse.execute("CHECKPOINT")
    warehouse.close()
    content = bytearray(file.read_bytes())
    for at in range(3 * 4096, len(content) - 5001, 262_144):
        content[at + 5000] ^= 0xFF
    file.write_bytes(content)
    with pytest.raises(WarehouseError, match=r"(?i)corrupt") as e:
        DuckDBWarehouse(file).rows("SELECT count(*), max(m) FROM t")
    assert type(e.value) is WarehouseError


@pytest.mark.parametrize("content", [b"no database " * 999, b"x"])
def test_a_file_that_is_no_database_is_not_called_locked(folder: Path, content: bytes) -> None:
    file = folder / "w.duckdb"
    file.write_bytes(content)
    with pytest.raises(WarehouseError) as e:
        DuckDBWarehouse(file)
    assert type(e.value) is WarehouseError
    assert str(file) in str(e.value)


def test_no_folder_for_it(folder: Path) -> None:
    for missing in (folder / "gone" / "w.duckdb", folder / "gone" / "deeper" / "w.duckdb"):
        with pytest.raises(WarehouseError, match="no such directory"):
            DuckDBWarehouse(missing)


def test_a_conflict_of_two_transactions_is_one_and_a_name_is_none(folder: Path) -> None:
    warehouse = DuckDBWarehouse(folder / "w.duckdb")
    warehouse.execute("CREATE TABLE conflict AS SELECT 1 AS i")
    other = warehouse._db.cursor()
    other.execute("BEGIN")
    other.execute("UPDATE conflict SET i = 2")
    with pytest.raises(WarehouseConflict), warehouse.transaction():
        warehouse.execute("UPDATE conflict SET i = 3")
    other.execute("COMMIT")
    with pytest.raises(WarehouseError) as e:
        warehouse.execute('SELECT "conflict_" FROM conflict')
    assert type(e.value) is WarehouseError
    warehouse.close()


@pytest.mark.parametrize(("of_file", "of_folder"), [(0o600, 0o777), (0o666, 0o755), (0o666, 0o700)])
def test_a_user_who_may_not_write(folder: Path, of_file: int, of_folder: int) -> None:
    file = folder / "w.duckdb"
    DuckDBWarehouse(file).close()
    if os.geteuid() != 0:  # then the files are the user's own
        of_file, of_folder = {(0o600, 0o777): (0o000, 0o755), (0o666, 0o755): (0o600, 0o555)}.get(
            (of_file, of_folder), (0o600, 0o000)
        )
    file.chmod(of_file)
    folder.chmod(of_folder)
    for above in folder.parents:
        if above.stat().st_uid == os.geteuid() and tempfile.gettempdir() in map(str, above.parents):
            above.chmod(0o755)
    try:
        done = subprocess.run(
            [sys.executable, "-c", AS_NOBODY, str(file)], capture_output=True, text=True, check=False, timeout=60
        )
    finally:
        folder.chmod(0o755)
    assert done.stdout.startswith("WarehouseDenied 4 "), done.stdout + done.stderr
    assert "may not" in done.stdout


LIMIT = "SELECT current_setting('memory_limit')"
# A list is one value, which can't be spilled.
GREEDY = "CREATE OR REPLACE TABLE t AS SELECT list(repeat('x', 100) || range) AS texts FROM range(1500000)"


def limit(warehouse: DuckDBWarehouse) -> str:
    return str(warehouse.rows(LIMIT)[0][0])


def test_memory_is_limited_by_the_number_of_threads(tmp_path: Path) -> None:
    for threads, expected in ((1, "112.0 MiB"), (4, "256.0 MiB")):
        warehouse = DuckDBWarehouse(tmp_path / "w.duckdb", threads=threads)
        assert limit(warehouse) == expected
        with warehouse.lean(10):
            assert limit(warehouse) != expected
        assert limit(warehouse) == expected
        warehouse.close()


def test_the_profile_s_own_limit_stands(tmp_path: Path) -> None:
    warehouse = DuckDBWarehouse(tmp_path / "w.duckdb", settings={"memory_limit": "90MiB"})
    with warehouse.lean(10):
        assert limit(warehouse) != "90.0 MiB"
    assert limit(warehouse) == "90.0 MiB"
    with pytest.raises(WarehouseOutOfMemory) as refused, warehouse.transaction():
        warehouse.execute(GREEDY)
    assert not refused.value.repeatable
    with pytest.raises(WarehouseOutOfMemory):
        warehouse.execute(GREEDY)
    assert limit(warehouse) == "90.0 MiB"
    warehouse.close()


def test_a_statement_that_can_t_work_in_little_is_given_more(tmp_path: Path) -> None:
    warehouse = DuckDBWarehouse(tmp_path / "w.duckdb", threads=1)
    warehouse.execute(GREEDY)
    assert limit(warehouse) != "112.0 MiB"
    warehouse.close()


def test_a_result_that_can_t_be_begun_in_little_is_given_more(tmp_path: Path) -> None:
    warehouse = DuckDBWarehouse(tmp_path / "w.duckdb", threads=1)
    (batch,) = warehouse.stream("SELECT length(list(repeat('x', 100) || range)) FROM range(1500000)")
    assert batch.column(0).to_pylist() == [1_500_000]
    assert limit(warehouse) != "112.0 MiB"
    warehouse.close()


def test_a_transaction_that_ran_out_of_memory_can_be_repeated_with_more(tmp_path: Path) -> None:
    warehouse, times = DuckDBWarehouse(tmp_path / "w.duckdb", threads=1), 0
    with repeated_when_short():
        with pytest.raises(WarehouseOutOfMemory) as short, warehouse.transaction():
            warehouse.execute(GREEDY)
        assert short.value.repeatable
        while times < 9:
            try:
                with warehouse.transaction():
                    warehouse.execute(GREEDY)
                break
            except WarehouseOutOfMemory:
                times += 1
    assert warehouse.scalar("SELECT length(texts) FROM t", int) == 1_500_000
    warehouse.close()


def test_a_transaction_that_nobody_repeats_has_all_memory(tmp_path: Path) -> None:
    warehouse = DuckDBWarehouse(tmp_path / "w.duckdb", threads=1)
    with warehouse.transaction():
        warehouse.execute(GREEDY)
    assert limit(warehouse) == "112.0 MiB"
    assert warehouse.scalar("SELECT length(texts) FROM t", int) == 1_500_000
    warehouse.close()


def test_memory_that_can_not_be_taken_back_fails_no_transaction_that_was_committed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    warehouse = DuckDBWarehouse(tmp_path / "w.duckdb", threads=1)
    lower, refused = warehouse._limit_memory, []

    def held(mebibytes: float) -> None:
        if mebibytes == 112:
            refused.append(mebibytes)
            raise WarehouseOutOfMemory("could not free up enough memory")
        lower(mebibytes)

    monkeypatch.setattr(warehouse, "_limit_memory", held)
    with warehouse.transaction():
        warehouse.execute("CREATE TABLE t AS SELECT 1 AS n")
    assert refused == [112]
    with warehouse.transaction():
        warehouse.execute("INSERT INTO t VALUES (2)")
    assert warehouse.scalar("SELECT count(*) FROM t", int) == 2
    assert refused == [112], "not tried again"
    warehouse.close()

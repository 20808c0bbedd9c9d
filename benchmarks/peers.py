"""Tools that are made for comparing two tables, each in an environment of its own with the DuckDB that it asks for.

Their dependencies do not agree with ours, so they are installed beside, the first time, under .peers/.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

PACKAGES = ("reladiff==0.6.0", "sqlmesh==0.236.4", "duckdb==1.5.6")
_HOME = Path(__file__).resolve().parents[1] / ".peers"

# Run by the peers' own Python: makes the two tables, then compares them once. The first argument says by whom.
_SCRIPT = """
import json, sys, time
import duckdb
who, database, before, after, columns = sys.argv[1], sys.argv[2], sys.argv[3], sys.argv[4], sys.argv[5].split(",")
with duckdb.connect(database) as db:
    db.execute(f"CREATE TABLE a AS SELECT * EXCLUDE (i) FROM ({before})")
    db.execute(f"CREATE TABLE b AS SELECT * EXCLUDE (i) FROM ({after})")
if who == "reladiff":
    from reladiff import connect_to_table, diff_tables
    started = time.perf_counter()
    tables = [connect_to_table(f"duckdb:///{database}", t, ("golden_id",), extra_columns=tuple(columns)) for t in "ab"]
    found = sum(1 for _ in diff_tables(*tables, extra_columns=tuple(columns))) // 2
else:
    from sqlmesh.core.engine_adapter.duckdb import DuckDBEngineAdapter
    from sqlmesh.core.table_diff import TableDiff
    connection = duckdb.connect(database)
    started = time.perf_counter()
    stats = TableDiff(DuckDBEngineAdapter(connection.cursor), "a", "b", ["golden_id"]).row_diff().stats
    found = int(stats["join_count"] - stats["full_match_count"])
print(json.dumps({"seconds": time.perf_counter() - started, "found": found}))
"""


def python() -> Path:
    """The interpreter of the peers' environment."""
    found = _HOME / "bin" / "python"
    stamp = _HOME / ".installed"
    if not stamp.exists() or stamp.read_text() != "\n".join(PACKAGES):
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(_HOME)], check=True)
        subprocess.run([str(found), "-m", "pip", "install", "-q", *PACKAGES], check=True, stderr=subprocess.DEVNULL)
        stamp.write_text("\n".join(PACKAGES))
    return found


def compare(rows: int) -> list[tuple[str, float, str]]:
    """(name, seconds, what came of it) per peer, over the tables of `benchmarks.wide`."""
    from benchmarks.wide import MAPPED, SELECT

    before = SELECT.format(rows=rows, changed="false")
    after = SELECT.format(rows=rows, changed="i % 100 = 7")
    results = []
    for who, name in (("reladiff", "reladiff 0.6.0"), ("sqlmesh", "SQLMesh 0.236.4 table_diff")):
        with tempfile.TemporaryDirectory() as folder:
            database = f"{folder}/tables.duckdb"
            done = subprocess.run(
                [str(python()), "-c", _SCRIPT, who, database, before, after, ",".join(MAPPED)],
                capture_output=True,
                text=True,
                check=False,
            )
        if done.returncode:
            raise RuntimeError(f"{name} failed:\n{done.stderr[-2000:]}")
        figures = json.loads(done.stdout.strip().splitlines()[-1])
        if figures["found"] != rows // 100:
            raise AssertionError(f"{name} found {figures['found']} rows, not {rows // 100}")
        results.append((name, float(figures["seconds"]), "the same rows found"))
    return results

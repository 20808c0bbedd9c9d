"""The file of the embedded warehouse, opened again and again by one process, as a notebook does."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

_TWICE = """
import sys
from revetl.warehouse.duckdb import DuckDBWarehouse

first = DuckDBWarehouse(sys.argv[1])
first.execute("CREATE TABLE t AS SELECT range AS i FROM range(100000)")
half_read = first.stream("SELECT i FROM t ORDER BY i", batch_rows=1000)
next(half_read)
first.close()
second = DuckDBWarehouse(sys.argv[1])
assert second.rows("SELECT count(*) FROM t") == [(100000,)]
half_read.close()
second.close()
"""


def test_a_result_that_was_left_half_read_does_not_keep_the_file(tmp_path: Path) -> None:
    # In a process of its own: the database's wait can't be interrupted from within.
    try:
        subprocess.run([sys.executable, "-c", _TWICE, str(tmp_path / "w.duckdb")], check=True, timeout=30)
    except subprocess.TimeoutExpired:
        pytest.fail("the second open waits for the first one's result")

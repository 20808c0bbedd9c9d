"""Where source and snapshot can differ at all, found in memory that does not grow with them.

The join that finds what differs holds the keys of one side. Most runs of an hourly sync find next to nothing, and that
can be told without a join: keys fall into buckets by their hash, and two buckets with as many rows and the same sum of
the rows' hashes hold the same rows. Only buckets that disagree are joined; mostly there are none.

Only where the warehouse works in our own process: elsewhere its memory is not ours to save.
"""

from __future__ import annotations

from revetl.errors import WarehouseError
from revetl.state.sync_tables import SyncTables

# Two rows that changed so that their bucket's sum stayed the same, by chance once in 2^64, would wait for the next run.
_BUCKETS = 65_536
_FROM_ROWS = 500_000  # below, a join takes less memory than Python has taken already
_SAMPLE_ROWS = 20_000
_MOST_SUSPECTS = _BUCKETS // 8


def find(tables: SyncTables) -> str | None:
    """A scratch table of the buckets (`bucket`) in which rows differ; None where all have to be joined: few rows, many
    changes, or no memory to find out. Reads both tables, changes neither. Safe to repeat."""
    warehouse = tables.warehouse
    lean = warehouse.lean(len(tables.fields) + 1)
    if lean is None or warehouse.kind(tables.spec.relation) != "table" or tables.spec.references:
        return None
    rows = warehouse.scalar(f"SELECT count(*) FROM {tables.model}", int)
    if rows < _FROM_ROWS:
        return None
    tables.drop_scratch("suspects")
    try:
        with lean:
            if not _quiet(tables, rows):
                return None
            tables.new_scratch("suspects", f"AS {_disagreeing(tables)}")
    except WarehouseError:
        return None  # no memory, or a disk that is full: the join, which needs more of both, says so in its own words
    buckets = tables.scratch("suspects")
    found = warehouse.scalar(f"SELECT count(*) FROM {buckets}", int)
    return buckets if found <= _MOST_SUSPECTS else None


def among(buckets: str, key: str) -> str:
    """The condition that a row with this key falls into one of the buckets."""
    return f"{_bucket(key)} IN (SELECT bucket FROM {buckets})"


def _quiet(tables: SyncTables, rows: int) -> bool:
    """Whether a sample of the source stands in the snapshot row by row. Where it does not, looking for buckets would be
    a second reading of everything for nothing."""
    share = min(100.0, 100.0 * _SAMPLE_ROWS / rows)
    sample = f"SELECT * FROM {tables.model} TABLESAMPLE system({share:.4f} PERCENT) REPEATABLE (1)"
    asked, stand = tables.warehouse.numbers(
        f"""
        WITH s AS MATERIALIZED ({tables.source_hashes(f"({sample})")})
        SELECT
            (SELECT count(*) FROM s),
            (SELECT count(*) FROM s JOIN {tables.snapshot} n ON n.key = s.key AND n.row_hash = s.source_hash)
        """
    )
    return asked == stand


def _disagreeing(tables: SyncTables) -> str:
    ours, theirs = tables.source_hashes(), f"SELECT key, row_hash AS source_hash FROM {tables.snapshot}"
    return f"""
        SELECT coalesce(s.bucket, n.bucket) AS bucket
        FROM ({_digests(ours)}) s
        FULL OUTER JOIN ({_digests(theirs)}) n ON n.bucket = s.bucket
        WHERE s.n IS DISTINCT FROM n.n
            OR s.digest IS DISTINCT FROM n.digest
        """


def _digests(side: str) -> str:
    """Per bucket how many rows, and the sum of their hashes."""
    return f"""
        SELECT {_bucket("key")} AS bucket, count(*) AS n, sum(hash(key, source_hash)) AS digest
        FROM ({side}) t
        GROUP BY 1
        """


def _bucket(key: str) -> str:
    return f"hash({key}) % {_BUCKETS}"

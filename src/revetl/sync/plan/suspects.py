"""Where source and snapshot can differ at all, found in memory that does not grow with them.

The join that finds what differs holds the keys of one side. Most runs of an hourly sync find next to nothing, and that
can be told without a join: keys fall into buckets by their hash, and two buckets with as many rows and the same sum of
the rows' hashes hold the same rows. Only buckets that disagree are joined; mostly there are none.

Only where the warehouse works in our own process: elsewhere its memory is not ours to save.
"""

from __future__ import annotations

from revetl.errors import WarehouseError
from revetl.model import Relation
from revetl.state.sync_tables import Layout
from revetl.warehouse.base import Warehouse

# Two rows that changed so that their bucket's sum stayed the same, by chance once in 2^64, would wait for the next run.
_BUCKETS = 65_536
_FROM_ROWS = 500_000  # below, a join takes less memory than Python has taken already
_SAMPLE_ROWS = 20_000
_MOST_SUSPECTS = _BUCKETS // 8


def find(warehouse: Warehouse, layout: Layout) -> Relation | None:
    """A scratch table of the buckets (`bucket`) in which rows differ; None where all have to be joined: few rows, many
    changes, or no memory to find out. Reads both tables, changes neither. Safe to repeat."""
    lean = warehouse.lean(len(layout.fields) + 1)
    if lean is None or warehouse.kind(layout.spec.relation) != "table":
        return None
    rows = int(str(warehouse.rows(f"SELECT count(*) FROM {layout.t(layout.spec.relation)}")[0][0]))
    if rows < _FROM_ROWS:
        return None
    suspects = layout.scratch("suspects")
    warehouse.execute(f"DROP TABLE IF EXISTS {layout.t(suspects)}")
    try:
        with lean:
            if not _quiet(warehouse, layout, rows):
                return None
            warehouse.execute(layout.create_scratch("suspects", f"AS {_disagreeing(layout)}"))
    except WarehouseError:
        return None  # no memory, or a disk that is full: the join, which needs more of both, says so in its own words
    found = int(str(warehouse.rows(f"SELECT count(*) FROM {layout.t(suspects)}")[0][0]))
    return suspects if found <= _MOST_SUSPECTS else None


def among(layout: Layout, suspects: Relation, key: str) -> str:
    """The condition that a row with this key falls into one of the buckets."""
    return f"{_bucket(key)} IN (SELECT bucket FROM {layout.t(suspects)})"


def _quiet(warehouse: Warehouse, layout: Layout, rows: int) -> bool:
    """Whether a sample of the source stands in the snapshot row by row. Where it does not, looking for buckets would be
    a second reading of everything for nothing."""
    share = min(100.0, 100.0 * _SAMPLE_ROWS / rows)
    sample = f"{layout.t(layout.spec.relation)} TABLESAMPLE system({share:.4f} PERCENT) REPEATABLE (1)"
    counted = warehouse.rows(
        f"WITH s AS MATERIALIZED ({layout.source_hashes(f'(SELECT * FROM {sample})')})"
        f" SELECT (SELECT count(*) FROM s), (SELECT count(*) FROM s JOIN {layout.t(layout.snapshot)} n"
        " ON n.key = s.key AND n.row_hash = s.source_hash)"
    )[0]
    return counted[0] == counted[1]


def _disagreeing(layout: Layout) -> str:
    sides = (
        layout.source_hashes(),
        f"SELECT key, row_hash AS source_hash FROM {layout.t(layout.snapshot)}",
    )
    ours, theirs = (
        f"(SELECT {_bucket('key')} AS bucket, count(*) AS n, sum(hash(key, source_hash)) AS digest"
        f" FROM ({side}) t GROUP BY 1)"
        for side in sides
    )
    return (
        f"SELECT coalesce(s.bucket, n.bucket) AS bucket FROM {ours} s FULL OUTER JOIN {theirs} n ON n.bucket = s.bucket"
        " WHERE s.n IS DISTINCT FROM n.n OR s.digest IS DISTINCT FROM n.digest"
    )


def _bucket(key: str) -> str:
    return f"hash({key}) % {_BUCKETS}"

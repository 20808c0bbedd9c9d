"""Cells of two clusterings, counted in the warehouse: what is the same on both sides never leaves it. Reads only."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from revetl.errors import ConfigError, quoted
from revetl.golden.clusters import Cell
from revetl.model import Relation
from revetl.warehouse.base import Warehouse
from revetl.warehouse.sql import ident, literal, table

# How models of clusters name a record and its cluster; the first that is there counts.
_RECORDS = ("record_key", "node", "member_key", "record")
_CLUSTERS = ("golden_id", "cluster", "company_golden_id")
_ENTITY = "entity"


@dataclass(frozen=True, slots=True)
class ClusterTable:
    """A relation with a row per record. `entity`: the column that says of what kind the golden record is, where a
    record is in one of each kind. `only`: look at this kind alone."""

    relation: Relation
    record: str
    cluster: str
    entity: str | None
    only: str | None = None

    @property
    def select(self) -> str:
        """A SELECT of `record` and `cluster`, both text; of several kinds with the kind before them."""
        record, cluster = (f"CAST({ident(name)} AS VARCHAR)" for name in (self.record, self.cluster))
        kind = ""
        if self.entity is not None and self.only is None:
            record, cluster = (f"{ident(self.entity)} || '|' || {each}" for each in (record, cluster))
        elif self.entity is not None and self.only is not None:
            kind = f"AND {ident(self.entity)} = {literal(self.only)}"
        return f"""
            SELECT {record} AS record, {cluster} AS cluster
            FROM {table(self.relation)}
            WHERE {ident(self.record)} IS NOT NULL AND {ident(self.cluster)} IS NOT NULL {kind}
            """


def cluster_table(warehouse: Warehouse, relation: Relation, *, only: str | None = None) -> ClusterTable:
    """By the names of its columns. ConfigError where it does not exist, or none of them names a record or a cluster."""
    names = [c.name for c in warehouse.columns(relation)]
    if not names:
        raise ConfigError(f"there is no table {_named(relation)}", hint="Build it first: revetl build")
    record = next((name for name in _RECORDS if name in names), None)
    cluster = next((name for name in _CLUSTERS if name in names), None)
    if record is None or cluster is None:
        raise ConfigError(
            f"{_named(relation)} does not say which record is in which cluster",
            hint=f"It needs one of {', '.join(_RECORDS)} and one of {', '.join(_CLUSTERS)}.",
        )
    if only is not None and _ENTITY not in names:
        raise ConfigError(f"{_named(relation)} has no column {_ENTITY!r}: it holds one kind of golden record")
    return ClusterTable(relation, record, cluster, _ENTITY if _ENTITY in names else None, only)


def _named(relation: Relation) -> str:
    return quoted(f"{relation.schema}.{relation.name}")


def differing_cells(
    warehouse: Warehouse, before: ClusterTable, after: ClusterTable
) -> tuple[list[Cell], Mapping[str, int]]:
    """Cells of the clusters that are not the same on both sides; and how many clusters are the same (`unchanged`), and
    records on one side only (`gone`, `new`)."""
    counted = f"""
        WITH old_records AS ({before.select}),
        new_records AS ({after.select}),
        cells AS (
            SELECT o.cluster AS old_cluster, n.cluster AS new_cluster, count(*) AS n_records
            FROM old_records o
            JOIN new_records n ON n.record = o.record
            GROUP BY o.cluster, n.cluster
        ),
        sized AS (
            SELECT
                old_cluster,
                new_cluster,
                n_records,
                sum(n_records) OVER (PARTITION BY old_cluster) AS n_old,
                sum(n_records) OVER (PARTITION BY new_cluster) AS n_new
            FROM cells
        )
        """
    rows = warehouse.rows(
        f"""
        {counted}
        SELECT old_cluster, new_cluster, n_records
        FROM sized
        WHERE n_records <> n_old OR n_records <> n_new
        """
    )
    ((unchanged, gone, new),) = warehouse.rows(
        f"""
        {counted}
        SELECT
            (SELECT count(*) FROM sized WHERE n_records = n_old AND n_records = n_new),
            (SELECT count(*) FROM old_records WHERE record NOT IN (SELECT record FROM new_records)),
            (SELECT count(*) FROM new_records WHERE record NOT IN (SELECT record FROM old_records))
        """
    )
    sizes = {"unchanged": int(str(unchanged)), "gone": int(str(gone)), "new": int(str(new))}
    return [Cell(str(old), str(new_), int(str(n))) for old, new_, n in rows], sizes


@contextmanager
def labels_in_warehouse(warehouse: Warehouse, labels: Sequence[tuple[str, str]]) -> Iterator[Relation]:
    """A temporary table of labels (record, cluster), gone after the block; where that fails, with the connection."""
    import pyarrow as pa

    lines = warehouse.scratch("revetl_match_labels")
    warehouse.execute(f"DROP TABLE IF EXISTS {table(lines)}")
    warehouse.execute(f"CREATE TEMPORARY TABLE {table(lines)} (record VARCHAR, cluster VARCHAR)")
    columns = [pa.array([label[place] for label in labels], pa.string()) for place in (0, 1)]
    warehouse.append(lines, pa.table(columns, names=["record", "cluster"]))
    yield lines
    warehouse.execute(f"DROP TABLE {table(lines)}")


def labelled_cells(warehouse: Warehouse, found: ClusterTable, labels: Relation) -> tuple[list[Cell], int]:
    """Cells of what was found and of the labels (record, cluster), over the records that have a label; and how many
    labels name no record of the table."""
    rows = warehouse.rows(
        f"""
        WITH found AS ({found.select})
        SELECT f.cluster, l.cluster, count(*)
        FROM {table(labels)} l
        JOIN found f ON f.record = l.record
        GROUP BY f.cluster, l.cluster
        """
    )
    cells = [Cell(str(one), str(other), int(str(n))) for one, other, n in rows]
    unknown = warehouse.scalar(
        f"""
        WITH found AS ({found.select})
        SELECT count(*)
        FROM {table(labels)}
        WHERE record NOT IN (SELECT record FROM found)
        """,
        int,
    )
    return cells, unknown

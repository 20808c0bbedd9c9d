"""What `revetl explain` says of why records are one: the edges between them with each field's weight, and what would
have to change before they fall apart."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from revetl.golden.evidence import Edge, bonds, cuts
from revetl.golden.linked_pairs import LinkedPair, last_join
from revetl.usecases.matching_models import MatchedClusters
from revetl.warehouse.sql import ident, table

if TYPE_CHECKING:
    from revetl.model import Relation
    from revetl.warehouse.base import Warehouse

Rows = list[dict[str, Any]]

_EDGE_COLUMNS = ("left_key", "right_key", "match_rule", "identifier", "weight")
_SHARES = ("identifier_weight", "name_weight")  # of `weight`, where the model says them
_MOST_EDGES = 2_000  # of one record: what is asked about it stays within a moment
_MOST_LINKED = 120  # records whose linkage is played again
_BY_WEIGHTS = "weights"


def edges_by_rule(warehouse: Warehouse, members: Relation, edges: Relation, key: str) -> tuple[Rows, Rows]:
    """The edges between the source records of a contact, the heaviest first; and the values that hold some of them to
    the others: those that do so alone, or where there are none the fewest that do so together. Empty where a model is
    not built as it has to be."""
    present = {c.name for c in warehouse.columns(edges)}
    if not {*_EDGE_COLUMNS} <= present or not {"record_key", "golden_id"} <= {
        c.name for c in warehouse.columns(members)
    }:
        return [], []
    keys = warehouse.rows(
        f"""
        SELECT record_key
        FROM {table(members)}
        WHERE golden_id = ?
        ORDER BY record_key
        LIMIT {_MOST_EDGES}
        """,
        [key],
    )
    columns = (*_EDGE_COLUMNS, *(name for name in _SHARES if name in present))
    rows = warehouse.rows(
        f"""
        SELECT {", ".join(f"e.{ident(name)}" for name in columns)}
        FROM {table(edges)} e
        JOIN {table(members)} l ON l.record_key = e.left_key
        JOIN {table(members)} r ON r.record_key = e.right_key
        WHERE l.golden_id = ? AND r.golden_id = ?
        ORDER BY e.weight DESC, e.left_key, e.right_key, e.match_rule
        LIMIT {_MOST_EDGES}
        """,
        [key, key],
    )
    shown = [_edge_row(dict(zip(columns, row, strict=True))) for row in rows]
    found = [Edge(*(row[name] for name in _EDGE_COLUMNS)) for row in shown]
    records = [str(record) for (record,) in keys]
    held: Rows = [
        {"match_rule": bond.rule, "identifier": bond.identifier, "groups": [list(group) for group in bond.groups]}
        for bond in bonds(records, found)
    ]
    if not held:
        held = [
            {
                "all_of": [{"match_rule": rule, "identifier": value} for rule, value in cut.values],
                "groups": [list(group) for group in cut.groups],
            }
            for cut in cuts(records, found)
        ]
    return shown, held


def _edge_row(row: dict[str, Any]) -> dict[str, Any]:
    identifier = None if row["identifier"] is None else str(row["identifier"])
    shown = {
        "left_key": str(row["left_key"]),
        "right_key": str(row["right_key"]),
        "match_rule": str(row["match_rule"]),
        "identifier": identifier,
        "weight": float(str(row["weight"])),
    }
    fields = [
        {"field": field, "level": None, "weight": float(str(row[name]))}
        for field, name in ((shown["match_rule"], "identifier_weight"), ("name", "name_weight"))
        if row.get(name) is not None and float(str(row[name]))
    ]
    return {**shown, "fields": fields} if len(fields) > 1 else shown


def edges_by_weight(warehouse: Warehouse, matched: MatchedClusters, cluster: str) -> tuple[Rows, Rows, Rows]:
    """Of a cluster: its records; the pairs inside that speak for one person, the heaviest first, with each field's
    bits; and the two groups that would part first. Empty where there is no such cluster."""
    pairs, names = matched.pairs, list(matched.meta.columns)
    columns = [c.name for c in warehouse.columns(matched.clusters)]
    wanted = ["left_key", "right_key", "weight", *(f"{n}_{what}" for n in names for what in ("weight", "level"))]
    if not {"node", "cluster"} <= set(columns):
        return [], [], []
    nodes = warehouse.rows(
        f"""
        SELECT node
        FROM {table(matched.clusters)}
        WHERE CAST(cluster AS VARCHAR) = ?
        ORDER BY node
        LIMIT {_MOST_EDGES}
        """,
        [cluster],
    )
    records = [str(node) for (node,) in nodes]
    members: Rows = [{"record": record} for record in records]
    if not set(wanted) <= {c.name for c in warehouse.columns(pairs)}:
        return members, [], []
    rows = warehouse.rows(
        f"""
        SELECT {", ".join(f"p.{ident(name)}" for name in wanted)}
        FROM {table(pairs)} p
        JOIN {table(matched.clusters)} l ON l.node = p.left_key
        JOIN {table(matched.clusters)} r ON r.node = p.right_key
        WHERE CAST(l.cluster AS VARCHAR) = ? AND CAST(r.cluster AS VARCHAR) = ?
        ORDER BY p.weight DESC, p.left_key, p.right_key
        LIMIT {_MOST_EDGES}
        """,
        [cluster, cluster],
    )
    found = [_linked(dict(zip(wanted, row, strict=True)), names) for row in rows]
    shown = [_linked_row(pair) for pair in found if pair.weight is not None]
    join = last_join(records, found, unscored=matched.unscored) if len(records) <= _MOST_LINKED else None
    if join is None:
        return members, shown, []
    fields = [{"field": name, "weight": bits} for name, bits in join.fields]
    return members, shown, [{"weight": join.weight, "fields": fields, "groups": [list(group) for group in join.groups]}]


def _linked(row: dict[str, Any], names: list[str]) -> LinkedPair:
    weight = None if row["weight"] is None else float(str(row["weight"]))
    fields = {name: float(str(row[f"{name}_weight"] or 0)) for name in names}
    levels = {name: str(row[f"{name}_level"]) for name in names}
    return LinkedPair(str(row["left_key"]), str(row["right_key"]), weight, fields, levels)


def _linked_row(pair: LinkedPair) -> dict[str, Any]:
    said = sorted(pair.fields.items(), key=lambda each: -each[1])
    return {
        "left_key": pair.left,
        "right_key": pair.right,
        "match_rule": _BY_WEIGHTS,
        "identifier": None,
        "weight": pair.weight,
        "fields": [{"field": name, "level": pair.levels[name], "weight": bits} for name, bits in said if bits],
    }

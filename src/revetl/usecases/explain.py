"""`revetl explain`: all that is known of one record, from its sources to every destination. Reads only."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from revetl.model import Relation
from revetl.state.costs import priced_values
from revetl.state.outcomes import done_as
from revetl.state.schema import relation, table_suffix
from revetl.usecases.caller import Caller
from revetl.usecases.explained_edges import Rows, edges_by_rule, edges_by_weight
from revetl.usecases.matching_models import matched_clusters
from revetl.usecases.record_names import known_key
from revetl.warehouse.sql import ident, table

if TYPE_CHECKING:
    from revetl.project import Project
    from revetl.warehouse.base import Warehouse

VALUES, OUTCOMES = "values from providers", "outcomes, newest first"
EDGES, BONDS = "what joins its source records", "what would have to change to split them"
ID_HISTORY = "what happened to its id"
OFFERED = "what each of its values beat (golden_offered_values)"
WON = "won"
UNDECIDED = "undecided"

# Models that tell of a golden record where the project has them, and how the output calls what they hold.
_MODELS = {
    "golden_contacts": "golden record",
    "golden_companies": "golden record",
    "golden_members": "source records",
    "golden_id_redirects": "merged ids",
    "golden_provenance": "where the values come from",
}
_MEMBERS, _EDGES, _HISTORY = "golden_members", "int_contact_edges", "golden_id_history"
_OFFERED = "golden_offered_values"
_PROVENANCE = "enrichment_provenance"
_VALUE_COLUMNS = (
    "field",
    "value",
    "provider",
    "confidence",
    "verification",
    "verified_by",
    "verified_at",
    "cost_usd",
    "observed_at",
    "rejected_reason",
    "call_id",
)
_LAST = 1_000_000  # sorts after every place that a value can have


def explain(project: Project, text: str, caller: Caller) -> tuple[str, dict[str, Rows]]:
    """The key of the record that `text` names, and title → rows; no title without a row. ConfigError where no record
    is named, with what was looked at, or several are: those are listed."""
    with caller.warehouse(project) as warehouse:
        key = known_key(project, warehouse, text)
        found: dict[str, Rows] = {}
        names = set(project.manifest.model_names())
        for model, title in _MODELS.items():
            if model in names:
                found[f"{title} ({model})"] = _select(warehouse, project.relation(model), "golden_id", key)
        if _OFFERED in names:
            offered = _select(warehouse, project.relation(_OFFERED), "golden_id", key)
            found[OFFERED] = sorted(offered, key=lambda row: (row["field"], int(row["value_rank"])))
        if {_MEMBERS, _EDGES} <= names:
            members, edges = project.relation(_MEMBERS), project.relation(_EDGES)
            found[EDGES], found[BONDS] = edges_by_rule(warehouse, members, edges, key)
        for matched in matched_clusters(project):
            records, joined, split = edges_by_weight(warehouse, matched, key)
            if len(records) > 1 or joined:
                found[f"its records ({matched.name})"], found[EDGES], found[BONDS] = records, joined, split
        if _HISTORY in names:
            history = project.relation(_HISTORY)
            rows = [*_select(warehouse, history, "from_id", key), *_select(warehouse, history, "to_id", key)]
            found[ID_HISTORY] = sorted(rows, key=lambda row: int(row["build"]))
        found[VALUES] = values_of(project, warehouse, key)
        for spec in project.syncs(verified=False):
            at = _at_destination(warehouse, spec.name, spec.destination, spec.object, key)
            # Two syncs of one destination share a title: what one has not must not hide what the other has.
            found |= {title: rows for title, rows in at.items() if rows}
        found[OUTCOMES] = _outcomes(warehouse, key)
    return key, {title: rows for title, rows in found.items() if rows}


def _at_destination(warehouse: Warehouse, sync: str, destination: str, object_: str, key: str) -> dict[str, Rows]:
    def of_sync(prefix: str) -> Rows:
        return _select(warehouse, Relation(warehouse.state_schema, f"{prefix}__{table_suffix(sync)}"), "key", key)

    shown = ("to_sync", "to_key", "type", "state", "synced_at")
    return {
        f"what {destination} {object_} is known to hold": of_sync("snapshot"),
        f"its links in {destination}": [{name: row[name] for name in shown} for row in of_sync("links")],
        f"why it waits for {destination} {object_}": of_sync("rejected"),
    }


def _outcomes(warehouse: Warehouse, key: str) -> Rows:
    rows = _select(warehouse, relation(warehouse, "outcomes"), "key", key, order="at", limit=20)
    shown = ("sync", "op", "status", "message", "before", "after")
    return [
        {"at": f"{row['at']:%Y-%m-%d %H:%M}"}
        | {name: row[name] for name in shown}
        | {"op": done_as(str(row["op"]), row.get("error_code")), "run": row["run_id"][-6:]}
        for row in rows
    ]


def _select(
    warehouse: Warehouse, source: Relation, column: str, key: str, *, order: str | None = None, limit: int = 100
) -> Rows:
    """The rows of this record; none where the table or the column does not exist."""
    names = [c.name for c in warehouse.columns(source)]
    if column not in names:
        return []
    q = warehouse.dialect
    ordering = f"ORDER BY {ident(order, q)} DESC" if order else ""
    found = warehouse.rows(
        f"""
        SELECT {", ".join(ident(n, q) for n in names)}
        FROM {table(source, q)}
        WHERE CAST({ident(column, q)} AS VARCHAR) = ?
        {ordering}
        LIMIT {int(limit)}
        """,
        [key],
    )
    return [dict(zip(names, row, strict=True)) for row in found]


def values_of(project: Project, warehouse: Warehouse, key: str) -> Rows:
    """Every value that a provider gave for the record: in each field the winner first, the others with `reason`. Cost
    is in US dollars."""
    if not warehouse.columns(relation(warehouse, "enrichment_values")):
        return []
    found = warehouse.rows(
        f"""
        SELECT {", ".join("p." + name for name in _VALUE_COLUMNS)}
        FROM ({priced_values(warehouse, "v.key = ?")}) AS p
        """,
        [key],
    )
    rows = [dict(zip(_VALUE_COLUMNS, row, strict=True)) for row in found]
    decided = _decisions(project, warehouse, key)
    for row in rows:
        rejected = row.pop("rejected_reason")
        nothing = (rejected or UNDECIDED, None, None, None, None)
        reason, place, support, n_agreeing, own = decided.get((row["field"], row["value"], row["call_id"]), nothing)
        row |= {"reason": reason, "place": place, "support": support, "n_agreeing": n_agreeing, "own_value": own}
    return sorted(rows, key=_order)


def _decisions(project: Project, warehouse: Warehouse, key: str) -> dict[tuple[Any, ...], tuple[Any, ...]]:
    """(field, value, call) → what the models decided about it, where the project has the model that says so."""
    if _PROVENANCE not in project.manifest.model_names() or not warehouse.columns(project.relation(_PROVENANCE)):
        return {}
    rows = warehouse.rows(
        f"""
        SELECT field, value, call_id, reason, place, support, n_agreeing, first_party_value
        FROM {table(project.relation(_PROVENANCE))}
        WHERE key = ?
        """,
        [key],
    )
    return {row[:3]: row[3:] for row in rows}


def _order(row: dict[str, Any]) -> tuple[Any, ...]:
    place = row["place"] or _LAST
    return (row["field"], row["reason"] != WON, place, -row["observed_at"].timestamp(), row["provider"], row["value"])

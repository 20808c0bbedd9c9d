"""`revetl explain`: one record's story, from its sources to every destination."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import rich_click as click

from revetl.cli.options import ProjectOptions, console, emit_json, json_option, project_options
from revetl.cli.render.values import show_values, values_of

if TYPE_CHECKING:
    from rich.console import Console

    from revetl.model import Relation
    from revetl.project import Project
    from revetl.warehouse.base import Warehouse

Rows = list[dict[str, Any]]

VALUES, OUTCOMES = "values from providers", "outcomes, newest first"
_FIELDS = 6

# Models that tell of a golden record where the project has them, and how the output calls what they hold.
_MODELS = {
    "golden_contacts": "golden record",
    "golden_companies": "golden record",
    "golden_members": "source records",
    "golden_id_redirects": "merged ids",
    "golden_provenance": "where the values come from",
}


@click.command(short_help="Tell one record's story: sources, values, enrichment, last outcomes.")
@project_options
@click.argument("key")
@json_option
def command(options: ProjectOptions, key: str, as_json: bool) -> None:
    """Show all that is known of the record KEY (a golden id, or the key of a sync): the golden record and the source
    records in it, the values that providers gave with their price, and what each destination holds."""
    from revetl.errors import ConfigError

    project = options.load()
    warehouse = project.open_warehouse()
    try:
        story = _story(project, warehouse, key)
    finally:
        warehouse.close()
    if as_json:
        emit_json({"key": key, **story})
        return
    if not story:
        raise ConfigError(f"nothing is known of {key!r}", hint="KEY is a golden_id, or the key column of a sync.")
    for title, rows in story.items():
        _print(console(), title, rows)


def _story(project: Project, warehouse: Warehouse, key: str) -> dict[str, Rows]:
    from revetl.model import Relation
    from revetl.state.schema import relation, table_suffix

    story: dict[str, Rows] = {}
    names = set(project.manifest.model_names())
    for model, title in _MODELS.items():
        if model in names:
            rows = _select(warehouse, project.relation(model), "golden_id", key)
            if rows:
                story[f"{title} ({model})"] = rows
    story[VALUES] = values_of(project, warehouse, key)
    for spec in project.syncs(verified=False):
        held = _select(warehouse, Relation(warehouse.state_schema, f"snapshot__{table_suffix(spec.name)}"), "key", key)
        story[f"what {spec.destination} {spec.object} is known to hold"] = held
        links = Relation(warehouse.state_schema, f"links__{table_suffix(spec.name)}")
        story[f"its links in {spec.destination}"] = [
            {name: row[name] for name in ("to_sync", "to_key", "type", "state", "synced_at")}
            for row in _select(warehouse, links, "key", key)
        ]
        waits = _select(warehouse, Relation(warehouse.state_schema, f"rejected__{table_suffix(spec.name)}"), "key", key)
        story[f"why it waits for {spec.destination} {spec.object}"] = waits
    outcomes = _select(warehouse, relation(warehouse, "outcomes"), "key", key, order="at", limit=20)
    shown = ("sync", "op", "status", "message", "before", "after")
    story[OUTCOMES] = [
        {"at": f"{row['at']:%Y-%m-%d %H:%M}", **{n: row[n] for n in shown}, "run": row["run_id"][-6:]}
        for row in outcomes
    ]
    return {title: rows for title, rows in story.items() if rows}


def _select(
    warehouse: Warehouse, source: Relation, column: str, key: str, *, order: str | None = None, limit: int = 100
) -> Rows:
    """The rows of this record; none where the table or the column does not exist."""
    from revetl.warehouse.sql import ident, table

    names = [c.name for c in warehouse.columns(source)]
    if column not in names:
        return []
    q = warehouse.dialect
    ordering = f" ORDER BY {ident(order, q)} DESC" if order else ""
    found = warehouse.rows(
        f"SELECT {', '.join(ident(n, q) for n in names)} FROM {table(source, q)}"
        f" WHERE CAST({ident(column, q)} AS VARCHAR) = ?{ordering} LIMIT {int(limit)}",
        [key],
    )
    return [dict(zip(names, row, strict=True)) for row in found]


def _print_outcomes(screen: Console, rows: Sequence[dict[str, Any]]) -> None:
    """Each with what it changed: a table of before and after would be broken into columns of a few characters."""
    from revetl.cli.render.reports import short, status

    for row in rows:
        head = f"  {row['at']}  {row['run']}  {row['sync']}  {row['op']}  {status(str(row['status']))}"
        screen.print(head, soft_wrap=True)
        if row["message"]:
            screen.print(f"    {short(row['message'], 300)}", soft_wrap=True)
        before, after = (json.loads(row[side] or "{}") for side in ("before", "after"))
        for name in list(after)[:_FIELDS]:
            was = f"{short(before[name])} → " if name in before else ""
            screen.print(f"    {short(name, 40)}: {was}{short(after[name])}", soft_wrap=True)
        if len(after) > _FIELDS:
            screen.print(f"    … {len(after) - _FIELDS} more")


def _print(screen: Console, title: str, rows: Sequence[dict[str, Any]]) -> None:
    from revetl.cli.render.reports import short, table

    screen.print(f"[bold]{title}[/]")
    if title == VALUES:
        show_values(screen, rows)
    elif title == OUTCOMES:
        _print_outcomes(screen, rows)
    elif len(rows) == 1:
        for name, value in rows[0].items():
            if value is not None:
                screen.print(f"  {name:<20} {short(value, screen.width - 23)}")
    else:
        shown = [name for name in rows[0] if name != "golden_id" and any(r[name] is not None for r in rows)]
        listing = table(*shown)
        for row in rows:
            listing.add_row(*("" if row[name] is None else short(row[name], 40) for name in shown))
        screen.print(listing)
    screen.print()

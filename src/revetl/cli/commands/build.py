"""`revetl build`: dbt build, with the state tables that its models read made first."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import rich_click as click

from revetl.cli.options import ProjectOptions, emit_json, err_console, json_option, project_options, select_options

if TYPE_CHECKING:
    from revetl.project import BuildResult, NodeResult


@click.command(short_help="Build the dbt models.")
@project_options
@select_options
@click.option("--full-refresh", is_flag=True, help="Rebuild incremental models from nothing.")
@json_option
def command(
    options: ProjectOptions, select: tuple[str, ...], exclude: tuple[str, ...], full_refresh: bool, as_json: bool
) -> None:
    """Build the dbt models and run their tests, with the tables they read from.

    Selectors go to dbt as they are. Ends with 1 where a model or a test failed; its syncs are then refused.
    """
    project = options.load()
    result = project.build(select, exclude, full_refresh=full_refresh, on_node=node_printer())
    if as_json:
        emit_json({"invocation_id": result.invocation_id, "seconds": round(result.seconds, 2), "counts": result.counts})
    else:
        click.echo(f"Built in {result.seconds:.1f} s: {count_phrase(result)}.")


def count_phrase(result: BuildResult) -> str:
    """`12 models, 40 tests passed` and what else there was."""
    words = {"success": "built", "pass": "tests passed", "warn": "tests warned", "skipped": "skipped"}
    return ", ".join(f"{n} {words.get(status, status)}" for status, n in result.counts.items()) or "nothing to do"


def node_printer() -> Callable[[NodeResult], None]:
    """Prints to stderr what dbt is done with: every model and seed, and of the tests those that did not pass."""
    screen = err_console()

    def show(node: NodeResult) -> None:
        good = node.status in ("success", "pass", "no-op")
        if (good or node.status == "skipped") and node.kind in ("test", "unit_test", "exposure"):
            return
        mark = "[green]✓[/]" if good else "[yellow]–[/]" if node.status in ("skipped", "warn") else "[red]✗[/]"
        screen.print(f"{mark} {node.kind:<8} {node.name}  [dim]{node.seconds:.2f} s[/]")

    return show

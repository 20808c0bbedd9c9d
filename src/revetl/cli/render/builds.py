"""What dbt is doing, node by node, and what it did in one phrase."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from revetl.cli.options import notes_console

if TYPE_CHECKING:
    from revetl.project import BuildResult, NodeResult


def count_phrase(result: BuildResult) -> str:
    """`12 models, 40 tests passed` and what else there was."""
    words = {"success": "built", "pass": "tests passed", "warn": "tests warned", "skipped": "skipped"}
    return ", ".join(f"{n} {words.get(status, status)}" for status, n in result.counts.items()) or "nothing to do"


def node_printer() -> Callable[[NodeResult], None]:
    """Prints to stderr what dbt is done with: every model and seed, and of the tests those that did not pass."""
    screen = notes_console()

    def show(node: NodeResult) -> None:
        good = node.status in ("success", "pass", "no-op")
        if (good or node.status == "skipped") and node.kind in ("test", "unit_test", "exposure"):
            return
        mark = "[green]✓[/]" if good else "[yellow]–[/]" if node.status in ("skipped", "warn") else "[red]✗[/]"
        screen.print(f"{mark} {node.kind:<8} {node.name}  [dim]{node.seconds:.2f} s[/]")

    return show

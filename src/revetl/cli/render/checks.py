"""What `revetl debug` found, on a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

    from revetl.project import Project
    from revetl.usecases.debug import SetupCheck


def show_checks(screen: Console, project: Project, checks: Sequence[SetupCheck]) -> None:
    from rich.markup import escape
    from rich.table import Table

    screen.print(f"[bold]{escape(project.name)}[/] in {escape(str(project.root))}, target {escape(project.target)}")
    table = Table(box=None, show_header=False, pad_edge=False)
    for check in checks:
        table.add_row("[green]✓[/]" if check.passed else "[red]✗[/]", escape(check.what), escape(check.detail))
    screen.print(table)

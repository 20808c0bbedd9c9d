"""What `revetl debug` found, on a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from revetl.safe_text import for_markup

if TYPE_CHECKING:
    from rich.console import Console

    from revetl.project import Project
    from revetl.usecases.debug import SetupCheck


def show_checks(screen: Console, project: Project, checks: Sequence[SetupCheck]) -> None:
    from rich.table import Table

    where = for_markup(f"{project.root}, target {project.target}")
    screen.print(f"[bold]{for_markup(project.name)}[/] in {where}")
    table = Table(box=None, show_header=False, pad_edge=False)
    for check in checks:
        detail = "\n".join(for_markup(line) for line in check.detail.splitlines())
        table.add_row("[green]✓[/]" if check.passed else "[red]✗[/]", for_markup(check.what), detail)
    screen.print(table)

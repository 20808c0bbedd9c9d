"""How far a sync, a rollback or a reading is: one bar after the other on stderr; none where nobody looks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from revetl.cli.options import notes_console

if TYPE_CHECKING:
    from revetl.context import Meter


class StageBars:
    """At most one bar is shown at a time."""

    def __init__(self) -> None:
        self._shown = ExitStack()

    @contextmanager
    def of(self, subject: str) -> Iterator[Callable[[str], Meter | None]]:
        """Gives what begins the bar of a stage of `subject`, in place of the one before."""

        def begin(stage: str) -> Meter | None:
            self.end()
            return self._shown.enter_context(progress_bar(f"{subject}: {stage}"))

        try:
            yield begin
        finally:
            self.end()

    def end(self) -> None:
        """Takes the bar away. Before anything is asked: a bar would write over the question."""
        self._shown.close()


@contextmanager
def progress_bar(name: str) -> Iterator[Meter | None]:
    screen = notes_console()
    if not screen.is_terminal:
        yield None
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=screen, transient=True) as bar:
        task = bar.add_task(name, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)

"""A person at a terminal, as the caller of a use case: bars and sentences on stderr, ctrl-C, questions."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, TypeVar

from revetl.cli.options import err_console, notes_console
from revetl.cli.reasons import given_reason
from revetl.cli.render.enrich_progress import progress
from revetl.cli.render.stage_progress import StageBars
from revetl.cli.signals import stop_on_signals
from revetl.errors import RevetlError

if TYPE_CHECKING:
    from revetl.sync import PlanSummary, SyncReport
    from revetl.usecases.caller import Caller

T = TypeVar("T")


class Terminal:
    """Entered around one use case. A sync that can't begin ends the command with an error, and those before it have
    already sent: what they did is shown first."""

    def __init__(self, wait_s: float = 0.0) -> None:
        from revetl.usecases.auditing import acting
        from revetl.usecases.caller import Caller

        self._bars = StageBars()
        self._ended: list[SyncReport] = []
        self.caller: Caller = Caller(
            wait_s=wait_s,
            note=note,
            stages=self._bars.of,
            lookups=progress,
            on_sync=self._ended.append,
            stoppable=stop_on_signals,
            acting=acting("command line", given_reason()),
        )

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, _: type[BaseException] | None, error: BaseException | None, __: TracebackType | None) -> None:
        if isinstance(error, RevetlError) and self._ended:
            from revetl.cli.render.reports import show_reports

            show_reports(err_console(), self._ended)

    def without_bars(self, ask: Callable[[T], bool]) -> Callable[[T], bool]:
        """The same question, put when no bar is in its way."""

        def asking(about: T) -> bool:
            self._bars.end()
            return ask(about)

        return asking

    def delete_question(self) -> Callable[[PlanSummary], bool] | None:
        """Asks about a plan's deletions; None where nobody can be asked."""
        return self.without_bars(_confirm_deletes) if sys.stdin.isatty() else None


def note(sentence: str) -> None:
    notes_console().print(sentence, markup=False, soft_wrap=True)


def _confirm_deletes(plan: PlanSummary) -> bool:
    from click import confirm

    return confirm(what_is_deleted(plan), err=True)


def what_is_deleted(plan: PlanSummary) -> str:
    """The question. Who erases is told that nobody takes it back."""
    does = "erase for good, which nobody can take back," if plan.erased else "delete or clear"
    return f"{plan.sync}: {does} {plan.deletions:,} record(s) at {plan.destination}?"

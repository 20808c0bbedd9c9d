"""What a command ends with: one table, and one order where several things went wrong.

| code | means | what helps |
|---|---|---|
| 0 | done | |
| 4 | credentials or scope were refused | mend the account: nothing that uses it can succeed before |
| 3 | a guardrail, a budget, or nobody agreed: stopped on purpose; a saga was undone | look at it, and decide |
| 130 | stopped by ctrl-C or SIGTERM, in good order | the same command takes up from there |
| 2 | usage or configuration; with `--detailed-exitcode`: there is something to do | mend the file |
| 1 | records were refused, now or before; their fate is not known; something was away | look at them, or repeat it |

A command that does several things ends with the first of this table that befell any of them: what has to be mended
before anything else can go well comes first, and single records last. So a failure is never hidden by a milder one.
Errors that end a command carry the same codes (`revetl.errors`).
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import IntEnum
from typing import Protocol


class ExitCode(IntEnum):
    """In the order of gravity, the gravest first."""

    CREDENTIALS = 4
    STOPPED = 3
    INTERRUPTED = 130
    CONFIGURATION = 2
    RECORDS = 1
    DONE = 0


# `plan` and `drift` with --detailed-exitcode, as `terraform plan` ends. What is printed tells it apart from a mistake.
DIFFERENCES = 2


class EndedRun(Protocol):
    """A report of a sync or a rollback, of which `exit_code` does not tell an interrupt."""

    @property
    def status(self) -> str: ...

    @property
    def exit_code(self) -> int: ...


def worst(codes: Iterable[int]) -> int:
    """The gravest of them; 0 where there are none. A code that the table does not name counts as 1."""
    named = {int(code) for code in ExitCode}
    present = {code if code in named else ExitCode.RECORDS for code in codes}
    return next((int(code) for code in ExitCode if code in present), int(ExitCode.DONE))


def of_reports(reports: Iterable[EndedRun]) -> int:
    """The gravest of what these runs ended with."""
    return worst(ExitCode.INTERRUPTED if r.status == "interrupted" else r.exit_code for r in reports)


def detailed(code: int, *, differences: bool) -> int:
    """With --detailed-exitcode: 2 where all went well and there is something to do."""
    return code or (DIFFERENCES if differences else int(ExitCode.DONE))

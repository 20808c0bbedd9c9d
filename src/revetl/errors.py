"""Every failure that revetl raises on purpose, grouped by what a person or the engine does about it.

    RevetlError
    ├ ConfigError        fix a file: path:line, what is wrong, what would be right    exit 2
    ├ CallError          one request to a vendor did not do what was asked
    │ ├ Rejected         this record only
    │ ├ Throttled        wait
    │ ├ Unavailable      back off; certainly not applied
    │ ├ Ambiguous        may have been applied, so its outcome is unknown
    │ └ Denied           credentials or scope; stop this connector                  exit 4
    ├ GuardrailError     a plan too large, a budget spent; nothing sent past it       exit 3
    ├ LeaseError         another run works on the same sync, or took it over        exit 1
    ├ JobRunning         a job of an earlier run has not ended at the destination     exit 1
    └ WarehouseError     stop the run                                                 exit 1
      ├ WarehouseDenied  its credentials                                             exit 4
      ├ WarehouseBusy    another process has the file open: wait for it             exit 1
      ├ WarehouseFull    its disk is: make room, then the same command again        exit 1
      ├ WarehouseOutOfMemory a statement needs more than it may take and can't spill it  exit 1
      ├ WarehouseConflict another transaction was first; nothing of this one stands, repeating it helps
      └ WarehouseLost    the connection is gone: begin again from the start of the work

No message of these may hold a secret or a customer's value: they are printed and logged.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

_LONGEST_QUOTED = 80


class RevetlError(Exception):
    """Base of all. `exit_code` is what the command line ends with when this reaches it, `kind` what a program tells it
    by: it stands in the document of `--json` (docs/reference/errors.md) and does not change."""

    exit_code = 1
    kind = "error"


@dataclass(frozen=True, slots=True)
class Problem:
    """One mistake in one file. `line` counts from 1; None where the file as a whole is meant."""

    message: str
    path: Path | None = None
    line: int | None = None
    hint: str | None = None

    def __str__(self) -> str:
        place = "" if self.path is None else f"{self.path}:{self.line}: " if self.line else f"{self.path}: "
        return f"{place}{self.message}" + (f"\n    {self.hint}" if self.hint else "")


class ConfigError(RevetlError):
    """What the operator wrote can't be run. Carries every problem found, not only the first."""

    kind = "configuration"
    exit_code = 2

    def __init__(self, problems: Sequence[Problem] | Problem | str, *, hint: str | None = None) -> None:
        if isinstance(problems, str):
            problems = Problem(problems, hint=hint)
        self.problems: tuple[Problem, ...] = (problems,) if isinstance(problems, Problem) else tuple(problems)
        super().__init__("\n".join(map(str, self.problems)))


class CallError(RevetlError):
    """A vendor call failed. `code` is the vendor's own word for it (`VALIDATION_ERROR`), `status` the HTTP one."""

    kind = "call"

    def __init__(self, message: str, *, code: str | None = None, status: int | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.status = status


class Rejected(CallError):
    """The vendor will not take this record as it stands. Others are not touched by it. `in_row`: because of a value of
    the record itself that no account takes; anything else may be mended elsewhere (an option, a scope)."""

    kind = "rejected"

    def __init__(
        self, message: str, *, code: str | None = None, status: int | None = None, in_row: bool = False
    ) -> None:
        super().__init__(message, code=code, status=status)
        self.in_row = in_row


class Throttled(CallError):
    """Asked too often. `retry_after_s` is the vendor's word; None where it gave none."""

    kind = "throttled"

    def __init__(
        self,
        message: str,
        *,
        retry_after_s: float | None = None,
        code: str | None = None,
        status: int | None = None,
    ) -> None:
        super().__init__(message, code=code, status=status)
        self.retry_after_s = retry_after_s


class Unavailable(CallError):
    """The vendor was not reached or refused before doing anything: repeating is safe."""

    kind = "unavailable"


class Ambiguous(CallError):
    """The answer was lost after the request may have been applied: repeating is safe only where idempotent."""

    kind = "ambiguous"


class Denied(CallError):
    """Credentials or scope. Nothing else that goes to this connector can succeed. `hint`: what a person does then."""

    kind = "denied"
    exit_code = 4
    hint = (
        "Keys and tokens are named in profiles/connections.yml, or in connections.yml beside revetl.yml;"
        " `revetl debug` tries them."
    )


_UNKNOWN_CREDENTIALS = 401  # a missing scope is 403: what does not take it may go through


def of_whole_destination(error: BaseException | None) -> bool:
    """Whether nothing else that is sent to the same destination can succeed: it is away, its quota is spent, or it does
    not know the credentials. Where it gave no HTTP status, credentials are meant."""
    if isinstance(error, Denied):
        return error.status in (None, _UNKNOWN_CREDENTIALS)
    return isinstance(error, Throttled | Unavailable)


class GuardrailError(RevetlError):
    """A limit that the operator set would be passed. Nothing was sent past it."""

    kind = "guardrail"
    exit_code = 3


class LeaseError(RevetlError):
    """Another run holds the sync, or took it over. Nothing more is written; repeating later is safe."""

    kind = "lease"


class JobRunning(RevetlError):
    """A job that an earlier run submitted still runs at the destination. Nothing was planned or sent; repeating later
    is safe."""

    kind = "job_running"


class JobInterrupted(JobRunning):
    """The same, since the run was told to stop while it followed the job."""

    kind = "interrupted"
    exit_code = 130


class WarehouseError(RevetlError):
    """The database refused, or the disk did. The run stops; what was checkpointed stands."""

    kind = "warehouse"


class WarehouseDenied(WarehouseError):
    """The database knows neither the user nor the password or key, or does not let this user in."""

    kind = "warehouse_denied"
    exit_code = 4


class WarehouseBusy(WarehouseError):
    """The database file is open in another process. Nothing was done; waiting for that process helps."""

    kind = "warehouse_busy"


class WarehouseFull(WarehouseError):
    """The disk of the database, or this machine's, has no room, or the user's share of it is used up. What was
    checkpointed stands; the same command goes on from there."""

    kind = "warehouse_full"


class WarehouseOutOfMemory(WarehouseError):
    """A statement needs more memory than it may take, and can't spill it. Nothing of its transaction was done.
    `repeatable`: more may be taken from now on, so the same may go through."""

    kind = "warehouse_out_of_memory"
    repeatable = False


class WarehouseConflict(WarehouseError):
    """Another transaction wrote the same row first. Nothing of this one was done: do it again from its start."""

    kind = "warehouse_conflict"


class WarehouseLost(WarehouseError):
    """The connection is gone, and with it the open transaction, every scratch table and every half-read result. The
    next statement opens a new one, so whoever can begin again from the start of his work may do so.

    `in_doubt`: a COMMIT or a lone write was on its way and may have been done. Look before it is repeated."""

    kind = "warehouse_lost"

    def __init__(self, message: str, *, in_doubt: bool = False) -> None:
        super().__init__(message)
        self.in_doubt = in_doubt


def quoted(text: str) -> str:
    """What somebody typed, as a message repeats it: a file that was pasted by mistake is not."""
    return repr(text) if len(text) <= _LONGEST_QUOTED else f"{text[:_LONGEST_QUOTED]!r}… ({len(text):,} characters)"


def did_you_mean(word: str, known: Sequence[str]) -> str | None:
    """A hint sentence that names the nearest valid word, or lists all when none is near."""
    if not known:
        return None
    near = get_close_matches(word, known, n=1, cutoff=0.6)
    return f"Did you mean {near[0]!r}?" if near else "Valid here: " + ", ".join(sorted(known))

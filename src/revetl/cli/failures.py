"""A failure as every face of the command line shows it: lines for a person on stderr, one document for a program.

docs/reference/errors.md describes the document. It is loaded when something failed, and not before.
"""

from __future__ import annotations

import errno
import io
import itertools
import json
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from revetl.cli.output import echo, echo_json
from revetl.errors import CallError, ConfigError, Denied, Problem, RevetlError, WarehouseFull, WarehouseOutOfMemory

INTERRUPTED = "Interrupted. What was checkpointed stands; the same command takes up from there."
# Kinds that have no class of ours. Those of revetl.errors stand beside the classes.
USAGE, SYSTEM, UNEXPECTED, INTERRUPT = "usage", "system", "unexpected", "interrupted"
_DISK_HINT = "Free some space and run the same command again: what was checkpointed stands."
_MEMORY_HINT = "Raise memory_limit under `settings` of the DuckDB target in profiles.yml, or leave it out."


@dataclass(frozen=True, slots=True)
class Failure:
    """`kind`: what a program tells it by. `code`: the word of the vendor or the operating system; None where there is
    none. `problems`: every mistake that was found in files; one line each for a person."""

    kind: str
    exit_code: int
    message: str
    code: str | None = None
    hint: str | None = None
    path: Path | None = None
    problems: tuple[Problem, ...] = ()

    def document(self) -> dict[str, Any]:
        """What `--json` prints. Plain values; no value of a customer, since messages hold none."""
        first = self.problems[0] if self.problems else Problem(self.message, self.path, hint=self.hint)
        return {
            "error": {
                "kind": self.kind,
                "code": self.code,
                "message": first.message,
                "path": None if first.path is None else str(first.path),
                "line": first.line,
                "hint": first.hint,
                "exit_code": self.exit_code,
                "problems": [_plain(problem) for problem in self.problems],
            }
        }

    def text(self) -> str:
        """What a person reads."""
        if self.kind == INTERRUPT:
            return self.message
        return f"Error: {self.message}" + (f"\n    {self.hint}" if self.hint else "")


def failure_of(error: BaseException) -> Failure:
    """What to say of it. Nothing of an error that is not ours but its class: its message may hold anything."""
    if isinstance(error, click.ClickException):
        return Failure(USAGE, error.exit_code, error.format_message())
    if isinstance(error, click.Abort | KeyboardInterrupt):
        return Failure(INTERRUPT, 130, INTERRUPTED)
    if isinstance(error, ConfigError):
        return Failure(error.kind, error.exit_code, str(error), problems=error.problems)
    if isinstance(error, RevetlError):
        code = error.code if isinstance(error, CallError) else None
        if isinstance(error, WarehouseFull | WarehouseOutOfMemory):
            cure = _DISK_HINT if isinstance(error, WarehouseFull) else _MEMORY_HINT
            message = f"{str(error).rstrip(' .')}. {cure}"
            return Failure(error.kind, error.exit_code, message, code)
        hint = error.hint if isinstance(error, Denied) else None
        return Failure(error.kind, error.exit_code, str(error), code, hint)
    if isinstance(error, OSError):
        word = errno.errorcode.get(error.errno) if error.errno is not None else None
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            place = f" ({error.filename})" if error.filename else ""
            return Failure(SYSTEM, 1, f"The disk is full{place}. {_DISK_HINT}", word)
        said = error.strerror or error.__class__.__name__
        message = f"{said}: {error.filename}" if error.filename else said
        path = Path(error.filename) if isinstance(error.filename, str) else None
        return Failure(SYSTEM, 1, message, word, path=path)
    return Failure(
        UNEXPECTED,
        1,
        f"Unexpected {error.__class__.__name__}. This is a mistake in revetl. "
        "Run it again with `revetl --debug …` for the traceback.",
    )


def show_document(error: BaseException) -> None:
    """On stdout, for a program. Where nothing can be written there, the line on stderr and the exit code say it all."""
    with suppress(OSError):
        echo_json(json.dumps(failure_of(error).document(), indent=2, ensure_ascii=False))


def show(error: BaseException) -> int:
    """On stderr, for a person. Gives the exit code."""
    failure = failure_of(error)
    with suppress(OSError):  # the code is left to tell by
        if isinstance(error, click.ClickException):
            said = io.StringIO()
            error.show(said)
            echo(said.getvalue(), err=True, nl=False)
        else:
            echo(failure.text(), err=True)
    return failure.exit_code


def is_closed_pipe(error: BaseException) -> bool:
    """Whether nobody reads our output any more, as after `| head`."""
    return isinstance(error, BrokenPipeError) and error.filename is None


def wants_json(arguments: list[str]) -> bool:
    """Read by hand, since it must hold for a failure to parse as well."""
    before = arguments[: arguments.index("--")] if "--" in arguments else arguments
    pairs = itertools.pairwise(before)
    return "--json" in before or "--format=json" in before or ("--format", "json") in pairs


def _plain(problem: Problem) -> dict[str, Any]:
    path = None if problem.path is None else str(problem.path)
    return {"message": problem.message, "path": path, "line": problem.line, "hint": problem.hint}

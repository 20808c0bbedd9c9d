"""The one place that starts a process: dbt, the sandbox and our own commands run on this same interpreter, unless the
operator names a dbt of another environment.

A child that works for one command of ours (`bound=True`) must not outlive it: it would go on and hold the DuckDB file,
with nobody to read what it says. It leads a process group of its own, so that whoever ends it ends what it started too,
and a ctrl-C at the terminal reaches us alone: `stop` passes it on. On Linux the kernel tells the child when the thread
that started it is gone, after `kill -9` too; elsewhere a `kill -9` leaves it behind.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

# A database may take a while to cancel a query.
_STEPS_S = ((signal.SIGINT, 10.0), (signal.SIGTERM, 10.0))
# Runs in the child and becomes the program. PR_SET_PDEATHSIG (1) outlives an exec (prctl(2)). The parent may have died
# just before. Where the shell that started us ignores SIGINT, as of jobs in the background, the child would as well.
_BOUND = """
import ctypes, os, signal, sys
signal.signal(signal.SIGINT, signal.SIG_DFL)
ctypes.CDLL(None).prctl(1, signal.SIGTERM)
if os.getppid() != int(sys.argv[1]):
    sys.exit(1)
try:
    os.execvp(sys.argv[2], sys.argv[2:])
except OSError as e:
    sys.exit(f"it can't be started: {e.strerror}")
"""


def start_python(arguments: Sequence[str], *, bound: bool = False, **how: Any) -> subprocess.Popen[Any]:
    """Starts this interpreter with `arguments` and does not wait; `how` is what `subprocess.Popen` takes, but a shell.

    The caller waits for the child, or stops it. OSError where the system refuses one more process.
    """
    return _start([sys.executable, *arguments], bound, how)


def start_program(program: str, arguments: Sequence[str], *, bound: bool = False, **how: Any) -> subprocess.Popen[Any]:
    """The same for an executable that the operator named."""
    return _start([program, *arguments], bound, how)


def stop(process: subprocess.Popen[Any]) -> None:
    """Ends a bound child and everything in its group, and waits for it: asked as by ctrl-C, told after 10 s, killed
    after 20, or at once where we are interrupted again meanwhile."""
    try:
        for number, patience_s in _STEPS_S:
            _signal_group(process, number)
            with suppress(subprocess.TimeoutExpired):
                process.wait(patience_s)
                break
    finally:
        _signal_group(process, signal.SIGKILL)  # what it left behind, too
        process.wait()


def _signal_group(process: subprocess.Popen[Any], number: signal.Signals) -> None:
    with suppress(ProcessLookupError, PermissionError):  # the group is gone; macOS says the other of a zombie's
        os.killpg(process.pid, number)


def _start(command: list[str], bound: bool, how: dict[str, Any]) -> subprocess.Popen[Any]:
    if how.get("shell"):
        raise ValueError("A child is started without a shell")
    if bound:
        how = {"stdin": subprocess.DEVNULL, **how, "start_new_session": True}
        if sys.platform == "linux":
            command = [sys.executable, "-I", "-S", "-c", _BOUND, str(os.getpid()), *command]
    # Whatever a user typed or configured (a selector, a path, a target) reaches the child as one argument, unread.
    return subprocess.Popen(command, **how)  # noqa: S603 - a fixed program or the operator's own, no shell

"""The one place that starts a process: dbt, the sandbox and our own commands run on this same interpreter, unless the
operator names a dbt of another environment."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from typing import Any


def start_python(arguments: Sequence[str], **how: Any) -> subprocess.Popen[Any]:
    """Starts this interpreter with `arguments` and does not wait; `how` is what `subprocess.Popen` takes, but a shell.

    The caller waits for the child, or stops it. OSError where the system refuses one more process.
    """
    if how.get("shell"):
        raise ValueError("A child is started without a shell")
    # Whatever a user typed or configured (a selector, a path, a target) reaches the child as one argument, unread.
    return subprocess.Popen([sys.executable, *arguments], **how)  # noqa: S603 - a fixed program, no shell


def start_program(program: str, arguments: Sequence[str], **how: Any) -> subprocess.Popen[Any]:
    """The same for an executable that the operator named."""
    if how.get("shell"):
        raise ValueError("A child is started without a shell")
    return subprocess.Popen([program, *arguments], **how)  # noqa: S603 - the operator's own program, no shell

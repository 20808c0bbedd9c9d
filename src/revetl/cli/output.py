"""Plain lines and JSON on stdout and stderr. What is styled goes through the consoles of `cli/options.py`.

Nothing else of the command line writes to them (`tests/unit/test_architecture.py`), so no value reaches a terminal with
characters that steer it.
"""

from __future__ import annotations

import sys
from typing import BinaryIO

import click

from revetl.safe_text import for_json, for_terminal_lines


def echo(text: str = "", *, err: bool = False, nl: bool = True) -> None:
    """Text of one or more lines. Styles of click's own (`click.style`) do not survive it: they are for help alone."""
    click.echo(for_terminal_lines(text), err=err, nl=nl)


def echo_json(document: str, *, nl: bool = True) -> None:
    """A JSON document or a piece of one, on stdout."""
    click.echo(for_json(document), nl=nl)


class SafeStdout:
    """Stdout for a file's bytes: as they are into a pipe or a file, and made safe where a person looks."""

    def __init__(self) -> None:
        self._raw: BinaryIO = sys.stdout.buffer
        self._looked_at = sys.stdout.isatty()
        self._rest = b""

    def write(self, octets: bytes) -> int:
        if not self._looked_at:
            return self._raw.write(octets)
        *lines, self._rest = (self._rest + octets).split(b"\n")
        for line in lines:
            self._raw.write(_shown(line) + b"\n")
        return len(octets)

    def flush(self) -> None:
        self._raw.write(_shown(self._rest))
        self._rest = b""
        self._raw.flush()


def _shown(line: bytes) -> bytes:
    return for_terminal_lines(line.decode("utf-8", "backslashreplace")).encode()

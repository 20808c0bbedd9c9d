"""What the flags --quiet, --verbose, --log-format and --log-file make of revetl's log: lines on stderr or in a file.

Everything that is logged goes through Python's `logging`, below the name `revetl`: what a run does, how long it waits,
what it repeats, and counts. What is logged holds ids of runs, names of syncs, waterfalls and providers, and numbers;
no value, no key of a record, no secret, and never a traceback, whose frames hold all three.
"""

from __future__ import annotations

import json
import logging
import os
import stat
import sys
from collections.abc import MutableMapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TextIO

import click

from revetl.cli.output import echo
from revetl.safe_text import for_json, for_terminal

_ROOT = "revetl"
_META = "revetl.logs"
# What every record of `logging` has; whatever else stands in one was given as `extra`.
_OWN = frozenset({*vars(logging.makeLogRecord({})), "message", "asctime", "taskName"})


def set_option(ctx: click.Context, name: str, value: object) -> None:
    """Notes one flag, before the command's name or after it, and puts into effect what was said so far."""
    root = ctx.find_root()
    settings: MutableMapping[str, object] = root.meta.setdefault(_META, {})
    if not settings:
        root.call_on_close(_end)
    settings[name] = value
    _begin(settings)


def is_given(ctx: click.Context) -> bool:
    """Whether any of the flags was."""
    return bool(ctx.find_root().meta.get(_META))


def is_quiet() -> bool:
    """Whether progress and notes are left out in the command that runs on this thread."""
    ctx = click.get_current_context(silent=True)
    return ctx is not None and bool(ctx.find_root().meta.get(_META, {}).get("quiet"))


class LineFormatter(logging.Formatter):
    """One line a record: `2026-11-28T22:00:01.204Z INFO revetl.sync run finished run_id=… ok=99`."""

    def format(self, record: logging.LogRecord) -> str:
        fields = "".join(f" {name}={_printable(str(value))}" for name, value in _fields(record).items())
        return f"{_at(record)} {record.levelname} {record.name} {_printable(record.getMessage())}{fields}"


class JsonFormatter(logging.Formatter):
    """One JSON document a line: at, level, logger, message, and the fields of the record."""

    def format(self, record: logging.LogRecord) -> str:
        document = {
            "at": _at(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **_fields(record),
        }
        return for_json(json.dumps(document, default=str, ensure_ascii=False))


def _begin(settings: MutableMapping[str, object]) -> None:
    _end()
    log, file = logging.getLogger(_ROOT), settings.get("log_file")
    stream = sys.stderr if file is None else _opened(Path(str(file)))
    handler = _Handler(stream, file=None if file is None else str(file))
    handler.setFormatter(JsonFormatter() if settings.get("log_format") == "json" else LineFormatter())
    log.addHandler(handler)
    if settings.get("verbose"):
        log.setLevel(logging.DEBUG)
    elif file is not None or settings.get("log_format"):
        log.setLevel(logging.INFO)
    else:
        log.setLevel(logging.ERROR if settings.get("quiet") else logging.WARNING)


def _end() -> None:
    log = logging.getLogger(_ROOT)
    for handler in [h for h in log.handlers if isinstance(h, _Handler)]:
        log.removeHandler(handler)
        handler.close()
    log.setLevel(logging.NOTSET)


class _Handler(logging.StreamHandler[TextIO]):
    """`file`: the name of the file that the stream belongs to; None for stderr."""

    def __init__(self, stream: TextIO, *, file: str | None) -> None:
        super().__init__(stream)
        self._file = file
        self._told = False

    def handleError(self, record: logging.LogRecord) -> None:
        """A full disk or a closed pipe costs a line of the log, not the run; and no traceback with the record in it."""
        self._tell_once(sys.exc_info()[1])

    def close(self) -> None:
        super().close()
        if self._file is not None:
            try:
                self.stream.close()
            except OSError as e:  # what was not written by now; the descriptor is closed even so
                self._tell_once(e)

    def _tell_once(self, error: BaseException | None) -> None:
        if self._file is None or self._told:
            return
        self._told = True
        reason = (error.strerror if isinstance(error, OSError) else None) or type(error).__name__
        with suppress(OSError):
            echo(f"--log-file: {self._file} lacks lines of this command: {reason}.", err=True)


def _opened(path: Path) -> TextIO:
    """To append to, for its owner's eyes only: names of accounts and syncs are nobody else's business. UsageError where
    that is not possible or not safe."""
    try:
        # Unless it was a link that is ours when it was looked at, none may come between.
        follow = 0 if _is_own_link(path) else os.O_NOFOLLOW
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | follow, 0o600)
        if stat.S_ISREG(os.fstat(descriptor).st_mode):  # a device, such as /dev/null, is not ours to change
            os.fchmod(descriptor, 0o600)
    except OSError as e:
        raise click.UsageError(f"--log-file: {path} can't be written: {e.strerror}") from None
    return os.fdopen(descriptor, "a", encoding="utf-8")


def _is_own_link(path: Path) -> bool:
    """Who can put a link where the log is to be (in /tmp, or where the link is another user's) chooses which file of
    ours is made or appended to. UsageError then. A link of one's own in a folder of one's own is followed."""
    if not path.is_symlink():
        return False
    trusted = (os.geteuid(), 0)
    open_to_all = path.parent.stat().st_mode & stat.S_IWOTH
    if open_to_all or path.lstat().st_uid not in trusted:
        raise click.UsageError(
            f"--log-file: {path} is a link that another user may have made; name the file that it leads to"
        )
    return True


def _fields(record: logging.LogRecord) -> dict[str, Any]:
    return {name: value for name, value in vars(record).items() if name not in _OWN}


def _at(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _printable(text: str) -> str:
    """A line stays one line, and nothing in it steers a terminal."""
    return for_terminal(text.replace("\n", "\\n"))

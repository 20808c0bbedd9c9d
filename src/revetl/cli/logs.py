"""What the flags --quiet, --verbose, --log-format and --log-file make of revetl's log: lines on stderr or in a file.

Everything that is logged goes through Python's `logging`, below the name `revetl`: what a run does, how long it waits,
what it repeats, and counts. What is logged holds ids of runs, names of syncs, waterfalls and providers, and numbers;
no value, no key of a record, no secret, and never a traceback, whose frames hold all three.
"""

from __future__ import annotations

import json
import logging
import os
import sys
from collections.abc import MutableMapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TextIO

import click

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
    handler = _Handler(stream, closes=file is not None)
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
    def __init__(self, stream: TextIO, *, closes: bool) -> None:
        super().__init__(stream)
        self._closes = closes

    def handleError(self, record: logging.LogRecord) -> None:
        """A full disk or a closed pipe costs a line of the log, not the run; and no traceback with the record in it."""

    def close(self) -> None:
        super().close()
        if self._closes:
            self.stream.close()


def _opened(path: Path) -> TextIO:
    """To append to, for its owner's eyes only: names of accounts and syncs are nobody else's business."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        os.fchmod(descriptor, 0o600)
    except OSError as e:
        raise click.UsageError(f"--log-file: {path} can't be written: {e.strerror}") from None
    return os.fdopen(descriptor, "a", encoding="utf-8")


def _fields(record: logging.LogRecord) -> dict[str, Any]:
    return {name: value for name, value in vars(record).items() if name not in _OWN}


def _at(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _printable(text: str) -> str:
    """A line stays one line, and nothing in it steers a terminal."""
    return for_terminal(text.replace("\n", "\\n"))

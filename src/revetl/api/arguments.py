"""What the functions of the Python face are given, as the use cases take it."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Sequence
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import TYPE_CHECKING

from revetl.usecases.background import Stoppable
from revetl.usecases.caller import Caller

if TYPE_CHECKING:
    from revetl.project import Project
    from revetl.sync import SyncReport

Usd = Decimal | float | str
# Names or selectors, in a list or as one text with blanks between them.
Words = str | Sequence[str]
# One name, or several.
Names = str | Sequence[str]
# The fields that are meant: by name, or True for every one.
Fields = bool | str | Sequence[str]

_log = logging.getLogger("revetl")


def load_project(
    project_dir: Path | str | None, profiles_dir: Path | str | None, target: str | None, vars: str | None = None
) -> Project:
    from revetl import project

    root = project_dir or os.environ.get("REVETL_PROJECT_DIR")
    return project.load(
        None if root is None else Path(root), None if profiles_dir is None else Path(profiles_dir), target, vars
    )


def caller_of(stoppable: Stoppable, wait_s: float, on_sync: Callable[[SyncReport], None] | None = None) -> Caller:
    return Caller(wait_s=wait_s, note=_log.info, stoppable=stoppable, on_sync=on_sync or (lambda _: None))


def as_words(words: Words) -> tuple[str, ...]:
    """Selectors. A text is not taken letter by letter."""
    return tuple(words.split()) if isinstance(words, str) else tuple(words)


def as_names(names: Names) -> tuple[str, ...]:
    """Keys, codes, fields: a text is one of them, blanks and all."""
    return (names,) if isinstance(names, str) else tuple(names)


def as_some_of(names: Names, valid: Sequence[str], what: str) -> tuple[str, ...]:
    """ValueError for a name that is none of `valid`: it would be passed over in silence."""
    for name in (given := as_names(names)):
        if name not in valid:
            raise ValueError(f"{name!r} is no {what}. Valid here: {', '.join(valid)}")
    return given


def as_limit(given: int | None) -> int | None:
    """ValueError for what is no number of records: 0 would look like a run that found nothing to do."""
    if given is not None and (isinstance(given, bool) or not isinstance(given, int) or given < 1):
        raise ValueError(f"limit is a number of records from 1 on, or None for all, not {given!r}")
    return given


def as_usd(given: Decimal | float | str) -> Decimal:
    try:
        usd = Decimal(str(given))
    except InvalidOperation:
        usd = Decimal("NaN")
    if not usd.is_finite() or usd < 0:
        raise ValueError(f"max_spend_usd is an amount of US dollars, not {given!r}")
    return usd

"""The errors of several syncs of one command."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from revetl.errors import RevetlError
from revetl.usecases import exit_codes


def gravest(errors: Mapping[str, RevetlError], note: Callable[[str], None]) -> RevetlError:
    """Of one error at least, by sync: the one with the gravest exit code. The others are told."""
    worst = exit_codes.worst(error.exit_code for error in errors.values())
    chosen = next(error for error in errors.values() if exit_codes.worst([error.exit_code]) == worst)
    for sync, error in errors.items():
        if error is not chosen:
            note(f"{sync}: {error}")
    return chosen

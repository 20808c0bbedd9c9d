"""What the error of one sync means for the others of a command."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from revetl.errors import Denied, RevetlError, Throttled, Unavailable
from revetl.usecases import exit_codes

_UNKNOWN_CREDENTIALS = 401  # a missing scope is 403: other syncs may do without it


def of_whole_destination(error: RevetlError) -> bool:
    """Whether no other sync of the same destination can succeed: it is away, its quota is spent, or it does not know
    the credentials. Where the destination gave no HTTP status, credentials are meant."""
    if isinstance(error, Denied):
        return error.status in (None, _UNKNOWN_CREDENTIALS)
    return isinstance(error, Throttled | Unavailable)


def gravest(errors: Mapping[str, RevetlError], note: Callable[[str], None]) -> RevetlError:
    """Of one error at least, by sync: the one with the gravest exit code. The others are told."""
    worst = exit_codes.worst(error.exit_code for error in errors.values())
    chosen = next(error for error in errors.values() if exit_codes.worst([error.exit_code]) == worst)
    for sync, error in errors.items():
        if error is not chosen:
            note(f"{sync}: {error}")
    return chosen

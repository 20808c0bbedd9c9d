"""Why a record was refused: because of what stands in its row, or of something outside of it.

A cause in the row is gone when the row changes. A cause outside may be gone at any moment, and nobody here is told: an
option is added at the destination, another record gives an address free, an owner is invited, a scope is granted. So
whatever is not known to lie in the row counts as outside, and is tried again (`due`).
"""

from __future__ import annotations

from revetl.warehouse.sql import literal

IN_ROW = frozenset(
    {
        # Decided when it was planned.
        "NO_IDENTITY",
        "INVALID_IDENTITY",
        # Not to be sent at all: the record is there as it should be, or an event that is never changed.
        "EXISTS",
        "EVENT_CHANGED",
        # Found before it was sent: the value has no form that the field takes.
        "INVALID_VALUE",
        "MISSING_ID",
        # Vendors' words for a value that no account takes. An option or an owner that is not there is none. A connector
        # whose vendor has other words needs no line here: its refusals are tried again, which costs requests only.
        "INVALID_BOOLEAN",
        "INVALID_DATE",
        "INVALID_EMAIL",
        "INVALID_INTEGER",
        "INVALID_LONG",
        "INVALID_NUMBER",
        "INVALID_STRING",
        "INVALID_TYPE",
        "INVALID_URL",
        "STRING_TOO_LONG",
        "VALUE_TOO_LONG",
    }
)


def lies_in_row(code: str | None) -> bool:
    """Whether a refusal with this error code is about the row itself."""
    return code in IN_ROW


def lies_outside(column: str) -> str:
    """The same in SQL, the other way round: whether the cause may be gone though the row is as it was. `column` holds
    the error code."""
    return f"coalesce({column}, '') NOT IN ({', '.join(literal(code) for code in sorted(IN_ROW))})"

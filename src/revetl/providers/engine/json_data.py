"""JSON data of a vendor: parsed, with its secret masked, and looked into by pointers. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from revetl.json_documents import parse_json

_ABSENT = object()
# A shorter key is none of a vendor's, and stands inside of ordinary words.
SHORTEST_SECRET = 8
_LONGEST_ID = 500


def parsed(raw: bytes, secrets: Iterable[str]) -> Any:
    """JSON data, or None where it is none that can be used (`parse_json`). It is UTF-8, whatever its headers say
    (RFC 8259). A vendor that echoes a secret must not get it into the ledger."""
    for secret in secrets:
        if len(secret) >= SHORTEST_SECRET:
            raw = raw.replace(secret.encode(), b"***")
    try:
        return parse_json(raw)
    except ValueError:
        return None


def value_at(data: Any, pointer: str) -> Any:
    """The value at an RFC 6901 pointer, None where nothing stands."""
    found = _at(data, pointer)
    return None if found is _ABSENT else found


def _at(data: Any, pointer: str) -> Any:
    for raw in pointer.split("/")[1:]:
        part = raw.replace("~1", "/").replace("~0", "~")
        if isinstance(data, Mapping) and part in data:
            data = data[part]
        elif isinstance(data, list) and part.isdigit() and int(part) < len(data):
            data = data[int(part)]
        else:
            return _ABSENT
    return data


def is_one_of(found: Any, wanted: Any) -> bool:
    """Whether a value of the body is this, or one of a list."""
    # `is` for the type: 1 == True in Python, not in JSON.
    each = wanted if isinstance(wanted, list) else [wanted]
    return any(found == w and isinstance(found, bool) is isinstance(w, bool) for w in each)


def is_job_id(value: Any) -> bool:
    """Whether a vendor's answer can be asked for by this: it becomes one step of an address."""
    return (
        isinstance(value, str | int)
        and not isinstance(value, bool)
        and 0 < len(str(value)) <= _LONGEST_ID
        and str(value).isprintable()
        and str(value) not in (".", "..")
    )

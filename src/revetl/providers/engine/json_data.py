"""JSON data of a vendor: parsed, with its secret masked, and looked into by pointers. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

_ABSENT = object()
# A shorter key is none of a vendor's, and stands inside of ordinary words.
SHORTEST_SECRET = 8


def parsed(text: str, api_key: str) -> Any:
    """JSON data or None. A vendor that echoes the key must not get it into the ledger; NaN is no JSON."""
    if len(api_key) >= SHORTEST_SECRET:
        text = text.replace(api_key, "***")
    try:
        return json.loads(text, parse_constant=lambda _: None)
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

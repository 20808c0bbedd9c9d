"""JSON that others wrote: read within bounds, as data that every part of revetl can hold.

A document may be well-formed and still do harm further on: nested so deep that whoever writes it down again runs out of
stack, so full of empty lists that it takes a hundred times its length, or with half a surrogate in a text, which no
database takes. The first two are refused like any text that is no JSON; the last is mended.
"""

from __future__ import annotations

import json
import re
from typing import Any

# What vendors send has fewer than ten levels, and a thousand properties of a hundred records have 100,000 values.
MOST_LEVELS = 64
MOST_VALUES = 1_000_000

# Every escape in turn, so that the second half of `\\\\ud800` is not taken for one: a pair of surrogates, then what
# can't stand in a text, then any other.
_ESCAPE = re.compile(
    r"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(u[dD][89a-fA-F][0-9a-fA-F]{2}|u0000)|.)", re.DOTALL
)


def parse_json(text: str | bytes, *, most_values: int = MOST_VALUES) -> Any:
    """JSON data; NaN and infinities, which are no JSON, are None. Bytes are UTF-8, with or without a byte order mark.
    What no text of a database can hold, a NUL or half a surrogate, comes as U+FFFD.

    ValueError for what is no JSON, is nested deeper than `MOST_LEVELS`, or holds more than about `most_values` values.
    """
    if isinstance(text, bytes):
        text = text.decode("utf-8", "replace")
    text = text.removeprefix("\ufeff")
    if text.count(",") + text.count("[") + text.count("{") > most_values and _values_in(text) > most_values:
        raise ValueError("holds too many values")
    if "\\u" in text:
        text = _ESCAPE.sub(lambda found: "\\ufffd" if found[1] else found[0], text)
    try:
        data = json.loads(text, parse_constant=lambda _: None, parse_float=_finite)
    except RecursionError:
        raise ValueError("is nested too deep") from None
    if _is_deeper(data, MOST_LEVELS):
        raise ValueError("is nested too deep")
    return data


def _values_in(text: str) -> int:
    """About how many values there are: commas and brackets that stand in no string."""
    outside = re.sub(r'"(?:[^"\\]|\\.)*+"', "", text, flags=re.DOTALL)
    return outside.count(",") + outside.count("[") + outside.count("{")


def _finite(number: str) -> float | None:
    """None for what is too large for a float."""
    value = float(number)
    return value if abs(value) != float("inf") else None


def _is_deeper(data: Any, levels: int) -> bool:
    """Level by level, since whoever looks by recursion runs out of stack himself."""
    level = [data]
    for _ in range(levels):
        level = [
            inner
            for value in level
            if type(value) is dict or type(value) is list
            for inner in (value.values() if type(value) is dict else value)
        ]
        if not level:
            return False
    return any(isinstance(value, dict | list) for value in level)

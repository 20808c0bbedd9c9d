"""What a text must look like to be a number, once for everything that compares or sends one.

Python and DuckDB read more than the destinations take: `1_000`, digits of other scripts, `nan`, blanks around. A text
that only one side takes for a number would be held equal to one that is stored apart, or be sent and refused.
"""

from __future__ import annotations

import re
from decimal import Decimal, InvalidOperation

_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
# A double has up to 309 digits before its point. Written in full, 1e999999999 would be a text of a gigabyte.
_MOST_DIGITS = 400


def parse_number(text: str) -> Decimal | None:
    """ASCII digits with a sign, a point and an exponent at most, and nothing around them; None for any other text, and
    for a number of over 400 digits before or after its point. Exact: no digit is lost."""
    if not _NUMBER.fullmatch(text):
        return None
    try:
        number = Decimal(text)
    except InvalidOperation:  # an exponent that no number has
        return None
    return number if abs(number.adjusted()) <= _MOST_DIGITS else None

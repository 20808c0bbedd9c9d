"""A value as a cell holds it: text, a number or true and false (docs). Nothing that is sent is parsed, so text that
begins with `=` is text."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal

from revetl.errors import Rejected
from revetl.model import Scalar

Cell = str | int | float | bool

LONGEST_TEXT = 50_000  # characters of a cell (unconfirmed)
_DIGITS = 15  # of a number; what has more would lose the last ones


def cell(name: str, value: Scalar) -> Cell:
    """As it is sent; null empties. Rejected for what no cell holds. A number that it would round is sent as text."""
    match value:
        case None:
            return ""
        case bool() | float():
            return value
        case int() | Decimal():
            return _number(Decimal(value))
        case bytes():
            raise Rejected(f"{name}: a cell holds no bytes", code="INVALID_VALUE", in_row=True)
        case _:
            text = _text(value)
    if len(text) > LONGEST_TEXT:
        message = f"{name}: a cell holds {LONGEST_TEXT:,} characters, and this are {len(text):,}"
        raise Rejected(message, code="CELL_TOO_LONG", in_row=True)
    return text


def form(value: object) -> str:
    """How a cell is compared, what is sent and what stands there alike: as it is shown. So a number is equal to its
    text, which a person who types into a cell could not keep apart."""
    match value:
        case None:
            return ""
        case bool():
            return "TRUE" if value else "FALSE"
        case float():
            return _plain(Decimal(f"{value:.{_DIGITS}g}"))
        case int() | Decimal():
            return _plain(Decimal(value))
        case bytes():
            raise ValueError("a cell holds no bytes")
        case str() | date():
            return _text(value)
        case _:
            return str(value)


def _number(value: Decimal) -> Cell:
    """Decimal knows every digit; a cell holds a double."""
    if len(value.normalize().as_tuple().digits) > _DIGITS or abs(value.adjusted()) > 300:
        return _plain(value)
    return int(value) if value == value.to_integral_value() and value.adjusted() < _DIGITS else float(value)


def _plain(value: Decimal) -> str:
    """Without exponent and without zeros at the end."""
    text = format(value, "f")
    text = text.rstrip("0").rstrip(".") if "." in text else text
    return "0" if text == "-0" else text


def _text(value: str | date) -> str:
    """Dates and times in ISO 8601; a moment with its offset is said in UTC."""
    if isinstance(value, datetime):
        if value.tzinfo is None:
            return value.isoformat()
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    return value.isoformat() if isinstance(value, date) else str(value)

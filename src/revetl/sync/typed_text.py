"""Values that were kept as JSON or as a destination's text, back in the type of their column.

`fit` is strict: what the type can't hold exactly is a ValueError, never a rounded or cut value.
"""

from __future__ import annotations

import json
import re
import struct
from collections.abc import Mapping
from datetime import UTC, date, datetime
from decimal import Context, Decimal, InvalidOperation
from typing import Any

from revetl.model import Scalar
from revetl.number_text import parse_number

_SINGLE = ("FLOAT", "REAL")  # 4 bytes in DuckDB's spelling; it prints fewer digits than what was sent has
_INTEGERS = re.compile(r"U?(TINY|SMALL|BIG|HUGE)?INT(EGER)?\b")
_ROOMY = Context(prec=100)  # Python's own has 28 digits, columns have up to 38
_SCALE = re.compile(r"(?:DECIMAL|NUMERIC|NUMBER)\((\d+),\s*(\d+)\)")


def load(text: str | None) -> Mapping[str, Any]:
    """A JSON object of `outcomes`. Fractions come as Decimal: nothing is lost on the way to `fit`."""
    found = json.loads(text or "{}", parse_float=Decimal)
    return found if isinstance(found, dict) else {}


def fit(type_: str, value: Any) -> Scalar:
    """`value` as the column holds it, `type_` in DuckDB's spelling. ValueError where it has no exact form there; the
    message does not hold the value."""
    kind = type_.upper()
    if value is None or (value == "" and kind != "VARCHAR"):
        return None
    try:
        return _fit(kind, value)
    except (ValueError, ArithmeticError, TypeError, LookupError, struct.error):
        raise ValueError(f"has no exact form in {type_}") from None


def _fit(type_: str, value: Any) -> Scalar:
    if type_.startswith("BOOL"):
        return value if isinstance(value, bool) else {"true": True, "false": False}[str(value).lower()]
    if type_.startswith("DOUBLE"):
        return _double(value)
    if type_.startswith(_SINGLE):
        single: float = struct.unpack("<f", struct.pack("<f", _double(value)))[0]
        return single
    if _INTEGERS.match(type_):
        number = _number(value)
        if number != number.to_integral_value():
            raise ValueError
        return int(number)
    if type_.startswith(("DECIMAL", "NUMERIC", "NUMBER")):
        return _decimal(type_, value)
    if type_.startswith(("TIMESTAMP", "DATETIME")):
        return _moment(type_, value)
    if type_ == "DATE":
        moment = datetime.fromisoformat(str(value))
        if moment.time() != datetime.min.time():
            raise ValueError
        return moment.date()
    return value if isinstance(value, str) else json.dumps(value, default=str)


def _number(value: Any) -> Decimal:
    number = parse_number(str(value))
    if number is None:
        raise ValueError
    return number


def _double(value: Any) -> float:
    """NaN and the infinities only where they come as numbers, as the warehouse itself wrote them."""
    return float(_number(value)) if isinstance(value, str) else float(value)


def _decimal(type_: str, value: Any) -> Decimal:
    number = _number(value)
    size = _SCALE.match(type_)
    if size is None:
        return number
    digits, scale = int(size[1]), int(size[2])
    exact = number.quantize(Decimal(1).scaleb(-scale), context=_ROOMY)
    if exact != number or len(exact.as_tuple().digits) > digits:
        raise InvalidOperation
    return exact


def _moment(type_: str, value: Any) -> datetime:
    """Without a zone it is UTC, in the tables as at the destinations."""
    moment = value if isinstance(value, datetime) else datetime.fromisoformat(str(value))
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return aware if "TZ" in type_ or "WITH TIME ZONE" in type_ else aware.astimezone(UTC).replace(tzinfo=None)


def text(value: Scalar) -> str | None:
    """The text from which `cast` to the column's type gives the value back."""
    if value is None:
        return None
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime | date):
        return str(value)
    if isinstance(value, Decimal):
        return format(value, "f")
    return repr(value) if isinstance(value, float) else str(value)


def cast(expression: str, type_: str) -> str:
    """SQL: a text that `text` wrote, as a value of the column's type again. What a destination said goes through `fit`
    first: a warehouse's own cast rounds, and of numbers takes more than any destination does."""
    return f"TRY_CAST({expression} AS {type_})"

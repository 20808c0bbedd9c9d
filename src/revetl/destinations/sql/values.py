"""A value as a column keeps it. What a column would round, cut or wrap is refused by name: a database does some of that
without a word."""

from __future__ import annotations

import json
import math
import struct
from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation
from typing import Any
from uuid import UUID

from revetl.destinations.sql.tables import TableColumn
from revetl.model import Scalar
from revetl.number_text import parse_number

# No text is equal to it: NUL is refused in every column.
NULL_FORM = "\0"
_DOUBLE_DIGITS = 15


def fitted(column: TableColumn, value: Scalar) -> Any:
    """What is bound for it. ValueError with a sentence that names the column and holds no value."""
    if value is None:
        return None
    try:
        return _FIT[column.kind](column, value)
    except (ValueError, TypeError, InvalidOperation, OverflowError) as e:
        said = str(e) if isinstance(e, _Unfit) else f"the value is no {column.kind}"
        raise ValueError(f"{column.name}: {said}") from None


def bound(column: TableColumn, value: Scalar) -> Any:
    """As the driver is given it. ValueError as `fitted`."""
    kept = fitted(column, value)
    return _array_literal(kept) if column.kind == "array" and kept is not None else kept


def shown(column: TableColumn, stored: Any) -> Scalar:
    """What was read, as a value of the engine; as text where it is nothing that the column would be sent."""
    if stored is None:
        return None
    try:
        kept: Scalar = fitted(column, stored)
    except ValueError:
        return str(stored)
    return kept


def normal(column: TableColumn, value: Any) -> str:
    """The form in which two values of this column are compared. ValueError as `fitted`."""
    if value is None or value == NULL_FORM:
        return NULL_FORM
    if column.kind == "bytes" and isinstance(value, str):
        return bytes.fromhex(value).hex()
    kept = fitted(column, value)
    if column.kind == "float":
        return repr((_single(kept) if column.single else kept) + 0.0)  # of -0.0 some databases make 0.0
    if column.kind == "decimal":
        return _plain(kept)
    if column.kind in ("json", "array"):
        return _canonical(kept)
    if isinstance(kept, bool):
        return "true" if kept else "false"
    if isinstance(kept, datetime):
        return kept.astimezone(UTC).replace(tzinfo=None).isoformat(" ") if kept.tzinfo else kept.isoformat(" ")
    if isinstance(kept, bytes):
        return kept.hex()
    return str(kept).rstrip(" ") if column.padded else str(kept)


def from_id(column: TableColumn, text: str) -> Any:
    """The value of the id column, of which `normal` made this text."""
    return bytes.fromhex(text) if column.kind == "bytes" else fitted(column, text)


class _Unfit(ValueError):
    """With a sentence for people."""


def _text(column: TableColumn, value: Scalar) -> str:
    if isinstance(value, bytes):
        raise _Unfit("bytes have no form as text")
    text = _as_text(value)
    if "\0" in text:
        raise _Unfit("the text holds the character NUL")
    if column.length is not None and len(text) > column.length:
        raise _Unfit(f"{len(text):,} characters, and the column takes {column.length:,}")
    return text


def _as_text(value: Scalar) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime):
        return value.isoformat(" ")
    return format(value, "f") if isinstance(value, Decimal) else str(value)


def _int(column: TableColumn, value: Scalar) -> int:
    number = _decimal_of(value)
    if number != number.to_integral_value():
        raise _Unfit("a number with digits behind the point, and the column keeps whole ones")
    whole = int(number)
    if (column.least is not None and whole < column.least) or (column.most is not None and whole > column.most):
        raise _Unfit(f"the number is out of range ({column.least:,} to {column.most:,})")
    return whole


def _decimal(column: TableColumn, value: Scalar) -> Decimal:
    number = _decimal_of(value)
    text = _plain(number).lstrip("-")
    whole, _, fraction = text.partition(".")
    places, before = len(fraction), len(whole.lstrip("0"))
    if column.places is not None and places > column.places:
        raise _Unfit(f"{places} digits behind the point, and the column keeps {column.places}: round it in the model")
    if column.digits is not None and before > column.digits - (column.places or 0):
        raise _Unfit(f"the number is out of range ({column.digits} digits, {column.places} of them behind the point)")
    return number


def _float(column: TableColumn, value: Scalar) -> float:
    if isinstance(value, float):
        number = value
    else:
        exact = _decimal_of(value)
        number = float(exact)
        if Decimal(repr(number)) != exact:
            raise _Unfit(f"more digits than the column keeps (about {_DOUBLE_DIGITS})")
    if math.isinf(_single(number) if column.single else number):
        raise _Unfit("the number is out of range")
    return number


def _single(number: float) -> float:
    """As four bytes keep it."""
    try:
        return float(struct.unpack("f", struct.pack("f", number))[0])
    except OverflowError:
        return math.inf


def _decimal_of(value: Any) -> Decimal:
    if isinstance(value, date | bytes):
        raise TypeError
    number = parse_number(str(int(value)) if isinstance(value, bool) else str(value).strip())
    if number is None:
        raise ValueError
    return number


def _bool(column: TableColumn, value: Scalar) -> bool:
    known = {"true": True, "t": True, "1": True, "false": False, "f": False, "0": False}
    if isinstance(value, str) and value.strip().lower() in known:
        return known[value.strip().lower()]
    if isinstance(value, bool | int) and value in (0, 1):
        return bool(value)
    raise ValueError


def _date(column: TableColumn, value: Scalar) -> date:
    if isinstance(value, str):
        value = datetime.fromisoformat(value.strip())
    if isinstance(value, datetime):
        if value.time().replace(tzinfo=None) != datetime.min.time():
            raise _Unfit("a time of day, and the column keeps dates: cast it in the model")
        return value.date()
    if not isinstance(value, date):
        raise TypeError
    return value


def _timestamp(column: TableColumn, value: Scalar) -> datetime:
    """A moment without a zone is taken in UTC; in a column without one a moment stands as it reads in UTC."""
    if isinstance(value, str):
        value = datetime.fromisoformat(value.strip())
    elif isinstance(value, date) and not isinstance(value, datetime):
        value = datetime.combine(value, datetime.min.time())
    if not isinstance(value, datetime):
        raise TypeError
    if column.places is not None and value.microsecond % 10 ** (6 - column.places):
        raise _Unfit(
            f"parts of a second that the column does not keep ({column.places} digits): truncate it in the model"
        )
    moment = value if value.tzinfo else value.replace(tzinfo=UTC)
    moment = moment.astimezone(UTC)
    return moment if column.zoned else moment.replace(tzinfo=None)


def _bytes(column: TableColumn, value: Scalar) -> bytes:
    if not isinstance(value, bytes | bytearray | memoryview):
        raise _Unfit("the column keeps bytes, and the value is none")
    kept = bytes(value)
    if column.length is not None and len(kept) > column.length:
        raise _Unfit(f"{len(kept):,} bytes, and the column takes {column.length:,}")
    return kept


def _uuid(column: TableColumn, value: Scalar) -> str:
    return str(UUID(str(value)))


def _enum(column: TableColumn, value: Scalar) -> str:
    text = _as_text(value)
    if text not in column.options:
        raise _Unfit("the value is not one of the column's: " + ", ".join(column.options[:20]))
    return text


def _json(column: TableColumn, value: Scalar) -> str:
    """Text is JSON already; any other value is its own JSON."""
    text = value if isinstance(value, str) else json.dumps(value) if isinstance(value, bool | int | float) else None
    if text is None:
        raise TypeError
    try:
        json.loads(text, parse_constant=_no_constant)
    except RecursionError:
        raise _Unfit("nested too deep") from None
    return text


def _array(column: TableColumn, value: Scalar) -> str:
    """A JSON array of values, which have the form of the column's."""
    text = _json(column, value)
    elements = json.loads(text)
    if not isinstance(elements, list) or any(isinstance(e, list | dict) for e in elements):
        raise _Unfit('the column keeps a list: a JSON array such as ["a", "b"]')
    return text


def _array_literal(text: str) -> str:
    """PostgreSQL's own form of a list: its documentation, 8.15.2."""

    def element(value: Any) -> str:
        if value is None:
            return "NULL"
        plain = value if isinstance(value, str) else str(value).lower()
        return '"' + plain.replace("\\", "\\\\").replace('"', '\\"') + '"'

    elements = json.loads(text, parse_float=_plain_text, parse_int=_plain_text)
    return "{" + ",".join(map(element, elements)) + "}"


def _no_constant(word: str) -> None:
    raise _Unfit(f"{word} is no JSON")


def _canonical(text: str) -> str:
    """Names in order, no blanks, numbers by their value."""

    def number(written: Any) -> str:
        return f"number {_plain_text(written)}"

    return json.dumps(
        json.loads(text, parse_float=number, parse_int=number),
        sort_keys=True,
        separators=(",", ":"),
        ensure_ascii=False,
    )


def _plain_text(written: str) -> str:
    number = parse_number(written)
    return written if number is None else _plain(number)


def _plain(number: Decimal) -> str:
    """Without a power of ten, and without zeros at the end."""
    text = format(number, "f")
    text = text.rstrip("0").rstrip(".") if "." in text else text
    return "0" if text == "-0" else text


def _other(column: TableColumn, value: Scalar) -> Any:
    return value.hex() if isinstance(value, bytes) else _text(column, value)


_FIT = {
    "text": _text,
    "int": _int,
    "decimal": _decimal,
    "float": _float,
    "bool": _bool,
    "date": _date,
    "timestamp": _timestamp,
    "bytes": _bytes,
    "uuid": _uuid,
    "enum": _enum,
    "json": _json,
    "array": _array,
    "other": _other,
}

"""Values as Salesforce writes and compares them."""

from __future__ import annotations

import math
import unicodedata
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

from revetl.destinations.salesforce.schema import DescribedField
from revetl.model import Scalar
from revetl.number_text import parse_number

_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ012345"


def whole_id(text: str) -> str:
    """The 18 characters of an id, from 15 or 18 (docs). What is no id stays as it is."""
    if len(text) not in (15, 18) or not (text.isascii() and text.isalnum()):
        return text
    chunks = (text[i : i + 5] for i in (0, 5, 10))
    return text[:15] + "".join(_LETTERS[sum(c.isupper() << i for i, c in enumerate(chunk))] for chunk in chunks)


def is_id(text: str) -> bool:
    """Whether it can be one, in its whole form: anything else is an error of a query."""
    return len(text) == 18 and whole_id(text) == text


def encode(value: Scalar, known: DescribedField | None = None) -> Any:
    """As it stands in JSON; None clears, and so does an empty text (docs). ValueError for what has no form there, with
    the vendor's code for it first in `args` where it has one."""
    kind = known.field.type if known else None
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, bytes):
        raise ValueError("INVALID_VALUE", "bytes have no form in Salesforce")
    if kind == "number":
        return _number(value)
    if kind == "bool" and str(value).strip().lower() in ("true", "false"):
        return str(value).strip().lower() == "true"
    text = _text(value, kind)
    if known and known.length and len(text.strip()) > known.length:
        raise ValueError("STRING_TOO_LONG", f"longer than the {known.length} characters that the field takes")
    return text or None


def canonical(value: Scalar, known: DescribedField | None = None) -> str:
    """One text for all the forms of an equal value. Blanks around a text are not kept (docs); empty is null."""
    kind = known.field.type if known else None
    if kind == "number":
        return _digits(value)
    text = unicodedata.normalize("NFC", _text("" if value is None else value, kind)).strip()
    if kind in ("date", "datetime"):
        return _moment(text, kind)
    if kind == "multi_enum":
        return ";".join(sorted({c.strip() for c in text.split(";")} - {""}))
    if known and known.kind in ("id", "reference"):
        return whole_id(text)
    # By an external id, letter case tells no two records apart unless the field says so (docs).
    folded = kind == "bool" or (known and (known.kind == "email" or (known.finds and not known.case_sensitive)))
    return text.lower() if folded else text


def _text(value: Scalar, kind: str | None) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime):
        utc = (value if value.tzinfo else value.replace(tzinfo=UTC)).astimezone(UTC)
        return utc.date().isoformat() if kind == "date" else f"{utc:%Y-%m-%dT%H:%M:%S}.{utc.microsecond // 1000:03d}Z"
    if isinstance(value, date):
        return f"{value.isoformat()}T00:00:00.000Z" if kind == "datetime" else value.isoformat()
    if isinstance(value, bytes):
        raise ValueError("INVALID_VALUE", "bytes have no form in Salesforce")
    return format(Decimal(repr(value)), "f") if isinstance(value, float) else str(value)


def _number(value: Scalar) -> int | float | str | None:
    """A number of JSON where it holds every digit, else its text."""
    text = str(value).strip()
    if not text:
        return None
    if isinstance(value, float | Decimal) and not math.isfinite(value):
        raise ValueError("INVALID_VALUE", "not a finite number")
    exact = parse_number(text)
    if exact is None:
        raise ValueError("INVALID_TYPE_ON_FIELD_IN_RECORD", "not a number")
    if exact == exact.to_integral_value() and abs(exact) < 2**53:
        return int(exact)
    return float(exact) if Decimal(repr(float(exact))) == exact else format(exact, "f")


def _digits(value: Scalar) -> str:
    text = "" if value is None else str(value).strip()
    number = parse_number(text)
    if number is None:
        return text
    plain = format(number, "f")
    return (plain.rstrip("0").rstrip(".") if "." in plain else plain) if number else "0"


def _moment(text: str, kind: str) -> str:
    """To the second, which is what is kept (unconfirmed)."""
    try:
        moment = datetime.fromisoformat(text)
        utc = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):  # of a moment beyond the year 9999 in UTC
        return text
    return utc.date().isoformat() if kind == "date" else f"{utc:%Y-%m-%dT%H:%M:%S}Z"

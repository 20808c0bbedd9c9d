"""Values as HubSpot writes and compares them. On its wire everything is a string (docs)."""

from __future__ import annotations

import re
import unicodedata
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

from revetl.destinations.base import FieldType
from revetl.destinations.hubspot.domains import DOMAINS, host
from revetl.model import Scalar
from revetl.number_text import parse_number

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# Compared without case and outer blanks: the vendor lowercases them on writing (live for email).
_FOLDED = frozenset({"email", "hs_additional_emails"})

_TRIMMED = frozenset({"number", "bool", "date", "datetime"})

_MILLISECONDS = re.compile(r"-?[0-9]{1,18}")


def encode(value: Scalar, type_: FieldType | None = None) -> str:
    """The text to send; "" clears. ValueError for what HubSpot has no form for. A time without a zone is UTC."""
    if value is None:
        return ""
    if isinstance(value, str):
        # With blanks around it none of these is taken. What is nothing but blanks stays: trimmed it would clear.
        return value.strip() or value if type_ in _TRIMMED else value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime):
        utc = (value if value.tzinfo else value.replace(tzinfo=UTC)).astimezone(UTC)
        return utc.date().isoformat() if type_ == "date" else f"{utc:%Y-%m-%dT%H:%M:%S}.{utc.microsecond // 1000:03d}Z"
    if isinstance(value, date):
        return f"{value.isoformat()}T00:00:00.000Z" if type_ == "datetime" else value.isoformat()
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float | Decimal):
        exact = Decimal(repr(value)) if isinstance(value, float) else value
        if not exact.is_finite():
            raise ValueError("not a finite number")
        text = format(exact, "f")
        return _trimmed(text) if isinstance(value, float) else text
    raise ValueError("bytes have no form in HubSpot")


def canonical(name: str, value: Scalar, type_: FieldType | None = None) -> str:
    """One text for all the forms of an equal value: what is sent and what comes back compare equal by it, and so do two
    values of ours of which the vendor would keep one and the same. Unicode's two ways of writing one letter look alike
    to everybody, so they are equal too (NFC)."""
    text = encode(value, type_)
    if not text.isascii():
        text = unicodedata.normalize("NFC", text)
    if name in _FOLDED:
        return text.strip().lower()
    if name in DOMAINS:
        return ";".join(map(host, text.split(";")))
    if type_ == "number":
        return _number(text)
    if type_ in ("date", "datetime"):
        return _moment(text, type_)
    if type_ == "bool":
        return text.strip().lower()
    if type_ == "multi_enum":
        return ";".join(sorted(set(filter(None, text.split(";")))))
    return text


def _trimmed(text: str) -> str:
    return text.rstrip("0").rstrip(".") if "." in text else text


def _number(text: str) -> str:
    number = parse_number(text)
    if number is None:
        return text
    return _trimmed(format(number, "f")) if number else "0"


def _moment(text: str, type_: FieldType) -> str:
    try:
        if _MILLISECONDS.fullmatch(text):
            moment = _EPOCH + timedelta(milliseconds=int(text))
        else:
            moment = datetime.fromisoformat(text)
            moment = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        return text
    return encode(moment, type_)

"""What a field takes, and what it makes of it."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime
from typing import Any

from revetl.sandbox.salesforce.errors import RecordRefusal
from revetl.sandbox.salesforce.schema import SalesforceField

_EMAIL = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s.]+")
_ID = re.compile(r"[A-Za-z0-9]{15}([A-Z0-5]{3})?")
_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ012345"
_NUMBERS = ("double", "currency", "percent")
_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")


def whole_id(text: str) -> str | None:
    """The 18 characters that are the same in any case, from 15 or 18 (docs); None for what is no id."""
    if not _ID.fullmatch(text):
        return None
    chunks = (text[i : i + 5] for i in (0, 5, 10))
    return text[:15] + "".join(_LETTERS[sum(c.isupper() << i for i, c in enumerate(chunk))] for chunk in chunks)


def stored(field: SalesforceField, value: Any, *, from_csv: bool = False) -> Any:
    """As it is kept; None where it is empty. RecordRefusal for what the field does not take."""
    if value is None or value == "":
        if field.required or field.type == "boolean":
            raise RecordRefusal("REQUIRED_FIELD_MISSING", f"Required fields are missing: [{field.name}]", field.name)
        return None
    if field.type == "boolean":
        return _boolean(field, value, from_csv=from_csv)
    if field.type == "int" or field.type in _NUMBERS:
        return _number(field, value)
    if not isinstance(value, str):
        # A number for a text: by the parser for the whole request, or per record, is unconfirmed.
        raise _wrong_type(field, value)
    return _text(field, value)


def _boolean(field: SalesforceField, value: Any, *, from_csv: bool) -> bool:
    if isinstance(value, str) and from_csv and value.lower() in ("true", "false", "1", "0"):
        return value.lower() in ("true", "1")
    if not isinstance(value, bool):
        raise _wrong_type(field, value)
    return value


def _number(field: SalesforceField, value: Any) -> int | float:
    """Of a text that is a number by its digits, without separators, is unconfirmed."""
    if isinstance(value, str):
        number = float(value) if _NUMBER.fullmatch(value.strip()) else None
    else:
        number = float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
    if number is None or (field.type == "int" and number != int(number)):
        raise _wrong_type(field, value)
    return int(number) if field.type == "int" else round(number, 2)


def _text(field: SalesforceField, value: str) -> Any:
    text = value.strip()  # blanks around a text are not kept (docs)
    if not text:
        return stored(field, None)
    match field.type:
        case "date":
            return _moment(field, text, date.fromisoformat).isoformat()
        case "datetime":
            moment = _moment(field, text, datetime.fromisoformat)
            utc = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
            return f"{utc:%Y-%m-%dT%H:%M:%S}.000+0000"
        case "reference" | "id":
            if (found := whole_id(text)) is None:
                raise RecordRefusal("MALFORMED_ID", f"{field.name}: id value of incorrect type: {text}", field.name)
            return found
        case "email":
            if not _EMAIL.fullmatch(text):
                message = f"{field.name}: invalid email address: {text}"
                raise RecordRefusal("INVALID_EMAIL_ADDRESS", message, field.name)
            text = text.lower()  # unconfirmed
        case "picklist" | "multipicklist":
            chosen = text.split(";") if field.type == "multipicklist" else [text]
            if field.restricted and (wrong := [c for c in chosen if c not in field.picklist]):
                message = f"{field.name}: bad value for restricted picklist field: {wrong[0]}"
                raise RecordRefusal("INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST", message, field.name)
    if field.length and len(text) > field.length:
        message = f"{field.name}: data value too large: {text[:32]} (max length={field.length})"
        raise RecordRefusal("STRING_TOO_LONG", message, field.name)
    return text


def _moment(field: SalesforceField, text: str, read: Any) -> Any:
    try:
        return read(text)
    except ValueError:
        raise _wrong_type(field, text) from None


def _wrong_type(field: SalesforceField, value: Any) -> RecordRefusal:
    message = f"{field.name}: value not of required type: {str(value)[:32]}"
    return RecordRefusal("INVALID_TYPE_ON_FIELD_IN_RECORD", message, field.name)


def compared(field: SalesforceField, value: Any) -> Any:
    """As two values of a field are compared: text without its case, unless the field says otherwise (docs)."""
    return value.lower() if isinstance(value, str) and not field.case_sensitive and field.type != "id" else value

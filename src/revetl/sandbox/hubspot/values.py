"""What a value must look like to be taken, and how it is kept."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime
from typing import Any

from revetl.sandbox.hubspot.errors import property_problem
from revetl.sandbox.hubspot.schema import Property

STRING_MAX_CHARS = 65_536


class ValueProblem(Exception):
    """The value is not one for its property."""

    def __init__(self, problem: dict[str, Any]) -> None:
        super().__init__(problem["message"])
        self.problem = problem


def check_value(property_: Property, raw: object, stored: str | None) -> str:
    """The value as it is kept; "" clears. JSON numbers and booleans are taken as their text; null clears. A value that
    HubSpot works out or keeps for itself is refused, not ignored (captured). Of the other problems the codes and the
    wording are unconfirmed."""
    name = property_.name
    if property_.read_only:
        message = f'"{name}" is a read only property; its value cannot be set.'
        raise ValueProblem(property_problem(name, "READ_ONLY_VALUE", message))
    text = _as_text(name, raw)
    if text == "" or property_.type == "string":
        if len(text) > STRING_MAX_CHARS:
            raise ValueProblem(property_problem(name, "INVALID_STRING", f"{name} is longer than {STRING_MAX_CHARS}"))
        return text
    if property_.type == "number":
        return _number(name, text)
    if property_.external:
        return _owner(property_, text)
    if property_.type == "enumeration":
        return _option(property_, text, stored)
    if property_.type == "bool":
        if text not in ("true", "false"):
            raise ValueProblem(property_problem(name, "INVALID_BOOLEAN", f"{text} was not a valid boolean."))
        return text
    return _moment(name, text, day_only=property_.type == "date")


def _as_text(name: str, raw: object) -> str:
    if isinstance(raw, str):
        return raw
    if raw is None:
        return ""
    if isinstance(raw, bool):
        return "true" if raw else "false"
    if isinstance(raw, int | float):
        return str(raw)
    raise ValueProblem(property_problem(name, "INVALID_TYPE", f"{name} takes a string"))


_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)


def _number(name: str, text: str) -> str:
    """Digits and nothing around them: a blank before or after is refused, as is a group separator."""
    if not _NUMBER.fullmatch(text) or float(text) in (float("inf"), float("-inf")):
        raise ValueProblem(property_problem(name, "INVALID_NUMBER", f"{text} was not a valid number."))
    return text


def _owner(property_: Property, text: str) -> str:
    """The id of an owner, and of nobody else: neither a name, an email nor the id of a user (docs; the code as users
    report it). That somebody who has left is refused too is unconfirmed."""
    if text not in property_.options:
        message = f"{text} is not the id of an owner"
        raise ValueProblem(property_problem(property_.name, "INVALID_OWNER_ID", message))
    return text


def _option(property_: Property, text: str, stored: str | None) -> str:
    chosen = [text]
    if property_.field_type == "checkbox":
        # A leading semicolon adds to what is stored (docs).
        earlier = stored.split(";") if stored and text.startswith(";") else []
        chosen = list(dict.fromkeys(earlier + [v for v in text.split(";") if v]))
    for value in chosen:
        if value not in property_.options:
            options = ", ".join(f"label: {label}, value: {v}" for v, label in property_.options.items())
            message = f"{value} was not one of the allowed options: [{options}]"
            raise ValueProblem(property_problem(property_.name, "INVALID_OPTION", message))
    return ";".join(chosen)


def _moment(name: str, text: str, *, day_only: bool) -> str:
    """`date` is kept as YYYY-MM-DD, `datetime` as ISO 8601 with milliseconds and Z (live)."""
    moment = moment_of(text)
    if moment is None:
        raise ValueProblem(property_problem(name, "INVALID_DATE", f"{text} was not a valid date."))
    if not day_only:
        return iso(moment)
    if moment.time().replace(tzinfo=None) != datetime.min.time():
        raise ValueProblem(property_problem(name, "INVALID_DATE", f"{text} is at {moment:%H:%M:%S} UTC, not midnight!"))
    return date(moment.year, moment.month, moment.day).isoformat()


def moment_of(text: str) -> datetime | None:
    """Milliseconds since 1970 or ISO 8601, in UTC; None for anything else. A time without a zone is UTC."""
    try:
        if re.fullmatch(r"-?[0-9]{1,18}", text):
            return datetime.fromtimestamp(int(text) / 1000, UTC)
        moment = datetime.fromisoformat(text)
    except (ValueError, OverflowError, OSError):
        return None
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def iso(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")

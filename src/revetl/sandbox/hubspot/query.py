"""What the query of an address asks for, and the address of the next page."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from revetl.sandbox.hubspot import errors
from revetl.sandbox.hubspot.portal import PortalCall


def next_page(call: PortalCall, after: str) -> dict[str, Any]:
    """`paging` of an answer that has more: the cursor, and the whole address with everything that was asked for (live).
    Readers follow either."""
    asked = [(name, value) for name, value in call.query.items() if name != "after"]
    return {"next": {"after": after, "link": f"{call.url}?{urlencode([*asked, ('after', after)])}"}}


def page_size(call: PortalCall, *, default: int, most: int) -> int:
    """`limit` of the query. 400 where it is no number from 1 to `most`."""
    limit = int_of(call.query.get("limit"), "limit", default)
    if not 0 < limit <= most:
        raise errors.invalid_input(f"limit must be between 1 and {most}, was {limit}")
    return limit


def names_of(call: PortalCall, parameter: str) -> list[str]:
    """A repeated parameter or a comma-separated one: the vendor takes both, and its own client repeats."""
    return [n.strip() for text in call.query.getall(parameter, []) for n in text.split(",") if n.strip()]


def is_asked(call: PortalCall, name: str) -> bool:
    """`true` in any case: the vendor's client for Python writes `True`."""
    return call.query.get(name, "").lower() == "true"


def int_of(value: Any, name: str, default: int) -> int:
    try:
        return default if value in (None, "") else int(value)
    except (TypeError, ValueError):
        raise errors.invalid_input(f"{name} must be a number") from None

"""The way through the pages of an answer, which must come to an end."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from revetl.errors import Ambiguous

_MOST_PAGES = 1_000


class Pages:
    """Of one question; `what` is that, for messages."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._seen: set[str] = set()

    def next_after(self, page: Mapping[str, Any]) -> str | None:
        """The cursor that the page says comes next; None after the last one. Ambiguous, as for an answer that was lost,
        where it was followed before or there are more than any question has."""
        following = (page.get("paging") or {}).get("next") or {}
        after = following.get("after")
        if after is None or after == "":
            return None
        if str(after) in self._seen or len(self._seen) >= _MOST_PAGES:
            raise Ambiguous(f"{self._what} has pages without end", code="PAGING")
        self._seen.add(str(after))
        return str(after)

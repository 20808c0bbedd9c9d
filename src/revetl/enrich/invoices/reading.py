"""Lines of a vendor's invoice out of a CSV or a spreadsheet: a day, an amount, and the vendor's reference if there is
one.

No two vendors name their columns alike, so a few names are known and the caller may say the rest. What is no line (a
sum, a line of text) has no day or no amount: it is counted, and never guessed at.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal, InvalidOperation
from typing import Any, Literal

from revetl.enrich.lists.files import Listing
from revetl.errors import ConfigError

Part = Literal["day", "usd", "reference"]
PARTS: tuple[Part, ...] = ("day", "usd", "reference")
_NAMES: Mapping[Part, tuple[str, ...]] = {
    "day": ("day", "date", "usage_date", "charged_at", "created_at", "timestamp", "time"),
    "usd": ("usd", "amount_usd", "amount", "charge", "charged", "cost", "price", "total"),
    "reference": ("reference", "request_id", "transaction_id", "lookup_id", "job_id", "id"),
}


@dataclass(frozen=True, slots=True)
class BilledLine:
    """`number`: which line of the file it is, the header being the first. `usd` is negative for a refund."""

    number: int
    day: date
    usd: Decimal
    reference: str | None = None


@dataclass(frozen=True, slots=True)
class Invoice:
    """`others`: how many lines of the file are none of the invoice's."""

    lines: Sequence[BilledLine]
    others: int


def read_invoice(listing: Listing, columns: Mapping[str, str]) -> Invoice:
    """`columns`: part → the file's column, where the caller says it. ConfigError where the day or the amount stands in
    no column that is known, and where the file has no line."""
    places = _places(listing.header, columns)
    lines, others = list[BilledLine](), 0
    number = 1
    for chunk in listing.chunks():
        for row in chunk:
            number += 1
            day, usd = _day(row[places["day"]]), _usd(row[places["usd"]])
            if day is None or usd is None:
                others += 1
                continue
            reference = str(row[places["reference"]] or "").strip() if "reference" in places else ""
            lines.append(BilledLine(number, day, usd, reference or None))
    if not lines:
        hint = (
            "A day is written as 2026-01-31, an amount as 12.50. --column COLUMN=day and COLUMN=usd say where they are."
        )
        raise ConfigError("no line of it has a day and an amount", hint=hint)
    return Invoice(lines, others)


def _places(header: Sequence[str], columns: Mapping[str, str]) -> dict[Part, int]:
    known = {re.sub(r"\W+", "_", name.strip().lower()).strip("_"): i for i, name in enumerate(header)}
    found: dict[Part, int] = {}
    for part in PARTS:
        if part in columns:
            if columns[part] not in header:
                raise ConfigError(f"the invoice has no column {columns[part]!r}", hint="It has " + ", ".join(header))
            found[part] = list(header).index(columns[part])
            continue
        place = next((known[name] for name in _NAMES[part] if name in known), None)
        if place is not None:
            found[part] = place
        elif part != "reference":
            hint = f"Say it: --column COLUMN={part}. It has " + ", ".join(header)
            raise ConfigError(f"which column of the invoice is the {part}?", hint=hint)
    return found


def _day(cell: Any) -> date | None:
    """Of `2026-01-31` and of whatever begins so."""
    try:
        return date.fromisoformat(str(cell or "").strip()[:10])
    except ValueError:
        return None


def _usd(cell: Any) -> Decimal | None:
    text = str(cell if cell is not None else "").strip().removeprefix("USD").replace("$", "").strip()
    if re.fullmatch(r"-?\d{1,3}(,\d{3})+(\.\d+)?", text):
        text = text.replace(",", "")
    try:
        found = Decimal(text)
    except InvalidOperation:
        return None
    return found if found.is_finite() else None

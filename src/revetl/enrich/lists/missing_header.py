"""A list whose first row is data and no header: its first person would be taken for names of columns, and be lost."""

from __future__ import annotations

import re
from collections.abc import Sequence

from revetl.enrich.lists.cells import canonical, plain
from revetl.enrich.lists.headers import is_header

_KINDS = {
    "email": "an address",
    "linkedin_url": "a LinkedIn profile",
    "domain": "a domain",
    "phone": "a phone number",
}
_PHONE = re.compile(r"\+?[\d\s()/.-]+")
_DATE = re.compile(r"\d{4}[-./]\d{1,2}[-./]\d{1,2}|\d{1,2}[-./]\d{1,2}[-./]\d{4}|(?:19|20)\d{6}")
_LEAST_DIGITS, _MOST_DIGITS = 8, 15
# Programs call columns after what they are of: `account.website`.
_OWNERS = ("account", "company", "contact", "customer", "lead", "organization", "owner", "person", "properties", "user")


def column_without_header(first: Sequence[str], below: Sequence[Sequence[str]]) -> str | None:
    """What a list of one column holds (email, linkedin_url, domain or phone) where its first row is data; else None.
    `below`: some of the rows after it."""
    return _kind_in_place(0, first, below) if len(first) == 1 else None


def problem_of_first_row(first: Sequence[str], below: Sequence[Sequence[str]]) -> str | None:
    """What is said where the first row of several columns is data. It repeats no cell: it may be a person's."""
    if len(first) < 2:
        return None
    kinds = {i: _kind_in_place(i, first, below) for i in range(len(first))}
    found = [f"{_KINDS[kind]} in column {i + 1}" for i, kind in kinds.items() if kind is not None]
    return f"the first row looks like data: {', '.join(found)}" if found else None


HINT = "Add a header: a first row that names the columns, as Email or Website."


def _kind_in_place(place: int, first: Sequence[str], below: Sequence[Sequence[str]]) -> str | None:
    """An address or a profile is told by itself. What may be a column's name as well (`node.js`, `20240131`) is data
    where the cells below are of the same kind."""
    kind = _kind(first[place])
    if kind in (None, "email", "linkedin_url"):
        return kind
    cells = [row[place] for row in below if place < len(row) and row[place].strip()]
    same = sum(1 for cell in cells if _kind(cell) == kind)
    return kind if 2 * same >= len(cells) and (same or not below) else None


def _kind(cell: str) -> str | None:
    text = plain(cell)
    if text is None or is_header(text):
        return None
    if canonical("email", text) == re.sub(r"(?i)^mailto:", "", text).lower():
        return "email"
    if canonical("linkedin_url", text) is not None:
        return "linkedin_url"
    if _PHONE.fullmatch(text) and not _DATE.fullmatch(text):
        digits = len(re.sub(r"\D", "", text))
        return "phone" if _LEAST_DIGITS <= digits <= _MOST_DIGITS else None
    if " " in text or "@" in text or _is_name_of_column(text):
        return None
    return "domain" if canonical("domain", text) is not None else None


def _is_name_of_column(text: str) -> bool:
    owner, dot, name = text.rpartition(".")
    return bool(dot) and is_header(name) and (owner.lower() in _OWNERS or is_header(owner))

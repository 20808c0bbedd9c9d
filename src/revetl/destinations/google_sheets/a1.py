"""A1 notation: how a range of cells is named. Rows count from 1, columns from 0."""

from __future__ import annotations

import re

_CELL = re.compile(r"(?:^|!)\$?[A-Z]+\$?(\d{1,8})(?::\$?[A-Z]+\$?\d{1,8})?$")


def letters(column: int) -> str:
    """0 is A, 26 is AA."""
    name = ""
    column += 1
    while column:
        column, rest = divmod(column - 1, 26)
        name = chr(ord("A") + rest) + name
    return name


def whole_column(tab: str, column: int) -> str:
    return f"{_quoted(tab)}!{letters(column)}:{letters(column)}"


def whole_row(tab: str, row: int) -> str:
    return f"{_quoted(tab)}!{row}:{row}"


def row_until(tab: str, row: int, column: int) -> str:
    """The cells of a row from its first to that of `column`."""
    return f"{_quoted(tab)}!A{row}:{letters(column)}{row}"


def row_of(range_: object) -> int | None:
    """The row in which a range begins; None where it names none."""
    found = _CELL.search(range_) if isinstance(range_, str) else None
    return int(found[1]) if found else None


def _quoted(tab: str) -> str:
    return "'" + tab.replace("'", "''") + "'"

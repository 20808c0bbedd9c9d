"""A1 notation: how a range of cells is named. Rows count from 1, columns from 0."""

from __future__ import annotations

import re

_CELL = re.compile(r"(?:^|!)\$?([A-Z]{1,3})\$?(\d{1,8})(?::\$?[A-Z]+\$?\d{1,8})?$")


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


def first_cell(range_: object) -> tuple[int, int] | None:
    """(row, column) of the cell with which a range begins; None where it names none."""
    found = _CELL.search(range_) if isinstance(range_, str) else None
    if found is None:
        return None
    column = 0
    for letter in found[1]:
        column = column * 26 + ord(letter) - ord("A") + 1
    return int(found[2]), column - 1


def _quoted(tab: str) -> str:
    return "'" + tab.replace("'", "''") + "'"

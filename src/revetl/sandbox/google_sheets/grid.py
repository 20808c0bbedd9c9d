"""A tab as a grid of cells, and the ranges that name a part of it. Rows and columns count from 0 here."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from revetl.sandbox.google_sheets.refusal import invalid

MOST_CELLS, LONGEST_TEXT, MOST_COLUMNS = 10_000_000, 50_000, 18_278
_RANGE = re.compile(r"\$?([A-Z]{0,3})\$?(\d*)(?::\$?([A-Z]{0,3})\$?(\d*))?", re.IGNORECASE)
_NUMBER = re.compile(r"[+-]?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?")


@dataclass(frozen=True, slots=True)
class Formula:
    """What a cell would compute. Nothing computes it here: it shows as `#FORMULA`."""

    text: str


@dataclass(frozen=True, slots=True)
class Area:
    """Half open."""

    top: int
    bottom: int
    left: int
    right: int


@dataclass(slots=True)
class SheetGrid:
    """`cells`: rows of values, as long as they have any. `protected`: columns that nobody but the owner edits."""

    id: int
    title: str
    rows: int = 1_000
    columns: int = 26
    cells: list[list[Any]] = field(default_factory=list)
    protected: set[int] = field(default_factory=set)

    def properties(self, index: int) -> dict[str, Any]:
        grid = {"rowCount": self.rows, "columnCount": self.columns}
        return {"sheetId": self.id, "title": self.title, "index": index, "sheetType": "GRID", "gridProperties": grid}

    def value(self, row: int, column: int) -> Any:
        found = self.cells[row] if row < len(self.cells) else []
        return found[column] if column < len(found) else None

    def put(self, row: int, column: int, value: Any) -> None:
        """None and the empty text empty it."""
        if column in self.protected:
            raise invalid("You are trying to edit a protected cell or object.")
        while len(self.cells) <= row:
            self.cells.append([])
        found = self.cells[row]
        found.extend([None] * (column + 1 - len(found)))
        found[column] = None if value == "" else value

    @property
    def last_row(self) -> int:
        """How many rows there are down to the last that holds anything."""
        return next((n for n in range(len(self.cells), 0, -1) if any(v is not None for v in self.cells[n - 1])), 0)

    def grow(self, rows: int, columns: int) -> None:
        self.rows, self.columns = max(self.rows, rows), max(self.columns, columns)

    def area(self, text: str) -> Area:
        """Of `A1:B2`, `A:A`, `3:3` or `B2`; without a bound it ends with the grid."""
        found = _RANGE.fullmatch(text)
        if found is None or not text:
            raise invalid(f"Unable to parse range: {self.title}!{text}")
        left, top, right, bottom = found.groups()
        single = ":" not in text
        if single and not (left and top):
            raise invalid(f"Unable to parse range: {self.title}!{text}")
        area = Area(
            int(top) - 1 if top else 0,
            int(top) if single else int(bottom) if bottom else self.rows,
            column_of(left) if left else 0,
            column_of(left) + 1 if single else column_of(right) + 1 if right else self.columns,
        )
        if area.top >= self.rows or area.left >= self.columns or area.top < 0:
            raise self.beyond(text)
        return area

    def whole(self) -> Area:
        return Area(0, self.rows, 0, self.columns)

    def beyond(self, text: str) -> Exception:
        limits = f"Max rows: {self.rows}, max columns: {self.columns}"
        return invalid(f"Range ({self.title}!{text}) exceeds grid limits. {limits}")

    def named(self, area: Area) -> str:
        title = self.title if re.fullmatch(r"[A-Za-z_]\w*", self.title) else "'" + self.title.replace("'", "''") + "'"
        first, last = f"{letters(area.left)}{area.top + 1}", f"{letters(area.right - 1)}{area.bottom}"
        return f"{title}!{first}" + ("" if first == last else f":{last}")

    def shown(self, area: Area, render: str) -> list[list[Any]]:
        """Rows without the empty cells and rows at their ends (docs)."""
        right = min(area.right, self.columns)
        rows = [
            _cut([_rendered(self.value(r, c), render) for c in range(area.left, right)])
            for r in range(area.top, min(area.bottom, len(self.cells)))
        ]
        while rows and not rows[-1]:
            rows.pop()
        return rows


def entered(value: Any, option: str, where: str) -> Any:
    """A value of a request as a cell takes it; None is left as it was."""
    if value is None or isinstance(value, bool | int | float):
        return value
    if not isinstance(value, str):
        kind = "list_value" if isinstance(value, list) else "struct_value"
        raise invalid(f"Invalid {where}: {kind} {{ }}")
    if len(value) > LONGEST_TEXT:
        raise invalid(f"Your input contains more than the maximum of {LONGEST_TEXT} characters in a single cell.")
    if option == "RAW":
        return value
    if value.startswith("="):
        return Formula(value)
    if value.startswith("'"):
        return value[1:]
    if _NUMBER.fullmatch(value):
        return float(value)
    return value.upper() == "TRUE" if value.upper() in ("TRUE", "FALSE") else value


def by_columns(rows: Sequence[Sequence[Any]]) -> list[list[Any]]:
    """Empty cells within are empty texts; those at the end of a column are cut."""
    width = max((len(row) for row in rows), default=0)
    return [_cut([row[c] if c < len(row) else "" for row in rows]) for c in range(width)]


def letters(column: int) -> str:
    name, column = "", column + 1
    while column:
        column, rest = divmod(column - 1, 26)
        name = chr(65 + rest) + name
    return name


def column_of(name: str) -> int:
    number = 0
    for letter in name.upper():
        number = number * 26 + ord(letter) - 64
    return number - 1


def _cut(values: list[Any]) -> list[Any]:
    while values and values[-1] == "":
        values.pop()
    return values


def _rendered(value: Any, render: str) -> Any:
    match value:
        case None:
            return ""
        case Formula():
            return value.text if render == "FORMULA" else "#FORMULA"
        case bool():
            return ("TRUE" if value else "FALSE") if render == "FORMATTED_VALUE" else value
        case float() if value.is_integer() and abs(value) < 1e15:
            value = int(value)
    return str(value) if render == "FORMATTED_VALUE" else value

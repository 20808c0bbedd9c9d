"""A spreadsheet: its tabs, the values in them, and the requests that change its structure. A request that can't be done
leaves all as it was, whatever came before it in the same call (docs)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from typing import Any

from revetl.sandbox.google_sheets.grid import MOST_CELLS, Area, Formula, SheetGrid, entered
from revetl.sandbox.google_sheets.refusal import invalid

_CELL_KINDS: dict[str, type | tuple[type, ...]] = {
    "stringValue": str,
    "numberValue": (int, float),
    "boolValue": bool,
    "formulaValue": str,
}


class Spreadsheet:
    """`id` is part of its address. `version` counts what was done to it."""

    def __init__(self, id_: str, title: str, tabs: Mapping[str, Sequence[str]]) -> None:
        self.id, self.title, self.version = id_, title, 0
        self.sheets: list[SheetGrid] = []
        for n, (name, header) in enumerate(tabs.items()):
            self.sheets.append(SheetGrid(n, name, cells=[list(header)]))

    def tab(self, title: str) -> SheetGrid:
        found = next((sheet for sheet in self.sheets if sheet.title == title), None)
        if found is None:
            raise invalid(f"Unable to parse range: {title}")
        return found

    def located(self, range_: str) -> tuple[SheetGrid, Area]:
        """Of `Tab!A1:B2`, `'My tab'!A:A` or `Tab`."""
        title, mark, cells = range_.rpartition("!")
        if not mark:
            named = next((sheet for sheet in self.sheets if sheet.title == _plain(range_)), None)
            return (named, named.whole()) if named else (self.sheets[0], self.sheets[0].area(range_))
        sheet = self.tab(_plain(title))
        return sheet, sheet.area(cells)

    def write(self, ranges: Sequence[tuple[str, Sequence[Sequence[Any]], bool]], option: str) -> list[dict[str, Any]]:
        """(range, values, by columns) each. What is said of each, in their order."""
        return self._whole(lambda: [self._write(*one, option) for one in ranges])

    def _write(self, range_: str, values: Sequence[Sequence[Any]], by_column: bool, option: str) -> dict[str, Any]:
        sheet, area = self.located(range_)
        touched = set[tuple[int, int]]()
        for i, line in enumerate(values):
            if not isinstance(line, list):
                raise invalid(f"Invalid value at 'data.values[{i}]' (type.googleapis.com/google.protobuf.ListValue)")
            for j, value in enumerate(line):
                row, column = (area.top + j, area.left + i) if by_column else (area.top + i, area.left + j)
                if row >= area.bottom or column >= area.right:
                    raise invalid(f"Requested writing within range [{range_}], but tried writing to another one")
                if row >= sheet.rows or column >= sheet.columns:
                    raise sheet.beyond(range_.rpartition("!")[2])
                kept = entered(value, option, f"values[{i}][{j}]")
                if kept is not None:
                    sheet.put(row, column, kept)
                    touched.add((row, column))
        return {
            "spreadsheetId": self.id,
            "updatedRange": sheet.named(area),
            "updatedRows": len({row for row, _ in touched}),
            "updatedColumns": len({column for _, column in touched}),
            "updatedCells": len(touched),
        }

    def change(self, requests: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """One reply per request."""
        if not requests:
            raise invalid("Must specify at least one request.")
        return self._whole(lambda: [self._change(n, request) for n, request in enumerate(requests)])

    def _change(self, n: int, request: Mapping[str, Any]) -> dict[str, Any]:
        doing: dict[str, Callable[[Mapping[str, Any]], dict[str, Any] | None]] = {
            "appendCells": self._append_cells,
            "appendDimension": self._append_dimension,
            "insertDimension": self._insert_dimension,
            "deleteDimension": self._delete_dimension,
            "updateCells": self._update_cells,
            "sortRange": self._sort_range,
            "addSheet": self._add_sheet,
            "deleteSheet": self._delete_sheet,
        }
        if len(request) != 1 or next(iter(request)) not in doing:
            raise invalid(f"Invalid value at 'requests[{n}]': exactly one kind of request that is known here")
        [(kind, said)] = request.items()
        return doing[kind](said) or {}

    def _append_cells(self, said: Mapping[str, Any]) -> None:
        """After the last row with data, in new rows where the grid has no more."""
        sheet = self._by_id(said)
        self._fill(sheet, sheet.last_row, 0, said)

    def _update_cells(self, said: Mapping[str, Any]) -> None:
        start = said.get("start") or {}
        row, column = int(start.get("rowIndex") or 0), int(start.get("columnIndex") or 0)
        self._fill(self._by_id(start), row, column, said)

    def _fill(self, sheet: SheetGrid, top: int, left: int, said: Mapping[str, Any]) -> None:
        if said.get("fields") not in ("userEnteredValue", "*"):
            raise invalid("At least one field must be listed in 'fields'. (Only userEnteredValue is played here.)")
        rows = said.get("rows") or []
        sheet.grow(top + len(rows), left + max((len(row.get("values") or ()) for row in rows), default=0))
        for r, row in enumerate(rows):
            for c, one in enumerate(row.get("values") or ()):
                sheet.put(top + r, left + c, _cell(one.get("userEnteredValue")))

    def _append_dimension(self, said: Mapping[str, Any]) -> None:
        sheet, more = self._by_id(said), int(said.get("length") or 0)
        if said.get("dimension") == "COLUMNS":
            sheet.columns += more
        else:
            sheet.rows += more

    def _insert_dimension(self, said: Mapping[str, Any]) -> None:
        sheet, start, end = self._span(said)
        if said["range"].get("dimension") == "COLUMNS":
            sheet.columns += end - start
            for row in sheet.cells:
                if len(row) > start:
                    row[start:start] = [None] * (end - start)
            return
        sheet.rows += end - start
        if len(sheet.cells) > start:
            sheet.cells[start:start] = [[] for _ in range(end - start)]

    def _delete_dimension(self, said: Mapping[str, Any]) -> None:
        sheet, start, end = self._span(said)
        if said["range"].get("dimension") == "COLUMNS":
            sheet.columns -= end - start
            for row in sheet.cells:
                del row[start:end]
            return
        if end - start >= sheet.rows:
            raise invalid("You can't delete all the rows on the sheet.")
        sheet.rows -= end - start
        del sheet.cells[start:end]

    def _sort_range(self, said: Mapping[str, Any]) -> None:
        """By text. Only whole rows are sorted here."""
        span = said.get("range") or {}
        sheet, start = self._by_id(span), int(span.get("startRowIndex") or 0)
        end = int(span.get("endRowIndex") or sheet.last_row)
        for spec in reversed(said.get("sortSpecs") or []):
            column = int(spec.get("dimensionIndex") or 0)
            rows = [row + [None] * (column + 1 - len(row)) for row in sheet.cells[start:end]]
            down = spec.get("sortOrder") == "DESCENDING"
            sheet.cells[start:end] = sorted(rows, key=lambda r, c=column: str(r[c] or ""), reverse=down)  # type: ignore[misc]  # a default binds the column

    def _add_sheet(self, said: Mapping[str, Any]) -> dict[str, Any]:
        properties = said.get("properties") or {}
        title = str(properties.get("title") or f"Sheet{len(self.sheets) + 1}")
        if any(sheet.title == title for sheet in self.sheets):
            raise invalid(f'A sheet with the name "{title}" already exists. Please enter another name.')
        grid = properties.get("gridProperties") or {}
        made = SheetGrid(max((s.id for s in self.sheets), default=-1) + 1, title)
        made.rows, made.columns = int(grid.get("rowCount") or 1_000), int(grid.get("columnCount") or 26)
        self.sheets.append(made)
        return {"addSheet": {"properties": made.properties(len(self.sheets) - 1)}}

    def _delete_sheet(self, said: Mapping[str, Any]) -> None:
        self.sheets.remove(self._by_id(said))

    def _span(self, said: Mapping[str, Any]) -> tuple[SheetGrid, int, int]:
        span = said.get("range") or {}
        if span.get("dimension") not in ("ROWS", "COLUMNS"):
            raise invalid("Invalid value at 'range.dimension'")
        sheet = self._by_id(span)
        start, end = int(span.get("startIndex") or 0), int(span.get("endIndex") or 0)
        most = sheet.rows if span["dimension"] == "ROWS" else sheet.columns
        if not 0 <= start < end or start > most:
            raise invalid(f"Cannot change a dimension from {start} to {end}: the grid has {most}")
        return sheet, start, end

    def _by_id(self, said: Mapping[str, Any]) -> SheetGrid:
        id_ = int(said.get("sheetId") or 0)
        found = next((sheet for sheet in self.sheets if sheet.id == id_), None)
        if found is None:
            raise invalid(f"No grid with id: {id_}")
        return found

    def _whole(self, work: Callable[[], list[dict[str, Any]]]) -> list[dict[str, Any]]:
        before = deepcopy(self.sheets)
        try:
            done = work()
            cells = sum(sheet.rows * sheet.columns for sheet in self.sheets)
            if cells > MOST_CELLS:
                over = "This action would increase the number of cells in the workbook above the limit of"
                raise invalid(f"{over} {MOST_CELLS} cells.")
        except Exception:
            self.sheets = before
            raise
        self.version += 1
        return done


def _plain(title: str) -> str:
    return title[1:-1].replace("''", "'") if title[:1] == title[-1:] == "'" and len(title) > 1 else title


def _cell(said: Mapping[str, Any] | None) -> Any:
    """An `ExtendedValue`. Text is never parsed; a formula is one only as `formulaValue` (docs)."""
    if not said:
        return None
    [(kind, value), *others] = said.items()
    if others or not isinstance(value, _CELL_KINDS.get(kind, ())):
        raise invalid("Invalid value at 'userEnteredValue'")
    return Formula(value) if kind == "formulaValue" else entered(value, "RAW", kind)

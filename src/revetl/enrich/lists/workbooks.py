"""A list in a spreadsheet (.xlsx): one sheet of it, read row by row and never all at once.

A formula counts as the value that the spreadsheet last computed. A number is written as it is stored: `442079460123`,
and not what a narrow column shows of it. An .xlsx is an archive of XML by a stranger: how large it may become is
looked at before it is read, and defusedxml reads it, so no entity is expanded.
"""

from __future__ import annotations

import warnings
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime, time
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Literal

from revetl.enrich.lists.csv_dialect import FIRST_LINES, header_place, without_blank_end
from revetl.enrich.lists.missing_header import HINT, column_without_header, problem_of_first_row
from revetl.enrich.lists.rejects import RejectedRow, RejectedRows
from revetl.errors import ConfigError, Problem, did_you_mean

if TYPE_CHECKING:
    from openpyxl.workbook import Workbook

MOST_ROWS, MOST_COLUMNS = 1_048_576, 16_384  # of one sheet, by the format
MOST_TEXT = 32_767  # characters of one cell, by the format
_CHUNK_ROWS = 5_000
# Unpacked. The texts of all cells are held in memory, a sheet is not.
_MOST_BYTES = 4 << 30
_MOST_BYTES_OF_TEXTS = 512 << 20
_MOST_MEMBERS = 10_000
_PAST_THE_HEADER = 20  # columns that are looked at for cells which no header names


@dataclass(frozen=True, slots=True)
class SheetCell:
    """A value that is not text, and how the sheet shows it. As text it is the value in full: no `.0` behind a whole
    number, a day without midnight."""

    value: Any
    number_format: str = "General"

    def __str__(self) -> str:
        value = self.value
        if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
            return str(int(value))
        if isinstance(value, datetime):
            return value.date().isoformat() if value.time() == time() else value.isoformat(" ")
        if isinstance(value, date | time):
            return value.isoformat()
        return str(value)


class WorkbookListing:
    format: Literal["xlsx"] = "xlsx"

    def __init__(self, path: Path, name: Path, sheet: str | None = None, rejected: RejectedRows | None = None) -> None:
        """`sheet`: None is the first one that is not hidden. ConfigError where there is no such sheet, and where the
        file is none that can be read."""
        self._path, self._name = path, name
        self.rejected = RejectedRows(name) if rejected is None else rejected
        _check_sizes(path, name)
        with self._workbook() as book:
            names = [each.title for each in book.worksheets]
            shown = [each.title for each in book.worksheets if each.sheet_state == "visible"]
            if not names:
                raise ConfigError(Problem("a spreadsheet without a sheet of cells", name))
            if sheet is not None and sheet not in names:
                hint = did_you_mean(sheet, names) or "Its sheets: " + ", ".join(names)
                raise ConfigError(Problem(f"no sheet {sheet!r}", name, hint=hint))
            self.sheet = sheet or (shown or names)[0]
            self.sheets = tuple(names)
            rows = islice(self._rows(book, MOST_COLUMNS), FIRST_LINES)
            first = [without_blank_end(["" if cell is None else str(cell) for cell in row]) for _, row in rows]
        self._above = header_place(first)
        self.header = first[self._above] if first else ()
        if not self.header:
            raise ConfigError(Problem(f"the sheet {self.sheet!r} is empty: its first row must name the columns", name))
        below = first[self._above + 1 :]
        self.column_without_header = column_without_header(self.header, below)
        if self.column_without_header is not None:
            self.header = (self.column_without_header,)
        elif message := problem_of_first_row(self.header, below):
            raise ConfigError(Problem(message, name, self._above + 1, HINT))

    def chunks(self) -> Iterator[list[tuple[Any, ...]]]:
        """Cells are text, None, or a `SheetCell`. Blank rows below the last one are no rows."""
        width, kept, blank = len(self.header), 0, 0
        chunk: list[tuple[Any, ...]] = []
        self.rejected.begin()
        with self._workbook() as book:
            rows = self._rows(book, min(width + _PAST_THE_HEADER, MOST_COLUMNS))
            for number, row in islice(rows, self._above + (self.column_without_header is None), None):
                if not any(cell is not None for cell in row):
                    blank += 1
                    continue
                more = [(None,) * width] * blank
                blank = 0
                if any(cell is not None and str(cell).strip() for cell in row[width:]):
                    text = "\t".join("" if cell is None else str(cell) for cell in row).rstrip("\t")
                    message = f"a cell past the last of the {width} columns that the header names"
                    self.rejected.add(RejectedRow(number, message, text, "Name that column, or empty it."))
                else:
                    more.append(row[:width])
                chunk += more
                if len(chunk) >= _CHUNK_ROWS:
                    kept += len(chunk)
                    yield chunk
                    chunk = []
        self.rejected.end(kept + len(chunk))
        if chunk:
            yield chunk

    def _rows(self, book: Workbook, width: int) -> Iterator[tuple[int, tuple[Any, ...]]]:
        """(its number, its cells). The size that a sheet says of itself is not believed."""
        sheet = book[self.sheet]
        rows = sheet.iter_rows(min_row=1, max_row=MOST_ROWS, min_col=1, max_col=width)
        for number, row in enumerate(rows, 1):
            yield number, tuple(map(_cell, row))

    @contextmanager
    def _workbook(self) -> Iterator[Workbook]:
        import openpyxl

        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of styles and extensions that are not read
                book = openpyxl.load_workbook(self._path, read_only=True, data_only=True)
        except Exception as e:  # noqa: BLE001 - the library raises whatever a broken file leads to
            raise ConfigError(Problem(f"a spreadsheet that can't be read ({type(e).__name__})", self._name)) from None
        try:
            yield book
        except (ConfigError, GeneratorExit):
            raise
        except (zipfile.BadZipFile, SyntaxError, ValueError, KeyError, EOFError) as e:
            raise ConfigError(Problem(f"a spreadsheet that can't be read ({type(e).__name__})", self._name)) from None
        finally:
            book.close()


def _cell(cell: Any) -> Any:
    value = cell.value
    if value is None or isinstance(value, str):
        return value or None
    if cell.data_type == "e":
        return str(value)
    return SheetCell(value, cell.number_format or "General")


def _check_sizes(path: Path, name: Path) -> None:
    """ConfigError for what is no spreadsheet, and for one that becomes too large when it is unpacked."""
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
    except (zipfile.BadZipFile, OSError):
        raise ConfigError(Problem("an archive that can't be read", name)) from None
    if not any(m.filename == "xl/workbook.xml" for m in members):
        hint = "Save it as .xlsx, or as CSV in UTF-8."
        raise ConfigError(Problem("an archive, and no spreadsheet of the kind .xlsx", name, hint=hint))
    texts = sum(m.file_size for m in members if m.filename.lower().endswith("sharedstrings.xml"))
    total = sum(m.file_size for m in members)
    if len(members) > _MOST_MEMBERS or total > _MOST_BYTES or texts > _MOST_BYTES_OF_TEXTS:
        message = f"a spreadsheet that takes {total / 2**20:,.0f} MB when it is unpacked"
        raise ConfigError(Problem(message, name, hint="Save the sheet as CSV in UTF-8."))


def write_workbook(
    file: BinaryIO, header: Sequence[str], chunks: Iterator[list[tuple[Any, ...]]], shown: Callable[[Any], Any]
) -> None:
    """One sheet, row by row. Text is text, also where it begins as a formula does; `shown` turns any other cell into a
    `SheetCell`, text or None."""
    from openpyxl import Workbook
    from openpyxl.cell import WriteOnlyCell
    from openpyxl.cell.cell import ILLEGAL_CHARACTERS_RE

    book = Workbook(write_only=True)
    sheet = book.create_sheet("Enriched")

    def written(cell: Any) -> Any:
        cell = shown(cell)
        if cell is None:
            return None
        if isinstance(cell, SheetCell):
            made = WriteOnlyCell(sheet, cell.value)
            if cell.number_format != "General":
                made.number_format = cell.number_format
            return made
        made = WriteOnlyCell(sheet, ILLEGAL_CHARACTERS_RE.sub("", str(cell))[:MOST_TEXT])
        made.data_type = "s"
        return made

    sheet.append([written(name) for name in header])
    for chunk in chunks:
        for row in chunk:
            sheet.append([written(cell) for cell in row])
    book.save(file)

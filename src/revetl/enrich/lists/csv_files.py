"""A list in a CSV. It is text: no cell is parsed, so `007`, `1e5` and `NA` come out as they went in.

How it is written (encoding, delimiter, line ends, lines above the header) is found in `csv_dialect.py`.
"""

from __future__ import annotations

import csv
from collections import deque
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import IO, Any, Literal

from revetl.enrich.lists.csv_dialect import FIRST_LINES, CsvDialect, NotText, find_dialect, without_blank_end
from revetl.enrich.lists.missing_header import HINT, column_without_header, problem_of_first_row
from revetl.enrich.lists.rejects import RejectedRow, RejectedRows
from revetl.errors import ConfigError, Problem

CHUNK_ROWS = 5_000
# Python's own limit of 128 KB refuses a cell that holds a page. It is one for all readers of the process.
csv.field_size_limit(2**31 - 1)
_AS_UTF8 = 'Save it as UTF-8; in a spreadsheet, as "CSV UTF-8".'
_QUOTES = 'A quote inside a quoted cell is written twice (""), and the cell ends with one.'
_DELIMITER = "A cell that holds the delimiter needs quotes."
# A quote that is never closed would take the rest of the list into one cell.
_MOST_LINES_OF_A_ROW = 5_000


class CsvListing:
    format: Literal["csv"] = "csv"

    def __init__(
        self,
        path: Path,
        name: Path,
        encoding: str | None = None,
        delimiter: str | None = None,
        rejected: RejectedRows | None = None,
    ) -> None:
        """`name` is what messages call it. `encoding` and `delimiter`: where the caller knows them. `rejected`: where
        rows go that can't be read; None: each refuses the list."""
        self._path, self._name = path, name
        self.rejected = RejectedRows(name) if rejected is None else rejected
        try:
            self.dialect: CsvDialect = find_dialect(path, encoding, delimiter)
        except NotText as e:
            raise ConfigError(Problem(str(e), name, e.line, _AS_UTF8)) from None
        with self._open() as file:
            records = self._records(file)
            first = next(records, None)
            below = [each[1] for each in islice(records, FIRST_LINES) if not isinstance(each, RejectedRow)]
        if isinstance(first, RejectedRow):
            raise ConfigError(Problem(first.problem, name, first.noticed or first.line, first.hint))
        self.header = without_blank_end(first[1] if first is not None else ())
        if not self.header:
            raise ConfigError(Problem("the list is empty: its first line must name the columns", name))
        self.column_without_header = column_without_header(self.header, below)
        if self.column_without_header is not None:
            self.header = (self.column_without_header,)
        elif message := problem_of_first_row(self.header, below):
            raise ConfigError(Problem(message, name, self.dialect.lines_above + 1, HINT))

    def chunks(self) -> Iterator[list[tuple[Any, ...]]]:
        """Blank lines are passed over; a short row is filled with blanks, and blank cells past the header are cut. What
        else is longer can't be attributed, and is rejected."""
        width, kept = len(self.header), 0
        self.rejected.begin()
        chunk: list[tuple[Any, ...]] = []
        with self._open() as file:
            records = self._records(file)
            if self.column_without_header is None:
                next(records)
            for record in records:
                if isinstance(record, RejectedRow):
                    self.rejected.add(record)
                    continue
                line, row, lines = record
                if len(row) > width and any(map(str.strip, row[width:])):
                    message = f"{len(row)} cells, but the header names {width} columns"
                    self.rejected.add(RejectedRow(line, message, "".join(lines).rstrip("\r\n"), _DELIMITER))
                elif row:
                    chunk.append((*row[:width], *[""] * (width - len(row))))
                    if len(chunk) == CHUNK_ROWS:
                        kept += len(chunk)
                        yield chunk
                        chunk = []
        self.rejected.end(kept + len(chunk))
        if chunk:
            yield chunk

    def _records(self, file: IO[str]) -> Iterator[tuple[int, list[str], Sequence[str]] | RejectedRow]:
        """(line, cells, its lines as they stand). After a row that is no CSV, reading goes on with the next line."""
        feed = _Lines(file, self.dialect.lines_above)
        while True:
            rows = csv.reader(feed, delimiter=self.dialect.delimiter, strict=True)
            try:
                for row in rows:
                    line, lines = feed.taken()
                    yield line, row, lines
                return
            except csv.Error as e:
                line, text, last = feed.give_back_all_but_first()
                yield RejectedRow(line, f"not valid CSV: {e}", text.rstrip("\r\n"), _QUOTES, last)

    def _open(self) -> IO[str]:
        file = self._path.open(encoding=self.dialect.encoding, newline="")
        for _ in range(self.dialect.lines_above):
            file.readline()
        return file


class _Lines:
    """Lines for a reader, and which of them made its last row."""

    def __init__(self, file: IO[str], above: int) -> None:
        self._file = file
        self._again: deque[str] = deque()
        self._taken: list[str] = []
        self._first = above + 1

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        if len(self._taken) > _MOST_LINES_OF_A_ROW:
            raise csv.Error("a quoted cell that does not end")
        line = self._again.popleft() if self._again else next(self._file)
        self._taken.append(line)
        return line

    def taken(self) -> tuple[int, list[str]]:
        """The number of the first line of the last row, and its lines."""
        first, lines = self._first, self._taken
        self._first, self._taken = first + len(lines), []
        return first, lines

    def give_back_all_but_first(self) -> tuple[int, str, int]:
        """Of the row that is none: the number and the text of its first line, and the number of its last."""
        line, (first, *rest) = self._first, self._taken
        self._again.extendleft(reversed(rest))
        self._first, self._taken = line + 1, []
        return line, first, line + len(rest)

"""The enriched list, as a file: the list's columns as they were, then those that were added.

What providers say is never a formula. Nor is the list's own text where it was none: a cell of a CSV stays as it is, but
text out of a spreadsheet or a Parquet file does not become a formula by being written as CSV.
"""

from __future__ import annotations

import csv
import gzip
import io
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from datetime import date, datetime, time
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Protocol

from revetl.enrich.lists.csv_dialect import CsvDialect
from revetl.enrich.lists.csv_files import CsvListing
from revetl.enrich.lists.files import Format, Listing
from revetl.enrich.lists.parquet_files import ParquetListing
from revetl.enrich.lists.workbooks import MOST_COLUMNS, MOST_ROWS, SheetCell, write_workbook
from revetl.errors import ConfigError, Problem
from revetl.private_files import replaced
from revetl.safe_text import for_spreadsheet

if TYPE_CHECKING:
    import pyarrow as pa

_FORMATS: dict[str, Format] = {".parquet": "parquet", ".pq": "parquet", ".xlsx": "xlsx"}
_TEXT = (".csv", ".tsv", ".txt", "")
_NUMBERS = ("_confidence", "_cost_usd")
# A spreadsheet keeps this many digits of a number.
_DIGITS = 15

Chunks = Iterator[list[tuple[Any, ...]]]


class ByteSink(Protocol):
    """Where the bytes of a list go that is written to stdout."""

    def write(self, octets: bytes, /) -> int: ...

    def flush(self) -> None: ...


def check_target(target: str, source: str) -> None:
    """ConfigError where the enriched list could not be written to `target`: found before money is spent on it."""
    if target == "-":
        return
    path = Path(target)
    problem = None
    if path.suffix.lower() not in (*_FORMATS, *_TEXT) and not _packed(path):
        problem = Problem(
            f"lists are written as CSV, Excel or Parquet, not {path.suffix}",
            path,
            hint="End it with .csv or .parquet, or with .xlsx.",
        )
    elif path.is_dir():
        problem = Problem("is a directory", path)
    elif not path.parent.is_dir():
        problem = Problem(f"there is no directory {path.parent}", path)
    elif not os.access(path.parent, os.W_OK):
        problem = Problem(f"nothing can be written to {path.parent.resolve()}", path)
    if problem is not None:
        raise ConfigError(problem)
    refuse_own_list(path, source)


def refuse_own_list(target: Path, source: str) -> None:
    """ConfigError where the list itself would be written over, or removed. Safe to repeat; writes nothing."""
    if source != "-" and target.exists() and Path(source).exists() and target.samefile(source):
        said = "is the list itself, which is left as it is"
        raise ConfigError(Problem(said, target, hint="Name another file for the enriched list, or for --rejects."))


def check_size(target: str, listing: Listing, rows: int, columns: int) -> None:
    """ConfigError where so many rows and columns don't go into the format of `target`."""
    if _format(target, listing) == "xlsx" and (rows + 1 > MOST_ROWS or columns > MOST_COLUMNS):
        message = f"a spreadsheet holds {MOST_ROWS:,} rows and {MOST_COLUMNS:,} columns; this has {rows:,}, {columns:,}"
        raise ConfigError(Problem(message, Path(target), hint="End it with .csv or .parquet."))


def write_list(
    target: str, stdout: ByteSink, listing: Listing, added: Sequence[str], rows: Chunks, *, formulas: bool = False
) -> None:
    """Writes chunks of rows: the list's columns, then `added` ones. `-` is stdout, in the format of the list.
    `formulas`: text that a spreadsheet would compute is written into a CSV as it is, for a program that reads it.

    A file appears whole or not at all, and for its owner alone: it holds customers.
    """
    format_ = _format(target, listing)
    if target == "-":
        with tempfile.TemporaryFile(prefix="revetl-") as whole:
            _write(whole, format_, listing, added, rows, formulas=formulas)
            whole.seek(0)
            shutil.copyfileobj(whole, stdout)
        stdout.flush()
        return
    path = Path(target)
    with replaced(path) as file:
        if not _packed(path):
            _write(file, format_, listing, added, rows, formulas=formulas)
            return
        with gzip.GzipFile(fileobj=file, mode="wb", filename="", mtime=0) as packed:
            out: Any = packed  # writes octets, as a file does
            _write(out, format_, listing, added, rows, formulas=formulas)


def _packed(path: Path) -> bool:
    return path.suffix.lower() == ".gz" and path.with_suffix("").suffix.lower() in _TEXT


def _format(target: str, listing: Listing) -> Format:
    return listing.format if target == "-" else _FORMATS.get(Path(target).suffix.lower(), "csv")


def _write(
    file: BinaryIO, format_: Format, listing: Listing, added: Sequence[str], rows: Chunks, *, formulas: bool
) -> None:
    if format_ == "csv":
        _write_csv(file, listing, added, rows, formulas=formulas)
    elif format_ == "xlsx":
        places = [len(listing.header) + i for i, name in enumerate(added) if name.endswith(_NUMBERS)]
        write_workbook(file, [*listing.header, *added], _with_numbers(rows, places), _for_sheet)
    else:
        _write_parquet(file, listing, added, rows)


def _write_csv(file: BinaryIO, listing: Listing, added: Sequence[str], rows: Chunks, *, formulas: bool) -> None:
    of_csv = isinstance(listing, CsvListing)
    dialect = listing.dialect if isinstance(listing, CsvListing) else CsvDialect()
    own: Callable[[Any], Any] = _blank if of_csv or formulas else _as_text
    given: Callable[[Any], Any] = _blank if formulas else _safe
    text = io.TextIOWrapper(file, encoding=dialect.encoding_of_output, newline="")
    out = csv.writer(text, delimiter=dialect.delimiter, lineterminator=dialect.line_end)
    if dialect.names_delimiter:
        text.write(f"sep={dialect.delimiter}{dialect.line_end}")
    out.writerow([*map(own, listing.header), *added])
    width = len(listing.header)
    for chunk in rows:
        out.writerows([*map(own, row[:width]), *map(given, row[width:])] for row in chunk)
    text.detach()  # flushes it, and leaves the file open


def _write_parquet(file: BinaryIO, listing: Listing, added: Sequence[str], rows: Chunks) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    typed = isinstance(listing, ParquetListing)
    own: list[pa.Field] = (
        list(listing.schema)
        if isinstance(listing, ParquetListing)
        else [pa.field(n, pa.string()) for n in listing.header]
    )
    schema = pa.schema([*own, *(pa.field(name, pa.string()) for name in added)])
    with pq.ParquetWriter(file, schema) as writer:
        for chunk in rows:
            columns = zip(*chunk, strict=True)
            cells = columns if typed else ([None if c is None else str(c) for c in column] for column in columns)
            arrays = [pa.array(column, f.type) for column, f in zip(cells, schema, strict=True)]
            writer.write_table(pa.Table.from_arrays(arrays, schema=schema))


def _blank(cell: Any) -> Any:
    return "" if cell is None else cell


def _safe(cell: Any) -> Any:
    return for_spreadsheet(_blank(cell))


def _as_text(cell: Any) -> Any:
    if cell is None:
        return ""
    return for_spreadsheet(cell) if isinstance(cell, str) else str(cell)


def _with_numbers(rows: Chunks, places: Sequence[int]) -> Chunks:
    """Confidence and cost are numbers in a sheet that has numbers."""
    for chunk in rows:
        out = []
        for row in chunk:
            cells = list(row)
            for i in places:
                if cells[i] is not None:
                    cells[i] = float(cells[i])
            out.append(tuple(cells))
        yield out


def _for_sheet(cell: Any) -> Any:
    """A number that a sheet would cut, and a moment with a zone, which it has none for, are text."""
    if cell is None or isinstance(cell, str | SheetCell):
        return cell
    if isinstance(cell, int | float | Decimal) and len(str(cell).strip("-").replace(".", "")) <= _DIGITS:
        return SheetCell(cell)
    if isinstance(cell, float):
        return SheetCell(cell) if cell == cell else None
    if isinstance(cell, datetime | time) and cell.tzinfo is None:
        return SheetCell(cell, "yyyy-mm-dd hh:mm:ss" if isinstance(cell, datetime) else "hh:mm:ss")
    if isinstance(cell, date) and not isinstance(cell, datetime):
        return SheetCell(cell, "yyyy-mm-dd")
    return str(cell)

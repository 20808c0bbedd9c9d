"""A list in a file: CSV or Parquet, read twice (inputs first, the rest when the answers are there), never all at once.

How a CSV is written (encoding, delimiter, line ends, lines above the header) is found in `csv_dialect.py`.

CSV is text: no cell is parsed, so `007`, `1e5` and `NA` come out as they went in. What providers say stands beside them
and is never a formula. Parquet keeps its types.
"""

from __future__ import annotations

import csv
import io
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import islice, takewhile
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, BinaryIO, Literal, Protocol

from revetl.enrich.lists.csv_dialect import CsvDialect, NotText, find_dialect
from revetl.errors import ConfigError, Problem
from revetl.private_files import replaced
from revetl.safe_text import for_spreadsheet

if TYPE_CHECKING:
    import pyarrow as pa

Format = Literal["csv", "parquet"]
CHUNK_ROWS = 5_000
# Python's own limit of 128 KB refuses a cell that holds a page. It is one for all readers of the process.
csv.field_size_limit(2**31 - 1)
MOST_PROBLEMS = 20  # of one list, in one message
_GZIP = b"\x1f\x8b"
_ZIP = b"PK\x03\x04"
_AS_UTF8 = 'Save it as UTF-8; in a spreadsheet, as "CSV UTF-8".'
_PARQUET = (".parquet", ".pq")
_TEXT = (".csv", ".tsv", ".txt", "")


class Listing(Protocol):
    """`header` holds the columns' names in order. `chunks` starts from the first row each time; cells are text or None
    in a CSV, typed in Parquet."""

    format: Format
    header: tuple[str, ...]

    def chunks(self) -> Iterator[list[tuple[Any, ...]]]: ...


class ByteSink(Protocol):
    """Where the bytes of a list go that is written to stdout."""

    def write(self, octets: bytes, /) -> int: ...

    def flush(self) -> None: ...


class CsvListing:
    format: Format = "csv"

    def __init__(self, path: Path, name: Path, encoding: str | None = None, delimiter: str | None = None) -> None:
        """`name` is what messages call it. `encoding` and `delimiter`: where the caller knows them."""
        self._path, self._name = path, name
        try:
            self.dialect: CsvDialect = find_dialect(path, encoding, delimiter)
        except NotText as e:
            raise ConfigError(Problem(str(e), name, e.line, _AS_UTF8)) from None
        with self._open() as file:
            rows = self._rows(file)
            try:
                self.header = _without_blank_end(next(rows, ()))
            except csv.Error as e:
                raise self._not_csv(e, rows.line_num) from None
        if not self.header:
            raise ConfigError(Problem("the list is empty: its first line must name the columns", name))

    def chunks(self) -> Iterator[list[tuple[Any, ...]]]:
        with self._open() as file:
            rows = self._rows(file)
            next(rows)
            checked = self._checked(rows)
            while chunk := list(islice(checked, CHUNK_ROWS)):
                yield chunk

    def _checked(self, rows: Any) -> Iterator[tuple[Any, ...]]:
        """Blank lines are passed over; a short row is filled with blanks, and blank cells past the header are cut. What
        else is longer can't be attributed: all such rows are told at once, at the end."""
        width, problems = len(self.header), list[Problem]()
        above = self.dialect.lines_above
        try:
            for row in rows:
                if len(row) > width and any(map(str.strip, row[width:])):
                    if len(problems) < MOST_PROBLEMS:
                        message = f"{len(row)} cells, but the header names {width} columns"
                        hint = "A cell that holds the delimiter needs quotes."
                        problems.append(Problem(message, self._name, above + rows.line_num, hint))
                elif row and not problems:
                    yield (*row[:width], *[""] * (width - len(row)))
        except csv.Error as e:
            raise self._not_csv(e, rows.line_num) from None
        if problems:
            raise ConfigError(problems)

    def _rows(self, file: IO[str]) -> Any:
        """Strict, or a quote that is never closed would swallow the rest of the list into one cell."""
        return csv.reader(file, delimiter=self.dialect.delimiter, strict=True)

    def _not_csv(self, error: csv.Error, line: int) -> ConfigError:
        hint = 'A quote inside a quoted cell is written twice (""), and the cell ends with one.'
        return ConfigError(Problem(f"not valid CSV: {error}", self._name, self.dialect.lines_above + line, hint))

    def _open(self) -> IO[str]:
        file = self._path.open(encoding=self.dialect.encoding, newline="")
        for _ in range(self.dialect.lines_above):
            file.readline()
        return file


def _without_blank_end(cells: Sequence[str]) -> tuple[str, ...]:
    """A header whose line ends in delimiters names no column there."""
    blank = sum(1 for _ in takewhile(lambda cell: not cell.strip(), reversed(cells)))
    return tuple(cells[: len(cells) - blank])


class ParquetListing:
    format: Format = "parquet"

    def __init__(self, path: Path, name: Path) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        self._path = path
        try:
            self.schema: pa.Schema = pq.read_schema(path)
        except pa.ArrowInvalid:
            raise ConfigError(Problem("not a Parquet file", name)) from None
        self.header = tuple(self.schema.names)

    def chunks(self) -> Iterator[list[tuple[Any, ...]]]:
        import pyarrow.parquet as pq

        with pq.ParquetFile(self._path) as file:
            for batch in file.iter_batches(CHUNK_ROWS):
                yield list(zip(*(column.to_pylist() for column in batch.columns), strict=True))


@contextmanager
def open_list(
    source: str, stdin: BinaryIO, encoding: str | None = None, delimiter: str | None = None
) -> Iterator[CsvListing | ParquetListing]:
    """`source` is a path, or `-` for stdin. What is packed (gzip) and what comes from stdin is kept in a temporary file
    while the block lasts, since it has to be read twice. `encoding` and `delimiter` are of a CSV; None: found out."""
    if source != "-":
        path = Path(source)
        if not path.is_file():
            raise ConfigError(Problem("no such file", path))
        with path.open("rb") as packed:
            if packed.read(2) != _GZIP:
                yield _listing(path, path, encoding, delimiter)
                return
            packed.seek(0)
            with _unpacked(packed, path) as plain:
                yield _listing(plain, path, encoding, delimiter)
        return
    handle, temporary = tempfile.mkstemp(prefix="revetl-", suffix=".list")
    try:
        with os.fdopen(handle, "wb") as file:
            shutil.copyfileobj(stdin, file)
        yield _listing(Path(temporary), Path("<stdin>"), encoding, delimiter)
    finally:
        Path(temporary).unlink()


@contextmanager
def _unpacked(packed: BinaryIO, name: Path) -> Iterator[Path]:
    import gzip
    import zlib

    handle, temporary = tempfile.mkstemp(prefix="revetl-", suffix=".list")
    try:
        with os.fdopen(handle, "wb") as file, gzip.open(packed) as plain:
            shutil.copyfileobj(plain, file)
        yield Path(temporary)
    except (gzip.BadGzipFile, zlib.error, EOFError):
        raise ConfigError(Problem("a .gz that can't be unpacked", name)) from None
    finally:
        Path(temporary).unlink()


def _listing(path: Path, name: Path, encoding: str | None, delimiter: str | None) -> CsvListing | ParquetListing:
    with path.open("rb") as file:
        first = file.read(4)
    if first == _ZIP:
        raise ConfigError(Problem("a spreadsheet or an archive, not text", name, hint=_AS_UTF8))
    return ParquetListing(path, name) if first == b"PAR1" else CsvListing(path, name, encoding, delimiter)


def check_target(target: str, source: str) -> None:
    """ConfigError where the enriched list could not be written to `target`: found before money is spent on it."""
    if target == "-":
        return
    path = Path(target)
    problem = None
    if path.suffix.lower() not in (*_PARQUET, *_TEXT):
        problem = Problem(
            f"lists are written as CSV or Parquet, not {path.suffix}", path, hint="End it with .csv or .parquet."
        )
    elif path.is_dir():
        problem = Problem("is a directory", path)
    elif not path.parent.is_dir():
        problem = Problem(f"there is no directory {path.parent}", path)
    elif not os.access(path.parent, os.W_OK):
        problem = Problem(f"nothing can be written to {path.parent.resolve()}", path)
    elif source != "-" and path.exists() and Path(source).exists() and path.samefile(source):
        problem = Problem(
            "is the list itself, which is left as it is", path, hint="Name another file for the enriched list."
        )
    if problem is not None:
        raise ConfigError(problem)


def write_list(
    target: str,
    stdout: ByteSink,
    listing: CsvListing | ParquetListing,
    added: Sequence[str],
    rows: Iterator[list[tuple[Any, ...]]],
) -> None:
    """Writes chunks of rows: the list's columns, then `added` ones. `-` is stdout, in the format of the list.

    A file appears whole or not at all, and for its owner alone: it holds customers.
    """
    if target == "-":
        with tempfile.TemporaryFile(prefix="revetl-") as whole:
            _write(whole, listing.format, listing, added, rows)
            whole.seek(0)
            shutil.copyfileobj(whole, stdout)
        stdout.flush()
        return
    path = Path(target)
    with replaced(path) as file:
        _write(file, "parquet" if path.suffix.lower() in _PARQUET else "csv", listing, added, rows)


def _blank(cells: Sequence[Any]) -> list[Any]:
    return ["" if cell is None else cell for cell in cells]


def _write(
    file: BinaryIO,
    format_: Format,
    listing: CsvListing | ParquetListing,
    added: Sequence[str],
    rows: Iterator[list[tuple[Any, ...]]],
) -> None:
    if format_ == "csv":
        dialect = listing.dialect if isinstance(listing, CsvListing) else CsvDialect()
        text = io.TextIOWrapper(file, encoding=dialect.encoding_of_output, newline="")
        out = csv.writer(text, delimiter=dialect.delimiter, lineterminator=dialect.line_end)
        out.writerow([*listing.header, *added])
        width = len(listing.header)
        for chunk in rows:
            out.writerows([*_blank(row[:width]), *map(for_spreadsheet, _blank(row[width:]))] for row in chunk)
        text.detach()  # flushes it, and leaves the file open
        return
    import pyarrow as pa
    import pyarrow.parquet as pq

    own: list[pa.Field] = (
        list(listing.schema)
        if isinstance(listing, ParquetListing)
        else [pa.field(n, pa.string()) for n in listing.header]
    )
    schema = pa.schema([*own, *(pa.field(name, pa.string()) for name in added)])
    with pq.ParquetWriter(file, schema) as writer:
        for chunk in rows:
            arrays = [pa.array(cells, f.type) for cells, f in zip(zip(*chunk, strict=True), schema, strict=True)]
            writer.write_table(pa.Table.from_arrays(arrays, schema=schema))

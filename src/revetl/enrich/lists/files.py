"""A list in a file: CSV or Parquet, read twice (inputs first, the rest when the answers are there), never all at once.

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
from itertools import islice
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, BinaryIO, Literal, Protocol

from revetl.errors import ConfigError, Problem
from revetl.private_files import replaced
from revetl.safe_text import for_spreadsheet

if TYPE_CHECKING:
    import pyarrow as pa

Format = Literal["csv", "parquet"]
CHUNK_ROWS = 5_000
# Python's own limit of 128 KB refuses a cell that holds a page. It is one for all readers of the process.
csv.field_size_limit(2**31 - 1)
_DELIMITERS = ",;\t|"
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

    def __init__(self, path: Path, name: Path) -> None:
        """`name` is what messages call it."""
        self._path, self._name = path, name
        with self._open() as file:
            first = file.readline()
        self.delimiter = max(_DELIMITERS, key=first.count) if first else ","
        with self._open() as file:
            rows = self._rows(file)
            try:
                self.header = tuple(next(rows, ()))
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
        """Blank lines are passed over; a short row is filled with blanks; a long one can't be attributed."""
        width = len(self.header)
        try:
            for row in rows:
                if len(row) > width:
                    message = f"{len(row)} cells, but the header names {width} columns"
                    raise ConfigError(
                        Problem(message, self._name, rows.line_num, "A cell that holds the delimiter needs quotes.")
                    )
                if row:
                    yield (*row, *[""] * (width - len(row)))
        except csv.Error as e:
            raise self._not_csv(e, rows.line_num) from None
        except UnicodeDecodeError:
            raise ConfigError(Problem("not UTF-8 text", self._name, rows.line_num + 1, _AS_UTF8)) from None

    def _rows(self, file: IO[str]) -> Any:
        """Strict, or a quote that is never closed would swallow the rest of the list into one cell."""
        return csv.reader(file, delimiter=self.delimiter, strict=True)

    def _not_csv(self, error: csv.Error, line: int) -> ConfigError:
        hint = 'A quote inside a quoted cell is written twice (""), and the cell ends with one.'
        return ConfigError(Problem(f"not valid CSV: {error}", self._name, line, hint))

    def _open(self) -> IO[str]:
        return self._path.open(encoding="utf-8-sig", newline="")


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
def open_list(source: str, stdin: BinaryIO) -> Iterator[CsvListing | ParquetListing]:
    """`source` is a path, or `-` for stdin, which is kept in a temporary file since it has to be read twice."""
    if source != "-":
        path = Path(source)
        if not path.is_file():
            raise ConfigError(Problem("no such file", path))
        yield _listing(path, path)
        return
    handle, temporary = tempfile.mkstemp(prefix="revetl-", suffix=".list")
    try:
        with os.fdopen(handle, "wb") as file:
            shutil.copyfileobj(stdin, file)
        yield _listing(Path(temporary), Path("<stdin>"))
    finally:
        Path(temporary).unlink()


def _listing(path: Path, name: Path) -> CsvListing | ParquetListing:
    with path.open("rb") as file:
        is_parquet = file.read(4) == b"PAR1"
    try:
        return ParquetListing(path, name) if is_parquet else CsvListing(path, name)
    except UnicodeDecodeError:
        raise ConfigError(Problem("neither Parquet nor UTF-8 text", name, hint=_AS_UTF8)) from None


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
        delimiter = listing.delimiter if isinstance(listing, CsvListing) else ","
        text = io.TextIOWrapper(file, encoding="utf-8", newline="")
        out = csv.writer(text, delimiter=delimiter, lineterminator="\n")
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

"""A list in a file: CSV, a spreadsheet or Parquet, read twice (inputs first, the rest when the answers are there) and
never all at once.

What it is, is told by how it begins and not by its name: `csv_files.py`, `workbooks.py`, `parquet_files.py`.
"""

from __future__ import annotations

import gzip
import os
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Literal, Protocol

from revetl.enrich.lists.csv_files import CsvListing
from revetl.enrich.lists.parquet_files import ParquetListing
from revetl.enrich.lists.rejects import RejectedRows
from revetl.enrich.lists.workbooks import WorkbookListing
from revetl.errors import ConfigError, Problem

Format = Literal["csv", "parquet", "xlsx"]
_GZIP = b"\x1f\x8b"
_ZIP = b"PK\x03\x04"
_OLD_OFFICE = b"\xd0\xcf\x11\xe0"
_MOST_UNPACKED = 16 << 30


class Listing(Protocol):
    """`header` holds the columns' names in order. `chunks` starts from the first row each time; cells are text or None
    in a CSV, typed in Parquet and in a spreadsheet."""

    @property
    def format(self) -> Format: ...

    @property
    def header(self) -> tuple[str, ...]: ...

    def chunks(self) -> Iterator[list[tuple[Any, ...]]]: ...


@dataclass(frozen=True, slots=True)
class HowToRead:
    """What the caller knows of a file; None: found out. `encoding` and `delimiter` are of a CSV, `sheet` of a
    spreadsheet. `set_aside`: rows that can't be read don't refuse the list."""

    encoding: str | None = None
    delimiter: str | None = None
    sheet: str | None = None
    set_aside: bool = False


@contextmanager
def open_list(source: str, stdin: BinaryIO, how: HowToRead | None = None) -> Iterator[Listing]:
    """`source` is a path, or `-` for stdin. What is packed (gzip) and what comes from stdin is kept in a temporary file
    while the block lasts, since it has to be read twice. ConfigError where it can't be read."""
    how = how or HowToRead()
    if source != "-":
        path = Path(source)
        if not path.is_file():
            raise ConfigError(Problem("no such file", path))
        with _plain(path, path) as plain:
            yield _listing(plain, path, how)
        return
    with _kept(stdin) as taken, _plain(taken, Path("<stdin>")) as plain:
        yield _listing(plain, Path("<stdin>"), how)


def rejected_rows(listing: Listing) -> RejectedRows:
    """Those of the last time that its chunks were read. Parquet has none."""
    return listing.rejected if isinstance(listing, CsvListing | WorkbookListing) else RejectedRows(Path())


def column_without_header(listing: Listing) -> str | None:
    """What we call the column of a list of one column that has no header; None where there is one."""
    return listing.column_without_header if isinstance(listing, CsvListing | WorkbookListing) else None


@contextmanager
def _plain(path: Path, name: Path) -> Iterator[Path]:
    """The file, unpacked where it is packed."""
    with path.open("rb") as file:
        if file.read(2) != _GZIP:
            yield path
            return
        file.seek(0)
        try:
            with gzip.open(file) as packed, _kept(packed) as plain:
                yield plain
        except (gzip.BadGzipFile, zlib.error, EOFError):
            raise ConfigError(Problem("a .gz that can't be unpacked", name)) from None


@contextmanager
def _kept(octets: BinaryIO | gzip.GzipFile) -> Iterator[Path]:
    """In a temporary file of its owner's while the block lasts."""
    handle, temporary = tempfile.mkstemp(prefix="revetl-", suffix=".list")
    try:
        with os.fdopen(handle, "wb") as file:
            while piece := octets.read(1 << 20):
                file.write(piece)
                if file.tell() > _MOST_UNPACKED:
                    raise ConfigError(f"a list of more than {_MOST_UNPACKED >> 30} GB")
        yield Path(temporary)
    finally:
        Path(temporary).unlink()


def _listing(path: Path, name: Path, how: HowToRead) -> Listing:
    with path.open("rb") as file:
        first = file.read(4)
    if first == _OLD_OFFICE:
        hint = "Save it as .xlsx without a password, or as CSV in UTF-8."
        raise ConfigError(Problem("a spreadsheet of the old kind (.xls), or one with a password", name, hint=hint))
    rejected = RejectedRows(name, set_aside=how.set_aside)
    if first == _ZIP:
        return WorkbookListing(path, name, how.sheet, rejected)
    if how.sheet is not None:
        raise ConfigError(Problem("not a spreadsheet, so it has no sheets", name))
    if first == b"PAR1":
        return ParquetListing(path, name)
    return CsvListing(path, name, how.encoding, how.delimiter, rejected)

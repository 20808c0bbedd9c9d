"""How a CSV is written: encoding, delimiter, line ends, and what stands above its header.

Found from the file itself, as spreadsheets and exports write it; what the caller says goes before what is found.
"""

from __future__ import annotations

import codecs
import csv
import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path

from revetl.enrich.lists.headers import is_header

_DELIMITERS = ",;\t|"
_SEPARATOR_LINE = re.compile(r"sep=(.)\s*", re.IGNORECASE)
_QUOTED = re.compile(r'"(?:[^"]|"")*"')
# Of this many first lines the header is one.
FIRST_LINES = 20
_PIECE = 1 << 20


class NotText(ValueError):
    """`line`: where it is seen, counted from 1; None where it is the whole file."""

    def __init__(self, message: str, line: int | None = None) -> None:
        super().__init__(message)
        self.line = line


@dataclass(frozen=True, slots=True)
class CsvDialect:
    """`lines_above`: lines before the header, which are passed over (`sep=;`, a title, blank lines). `has_mark`: the
    list is UTF-8 and begins with the mark by which a spreadsheet knows it. `names_delimiter`: it begins with `sep=`."""

    encoding: str = "utf-8-sig"
    delimiter: str = ","
    line_end: str = "\n"
    lines_above: int = 0
    has_mark: bool = False
    names_delimiter: bool = False

    @property
    def encoding_of_output(self) -> str:
        """That of the list. Where it can't hold every value that a provider may give, UTF-8 with the mark by which a
        spreadsheet knows it."""
        if self.encoding == "utf-8-sig":
            return "utf-8-sig" if self.has_mark else "utf-8"
        return self.encoding if self.encoding.startswith("utf") else "utf-8-sig"


def find_dialect(path: Path, encoding: str | None = None, delimiter: str | None = None) -> CsvDialect:
    """Reads the file once, in bounded memory. NotText where it is in no encoding that is told apart."""
    found = _encoding(path, encoding)
    with path.open("rb") as octets:
        has_mark = octets.read(len(codecs.BOM_UTF8)) == codecs.BOM_UTF8
    with path.open(encoding=found, newline="") as file:
        # A header of many columns is long; a file of one endless line is no list.
        lines = [line for _, line in zip(range(FIRST_LINES), iter(lambda: file.readline(_PIECE), ""), strict=False)]
    line_end = "\r\n" if lines and lines[0].endswith("\r\n") else "\n"
    above = 0
    said = _SEPARATOR_LINE.fullmatch(lines[0]) if lines else None
    if said is not None:
        delimiter, above = delimiter or said[1], 1
    rest = lines[above:]
    used = delimiter or max(_DELIMITERS, key=lambda d: _fits(rest, d))
    # Another delimiter that the caller names makes the line untrue.
    names_delimiter = said is not None and said[1] == used
    return CsvDialect(found, used, line_end, above + _lines_above(rest, used), has_mark, names_delimiter)


def _lines_above(lines: list[str], delimiter: str) -> int:
    return header_place([next(csv.reader([line], delimiter=delimiter), []) for line in lines])


def header_place(rows: Sequence[Sequence[str]]) -> int:
    """Which of the first rows is the header. Above it are blank ones, and titles: rows of one cell above the first of
    several. A list of one column has no title."""
    filled = [sum(1 for cell in cells if cell.strip()) for cells in rows]
    least = 2 if max(filled, default=0) > 1 else 1
    first = next((i for i, cells in enumerate(filled) if cells >= least), 0)
    # A header that names one column is followed by rows of one cell, or of several that it does not name.
    return first if all(map(_is_title, rows[:first])) else 0


def without_blank_end(cells: Sequence[str]) -> tuple[str, ...]:
    """A header whose line ends in delimiters names no column there."""
    blank = sum(1 for _ in takewhile(lambda cell: not cell.strip(), reversed(cells)))
    return tuple(cells[: len(cells) - blank])


def _is_title(cells: Sequence[str]) -> bool:
    """Blank, one cell that is padded to the width of the table, or a word that no column is called by."""
    text = "".join(cells).strip()
    return not text or len(cells) > 1 or not is_header(text)


def _fits(lines: Sequence[str], delimiter: str) -> tuple[float, int]:
    """How many of the lines that hold something have as many columns as the first that it parts; and how many that are.
    An address or a note may hold more commas than the list has columns, but seldom as many in each line, the header's
    among them."""
    counts = [_columns(line, delimiter) for line in lines if line.strip()]
    first = next((n for n in counts if n), 0)
    return (counts.count(first) / len(counts), first) if first else (0.0, 0)


def _columns(line: str, delimiter: str) -> int:
    return _QUOTED.sub("", line).count(delimiter)


def _encoding(path: Path, said: str | None) -> str:
    """By its mark; else UTF-8 if all of it is; else what Windows writes in Western Europe."""
    if said is not None:
        try:
            name = codecs.lookup(said).name
        except LookupError:
            raise NotText(f"there is no encoding {said!r}") from None
        name = "utf-8-sig" if name == "utf-8" else name
        _check(path, name)
        return name
    with path.open("rb") as file:
        start = file.read(4096)
    if start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        _check(path, "utf-16")
        return "utf-16"
    if b"\0" in start:
        # ASCII in UTF-16: every other octet is zero.
        name = "utf-16-le" if start[1:2] == b"\0" else "utf-16-be"
        _check(path, name)
        return name
    try:
        _check(path, "utf-8-sig")
    except NotText as not_utf8:
        try:
            _check(path, "cp1252")
        except NotText:
            raise not_utf8 from None
        return "cp1252"
    return "utf-8-sig"


def _check(path: Path, encoding: str) -> None:
    """NotText, with the line, where the file is not in this encoding."""
    decoder = codecs.getincrementaldecoder(encoding)()
    lines = 1
    with path.open("rb") as file:
        while True:
            octets = file.read(_PIECE)
            try:
                text = decoder.decode(octets, final=not octets)
            except UnicodeError as e:
                begun = octets[: e.start] if isinstance(e, UnicodeDecodeError) else b""
                called = "UTF-8" if encoding == "utf-8-sig" else encoding
                raise NotText(f"not {called} text", lines + begun.count(b"\n")) from None
            lines += text.count("\n")
            if "\0" in text:
                raise NotText("not text", lines)
            if not octets:
                return

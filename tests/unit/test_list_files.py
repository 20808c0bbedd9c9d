"""A list in a file, as spreadsheets and exports write it."""

from __future__ import annotations

import gzip
import io
from pathlib import Path

import pytest

from revetl.enrich.lists.files import open_list, write_list
from revetl.errors import ConfigError

HEADER = ("First name", "Last name", "Email")
ROWS = [("Zoë", "Müller", ""), ("Ada", "Lovelace", "")]
TEXT = "First name,Last name,Email\r\nZoë,Müller,\r\nAda,Lovelace,\r\n"


def read(path: Path, octets: bytes, **said: str) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    path.write_bytes(octets)
    with open_list(str(path), io.BytesIO(), **said) as listing:
        return listing.header, [row for chunk in listing.chunks() for row in chunk]


@pytest.mark.parametrize(
    "octets",
    [
        TEXT.encode(),
        TEXT.encode("utf-8-sig"),
        TEXT.encode("utf-16"),
        TEXT.encode("utf-16-le"),
        TEXT.encode("utf-16-be"),
        TEXT.encode("cp1252"),
        TEXT.replace(",", "\t").encode("utf-16"),
        TEXT.replace(",", ";").encode(),
        ("sep=;\r\n" + TEXT.replace(",", ";")).encode(),
        ("\r\n\r\n" + TEXT).encode(),
        ("Leads export 2024-05-01,,,\r\n" + TEXT).encode(),
        ("Leads export of May\r\n\r\n" + TEXT).encode(),
        TEXT.replace("\r\n", ",\r\n").encode(),
        TEXT.replace("Müller,", "Müller,,,,").encode(),
        TEXT.replace("Lovelace,", "Lovelace").encode(),
        gzip.compress(TEXT.encode("cp1252")),
    ],
)
def test_the_same_list_however_it_is_written(tmp_path: Path, octets: bytes) -> None:
    assert read(tmp_path / "list.csv", octets) == (HEADER, ROWS)


def test_a_delimiter_inside_quotes_parts_nothing(tmp_path: Path) -> None:
    text = '"Person (Last, First, M, Jr, Sr)";Email\n"Doe, Jane, X, , ";a@example.com\n'
    assert read(tmp_path / "list.csv", text.encode())[0] == ("Person (Last, First, M, Jr, Sr)", "Email")


def test_what_the_caller_says_goes_before_what_is_found(tmp_path: Path) -> None:
    assert read(tmp_path / "a.csv", b"a;b,c\n1;2,3\n", delimiter=";")[0] == ("a", "b,c")
    assert read(tmp_path / "b.csv", "Ime,b\nŠime,1\n".encode("cp1250"), encoding="cp1250")[1] == [("Šime", "1")]
    with pytest.raises(ConfigError, match="no encoding 'latin-99'"):
        read(tmp_path / "c.csv", b"a,b\n", encoding="latin-99")


def test_a_list_of_one_column_has_no_title(tmp_path: Path) -> None:
    assert read(tmp_path / "list.csv", b"Email\na@acme.example\n") == (("Email",), [("a@acme.example",)])
    # Its rows do not make a title of a header.
    with pytest.raises(ConfigError, match="2 cells, but the header names 1"):
        read(tmp_path / "list.csv", b"Email\na@acme.example,more\n")


def test_all_rows_that_are_too_long_are_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as refused:
        read(tmp_path / "list.csv", b"Title of it,\na,b\n1,2,3\n1,2\n1,2,3,4\n")
    assert [(p.line, p.message[:7]) for p in refused.value.problems] == [(3, "3 cells"), (5, "4 cells")]


@pytest.mark.parametrize("octets", [b"PK\x03\x04 rest", b"a,b\n\x81\xff\n", gzip.compress(b"a,b\n1,2\n" * 99)[:-9]])
def test_what_is_no_text_is_refused(tmp_path: Path, octets: bytes) -> None:
    with pytest.raises(ConfigError):
        read(tmp_path / "list.csv", octets)


@pytest.mark.parametrize(("encoding", "written"), [("utf-8", "utf-8"), ("utf-16", "utf-16"), ("cp1252", "utf-8-sig")])
def test_the_output_is_written_as_the_list_is(tmp_path: Path, encoding: str, written: str) -> None:
    (tmp_path / "in.csv").write_bytes(TEXT.replace(",", ";").encode(encoding))
    with open_list(str(tmp_path / "in.csv"), io.BytesIO()) as listing:
        rows = ([(*row, "李") for row in chunk] for chunk in listing.chunks())
        write_list(str(tmp_path / "out.csv"), io.BytesIO(), listing, ["city"], rows)
    lines = (tmp_path / "out.csv").read_bytes().decode(written).split("\r\n")
    assert lines == ["First name;Last name;Email;city", "Zoë;Müller;;李", "Ada;Lovelace;;李", ""]

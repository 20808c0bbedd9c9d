"""A list in a file, as spreadsheets and exports write it."""

from __future__ import annotations

import csv
import gzip
import io
from pathlib import Path
from typing import Any

import openpyxl
import pytest

from revetl.enrich.lists.files import HowToRead, open_list, rejected_rows
from revetl.enrich.lists.writing import write_list
from revetl.errors import ConfigError

HEADER = ("First name", "Last name", "Email")
ROWS = [("Zoë", "Müller", ""), ("Ada", "Lovelace", "")]
TEXT = "First name,Last name,Email\r\nZoë,Müller,\r\nAda,Lovelace,\r\n"


def read(path: Path, octets: bytes, **said: Any) -> tuple[tuple[str, ...], list[tuple[Any, ...]]]:
    path.write_bytes(octets)
    with open_list(str(path), io.BytesIO(), HowToRead(**said)) as listing:
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
        ("Leads\r\n" + TEXT).encode(),
        ('"Leads, all"\r\n' + TEXT).encode(),
        ("Leads export of May\r\n\r\n" + TEXT).encode(),
        TEXT.replace("\r\n", ",\r\n").encode(),
        TEXT.replace("Müller,", "Müller,,,,").encode(),
        TEXT.replace("Lovelace,", "Lovelace").encode(),
        gzip.compress(TEXT.encode("cp1252"), mtime=0),
    ],
)
def test_the_same_list_however_it_is_written(tmp_path: Path, octets: bytes) -> None:
    assert read(tmp_path / "list.csv", octets) == (HEADER, ROWS)


def test_a_delimiter_inside_quotes_parts_nothing(tmp_path: Path) -> None:
    text = '"Person (Last, First, M, Jr, Sr)";Email\n"Doe, Jane, X, , ";a@example.com\n'
    assert read(tmp_path / "list.csv", text.encode())[0] == ("Person (Last, First, M, Jr, Sr)", "Email")


@pytest.mark.parametrize(
    "text",
    [
        "Name;Email;Address\nJane Doe;j@acme.example;12 Main St, Apt 4, Springfield, IL, USA\n",
        "Name;Email;Address\n" + "Jane Doe;j@acme.example;12 Main St, Apt 4, Springfield, IL, USA\n" * 9,
        "Leads, all of them, of May\nName;Email;Address\nJane;j@acme.example;a, b, c, d, e\nJoe;k@acme.example;\n",
        "Name\tEmail\tAddress\nJane\tj@acme.example\t12 Main St, Apt 4, Springfield, IL\n",
    ],
)
def test_commas_in_cells_do_not_part_a_list_that_something_else_parts(tmp_path: Path, text: str) -> None:
    header, rows = read(tmp_path / "list.csv", text.encode())
    assert (header, rows[0][1]) == (("Name", "Email", "Address"), "j@acme.example")


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


@pytest.mark.parametrize(
    ("rows", "column"),
    [
        (["ada@acme.example", "bob@acme.example"], "email"),
        (["ada@acme.example"], "email"),
        (["clearbank.example", "https://www.foxdale.example/about"], "domain"),
        (["www.acme.site", "globex.com"], "domain"),
        (["https://www.linkedin.com/in/ada", "N/A"], "linkedin_url"),
        (["+44 20 7946 0100", "020 7946 0101"], "phone"),
        # Names of columns.
        (["Email", "ada@acme.example"], None),
        (["account.website", "acme.com"], None),
        (["node.js", "yes"], None),
        (["20240131", "12"], None),
    ],
)
def test_a_first_row_of_data_is_no_header(tmp_path: Path, rows: list[str], column: str | None) -> None:
    first = [(row,) for row in rows]
    expected = (tuple(rows[:1]), first[1:]) if column is None else ((column,), first)
    assert read(tmp_path / "list.csv", "\r\n".join(rows).encode("utf-8-sig")) == expected
    sheet = openpyxl.Workbook()
    assert sheet.active is not None
    for each in first:
        sheet.active.append(each)
    sheet.save(tmp_path / "list.xlsx")
    assert read(tmp_path / "list.xlsx", (tmp_path / "list.xlsx").read_bytes()) == expected


def test_a_first_row_of_data_in_several_columns_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=":2: the first row looks like data: an address in column 2") as refused:
        read(tmp_path / "list.csv", b"\nAda,ada@acme.example\nBob,bob@acme.example\n")
    assert "ada" not in str(refused.value).lower()
    # Names of columns that look like a domain stand above other cells.
    assert read(tmp_path / "list.csv", b"Email,node.js,20240131,vue.js\na@b.example,yes,12345678,\n")[0][1] == "node.js"


def test_all_rows_that_are_too_long_are_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as refused:
        read(tmp_path / "list.csv", b"Title of it,\na,b\n1,2,3\n1,2\n1,2,3,4\n")
    assert [(p.line, p.message[:7]) for p in refused.value.problems] == [(3, "3 cells"), (5, "4 cells")]


@pytest.mark.parametrize(
    "octets", [b"PK\x03\x04 rest", b"a,b\n\x81\xff\n", gzip.compress(b"a,b\n1,2\n" * 99, mtime=0)[:-9]]
)
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


@pytest.mark.parametrize("begin", [b"\xef\xbb\xbf", b"sep=;\r\n", b"\xef\xbb\xbfsep=;\r\n"])
def test_the_output_begins_as_the_list_does(tmp_path: Path, begin: bytes) -> None:
    octets = begin + TEXT.replace(",", ";").encode()
    (tmp_path / "in.csv").write_bytes(octets)
    with open_list(str(tmp_path / "in.csv"), io.BytesIO()) as listing:
        write_list(str(tmp_path / "out.csv"), io.BytesIO(), listing, [], listing.chunks())
    assert (tmp_path / "out.csv").read_bytes() == octets


def test_rows_that_cant_be_read_are_set_aside_and_the_others_kept(tmp_path: Path) -> None:
    text = "a,b\n1,2\n" + '3,"said "hi" to me"\n' + '4,"never closed\n' + "5,6,7\n8\n" + '"9\n10",11\n'
    (tmp_path / "list.csv").write_text("A title,\n" + text)
    with open_list(str(tmp_path / "list.csv"), io.BytesIO(), HowToRead(set_aside=True)) as listing:
        for _ in range(2):
            assert [*listing.chunks()] == [[("1", "2"), ("8", ""), ("9\n10", "11")]]
        rejected = rejected_rows(listing)
    assert len(rejected) == 3
    rejected.write(tmp_path / "rejects.csv")
    written = [*csv.reader((tmp_path / "rejects.csv").open(encoding="utf-8-sig", newline=""))]
    assert [(row[0], row[2]) for row in written[1:]] == [
        ("4", '3,"said "hi" to me"'),
        ("5", '4,"never closed'),
        ("6", "5,6,7"),
    ]


def test_a_quote_that_is_never_closed_takes_no_other_row_along(tmp_path: Path) -> None:
    rows = "".join(f"{i},x\n" for i in range(12_000))
    (tmp_path / "list.csv").write_text('a,b\n0,"open\n' + rows)
    with open_list(str(tmp_path / "list.csv"), io.BytesIO(), HowToRead(set_aside=True)) as listing:
        assert sum(map(len, listing.chunks())) == 12_000


def test_a_list_of_which_most_cant_be_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="3 cells, but the header names 2"):
        read(tmp_path / "list.csv", b"a,b\n1,2,3\n1,2\n1,2,3\n", set_aside=True)


def test_rejected_text_is_no_formula(tmp_path: Path) -> None:
    (tmp_path / "list.csv").write_text("a,b\n=1+1,2,3\n4,5\n")
    with open_list(str(tmp_path / "list.csv"), io.BytesIO(), HowToRead(set_aside=True)) as listing:
        list(listing.chunks())
        rejected_rows(listing).write(tmp_path / "rejects.csv")
    assert "'=1+1,2,3" in (tmp_path / "rejects.csv").read_text(encoding="utf-8-sig")


@pytest.mark.parametrize(("formulas", "written"), [(False, "x,'=1+1"), (True, "x,=1+1")])
def test_a_formula_is_written_only_where_somebody_says_so(tmp_path: Path, formulas: bool, written: str) -> None:
    (tmp_path / "list.csv").write_text("a\nx\n")
    with open_list(str(tmp_path / "list.csv"), io.BytesIO()) as listing:
        rows = iter([[("x", "=1+1")]])
        write_list(str(tmp_path / "out.csv"), io.BytesIO(), listing, ["b"], rows, formulas=formulas)
    assert (tmp_path / "out.csv").read_text().splitlines()[1] == written


def test_a_list_that_is_packed_is_packed_again(tmp_path: Path) -> None:
    (tmp_path / "in.csv.gz").write_bytes(gzip.compress(TEXT.encode(), mtime=0))
    with open_list(str(tmp_path / "in.csv.gz"), io.BytesIO()) as listing:
        write_list(str(tmp_path / "out.csv.gz"), io.BytesIO(), listing, [], listing.chunks())
    assert gzip.decompress((tmp_path / "out.csv.gz").read_bytes()) == TEXT.encode()

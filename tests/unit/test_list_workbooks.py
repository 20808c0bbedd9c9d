"""A list in a spreadsheet."""

from __future__ import annotations

import io
import zipfile
from datetime import date, datetime
from pathlib import Path
from typing import Any

import openpyxl
import pytest

from revetl.enrich.lists import workbooks
from revetl.enrich.lists.files import HowToRead, Listing, open_list, rejected_rows
from revetl.enrich.lists.writing import check_size, write_list
from revetl.errors import ConfigError


def saved(path: Path, *rows: list[Any], **more_sheets: list[list[Any]]) -> Path:
    book = openpyxl.Workbook()
    assert book.active is not None
    book.active.title = "People"
    for row in rows:
        book.active.append(row)
    for title, cells in more_sheets.items():
        sheet = book.create_sheet(title)
        for row in cells:
            sheet.append(row)
    book.save(path)
    return path


def texts(listing: Listing) -> list[tuple[str | None, ...]]:
    return [tuple(None if c is None else str(c) for c in row) for chunk in listing.chunks() for row in chunk]


def test_cells_as_text(tmp_path: Path) -> None:
    path = saved(
        tmp_path / "l.xlsx",
        ["Leads of May"],
        [],
        ["Phone", "Zip", "Since", "At", "Share", "Text", "Is"],
        [
            442079460123,
            "00123",
            date(2024, 5, 1),
            datetime.fromisoformat("2024-05-01 09:30"),
            0.25,
            "=not a formula",
            True,
        ],
        [None, None, None, None, None, None, None],
        [5.0, "", None, None, 1e20, "#N/A", None],
        [None, None],
    )
    with open_list(str(path), io.BytesIO()) as listing:
        assert listing.header == ("Phone", "Zip", "Since", "At", "Share", "Text", "Is")
        # What openpyxl writes of the text with "=" is a formula without a value.
        first, blank, last = texts(listing)
    assert first == ("442079460123", "00123", "2024-05-01", "2024-05-01 09:30:00", "0.25", None, "True")
    assert set(blank) == {None}
    assert last == ("5", None, None, None, "1e+20", "#N/A", None)


def test_a_formula_is_the_value_that_was_computed(tmp_path: Path) -> None:
    path = saved(tmp_path / "l.xlsx", ["Email", "Name"], ["x", "Ada"])
    edit(path, "xl/worksheets/sheet1.xml", b'<c r="A2" t="inlineStr"><is><t>x</t></is></c>', b"")
    # As Excel stores it: the formula, and beside it what came of it.
    cell = b'<c r="A2" t="str"><f>LOWER("ADA@ACME.EXAMPLE")</f><v>ada@acme.example</v></c>'
    edit(path, "xl/worksheets/sheet1.xml", b'<c r="B2"', cell + b'<c r="B2"')
    with open_list(str(path), io.BytesIO()) as listing:
        assert texts(listing) == [("ada@acme.example", "Ada")]


def edit(path: Path, member: str, old: bytes, new: bytes) -> None:
    with zipfile.ZipFile(path) as archive:
        members = {m.filename: archive.read(m) for m in archive.infolist()}
    members[member] = members[member].replace(old, new, 1)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, octets in members.items():
            archive.writestr(name, octets)


def test_the_first_sheet_that_is_not_hidden_or_the_one_that_is_named(tmp_path: Path) -> None:
    path = saved(tmp_path / "l.xlsx", ["hidden"], Second=[["Email"], ["a@acme.example"]], Third=[["Phone"], ["1"]])
    book = openpyxl.load_workbook(path)
    book["People"].sheet_state = "hidden"
    book.active = 1
    book.save(path)
    with open_list(str(path), io.BytesIO()) as listing:
        assert listing.header == ("Email",)
    with open_list(str(path), io.BytesIO(), HowToRead(sheet="Third")) as listing:
        assert listing.header == ("Phone",)
    with (
        pytest.raises(ConfigError, match="no sheet 'Thrid'"),
        open_list(str(path), io.BytesIO(), HowToRead(sheet="Thrid")),
    ):
        pass


def test_a_sheet_comes_out_as_it_went_in(tmp_path: Path) -> None:
    path = saved(tmp_path / "l.xlsx", ["Zip", "Since", "N"], ["00123", date(2024, 5, 1), 7])
    book = openpyxl.load_workbook(path)
    assert book.active is not None
    book.active["C2"].number_format = "00000"
    book.save(path)
    with open_list(str(path), io.BytesIO()) as listing:
        rows = ([(*row, '=HYPERLINK("http://x.example")', "0.5") for row in chunk] for chunk in listing.chunks())
        write_list(str(tmp_path / "out.xlsx"), io.BytesIO(), listing, ["job_title", "job_title_confidence"], rows)
        rows = ([(*row, "=1+1") for row in chunk] for chunk in listing.chunks())
        write_list(str(tmp_path / "out.csv"), io.BytesIO(), listing, ["job_title"], rows)
    sheet = openpyxl.load_workbook(tmp_path / "out.xlsx").active
    assert sheet is not None
    zip_, since, n, title, sure = sheet[2]
    assert (zip_.value, since.value, n.value, n.number_format) == (
        "00123",
        datetime.fromisoformat("2024-05-01"),
        7,
        "00000",
    )
    assert since.is_date
    assert (title.value, title.data_type, sure.value) == ('=HYPERLINK("http://x.example")', "s", 0.5)
    assert (tmp_path / "out.csv").read_text().splitlines() == ["Zip,Since,N,job_title", "00123,2024-05-01,7,'=1+1"]


def test_text_of_a_csv_stays_text_in_a_sheet(tmp_path: Path) -> None:
    (tmp_path / "l.csv").write_text("Zip,Note\n00123,=1+1\n\x01\x02,\n")
    with open_list(str(tmp_path / "l.csv"), io.BytesIO()) as listing:
        write_list(str(tmp_path / "out.xlsx"), io.BytesIO(), listing, [], listing.chunks())
    sheet = openpyxl.load_workbook(tmp_path / "out.xlsx").active
    assert sheet is not None
    assert [(c.value, c.data_type) for c in sheet[2]] == [("00123", "s"), ("=1+1", "s")]


def test_a_cell_past_the_header_is_attributed_to_nothing(tmp_path: Path) -> None:
    path = saved(tmp_path / "l.xlsx", ["Email", "Name"], ["a@x.example", "Ada"], ["b@x.example", "Bo", "more"])
    with (
        pytest.raises(ConfigError, match="past the last of the 2 columns"),
        open_list(str(path), io.BytesIO()) as listing,
    ):
        list(listing.chunks())
    with open_list(str(path), io.BytesIO(), HowToRead(set_aside=True)) as listing:
        assert texts(listing) == [("a@x.example", "Ada")]
        assert len(rejected_rows(listing)) == 1


def test_what_can_be_no_sheet_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with zipfile.ZipFile(tmp_path / "other.zip", "w") as archive:
        archive.writestr("a.csv", "a,b")
    (tmp_path / "old.xls").write_bytes(b"\xd0\xcf\x11\xe0" + bytes(100))
    (tmp_path / "cut.xlsx").write_bytes(saved(tmp_path / "l.xlsx", ["Email"]).read_bytes()[:-200])
    bomb = saved(tmp_path / "bomb.xlsx", ["Email"], ["x"])
    entities = b'<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;">]><worksheet'
    edit(bomb, "xl/worksheets/sheet1.xml", b"<worksheet", entities)
    for name in ("other.zip", "old.xls", "cut.xlsx", "bomb.xlsx"):
        with pytest.raises(ConfigError), open_list(str(tmp_path / name), io.BytesIO()) as listing:
            list(listing.chunks())
    monkeypatch.setattr(workbooks, "_MOST_BYTES", 1000)
    with pytest.raises(ConfigError, match="when it is unpacked"), open_list(str(tmp_path / "l.xlsx"), io.BytesIO()):
        pass


def test_more_rows_than_a_sheet_holds_are_refused_before_anything_is_asked(tmp_path: Path) -> None:
    (tmp_path / "l.csv").write_text("Email\nx\n")
    with open_list(str(tmp_path / "l.csv"), io.BytesIO()) as listing:
        check_size("out.csv", listing, 1_048_576, 3)
        with pytest.raises(ConfigError, match="1,048,576 rows"):
            check_size("out.xlsx", listing, 1_048_576, 3)

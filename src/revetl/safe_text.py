"""Text of strangers on its way to a medium that could take it for more than text: one function for each medium.

A web form's visitor, a vendor's answer and a file's name can hold what clears a reviewer's screen, hides a line, ends a
table's cell, calls somebody in a pull request, or is computed by a spreadsheet. Nothing of it is left out: what would
act is shown as what it is (`\\x1b`), so that a reader sees that it was there.

Whatever prints goes through here: `cli/output.py` and `cli/safe_console.py` are the only ways to a terminal.
"""

from __future__ import annotations

import html
import re

# What has no look of its own and changes that of others: control characters (C0, DEL, C1), the soft hyphen, marks of
# writing direction, joiners and blanks of no width, line and paragraph separators, fillers, halves of a surrogate pair,
# tags. Variation selectors only choose between two looks of one character and stay. Unicode 16, categories Cc, Cf, Cs,
# Zl, Zp, without the signs of number and verse that are seen; and the fillers, which are letters by category.
_UNSEEN = (
    "\x00-\x1f\x7f-\x9f\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f"
    "\u3164\ud800-\udfff\ufeff\uffa0\ufff0-\ufffb"
    "\U00013430-\U0001343f\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e00ff\U000e01f0-\U000e0fff"
)
_UNSAFE = re.compile(f"[{_UNSEEN}]")
_UNSAFE_IN_LINES = re.compile(f"(?![\\n\\t])[{_UNSEEN}]")
_UNSAFE_IN_JSON = re.compile(f"(?![\\n])[{_UNSEEN}]")

# What Markdown reads as more than text. `<` and `&` begin HTML; `$` and `~` are GitHub's.
_MARKS = re.compile(r"[\\`*_\[\]|~$#]")
# What GitHub makes of plain text: a mention, a reference, a link. A comment between its halves is not seen and parts
# them.
_CALLS = re.compile(r"(?<!\w)@(?=\w)|#(?=\d)|(?i:https?:|ftp:|mailto:|xmpp:|www\.)")

# A spreadsheet computes a cell that begins so, also behind blanks, and Japanese ones take the wide forms. `;`, tabs and
# `|` part cells where the machine's locale says so, whatever this file's delimiter is.
_CELL_STARTS = re.compile(rf"(^|[;\t\r\n|])([\s{_UNSEEN}]*)([=@+\-＝＠＋－])")
# A sign may begin a phone number or an amount: nothing in these is a name that could be called.
_NUMBER = re.compile(r"[+\-＋－][\d\s().,/\-–]*(?:[xX#]\s?\d+)?(?:[eE][+\-]?\d+)?")


def for_terminal(text: str) -> str:
    """One line: what would steer the terminal is shown as Python would write it, a line break as ⏎."""
    return _UNSAFE.sub(_visible, text.replace("\r\n", "\n").replace("\n", "⏎"))


def for_terminal_lines(text: str) -> str:
    """Several lines: line breaks and tabs stay. Safe to repeat."""
    return _UNSAFE_IN_LINES.sub(_visible, text)


def for_markup(text: str) -> str:
    """One line between tags of rich's markup: a bracket is a bracket."""
    from rich.markup import escape

    shown = for_terminal(text)
    body = shown.rstrip("\\")
    # Backslashes would belong to the tag that follows, and only to one: they are given their own, which does nothing.
    end = "\\" * 2 * (len(shown) - len(body))
    return escape(body) + (f"{end}[none][/none]" if end else "")


def for_markdown(text: str) -> str:
    """Inside a paragraph or a cell of a table: no markup, no HTML, no link, nobody is mentioned."""
    shown = for_terminal(" ".join(text.splitlines())).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return _CALLS.sub(lambda m: f"{m[0]}<!-- -->", _MARKS.sub(r"\\\g<0>", shown))


def for_html(text: str) -> str:
    """Inside an element or a quoted attribute of a page."""
    return html.escape(for_terminal(text))


def for_json(document: str) -> str:
    """A JSON document on its way to a terminal: what is unseen stands as JSON's own `\\uXXXX`, so a reader of the
    document gets the same values."""
    return _UNSAFE_IN_JSON.sub(lambda m: "".join(f"\\u{unit:04x}" for unit in _utf16(m[0])), document)


def for_spreadsheet(cell: str) -> str:
    """A cell that somebody else wrote: where a spreadsheet would compute it, an apostrophe makes it text. Phone numbers
    and amounts with a sign are no formulas and stay as they are."""
    shown = _UNSAFE_IN_LINES.sub(_visible, cell.replace("\r\n", "\n"))
    return _CELL_STARTS.sub(lambda m: _apostrophe(m, shown), shown)


def _apostrophe(start: re.Match[str], cell: str) -> str:
    rest = re.split(r"[;\t\r\n|]", cell[start.start(3) :], maxsplit=1)[0].rstrip()
    return start[0] if _NUMBER.fullmatch(rest) else f"{start[1]}{start[2]}'{start[3]}"


def _visible(found: re.Match[str]) -> str:
    return found[0].encode("unicode_escape").decode()


def _utf16(character: str) -> list[int]:
    octets = character.encode("utf-16-be", "surrogatepass")
    return [int.from_bytes(octets[i : i + 2], "big") for i in range(0, len(octets), 2)]

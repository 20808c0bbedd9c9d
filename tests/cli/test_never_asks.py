"""--no-input: a command that could ask asks nobody, even at a terminal. Scripts are written with it everywhere."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
import rich_click as click

from tests.support.cli_project import NAME, call


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_nobody_is_asked_with_no_input(
    project: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def asked(*_: Any, **__: Any) -> bool:
        raise AssertionError("somebody was asked")

    monkeypatch.setattr(click, "confirm", asked)
    monkeypatch.setattr("sys.stdin", Terminal())
    file = str(project / "plan.json")
    call(capsys, "plan", "--out", file)
    assert call(capsys, "apply", file, "--no-input")[0] == 0
    code, _, err = call(capsys, "rollback", "latest", "--archive-created", "--no-input")
    assert (code, "--yes agrees to it" in err) == (3, True)
    code, _, err = call(capsys, "disconnect", NAME, "--no-input")
    assert (code, "--yes agrees to it" in err) == (3, True)
    code, _, err = call(capsys, "erase", "--email", f"p0@{project.name}.example", "--no-input")
    assert (code, "Nothing was changed" in err) == (3, True)
    monkeypatch.setattr(click, "confirm", lambda *_, **__: True)
    assert call(capsys, "disconnect", NAME)[0] == 0, "without it somebody is asked, and agreed"

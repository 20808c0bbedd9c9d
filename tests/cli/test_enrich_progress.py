"""The bars of `revetl enrich`: what was found, missed and spent, within 80 columns; silent where nobody looks."""

from __future__ import annotations

import io
import re
from decimal import Decimal

import pytest
from rich.console import Console

from revetl.cli.render import enrich_progress
from revetl.enrich.report import Progress


def shown(monkeypatch: pytest.MonkeyPatch, *, terminal: bool) -> str:
    out = io.StringIO()
    screen = Console(file=out, width=80, force_terminal=terminal, highlight=False)
    monkeypatch.setattr(enrich_progress, "notes_console", lambda: screen)
    with enrich_progress.progress("contact_profile") as tell:
        tell(Progress("people_data_labs.person_bulk", 40_000, 20_000, 12_345, 6_789, Decimal("3456.78")))
        tell(Progress("zerobounce.validate", 10, 2, 2, 0, Decimal("0.02")))
        tell(Progress("zerobounce.validate", 4, 4, 3, 1, Decimal("0.04")))
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", out.getvalue())


def test_one_line_per_provider_in_eighty_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = re.split(r"[\r\n]+", shown(monkeypatch, terminal=True))
    assert max(map(len, lines)) <= 80
    assert any("12,345 found, 6,789 missed, $3,456.78" in line for line in lines)
    # Of ten that were expected at first four are done: the bar never runs ahead of its total.
    assert any(
        line.startswith("zerobounce.validate") and "4/10" in line and "3 found, 1 missed" in line for line in lines
    )


def test_silent_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    assert shown(monkeypatch, terminal=False) == ""

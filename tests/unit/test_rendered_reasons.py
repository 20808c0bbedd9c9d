"""Reasons on a terminal: whole, with their cures, and copied from it as they stand."""

from __future__ import annotations

import io
from datetime import UTC, datetime

from rich.console import Console

from revetl.cli.render.reports import show_item
from revetl.cli.render.runs import show_run
from revetl.model import RunRecord
from revetl.usecases.runs import RunDetails

SYNC = "hubspot__contacts_of_all_our_customers"
# As planning words it of a record that is gone (`sync.plan.standing`).
GONE = (
    "was archived or deleted at the destination, and nothing there has its email:"
    f" `revetl drift {SYNC} --reassert-all --sync` makes it again, `revetl drift {SYNC} --accept-all` leaves it so"
)


def screen(width: int) -> tuple[Console, io.StringIO]:
    out = io.StringIO()
    return Console(file=out, width=width), out


def test_a_sentence_wraps_under_its_beginning_with_no_blanks_behind_it() -> None:
    for width in (60, 80, 200):
        console, out = screen(width)
        show_item(console, GONE, indent=9)
        lines = out.getvalue().splitlines()
        assert " ".join(line.strip() for line in lines) == GONE
        assert all(line.startswith(" " * 9) and line == line.rstrip() and len(line) <= width for line in lines)


def test_the_cure_at_the_end_of_a_reason_is_not_cut_off() -> None:
    console, out = screen(1000)
    run = RunRecord("20260101T000000.000Z-abcdef", "sync", SYNC, "dev", datetime(2026, 1, 1, tzinfo=UTC), "1.0")
    show_run(console, RunDetails(run, [], [("rejected", "OBJECT_NOT_FOUND", GONE, 1)], [], []))
    assert "--accept-all` leaves it so" in out.getvalue()

"""`revetl runs`: what a list of runs says of each."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from io import StringIO

from rich.console import Console

from revetl.cli.render.runs import show_runs
from revetl.model import RunRecord
from revetl.usecases.runs import by_invocation

SENT = RunRecord(
    "20260101T000000.000Z-aaaaaa",
    "run",
    "a__people",
    "dev",
    datetime(2026, 1, 1, tzinfo=UTC),
    "1",
    invocation_id="20260101T000000.000Z-ffffff",
)
TAKEN_BACK = replace(SENT, run_id="20260101T000001.000Z-bbbbbb", command="rollback", undoes=SENT.run_id)


def listed(*runs: RunRecord) -> list[str]:
    screen = Console(file=StringIO(), width=100)
    show_runs(screen, by_invocation(reversed(runs)))
    return str(getattr(screen.file, "getvalue")()).splitlines()  # noqa: B009


def test_the_rollbacks_of_a_saga_say_which_run_they_take_back() -> None:
    lines = listed(SENT, TAKEN_BACK)
    (of_rollback,) = [line for line in lines if "bbbbbb" in line]
    assert "rollback of aaaaaa" in of_rollback
    (of_run,) = [line for line in lines if line.strip().startswith("aaaaaa")]
    assert "rollback" not in of_run


def test_a_rollback_alone_says_which_run_it_takes_back() -> None:
    assert any("rollback of aaaaaa" in line for line in listed(replace(TAKEN_BACK, invocation_id=None)))

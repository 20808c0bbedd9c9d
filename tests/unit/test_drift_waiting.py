"""Drift of a record that was refused and is tried again by itself: what differs is ours, and no sync is sure to send
it."""

from __future__ import annotations

from io import StringIO

from rich.console import Console

from revetl.cli.render.drift import show_drift
from revetl.model import Guardrails
from tests.support.sync_bench import Bench, drift

ANN, BOB = ("1", "ann@x.io", "Ann", None), ("2", "bob@x.io", "Bob", None)


def test_a_value_that_is_held_is_said_to_wait_and_why() -> None:
    bench = Bench()
    bench.destination.unique = {"email"}
    bench.sync_as(guardrails=Guardrails(min_rows=0))
    bench.source([ANN, BOB])
    bench.run()
    bench.source([("1", "bob@x.io", "Ann", None), BOB])
    bench.run()
    report = drift(bench)
    assert (report.records, report.retried) == ({"pending": 1}, {"VALUE_HELD": 1})
    shown = StringIO()
    show_drift(Console(file=shown, width=200), report)
    assert "1 of them wait, since they were refused: another record has the value, or is given it (VALUE_HELD)" in (
        shown.getvalue()
    )
    assert "waits: another record has the value, or is given it (VALUE_HELD)" in shown.getvalue()
    bench.source([("1", "new@x.io", "Ann", None), BOB])
    assert drift(bench).retried == {}, "the row has changed, so the next sync sends it"

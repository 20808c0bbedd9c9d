"""Sentences of the command line that tell one case from another."""

from __future__ import annotations

from io import StringIO

import pytest
from rich.console import Console

from revetl.cli.render.plans import changed
from revetl.cli.render.retry import show_awaited, show_waiting
from revetl.model import Guardrails, Scalar
from revetl.state.sync_tables import resolve
from revetl.sync.awaited import AwaitedRecords
from revetl.sync.release import RetryReport
from revetl.sync.retry import queue
from revetl.sync.retry.queue import QueueFilter
from tests.support.sync_bench import Bench


def console() -> tuple[Console, StringIO]:
    text = StringIO()
    return Console(file=text, width=200), text


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ("a", "b", "a → b"),
        ("a", "a", "a (sent again)"),
        ("silver ", "silver", "'silver ' → 'silver'"),
        (None, " x", "∅ → ' x'"),
        (1, None, "1 → ∅"),
    ],
)
def test_what_becomes_of_a_value(before: Scalar, after: Scalar, said: str) -> None:
    screen, text = console()
    screen.print(changed(before, after))
    assert text.getvalue().rstrip("\n") == said


def test_links_to_records_of_a_disconnected_sync_are_not_said_to_come() -> None:
    screen, text = console()
    show_awaited(screen, "people", AwaitedRecords(links={"firms": 2, "teams": 1}, disconnected=("firms",)))
    first, second = text.getvalue().splitlines()
    assert "not at the destination: firms is disconnected, so nothing sends them" in first
    assert second.endswith("records of teams that are not at the destination yet")


def test_two_messages_of_one_reason_are_both_shown() -> None:
    bench = Bench()
    bench.sync_as(guardrails=Guardrails(min_rows=0))
    bench.source([(str(i), f"{i}@x.io", "A", None) for i in range(2)])
    bench.destination.refuses = lambda _: "TAKEN"
    bench.run()
    for i in range(2):
        bench.warehouse.execute(
            "UPDATE revetl.rejected__fake__contacts SET message = ? WHERE key = ?", [f"{i} is taken", str(i)]
        )
    tables = resolve(bench.warehouse, bench.spec)
    (found,) = queue.waiting(tables, QueueFilter())
    screen, text = console()
    show_waiting(screen, [RetryReport(tables.spec.name, [found])])
    assert "0 is taken; of others of them: 1 is taken" in text.getvalue()

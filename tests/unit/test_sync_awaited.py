"""What fields and links wait for is named, counted and ends a run with 1: links by a field too."""

from __future__ import annotations

import asyncio

import pytest
from rich.console import Console

from revetl.cli.render.retry import show_waiting
from revetl.model import Association, FieldRule, Guardrails, Reference, looked_up_as
from revetl.state.runs import list_runs
from revetl.sync.awaited import AwaitedRecords
from revetl.sync.references.missing import MissingReference
from revetl.sync.release import RetryReport, release
from revetl.sync.retry.queue import QueueFilter
from tests.support.fake_destination import FakeDestination
from tests.support.sync_bench import Bench

DDL = "golden_id VARCHAR, email VARCHAR, city VARCHAR, list VARCHAR"
LISTS = looked_up_as("lists", "name")
ALL = QueueFilter()


@pytest.fixture
def bench() -> Bench:
    b = Bench(destination=FakeDestination(fields=("email", "city", "list", "name")))
    b.sync_as(
        columns=("golden_id", "email", "city"),
        associate=(Association(LISTS, "list", 1, "lists", "name"),),
        guardrails=Guardrails(min_rows=0),
    )
    b.source([("1", "ann@x.io", "Riga", "VIP"), ("2", "bob@x.io", "Oslo", "VIP"), ("3", "cid@x.io", "Bonn", "")], DDL)
    return b


def waits(bench: Bench, which: QueueFilter = ALL) -> RetryReport:
    return asyncio.run(release(bench.context(command="retry"), bench.spec, which, dry_run=True))


def said(report: RetryReport) -> str:
    console = Console(width=200, no_color=True)
    with console.capture() as captured:
        show_waiting(console, [report])
    return captured.get()


def test_a_link_whose_record_is_not_found_ends_with_1_and_is_counted(bench: Bench) -> None:
    assert bench.plan().unresolved_links == {"list": 2}
    for _ in range(2):
        report = bench.run()
        assert (report.status, report.exit_code) == ("partial", 1)
        assert (report.links_waiting, report.links_unresolved) == (2, {"list": 2}), "an empty name names nobody"
        assert list_runs(bench.warehouse, 1)[0].waiting == {"REFERENCE_MISSING (list) (link)": 2}
    bench.destination.make(name="VIP")
    report = bench.run()
    assert (report.status, report.exit_code, report.counts) == ("done", 0, {"linked": 2})


def test_as_many_as_may_wait_end_with_0(bench: Bench) -> None:
    bench.sync_as(guardrails=Guardrails(min_rows=0, max_waiting=2))
    assert bench.run().exit_code == 0
    bench.sync_as(guardrails=Guardrails(min_rows=0, max_waiting=1))
    assert bench.run().exit_code == 1


def test_the_values_are_listed_with_who_names_them(bench: Bench) -> None:
    bench.sync_as(
        columns=("golden_id", "email", "city"),
        fields={"city": FieldRule(references=Reference(object="towns", match_on="name"))},
    )
    bench.destination.make(name="Oslo")
    bench.run()
    named = waits(bench).awaited.named
    assert [m for m in named if m.link] == [MissingReference("list", "lists by name", "VIP", True, 2, ("1", "2"))]
    assert [(m.column, m.value, m.records) for m in named if not m.link] == [("city", "Bonn", 1), ("city", "Riga", 1)]
    assert waits(bench, QueueFilter(codes=("REFERENCE_MISSING",))).awaited.named == named
    assert not waits(bench, QueueFilter(codes=("CONFLICT",))).awaited
    text = said(waits(bench))
    assert "no lists by name is now VIP: link(s) of 2 record(s), looked for by every run" in text
    assert "no towns by name is now Riga: field withheld in 1 record(s)" in text
    assert "No record waits" not in text


def test_links_to_records_of_a_sync_wait_for_it_by_name(bench: Bench) -> None:
    bench.sync_as(associate=(Association("fake__firms", "list", 1, "firms"),))
    report = bench.run()
    assert (report.links_waiting, report.links_unresolved, report.exit_code) == (2, {}, 0)
    found = waits(bench)
    assert found.awaited == AwaitedRecords([], {"fake__firms": 2})
    assert said(found).splitlines() == [
        "fake__contacts  2 link(s) wait for records of fake__firms that are not at the destination yet"
    ]


def test_a_value_reaches_the_terminal_as_text(bench: Bench) -> None:
    bench.source([("1", "ann@x.io", "Riga", "[red]\x1b[2Jx")], DDL)
    bench.run()
    text = said(waits(bench))
    assert "\x1b" not in text
    assert "[red]" in text

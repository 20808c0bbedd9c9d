"""Guardrails: all that is broken is told before anything is sent; what is let pass is written down."""

from __future__ import annotations

import pytest

from revetl.errors import GuardrailError
from revetl.model import FieldRule, Guardrails
from revetl.state.runs import list_runs
from tests.support.sync_bench import Bench


def people(n: int = 10, city: str | None = "Bern", first: str | None = None) -> list[tuple[str | None, ...]]:
    return [(str(i), f"p{i}@x.io", first or f"P{i}", city) for i in range(n)]


@pytest.fixture
def bench() -> Bench:
    bench = Bench()
    bench.source(people())
    bench.run()
    bench.sent()
    return bench


def guarded(bench: Bench, **limits: float) -> None:
    bench.sync_as(guardrails=Guardrails(**limits))


def test_all_that_is_broken_is_told_at_once_and_nothing_is_sent(bench: Bench) -> None:
    bench.sync_as(mode="mirror", on_leave="archive")
    guarded(bench, max_changed_share=0.2, max_deleted_share=0.1, min_rows=9, max_fill_drop=0.5, max_creates=0)
    bench.source([*people(5, city=None, first="X"), ("new", "new@x.io", "N", None)])
    with pytest.raises(GuardrailError) as e:
        bench.run()
    said = str(e.value)
    for part in ("max_changed_share", "max_deleted_share", "min_rows", "max_creates", "city has a value in 0%"):
        assert part in said
    assert "--allow rows,changed,deleted,fill,creates" in said
    assert bench.sent() == []
    assert list_runs(bench.warehouse)[0].status == "stopped"


def test_what_is_allowed_passes_and_is_recorded_with_its_numbers(bench: Bench) -> None:
    guarded(bench, max_changed_share=0.2, max_fill_drop=0.5)
    bench.source(people(city=None))
    with pytest.raises(GuardrailError, match="--allow fill"):
        bench.run(allow=("changed",))
    assert bench.run(allow=("changed", "fill", "deleted")).counts == {"ok": 10}
    run = list_runs(bench.warehouse)[0]
    assert sorted(run.overrides) == ["changed", "fill"], "only what was broken"
    assert "10 of 10 records (100%)" in run.overrides["changed"]
    assert bench.run().counts == {}
    assert list_runs(bench.warehouse)[0].overrides == {}


def test_a_plan_shows_what_would_stop_it(bench: Bench) -> None:
    guarded(bench, max_changed_share=0.2)
    bench.source(people(city="Rome"))
    plan = bench.plan()
    assert (plan.update, [v.guardrail for v in plan.violations]) == (10, ["changed"])


@pytest.mark.parametrize(("emptied", "stops"), [(5, False), (6, True)])
def test_a_fill_rate_may_fall_by_the_limit_and_no_further(bench: Bench, emptied: int, stops: bool) -> None:
    guarded(bench, max_fill_drop=0.5)
    bench.source([*people(10)[emptied:], *people(emptied, city=None)])
    assert bool(bench.plan().violations) is stops


def test_a_fill_rate_falls_too_when_empty_rows_come_on_top(bench: Bench) -> None:
    guarded(bench, max_fill_drop=0.4)
    bench.source([*people(), *[(f"n{i}", f"n{i}@x.io", "N", None) for i in range(9)]])
    assert [v.guardrail for v in bench.plan().violations] == ["fill"]


def test_a_value_that_is_kept_when_null_can_not_collapse(bench: Bench) -> None:
    guarded(bench, max_fill_drop=0.1)
    bench.source(people(city=None))
    bench.sync_as(fields={"city": FieldRule(when_null="keep")})
    assert bench.plan().violations == []


def test_a_field_that_a_policy_protects_can_not_collapse(bench: Bench) -> None:
    """People filled it there and the snapshot says so; our model never had these values, and would clear none."""
    bench.sync_as(fields={"city": FieldRule("fill_blank")})
    guarded(bench, max_fill_drop=0.1)
    bench.source(people(city=None))
    plan = bench.plan()
    assert (plan.violations, plan.changes) == ([], 0)


def test_columns_are_not_counted_where_too_little_differs(bench: Bench) -> None:
    guarded(bench, max_fill_drop=0.5)
    bench.source([*people(10)[2:], *people(2, city=None)])
    asked: list[str] = []
    rows = bench.warehouse.rows
    bench.warehouse.rows = lambda sql, params=(): (asked.append(sql), rows(sql, params))[1]
    assert bench.plan().violations == []
    assert not any('count("city")' in sql for sql in asked)


def test_creates_are_counted_after_matching() -> None:
    bench = Bench()
    guarded(bench, max_creates=2)
    bench.source(people(5))
    for i in range(3):
        bench.destination.records[str(i)] = {"email": f"p{i}@x.io"}
    assert bench.plan().violations == []
    bench.destination.records.pop("0")
    assert [v.guardrail for v in bench.plan().violations] == ["creates"]

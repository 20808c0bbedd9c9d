"""One sync of several stops: those that depend on it are not begun and named, the others run."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from revetl.errors import ConfigError, Denied
from revetl.model import Association
from tests.support.saga_bench import COLUMNS, SagaBench, spec


@pytest.fixture
def bench(tmp_path: Path) -> SagaBench:
    """`b` names records of `a`, `d` those of `b`; `c` names nobody's. `e` writes where `a` does."""
    bench = SagaBench(tmp_path)
    bench.destinations |= {"d": type(bench.destinations["c"])(("email", "city"), "d")}
    bench.specs += [
        spec("d", columns=COLUMNS, associate=(Association("b__people", "firm_id", 1, "people"),)),
        spec("e", destination="a", object="firms"),
    ]
    bench.sagas = []
    for name in "abcde":
        bench.source(name, [(name, f"{name}@x.io", "Bern", None)])
    return bench


def test_a_mistake_stops_only_what_depends_on_it(bench: SagaBench) -> None:
    bench.specs[0] = replace(bench.specs[0], columns=(*COLUMNS[:3], "nosuch"))
    with pytest.raises(ConfigError, match="nosuch") as stopped:
        bench.run()
    assert [report.sync for report in bench.ended] == ["c__people", "e__people"]
    assert stopped.value.exit_code == 2
    assert bench.notes == ["not begun, since a__people stopped: b__people, d__people"]


@pytest.mark.parametrize(("status", "runs"), [(401, ["c__people"]), (403, ["c__people", "e__people"])])
def test_credentials_stop_a_whole_destination_and_a_scope_does_not(
    bench: SagaBench, monkeypatch: pytest.MonkeyPatch, status: int, runs: list[str]
) -> None:
    there = bench.destinations["a"]
    write = there.write

    async def refused(object_: str, *rest: object, **more: object) -> object:
        if object_ == "people":
            raise Denied("refused", status=status)
        return await write(object_, *rest, **more)  # type: ignore[arg-type]  # handed on as it came

    monkeypatch.setattr(there, "write", refused)
    reports = bench.run()
    assert [report.sync for report in reports] == ["a__people", *runs]
    assert (reports[0].status, reports[0].exit_code) == ("failed", 4)
    assert any(note.startswith("not begun, since a__people stopped: b__people, d__people") for note in bench.notes)


def test_a_dry_run_shows_the_plans_beside_the_mistake(bench: SagaBench) -> None:
    bench.specs[0] = replace(bench.specs[0], columns=(*COLUMNS[:3], "nosuch"))
    with pytest.raises(ConfigError, match="nosuch"):
        bench.run(dry_run=True)
    assert [report.sync for report in bench.ended] == ["c__people", "e__people"]

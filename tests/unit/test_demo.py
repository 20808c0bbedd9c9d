"""What `revetl demo` says adds up, and what it runs can be paid for."""

from __future__ import annotations

import io
import shutil
from dataclasses import asdict
from pathlib import Path

import pytest
import yaml
from rich.console import Console

from revetl.cli.commands.demo import command
from revetl.cli.render.demo import show_demo
from revetl.sync.plan.summary import PlanSummary
from revetl.usecases.demo import DEFAULT_RECORDS, DemoResult, DemoRun, afford

ENRICHMENT = Path(__file__).resolve().parents[2] / "enrichment"
STAGES = dict.fromkeys(("golden_members", "golden_contacts", "golden_companies"), 1)


def ran(title: str, **counts: int) -> DemoRun:
    plan = PlanSummary(plan_id="p", sync="s", destination="hubspot", object="contacts", **counts)
    return DemoRun(title, {"syncs": [{"plan": asdict(plan)}], "spend_usd": 0}, 1.0, 0, 0, 0)


@pytest.mark.parametrize(
    "counts",
    [
        {"create": 7},
        {"create": 1, "update": 2, "unchanged": 3, "matched": 4},  # found equal: nothing was sent
        {"adopt": 5, "withheld": 1, "waiting": 2, "suppressed": 1, "absent": 1},
    ],
)
def test_every_row_of_the_models_is_in_one_column(counts: dict[str, int]) -> None:
    run = ran("day 1", source_rows=sum(counts.values()), **counts)
    assert run.created + run.updated + run.unchanged + run.not_sent == sum(counts.values())


def shown(*runs: DemoRun) -> str:
    out = io.StringIO()
    result = DemoResult(Path("x"), 1, stages=STAGES, runs=list(runs))
    show_demo(Console(file=out, width=80), result)
    return out.getvalue()


def test_a_record_that_stands_there_equal_is_unchanged() -> None:
    [line] = [
        line
        for line in shown(ran("day 2", create=2, update=20, unchanged=774, matched=3)).splitlines()
        if "day 2" in line
    ]
    assert line.split()[:5] == ["day", "2", "2", "20", "777"]


def test_what_stands_where_is_told_by_destination() -> None:
    assert "Stand there now: hubspot 9." in shown(
        ran("day 1", create=1), ran("again", update=2, unchanged=7, waiting=5)
    )


def test_what_is_kept_back_has_a_column_only_where_there_is_any() -> None:
    assert "not sent" not in shown(ran("day 1", create=1))
    assert "not sent" in shown(ran("day 1", create=1, withheld=1))


def budgets(directory: Path) -> dict[str, float]:
    files = (directory / "enrichment/waterfalls").glob("*.yml")
    return {path.stem: yaml.safe_load(path.read_text())["budget"]["per_run_usd"] for path in files}


@pytest.mark.parametrize(("records", "factor"), [(100, 1), (DEFAULT_RECORDS, 1), (4 * DEFAULT_RECORDS, 4)])
def test_budgets_grow_with_the_records(tmp_path: Path, records: int, factor: int) -> None:
    shutil.copytree(ENRICHMENT, tmp_path / "enrichment")
    before = budgets(tmp_path)
    afford(tmp_path, records)
    assert budgets(tmp_path) == {name: usd * factor for name, usd in before.items()}


def test_the_usual_size_is_the_commands_default() -> None:
    [records] = [parameter for parameter in command.params if parameter.name == "records"]
    assert records.default == DEFAULT_RECORDS

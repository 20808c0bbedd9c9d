"""The Python face of the job (`revetl.api`): the same as the commands do, with reports in place of text."""

from __future__ import annotations

import asyncio
import inspect
import re
from pathlib import Path

import pytest

import revetl
from revetl import api
from revetl.errors import ConfigError, GuardrailError
from revetl.sync import PlanSummary, SyncReport
from tests.support.cli_project import NAME, call, declare, source


def people(root: Path, *names: str) -> None:
    source(root, [(f"{root.name}-{i}", f"p{i}@{root.name}.example", name) for i, name in enumerate(names)])


async def test_where_a_loop_runs_already(project: Path) -> None:
    """As in a notebook."""
    [planned] = api.plan()
    assert (planned.sync, planned.create) == (NAME, 5)
    [sent] = await asyncio.to_thread(api.sync)
    assert (sent.status, sent.counts) == ("done", {"ok": 5})
    assert api.plan(select=NAME)[0].changes == 0


def test_a_plan_is_saved_and_applied_once(project: Path) -> None:
    file = project / "plan.json"
    api.plan(out=file, limit=2)
    [report] = api.apply(str(file))
    assert report.counts == {"ok": 2}
    with pytest.raises(GuardrailError, match="was applied already"):
        api.apply(file)


def test_deletions_are_asked_about_and_nothing_else_is(project: Path) -> None:
    asked: list[PlanSummary] = []
    ended: list[SyncReport] = []

    def refuse(plan: PlanSummary) -> bool:
        asked.append(plan)
        return False

    declare(project, mode="mirror", on_leave="archive")
    api.sync(confirm=refuse, on_sync=ended.append)
    assert (asked, [r.counts for r in ended]) == ([], [{"ok": 5}])
    people(project, "P 0", "P 1", "P 2", "P 3")
    with pytest.raises(GuardrailError):
        api.sync(confirm=refuse, allow=["deleted"])
    assert [plan.delete for plan in asked] == [1]
    [report] = api.sync(allow="deleted")
    assert report.counts == {"ok": 1}


def test_what_was_sent_is_rolled_back_compared_and_released(project: Path) -> None:
    people(project, "A", "B", "C")
    api.sync()
    people(project, "A", "B", "Wrong")
    [bad] = api.sync()
    [planned] = api.rollback(bad.run_id[-6:], dry_run=True)
    assert planned.plan.restore == 1
    [restored] = api.rollback(bad.run_id)
    assert restored.counts == {"ok": 1}
    looked = api.drift(NAME)
    assert (looked.drift.read, looked.drift.drifted, looked.syncs) == (3, 0, [])
    assert api.retry(dry_run=True).released[0].waiting == []
    waits = api.retry(statuses="rolled_back", dry_run=True)
    assert [w.records for w in waits.released[0].waiting] == [1]
    released = api.retry(keys=f"{project.name}-2")
    assert [r.counts for r in released.syncs] == [{"ok": 1}]
    assert released.exit_code == 0


def test_arguments_that_mean_nothing_are_refused(project: Path) -> None:
    with pytest.raises(ValueError, match="no guardrail"):
        api.sync(allow="chnged")
    with pytest.raises(ValueError, match="no status"):
        api.retry(statuses=["refused"])
    with pytest.raises(ValueError, match="one at a time"):
        api.drift(NAME, accept=True, reassert=True)
    with pytest.raises(ValueError, match="goes with reassert"):
        api.drift(NAME, sync_after=True)
    with pytest.raises(ConfigError, match="frstname"):
        api.drift(NAME, accept="frstname")
    with pytest.raises(ConfigError, match="names nothing"):
        api.plan(select="nobody")
    with pytest.raises(ValueError, match="US dollars"):
        api.run(max_spend_usd="much")


def test_the_reports_are_the_commands_own(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One use case behind both faces: what one sent, the other finds sent."""
    assert call(capsys, "sync", "--json")[0] == 0
    [report] = api.sync()
    assert (report.counts, report.plan.unchanged) == ({}, 5)


@pytest.mark.parametrize(
    "name", ["plan", "sync", "apply", "run", "retry", "rollback", "drift", "disconnect", "enrich_frame"]
)
def test_every_parameter_is_typed_and_documented(name: str) -> None:
    function = getattr(api, name)
    documented = set(re.findall(r"\w+", f"{inspect.getdoc(function)} {inspect.getdoc(api)}"))
    for parameter in inspect.signature(function).parameters.values():
        assert parameter.annotation is not inspect.Parameter.empty
        assert parameter.name in documented, f"{name}({parameter.name}=)"


@pytest.mark.parametrize("name", sorted(set(api.__all__) - {"sync", "enrich", "enrich_async"}))
def test_the_package_gives_them_when_they_are_asked_for(name: str) -> None:
    assert getattr(revetl, name) is getattr(api, name)

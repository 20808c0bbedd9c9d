"""Nothing is deleted unseen: a mirror has a limit, and where nobody can be asked only a few records go."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.support.cli_project import NAME, call, declare, source

MANY = 200


def people(root: Path, n: int) -> None:
    source(root, [(f"{root.name}-{i}", f"p{i}@{root.name}.example", f"P {i}") for i in range(n)])


@pytest.fixture
def synced(project: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    mirror(project)
    people(project, MANY)
    assert call(capsys, "sync")[0] == 0
    return project


def mirror(root: Path, **meta: Any) -> None:
    declare(root, **{"mode": "mirror", "on_leave": "archive", **meta})


def deleted(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    code, out, err = call(capsys, *arguments)
    return code, out + err


@pytest.mark.parametrize("on_leave", ["archive", "clear"])
def test_a_share_that_nobody_allowed_is_not_deleted(
    synced: Path, capsys: pytest.CaptureFixture[str], on_leave: str
) -> None:
    mirror(synced, on_leave=on_leave)
    people(synced, MANY // 5)
    for flags in ([], ["--yes"], ["--no-input"], ["--json"]):
        code, said = deleted(capsys, "sync", *flags)
        assert (code, "guardrails.max_deleted_share is 10%" in said) == (3, True)
    code, said = deleted(capsys, "plan")
    assert (code, "80%" in said) == (3, True)


@pytest.mark.parametrize("on_leave", ["archive", "clear"])
def test_more_than_a_few_need_somebody_who_agrees(
    synced: Path, capsys: pytest.CaptureFixture[str], on_leave: str
) -> None:
    mirror(synced, on_leave=on_leave)
    people(synced, MANY - 11)
    for flags in ([], ["--no-input"], ["--json"]):
        code, said = deleted(capsys, "sync", *flags)
        assert code == 3
        assert "nothing was sent: 11 records would be" in said
        assert f"{NAME}.yml" in said
        assert "--yes" in said
    code, said = deleted(capsys, "sync", "--yes")
    assert code == 0


def test_a_few_are_deleted_without_asking(synced: Path, capsys: pytest.CaptureFixture[str]) -> None:
    people(synced, MANY - 10)
    assert deleted(capsys, "sync")[0] == 0


def test_a_guardrail_in_the_yml_agrees_beforehand(synced: Path, capsys: pytest.CaptureFixture[str]) -> None:
    people(synced, MANY // 5)
    mirror(synced, guardrails={"max_deleted_share": 0.9})
    assert deleted(capsys, "sync", "--no-input")[0] == 0


def test_a_saved_plan_was_looked_at(synced: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    people(synced, MANY - 15)
    file = str(tmp_path / "plan.json")
    assert deleted(capsys, "plan", "--out", file)[0] == 0
    assert deleted(capsys, "apply", file)[0] == 0


def test_python_is_asked_or_nothing_is_deleted(synced: Path) -> None:
    from revetl import api
    from revetl.errors import GuardrailError

    people(synced, MANY - 15)
    with pytest.raises(GuardrailError, match="nobody could be asked"):
        api.sync(project_dir=synced)
    (report,) = api.sync(project_dir=synced, confirm=lambda plan: plan.delete == 15)
    assert report.status == "done"

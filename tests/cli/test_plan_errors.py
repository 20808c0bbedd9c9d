"""`revetl plan` of several syncs, one of which can't be planned: the plans of the others are shown, and it is named."""

from __future__ import annotations

import json
from pathlib import Path

import duckdb
import pytest

from tests.support.cli_project import COLUMNS, NAME, SYNC, call
from tests.support.project_files import model, write_manifest, write_results

PETS = "hubspot__a_pets"  # before the other in their order


@pytest.fixture
def with_a_mistake(project: Path) -> Path:
    """Beside the sync of the project one that sends a property which does not exist there."""
    columns = (*COLUMNS, "pet_nam")
    write_manifest(project, model(NAME, SYNC, columns=COLUMNS), model(PETS, SYNC, columns=columns))
    write_results(project, {f"model.tiny.{name}": "success" for name in (NAME, PETS)})
    with duckdb.connect(str(project / "tiny.duckdb")) as db:
        db.execute(
            f"CREATE TABLE {PETS} AS SELECT 'p' AS golden_id, 'p@x.example' AS email, 'P' AS firstname, 1 pet_nam"
        )
    return project


def test_the_mistake_of_one_sync_does_not_hide_the_plan_of_another(
    with_a_mistake: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = with_a_mistake / "plan.json"
    code, out, err = call(capsys, "plan", "--out", str(file))
    assert (code, NAME in out, "P 0" in out) == (2, True, True)
    assert f"{PETS} could not be planned. Error: " in err
    assert "pet_nam" in err
    assert not file.exists(), "a file holds all of what was chosen, or is not written"
    code, out, _ = call(capsys, "plan", "--format", "markdown")
    assert (code, f"> **`{PETS}` could not be planned**" in out, f"| `{NAME}` | 5 |" in out) == (2, True, True)
    code, out, _ = call(capsys, "plan", "--json")
    plan, failed = json.loads(out)
    assert (code, plan["sync"], plan["create"], failed["sync"]) == (2, NAME, 5, PETS)
    assert (failed["error"]["kind"], failed["error"]["exit_code"]) == ("configuration", 2)


def test_where_no_sync_can_be_planned_the_error_is_all(
    with_a_mistake: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = call(capsys, "plan", "-s", PETS, "--json")
    assert (code, json.loads(out)["error"]["kind"], "Error: " in err) == (2, "configuration", True)


def test_a_plan_says_what_the_account_would_refuse(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    connections = project / "profiles/connections.yml"
    reads = connections.read_text().replace("pat-test", "pat-readonly")
    writes = connections.read_text()
    connections.write_text(reads)
    code, out, _ = call(capsys, "plan")
    assert (code, "would be refused" in out, "crm.objects.contacts.write" in out) == (4, True, True)
    assert call(capsys, "sync")[0] == 4, "as the plan said"
    connections.write_text(writes)
    code, out, _ = call(capsys, "plan")
    assert (code, "refused:" in out) == (0, False)
    call(capsys, "sync")
    connections.write_text(reads)
    assert call(capsys, "plan")[0] == 0, "a plan without changes writes nothing"

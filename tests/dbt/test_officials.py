"""The officials example on the real files, where they are present: built by dbt, synced, scored against the truth."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import duckdb
import pytest

from benchmarks import officials

pytestmark = pytest.mark.xdist_group("officials")  # one build for all


@pytest.fixture(scope="module")
def data() -> Path:
    try:
        return officials.find_data()
    except officials.MissingData as e:
        # The files name real people, so they are not part of the project: without them there is nothing to score.
        pytest.skip(str(e))


@pytest.fixture(scope="module")
def work_dir(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The example, built once: its unit tests and data tests run in it and must pass."""
    work_dir = tmp_path_factory.mktemp("officials") / "project"
    officials.prepare(work_dir)
    officials.revetl(work_dir, officials.environment(data), "build")
    return work_dir


def test_score_meets_every_target(work_dir: Path, data: Path) -> None:
    found = officials.score(work_dir / officials.DATABASE, data)
    assert found.misses() == []
    assert sum(found.rules.values()) == found.joined_pairs


def test_every_person_reaches_hubspot_once_and_no_web_form_does(work_dir: Path, data: Path) -> None:
    found = officials.score(work_dir / officials.DATABASE, data)
    delivery = officials.deliver(work_dir, data)
    assert delivery.misses(found) == []


@pytest.mark.parametrize(
    ("damage", "missed"),
    [
        # Two members of Congress become one.
        (
            "UPDATE golden_members SET golden_id = (SELECT min(golden_id) FROM golden_members"
            " WHERE system = 'congress_registry') WHERE system_id = 'K000367'",
            "no wrong pair",
        ),
        # The senators of Alaska, who share an office, become one.
        (
            "UPDATE golden_members SET golden_id = 'person' WHERE golden_id IN"
            " (SELECT golden_id FROM golden_contacts WHERE state = 'AK' AND job_title = 'U.S. Senator')",
            "nobody joined to a stranger who shares an office phone",
        ),
        ("DELETE FROM golden_members WHERE system = 'congress_registry'", "at least 530 of 536 true pairs joined"),
        (
            "UPDATE hubspot__contacts SET email = 'https://x.house.gov/contact' WHERE lastname = 'Klobuchar'",
            "no web form as an email",
        ),
        ("DELETE FROM hubspot__contacts WHERE email IS NULL", "every person in the activation model"),
    ],
)
def test_score_notices_damage(work_dir: Path, data: Path, tmp_path: Path, damage: str, missed: str) -> None:
    database = tmp_path / "damaged.duckdb"
    shutil.copy(work_dir / officials.DATABASE, database)
    with duckdb.connect(database) as db:
        db.execute(damage)
    assert missed in officials.score(database, data).misses()


def test_no_file_of_the_example_names_the_truth() -> None:
    files = [p for p in officials.PROJECT.rglob("*") if p.suffix in {".sql", ".yml", ".csv"}]
    assert files
    assert [p.name for p in files if "truth" in p.read_text(encoding="utf-8")] == []


def test_missing_files_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(os.environ, "REVETL_OFFICIALS_DIR", str(tmp_path))
    with pytest.raises(officials.MissingData, match=r"state_crm\.csv"):
        officials.find_data()

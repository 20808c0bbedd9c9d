"""`revetl match` as a person calls it, over tables that dbt has built."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import duckdb
import pytest

from tests.support.cli_project import call
from tests.support.project_files import make_project, model, write, write_manifest

MATCHING = {
    "key": "id",
    "columns": {"name": {"kind": "name"}, "mail": {"kind": "email"}},
    "blocking": [["name"], ["mail"]],
}


def parsed(root: Path) -> None:
    """As dbt would have parsed the project as it stands."""
    members = model("members", columns=("id", "name", "mail"))
    pairs = model("member_pairs", columns=("left_key",), parents=("model.tiny.members",))
    pairs["config"]["meta"] = {"matching": MATCHING}
    patterns = model("member_patterns", columns=("sample",), parents=("model.tiny.member_pairs",))
    clusters = model("member_clusters", columns=("node", "cluster"), parents=("model.tiny.member_pairs",))
    golden = model("golden_members", columns=("entity", "record_key", "golden_id"))
    write_manifest(root, members, pairs, patterns, clusters, golden)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = make_project(tmp_path_factory.mktemp("match"))
    parsed(root)
    with duckdb.connect(str(root / "tiny.duckdb")) as db:
        db.execute(
            """
            CREATE TABLE member_patterns AS FROM (VALUES
                ('candidates', 'equal', 'equal', 90, 1000), ('candidates', 'similar', 'equal', 10, 1000),
                ('candidates', 'equal', 'other', 50, 1000), ('candidates', 'equal', 'missing', 100, 1000),
                ('chance', 'other', 'other', 40000, 1000), ('chance', 'equal', 'other', 60, 1000),
                ('chance', 'other', 'missing', 9000, 1000)
            ) t(sample, name_level, mail_level, n_pairs, n_records)
            """
        )
        db.execute(
            """
            CREATE TABLE members AS FROM (VALUES
                ('a', 'Ann', 'ann@x.example'), ('b', 'Anne', 'ann@x.example'), ('c', '=cmd|calc', NULL)
            ) t(id, name, mail)
            """
        )
        db.execute(
            """
            CREATE TABLE member_pairs AS FROM (VALUES ('a', 'b', 7.5), ('b', 'c', -3.0)) t(left_key, right_key, weight)
            """
        )
        db.execute("CREATE TABLE member_clusters AS FROM (VALUES ('a', 'a'), ('b', 'a'), ('c', 'c')) t(node, cluster)")
        db.execute("CREATE SCHEMA main_before")
        head = "(entity VARCHAR, record_key VARCHAR, golden_id VARCHAR)"
        db.execute(f"CREATE TABLE golden_members {head}")
        db.execute(f"CREATE TABLE main_before.golden_members {head}")
        db.execute(
            "INSERT INTO golden_members VALUES ('contact', 'a', '1'), ('contact', 'b', '1'), ('contact', 'c', '3')"
        )
        db.execute(
            "INSERT INTO main_before.golden_members VALUES"
            " ('contact', 'a', '1'), ('contact', 'b', '[red]2'), ('contact', 'c', '3')"
        )
    return root


def test_train_writes_a_seed_with_a_version(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    seed = root / "dbt_project/seeds/matching_weights.csv"
    train = ("match", "train", "member_patterns", "--project-dir", str(root))
    code, out, _ = call(capsys, *train, "--dry-run", "--json")
    assert (code, seed.exists(), json.loads(out)["written"]) == (0, False, False)
    assert call(capsys, *train)[0] == 0
    first = seed.read_text("utf-8")
    rows = list(csv.DictReader(first.splitlines()))
    assert {(r["model"], r["column_name"], r["level"]) for r in rows} == {
        ("member_pairs", name, level)
        for name, levels in (("name", ("equal", "similar", "other")), ("mail", ("equal", "other")))
        for level in levels
    }
    assert sum(float(r["m"]) for r in rows if r["column_name"] == "name") == pytest.approx(1, abs=1e-5)
    assert {r["version"] for r in rows} == {"1"}
    # The same counts are the same weights, and others' rows stay.
    write(seed, first + "other_pairs,name,equal,0.5,0.5,0.1,f,7\n")
    parsed(root)
    assert call(capsys, *train)[0] == 0
    again = list(csv.DictReader(seed.read_text("utf-8").splitlines()))
    assert [r for r in again if r["model"] == "member_pairs"] == rows
    assert [r["version"] for r in again if r["model"] == "other_pairs"] == ["7"]
    with duckdb.connect(str(root / "tiny.duckdb")) as db:
        db.execute("UPDATE member_patterns SET n_pairs = 80 WHERE n_pairs = 90")
    parsed(root)
    assert call(capsys, *train)[0] == 0
    changed = [r for r in csv.DictReader(seed.read_text("utf-8").splitlines()) if r["model"] == "member_pairs"]
    assert {r["version"] for r in changed} == {"2"}
    assert changed[0]["fingerprint"] != rows[0]["fingerprint"]
    seed.unlink()
    parsed(root)


def test_train_takes_no_model_that_counts_no_pairs(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = call(capsys, "match", "train", "golden_members", "--project-dir", str(root))
    assert code == 2
    assert "matching_patterns" in err


def test_evaluate_scores_against_labels(root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    labels = write(tmp_path / "labels.csv", "record,person\na,p1\nb,p2\nc,p2\nnobody,p2\n")
    evaluate = ("match", "evaluate", "golden_members", str(labels), "--project-dir", str(root))
    code, _, err = call(capsys, *evaluate)
    assert (code, "--entity" in err) == (2, True)
    code, out, _ = call(capsys, *evaluate, "--entity", "contact", "--json")
    found = json.loads(out)
    assert code == 0
    assert (found["unknown"], found["scores"]["n_records"]) == (1, 3)
    assert found["scores"]["pairs"] == {"precision": 0.0, "recall": 0.0}
    assert found["scores"]["worst_joins"] == [["1", 1]]
    code, out, _ = call(capsys, *evaluate, "--entity", "contact")
    assert (code, "exact clusters" in out, "1 labels name no record" in out) == (0, True, True)
    twice = write(tmp_path / "twice.csv", "record,person\na,p1\na,p2\n")
    code, _, err = call(capsys, "match", "evaluate", "golden_members", str(twice), "--project-dir", str(root))
    assert (code, f"{twice}:3" in err) == (2, True)


def test_a_review_is_drawn_filled_in_and_read(root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, picture = tmp_path / "review.csv", tmp_path / "curve.svg"
    review = ("match", "review", "member_pairs", "member_clusters", "--out", str(path), "--project-dir", str(root))
    evaluate = ("match", "evaluate", "member_clusters", str(path), "--project-dir", str(root))
    code, out, _ = call(capsys, *review, "--json")
    assert (code, json.loads(out)["n_pairs"], json.loads(out)["columns"]) == (0, 2, ["name", "mail"])
    assert "Ann" not in out
    assert "cmd" not in out
    rows = list(csv.reader(path.read_text("utf-8-sig").splitlines()))
    assert rows[0][:5] == ["same", "name (left)", "name (right)", "mail (left)", "mail (right)"]
    assert {"'=cmd|calc", "Ann", "Anne"} <= {cell for row in rows[1:] for cell in row}
    assert call(capsys, *review)[0] == 2  # it is there already
    assert "nobody has answered" in call(capsys, *evaluate)[2]
    for row in rows[1:]:
        row[0] = "yes" if row[-3].startswith("joined") else "no"
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, delimiter=";").writerows(rows)
    code, out, _ = call(capsys, *evaluate, "--svg", str(picture), "--json")
    found = json.loads(out)
    assert (code, found["scores"]) == (0, None)
    assert found["review"]["precision"] == {"value": 1.0, "low": 1.0, "high": 1.0}
    assert found["review"]["recall"]["value"] == 1.0
    assert [point["threshold"] for point in found["curve"]] == [-3.0, 7.5]
    assert "<desc" in picture.read_text("utf-8")
    code, out, _ = call(capsys, *evaluate)
    assert (code, "1.000  (1.000 to 1.000)" in out, "joined, 4 to 8 bits" in out) == (0, True, True)
    code, _, err = call(capsys, "match", "review", "golden_members", "member_clusters", "--project-dir", str(root))
    assert (code, "--records" in err) == (2, True)


def test_labels_draw_the_curve_of_the_weights_that_clusters_go_by(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    labels = write(tmp_path / "labels.csv", "record,person\na,p1\nb,p1\nc,p2\n")
    evaluate = ("match", "evaluate", "member_clusters", str(labels), "--project-dir", str(root))
    code, out, _ = call(capsys, *evaluate)
    assert (code, "best at 7.5 bits: precision 1.0000, recall 1.0000" in " ".join(out.split())) == (0, True)
    code, _, err = call(capsys, *evaluate, "--pairs", "member_patterns")
    assert (code, "no column 'weight'" in err) == (2, True)


def test_diff_shows_who_becomes_one(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    diff = ("match", "diff", "main_before", "--project-dir", str(root))
    code, out, _ = call(capsys, *diff)
    assert code == 0
    assert "2 became one; 1 are the same" in out
    assert "contact|[red]2 (1)" in out
    code, out, _ = call(capsys, *diff, "--format", "markdown", "--exit-code")
    assert code == 1
    assert "| merged |" in out
    code, out, _ = call(capsys, "match", "diff", "main.golden_members", "--project-dir", str(root), "--exit-code")
    assert (code, out) == (0, "No cluster differs: 2 are the same.\n")
    code, _, err = call(capsys, "match", "diff", "nowhere", "--project-dir", str(root))
    assert (code, "no table" in err) == (2, True)

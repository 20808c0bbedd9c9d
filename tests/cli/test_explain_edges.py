"""`revetl explain` on what makes several source records one: the edges, and what would have to go to part them."""

from __future__ import annotations

import json
from itertools import combinations
from pathlib import Path
from random import Random

import duckdb
import pytest

from revetl.golden.evidence import Edge, bonds
from tests.support.cli_project import call
from tests.support.project_files import make_project, model, write_manifest

MEMBERS = ("entity", "record_key", "golden_id")
EDGES = ("left_key", "right_key", "match_rule", "identifier", "weight")
HISTORY = ("entity", "build", "event", "from_id", "to_id")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = make_project(tmp_path_factory.mktemp("edges"))
    contacts = model("golden_contacts", columns=("golden_id", "phone"))
    others = [("golden_members", MEMBERS), ("int_contact_edges", EDGES), ("golden_id_history", HISTORY)]
    write_manifest(root, contacts, *(model(name, columns=columns) for name, columns in others))
    with duckdb.connect(str(root / "tiny.duckdb")) as db:
        db.execute("CREATE TABLE golden_contacts AS SELECT 'g1' AS golden_id, '+12025550100' AS phone")
        db.execute("CREATE TABLE golden_members (entity TEXT, record_key TEXT, golden_id TEXT)")
        rows = [("contact", f"crm:contacts:{name}", "g1") for name in "abc"]
        db.executemany("INSERT INTO golden_members VALUES (?, ?, ?)", [*rows, ("contact", "crm:contacts:d", "g2")])
        db.execute(
            "CREATE TABLE int_contact_edges"
            " (left_key TEXT, right_key TEXT, match_rule TEXT, identifier TEXT, weight INTEGER)"
        )
        db.executemany(
            "INSERT INTO int_contact_edges VALUES (?, ?, ?, ?, ?)",
            [
                ("crm:contacts:a", "crm:contacts:b", "email", "[bold]a@x.example", 10),
                ("crm:contacts:a", "crm:contacts:b", "phone", "+12025550100", 8),
                ("crm:contacts:b", "crm:contacts:c", "steward", None, 1000),
                ("crm:contacts:c", "crm:contacts:d", "phone", "+12025550199", 8),
            ],
        )
        db.execute(
            "CREATE TABLE golden_id_history AS SELECT 'contact' AS entity, 2 AS build, 'merged' AS event,"
            " 'g0' AS from_id, 'g1' AS to_id"
        )
    return root


def test_edges_are_shown_by_weight_and_what_alone_holds_is_named(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, _ = call(capsys, "explain", "g1", "--project-dir", str(root), "--json")
    found = json.loads(out)
    assert code == 0
    edges = found["what joins its source records"]
    assert [(e["match_rule"], e["weight"]) for e in edges] == [("steward", 1000.0), ("email", 10.0), ("phone", 8.0)]
    assert found["what would have to change to split them"] == [
        {
            "match_rule": "steward",
            "identifier": None,
            "groups": [["crm:contacts:a", "crm:contacts:b"], ["crm:contacts:c"]],
        }
    ]
    assert found["what happened to its id"][0]["event"] == "merged"


def test_a_terminal_shows_bars_and_no_markup_of_the_data(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = call(capsys, "explain", "+12025550100", "--project-dir", str(root))
    assert code == 0
    lines = out.splitlines()
    (steward,) = [line for line in lines if "1,000.0  steward" in line]
    (email,) = [line for line in lines if "10.0  email" in line]
    assert steward.count("█") == 20
    assert email.count("█") == 1
    assert "[bold]a@x.example" in email
    assert "  without steward they are 2:" in lines


@pytest.mark.parametrize("seed", range(20))
def test_bonds_are_the_values_whose_loss_parts_the_records(seed: int) -> None:
    dice = Random(seed)
    records = [f"r{n}" for n in range(dice.randint(2, 7))]
    edges = [
        Edge(a, b, dice.choice(["email", "phone"]), f"v{dice.randint(1, 4)}", 1)
        for a, b in combinations(records, 2)
        if dice.random() < 0.5
    ]

    def reached(without: tuple[str, str | None] | None) -> set[frozenset[str]]:
        found = set()
        for record in records:
            here, before = {record}, set[str]()
            while here != before:
                before = set(here)
                here |= {
                    other
                    for e in edges
                    if (e.rule, e.identifier) != without
                    for one, other in ((e.left, e.right), (e.right, e.left))
                    if one in before
                }
            found.add(frozenset(here))
        return found

    values = {(e.rule, e.identifier) for e in edges}
    wanted = {value: reached(value) for value in values if len(reached(value)) > len(reached(None))}
    assert {(b.rule, b.identifier): {frozenset(g) for g in b.groups} for b in bonds(records, edges)} == wanted

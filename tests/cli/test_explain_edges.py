"""`revetl explain` on what makes several source records one: the edges, and what would have to go to part them."""

from __future__ import annotations

import json
from itertools import combinations
from pathlib import Path
from random import Random
from xml.etree import ElementTree

import duckdb
import pytest

from revetl.golden.evidence import Edge, bonds, cuts
from revetl.golden.linked_pairs import LinkedPair, last_join
from tests.support.cli_project import call
from tests.support.project_files import make_project, model, write_manifest

MEMBERS = ("entity", "record_key", "golden_id")
EDGES = ("left_key", "right_key", "match_rule", "identifier", "weight")
OFFERED = ("golden_id", "field", "value", "value_rank", "record_key", "n_records", "lost_by")
HISTORY = ("entity", "build", "event", "from_id", "to_id")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = make_project(tmp_path_factory.mktemp("edges"))
    contacts = model("golden_contacts", columns=("golden_id", "phone"))
    others = [("golden_members", MEMBERS), ("int_contact_edges", EDGES), ("golden_id_history", HISTORY)]
    others.append(("golden_offered_values", OFFERED))
    matching = {"key": "id", "columns": {"name": {"kind": "name"}, "mail": {"kind": "email"}}, "blocking": [["mail"]]}
    pairs = model("member_pairs", columns=("left_key",))
    pairs["config"]["meta"] = {"matching": matching}
    clusters = model(
        "member_clusters",
        columns=("node", "cluster"),
        parents=("model.tiny.member_pairs",),
        materialized="linkage",
    )
    clusters["config"]["unscored"] = -10
    write_manifest(root, contacts, pairs, clusters, *(model(name, columns=columns) for name, columns in others))
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
            "CREATE TABLE member_clusters AS"
            " FROM (VALUES ('m1', 'm1'), ('m2', 'm1'), ('m3', 'm1'), ('m4', 'm4')) t(node, cluster)"
        )
        db.execute(
            """
            CREATE TABLE member_pairs AS FROM (VALUES
                ('m1', 'm2', 11.0, 9.0, 'equal', 12.0, 'equal'),
                ('m1', 'm3', 3.0, -2.0, 'other', 15.0, 'equal'),
                ('m2', 'm3', 1.0, 11.0, 'equal', 0.0, 'missing')
            ) t(left_key, right_key, weight, name_weight, name_level, mail_weight, mail_level)
            """
        )
        db.execute(
            """
            CREATE TABLE golden_offered_values AS FROM (VALUES
                ('g1', 'last_name', 'Maeir', 2, 'crm:contacts:a', 1, 'agreement'),
                ('g1', 'last_name', '[red]Maier', 1, 'crm:contacts:b', 4, NULL),
                ('g2', 'last_name', 'Other', 1, 'crm:contacts:d', 1, NULL),
                ('g2', 'email', 'old@x.example', 2, 'crm:contacts:d', 1, 'priority')
            ) t(golden_id, field, value, value_rank, record_key, n_records, lost_by)
            """
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


def test_records_matched_by_weights_show_each_field_and_where_they_would_part(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    picture = tmp_path / "edges.svg"
    code, out, _ = call(capsys, "explain", "m3", "--project-dir", str(root), "--json", "--svg", str(picture))
    found = json.loads(out)
    assert (code, found["key"]) == (0, "m1")
    assert [row["record"] for row in found["its records (member_clusters)"]] == ["m1", "m2", "m3"]
    edges = found["what joins its source records"]
    assert [edge["weight"] for edge in edges] == [11.0, 3.0, 1.0]
    assert edges[1]["fields"] == [
        {"field": "mail", "level": "equal", "weight": 15.0},
        {"field": "name", "level": "other", "weight": -2.0},
    ]
    assert found["what would have to change to split them"] == [
        {
            "weight": 2.0,
            "fields": [{"field": "mail", "weight": 7.5}, {"field": "name", "weight": 4.5}],
            "groups": [["m1", "m2"], ["m3"]],
        }
    ]
    root_ = ElementTree.fromstring(picture.read_text("utf-8"))
    bars = [one.get("class") for one in root_.iter() if one.tag.endswith("rect")]
    assert (bars.count("for"), bars.count("against")) == (4, 1)
    assert "3 pairs of records" in str(root_[1].text)
    code, out, _ = call(capsys, "explain", "m3", "--project-dir", str(root))
    [mail] = [line for line in out.splitlines() if "+15.0    mail: equal" in line]
    [name] = [line for line in out.splitlines() if "-2.0    name: other" in line]
    assert mail.count("█") > name.count("░") > 0
    assert "they part first here: 2.0 bits" in out


def test_each_value_is_shown_with_what_it_beat_and_why(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = call(capsys, "explain", "g1", "--project-dir", str(root))
    lines = [line.strip() for line in out.splitlines()]
    at = lines.index("✓ [red]Maier")
    assert code == 0
    assert lines[at + 1 : at + 4] == [
        "crm:contacts:b and 3 more",
        "· Maeir",
        "more records agree on the other; crm:contacts:a",
    ]
    assert "Other" not in out


def test_an_address_that_did_not_survive_names_the_record(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = call(capsys, "explain", "Old@x.example", "--project-dir", str(root), "--json")
    assert (code, json.loads(out)["key"]) == (0, "g2")
    code, _, err = call(capsys, "explain", "Maeir", "--project-dir", str(root))
    assert (code, "nothing is known" in err) == (2, True)  # a name is nobody's alone


def test_a_rule_shows_what_the_names_give(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with duckdb.connect(str(root / "tiny.duckdb")) as db:
        db.execute("ALTER TABLE int_contact_edges ADD COLUMN identifier_weight INTEGER")
        db.execute("ALTER TABLE int_contact_edges ADD COLUMN name_weight INTEGER")
        db.execute("UPDATE int_contact_edges SET identifier_weight = weight - 2, name_weight = 2 WHERE weight < 99")
    code, out, _ = call(capsys, "explain", "g1", "--project-dir", str(root), "--json")
    steward, email, _ = json.loads(out)["what joins its source records"]
    assert code == 0
    assert email["fields"] == [
        {"field": "email", "level": None, "weight": 8.0},
        {"field": "name", "level": None, "weight": 2.0},
    ]
    assert "fields" not in steward


def test_values_that_hold_records_only_together_are_named_together() -> None:
    edges = [Edge("a", "b", "email", "x", 1), Edge("a", "b", "phone", "1", 1), Edge("b", "c", "email", "x", 1)]
    edges += [Edge("b", "c", "phone", "2", 1)]
    assert bonds("abc", edges) == []
    assert [(cut.values, cut.groups) for cut in cuts("abc", edges)] == [
        ((("email", "x"), ("phone", "1")), (("b", "c"), ("a",))),
        ((("email", "x"), ("phone", "2")), (("a", "b"), ("c",))),
    ]
    assert cuts("ab", [Edge("a", "b", "email", str(n), 1) for n in range(4)]) == []


def test_groups_part_where_they_are_held_least() -> None:
    def pair(left: str, right: str, weight: float | None) -> LinkedPair:
        return LinkedPair(left, right, weight, {"mail": weight or 0.0}, {"mail": "equal"})

    pairs = [pair("a", "b", 9), pair("c", "d", 8), pair("b", "c", 30)]
    found = last_join("abcd", pairs, unscored=-2)
    # b and c become one first; a and then d join them.
    assert found is not None
    assert found.groups == (("a", "b", "c"), ("d",))
    assert found.weight == pytest.approx((8 - 2 - 2) / 3)
    [(name, bits)] = found.fields
    assert name == "mail"
    assert bits == pytest.approx(8 / 3)
    assert last_join("a", [], unscored=-2) is None


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

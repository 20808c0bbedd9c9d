"""Moving the stages of a waterfall's file: only whole lines move, comments stay, and the text means the change."""

from __future__ import annotations

from itertools import permutations
from pathlib import Path

import pytest
import yaml

from revetl.enrich.ordering.rewrite import LEFT_OUT, find, reorder
from revetl.errors import ConfigError

HERE = Path(__file__).resolve().parents[2]
TEXT = """\
# On top.
name: w
stages:
  # The first.
  # It is dear.
  - provider: a.x     # beside
    fills: [email]

  # On its own, above b: stays where b's block begins.
  -
    provider: b.y
    verify: {email: v.z}
    # inside b
    when: country = 'US'
  - {provider: c.z}
  # after all, indented: goes with c

# About the budget.
budget:
  per_run_usd: 5
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    file = tmp_path / "waterfalls" / "w.yml"
    file.parent.mkdir()
    file.write_text(TEXT)
    return file


def test_lines_move_and_nothing_else_changes(path):
    change = reorder(path, ["c.z", "b.y", "a.x"])
    assert change.after == TEXT.replace(
        TEXT[TEXT.index("  # The first") : TEXT.index("\n# About")],
        """\
  - {provider: c.z}
  # after all, indented: goes with c
  # On its own, above b: stays where b's block begins.
  -
    provider: b.y
    verify: {email: v.z}
    # inside b
    when: country = 'US'
  # The first.
  # It is dear.
  - provider: a.x     # beside
    fills: [email]

""",
    )
    assert path.read_text() == TEXT
    change.apply()
    change.apply()
    assert path.read_text() == change.after
    assert [p.name for p in path.parent.iterdir()] == ["w.yml"]


@pytest.mark.parametrize("order", [*permutations(("a.x", "b.y", "c.z")), ("b.y",), ("c.z", "a.x")])
def test_every_order_means_itself_and_can_be_undone(path, order):
    before = yaml.safe_load(TEXT)
    after = yaml.safe_load(reorder(path, order).after)
    assert [s["provider"] for s in after["stages"]] == list(order)
    assert {k: v for k, v in after.items() if k != "stages"} == {k: v for k, v in before.items() if k != "stages"}
    if len(order) == 3:
        path.write_text(reorder(path, order).after)
        assert sorted(reorder(path, ("a.x", "b.y", "c.z")).after) == sorted(TEXT)


def test_a_stage_that_is_left_out_stays_as_a_comment(path):
    text = reorder(path, ["a.x", "c.z"]).after
    assert f"  # {LEFT_OUT}\n" in text
    assert "  #   provider: b.y\n  #   verify: {email: v.z}\n" in text
    assert "# beside" in text


def test_the_same_order_is_no_change_and_no_diff(path):
    change = reorder(path, ["a.x", "b.y", "c.z"])
    assert change.after == TEXT
    assert change.diff(path.parent) == ""


def test_the_diff_is_unified_with_paths_from_the_project(path):
    diff = reorder(path, ["b.y", "a.x", "c.z"]).diff(path.parents[1])
    assert diff.startswith("--- a/waterfalls/w.yml\n+++ b/waterfalls/w.yml\n@@ ")
    assert "-  - provider: a.x     # beside\n" in diff


@pytest.mark.parametrize(
    "stages",
    [
        "stages: [{provider: a.x}, {provider: b.y}]",
        "stages:\n  - &first\n    provider: a.x\n  - <<: *first\n    provider: b.y\n",
    ],
)
def test_what_cant_be_moved_by_lines_is_refused_with_its_line(path, stages):
    path.write_text(f"name: w\n{stages}\n")
    with pytest.raises(ConfigError, match=r"w\.yml:2: "):
        reorder(path, ["b.y", "a.x"])


def test_a_file_that_changed_meanwhile_is_left_alone(path):
    change = reorder(path, ["b.y", "a.x", "c.z"])
    path.write_text(TEXT + "# edited\n")
    with pytest.raises(ConfigError, match="meanwhile"):
        change.apply()
    assert path.read_text() == TEXT + "# edited\n"


def test_a_list_at_the_margin_and_no_line_end_at_the_end(path):
    path.write_text("name: w\nstages:\n- provider: a.x\n- provider: b.y")
    assert reorder(path, ["b.y", "a.x"]).after == "name: w\nstages:\n- provider: b.y\n- provider: a.x\n"


def test_the_starters_waterfalls_can_be_reordered():
    directory = HERE / "enrichment" / "waterfalls"
    path = find(directory, "contact_profile")
    names = [s["provider"] for s in yaml.safe_load(path.read_text())["stages"]]
    after = reorder(path, names[::-1]).after
    assert [s["provider"] for s in yaml.safe_load(after)["stages"]] == names[::-1]
    assert sorted(after.splitlines()) == sorted(path.read_text().splitlines())
    with pytest.raises(ConfigError, match="nothing_like_it"):
        find(directory, "nothing_like_it")

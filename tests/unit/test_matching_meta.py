"""Mistakes in matching/<entity>.yml, each with its file and line."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from revetl.errors import ConfigError
from revetl.project.matching_meta import check_matching

GOOD = """\
version: 2
models:
  - name: int_member_pairs
    config:
      meta:
        matching:
          key: member_no
          columns:
            name: {kind: name}
            mail: {kind: email}
            domain: {kind: domain}
            born: {kind: date, agreement: {similar: 0.1}}
          blocking:
            - [mail]
            - [name.start, born.year]
          evidence: [[mail, domain]]
          rules: [[mail, name]]
          vetoes: [born]
"""


def written(directory: Path, text: str) -> Path:
    (directory / "matching").mkdir(exist_ok=True)
    (directory / "matching/members.yml").write_text(text, encoding="utf-8")
    return directory


def test_a_sound_file_is_counted(tmp_path: Path) -> None:
    assert check_matching(written(tmp_path, GOOD)) == 1


def test_what_the_guide_adds_is_taken(tmp_path: Path) -> None:
    page = (Path(__file__).parents[2] / "docs/guides/match-your-own-records.md").read_text("utf-8")
    [added] = re.findall(r"^```yaml\n(.*?)^```", page, re.DOTALL | re.MULTILINE)
    known = "            passport: {kind: identifier}\n            blood_group: {kind: text}\n          blocking:\n"
    text = GOOD.partition("          evidence:")[0].replace("          blocking:\n", known)
    assert check_matching(written(tmp_path, text + added)) == 1
    with pytest.raises(ConfigError, match="blood_group"):
        check_matching(written(tmp_path, GOOD.partition("          evidence:")[0] + added))


def test_a_project_without_the_folder_has_none(tmp_path: Path) -> None:
    assert check_matching(tmp_path) == 0


def test_a_model_without_matching_is_none(tmp_path: Path) -> None:
    assert check_matching(written(tmp_path, "models: [{name: a}, {name: b, config: {meta: {}}}]\n")) == 0


@pytest.mark.parametrize(
    ("good", "bad", "line", "message"),
    [
        ("key: member_no", "ky: member_no", 7, "'ky' is not known here"),
        ("{kind: name}", "{kind: nam}", 9, "kind"),
        ("- [mail]", "- [mial]", 14, "'mial' is none of the columns"),
        ("born.year", "born.yaer", 15, "'born.yaer': a date has no 'yaer'"),
        ("name.start", "name.year", 15, "'name.year': a name has no 'year'"),
        ("[[mail, domain]]", "[[mail, dom]]", 16, "'dom' is none of the columns"),
        ("[[mail, domain]]", "[[mail, domain], [domain, name]]", 16, "'domain' stands in two pieces of evidence"),
        ("[[mail, domain]]", "[[mail]]", 16, "at least 2 items"),
        ("[[mail, name]]", "[[mail, nmae]]", 17, "'nmae' is none of the columns"),
        ("vetoes: [born]", "vetoes: [brn]", 18, "'brn' is none of the columns"),
        ("{kind: email}", "{kind: email, agreement: {similar: 0.1}}", 10, "email: its levels are equal and other"),
        ("similar: 0.1", "similar: 1.5", 12, "less than 1"),
        ("vetoes: [born]", "max_records_per_block: 1", 18, "greater than or equal to 2"),
    ],
)
def test_a_mistake_is_named_with_its_line(tmp_path: Path, good: str, bad: str, line: int, message: str) -> None:
    assert good in GOOD
    with pytest.raises(ConfigError) as raised:
        check_matching(written(tmp_path, GOOD.replace(good, bad, 1)))
    assert f"matching/members.yml:{line}" in str(raised.value)
    assert message in str(raised.value)


SURVIVORSHIP = """\
version: 2
models:
  - name: int_member_values
    config:
      meta:
        survivorship:
          key: member_no
          source: branch
          updated_at: changed_on
          priority: {North: 3}
          attributes:
            name: {fields: [given_name, family_name]}
            mail: {verified: mail_is_verified, prefer: [verification, agreement, recency]}
"""


def test_survivorship_is_read_beside_matching(tmp_path: Path) -> None:
    (tmp_path / "matching").mkdir()
    (tmp_path / "matching/values.yml").write_text(SURVIVORSHIP, encoding="utf-8")
    assert check_matching(written(tmp_path, GOOD)) == 2


@pytest.mark.parametrize(
    ("good", "bad", "line", "message"),
    [
        ("key: member_no", "ky: member_no", 7, "'ky' is not known here"),
        ("          source: branch\n", "", 9, "nothing says which source"),
        ("North: 3", "North: 0", 10, "greater than 0"),
        ("[given_name, family_name]", "[given_name, mail]", 13, "'mail' stands in name too"),
        ("agreement, recency", "agrement", 13, "prefer"),
        ("verified: mail_is_verified, ", "", 13, "verification needs verified"),
        ("          updated_at: changed_on\n", "", 12, "recency needs updated_at"),
        ("{fields: [given_name, family_name]}", "{fields: []}", 12, "at least 1 item"),
    ],
)
def test_a_mistake_of_survivorship_is_named_with_its_line(
    tmp_path: Path, good: str, bad: str, line: int, message: str
) -> None:
    assert good in SURVIVORSHIP
    with pytest.raises(ConfigError) as raised:
        check_matching(written(tmp_path, SURVIVORSHIP.replace(good, bad, 1)))
    assert f"matching/members.yml:{line}" in str(raised.value)
    assert message in str(raised.value)


def test_every_mistake_of_every_file_is_named_at_once(tmp_path: Path) -> None:
    written(tmp_path, GOOD.replace("[born]", "[brn]").replace("- [mail]", "- [mial]"))
    (tmp_path / "matching/broken.yml").write_text("models: [", encoding="utf-8")
    with pytest.raises(ConfigError) as raised:
        check_matching(tmp_path)
    assert len(raised.value.problems) == 3

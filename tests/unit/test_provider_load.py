"""Mistakes in provider files come out all at once, each at its line, with the nearest valid name."""

from __future__ import annotations

import re
from decimal import Decimal
from pathlib import Path

import pytest

from revetl.errors import ConfigError
from revetl.providers.load import load_providers

GOOD = """\
vendor: acme
base_url: https://api.acme.example
auth: {type: header, name: x-key}
status:
  - {http: 200, verdict: hit}
  - {http: 404, verdict: miss}
endpoints:
  person:
    entity: person
    inputs: [email, first_name]
    sufficient: [[email]]
    request:
      path: /v1/person
      query: {email: "{email}", first: "{first_name}"}
    outputs:
      phone: {at: /phone}
      job_title: {at: /title}
    price: {per_call_usd: 0.01, per_hit_usd: 0.1, groups: [{fields: [phone], usd: 0.5}]}
    ttl: {hit_days: 100, miss_days: 7, fields: {phone: 30}}
"""


def write(folder: Path, text: str, name: str = "acme.yml") -> Path:
    (folder / name).write_text(text)
    return folder


def problems(folder: Path) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load_providers(folder)
    return [str(p) for p in caught.value.problems]


def test_a_spec_says_what_the_waterfall_needs(tmp_path: Path) -> None:
    spec = load_providers(write(tmp_path, GOOD))["acme.person"]
    assert (spec.vendor, spec.kind, spec.entity) == ("acme", "finder", "person")
    assert spec.fields == ("phone", "job_title")
    assert (spec.price_per_call, spec.price_per_hit, spec.greatest_usd) == (
        Decimal("0.01"),
        Decimal("0.1"),
        Decimal("0.61"),
    )
    assert (spec.ttl_hit_days("phone"), spec.ttl_hit_days("job_title"), spec.ttl_miss_days) == (30, 100, 7)
    assert spec.can_ask({"email": "a@b.example"})
    assert not spec.can_ask({"email": "", "first_name": "Ada"})
    assert spec.relevant({"email": "a@b.example", "first_name": None, "city": "Rome"}) == {"email": "a@b.example"}


def test_a_folder_that_is_not_there_holds_no_providers(tmp_path: Path) -> None:
    assert load_providers(tmp_path / "none") == {}


@pytest.mark.parametrize(
    ("wrong", "right", "line", "says"),
    [
        ("vendr: acme", "vendor: acme", 1, "'vendr' is not known here"),
        ("sufficent: [[email]]", "sufficient: [[email]]", 11, "Did you mean 'sufficient'?"),
        ("sufficient: [[emial]]", "sufficient: [[email]]", 11, "Did you mean 'email'?"),
        ('email: "{emal}"', 'email: "{email}"', 14, "'emal' is not an input of this endpoint"),
        ("jobtitle: {at: /title}", "job_title: {at: /title}", 17, "Did you mean 'job_title'?"),
        ("{at: title}", "{at: /title}", 17, "starts with '/'"),
        ("fields: {fone: 30}", "fields: {phone: 30}", 19, "'fone' is not an output of this endpoint"),
        ("verdict: hitt}", "verdict: hit}", 5, "'hit'"),
        ("{http: 20, verdict: miss}", "{http: 404, verdict: miss}", 6, "an HTTP status"),
        ("verdict: miss, attempts: 3}", "verdict: miss}", 6, "in_progress only"),
        ("verdict: miss}", "verdict: hit}", 8, "no row of the status table says 'hit'"),
        ("per_call_usd: -1", "per_call_usd: 0.01", 18, "greater than or equal to 0"),
        ("per_hit_usd: 0.1, credits: {at: /n, usd: 9}", "per_hit_usd: 0.1", 18, "budgets reserve"),
        ("path: /v1/{email}", "path: /v1/person", 13, "pattern"),
        ("inputs: [email, first_name, city]", "inputs: [email, first_name]", 10, "never sends the input 'city'"),
    ],
)
def test_a_mistake_has_its_line_and_what_would_be_right(
    tmp_path: Path, wrong: str, right: str, line: int, says: str
) -> None:
    assert right in GOOD
    found = problems(write(tmp_path, GOOD.replace(right, wrong, 1)))
    assert any(re.match(rf".*acme\.yml:{line}: ", p) and says in p for p in found), found


def test_a_verifier_says_what_its_words_mean(tmp_path: Path) -> None:
    found = problems(write(tmp_path, GOOD.replace("    entity: person\n", "    entity: person\n    kind: verifier\n")))
    assert found == [f"{tmp_path / 'acme.yml'}:10: a verifier needs 'verification'"]


def test_mistakes_of_all_files_come_together(tmp_path: Path) -> None:
    write(
        tmp_path, GOOD.replace("[[email]]", "[[emial]]").replace("fields: {phone: 30}", "fields: {fone: 30}"), "a.yml"
    )
    write(tmp_path, "vendor: [", "b.yml")
    write(tmp_path, "- a list", "c.yml")
    found = "\n".join(problems(tmp_path))
    assert "a.yml:11" in found
    assert "a.yml:19" in found
    assert "b.yml" in found
    assert "c.yml:1" in found


def test_one_vendor_stands_in_one_file(tmp_path: Path) -> None:
    write(tmp_path, GOOD, "a.yml")
    assert "already described in a.yml" in problems(write(tmp_path, GOOD, "b.yml"))[0]

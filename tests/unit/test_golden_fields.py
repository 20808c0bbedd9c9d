"""Which fields providers may fill is said by the project's models, and by nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from revetl.errors import ConfigError
from revetl.project import load
from revetl.project.golden_fields import read_golden_fields
from tests.support.project_files import make_project, write

MODEL = """\
version: 2
models:
  - name: dim_accounts
    columns:
      - name: golden_id
      - name: name
      - name: revenue
        data_type: bigint
        config: {meta: {enrichable: true}}
      - name: lei
        config: {meta: {enrichable: true, owner: finance}}
      - name: notes
        config: {meta: {enrichable: false}}
"""
PROVIDER = """\
vendor: acme
base_url: https://api.acme.example
auth: {type: header, name: x-key}
endpoints:
  company:
    entity: company
    inputs: [name]
    sufficient: [[name]]
    request: {path: /v1/company, query: {name: "{name}"}}
    status: [{http: 200, verdict: hit}]
    outputs:
      revenue: {at: /revenue}
      lei: {at: /lei}
    price: {per_hit_usd: 0.1}
"""
WATERFALL = """\
name: accounts
entity: dim_accounts
inputs: {name: name}
fields:
  revenue: {}
  lei: {}
stages: [{provider: acme.company}]
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    make_project(tmp_path)
    write(tmp_path / "dbt_project/models/accounts.yml", MODEL)
    write(tmp_path / "enrichment/providers/acme.yml", PROVIDER)
    write(tmp_path / "enrichment/waterfalls/accounts.yml", WATERFALL)
    return tmp_path


def messages(root: Path) -> list[str]:
    with pytest.raises(ConfigError) as e:
        load(root)
    return [str(p).replace(f"{root}/", "") for p in e.value.problems]


def test_a_field_of_ones_own_is_a_column_an_output_and_a_line_of_the_waterfall(root: Path) -> None:
    project = load(root)
    assert project.providers["acme.company"].fields == ("revenue", "lei")
    assert list(project.waterfalls["accounts"].fields) == ["revenue", "lei"]


def test_an_output_that_no_model_knows_is_told_at_its_line(root: Path) -> None:
    file = root / "enrichment/providers/acme.yml"
    write(file, PROVIDER.replace("revenue: {at", "revenu: {at"))
    (root / "enrichment/waterfalls/accounts.yml").unlink()
    assert messages(root) == [
        "enrichment/providers/acme.yml:12: 'revenu' is not a field of a company, nor a column that a model lets"
        " providers fill\n    Did you mean 'revenue'?"
    ]


def test_a_waterfall_fills_what_its_model_lets_be_filled(root: Path) -> None:
    write(root / "enrichment/waterfalls/accounts.yml", WATERFALL.replace("  lei: {}", "  notes: {}"))
    assert messages(root)[0] == (
        "enrichment/waterfalls/accounts.yml:6: 'notes' is not a column of dim_accounts that providers may fill\n"
        "    Valid here: lei, revenue (`config: {meta: {enrichable: true}}` of a column, in the model's yml, makes it"
        " one)"
    )


def test_what_is_neither_true_nor_false_is_told_at_its_line(root: Path) -> None:
    write(root / "dbt_project/models/accounts.yml", MODEL.replace("enrichable: false", "enrichable: maybe"))
    assert messages(root) == ["dbt_project/models/accounts.yml:13: 'enrichable' is true or false"]


def test_the_starters_contract_is_what_its_waterfalls_want() -> None:
    found = read_golden_fields(Path(__file__).parents[2] / "dbt_project")
    assert "revenue_range" in found["golden_companies"]
    assert set(found) == {"golden_companies", "golden_contacts"}

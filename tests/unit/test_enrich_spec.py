"""Waterfall files, the acceptance rule, the money."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest

from revetl.enrich.execution.answers import reason_to_reject
from revetl.enrich.execution.budget import RunBudget
from revetl.enrich.lists.columns import match_columns
from revetl.enrich.waterfall import WantedField, load_waterfalls
from revetl.errors import ConfigError
from revetl.privacy.suppressions import VARIABLE, Suppressions
from revetl.providers.grammar import load_providers
from revetl.state.schema import create_all
from revetl.warehouse.duckdb import DuckDBWarehouse
from tests.support.enrich_fakes import START, terms

HERE = Path(__file__).resolve().parents[2]
PROVIDERS = {
    t.name: t
    for t in (
        terms("big.person", ("email", "phone")),
        terms("check.email", ("email",), inputs=("email",), kind="verifier"),
    )
}
GOOD = """\
name: contacts
entity: golden_contacts
inputs: {first_name: first_name, last_name: last_name, company_domain: company_domain}
fields:
  email: {accept: {verified: true}}
  phone:
stages:
  - provider: big.person
    verify: {email: check.email}
"""


def problems(tmp_path: Path, text: str) -> str:
    (tmp_path / "w.yml").write_text(text)
    with pytest.raises(ConfigError) as caught:
        load_waterfalls(tmp_path, PROVIDERS)
    return str(caught.value)


def test_the_starters_waterfalls_fit_its_providers():
    specs = load_waterfalls(HERE / "enrichment/waterfalls", load_providers(HERE / "enrichment/providers"))
    assert sorted(specs) == ["company_profile", "contact_profile"]


def test_a_good_file(tmp_path):
    (tmp_path / "w.yml").write_text(GOOD)
    spec = load_waterfalls(tmp_path, PROVIDERS)["contacts"]
    assert spec.provider_names == ("big.person", "check.email")
    assert spec.fills(spec.stages[0], PROVIDERS["big.person"]) == ("email", "phone")


@pytest.mark.parametrize(
    ("wrong", "right", "line", "said"),
    [
        ("stages:", "stagse:", 7, "Did you mean 'stages'?"),
        ("big.person", "big.preson", 8, "Did you mean 'big.person'?"),
        ("check.email", "chekc.email", 9, "Did you mean 'check.email'?"),
        ("verified", "verifed", 5, "Did you mean 'verified'?"),
        ("first_name: first_name", "frist_name: first_name", 3, "Did you mean 'first_name'?"),
        ("  phone:", "  fax:", 6, "no stage fills 'fax'"),
        ("    verify:", "    when: a = 1 -- x\n    verify:", 9, "no SQL comment"),
        ("    verify:", "    when: 1; DROP TABLE t\n    verify:", 9, "one SQL condition"),
        ("    verify:", "    fills: [emial]\n    verify:", 9, "Did you mean 'email'?"),
    ],
)
def test_each_mistake_has_its_line_and_the_nearest_name(tmp_path, wrong, right, line, said):
    text = problems(tmp_path, GOOD.replace(wrong, right))
    assert f"w.yml:{line}: " in text
    assert said in text


@pytest.mark.parametrize(
    ("confidence", "verification", "expected"),
    [
        (0.4, "valid", "low_confidence"),
        (0.9, "valid", None),
        (None, "valid", None),
        (0.9, "invalid", "invalid"),
        (0.9, "catch_all", "catch_all"),
        (0.9, "unknown", "not_verified"),
        (0.9, None, "not_verified"),
    ],
)
def test_the_acceptance_rule(confidence, verification, expected):
    want = WantedField.model_validate({"accept": {"min_confidence": 0.5, "verified": True}})
    assert reason_to_reject(want, confidence, verification) == expected


def test_a_field_that_nobody_wants_or_verifies():
    assert reason_to_reject(None, 1.0, "valid") == "not_wanted"
    assert reason_to_reject(WantedField(), None, None) is None
    assert reason_to_reject(WantedField(), None, "invalid") == "invalid"


def test_a_budget_counts_what_is_reserved_and_in_doubt():
    budget = RunBudget(Decimal(1))
    assert budget.reserve(Decimal("0.6"))
    assert not budget.reserve(Decimal("0.5"))
    budget.settle(Decimal("0.6"), Decimal(0))
    assert budget.reserve(Decimal("0.5"))
    budget.doubt(Decimal("0.5"))
    assert not budget.reserve(Decimal("0.6"))
    assert budget.reserve(Decimal("0.5"))
    assert budget.reserve(Decimal(0))


def test_columns_are_matched_by_what_people_call_them():
    providers = load_providers(HERE / "enrichment/providers")
    specs = load_waterfalls(HERE / "enrichment/waterfalls", providers)
    header = ["FIRST-NAME", "Surname", "Company", "Web site", "E-Mail Address", "Title"]
    match = match_columns(specs["contact_profile"], header)
    assert dict(match.inputs) == {
        "email": "E-Mail Address",
        "first_name": "FIRST-NAME",
        "last_name": "Surname",
        "company_domain": "Web site",
        "company_name": "Company",
    }
    assert match.fields["job_title"] == "Title"


def test_suppressions_name_nobody_and_hold_across_spellings_and_runs():
    warehouse = DuckDBWarehouse(":memory:")
    create_all(warehouse)
    listed = Suppressions.load(warehouse, {})
    listed.add(
        {"email": "Ada@Acme.example", "first_name": "Ada", "last_name": "L", "company_domain": "acme.example"},
        "asked",
        START,
    )
    again = Suppressions.load(warehouse, {})
    assert {"email": " ada@acme.EXAMPLE"} in again
    assert {"first_name": "ADA", "last_name": "l", "company_domain": "acme.example", "email": "new@x.example"} in again
    assert {"email": "bob@acme.example"} not in again
    stored = str(warehouse.rows("SELECT * FROM revetl.suppressions")).lower()
    assert not any(
        name in stored for name in ("ada@", "'ada'", "acme")
    )  # its digests may hold three letters of anybody


def test_another_suppression_key_is_refused():
    warehouse = DuckDBWarehouse(":memory:")
    create_all(warehouse)
    Suppressions.load(warehouse, {VARIABLE: "one"})
    for environ in ({}, {VARIABLE: "two"}):
        with pytest.raises(ConfigError, match=VARIABLE) as caught:
            Suppressions.load(warehouse, environ)
        assert "two" not in str(caught.value)
    Suppressions.load(warehouse, {VARIABLE: "one"})

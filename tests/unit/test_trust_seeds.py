"""The starter's trust policy names what the starter's providers and waterfalls name."""

from __future__ import annotations

import csv
from pathlib import Path

from revetl.enrich.waterfall import load_waterfalls
from revetl.providers.grammar import load_providers

REPOSITORY = Path(__file__).resolve().parents[2]
PROVIDERS = load_providers(REPOSITORY / "enrichment/providers")


def seed(name: str) -> list[dict[str, str]]:
    with (REPOSITORY / f"dbt_project/seeds/{name}.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_source_groups_are_those_of_the_provider_files() -> None:
    groups = {row["vendor"]: row["source_group"] for row in seed("source_groups")}
    finders = [p for p in PROVIDERS.values() if p.kind == "finder"]
    assert groups == {p.vendor: p.source_group or p.vendor for p in finders}


def test_every_field_of_a_waterfall_has_a_policy() -> None:
    waterfalls = load_waterfalls(REPOSITORY / "enrichment/waterfalls", PROVIDERS)
    wanted = {(spec.entity, field) for spec in waterfalls.values() for field in spec.fields}
    assert wanted == {(row["entity"], row["field"]) for row in seed("trust_fields")}

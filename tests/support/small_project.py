"""A dbt project that can be built: raw people, golden contacts, a sync to HubSpot, a waterfall of one provider."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from tests.support.project_files import write

REPOSITORY = Path(__file__).resolve().parents[2]
SYNC = "hubspot__contacts"
MODELS = {
    "golden_contacts.sql": "select golden_id, first_name, last_name, company_domain, email as main_email,"
    " cast(null as text) as email from {{ source('raw', 'people') }}",
    "hubspot__contacts.sql": "select golden_id, main_email as email, first_name as firstname"
    " from {{ ref('golden_contacts') }}",
    # Over the answers of providers, which are there only once somebody was asked.
    "answers.sql": "{{ config(enabled=var('answers', false)) }}"
    " select key, value from {{ source('revetl', 'enrichment_values') }}",
}
DECLARED = {
    "sources": [
        {"name": "raw", "schema": "raw", "tables": [{"name": "people"}]},
        {"name": "revetl", "schema": "revetl", "tables": [{"name": "enrichment_values"}]},
    ],
    "models": [
        {
            "name": SYNC,
            "config": {
                "contract": {"enforced": True},
                "meta": {
                    "revetl": {"destination": "hubspot", "object": "contacts", "key": "golden_id", "match_on": "email"}
                },
            },
            "columns": [{"name": c, "data_type": "text"} for c in ("golden_id", "email", "firstname")],
        }
    ],
}
WATERFALL = {
    "name": "emails",
    "entity": "golden_contacts",
    "key": "golden_id",
    "inputs": {c: c for c in ("first_name", "last_name", "company_domain")},
    "fields": {"email": {"accept": {"min_confidence": 0}}},
    "stages": [{"provider": "hunter.email_finder", "fills": ["email"]}],
    "budget": {"per_run_usd": 5},
}
# In every warehouse's SQL.
SOURCES = (
    "CREATE TABLE raw.people (golden_id VARCHAR, email VARCHAR, first_name VARCHAR, last_name VARCHAR,"
    " company_domain VARCHAR)",
    *(f"INSERT INTO raw.people VALUES ('g{i}', 'p{i}@x.example', 'Ada{i}', 'L', 'acme.example')" for i in range(3)),
)


def small_project(root: Path, output: Mapping[str, Any], sandbox: str) -> Path:
    """Its files, with `output` as the only target and the vendors at `sandbox`. Returns `root`."""
    write(root / "revetl.yml", "name: tiny\n")
    write(
        root / "dbt_project/dbt_project.yml",
        "name: tiny\nversion: '1.0'\nprofile: tiny\nmodel-paths: [models]\nmodels: {+materialized: table}\n",
    )
    for name, sql in MODELS.items():
        write(root / "dbt_project/models" / name, sql)
    write(root / "dbt_project/models/models.yml", yaml.safe_dump(DECLARED))
    profiles = {"tiny": {"target": "dev", "outputs": {"dev": dict(output)}}}
    write(root / "profiles/profiles.yml", yaml.safe_dump(profiles))
    hunter = {"base_url": f"{sandbox}/providers/hunter", "api_key": "key-of-a-test"}
    hubspot = {"base_url": sandbox, "token": "pat-test"}
    connections = {
        "destinations": {"hubspot": {"type": "hubspot", "outputs": {"default": hubspot}}},
        "providers": {"hunter": {"outputs": {"default": hunter}}},
    }
    write(root / "profiles/connections.yml", yaml.safe_dump(connections))
    write(root / "enrichment/providers/hunter.yml", (REPOSITORY / "enrichment/providers/hunter.yml").read_text())
    write(root / "enrichment/waterfalls/emails.yml", yaml.safe_dump(WATERFALL))
    return root

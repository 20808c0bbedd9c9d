"""A small project that dbt really builds: one golden table, one activation model, and a sandbox for the vendors."""

from __future__ import annotations

from pathlib import Path

import duckdb

from tests.support.project_files import enriching_project, write

CONTACTS = "hubspot__contacts"
_FIELDS = ("linkedin_url", "phone", "job_title", "seniority", "city", "country", "company_name")


def real_project(root: Path, sandbox_url: str, people: list[tuple[str, str, str, str, str]]) -> Path:
    """`people`: (golden_id, email, first name, last name, company domain). Returns `root`; nothing is built yet."""
    enriching_project(root, sandbox_url)
    (root / "enrichment/waterfalls/company_profile.yml").unlink()
    connections = root / "profiles/connections.yml"
    hubspot = f"destinations:\n  hubspot:\n    type: hubspot\n    outputs:\n      default: {{base_url: '{sandbox_url}'"
    text = connections.read_text(encoding="utf-8")
    write(connections, text.replace("destinations: {}\n", f"{hubspot}, token: pat-test}}\n"))
    models = root / "dbt_project/models"
    write(
        models / "sources.yml",
        "version: 2\nsources:\n"
        "  - name: crm\n    schema: main\n    tables: [{name: people}]\n"
        "  - name: revetl\n    schema: revetl\n    tables: [{name: enrichment_values}]\n",
    )
    write(
        models / "golden_contacts.sql",
        "{{ config(materialized='table') }}\nselect * from {{ source('crm', 'people') }}\n",
    )
    # The newest value of a provider is enough here: how values compete is tested elsewhere.
    write(
        models / f"activation/{CONTACTS}.sql",
        "{{ config(materialized='table') }}\n"
        "with bought as (\n"
        "    select key, max(value) as job_title\n"
        "    from {{ source('revetl', 'enrichment_values') }}\n"
        "    where field = 'job_title' and rejected_reason is null and entity = 'golden_contacts'\n"
        "    group by key\n"
        ")\n"
        "select g.golden_id, g.email, g.first_name as firstname, coalesce(g.job_title, b.job_title) as jobtitle\n"
        "from {{ ref('golden_contacts') }} as g\n"
        "left join bought as b on b.key = g.golden_id\n",
    )
    write(
        models / f"activation/{CONTACTS}.yml",
        "version: 2\nmodels:\n"
        f"  - name: {CONTACTS}\n"
        "    config:\n"
        "      contract: {enforced: true}\n"
        "      meta:\n"
        "        revetl: {destination: hubspot, object: contacts, key: golden_id, match_on: email}\n"
        "    columns:\n"
        + "".join(
            f"      - {{name: {c}, data_type: varchar}}\n" for c in ("golden_id", "email", "firstname", "jobtitle")
        ),
    )
    fill(root, people)
    return root


def fill(root: Path, people: list[tuple[str, str, str, str, str]]) -> None:
    """Replaces the rows of the source."""
    with duckdb.connect(str(root / "tiny.duckdb")) as db:
        blank = ", ".join(f"{name} VARCHAR" for name in _FIELDS)
        db.execute(
            "CREATE OR REPLACE TABLE people (golden_id VARCHAR, email VARCHAR, first_name VARCHAR, last_name VARCHAR,"
            f" company_domain VARCHAR, {blank})"
        )
        names = "golden_id, email, first_name, last_name, company_domain"
        db.executemany(f"INSERT INTO people ({names}) VALUES (?, ?, ?, ?, ?)", people)

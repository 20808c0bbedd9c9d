"""A dbt project as people have them: nothing in it is where or what a starter would have it."""

from __future__ import annotations

from pathlib import Path

from tests.support.project_files import write


def make_existing_project(root: Path) -> Path:
    """In `root/analytics`, its profile in `root/home/secrets`, its warehouse `root/w.duckdb`. Returns the project."""
    project = root / "analytics"
    write(
        project / "dbt_project.yml",
        "name: acme\nversion: '1.0'\nprofile: \"{{ env_var('ACME_PROFILE', 'acme_bi') }}\"\n"
        "model-paths: [transform]\nmacro-paths: [macros]\n"
        "target-path: \"../build/{{ env_var('ACME_OUT', 'dbt') }}\"\n"
        "vars: {since: '2020-01-01'}\nmodels: {acme: {+materialized: table, +schema: mart}}\n"
        "flags: {send_anonymous_usage_stats: false}\n",
    )
    write(project / "packages.yml", "packages:\n  - local: ../shared_macros\n")
    write(root / "shared_macros/dbt_project.yml", "name: shared\nversion: '1.0'\nmacro-paths: [macros]\n")
    write(root / "shared_macros/macros/clean.sql", "{% macro clean(c) %}lower(trim({{ c }})){% endmacro %}\n")
    write(
        project / "macros/generate_schema_name.sql",
        "{% macro generate_schema_name(custom, node) -%}\n"
        "  {{ target.name }}_{{ custom or 'plain' }}\n{%- endmacro %}\n",
    )
    write(
        project / "transform/customers.sql",
        "{{ config(alias='The Customers') }}\n"
        "select customer_id, {{ shared.clean('email') }} as email, first_name as \"First Name\", signup\n"
        "from (values\n"
        "  ('c1', ' Ann@Acme.example ', 'Ann', '2021-05-01'),\n"
        "  ('c2', 'bob@acme.example', 'Bob', '2019-01-01'),\n"
        "  ('c3', 'cid@acme.example', 'Cid', '2022-02-02')\n"
        ") t(customer_id, email, first_name, signup)\n"
        "where signup >= '{{ var(\"since\") }}'\n",
    )
    write(
        root / "home/secrets/profiles.yml",
        "acme_bi:\n  target: dev\n  outputs:\n"
        f"    dev: {{type: duckdb, path: '{root}/w.duckdb', schema: dev, threads: 2}}\n"
        f"    prod: {{type: duckdb, path: '{root}/w.duckdb', schema: prod, threads: 2}}\n",
    )
    return project

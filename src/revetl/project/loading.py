"""From the files of a project to one `Project`, with every mistake of every file at once."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from revetl.errors import ConfigError, Problem
from revetl.project.connections import read_connections
from revetl.project.dbt_vars import read_vars
from revetl.project.golden_fields import read_golden_fields
from revetl.project.places import find_connections, find_profiles, find_root
from revetl.project.profiles import read_profile
from revetl.project.project import Project
from revetl.project.settings import read_settings

T = TypeVar("T")


def load(
    project_dir: Path | None = None,
    profiles_dir: Path | None = None,
    target: str | None = None,
    vars: str | None = None,
    target_path: Path | None = None,
    profile_name: str | None = None,
) -> Project:
    """Reads every file of the project but dbt's own models. ConfigError with all mistakes of all files at once.
    `profile_name`: in place of the one that dbt_project.yml names."""
    from revetl.enrich.waterfall import load_waterfalls
    from revetl.providers.grammar import load_providers

    root = find_root(project_dir)
    settings = read_settings(root)
    dbt_dir = root / settings.dbt_project
    enrichment = root / settings.enrichment
    problems: list[Problem] = []

    def attempt(read: Callable[[], T]) -> T | None:
        try:
            return read()
        except ConfigError as e:
            problems.extend(e.problems)
            return None

    profiles = find_profiles(root, dbt_dir, flag=profiles_dir, declared=settings.profiles)
    wanted = target or os.environ.get("DBT_TARGET")
    profile = attempt(lambda: read_profile(profiles, dbt_dir, wanted, profile_name))
    attempt(lambda: read_vars(vars))
    accounts = find_connections(root, profiles)
    connections = attempt(lambda: read_connections(accounts, profile.target if profile else "default"))
    fields = attempt(lambda: read_golden_fields(dbt_dir))
    providers = waterfalls = None
    # Against what could not be read, every name would look misspelt.
    if fields is not None:
        own = {name for columns in fields.values() for name in columns}
        # A project without a golden contract, for lists alone: there any field may be looked for.
        providers = attempt(lambda: load_providers(enrichment / "providers", own or None))
    if fields is not None and providers is not None:
        waterfalls = attempt(lambda: load_waterfalls(enrichment / "waterfalls", providers, fields))
    if profile is None or connections is None or providers is None or waterfalls is None or problems:
        raise ConfigError(problems)
    return Project(root, settings, profiles, profile, connections, providers, waterfalls, vars, target_path)

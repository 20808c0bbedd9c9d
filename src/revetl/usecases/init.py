"""`revetl init`: writes the starter project, the one that stands at the top of revetl's own repository."""

from __future__ import annotations

import shutil
from pathlib import Path

from revetl.errors import ConfigError

PARTS = ("revetl.yml", "profiles", "dbt_project", "enrichment")
# What dbt leaves behind where it ran: the starter is what is written by hand.
_LEFT_OUT = shutil.ignore_patterns("target", "logs", "dbt_packages", ".user.yml", "__pycache__", "*.duckdb*")


def write_starter(directory: Path) -> None:
    """Copies every part. ConfigError, and nothing written, where one of them stands there already."""
    source = starter_dir()
    if present := [part for part in PARTS if (directory / part).exists()]:
        raise ConfigError(
            f"{directory} already holds {', '.join(present)}: nothing was written", hint="Name a new directory."
        )
    directory.mkdir(parents=True, exist_ok=True)
    for part in PARTS:
        if (source / part).is_dir():
            shutil.copytree(source / part, directory / part, ignore=_LEFT_OUT)
        else:
            shutil.copy(source / part, directory / part)


def starter_dir() -> Path:
    """Inside the package where it was installed from a wheel, the repository's root in an editable checkout."""
    package = Path(__file__).resolve().parents[1]
    for candidate in (package / "_starter", package.parents[1]):
        if all((candidate / part).exists() for part in PARTS):
            return candidate
    raise ConfigError("this installation of revetl has no starter project", hint="Install it from a wheel.")

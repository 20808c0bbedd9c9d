"""`revetl init`: into a dbt project that exists, or the starter project of the top of revetl's own repository."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from revetl.documents import read_yaml
from revetl.errors import ConfigError, RevetlError
from revetl.project.places import FILE_NAME, find_profiles
from revetl.project.profiles import read_profile
from revetl.usecases import init_texts
from revetl.usecases.schema import FOLDER, write_schemas

PARTS = ("revetl.yml", "profiles", "dbt_project", "enrichment")
EXAMPLE = "revetl.example.yml"
# What dbt leaves behind where it ran: the starter is what is written by hand.
_LEFT_OUT = shutil.ignore_patterns("target", "logs", "dbt_packages", ".user.yml", "__pycache__", "*.duckdb*")


@dataclass(frozen=True, slots=True)
class IntoProject:
    """What `init` wrote into a dbt project. `warehouse`: which one its profile names, for people; `problem`: why that
    can't be said yet, which keeps nothing from being written."""

    directory: Path
    files: tuple[str, ...]
    warehouse: str | None
    problem: str | None


def is_dbt_project(directory: Path) -> bool:
    return (directory / "dbt_project.yml").is_file()


def into_project(
    directory: Path, profiles_dir: Path | None = None, profile: str | None = None, target: str | None = None
) -> IntoProject:
    """Writes revetl.yml, connections.yml and a commented example beside dbt_project.yml; touches no other file.

    ConfigError, and nothing written, where one of them is there already or dbt_project.yml can't be read.
    """
    directory = directory.resolve()
    document = read_yaml(directory / "dbt_project.yml")
    name = str(document.data.get("name") or directory.name) if isinstance(document.data, dict) else directory.name
    warehouse = problem = None
    try:
        folder = find_profiles(directory, directory, flag=profiles_dir, declared=None)
        found = read_profile(folder, directory, target, profile)
        warehouse = f"{found.type}, target {found.target} of {folder / 'profiles.yml'}"
    except RevetlError as e:
        problem = str(e)
    texts = {
        FILE_NAME: init_texts.SETTINGS.format(name=name, profiles=_profiles_line(directory, profiles_dir)),
        "connections.yml": init_texts.CONNECTIONS,
        EXAMPLE: init_texts.EXAMPLE,
    }
    if present := [file for file in texts if (directory / file).exists()]:
        raise ConfigError(f"{directory} already holds {', '.join(present)}: nothing was written")
    for file, text in texts.items():
        (directory / file).write_text(text, encoding="utf-8")
    return IntoProject(directory, tuple(texts), warehouse, problem)


def _profiles_line(directory: Path, profiles_dir: Path | None) -> str:
    """A folder that was named once is named from now on."""
    if profiles_dir is None:
        return "# profiles: PATH            "
    return f"profiles: {json.dumps(os.path.relpath(profiles_dir.expanduser(), directory))}"


def write_starter(directory: Path) -> None:
    """Copies every part, with a README, a .gitignore and the schemas that its files name. ConfigError, and nothing
    written, where one of them stands there already."""
    source = starter_dir()
    own = {"README.md": init_texts.STARTER_README, ".gitignore": init_texts.STARTER_GITIGNORE}
    if present := [part for part in (*PARTS, *own) if (directory / part).exists()]:
        raise ConfigError(
            f"{directory} already holds {', '.join(present)}: nothing was written", hint="Name a new directory."
        )
    directory.mkdir(parents=True, exist_ok=True)
    for part in PARTS:
        if (source / part).is_dir():
            shutil.copytree(source / part, directory / part, ignore=_LEFT_OUT)
        else:
            shutil.copy(source / part, directory / part)
    for file, text in own.items():
        (directory / file).write_text(text, encoding="utf-8")
    write_schemas(directory / FOLDER)


def starter_dir() -> Path:
    """Inside the package where it was installed from a wheel, the repository's root in an editable checkout."""
    package = Path(__file__).resolve().parents[1]
    for candidate in (package / "_starter", package.parents[1]):
        if all((candidate / part).exists() for part in PARTS):
            return candidate
    raise ConfigError("this installation of revetl has no starter project", hint="Install it from a wheel.")

"""Where revetl.yml, profiles.yml and connections.yml are, looked for as dbt looks, and said when they are not there."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from revetl.errors import ConfigError, Problem

FILE_NAME, PROFILES, CONNECTIONS = "revetl.yml", "profiles.yml", "connections.yml"
# dbt-core 1.11 reads both names (dbt/cli/params.py).
_VARIABLES = ("DBT_ENGINE_PROFILES_DIR", "DBT_PROFILES_DIR")


def find_root(start: Path | None) -> Path:
    """The directory of revetl.yml: `start` itself where given, otherwise the nearest at or above the present one."""
    if start is not None:
        root = start.resolve()
        if (root / FILE_NAME).is_file():
            return root
        raise ConfigError(Problem("no such file", root / FILE_NAME, hint="--project-dir names the directory it is in."))
    here = Path.cwd()
    for directory in (here, *here.parents):
        if (directory / FILE_NAME).is_file():
            return directory
    raise ConfigError(
        f"no {FILE_NAME} in {here} or above it",
        hint="`revetl init` writes one into a dbt project; --project-dir names a folder that is elsewhere.",
    )


def find_profiles(
    root: Path, dbt_dir: Path, *, flag: Path | None, declared: str | None, environ: Mapping[str, str] | None = None
) -> Path:
    """The folder of profiles.yml: `flag` (--profiles-dir), `declared` (`profiles:` of revetl.yml), DBT_PROFILES_DIR;
    else the first of these that holds one: profiles/ beside revetl.yml, that folder itself, the dbt project's, ~/.dbt.

    `~` is the home directory. ConfigError that says where was looked.
    """
    env = os.environ if environ is None else environ
    if flag is not None:
        return flag.expanduser().resolve()
    if declared is not None:
        return (root / Path(declared).expanduser()).resolve()
    if named := next((env[name] for name in _VARIABLES if env.get(name)), None):
        return Path(named).expanduser().resolve()
    looked = [root / "profiles", root, dbt_dir, Path("~/.dbt").expanduser()]
    for folder in looked:
        if (folder / PROFILES).is_file():
            return folder.resolve()
    places = ", ".join(dict.fromkeys(str(folder) for folder in looked))
    raise ConfigError(
        f"no {PROFILES} in {places}",
        hint="`profiles:` in revetl.yml, --profiles-dir or DBT_PROFILES_DIR names the folder it is in.",
    )


def find_connections(root: Path, profiles_dir: Path) -> Path:
    """The file: beside profiles.yml, beside revetl.yml, or in profiles/ there; where there is none, the place for it.
    ConfigError where two of them have one: which accounts are meant must not hang on an order."""
    places = dict.fromkeys((folder / CONNECTIONS).resolve() for folder in (root / "profiles", root, profiles_dir))
    found = [place for place in places if place.is_file()]
    if len(found) > 1:
        raise ConfigError(Problem(f"{found[1]} is there as well", found[0], hint="Keep one of the two."))
    return found[0] if found else root / CONNECTIONS

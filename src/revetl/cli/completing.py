"""The names that a shell completes: read from files, within a keystroke's time, and never a word of what went wrong.

Neither dbt nor the warehouse is asked: syncs stand in the manifest that dbt left, runs in a list that runs leave beside
it, the rest in the project's own YAML.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import click

    Completer = Callable[[click.Context, click.Parameter, str], list[str]]

_NAME = re.compile(r"^name:\s*['\"]?([\w-]+)", re.MULTILINE)


class _Places:
    """The folders of the project that the flags given so far mean."""

    def __init__(self, ctx: click.Context) -> None:
        from revetl.documents import read_yaml
        from revetl.project.places import FILE_NAME, find_root

        given = ctx.params
        self.target: str | None = given.get("target")
        self.root = find_root(given.get("project_dir"))
        said = read_yaml(self.root / FILE_NAME).data
        self.settings: dict[str, Any] = said if isinstance(said, dict) else {}
        beside = self.root if (self.root / "dbt_project.yml").is_file() else self.root / "dbt_project"
        self.dbt = self.root / self.settings["dbt_project"] if "dbt_project" in self.settings else beside
        self._target_path, self._profiles_dir = given.get("target_path"), given.get("profiles_dir")

    @property
    def artifacts(self) -> Path:
        from revetl.project.target_path import target_path

        return target_path(self.dbt, self._target_path)

    @property
    def profiles(self) -> Path:
        from revetl.project.places import find_profiles

        return find_profiles(self.root, self.dbt, flag=self._profiles_dir, declared=self.settings.get("profiles"))

    def own(self, name: str) -> list[Path]:
        """The files of this name that revetl left, one a target, the newest first."""
        found = (self.artifacts / "revetl").glob(f"{self.target or '*'}/{name}")
        return sorted(found, key=lambda path: path.stat().st_mtime, reverse=True)


def _silent(names: Callable[[_Places], Iterable[str]]) -> Completer:
    """Of the names those that begin as what is typed. Nothing where they can't be read: who is typing a command is not
    told of it, the command itself will."""

    @functools.wraps(names)
    def complete(ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[str]:
        try:
            return [name for name in dict.fromkeys(names(_Places(ctx))) if name.startswith(incomplete)]
        except Exception:  # noqa: BLE001 - an error would stand in the prompt; the command itself tells it
            return []

    return complete


@_silent
def syncs(places: _Places) -> Iterable[str]:
    """Models that declare a sync, as dbt last parsed them."""
    import json

    for manifest in [*places.own("manifest.json"), places.artifacts / "manifest.json"]:
        nodes = json.loads(manifest.read_bytes())["nodes"].values()
        return sorted(n["name"] for n in nodes if "revetl" in ((n.get("config") or {}).get("meta") or {}))
    return []


@_silent
def waterfalls(places: _Places) -> Iterable[str]:
    folder = places.root / places.settings.get("enrichment", "enrichment") / "waterfalls"
    return [name for file in sorted(folder.glob("*.y*ml")) for name in _NAME.findall(file.read_text("utf-8"))[:1]]


@_silent
def providers(places: _Places) -> Iterable[str]:
    """Endpoints, as vendor.endpoint."""
    from revetl.documents import read_yaml

    folder = places.root / places.settings.get("enrichment", "enrichment") / "providers"
    files = [read_yaml(file).data for file in sorted(folder.glob("*.y*ml"))]
    return [f"{data['vendor']}.{endpoint}" for data in files for endpoint in data["endpoints"]]


@_silent
def connections(places: _Places) -> Iterable[str]:
    """Destinations, each with the dot that an object follows."""
    from revetl.documents import read_yaml
    from revetl.project.places import find_connections

    return [f"{name}." for name in read_yaml(find_connections(places.root, places.profiles)).data["destinations"]]


@_silent
def targets(places: _Places) -> Iterable[str]:
    from revetl.documents import read_yaml

    profiles = read_yaml(places.profiles / "profiles.yml").data
    name = read_yaml(places.dbt / "dbt_project.yml").data.get("profile")
    return profiles[name]["outputs"] if name in profiles else ()


@_silent
def run_ids(places: _Places) -> Iterable[str]:
    """The newest first."""
    from revetl.project.recent_runs import FILE, read_runs

    return [run for file in places.own(FILE) for run in read_runs(file)]

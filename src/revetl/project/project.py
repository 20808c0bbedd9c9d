"""A project as one value: what the files declare, and the doors to its warehouse and accounts."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import yaml

from revetl.clock import Clock, SystemClock
from revetl.documents import parse
from revetl.errors import ConfigError, Problem
from revetl.model import Relation, SyncSpec
from revetl.project.connections import Connections, read_connections
from revetl.project.health import Health, read_health, refuse_failed
from revetl.project.manifest import Manifest, read_manifest
from revetl.project.profiles import Profile, read_profile
from revetl.project.selection import selected
from revetl.project.settings import DEFAULT_STATE_SCHEMA, Settings, find_root, read_settings

T = TypeVar("T")

if TYPE_CHECKING:
    from revetl.destinations.base import Destination
    from revetl.enrich.waterfall import WaterfallSpec
    from revetl.providers.engine.declarative import DeclarativeProvider
    from revetl.providers.grammar import ProviderSpec
    from revetl.warehouse.base import Warehouse


@dataclass(frozen=True)
class Project:
    """Made by `load`. Reading it does not open the warehouse nor any network connection."""

    root: Path
    settings: Settings
    profiles_dir: Path
    profile: Profile = field(repr=False)
    connections: Connections = field(repr=False)
    providers: Mapping[str, ProviderSpec] = field(repr=False)
    waterfalls: Mapping[str, WaterfallSpec] = field(repr=False)
    vars: str | None = None

    @property
    def name(self) -> str:
        return self.settings.name

    @property
    def target(self) -> str:
        return self.profile.target

    @property
    def state_schema(self) -> str:
        return self.settings.state_schema

    @property
    def dbt_dir(self) -> Path:
        return self.root / self.settings.dbt_project

    @property
    def artifacts_dir(self) -> Path:
        """Where dbt leaves manifest.json and run_results.json."""
        return self.dbt_dir / "target"

    def open_warehouse(self) -> Warehouse:
        """A new connection; the caller closes it. On DuckDB at most one process may hold one at a time."""
        from revetl.warehouse.open import open_warehouse

        return open_warehouse(self.profile.output, root=self.root, state_schema=self.state_schema)

    @property
    def built(self) -> bool:
        """Whether dbt has parsed the project: until then its syncs are not known."""
        return (self.artifacts_dir / "manifest.json").exists()

    @cached_property
    def manifest(self) -> Manifest:
        """What dbt last parsed. ConfigError where it was never built or was built for another warehouse."""
        manifest = read_manifest(self.artifacts_dir, self.dbt_dir)
        if manifest.adapter_type not in ("", self.profile.type):
            raise ConfigError(
                f"the project was last built for {manifest.adapter_type}, the target {self.target!r} is"
                f" {self.profile.type}",
                hint=f"`revetl build --target {self.target}` builds it there.",
            )
        return manifest

    def health(self) -> Health:
        """What dbt's last results for this target say of each node."""
        return read_health(self.artifacts_dir, self.target, self.profile.default_target)

    @property
    def dbt_invocation_id(self) -> str | None:
        """Of the last dbt command that ran nodes for this target."""
        return self.health().invocation_id

    def relation(self, model_name: str) -> Relation:
        return self.manifest.relation(model_name)

    def syncs(
        self, select: Sequence[str] = (), exclude: Sequence[str] = (), *, verified: bool = True
    ) -> list[SyncSpec]:
        """The syncs to run, in order. ConfigError with every mistake in their declarations, selected or not;
        GuardrailError where a selected model or one of its tests failed, unless `verified` is False (to list only)."""
        manifest = self.manifest
        types = {name: self.connections.destination_type(name) for name in self.connections.names("destinations")}
        specs = manifest.syncs(types)
        ids = {str(node["name"]): id_ for id_, node in manifest.sync_nodes().items()}
        chosen = selected(manifest, select, exclude, ids.values())
        if select and not chosen:
            raise ConfigError(f"no sync is selected by {' '.join(select)}", hint="Syncs: " + ", ".join(ids))
        specs = [s for s in specs if ids[s.name] in chosen]
        if verified:
            refuse_failed(self.health(), manifest, [ids[s.name] for s in specs])
        return specs

    def edited_since_build(self, specs: Sequence[SyncSpec]) -> list[Path]:
        """Files of these syncs that are newer than what dbt last parsed: what they say now is not in effect."""
        parsed_at = (self.artifacts_dir / "manifest.json").stat().st_mtime
        names = {s.name for s in specs}
        files = dict.fromkeys(
            self.dbt_dir / str(place).rpartition("://")[2]
            for node in self.manifest.sync_nodes().values()
            if node["name"] in names and node["package_name"] == self.manifest.project_name
            for place in (node["original_file_path"], node.get("patch_path"))
            if place
        )
        return [file for file in files if file.is_file() and file.stat().st_mtime > parsed_at]

    def destination(self, name: str, clock: Clock | None = None) -> Destination:
        """The account that connections.yml names, not yet connected. ConfigError for a missing secret, by line."""
        from revetl.destinations.registry import create_destination, options_model

        kind = self.connections.destination_type(name)
        output = self.connections.output("destinations", name)
        try:
            options = parse(output, options_model(kind))
            return create_destination(kind, name, options, clock or SystemClock())
        except ConfigError as e:
            raise _placed(e, self.connections, ("destinations", name)) from None

    def provider(self, name: str, clock: Clock | None = None) -> DeclarativeProvider:
        """The endpoint `vendor.endpoint` under the vendor's account, alone. ConfigError: unknown name, missing key."""
        return self.connected([name], clock)[name]

    def connected(self, names: Iterable[str], clock: Clock | None = None) -> dict[str, DeclarativeProvider]:
        """The named endpoints of one run, by name: those of one vendor share its account's limits. ConfigError: unknown
        name, missing key, limits of an endpoint that is not there."""
        from revetl.providers.registry import connect

        return connect(names, self.providers, self.connections.provider_account, clock or SystemClock())

    def reread(self) -> None:
        """Forgets what dbt last parsed: it has parsed anew."""
        self.__dict__.pop("manifest", None)

    def dbt_vars(self) -> str | None:
        """What dbt is given as `--vars`: the operator's, with the state's schema added where models would not take it
        anyway. ConfigError where they are no YAML mapping."""
        if self.state_schema == DEFAULT_STATE_SCHEMA:
            return self.vars
        given = yaml.safe_load(self.vars or "{}")
        if not isinstance(given, dict):
            raise ConfigError("--vars is not a YAML mapping", hint="As in --vars '{start_date: 2026-01-01}'.")
        return json.dumps({"state_schema": self.state_schema, **given}, default=str)


def load(
    project_dir: Path | None = None,
    profiles_dir: Path | None = None,
    target: str | None = None,
    vars: str | None = None,
) -> Project:
    """Reads every file of the project but dbt's own models. ConfigError with all mistakes of all files at once."""
    from revetl.enrich.waterfall import load_waterfalls
    from revetl.providers.grammar import load_providers

    root = find_root(project_dir)
    settings = read_settings(root)
    profiles = (profiles_dir or root / settings.profiles).resolve()
    enrichment = root / settings.enrichment
    problems: list[Problem] = []

    def attempt(read: Callable[[], T]) -> T | None:
        try:
            return read()
        except ConfigError as e:
            problems.extend(e.problems)
            return None

    profile = attempt(lambda: read_profile(profiles, root / settings.dbt_project, target))
    connections = attempt(lambda: read_connections(profiles, profile.target if profile else "default"))
    providers = attempt(lambda: load_providers(enrichment / "providers"))
    # Against providers that could not be read, every name in a waterfall would look misspelt.
    waterfalls = {} if providers is None else attempt(lambda: load_waterfalls(enrichment / "waterfalls", providers))
    if profile is None or connections is None or providers is None or waterfalls is None:
        raise ConfigError(problems)
    return Project(root, settings, profiles, profile, connections, providers, waterfalls, vars)


def _placed(error: ConfigError, connections: Connections, at: tuple[str, ...]) -> ConfigError:
    """A connector knows its options but not their file: problems without a place get the connection's."""
    return ConfigError([p if p.path else connections.document.problem(at, p.message, p.hint) for p in error.problems])

"""A project as one value: what the files declare, and the doors to its warehouse and accounts."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import yaml

from revetl.clock import Clock, SystemClock
from revetl.documents import parse
from revetl.errors import ConfigError, Problem
from revetl.model import Relation, SagaSpec, SyncSpec
from revetl.project.artifacts import MANIFEST, RESULTS, Artifacts, as_folder
from revetl.project.connections import Connections, read_connections
from revetl.project.dbt import ELSEWHERE, NOT_HERE, Dbt, DbtFailed, find_dbt, named_dbt, run_dbt
from revetl.project.exposures import remove_unasked, set_aside, write_exposures
from revetl.project.golden_fields import model_folders, read_golden_fields
from revetl.project.health import Health, read_health, refuse_failed
from revetl.project.manifest import Manifest
from revetl.project.places import FILE_NAME, find_connections, find_profiles, find_root
from revetl.project.profiles import Profile, read_profile
from revetl.project.sagas import DeclaredSaga, read_sagas
from revetl.project.schedules import read_schedules
from revetl.project.selection import selected
from revetl.project.settings import DEFAULT_STATE_SCHEMA, Settings, read_settings
from revetl.project.target_path import target_path
from revetl.project.unfinished_builds import begin_build
from revetl.schedules.spec import Schedule

T = TypeVar("T")

STATE_FOLDER = ".revetl"

if TYPE_CHECKING:
    from revetl.destinations.base import Destination
    from revetl.enrich.waterfall import WaterfallSpec
    from revetl.providers.engine.declarative import DeclarativeProvider
    from revetl.providers.grammar import ProviderSpec
    from revetl.providers.options import AccountOptions
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
    target_path: Path | None = None

    @property
    def name(self) -> str:
        return self.settings.name

    @property
    def approvals(self) -> int:
        """How many people other than its maker have to approve a plan before the service applies it."""
        return self.settings.approvals

    @property
    def target(self) -> str:
        return self.profile.target

    @property
    def state_schema(self) -> str:
        return self.settings.schema_of(self.target)

    @property
    def state_dir(self) -> Path:
        """What this target's warehouse could not be given is kept here. Not in dbt's target folder, which `dbt clean`
        removes."""
        return self.root / STATE_FOLDER / as_folder(self.target)

    @property
    def dbt_dir(self) -> Path:
        return self.root / self.settings.dbt_project

    @cached_property
    def models_dir(self) -> Path:
        """The first of dbt's model paths: where a new model goes."""
        return model_folders(self.dbt_dir)[0]

    @property
    def placeholders_seed(self) -> Path:
        """Texts that only fill a place in a cell, as the models have them; there need be none."""
        return self.dbt_dir / "seeds" / "placeholders.csv"

    @property
    def exposures_file(self) -> Path | None:
        """Where exposures are wanted, if they are."""
        return None if self.settings.exposures is None else (self.root / self.settings.exposures).resolve()

    @cached_property
    def artifacts(self) -> Artifacts:
        """dbt's artifacts of the target in use. ConfigError where it can't be said which folder dbt keeps them in."""
        users = target_path(self.dbt_dir, self.target_path)
        return Artifacts(self.dbt_dir.resolve(), users, self.profile, self.dbt_vars(), self.exposures_file)

    def dbt(self) -> Dbt | None:
        """The dbt to run for this target; None where there is none here. ConfigError where the named one is missing."""
        here, executable = find_dbt(self.settings.dbt, self.root)
        if not here:
            return None
        return Dbt(
            executable=executable,
            root=self.root,
            project_dir=self.dbt_dir,
            profiles_dir=self.profiles_dir,
            profile=self.profile.name,
            target=self.target,
            target_path=self.artifacts.own,
            vars=self.dbt_vars(),
            private=self.profile.type == "duckdb",
        )

    @property
    def dbt_is_elsewhere(self) -> bool:
        """Whether it was said that another machine runs dbt."""
        return named_dbt(self.settings.dbt) == ELSEWHERE

    def open_warehouse(self) -> Warehouse:
        """A new connection; the caller closes it. On DuckDB at most one process may hold one at a time."""
        from revetl.warehouse.open import open_warehouse

        return open_warehouse(self.profile.output, root=self.root, state_schema=self.state_schema)

    @property
    def built(self) -> bool:
        """Whether there is a manifest of the project, current or not, or none can be made because dbt is not here."""
        return any((place / MANIFEST).exists() for place in (self.artifacts.own, self.artifacts.users))

    @cached_property
    def manifest(self) -> Manifest:
        """The project as it is now, for the target in use: dbt parses it first where it changed since.

        DbtFailed with dbt's own reason where it can't be parsed. Where dbt is not here: what it left, ConfigError where
        that is nothing or another project's, GuardrailError where it can't be known that it is of this target.
        """
        dbt = self.dbt()
        if dbt is None:
            return self.artifacts.users_manifest()
        if not self.artifacts.is_current():
            self._parse(dbt)
        return self.artifacts.current()

    def _parse(self, dbt: Dbt) -> None:
        remove_unasked(self.dbt_dir, self.exposures_file)
        set_aside(self.exposures_file)
        digest = self.artifacts.begin()
        run_dbt("parse", dbt)
        self.artifacts.parsed(digest)
        self.write_exposures(self.artifacts.current())

    @contextmanager
    def building(self, select: Sequence[str] = (), exclude: Sequence[str] = ()) -> Iterator[Dbt]:
        """The dbt to build with, inside the block; what it says of each node is kept, however it ends. Where it does
        not say (it was killed, this process was), nothing that it may have changed is sent until it is built anew.
        `select`, `exclude`: what dbt will be given.

        ConfigError where dbt is not here. DbtFailed where exposures are wanted and the project can't be parsed."""
        dbt = self.dbt()
        if dbt is None:
            raise ConfigError("there is no dbt here, so nothing can be built", hint=NOT_HERE)
        self.health()  # failures of the last dbt command, before this one overwrites them
        self.reread()
        artifacts, exposures = self.artifacts, self.exposures_file
        remove_unasked(self.dbt_dir, exposures)
        if exposures is not None and not (artifacts.is_current() and exposures.exists()):
            self._parse(dbt)  # writes them as the project is now: dbt build reads them
        manifest, results = artifacts.own / MANIFEST, artifacts.own / RESULTS
        ids = self._built_by(select, exclude)
        before, old_results, digest = _written_at(manifest), _written_at(results), artifacts.begin()
        build, ran = begin_build(artifacts.own, ids), True
        try:
            yield dbt
            ran = False  # all went well: what it ran is in its results
        except DbtFailed as e:
            ran = e.ran
            raise
        finally:
            if _written_at(manifest) != before:
                artifacts.parsed(digest)
            health = self.health()
            if _written_at(results) != old_results:
                for other in health.unfinished:
                    if build.covers(other):
                        other.finish()
                build.finish()
            elif not ran and not _any_since(artifacts.own / "run", build.at):
                build.finish()

    def _built_by(self, select: Sequence[str], exclude: Sequence[str]) -> set[str] | None:
        """The nodes that a build of this selection may change; None where that can't be known beforehand."""
        if not (select or exclude) or not self.artifacts.is_current():
            return None
        manifest = self.artifacts.current()
        try:
            return selected(manifest, select, exclude, manifest.nodes)
        except ConfigError:
            return None

    def write_exposures(self, manifest: Manifest) -> None:
        """Where revetl.yml asks for them. None while a sync is declared wrongly: who runs it is told."""
        if self.exposures_file is not None:
            with suppress(ConfigError):
                write_exposures(self.exposures_file, manifest.syncs(self._destination_types()), self.settings.owner)

    def _destination_types(self) -> dict[str, str]:
        return {name: self.connections.destination_type(name) for name in self.connections.names("destinations")}

    def _last_manifest(self) -> Manifest:
        """What can be known although a model is being worked on: what was sent can be looked at and taken back."""
        try:
            return self.manifest
        except DbtFailed:
            if (before := self.artifacts.parsed_before()) is None:
                raise
            return before

    def health(self) -> Health:
        """What dbt's last results for this target say of each node."""
        manifest = self.__dict__.get("manifest") or self.artifacts.parsed_before()
        return read_health(self.artifacts, manifest)

    @property
    def dbt_invocation_id(self) -> str | None:
        """Of the last dbt command that ran nodes for this target."""
        return self.health().invocation_id

    def relation(self, model_name: str) -> Relation:
        return self.manifest.relation(model_name)

    def named(self, spec: SyncSpec) -> str:
        """The relation whose rows a sync sends: database, schema and name."""
        parts = (spec.relation.database, spec.relation.schema, spec.relation.name)
        return ".".join(part for part in parts if part)

    def syncs(
        self, select: Sequence[str] = (), exclude: Sequence[str] = (), *, verified: bool = True
    ) -> list[SyncSpec]:
        """The syncs to run, in order. ConfigError with every mistake in their declarations, selected or not;
        GuardrailError where a selected model or one of its tests failed, unless `verified` is False (to list only)."""
        manifest = self.manifest if verified else self._last_manifest()
        specs = manifest.syncs(self._destination_types())
        ids = {str(node["name"]): id_ for id_, node in manifest.sync_nodes().items()}
        chosen = selected(manifest, select, exclude, ids.values())
        if select and not chosen:
            raise ConfigError(f"no sync is selected by {' '.join(select)}", hint="Syncs: " + ", ".join(ids))
        specs = [s for s in specs if ids[s.name] in chosen]
        if verified:
            self._refuse_gone(manifest, [ids[s.name] for s in specs])
            refuse_failed(self.health(), manifest, [ids[s.name] for s in specs])
        return specs

    def syncs_as_parsed(self) -> dict[str, SyncSpec]:
        """By name, as dbt last parsed them here; it is not run. None where nothing was parsed, or a sync is declared
        wrongly: who runs it is told."""
        manifest = self.__dict__.get("manifest") or self.artifacts.parsed_before()
        with suppress(ConfigError):
            return {s.name: s for s in manifest.syncs(self._destination_types())} if manifest is not None else {}
        return {}

    def sagas(self) -> list[SagaSpec]:
        """The sagas of revetl.yml, by name, each with its syncs in their order. ConfigError with every mistake in
        them."""
        return [saga.spec for saga in self._declared_sagas() if len(saga.spec.syncs) > 1]

    def incomplete_sagas(self) -> list[str]:
        """Of each saga that selects fewer than two syncs, or by a selector that names nothing any more: a sentence.
        ConfigError as `sagas`."""
        return [saga.said for saga in self._declared_sagas() if saga.said is not None]

    def _declared_sagas(self) -> list[DeclaredSaga]:
        if not self.settings.sagas:
            return []
        in_order = [spec.name for spec in self.syncs(verified=False)]
        return read_sagas(self.root / FILE_NAME, self.settings.sagas, self._last_manifest(), in_order)

    def schedules(self) -> list[Schedule]:
        """Of syncs and of waterfalls, in their order. ConfigError with every mistake in them; those of a sync that
        pydantic finds are found by `syncs` too."""
        in_order = [spec.name for spec in self.syncs(verified=False)] if self.built or self.dbt() is not None else []
        manifest = self._last_manifest() if in_order else None
        return read_schedules(manifest, in_order, self.waterfalls, self.root / self.settings.enrichment / "waterfalls")

    def _refuse_gone(self, manifest: Manifest, ids: Sequence[str]) -> None:
        """ConfigError for a model whose file was deleted after dbt parsed it. Where none of the models' files is here,
        only dbt's target folder was brought, and nothing follows from that."""
        own = [n for n in manifest.sync_nodes().values() if n["package_name"] == manifest.project_name]
        there = {str(n["unique_id"]): (self.dbt_dir / str(n["original_file_path"])).is_file() for n in own}
        if not any(there.values()) and not any(self.models_dir.rglob("*.sql")):
            return
        gone = [manifest.nodes[id_] for id_ in ids if there.get(id_) is False]
        if gone:
            files = ", ".join(f"{n['original_file_path']} is gone" for n in gone)
            raise ConfigError(f"{files}: dbt parsed it before", hint="Build the project again, or select other syncs.")

    def built_at(self, spec: SyncSpec) -> datetime | None:
        """When dbt last built the table whose rows the sync sends; None for a view, and where it is not known."""
        ids = {str(node["name"]): id_ for id_, node in self.manifest.sync_nodes().items()}
        last = self.health().nodes.get(ids.get(spec.name, ""))
        if last is None or not last.at or not self.manifest.is_table(spec.name):
            return None
        return datetime.fromisoformat(last.at)

    def edited_since_build(self, specs: Sequence[SyncSpec]) -> list[Path]:
        """Files of these syncs that are newer than their last build: the rows are not yet what they say."""
        names = {s.name for s in specs}
        nodes, found = self.health().nodes, list[Path]()
        for id_, node in self.manifest.sync_nodes().items():
            last = nodes.get(id_)
            if node["name"] not in names or node["package_name"] != self.manifest.project_name:
                continue
            for place in (node["original_file_path"], node.get("patch_path")):
                file = self.dbt_dir / str(place or "").rpartition("://")[2]
                if last is not None and last.at and file.is_file() and _edited_after(file, last.at):
                    found.append(file)
        return found

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

        names = list(names)
        self.refuse_missing_credentials(names)
        return connect(names, self.providers, self.account, clock or SystemClock())

    def account(self, vendor: str) -> AccountOptions:
        """The vendor's account for the target in use. A vendor that wants no credentials needs none to be declared."""
        specs = [spec for spec in self.providers.values() if spec.vendor == vendor]
        if vendor not in self.connections.names("providers") and not any(spec.auth.needs for spec in specs):
            from revetl.providers.options import AccountOptions

            return AccountOptions()
        return self.connections.provider_account(vendor)

    def refuse_missing_credentials(self, names: Iterable[str]) -> None:
        """ConfigError with every credential that these endpoints need and connections.yml has not, each at its line:
        what can't be asked need not be estimated."""
        problems: list[Problem] = []
        of_vendor: dict[str, list[ProviderSpec]] = {}
        for name in names:
            if name in self.providers:
                of_vendor.setdefault(self.providers[name].vendor, []).append(self.providers[name])
        for vendor, specs in of_vendor.items():
            try:
                account = self.account(vendor)
            except ConfigError as e:
                problems.extend(e.problems)
                continue
            for option in dict.fromkeys(option for spec in specs for option in account.missing(spec.auth)):
                message = f"provider {vendor}: {option!r} is missing"
                problems.append(self.connections.document.problem(("providers", vendor), message))
        if problems:
            raise ConfigError(problems)

    def reread(self) -> None:
        """Forgets what dbt last parsed: it has parsed anew."""
        self.__dict__.pop("manifest", None)

    def dbt_vars(self) -> str | None:
        """What dbt is given as `--vars`: the operator's, with the state's schema added where models would not take it
        anyway."""
        if self.state_schema == DEFAULT_STATE_SCHEMA:
            return self.vars
        given = _read_vars(self.vars)
        return json.dumps({"state_schema": self.state_schema, **given}, default=str)


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
    attempt(lambda: _read_vars(vars))
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


def _read_vars(vars: str | None) -> dict[Any, Any]:
    """ConfigError where dbt could not read them: it would say so as a failure of its own, after half a minute."""
    hint = "As in --vars '{start_date: 2026-01-01}'."
    try:
        given = yaml.safe_load(vars or "{}")
    except (yaml.YAMLError, ValueError, RecursionError) as e:  # ValueError: of a date that there is not
        mark = getattr(e, "problem_mark", None)
        place = f" (line {mark.line + 1}, column {mark.column + 1})" if mark is not None else ""
        raise ConfigError(f"--vars is not YAML{place}", hint=hint) from None
    if not isinstance(given, dict):
        raise ConfigError("--vars is not a YAML mapping", hint=hint)
    return given


def _written_at(file: Path) -> int | None:
    return file.stat().st_mtime_ns if file.exists() else None


def _any_since(folder: Path, moment: str) -> bool:
    """Whether any file below was written since. `moment`: ISO."""
    return any(file.is_file() and _edited_after(file, moment) for file in folder.rglob("*"))


def _edited_after(file: Path, moment: str) -> bool:
    """`moment` in dbt's form, UTC."""
    return datetime.fromtimestamp(file.stat().st_mtime, UTC) > datetime.fromisoformat(moment)


def _placed(error: ConfigError, connections: Connections, at: tuple[str, ...]) -> ConfigError:
    """A connector knows its options but not their file: problems without a place get the connection's."""
    return ConfigError([p if p.path else connections.document.problem(at, p.message, p.hint) for p in error.problems])

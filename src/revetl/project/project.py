"""A project as one value: what the files declare, and the doors to its warehouse and accounts."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from revetl.clock import Clock, SystemClock
from revetl.errors import ConfigError
from revetl.model import Relation, SagaSpec, SyncSpec
from revetl.project import accounts
from revetl.project.artifacts import MANIFEST, Artifacts, as_folder
from revetl.project.builds import building, edited_after
from revetl.project.connections import Connections
from revetl.project.dbt import ELSEWHERE, Dbt, DbtFailed, find_dbt, named_dbt, run_dbt
from revetl.project.dbt_vars import read_vars
from revetl.project.exposures import remove_unasked, set_aside, write_exposures
from revetl.project.golden_fields import model_folders
from revetl.project.health import Health, read_health, refuse_failed
from revetl.project.manifest import Manifest
from revetl.project.places import FILE_NAME
from revetl.project.profiles import Profile
from revetl.project.sagas import DeclaredSaga, read_sagas
from revetl.project.schedules import read_schedules
from revetl.project.selection import selected
from revetl.project.settings import DEFAULT_STATE_SCHEMA, Settings
from revetl.project.target_path import target_path
from revetl.schedules.spec import Schedule

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
    """Made by `loading.load`. Reading it does not open the warehouse nor any network connection."""

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
            self.parse(dbt)
        return self.artifacts.current()

    def parse(self, dbt: Dbt) -> None:
        """Has dbt parse the project as it is now. DbtFailed with dbt's own reason."""
        remove_unasked(self.dbt_dir, self.exposures_file)
        set_aside(self.exposures_file)
        digest = self.artifacts.begin()
        run_dbt("parse", dbt)
        self.artifacts.parsed(digest)
        self.write_exposures(self.artifacts.current())

    def building(self, select: Sequence[str] = (), exclude: Sequence[str] = ()) -> AbstractContextManager[Dbt]:
        """The dbt to build with, inside the block; what it says of each node is kept, however it ends. Where it does
        not say (it was killed, this process was), nothing that it may have changed is sent until it is built anew.
        `select`, `exclude`: what dbt will be given.

        ConfigError where dbt is not here. DbtFailed where exposures are wanted and the project can't be parsed."""
        return building(self, select, exclude)

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
                if last is not None and last.at and file.is_file() and edited_after(file, last.at):
                    found.append(file)
        return found

    def destination(self, name: str, clock: Clock | None = None) -> Destination:
        """The account that connections.yml names, not yet connected. ConfigError for a missing secret, by line."""
        return accounts.destination(self.connections, name, clock or SystemClock())

    def provider(self, name: str, clock: Clock | None = None) -> DeclarativeProvider:
        """The endpoint `vendor.endpoint` under the vendor's account, alone. ConfigError: unknown name, missing key."""
        return self.connected([name], clock)[name]

    def connected(self, names: Iterable[str], clock: Clock | None = None) -> dict[str, DeclarativeProvider]:
        """The named endpoints of one run, by name: those of one vendor share its account's limits. ConfigError: unknown
        name, missing key, limits of an endpoint that is not there."""
        return accounts.connected(self.connections, self.providers, list(names), clock or SystemClock())

    def account(self, vendor: str) -> AccountOptions:
        """The vendor's account for the target in use. A vendor that wants no credentials needs none to be declared."""
        return accounts.provider_account(self.connections, self.providers, vendor)

    def refuse_missing_credentials(self, names: Iterable[str]) -> None:
        """ConfigError with every credential that these endpoints need and connections.yml has not, each at its line:
        what can't be asked need not be estimated."""
        accounts.refuse_missing_credentials(self.connections, self.providers, names)

    def reread(self) -> None:
        """Forgets what dbt last parsed: it has parsed anew."""
        self.__dict__.pop("manifest", None)

    def dbt_vars(self) -> str | None:
        """What dbt is given as `--vars`: the operator's, with the state's schema added where models would not take it
        anyway."""
        if self.state_schema == DEFAULT_STATE_SCHEMA:
            return self.vars
        given = read_vars(self.vars)
        return json.dumps({"state_schema": self.state_schema, **given}, default=str)

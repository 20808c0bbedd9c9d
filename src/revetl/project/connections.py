"""connections.yml: the accounts of destinations and providers, by target, secrets only through env_var().

A connection is rendered when it is used: planning needs no provider's key, and the target `dev` no key of `prod`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from revetl.destinations import registry
from revetl.documents import Document, parse, read_yaml, render_env
from revetl.errors import ConfigError, Problem, did_you_mean
from revetl.providers.options import AccountOptions

Kind = Literal["destinations", "providers"]


def _installed_types(schema: dict[str, Any]) -> None:
    """Editors are told what may stand there: every connector that is installed now."""
    schema["enum"] = list(registry.types())


class DestinationEntry(BaseModel):
    model_config = ConfigDict(extra="forbid")

    type: str = Field(
        description="The connector: one that comes with revetl, or that an installed package brings.",
        json_schema_extra=_installed_types,
    )
    outputs: dict[str, dict[str, Any]] = Field(
        min_length=1, description="The connector's options by dbt target; `default` serves targets not named."
    )


class ProviderEntry(BaseModel):
    model_config = ConfigDict(extra="forbid")

    outputs: dict[str, dict[str, Any]] = Field(
        min_length=1, description="base_url and credentials by dbt target; `default` serves targets not named."
    )


class ConnectionsFile(BaseModel):
    """The whole of connections.yml."""

    model_config = ConfigDict(extra="forbid")

    destinations: dict[str, DestinationEntry] = {}
    providers: dict[str, ProviderEntry] = {}


@dataclass(frozen=True, slots=True)
class Connections:
    """What connections.yml declares. `document` keeps the lines for messages, never rendered values."""

    document: Document
    file: ConnectionsFile
    target: str

    def names(self, kind: Kind) -> list[str]:
        return list(getattr(self.file, kind))

    def destination_type(self, name: str) -> str:
        """The connector's name; ConfigError where `name` is not declared."""
        if problem := self.missing("destinations", name):
            raise ConfigError(problem)
        return self.file.destinations[name].type

    def missing(self, kind: Kind, name: str) -> Problem | None:
        """The mistake of naming what is not declared."""
        names = self.names(kind)
        if name in names:
            return None
        hint = did_you_mean(name, names) or f"Declare it under {kind}: in connections.yml."
        return self.document.problem((kind,), f"no {kind.removesuffix('s')} {name!r}", hint)

    def output(self, kind: Kind, name: str) -> Document:
        """The options for the target in use, rendered: its data holds secrets. ConfigError where a variable that it
        names is not set, with that line."""
        if problem := self.missing(kind, name):
            raise ConfigError(problem)
        outputs = getattr(self.file, kind)[name].outputs
        chosen = self.target if self.target in outputs else "default"
        at = (kind, name, "outputs")
        if chosen not in outputs:
            message = f"{name!r} has no output for the target {self.target!r} and no default"
            raise ConfigError(self.document.problem(at, message))
        return render_env(self.document.part((*at, chosen)))

    def provider_account(self, vendor: str) -> AccountOptions:
        """The vendor's account for the target in use. ConfigError as `output`, and for unknown or empty options."""
        return parse(self.output("providers", vendor), AccountOptions)


def read_connections(path: Path, target: str) -> Connections:
    """ConfigError with every mistake of the file; one that does not exist declares nothing."""
    if not path.exists():
        return Connections(Document(path, {}, {}), ConnectionsFile(), target)
    document = read_yaml(path)
    return Connections(document, parse(document, ConnectionsFile, document.data or {}), target)

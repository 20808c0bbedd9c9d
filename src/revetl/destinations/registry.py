"""Every connector there is, by the name that stands as `type` in connections.yml. It is imported when it is used.

Another package adds its own in the entry-point group `revetl.destinations`:

    [project.entry-points."revetl.destinations"]
    acme = "revetl_acme"

What it names is a module, or any object, with two members: `Options`, a pydantic model of what may stand under an
output of that type, and `connect(name, options, clock) -> Destination`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module, metadata
from typing import TYPE_CHECKING, Any

from revetl.clock import Clock
from revetl.destinations.base import CORE, Destination
from revetl.errors import ConfigError, RevetlError, did_you_mean

if TYPE_CHECKING:
    from pydantic import BaseModel

    from revetl.destinations.facts import ConnectorFacts

GROUP = "revetl.destinations"

# type → module
_BUILT_IN = {
    "hubspot": "revetl.destinations.hubspot",
    "http": "revetl.destinations.http",
    "http_sink": "revetl.destinations.http_sink",
    "salesforce": "revetl.destinations.salesforce",
    "slack": "revetl.destinations.slack",
    "google_sheets": "revetl.destinations.google_sheets",
    "postgres": "revetl.destinations.sql.postgres",
    "mysql": "revetl.destinations.sql.mysql",
    "files": "revetl.destinations.files",
}


@dataclass(frozen=True, slots=True)
class Connector:
    """Where a type comes from. `package` and `version` are of the distribution that brings it, `place` is what it
    names in our table or in its entry point. `entry`: the entry point, None for those of ours."""

    type: str
    package: str
    version: str
    place: str
    entry: metadata.EntryPoint | None = None

    @property
    def brought_by(self) -> str:
        return f"{self.package} {self.version}".strip()


def connectors() -> dict[str, Connector]:
    """All that are installed, ours first, without importing any. ConfigError where two bring the same type."""
    from revetl import __version__

    found = {type_: Connector(type_, "revetl", __version__, place) for type_, place in _BUILT_IN.items()}
    for entry in sorted(metadata.entry_points(group=GROUP), key=lambda e: (e.name, e.value)):
        package, version = (entry.dist.name, entry.dist.version) if entry.dist is not None else (entry.value, "")
        connector = Connector(entry.name, package, version, entry.value, entry)
        if entry.name in found:
            first = found[entry.name]
            raise ConfigError(
                f"the destination type {entry.name!r} is brought by {first.brought_by} and by {connector.brought_by}",
                hint="Uninstall one of them, or ask its author for another name.",
            )
        found[entry.name] = connector
    return found


def types() -> tuple[str, ...]:
    """What may stand as `type` in connections.yml. ConfigError as `connectors`."""
    return tuple(connectors())


def options_model(type_: str) -> type[BaseModel]:
    """What may stand under an output of this type. ConfigError where no connector has the name, or where the package
    that brings it can't be used."""
    model: type[BaseModel] = _loaded(_connector(type_)).Options
    return model


def facts(type_: str) -> ConnectorFacts | None:
    """What the connector says of itself; None where it says nothing. ConfigError as `options_model`."""
    found: ConnectorFacts | None = getattr(_loaded(_connector(type_)), "FACTS", None)
    return found


def create_destination(type_: str, name: str, options: Mapping[str, Any] | BaseModel, clock: Clock) -> Destination:
    """One account of one vendor, not yet open. `options`: the validated model, or its data (then pydantic's
    ValidationError leaves as it is: `documents.parse` with `options_model` says the line). ConfigError as
    `options_model`."""
    connector = _connector(type_)
    loaded = _loaded(connector)
    validated = options if isinstance(options, loaded.Options) else loaded.Options.model_validate(options)
    try:
        destination: Destination = loaded.connect(name, validated, clock)
    except RevetlError:
        raise
    except (Exception, SystemExit) as e:  # a package that leaves the process would end the command with its own code
        if connector.entry is None:
            raise
        # Its message may hold what it was given, a token among it.
        raise ConfigError(f"{_named(connector)} does not connect: {type(e).__name__}", hint=_ask(connector)) from None
    if missing := [member for member in CORE if not hasattr(destination, member)]:
        message = f"what {_named(connector)} connects to is no Destination: it lacks {', '.join(missing)}"
        raise ConfigError(message, hint=_ask(connector))
    return destination


def _connector(type_: str) -> Connector:
    found = connectors()
    if type_ not in found:
        raise ConfigError(f"no connector is called {type_!r}", hint=did_you_mean(type_, list(found)))
    return found[type_]


def _loaded(connector: Connector) -> Any:
    """The module or object with `Options` and `connect`."""
    if connector.entry is None:
        return import_module(connector.place)
    try:
        loaded = connector.entry.load()
    except (Exception, SystemExit) as e:
        # Whatever its code does while it is imported: an operator can mend the package, not read our traceback.
        message = f"{_named(connector)} can't be imported: {type(e).__name__}: {e}"
        raise ConfigError(message, hint=_ask(connector)) from e
    if missing := [member for member in ("Options", "connect") if not hasattr(loaded, member)]:
        raise ConfigError(f"{_named(connector)} is no connector: {connector.place} has no {' and no '.join(missing)}")
    if not hasattr(loaded.Options, "model_validate"):
        raise ConfigError(f"{_named(connector)} is no connector: its Options are no pydantic model")
    return loaded


def _named(connector: Connector) -> str:
    return f"the destination type {connector.type!r} of {connector.brought_by}"


def _ask(connector: Connector) -> str:
    return f"That is a mistake of the package {connector.package}."

"""Every connector there is, by the name that stands as `type` in connections.yml.

A vendor's module is imported when it is used.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any

from revetl.clock import Clock
from revetl.destinations.base import Destination
from revetl.errors import ConfigError, did_you_mean

if TYPE_CHECKING:
    from pydantic import BaseModel

# type → module that holds `Options` (a pydantic model) and `connect(name, options, clock) -> Destination`
_CONNECTORS = {
    "hubspot": "revetl.destinations.hubspot",
    "http_sink": "revetl.destinations.http_sink",
}


def types() -> tuple[str, ...]:
    return tuple(_CONNECTORS)


def options_model(type_: str) -> type[BaseModel]:
    """What may stand under an output of this type. ConfigError where no connector has the name."""
    model: type[BaseModel] = _module(type_).Options
    return model


def create_destination(type_: str, name: str, options: Mapping[str, Any] | BaseModel, clock: Clock) -> Destination:
    """One account of one vendor, not yet open. `options`: the validated model, or its data (then pydantic's
    ValidationError leaves as it is: `documents.parse` with `options_model` says the line)."""
    module = _module(type_)
    validated = options if isinstance(options, module.Options) else module.Options.model_validate(options)
    destination: Destination = module.connect(name, validated, clock)
    return destination


def _module(type_: str) -> Any:
    if type_ not in _CONNECTORS:
        raise ConfigError(f"no connector is called {type_!r}", hint=did_you_mean(type_, list(_CONNECTORS)))
    return import_module(_CONNECTORS[type_])

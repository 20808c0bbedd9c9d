"""The accounts that connections.yml names, as destinations and providers: made, not yet connected."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from revetl.clock import Clock
from revetl.documents import parse
from revetl.errors import ConfigError, Problem
from revetl.project.connections import Connections

if TYPE_CHECKING:
    from revetl.destinations.base import Destination
    from revetl.providers.engine.declarative import DeclarativeProvider
    from revetl.providers.grammar import ProviderSpec
    from revetl.providers.options import AccountOptions


def destination(connections: Connections, name: str, clock: Clock) -> Destination:
    """ConfigError for a missing secret, by line."""
    from revetl.destinations.registry import create_destination, options_model

    kind = connections.destination_type(name)
    output = connections.output("destinations", name)
    try:
        options = parse(output, options_model(kind))
        return create_destination(kind, name, options, clock)
    except ConfigError as e:
        raise _placed(e, connections, ("destinations", name)) from None


def connected(
    connections: Connections, providers: Mapping[str, ProviderSpec], names: Sequence[str], clock: Clock
) -> dict[str, DeclarativeProvider]:
    """The named endpoints of one run, by name. ConfigError: unknown name, missing key, limits of an endpoint that is
    not there."""
    from revetl.providers.registry import connect

    refuse_missing_credentials(connections, providers, names)
    return connect(names, providers, lambda vendor: provider_account(connections, providers, vendor), clock)


def provider_account(connections: Connections, providers: Mapping[str, ProviderSpec], vendor: str) -> AccountOptions:
    """The vendor's account for the target in use. A vendor that wants no credentials needs none to be declared."""
    specs = [spec for spec in providers.values() if spec.vendor == vendor]
    if vendor not in connections.names("providers") and not any(spec.auth.needs for spec in specs):
        from revetl.providers.options import AccountOptions

        return AccountOptions()
    return connections.provider_account(vendor)


def refuse_missing_credentials(
    connections: Connections, providers: Mapping[str, ProviderSpec], names: Iterable[str]
) -> None:
    """ConfigError with every credential that these endpoints need and connections.yml has not, each at its line."""
    problems: list[Problem] = []
    of_vendor: dict[str, list[ProviderSpec]] = {}
    for name in names:
        if name in providers:
            of_vendor.setdefault(providers[name].vendor, []).append(providers[name])
    for vendor, specs in of_vendor.items():
        try:
            account = provider_account(connections, providers, vendor)
        except ConfigError as e:
            problems.extend(e.problems)
            continue
        for option in dict.fromkeys(option for spec in specs for option in account.missing(spec.auth)):
            message = f"provider {vendor}: {option!r} is missing"
            problems.append(connections.document.problem(("providers", vendor), message))
    if problems:
        raise ConfigError(problems)


def _placed(error: ConfigError, connections: Connections, at: tuple[str, ...]) -> ConfigError:
    """A connector knows its options but not their file: problems without a place get the connection's."""
    return ConfigError([p if p.path else connections.document.problem(at, p.message, p.hint) for p in error.problems])

"""Providers from their specs and their connections: the one place where the two meet."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from revetl.clock import Clock
from revetl.errors import ConfigError, Problem, did_you_mean
from revetl.providers.base import Provider
from revetl.providers.engine.account import Account
from revetl.providers.engine.declarative import DeclarativeProvider
from revetl.providers.grammar import ProviderSpec
from revetl.providers.options import AccountOptions

if TYPE_CHECKING:
    from revetl.http import Transport

OPTIONS = tuple(AccountOptions.model_fields)
_SECRETS = ("api_key", "client_id", "client_secret")


def create_provider(
    spec: ProviderSpec,
    connection_options: Mapping[str, Any],
    clock: Clock,
    transport: Transport | None = None,
) -> Provider:
    """The provider for `spec`, sharing its account with no other. `connection_options` are those of its vendor in
    profiles/connections.yml, rendered (`AccountOptions`). `transport` takes the network's place in tests.

    Nothing is sent. ConfigError with every option that is missing or not known.
    """
    options = account_options(spec.vendor, connection_options)
    refuse_missing(spec.vendor, [spec], options)
    return connect([spec.name], {spec.name: spec}, lambda _: options, clock, transport)[spec.name]


def connect(
    names: Iterable[str],
    specs: Mapping[str, ProviderSpec],
    options: Callable[[str], AccountOptions],
    clock: Clock,
    transport: Transport | None = None,
) -> dict[str, DeclarativeProvider]:
    """The named providers of one run, by name: those of one vendor share its account and so its limits.

    `options(vendor)` gives the vendor's connection. For one event loop: a later run connects anew. Nothing is sent.
    ConfigError for a name that no spec has, for credentials that are missing, and for limits of an endpoint that the
    vendor has not.
    """
    names = list(names)
    accounts: dict[str, Account] = {}
    providers: dict[str, DeclarativeProvider] = {}
    for name in names:
        if name not in specs:
            raise ConfigError(f"no provider {name!r}", hint=did_you_mean(name, list(specs)))
        spec = specs[name]
        if spec.vendor not in accounts:
            given = options(spec.vendor)
            refuse_missing(
                spec.vendor, [specs[n] for n in names if n in specs and specs[n].vendor == spec.vendor], given
            )
            _check_limits(spec.vendor, given, specs)
            accounts[spec.vendor] = Account(given, clock)
        account = accounts[spec.vendor]
        base_url = account.options.base_url or spec.base_url
        providers[name] = DeclarativeProvider(spec, base_url, account, clock, transport)
    return providers


def account_options(vendor: str, given: Mapping[str, Any]) -> AccountOptions:
    """ConfigError with every option that is missing, not known or not possible; none of their values is repeated."""
    # A secret that is read from a file often ends with its line break, and one that is not set may be an empty text.
    stripped = {
        name: value.strip() if name in _SECRETS and isinstance(value, str) else value for name, value in given.items()
    }
    stripped = {name: value for name, value in stripped.items() if value or name not in _SECRETS}
    try:
        return AccountOptions.model_validate(stripped)
    except ValidationError as e:
        problems = [_problem(vendor, item) for item in e.errors(include_url=False, include_input=False)]
    raise ConfigError(problems)


def refuse_missing(vendor: str, specs: Iterable[ProviderSpec], options: AccountOptions) -> None:
    """ConfigError with each credential that one of the vendor's endpoints needs and the connection has not."""
    names = dict.fromkeys(name for spec in specs for name in options.missing(spec.auth))
    if names:
        hint = "Put it into connections.yml."
        raise ConfigError([Problem(f"provider {vendor}: {name!r} is missing", hint=hint) for name in names])


def _problem(vendor: str, item: Any) -> Problem:
    name = ".".join(map(str, item["loc"])) or "connection"
    if item["type"] == "missing":
        message = f"provider {vendor}: {name!r} is missing"
        return Problem(message, hint="Put it into connections.yml.")
    if item["type"] == "extra_forbidden":
        message = f"provider {vendor}: the option {name!r} is not known"
        return Problem(message, hint=did_you_mean(name, OPTIONS))
    if item["loc"] and item["loc"][0] in ("base_url", "callback_url"):
        return Problem(f"provider {vendor}: {name!r} must start with http:// or https://")
    return Problem(f"provider {vendor}: {name}: {item['msg'].removeprefix('Value error, ')}")


def _check_limits(vendor: str, options: AccountOptions, specs: Mapping[str, ProviderSpec]) -> None:
    known = [spec.name.removeprefix(f"{vendor}.") for spec in specs.values() if spec.vendor == vendor]
    problems = [
        Problem(f"provider {vendor}: limits are set for {name!r}, which it has not", hint=did_you_mean(name, known))
        for name in options.limits.endpoints
        if name not in known
    ]
    if problems:
        raise ConfigError(problems)

"""A provider from its spec and its connection: the one place where the two meet."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from revetl.clock import Clock
from revetl.errors import ConfigError, Problem, did_you_mean
from revetl.providers.base import Provider
from revetl.providers.engine import DeclarativeProvider
from revetl.providers.spec import ProviderSpec

if TYPE_CHECKING:
    import httpx

OPTIONS = ("base_url", "api_key")


def create_provider(
    spec: ProviderSpec,
    connection_options: Mapping[str, Any],
    clock: Clock,
    transport: httpx.AsyncBaseTransport | None = None,
) -> Provider:
    """The provider for `spec`. `connection_options` are those of its vendor in profiles/connections.yml, rendered:
    `api_key`, and `base_url` where it is not the vendor's own. `transport` takes the network's place in tests.

    Nothing is sent. ConfigError with every option that is missing or not known.
    """
    problems = [
        Problem(f"provider {spec.vendor}: the option {name!r} is not known", hint=did_you_mean(name, OPTIONS))
        for name in connection_options
        if name not in OPTIONS
    ]
    api_key = connection_options.get("api_key")
    if not isinstance(api_key, str) or not api_key.strip():
        problems.append(
            Problem(f"provider {spec.vendor}: 'api_key' is missing", hint="Put it into profiles/connections.yml.")
        )
    base_url = connection_options.get("base_url", spec.base_url)
    if not isinstance(base_url, str) or not base_url.startswith(("http://", "https://")):
        problems.append(Problem(f"provider {spec.vendor}: 'base_url' must start with http:// or https://"))
    if problems:
        raise ConfigError(problems)
    return DeclarativeProvider(spec, base_url, str(api_key).strip(), clock, transport)

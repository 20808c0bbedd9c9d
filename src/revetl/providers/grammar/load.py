"""enrichment/providers/*.yml → one `ProviderSpec` per endpoint, or one ConfigError with every mistake in every file."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from revetl.documents import Document, parse, read_yaml
from revetl.errors import ConfigError, Problem
from revetl.providers.grammar.vendor import ProviderSpec, VendorFile


def load_providers(directory: Path, own_fields: Collection[str] | None = None) -> dict[str, ProviderSpec]:
    """Every spec of the folder by name (`people_data_labs.person`), in the order of the files' names. `own_fields`:
    what the project's models let providers fill, beside the fields that specs have in common; None: an output may be
    anything.

    A folder that does not exist holds no providers. Raises ConfigError with every mistake found, each at its line.
    """
    specs: dict[str, ProviderSpec] = {}
    problems: list[Problem] = []
    home: dict[str, Path] = {}
    for path in sorted([*directory.glob("*.yml"), *directory.glob("*.yaml")]):
        try:
            document = read_yaml(path)
            vendor = _vendor(document, own_fields)
        except ConfigError as e:
            problems.extend(e.problems)
            continue
        if vendor.vendor in home:
            message = f"the vendor {vendor.vendor!r} is already described in {home[vendor.vendor].name}"
            problems.append(document.problem(("vendor",), message))
            continue
        home[vendor.vendor] = path
        specs.update({spec.name: spec for spec in vendor.specs()})
    if problems:
        raise ConfigError(problems)
    return specs


def _vendor(document: Document, own_fields: Collection[str] | None) -> VendorFile:
    if not isinstance(document.data, dict):
        raise ConfigError(document.problem((), "a provider file is a mapping that starts with 'vendor:'"))
    vendor = parse(document, VendorFile)
    if problems := [document.problem(*mistake) for mistake in vendor.mistakes(own_fields)]:
        raise ConfigError(problems)
    return vendor

"""Every vendor that the sandbox serves, by name. A vendor's module is imported when it is used.

Another package adds its own in the entry-point group `revetl.sandboxes`:

    [project.entry-points."revetl.sandboxes"]
    acme = "revetl_acme.sandbox:AcmeSandbox"
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from importlib import import_module, metadata
from typing import Any

from pydantic import BaseModel, ValidationError

from revetl.errors import ConfigError, Problem, did_you_mean
from revetl.sandbox.vendor import SandboxVendor, VendorContext, VendorOptions, mount_of

GROUP = "revetl.sandboxes"

# name → module:class, a `SandboxVendor`
_BUILT_IN = {
    "hubspot": "revetl.sandbox.hubspot.vendor:HubSpotSandbox",
    "salesforce": "revetl.sandbox.salesforce.vendor:SalesforceSandbox",
    "slack": "revetl.sandbox.slack.vendor:SlackSandbox",
    "google_sheets": "revetl.sandbox.google_sheets.vendor:GoogleSheetsSandbox",
    "any_api": "revetl.sandbox.any_api.vendor:AnyApi",
    "apollo": "revetl.sandbox.apollo.vendor:Apollo",
    "companies_house": "revetl.sandbox.companies_house.vendor:CompaniesHouse",
    "dropcontact": "revetl.sandbox.dropcontact.vendor:Dropcontact",
    "fullenrich": "revetl.sandbox.fullenrich.vendor:FullEnrich",
    "gleif": "revetl.sandbox.gleif.vendor:Gleif",
    "hunter": "revetl.sandbox.hunter.vendor:Hunter",
    "leadmagic": "revetl.sandbox.leadmagic.vendor:LeadMagic",
    "neverbounce": "revetl.sandbox.neverbounce.vendor:NeverBounce",
    "people_data_labs": "revetl.sandbox.people_data_labs.vendor:PeopleDataLabs",
    "prospeo": "revetl.sandbox.prospeo.vendor:Prospeo",
    "zerobounce": "revetl.sandbox.zerobounce.vendor:ZeroBounce",
}
# A name becomes a path and a file, and stands beside these in the statistics.
_NAME = re.compile(r"[a-z][a-z0-9_]*")
_RESERVED = ("requests", "providers")
_MOUNT = re.compile(r"(?!/_sandbox)(/[A-Za-z0-9_.-]+)*")
_MEMBERS = ("name", "mount", "Options", "add_routes", "reset", "stats", "settle", "close")


def vendors() -> dict[str, type[SandboxVendor]]:
    """All that there are, ours first. ConfigError where another package's can't be used, naming the package."""
    found = {name: _imported(name, place) for name, place in _BUILT_IN.items()}
    for entry in metadata.entry_points(group=GROUP):
        brought_by = entry.dist.name if entry.dist is not None else entry.value
        if entry.name in found:
            raise ConfigError(f"the sandbox {entry.name!r} of {brought_by} has the name of another one")
        found[entry.name] = _checked(entry, brought_by)
    _refuse_shared_mounts(found)
    return found


def create_vendors(context: VendorContext) -> dict[str, SandboxVendor]:
    """One of each, with the options that the settings hold for it. ConfigError for a vendor that is not there, and
    for options that its model refuses."""
    classes = vendors()
    given = context.settings.vendors
    for name in given:
        if name not in classes:
            raise ConfigError(f"no vendor of the sandbox is called {name!r}", hint=did_you_mean(name, list(classes)))
    options = {name: vendor_options(name, cls, given.get(name, {})) for name, cls in classes.items()}
    return {name: _create(cls, context, options[name]) for name, cls in classes.items()}


def vendor_options(name: str, vendor: type[SandboxVendor], given: BaseModel | Mapping[str, Any]) -> VendorOptions:
    """The vendor's options model, from data or as it is. ConfigError with every option that is unknown or impossible,
    and with those that it takes."""
    model = vendor.Options
    if isinstance(given, model):
        return given
    try:
        return model.model_validate(dict(given))
    except ValidationError as e:
        problems = e.errors(include_url=False, include_input=False)
    takes = "It takes " + ", ".join(model.model_fields) + "." if model.model_fields else "It takes no options."
    raise ConfigError(
        [Problem(_said(name, problem), hint=_form(name, model, problem) or takes) for problem in problems]
    )


def _said(vendor: str, problem: Any) -> str:
    option = ".".join(map(str, problem["loc"]))
    if problem["type"] == "extra_forbidden":
        return f"{vendor} has no option {option!r}"
    return f"{vendor}.{option}: {problem['msg']}"


def _form(vendor: str, model: type[BaseModel], problem: Any) -> str | None:
    """How an option whose form is not plain is written, for --set; None where its model has no example."""
    field = model.model_fields.get(str(problem["loc"][0])) if problem["loc"] else None
    if field is None or not field.examples:
        return None
    return f"As in --set '{vendor}.{problem['loc'][0]}={field.examples[0]}'"


def _create(vendor: Any, context: VendorContext, options: VendorOptions) -> SandboxVendor:
    made: SandboxVendor = vendor(context, options)
    return made


def _imported(name: str, place: str) -> type[SandboxVendor]:
    module, _, cls = place.partition(":")
    vendor: type[SandboxVendor] = getattr(import_module(module), cls)
    if vendor.name != name:
        raise RuntimeError(f"{place} calls itself {vendor.name!r}, the registry calls it {name!r}")
    return vendor


def _checked(entry: metadata.EntryPoint, brought_by: str) -> type[SandboxVendor]:
    """What another package names, once it is clear that it can be served."""
    try:
        vendor = entry.load()
    except (ImportError, AttributeError) as e:
        raise ConfigError(f"the sandbox {entry.name!r} of {brought_by} can't be imported: {e}") from e
    missing = [member for member in _MEMBERS if not hasattr(vendor, member)]
    if missing:
        raise ConfigError(f"the sandbox {entry.name!r} of {brought_by} is no SandboxVendor: no {', '.join(missing)}")
    if vendor.name != entry.name:
        raise ConfigError(f"the sandbox {entry.name!r} of {brought_by} calls itself {vendor.name!r}")
    if not _NAME.fullmatch(vendor.name) or vendor.name in _RESERVED:
        raise ConfigError(f"the sandbox {entry.name!r} of {brought_by} needs another name: lower case, digits and _")
    if not _MOUNT.fullmatch(mount_of(vendor)):
        raise ConfigError(f"the sandbox {entry.name!r} of {brought_by} can't be mounted at {mount_of(vendor)!r}")
    checked: type[SandboxVendor] = vendor
    return checked


def _refuse_shared_mounts(found: Mapping[str, type[SandboxVendor]]) -> None:
    at: dict[str, str] = {}
    for name, vendor in found.items():
        first = at.setdefault(mount_of(vendor), name)
        if first != name:
            raise ConfigError(f"{first} and {name} are both mounted at {mount_of(vendor) or '/'}")

"""dbt's profiles.yml, as far as revetl needs it: the one output that is in use, rendered, to open the warehouse.

The rest is dbt's: keys that revetl does not read are not checked here.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from revetl.documents import Document, read_yaml, render_env
from revetl.errors import ConfigError, did_you_mean

# dbt writes these variables into the metadata of its artifacts, without this beginning.
_RECORDED = "DBT_ENV_CUSTOM_ENV_"
_NAMED = re.compile(r"""env_var\(\s*['"](\w+)""")
_PLACE = ("path", "database", "host", "port", "dbname", "service", "account")

WAREHOUSES = ("duckdb", "snowflake", "postgres")


@dataclass(frozen=True, slots=True)
class Profile:
    """`output` is what profiles.yml says for the target in use. It may hold secrets, so it is never shown.
    `default_written`: how the default target is written; None where profiles.yml says none. `of_project`: the profile
    that dbt_project.yml names; None where it is written in Jinja, so that it hangs on dbt's environment."""

    name: str
    target: str
    type: str
    targets: tuple[str, ...]
    default_target: str
    document: Document = field(repr=False)
    output: Mapping[str, Any] = field(repr=False)
    default_written: Document | None = field(default=None, repr=False)
    of_project: str | None = None

    def default_under(self, environ: Mapping[str, str]) -> str | None:
        """The target of a dbt command that named none. `environ`: what its results tell of its environment, which is
        every variable DBT_ENV_CUSTOM_ENV_… and no other. None where the target hangs on another."""
        written = self.default_written
        if written is None or "{{" not in str(written.data):
            return self.default_target
        if not all(name.startswith(_RECORDED) for name in _NAMED.findall(str(written.data))):
            return None
        try:
            return str(render_env(written, {_RECORDED + name: value for name, value in environ.items()}).data)
        except ConfigError:
            return None

    @property
    def place(self) -> str:
        """Which database the output means, as a digest: another one holds other rows under the same names."""
        said = [self.type, *(str(self.output.get(key)) for key in _PLACE)]
        return hashlib.sha256(json.dumps(said).encode()).hexdigest()


def read_profile(profiles_dir: Path, dbt_project_dir: Path, target: str | None, named: str | None = None) -> Profile:
    """The profile `named` or that DBT_PROFILE or dbt_project.yml names, under `target` or the profile's default.

    Only the chosen output is rendered: a secret of another target may be missing. Raises ConfigError.
    """
    name = named or os.environ.get("DBT_PROFILE") or _profile_name(dbt_project_dir)
    document = read_yaml(profiles_dir / "profiles.yml")
    profiles = document.data if isinstance(document.data, dict) else {}
    if name not in profiles:
        raise ConfigError(document.problem((), f"no profile {name!r}", did_you_mean(name, [str(p) for p in profiles])))
    profile = profiles[name]
    outputs = profile.get("outputs") if isinstance(profile, dict) else None
    if not isinstance(outputs, dict) or not outputs:
        raise ConfigError(document.problem((name,), f"the profile {name!r} has no outputs"))
    default = _default_target(document, name)
    chosen = target or default
    if chosen not in outputs:
        hint = did_you_mean(chosen, list(outputs))
        raise ConfigError(document.problem((name, "outputs"), f"no target {chosen!r}", hint))
    part = render_env(document.part((name, "outputs", chosen)))
    if not isinstance(part.data, dict):
        raise ConfigError(part.problem((), f"the target {chosen!r} is not a mapping"))
    type_ = str(part.data.get("type", ""))
    if type_ not in WAREHOUSES:
        raise ConfigError(part.problem(("type",), f"type {type_!r} is not supported", did_you_mean(type_, WAREHOUSES)))
    written = document.part((name, "target")) if "target" in profile else None
    of_project = _written_profile(dbt_project_dir)
    return Profile(name, chosen, type_, tuple(outputs), default, part, part.data, written, of_project)


def _profile_name(dbt_project_dir: Path) -> str:
    document = read_yaml(dbt_project_dir / "dbt_project.yml")
    name = document.data.get("profile") if isinstance(document.data, dict) else None
    if not isinstance(name, str):
        raise ConfigError(document.problem((), "'profile' is missing: it names the profile in profiles.yml"))
    return str(render_env(document.part(("profile",))).data)


def _written_profile(dbt_project_dir: Path) -> str | None:
    data = read_yaml(dbt_project_dir / "dbt_project.yml").data
    name = data.get("profile") if isinstance(data, dict) else None
    return name if isinstance(name, str) and "{{" not in name else None


def _default_target(document: Document, name: str) -> str:
    """dbt's rule: the profile's `target`, or "default" where it says none."""
    if "target" not in document.data[name]:
        return "default"
    return str(render_env(document.part((name, "target"))).data)

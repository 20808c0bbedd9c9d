"""Which of dbt's artifacts are believed for one target, and where revetl's own dbt leaves its. docs/design/project.md.

A manifest does not say of which target it is, so relations come from one that revetl's dbt parsed for this target, in a
folder of its own. A manifest of the user's dbt is believed only where dbt can't be run here, and only with the results
of the same command, which do say the target.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from revetl.errors import ConfigError, GuardrailError, Problem
from revetl.project.dbt import NOT_HERE
from revetl.project.fingerprint import fingerprint
from revetl.project.manifest import Manifest, read_manifest
from revetl.project.profiles import Profile

MANIFEST, RESULTS, STAMP, HEALTH = "manifest.json", "run_results.json", "revetl_parse.json", "revetl_health.json"
UNNAMED_TARGET = (
    "a target that can't be known: dbt's command named none, and profiles.yml takes it from the environment"
)


@dataclass(frozen=True, slots=True)
class Artifacts:
    """The folders of one target. `users`: where the user's dbt keeps its artifacts, of whatever target it ran last.
    `exposures`: the file that revetl itself writes among the models, no matter of the parse."""

    dbt_dir: Path
    users: Path
    profile: Profile = field(repr=False)
    vars: str | None = None
    exposures: Path | None = None

    @property
    def own(self) -> Path:
        """Where revetl's dbt leaves its artifacts for this target."""
        return self.users / "revetl" / as_folder(self.profile.target)

    def fingerprint(self) -> str:
        """Of all that a parse depends on, as it is now."""
        context = {
            "profile": self.profile.name,
            "target": self.profile.target,
            "output": self.profile.output,
            "vars": self.vars,
        }
        written = (self.users, *([self.exposures] if self.exposures else []))
        return fingerprint(self.dbt_dir, leave_out=written, context=context, environ=os.environ)

    def is_current(self) -> bool:
        """Whether our manifest is of the project as it is now."""
        stamp = read_json(self.own / STAMP)
        return stamp is not None and (self.own / MANIFEST).exists() and stamp.get("project") == self.fingerprint()

    def begin(self) -> str:
        """Before dbt parses into `own`: what stands there counts for nothing until `parsed`. Gives the digest for it.
        Taken before, so that a file that changes meanwhile makes the next command parse again."""
        self.own.mkdir(parents=True, exist_ok=True)
        (self.own / STAMP).unlink(missing_ok=True)
        return self.fingerprint()

    def parsed(self, digest: str) -> None:
        """After dbt has parsed."""
        write_json(self.own / STAMP, {"project": digest})

    def parsed_before(self) -> Manifest | None:
        """Our last manifest, current or not."""
        return self._checked(read_manifest(self.own, self.dbt_dir)) if (self.own / MANIFEST).exists() else None

    def current(self) -> Manifest:
        """Our manifest; only where it `is_current`."""
        return self._checked(read_manifest(self.own, self.dbt_dir))

    def users_manifest(self) -> Manifest:
        """What the user's dbt parsed, for a place where dbt can't be run. GuardrailError where it can't be known that
        it is of this target; ConfigError where there is none, or it is of another project or warehouse."""
        if not (self.users / MANIFEST).exists():
            raise ConfigError(
                f"there is no dbt here, and no {MANIFEST} in {self.users}",
                hint=f"`dbt build` writes it; --target-path names its folder. To run dbt here: {NOT_HERE}",
            )
        manifest = self._checked(read_manifest(self.users, self.dbt_dir))
        results = read_json(self.users / RESULTS)
        if results is None or invocation_of(results) != manifest.invocation_id:
            raise GuardrailError(
                f"nothing was sent: it can't be known of which target {self.users / MANIFEST} is:"
                " run_results.json beside it is not of the same dbt command"
                "\nRun `dbt build` last before the folder is copied here, or let revetl run dbt."
            )
        target = target_of(results, self.profile)
        if target is None:
            raise GuardrailError(
                f"nothing was sent: {self.users / MANIFEST} is of {UNNAMED_TARGET}"
                f"\nName it in dbt's command: `dbt build --target {self.profile.target}`."
            )
        if target != self.profile.target:
            raise GuardrailError(
                f"nothing was sent: {self.users / MANIFEST} is of the target {target!r}, this is"
                f" {self.profile.target!r}"
                f"\n`dbt build --target {self.profile.target}` makes one of this target."
            )
        return manifest

    def _checked(self, manifest: Manifest) -> Manifest:
        mine = _project_name(self.dbt_dir)
        if mine and manifest.project_name not in ("", mine):
            raise ConfigError(
                f"{self.users / MANIFEST} is of the project {manifest.project_name!r}, this is {mine!r}",
                hint="--target-path names the folder that this project's artifacts are in.",
            )
        if manifest.adapter_type not in ("", self.profile.type):
            raise ConfigError(
                f"the project was last built for {manifest.adapter_type}, the target {self.profile.target!r} is"
                f" {self.profile.type}",
                hint=f"`revetl build --target {self.profile.target}` builds it there.",
            )
        return manifest


def target_of(results: Mapping[str, Any], profile: Profile) -> str | None:
    """The target that a dbt command ran for. Its arguments name it only where it was not the profile's own; None where
    that one hangs on dbt's environment, so that it can't be known."""
    named = results.get("args", {}).get("target")
    return str(named) if named else profile.default_under(results.get("metadata", {}).get("env") or {})


def invocation_of(results: Mapping[str, Any]) -> str:
    return str(results.get("metadata", {}).get("invocation_id") or "")


def read_json(path: Path) -> dict[str, Any] | None:
    """None where there is no such file. ConfigError where it is broken."""
    try:
        data = json.loads(path.read_bytes())
    except FileNotFoundError:
        return None
    except (ValueError, RecursionError):
        raise ConfigError(Problem("can't be read as JSON", path, hint="`revetl build` writes it anew.")) from None
    return data if isinstance(data, dict) else None


def write_json(path: Path, data: Mapping[str, Any]) -> None:
    """Whole or not at all: a reader never sees half a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    half = path.with_suffix(f".{os.getpid()}.{threading.get_ident()}.tmp")
    half.write_text(json.dumps(data), encoding="utf-8")
    half.replace(path)


def _project_name(dbt_dir: Path) -> str:
    from revetl.documents import read_yaml

    data = read_yaml(dbt_dir / "dbt_project.yml").data
    return str(data.get("name") or "") if isinstance(data, dict) else ""


def as_folder(target: str) -> str:
    plain = re.sub(r"[^\w.-]", "_", target)
    # Two targets whose names differ only in what a folder's can't hold are still two.
    return plain if plain == target else f"{plain}_{hashlib.sha256(target.encode()).hexdigest()[:8]}"

"""Which models last built and passed: dbt keeps only its last command's results, so they are added up here.

Without this, `dbt build` with a failed test followed by `dbt run --select other` would leave no trace of the failure.
The file lies beside dbt's own artifacts and goes with them (`dbt clean`).
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from revetl.errors import ConfigError, GuardrailError, Problem
from revetl.project.manifest import Manifest

FILE_NAME = "revetl_health.json"
# The commands that run nodes. Compiling and documenting write results too, which say nothing of the data.
_RUNS_NODES = {"build", "run", "test", "seed", "snapshot", "retry"}
BAD = {"error", "fail", "skipped", "runtime error", "partial success"}


@dataclass(frozen=True, slots=True)
class Health:
    """`statuses`: unique id → dbt's last word on it. `invocation_id`: of the last dbt command that ran nodes."""

    invocation_id: str | None
    statuses: dict[str, str]

    def failures(self, manifest: Manifest, id_: str) -> list[str]:
        """What speaks against syncing this model, as phrases; empty where nothing does."""
        found = []
        own = self.statuses.get(id_)
        if own is None:
            found.append("was never built")
        elif own in BAD:
            found.append("was skipped, since something before it failed" if own == "skipped" else "failed to build")
        for check in manifest.checks_of(id_):
            status = self.statuses.get(check)
            if status in BAD:
                name = manifest.nodes[check]["name"]
                found.append(f"its test {name} {'was skipped' if status == 'skipped' else 'failed'}")
        return found


def refuse_failed(health: Health, manifest: Manifest, ids: list[str]) -> None:
    """GuardrailError that names each model which must not be synced and why."""
    lines = [
        f"  {manifest.nodes[id_]['name']}: {'; '.join(reasons)}"
        for id_ in ids
        if (reasons := health.failures(manifest, id_))
    ]
    if lines:
        raise GuardrailError(
            "nothing was sent: a model that did not build and pass its tests is not synced\n"
            + "\n".join(lines)
            + "\nMend it and run `revetl build`, or leave it out with --exclude."
        )


def read_health(target_dir: Path, target: str, default_target: str) -> Health:
    """Adds dbt's newest results to what is known of `target`. Safe to repeat. ConfigError where a file is broken."""
    kept = _json(target_dir / FILE_NAME) or {}
    results = _json(target_dir / "run_results.json")
    if results is not None:
        args = results.get("args", {})
        made_for = str(args.get("target") or default_target)
        known = kept.setdefault(made_for, {"invocation_id": None, "statuses": {}})
        invocation = results["metadata"]["invocation_id"]
        if args.get("which") in _RUNS_NODES and invocation != known["invocation_id"]:
            known["invocation_id"] = invocation
            known["statuses"] |= {r["unique_id"]: r["status"] for r in results["results"]}
            _write(target_dir / FILE_NAME, kept)
    mine = kept.get(target, {"invocation_id": None, "statuses": {}})
    return Health(mine["invocation_id"], mine["statuses"])


def _json(path: Path) -> dict[str, Any] | None:
    try:
        data = json.loads(path.read_bytes())
    except FileNotFoundError:
        return None
    except ValueError:
        raise ConfigError(Problem("can't be read as JSON", path, hint="`revetl build` writes it anew.")) from None
    return data if isinstance(data, dict) else None


def _write(path: Path, data: dict[str, Any]) -> None:
    """Whole or not at all: a reader never sees half a file."""
    half = path.with_suffix(f".{os.getpid()}.tmp")
    half.write_text(json.dumps(data), encoding="utf-8")
    half.replace(path)

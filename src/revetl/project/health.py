"""Which models last built and passed: dbt keeps only its last command's results, so they are added up here.

Without this, `dbt build` with a failed test followed by `dbt run --select other` would leave no trace of the failure.
What can't be known is refused like a failure. Which results are believed: docs/design/project.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from revetl.errors import GuardrailError
from revetl.project.artifacts import HEALTH, RESULTS, Artifacts, invocation_of, read_json, target_of, write_json
from revetl.project.manifest import Manifest

# The commands that run nodes. Compiling and documenting write results too, which say nothing of the data.
_RUNS_NODES = {"build", "run", "test", "seed", "snapshot", "retry"}
BAD = {"error", "fail", "skipped", "runtime error", "partial success"}
_UNHEARD = "for another target or by a command whose results are overwritten"
_FORM = 2  # of the file; one of another form is left unread


@dataclass(frozen=True, slots=True)
class NodeHealth:
    """dbt's last word on one node. `at`: when its command ended, ISO in UTC. `relation`: what a model was built as,
    quoted as dbt quotes. `partly`: the flag (--empty, --sample) that built it without all of its rows."""

    status: str
    at: str = ""
    relation: str | None = None
    partly: str | None = None


@dataclass(frozen=True, slots=True)
class Health:
    """`invocation_id`: of the last dbt command that ran nodes. `disregarded`: why the last results of the user's dbt
    say nothing of this target. `users_results`: the nodes in them, where they do. `users_runs`: where it leaves what
    it ran."""

    invocation_id: str | None
    nodes: Mapping[str, NodeHealth]
    disregarded: str | None = None
    users_results: frozenset[str] = frozenset()
    users_runs: Path | None = None

    def failures(self, manifest: Manifest, id_: str) -> list[str]:
        """What speaks against syncing this model, as phrases; empty where nothing does."""
        own = self.nodes.get(id_)
        if own is None:
            return ["was never built" + (f" as far as is known: {self.disregarded}" if self.disregarded else "")]
        found = []
        if own.status in BAD:
            found.append(
                "was skipped, since something before it failed" if own.status == "skipped" else "failed to build"
            )
        elif own.partly:
            found.append(f"was last built with {own.partly}, so not all of its rows are there")
        named = manifest.nodes[id_].get("relation_name")
        if own.relation and named and own.relation.lower() != str(named).lower():
            found.append(f"was last built as {own.relation}, and for this target it is {named}")
        if self._was_run_since(manifest, id_, own):
            found.append(f"was run since by dbt, {_UNHEARD}")
        for check in manifest.checks_of(id_):
            found += self._of_check(manifest, check, own)
        return found

    def _of_check(self, manifest: Manifest, check: str, model: NodeHealth) -> list[str]:
        name, last = manifest.nodes[check]["name"], self.nodes.get(check)
        if last is not None and last.status in BAD:
            return [f"its test {name} {'was skipped' if last.status == 'skipped' else 'failed'}"]
        if check.startswith("unit_test."):
            return []  # says whether the SQL is right, nothing about the data: it need not run with every build
        if last is None:
            return [f"its test {name} was never run"]
        if last.at < model.at:
            return [f"its test {name} has not run since it was built"]
        if self._was_run_since(manifest, check, last):
            return [f"its test {name} was run since by dbt, {_UNHEARD}"]
        return []

    def _was_run_since(self, manifest: Manifest, id_: str, last: NodeHealth) -> bool:
        """dbt leaves the SQL that it runs in a file, whatever the target. One that is newer than the last result was
        run by a command whose results of this target, if they were any, are overwritten. A copy of the folder may be
        newer than all that it holds; what those last results say of this target is true all the same."""
        if self.users_runs is None or id_ in self.users_results or not last.at:
            return False
        node = manifest.nodes[id_]
        ran = self.users_runs / str(node.get("package_name")) / str(node.get("original_file_path"))
        if node.get("resource_type") == "test" and ran.suffix != ".sql":  # a generic test, below the yml it stands in
            ran = ran / str(node.get("path"))
        try:
            return ran.is_file() and datetime.fromtimestamp(ran.stat().st_mtime, UTC) > datetime.fromisoformat(last.at)
        except ValueError:
            return True  # a time that can't be read proves nothing


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


def read_health(artifacts: Artifacts, manifest: Manifest | None = None) -> Health:
    """Adds dbt's newest results, the user's and ours, to what is known of the target. Safe to repeat. ConfigError where
    a file is broken. `manifest`: of this target; results of other relations than it names are another project's."""
    kept = read_json(artifacts.own / HEALTH)
    if kept is None or kept.get("form") != _FORM:
        kept = {"form": _FORM, "invocation_id": None, "heard": [], "nodes": {}}
    disregarded: str | None = None
    candidates: list[dict[str, Any]] = []
    users = read_json(artifacts.users / RESULTS)
    if users is not None:
        disregarded = _why_not(users, artifacts, manifest)
        candidates += [users] if disregarded is None else []
    if (ours := read_json(artifacts.own / RESULTS)) is not None:
        candidates.append(ours)
    changed = False
    for results in sorted(candidates, key=_ended):
        changed |= _add(kept, results)
    if changed:
        write_json(artifacts.own / HEALTH, kept)
    return Health(
        kept["invocation_id"],
        {id_: NodeHealth(**said) for id_, said in kept["nodes"].items()},
        disregarded,
        frozenset(str(r["unique_id"]) for r in (users or {}).get("results", ()) if disregarded is None),
        artifacts.users / "run",
    )


def _why_not(results: Mapping[str, Any], artifacts: Artifacts, manifest: Manifest | None) -> str | None:
    """None where these results are of this target and project."""
    profile, args = artifacts.profile, results.get("args", {})
    said = f"dbt's last results in {artifacts.users} are"
    if args.get("which") not in _RUNS_NODES:
        return f"{said} of `dbt {args.get('which')}`, which says nothing of the data"
    if (target := target_of(results, profile)) != profile.target:
        return f"{said} of the target {target!r}"
    if args.get("profile") not in (None, profile.name):
        return f"{said} of the profile {args['profile']!r}"
    beside = read_json(artifacts.users / "manifest.json") or {}
    about = beside.get("metadata", {})
    if manifest is not None and about.get("invocation_id") == invocation_of(results):
        name = about.get("project_name")
        if name and manifest.project_name and name != manifest.project_name:
            return f"{said} of the project {name!r}"
    for result in results.get("results", ()):
        node = manifest.nodes.get(str(result["unique_id"]), {}) if manifest is not None else {}
        built, named = result.get("relation_name"), node.get("relation_name")
        if built and named and str(built).lower() != str(named).lower():
            return f"{said} of {built}, and for this target {node['name']} is {named}"
    return None


def _ended(results: Mapping[str, Any]) -> str:
    return str(results.get("metadata", {}).get("generated_at") or "")


def _add(kept: dict[str, Any], results: Mapping[str, Any]) -> bool:
    """Whether they were new."""
    invocation, args = invocation_of(results), results.get("args", {})
    if args.get("which") not in _RUNS_NODES or invocation in kept["heard"]:
        return False
    at = _ended(results)
    partly = next((f"--{flag}" for flag in ("empty", "sample") if args.get(flag)), None)
    for result in results.get("results", ()):
        id_ = str(result["unique_id"])
        if at >= kept["nodes"].get(id_, {}).get("at", ""):
            kept["nodes"][id_] = {
                "status": result["status"],
                "at": at,
                "relation": result.get("relation_name"),
                "partly": partly,
            }
    kept["invocation_id"] = invocation
    kept["heard"] = [*kept["heard"], invocation][-50:]
    return True

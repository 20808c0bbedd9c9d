"""Which models last built and passed: dbt keeps only its last command's results, so they are added up here.

Without this, `dbt build` with a failed test followed by `dbt run --select other` would leave no trace of the failure.
What can't be known is refused like a failure. Which results are believed: docs/design/project.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from revetl.errors import ConfigError, GuardrailError
from revetl.project.artifacts import (
    HEALTH,
    MANIFEST,
    RESULTS,
    UNNAMED_TARGET,
    Artifacts,
    invocation_of,
    read_json,
    target_of,
    write_json,
)
from revetl.project.manifest import Manifest
from revetl.project.run_files import RunFiles, read_run_files
from revetl.project.unfinished_builds import UnfinishedBuild, unfinished_builds

# The commands that run nodes. Compiling and documenting write results too, which say nothing of the data.
_RUNS_NODES = {"build", "run", "test", "seed", "snapshot", "retry"}
BAD = {"error", "fail", "skipped", "runtime error", "partial success"}
_LEFT_NOTHING = "for another target or by a command whose results are overwritten or were never written"
_UNHEARD = f"was run since by dbt, {_LEFT_NOTHING}"
_FORM = 2  # of the file; one of another form is left unread


@dataclass(frozen=True, slots=True)
class NodeHealth:
    """dbt's last word on one node. `began`, `at`: when its command began and ended, ISO in UTC. `relation`: what a
    model was built as, quoted as dbt quotes. `partly`: the flag (--empty, --sample) that built it without all of its
    rows. `deferred`: --defer was given, so that it may read tables of another target."""

    status: str
    at: str = ""
    relation: str | None = None
    partly: str | None = None
    began: str = ""
    deferred: bool = False


@dataclass(frozen=True, slots=True)
class Health:
    """`invocation_id`: of the last dbt command that ran nodes. `disregarded`: why the last results of the user's dbt
    say nothing of this target. `run_files`: where the user's dbt and ours leave what they ran. `unfinished`: builds of
    ours whose end is not known."""

    invocation_id: str | None
    nodes: Mapping[str, NodeHealth]
    disregarded: str | None = None
    run_files: tuple[RunFiles, ...] = ()
    unfinished: tuple[UnfinishedBuild, ...] = ()

    def failures(self, manifest: Manifest, id_: str) -> list[str]:
        """What speaks against syncing this model, as phrases; empty where nothing does. The rows of a table are those
        of its last build. A view's are what the tables below it hold now, so all that holds for it holds for them."""
        found = self._of_node(manifest, id_)
        for shown in manifest.shown_by(id_):
            name = manifest.nodes[shown]["name"]
            found += [f"{name}, whose rows it shows: {reason}" for reason in self._of_node(manifest, shown)]
        return found

    def _of_node(self, manifest: Manifest, id_: str) -> list[str]:
        node, own = manifest.nodes[id_], self.nodes.get(id_)
        found: list[str] = []
        if node["resource_type"] != "source" and not manifest.is_ephemeral(id_):
            if own is None:
                ran = any(files.ran_at(node) is not None for files in self.run_files)
                why = self.disregarded or (f"dbt ran it {_LEFT_NOTHING}" if ran else "")
                return ["was never built" + (f" as far as is known: {why}" if why else "")]
            found = self._of_build(manifest, id_, own)
        more = [reason for check in manifest.checks_of(id_) for reason in self._of_check(manifest, check, id_)]
        # What is not known of the model is not known of its tests: once is enough.
        return found + [reason for reason in more if not (found and reason.endswith(_UNHEARD))]

    def _of_build(self, manifest: Manifest, id_: str, own: NodeHealth) -> list[str]:
        found = []
        if own.status in BAD:
            found.append(
                "was skipped, since something before it failed" if own.status == "skipped" else "failed to build"
            )
        elif own.partly:
            found.append(f"was last built with {own.partly}, so not all of its rows are there")
        elif own.deferred and not manifest.holds_rows(id_):
            found.append("was last built with --defer, so it may show another target's rows")
        named = manifest.nodes[id_].get("relation_name")
        if own.relation and named and own.relation.lower() != str(named).lower():
            found.append(f"was last built as {own.relation}, and for this target it is {named}")
        for build in self.unfinished:
            if build.may_have_changed(id_, own.began or own.at):
                found.append(f"may have been changed by a build that began at {build.at[:19]} UTC and has not ended")
                return found
        if self._ran_since(manifest, id_, own):
            found.append(_UNHEARD)
        return found

    def _of_check(self, manifest: Manifest, check: str, id_: str) -> list[str]:
        name, last = manifest.nodes[check]["name"], self.nodes.get(check)
        if last is not None and last.status in BAD:
            return [f"its test {name} {'was skipped' if last.status == 'skipped' else 'failed'}"]
        if check.startswith("unit_test.") or manifest.nodes[id_]["resource_type"] == "source":
            # A unit test says whether the SQL is right, nothing about the data: it need not run with every build. When
            # a source was filled, nobody knows.
            return []
        if last is None:
            return [f"its test {name} was never run"]
        for changed in (id_, *manifest.shown_by(id_)):
            built = self.nodes.get(changed)
            if built is not None and last.at < built.at:
                what = "it" if changed == id_ else str(manifest.nodes[changed]["name"])
                return [f"its test {name} has not run since {what} was built"]
        if self._ran_since(manifest, check, last):
            return [f"its test {name} {_UNHEARD}"]
        return []

    def _ran_since(self, manifest: Manifest, id_: str, last: NodeHealth) -> bool:
        return any(files.ran_since(manifest.nodes[id_], last.at) for files in self.run_files)


_TWO_COMMANDS = (
    "`dbt run` and then `dbt test` leave only the results of the second: `dbt build` (or `revetl build`) runs models"
    " and tests in one command. A target folder is to be copied with its files' times (`cp -p`)."
)


def refuse_failed(health: Health, manifest: Manifest, ids: list[str]) -> None:
    """GuardrailError that names each model which must not be synced and why."""
    lines = [
        f"  {manifest.nodes[id_]['name']}: {'; '.join(reasons)}"
        for id_ in ids
        if (reasons := health.failures(manifest, id_))
    ]
    if lines:
        cure = "Mend it and run `revetl build`, or leave it out with --exclude."
        if any(_LEFT_NOTHING in line for line in lines):
            cure = f"{cure}\n{_TWO_COMMANDS}"
        raise GuardrailError(
            "nothing was sent: a model that did not build and pass its tests is not synced\n"
            + "\n".join(lines)
            + f"\n{cure}"
        )


def read_health(artifacts: Artifacts, manifest: Manifest | None = None) -> Health:
    """Adds dbt's newest results, the user's and ours, to what is known of the target. Safe to repeat. ConfigError where
    a file is broken. `manifest`: of this target; results of other relations than it names are another project's."""
    kept = read_json(artifacts.own / HEALTH)
    if kept is None or kept.get("form") != _FORM:
        kept = {"form": _FORM, "invocation_id": None, "heard": [], "nodes": {}}
    changed = bool(kept["nodes"]) and "place" not in kept
    moved = kept.setdefault("place", artifacts.profile.place) != artifacts.profile.place
    if moved:  # what was heard is of another database, and stays heard
        kept |= {"place": artifacts.profile.place, "nodes": {}}
    disregarded = "the target was another database then" if moved else None
    unfinished = unfinished_builds(artifacts.own)  # before the results: a build that ends meanwhile is still unfinished
    candidates: list[dict[str, Any]] = []
    run_files = []
    for folder in (artifacts.users, artifacts.own):
        results, why_not = _unless_broken(folder / RESULTS), None
        if results is None and (folder / RESULTS).exists():
            disregarded = f"{folder / RESULTS} is broken: dbt was stopped while it wrote"
        if results is not None and folder == artifacts.users:
            why_not = _why_not(results, artifacts, manifest)
            disregarded = why_not or disregarded
        if results is not None and why_not is None:
            candidates.append(results)
        parsed_by = partial(_parsed_by, folder / MANIFEST)
        run_files.append(read_run_files(folder, results, parsed_by, believed=why_not is None))
    changed |= moved
    for results in sorted(candidates, key=_ended):
        changed |= _add(kept, results)
    if changed:
        write_json(artifacts.own / HEALTH, kept)
    return Health(
        kept["invocation_id"],
        {id_: NodeHealth(**said) for id_, said in kept["nodes"].items()},
        disregarded,
        tuple(run_files),
        unfinished,
    )


def _why_not(results: Mapping[str, Any], artifacts: Artifacts, manifest: Manifest | None) -> str | None:
    """None where these results are of this target and project."""
    profile, args = artifacts.profile, results.get("args", {})
    said = f"dbt's last results in {artifacts.users} are"
    if args.get("which") not in _RUNS_NODES:
        return f"{said} of `dbt {args.get('which')}`, which says nothing of the data"
    target = target_of(results, profile)
    if target is None:
        return f"{said} of {UNNAMED_TARGET}. Name it there: `dbt build --target {profile.target}`"
    if target != profile.target:
        return f"{said} of the target {target!r}"
    of_profile = args.get("profile") or profile.of_project
    if of_profile is None:
        return (
            f"{said} of a profile that can't be known: dbt_project.yml takes it from the environment. Name it there:"
            f" `dbt build --profile {profile.name}`"
        )
    if of_profile != profile.name:
        return f"{said} of the profile {of_profile!r}"
    beside = _unless_broken(artifacts.users / MANIFEST) or {}
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


def _parsed_by(manifest: Path) -> str:
    return invocation_of(_unless_broken(manifest) or {})


def _unless_broken(file: Path) -> dict[str, Any] | None:
    """dbt writes its artifacts in place: one that is killed meanwhile leaves half a file, which says nothing. What it
    ran is newer in `run/` than all that is known."""
    try:
        return read_json(file)
    except ConfigError:
        return None


def _ended(results: Mapping[str, Any]) -> str:
    return str(results.get("metadata", {}).get("generated_at") or "")


def _add(kept: dict[str, Any], results: Mapping[str, Any]) -> bool:
    """Whether they were new."""
    invocation, args = invocation_of(results), results.get("args", {})
    if args.get("which") not in _RUNS_NODES or invocation in kept["heard"]:
        return False
    at = _ended(results)
    began = str(results.get("metadata", {}).get("invocation_started_at") or "")
    partly = next((f"--{flag}" for flag in ("empty", "sample") if args.get(flag)), None)
    for result in results.get("results", ()):
        id_ = str(result["unique_id"])
        if at >= kept["nodes"].get(id_, {}).get("at", ""):
            kept["nodes"][id_] = {
                "status": result["status"],
                "at": at,
                "relation": result.get("relation_name"),
                "partly": partly,
                "began": began,
                "deferred": bool(args.get("defer")),
            }
    kept["invocation_id"] = invocation
    kept["heard"] = [*kept["heard"], invocation][-50:]
    return True

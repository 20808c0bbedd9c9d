"""`revetl apply`: a saved plan is sent, exactly as it was. Guide: docs/guides/review-a-plan.md."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from revetl.errors import ConfigError, Problem, did_you_mean
from revetl.model import SyncSpec
from revetl.sync import SyncOptions
from revetl.sync.plan import saved
from revetl.usecases.auditing import audited
from revetl.usecases.caller import Caller
from revetl.usecases.sync import push

if TYPE_CHECKING:
    from revetl.project import Project
    from revetl.sync import SyncReport


def apply(project: Project, file: Path, options: SyncOptions, caller: Caller) -> list[SyncReport]:
    """Sends what `file` planned, all of its syncs in their order. Of `options` it takes `allow` and `confirm`.

    Every sync of the file is checked before anything of the first is sent. ConfigError: the file is no plan, was
    altered, was made for another target, or a sync of it is declared no more. GuardrailError: it was applied already or
    is stale. A plan that broke off is not taken up again: what it left over is in a new plan.
    """
    plan = saved.read_file(file)
    specs = _declared(project, plan)
    options = replace(options, dry_run=False, limit=None, full_refresh=False)
    with caller.warehouse(project) as warehouse:
        saved.check_seal(warehouse, plan)
        for spec, entry in zip(specs, plan.entries, strict=True):
            saved.check(warehouse, spec, entry)
        syncs = [spec.name for spec in specs]
        audited(warehouse, caller, "apply", [plan.digest], syncs=syncs, allow=list(options.allow))
        planners = {e.sync: saved.planner(warehouse, s, e) for s, e in zip(specs, plan.entries, strict=True)}
        reports = push(project, warehouse, specs, "apply", options, caller, planners)
        entries = {e.sync: e for e in plan.entries}
        for report in reports:
            saved.finish(warehouse, entries[report.sync], report.run_id, report.counts)
    return reports


def _declared(project: Project, plan: saved.SavedFile) -> list[SyncSpec]:
    """The syncs of the plan as the project declares them now."""
    if plan.target != project.target:
        message = f"the plan was made for the target {plan.target!r}, this is {project.target!r}"
        raise ConfigError(Problem(message, plan.path, hint=f"--target {plan.target}"))
    # A model whose build or tests failed since is no reason to refuse what was planned before.
    declared = {spec.name: spec for spec in project.syncs(verified=False)}
    for entry in plan.entries:
        if entry.sync not in declared:
            message = f"no model declares the sync {entry.sync!r} any more"
            raise ConfigError(Problem(message, plan.path, hint=did_you_mean(entry.sync, list(declared))))
    return [declared[entry.sync] for entry in plan.entries]

"""`revetl apply`: send a saved plan, exactly as it was. Guide: docs/guides/review-a-plan.md."""

from __future__ import annotations

from pathlib import Path

import rich_click as click

from revetl.cli.commands.sync import allow_option
from revetl.cli.options import ProjectOptions, console, emit_json, err_console, json_option, project_options
from revetl.cli.waiting import open_warehouse, wait_option


@click.command(short_help="Send a plan that `revetl plan --out` saved.")
@project_options
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@allow_option
@click.option("--yes", is_flag=True, help="Do not ask before records are deleted.")
@wait_option
@json_option
def command(
    options: ProjectOptions, file: Path, allow: tuple[str, ...], yes: bool, wait_s: float, as_json: bool
) -> int:
    """Send exactly what FILE planned, all of its syncs in their order.

    Refused before anything is sent: a plan that was altered (ends with 2), one that was applied already or is stale
    since a run or a recovery changed what is known (ends with 3). What changed in the model since the plan was made is
    not sent: the next sync does that. A plan that broke off is not taken up: make a new one of what remains.
    """
    from revetl.cli.commands.sync import confirm_deletes, exit_code, push
    from revetl.cli.render.reports import report_document, show_reports
    from revetl.errors import ConfigError, Problem, did_you_mean
    from revetl.sync.plan import saved

    project = options.load()
    plan = saved.read_file(file)
    if plan.target != project.target:
        message = f"the plan was made for the target {plan.target!r}, this is {project.target!r}"
        raise ConfigError(Problem(message, file, hint=f"--target {plan.target}"))
    declared = {spec.name: spec for spec in project.syncs(verified=False)}
    for entry in plan.entries:
        if entry.sync not in declared:
            message = f"no model declares the sync {entry.sync!r} any more"
            raise ConfigError(Problem(message, file, hint=did_you_mean(entry.sync, list(declared))))
    specs = [declared[entry.sync] for entry in plan.entries]
    warehouse = open_warehouse(project, wait_s)
    try:
        for spec, entry in zip(specs, plan.entries, strict=True):
            saved.check(warehouse, spec, entry)
        reports = push(
            project,
            warehouse,
            specs,
            command="apply",
            confirm=None if yes or as_json else confirm_deletes,
            allow=allow,
            wait_s=wait_s,
            planners={e.sync: saved.planner(warehouse, s, e) for s, e in zip(specs, plan.entries, strict=True)},
        )
        entries = {e.sync: e for e in plan.entries}
        for report in reports:
            saved.finish(warehouse, entries[report.sync], report.run_id, report.counts)
    finally:
        warehouse.close()
    if as_json:
        emit_json([report_document(r) for r in reports])
    else:
        show_reports(console(), reports)
        if exit_code(reports) == 0:
            err_console().print("What changed in the models since the plan was made is sent by the next sync.")
    return exit_code(reports)

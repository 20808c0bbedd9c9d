"""`revetl build`: dbt build, with the state tables that its models read made first."""

from __future__ import annotations

import rich_click as click

from revetl.cli.options import ProjectOptions, emit_json, json_option, project_options, select_options, threads_option
from revetl.cli.output import echo
from revetl.cli.waiting import wait_option


@click.command(short_help="Build the dbt models.")
@project_options
@select_options
@click.option("--full-refresh", is_flag=True, help="Rebuild incremental models from nothing.")
@threads_option
@wait_option
@json_option
def command(
    options: ProjectOptions,
    select: tuple[str, ...],
    exclude: tuple[str, ...],
    full_refresh: bool,
    threads: int | None,
    wait_s: float,
    as_json: bool,
) -> None:
    """Build the dbt models and run their tests, with the tables they read from.

    Selectors go to dbt as they are. Ends with 1 where a model or a test failed; its syncs are then refused.
    """
    from revetl.cli.render.builds import count_phrase, node_printer
    from revetl.cli.terminal import Terminal
    from revetl.usecases.build import BuildRequest, build

    project = options.load()
    request = BuildRequest(
        select=select, exclude=exclude, full_refresh=full_refresh, threads=threads, on_node=node_printer()
    )
    result = build(project, request, Terminal(wait_s).caller)
    if as_json:
        emit_json({"invocation_id": result.invocation_id, "seconds": round(result.seconds, 2), "counts": result.counts})
    else:
        echo(f"Built in {result.seconds:.1f} s: {count_phrase(result)}.")

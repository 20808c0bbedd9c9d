"""`revetl serve`: runs what is scheduled."""

from __future__ import annotations

import asyncio

import rich_click as click

from revetl.cli.numbers import whole_number
from revetl.cli.options import ProjectOptions, project_options


@click.command(short_help="Run what is scheduled, until it is stopped.")
@project_options
@click.option(
    "--parallel",
    metavar="N",
    type=whole_number(most=100),
    default=4,
    show_default=True,
    help="Runs at once. On DuckDB one, which needs the file for itself.",
)
@click.pass_context
def command(ctx: click.Context, options: ProjectOptions, parallel: int) -> int:
    """Run the schedules of syncs and waterfalls, each run as a process of its own. Several may serve one warehouse: one
    of them works, and another follows it when it ends.

    Logs JSON lines to stderr. ctrl-C or SIGTERM: requests in flight are awaited and written down, what was not finished
    goes on when it is served again; ends with 0.
    """
    from revetl.cli import logs
    from revetl.cli.signals import stop_on_signals
    from revetl.service.serving import ServeOptions, serve

    if not logs.is_given(ctx):
        logs.set_option(ctx, "log_format", "json")

    async def main() -> None:
        stop = asyncio.Event()
        with stop_on_signals(stop):
            await serve(options.load, ServeOptions(flags=options.as_flags(), parallel=parallel), stop)

    asyncio.run(main())
    return 0

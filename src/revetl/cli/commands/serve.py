"""`revetl serve`: runs what is scheduled."""

from __future__ import annotations

from contextlib import suppress

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
@click.option(
    "--port",
    metavar="N",
    type=whole_number(least=0, most=65_535),
    default=8420,
    show_default=True,
    help="The page's port on 127.0.0.1.",
)
@click.option("--no-page", is_flag=True, help="Show no page.")
@click.pass_context
def command(ctx: click.Context, options: ProjectOptions, parallel: int, port: int, no_page: bool) -> int:
    """Run the schedules of syncs and waterfalls, each run as a process of its own. Several may serve one warehouse: one
    of them works, and another follows it when it ends. A page at http://127.0.0.1:8420 shows what ran and what is next,
    to this machine alone. Who signs in with a token plans, approves, sends and takes back there, as his role allows;
    programs do under /v1.

    Logs JSON lines to stderr. ctrl-C or SIGTERM: requests in flight are awaited and written down, what was not finished
    goes on when it is served again; ends with 0.
    """
    from revetl.cli import logs
    from revetl.cli.signals import stop_on_signals
    from revetl.service.serving import ServeOptions, serve
    from revetl.usecases.caller import Caller

    if not logs.is_given(ctx):
        logs.set_option(ctx, "log_format", "json")
    given = ServeOptions(flags=options.as_flags(), parallel=parallel, port=None if no_page else port)
    # How it ends where nothing goes wrong: somebody stops it.
    with suppress(KeyboardInterrupt):
        Caller(stoppable=stop_on_signals).finish(lambda stop: serve(options.load, given, stop))
    return 0

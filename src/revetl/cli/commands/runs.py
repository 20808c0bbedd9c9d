"""`revetl runs`: what ran, and down to one record what became of it."""

from __future__ import annotations

import rich_click as click

from revetl.cli import completing
from revetl.cli.options import ProjectOptions, console, emit_json, json_option, project_options
from revetl.cli.terminal import Terminal
from revetl.cli.waiting import wait_option


@click.command(short_help="List past runs and what became of their records.")
@project_options
@click.argument("words", nargs=-1, metavar="[[show] RUN]", shell_complete=completing.run_ids)
@click.option(
    "--key", metavar="RECORD", help="Tell this record's story: what the run did to it, and what happens next."
)
@click.option(
    "--limit", metavar="N", type=click.IntRange(min=1), default=20, show_default=True, help="Runs or records to show."
)
@wait_option
@json_option
def command(
    options: ProjectOptions, words: tuple[str, ...], key: str | None, limit: int, wait_s: float, as_json: bool
) -> None:
    """List the newest runs, those of one `revetl run` together. `revetl runs show RUN` tells of one, and of the records
    that did not go through, with the reason; with --key of one record in it.

    RUN is an id, its beginning or its last characters (six do), or `latest`; the id of a `revetl run` shows all of its
    syncs. RECORD is a key or its beginning, an email, another value that records are matched by, or the id that the
    destination gave.
    """
    rest = words[1:] if words[:1] == ("show",) else words
    if len(rest) > 1 or (not rest and (words or key is not None)):
        raise click.UsageError("one run is shown: revetl runs show RUN [--key RECORD]")
    from revetl.cli.render import runs as render
    from revetl.usecases import runs

    project = options.load()
    with Terminal(wait_s) as terminal:
        if not rest:
            found = runs.newest_runs(project, limit, terminal.caller)
            emit_json(found) if as_json else render.show_runs(console(), runs.by_invocation(found))
        elif key is None:
            details = runs.run_details(project, rest[0], limit, terminal.caller)
            if as_json:
                emit_json(details[0] if len(details) == 1 else details)
            else:
                render.show_details(console(), details)
        else:
            run, record = runs.record_in_run(project, rest[0], key, terminal.caller)
            if as_json:
                emit_json({"run": run, "record": record, "next": record.next})
            else:
                render.show_record(console(), run, record)

"""`revetl drift`: what others changed at the destination, and whose value holds."""

from __future__ import annotations

from typing import TYPE_CHECKING

import rich_click as click

from revetl.cli import completing
from revetl.cli.numbers import whole_number
from revetl.cli.options import ProjectOptions, console, emit_json, json_option, project_options, record_key
from revetl.cli.reasons import reason_option
from revetl.cli.terminal import Terminal
from revetl.cli.waiting import wait_option

if TYPE_CHECKING:
    from revetl.sync.drift.resolution import DriftResolution


@click.command(short_help="Compare what stands at the destination with what was written.")
@project_options
@click.argument("sync", shell_complete=completing.syncs)
@click.option("--accept", multiple=True, metavar="FIELD", help="Keep theirs until our row changes. May be repeated.")
@click.option("--accept-all", is_flag=True, help="The same for every field; what is missing or untied there stays so.")
@click.option("--reassert", multiple=True, metavar="FIELD", help="Let the next sync write ours again. May be repeated.")
@click.option(
    "--reassert-all",
    is_flag=True,
    help="The same for every field; what is missing or untied is made again.",
)
@click.option("--sync", "send", is_flag=True, help="After --reassert: sync at once.")
@click.option(
    "--key", "keys", metavar="RECORD", multiple=True, callback=record_key, help="Only this record. May be repeated."
)
@click.option("--sample", type=whole_number(0), default=3, show_default=True, help="Records to show per kind.")
@click.option("--detailed-exitcode", is_flag=True, help="End with 2 where there is drift, 0 where there is none.")
@reason_option
@wait_option
@json_option
def command(
    options: ProjectOptions,
    sync: str,
    accept: tuple[str, ...],
    accept_all: bool,
    reassert: tuple[str, ...],
    reassert_all: bool,
    send: bool,
    keys: tuple[str, ...],
    sample: int,
    detailed_exitcode: bool,
    wait_s: float,
    as_json: bool,
) -> int:
    """Read back every record that SYNC holds and every link that it made, and compare three ways: what we last wrote,
    what we would write, and what stands there. Without --accept or --reassert nothing is changed anywhere.

    theirs: changed there. conflict: changed there and here. missing: archived or deleted there. merged: its id leads
    to another record. untied: a link of ours was removed there. pending: changed here, the next sync sends it. same:
    no sync would write over it. All lines stand in the table drift__<sync>.
    """
    from revetl.cli.render.documents import report_document
    from revetl.cli.render.drift import show_drift
    from revetl.cli.render.reports import show_reports
    from revetl.sync.drift.reading import DriftOptions
    from revetl.usecases.drift import drift

    resolution = _resolution(accept, accept_all, reassert, reassert_all)
    if send and (resolution is None or resolution.side != "reassert"):
        raise click.UsageError("--sync goes with --reassert.")
    project = options.load()
    with Terminal(wait_s) as terminal:
        wanted = DriftOptions(resolution=resolution, keys=keys, per_class=sample)
        result = drift(project, sync, wanted, terminal.caller, sync_after=send)
    if as_json:
        emit_json({"drift": result.drift.document(), "syncs": [report_document(r) for r in result.syncs]})
    else:
        show_drift(console(), result.drift)
        if result.syncs:
            show_reports(console(), result.syncs)
    return result.exit_code(tells_differences=detailed_exitcode)


def _resolution(
    accept: tuple[str, ...], accept_all: bool, reassert: tuple[str, ...], reassert_all: bool
) -> DriftResolution | None:
    from revetl.sync.drift.resolution import DriftResolution

    theirs, ours = bool(accept) or accept_all, bool(reassert) or reassert_all
    if theirs and ours:
        raise click.UsageError("Accept or reassert, one at a time.")
    if theirs:
        return DriftResolution("accept", None if accept_all else accept)
    return DriftResolution("reassert", None if reassert_all else reassert) if ours else None

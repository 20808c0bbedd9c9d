"""`retry`, `rollback`, `drift` and `disconnect`: what is done about records that were sent, or refused, before."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from revetl.api.arguments import Fields, Names, Words, as_names, as_some_of, as_words, caller_of, load_project
from revetl.usecases.background import in_background

if TYPE_CHECKING:
    from revetl.sync.disconnect.disconnecting import DisconnectPlan, DisconnectReport
    from revetl.sync.rollback.rolling_back import RollbackPlan, RollbackReport
    from revetl.usecases.drift import DriftResult
    from revetl.usecases.retry import RetryResult


def retry(
    *,
    select: Words = (),
    exclude: Words = (),
    run_id: str | None = None,
    keys: Names = (),
    codes: Names = (),
    statuses: Names = (),
    dry_run: bool = False,
    wait_s: float = 0.0,
    project_dir: Path | str | None = None,
    profiles_dir: Path | str | None = None,
    target: str | None = None,
    vars: str | None = None,
) -> RetryResult:
    """Sends again what stands in the retry queue, at once: without waiting for its row to change, or for its next try.

    select, exclude  selectors as dbt reads them; default: every sync
    run_id           only what waits since this run; its beginning or last six characters do, or `latest`
    keys             only these records
    codes            only refusals with one of these error codes
    statuses         only what waits for one of these reasons: rejected, skipped, unknown, rolled_back, accepted.
                     Default: what was refused
    dry_run          only say what waits (`released`)

    A record whose creation could not be confirmed (unknown) is created anew: by retrying it you say that it is not
    there. ValueError for a status that is none.
    """
    from revetl.sync.retry.queue import ACCEPTED, REFUSED, ROLLED_BACK, QueueFilter
    from revetl.usecases.retry import retry as release_and_sync

    project = load_project(project_dir, profiles_dir, target, vars)
    reasons = as_some_of(statuses, (*REFUSED, ROLLED_BACK, ACCEPTED), "status")
    which = QueueFilter(as_names(keys), run_id, as_names(codes), reasons)
    chosen = {"select": as_words(select), "exclude": as_words(exclude)}
    return in_background(
        lambda stop: release_and_sync(project, which, caller_of(stop, wait_s), dry_run=dry_run, **chosen)
    )


def rollback(
    run_id: str,
    *,
    sync: str | None = None,
    keys: Names = (),
    archive_created: bool = False,
    recreate_archived: bool = False,
    dry_run: bool = False,
    confirm: Callable[[RollbackPlan], bool] | None = None,
    wait_s: float = 0.0,
    project_dir: Path | str | None = None,
    profiles_dir: Path | str | None = None,
    target: str | None = None,
    vars: str | None = None,
) -> list[RollbackReport]:
    """Takes back what a run wrote; or all syncs of a `revetl run`, the newest first.

    run_id             of the run, or of the `revetl run`: its beginning or last characters (six do), or `latest`
    sync               of what `run_id` names, or belongs to: only this sync
    keys               only these records
    archive_created    archive what the run created, if nobody has touched it since
    recreate_archived  make anew what the run archived, with a new id
    dry_run            only plan it
    confirm            is shown each plan before anything of it is sent; False stops there

    What somebody has edited since, or a later run has written, is left. A rollback is a run and can be rolled back.
    """
    from revetl.sync.rollback.rolling_back import RollbackChoices, RollbackOptions
    from revetl.usecases.rollback import rollback as roll_back

    project = load_project(project_dir, profiles_dir, target, vars)
    choices = RollbackChoices(as_names(keys), archive_created, recreate_archived)
    options = RollbackOptions(dry_run=dry_run, confirm=confirm)
    return in_background(lambda stop: roll_back(project, run_id, choices, options, caller_of(stop, wait_s), sync=sync))


def drift(
    sync: str,
    *,
    accept: Fields = (),
    reassert: Fields = (),
    keys: Names = (),
    samples: int = 3,
    sync_after: bool = False,
    wait_s: float = 0.0,
    project_dir: Path | str | None = None,
    profiles_dir: Path | str | None = None,
    target: str | None = None,
    vars: str | None = None,
) -> DriftResult:
    """What others changed at a destination since we wrote there. Without `accept` and `reassert` it only looks.

    sync        the name of one sync
    accept      fields whose values there are kept until our row changes; True: every field, and what is missing there
    reassert    fields that the next sync writes again; True: every field, and what is missing there is made again
    keys        only these records
    samples     records of each kind in the report
    sync_after  after `reassert`: sync at once

    ValueError where fields are both accepted and reasserted, or nothing is reasserted and yet to be synced.
    """
    from revetl.sync.drift.reading import DriftOptions
    from revetl.sync.drift.resolution import DriftResolution
    from revetl.usecases.drift import drift as read_back

    if accept and reassert:
        raise ValueError("accept or reassert, one at a time")
    if sync_after and not reassert:
        raise ValueError("sync_after goes with reassert")
    fields = accept or reassert
    resolution = None
    if fields:
        named = None if isinstance(fields, bool) else as_names(fields)
        resolution = DriftResolution("accept" if accept else "reassert", named)
    project = load_project(project_dir, profiles_dir, target, vars)
    options = DriftOptions(resolution=resolution, keys=as_names(keys), per_class=samples)
    return in_background(lambda stop: read_back(project, sync, options, caller_of(stop, wait_s), sync_after=sync_after))


def disconnect(
    sync: str,
    *,
    way: str = "leave",
    mapping: Path | str | None = None,
    dry_run: bool = False,
    confirm: Callable[[DisconnectPlan], bool] | None = None,
    wait_s: float = 0.0,
    project_dir: Path | str | None = None,
    profiles_dir: Path | str | None = None,
    target: str | None = None,
    vars: str | None = None,
) -> DisconnectReport:
    """Leaves the destination of a sync, one that no model declares any more too: what stands there because of it, then
    its state.

    sync     the name of one sync
    way      leave: all stays there; clear: fields that we wrote get back what stood before us, and our links go;
             archive: what we created is archived. What somebody has edited since is left
    mapping  a file (.csv or .ndjson) that is given which record each key is
    dry_run  only say what stands there, and what would be done
    confirm  is shown the plan before anything is changed; False stops there

    Nothing is sent of it any more. ValueError for a way that is none.
    """
    from revetl.sync.disconnect.disconnecting import DisconnectOptions
    from revetl.sync.disconnect.taking_back import Leaving
    from revetl.usecases.disconnect import leave

    file = None if mapping is None else Path(mapping)
    options = DisconnectOptions(way=Leaving(way), mapping=file, dry_run=dry_run, confirm=confirm)
    project = load_project(project_dir, profiles_dir, target, vars)
    return in_background(lambda stop: leave(project, sync, options, caller_of(stop, wait_s)))

"""`plan`, `sync`, `apply` and `run`: what would be sent, and sending it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from revetl.api.arguments import Names, Usd, Words, as_limit, as_some_of, as_usd, as_words, caller_of, load_project
from revetl.usecases.background import Stoppable, in_background

if TYPE_CHECKING:
    from revetl.enrich.report import Estimate
    from revetl.sync import PlanSummary, SyncReport
    from revetl.usecases.job import JobReport


def plan(
    *,
    select: Words = (),
    exclude: Words = (),
    limit: int | None = None,
    full_refresh: bool = False,
    out: Path | str | None = None,
    wait_s: float = 0.0,
    project_dir: Path | str | None = None,
    profiles_dir: Path | str | None = None,
    target: str | None = None,
    vars: str | None = None,
) -> list[PlanSummary]:
    """Exactly what `sync` would change, sync by sync in their order; nothing is sent.

    select, exclude  selectors as dbt reads them; default: every sync
    limit            plan at most so many records of each sync; from 1 on
    full_refresh     plan every record whole, changed or not
    out              save the plan there, for `apply`

    A guardrail that would stop a sync stands in its summary (`violations`) and raises nothing. The lines themselves
    stand in the table `plan__<sync>` until the next plan.
    """
    from revetl.sync import SyncOptions
    from revetl.usecases.failed_syncs import gravest
    from revetl.usecases.plan import planned

    project = load_project(project_dir, profiles_dir, target, vars)
    options = SyncOptions(limit=as_limit(limit), full_refresh=full_refresh)
    file = None if out is None else Path(out)

    def work(stoppable: Stoppable) -> list[PlanSummary]:
        caller = caller_of(stoppable, wait_s)
        with planned(project, options, caller, select=as_words(select), exclude=as_words(exclude), out=file) as plans:
            if plans.errors:
                raise gravest(plans.errors, caller.note)
            return plans.summaries

    return in_background(work)


def sync(
    *,
    select: Words = (),
    exclude: Words = (),
    dry_run: bool = False,
    limit: int | None = None,
    full_refresh: bool = False,
    allow: Names = (),
    confirm: Callable[[PlanSummary], bool] | None = None,
    on_sync: Callable[[SyncReport], None] | None = None,
    wait_s: float = 0.0,
    project_dir: Path | str | None = None,
    profiles_dir: Path | str | None = None,
    target: str | None = None,
    vars: str | None = None,
) -> list[SyncReport]:
    """Sends what changed in the activation models since the last run; a report for each sync that ran.

    select, exclude  selectors as dbt reads them; default: every sync
    dry_run          plan, and send nothing
    limit            send at most so many records of each sync; from 1 on
    full_refresh     send every record whole, and every link, changed or not
    allow            guardrails that may be passed, by name; it is recorded with the run. ValueError for a strange one
    confirm          is shown each plan that deletes records, and no other, before anything of it is sent; False stops
                     there. Without
                     it a plan of more than ten deletions needs a `max_deleted_share` in the model's yml: GuardrailError
    on_sync          is called with the report of each sync as it ends: also of those before one that can't begin

    The first sync that stops ends the rest. What a destination refused, or its being away, raises nothing: it stands in
    the report (`status`, `counts`, `error`).
    """
    from revetl.sync import SyncOptions
    from revetl.sync.plan.guardrails import NAMES
    from revetl.usecases.sync import asks_before_deleting
    from revetl.usecases.sync import sync as run_syncs

    project = load_project(project_dir, profiles_dir, target, vars)
    options = SyncOptions(
        dry_run=dry_run,
        limit=as_limit(limit),
        full_refresh=full_refresh,
        allow=as_some_of(allow, NAMES, "guardrail"),
        confirm=asks_before_deleting(confirm),
    )
    chosen = {"select": as_words(select), "exclude": as_words(exclude)}
    return in_background(lambda stop: run_syncs(project, options, caller_of(stop, wait_s, on_sync), **chosen))


def apply(
    file: Path | str,
    *,
    allow: Names = (),
    confirm: Callable[[PlanSummary], bool] | None = None,
    on_sync: Callable[[SyncReport], None] | None = None,
    wait_s: float = 0.0,
    project_dir: Path | str | None = None,
    profiles_dir: Path | str | None = None,
    target: str | None = None,
    vars: str | None = None,
) -> list[SyncReport]:
    """Sends a plan that `plan(out=…)` saved, exactly as it was.

    file     the saved plan
    allow, confirm, on_sync  as in `sync`

    Raises ConfigError where it was altered and GuardrailError where it was applied already or is stale: nothing is sent
    then.
    """
    from revetl.sync import SyncOptions
    from revetl.sync.plan.guardrails import NAMES
    from revetl.usecases.apply import apply as apply_plan
    from revetl.usecases.sync import agrees, asks_before_deleting

    project = load_project(project_dir, profiles_dir, target, vars)
    sure = asks_before_deleting(confirm) or agrees
    options = SyncOptions(allow=as_some_of(allow, NAMES, "guardrail"), confirm=sure)
    return in_background(lambda stop: apply_plan(project, Path(file), options, caller_of(stop, wait_s, on_sync)))


def run(
    *,
    select: Words = (),
    exclude: Words = (),
    max_spend_usd: Usd | None = None,
    agree: Callable[[Sequence[Estimate]], bool] | None = None,
    full_refresh: bool = False,
    allow: Names = (),
    on_sync: Callable[[SyncReport], None] | None = None,
    wait_s: float = 0.0,
    project_dir: Path | str | None = None,
    profiles_dir: Path | str | None = None,
    target: str | None = None,
    vars: str | None = None,
) -> JobReport:
    """The whole job: build, enrich, build what reads the new values, sync.

    select, exclude  choose syncs; everything is built and enriched
    max_spend_usd    the most that providers may cost in this run, all waterfalls together. Giving it agrees to the cost
    agree            where no `max_spend_usd` is given: is shown what each waterfall will cost, and says whether to go
                     on. Where neither is given nothing that costs money is done: GuardrailError
    full_refresh     rebuild incremental models from nothing, then send every record and link whole
    allow, on_sync   as in `sync`

    Raises DbtFailed (`revetl.project`) where a build fails: nothing is enriched or sent then. `exit_code` of the report
    is what the command would end with.
    """
    from revetl.sync.plan.guardrails import NAMES
    from revetl.usecases.job import JobRequest, run_job

    project = load_project(project_dir, profiles_dir, target, vars)
    shown: list[Estimate] = []
    request = JobRequest(
        select=as_words(select),
        exclude=as_words(exclude),
        max_spend_usd=None if max_spend_usd is None else as_usd(max_spend_usd),
        full_refresh=full_refresh,
        allow=as_some_of(allow, NAMES, "guardrail"),
        agreed=max_spend_usd is not None,
        ask=None if agree is None else lambda: agree(shown),
        on_estimates=shown.extend,
    )
    return in_background(lambda stop: run_job(project, request, caller_of(stop, wait_s, on_sync)))

"""The Python face of revetl, for notebooks and orchestrators: what the commands do, as functions with reports.

    from revetl import api

    reports = api.sync(select="crm__contacts")
    frame = api.enrich_frame(leads, waterfall="contact_profile", max_spend_usd=5)

Every function blocks until the work is done. The work has a thread and an event loop of its own, so it may be called
where a loop is running, as in a notebook; callbacks are called on that thread. ctrl-C lets what is in flight end and be
written down, a second one ends at once. Sentences for a person (who is waited for, what was not built) go to the logger
`revetl`. Safe to repeat, all of them, after any failure.

All take the same last arguments:

project_dir    where revetl.yml is. Default: $REVETL_PROJECT_DIR, else the working directory or one above it
profiles_dir   where profiles.yml and connections.yml are. Default: what revetl.yml says
target         the target of profiles.yml. Default: the profile's own
vars           dbt variables, as YAML
wait_s         seconds to wait for what another run holds: the lease of a sync, the file of a DuckDB warehouse

and all raise the errors of `revetl.errors`: ConfigError (a mistake in a file or an argument, before anything is sent or
asked), GuardrailError, LeaseError, CallError, WarehouseError.
"""

from revetl.api.afterwards import disconnect, drift, retry, rollback
from revetl.api.frames import EnrichWarning, enrich, enrich_async, enrich_frame, enrich_frame_async
from revetl.api.sending import apply, plan, run, sync

__all__ = [
    "EnrichWarning",
    "apply",
    "disconnect",
    "drift",
    "enrich",
    "enrich_async",
    "enrich_frame",
    "enrich_frame_async",
    "plan",
    "retry",
    "rollback",
    "run",
    "sync",
]

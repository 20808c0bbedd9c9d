"""The sync engine: from an activation model to a destination, only what changed, nothing lost, nothing doubled."""

from revetl.sync.engine import plan_sync, run_sync
from revetl.sync.options import SyncOptions
from revetl.sync.plan.summary import PlanLine, PlanSummary
from revetl.sync.report import SyncReport

__all__ = ["PlanLine", "PlanSummary", "SyncOptions", "SyncReport", "plan_sync", "run_sync"]

"""The sync engine: from an activation model to a destination, only what changed, nothing lost, nothing doubled."""

from revetl.sync.engine import plan_sync, run_sync
from revetl.sync.report import PlanSummary, Sample, SyncReport

__all__ = ["PlanSummary", "Sample", "SyncReport", "plan_sync", "run_sync"]

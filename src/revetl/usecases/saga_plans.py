"""The plans of a saga's syncs as its next run makes them, and why that run would send nothing. Sends nothing, writes
nothing down."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from revetl.model import SagaSpec
from revetl.state import sagas
from revetl.sync.plan.guardrails import SAGA, GuardrailViolation
from revetl.sync.plan.summary import PlanSummary
from revetl.sync.sagas import failures
from revetl.warehouse.base import Warehouse

WAYS_OUT = "Mend their rows, or `revetl retry` once the cause is gone; `revetl retry --dry-run` names those that wait."


def too_many_failures(saga: SagaSpec, plans: Sequence[PlanSummary]) -> str | None:
    """Why nothing of it may be sent, where more would fail than may; `plans`: of its syncs."""
    of_each = [(plan.sync, said, n) for plan in plans for said, n in failures.foreseen(plan).items()]
    if sum(n for _, _, n in of_each) <= saga.max_failures:
        return None
    listed = "; ".join(f"{sync}: {n:,} record(s) {said}" for sync, said, n in of_each)
    return f"{listed}, of which {saga.max_failures:,} may"


def judge(
    warehouse: Warehouse, declared: Iterable[SagaSpec], plans: Sequence[PlanSummary], allow: Collection[str] = ()
) -> None:
    """Of plans that are shown: what would stop a saga stands in the plan of each of its syncs. `allow`: guardrails that
    may be passed. What an earlier command left half undone is said."""
    for saga in declared:
        members = [plan for plan in plans if plan.sync in saga.syncs]
        stopped = {p.sync for p in members if any(v.guardrail not in allow for v in p.violations)}
        too_many = too_many_failures(saga, members)
        last = sagas.latest(warehouse, saga.name) if members else None
        for plan in members:
            if last is not None and last.step == "undoing":
                plan.notes.append(f"saga {saga.name}: a sync first takes back the rest of what an earlier one sent")
            others = sorted(stopped - {plan.sync})
            if too_many is not None:
                plan.violations.append(
                    GuardrailViolation(SAGA, f"nothing of {saga.name} is sent: {too_many}. {WAYS_OUT}")
                )
            elif others and plan.sync not in stopped:
                message = f"nothing of {saga.name} is sent: a guardrail of {', '.join(others)} stops it"
                plan.violations.append(GuardrailViolation(SAGA, message))

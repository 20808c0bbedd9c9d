"""How many records may be deleted where nobody can be asked."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import TYPE_CHECKING

from revetl.errors import GuardrailError
from revetl.model import SyncSpec

if TYPE_CHECKING:
    from revetl.sync import PlanSummary


# A person reads ten lines of `revetl runs show` at a glance, and can take them back. Of more, nobody looks at each.
FEW_DELETIONS = 10


def unattended(spec: SyncSpec, allow: Collection[str]) -> Callable[[PlanSummary], bool]:
    """Where nobody can be asked: a few deletions go on, and as many as a guardrail in the yml or --allow names."""

    def confirm(plan: PlanSummary) -> bool:
        if plan.new_deletions <= FEW_DELETIONS or spec.guardrails.deletes_declared or "deleted" in allow:
            return True
        verb = "erased" if plan.erased else "deleted" if plan.delete else "cleared"
        raise GuardrailError(
            f"{spec.name}: nothing was sent: {plan.new_deletions:,} records would be {verb} at {plan.destination}, more"
            f" than {FEW_DELETIONS}, and nobody could be asked"
            f"\n  Look at it with `revetl plan`. --yes agrees; `guardrails: {{max_deleted_share: 0.1}}` in {spec.where}"
            " lets up to that share go without asking."
        )

    return confirm

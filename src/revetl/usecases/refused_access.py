"""What of a plan the account would refuse, as far as the destination can tell before anything is sent."""

from __future__ import annotations

from revetl.destinations.base import Destination
from revetl.destinations.capabilities import ProbesAccess, TellsScopes
from revetl.errors import CallError
from revetl.model import SyncSpec
from revetl.sync.plan.summary import PlanSummary


async def refused_access(spec: SyncSpec, plan: PlanSummary, destination: Destination) -> list[str]:
    """A sentence for each thing that this plan's changes take and the token may not do; empty where the destination
    does not tell, or can't be asked now. Changes nothing; safe to repeat."""
    if not isinstance(destination, TellsScopes):
        return []
    found: list[str] = []
    try:
        own = await destination.scopes(spec.object, spec.created_through, (), makes_fields=bool(plan.new_fields))
        if plan.changes and own.missing:
            # An older scope of another name may let the same in, so a name that is missing is tried out.
            if isinstance(destination, ProbesAccess):
                found += await destination.probe(spec.object, spec.created_through)
            else:
                found.append(f"the token lacks {' '.join(own.missing)}")
        if plan.links.changes:
            others = tuple(dict.fromkeys(a.object for a in spec.associate if a.object is not None))
            all_ = await destination.scopes(spec.object, spec.created_through, others, makes_fields=False)
            of_links = [scope for scope in all_.missing if scope not in own.needed]
            found += [f"for its links the token lacks {' '.join(of_links)}"] if of_links else []
    except CallError:
        return found  # the plan stands without it, and the sync itself says what is refused
    return found

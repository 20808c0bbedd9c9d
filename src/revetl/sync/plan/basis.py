"""What a plan compares with: what it asked the destination, and what it takes for granted. Follows from the connector's
capabilities; asks the destination nothing."""

from __future__ import annotations

from dataclasses import dataclass, field

from revetl.destinations.base import Destination
from revetl.destinations.capabilities import LooksUp, ReadsBack


@dataclass(frozen=True, slots=True)
class PlanBasis:
    """A sentence each, for people; without keys and values. `exact`: seen at the destination while it was planned.
    `assumed`: not seen there, so it holds only as long as nobody but us writes there."""

    exact: list[str] = field(default_factory=list)
    assumed: list[str] = field(default_factory=list)


def basis(name: str, destination: Destination | None, *, events: bool) -> PlanBasis:
    """Of a plan for the destination called `name`; None: it was planned without asking."""
    found = PlanBasis()
    searched, reads = isinstance(destination, LooksUp), isinstance(destination, ReadsBack)
    if searched:
        found.exact.append(f"which new records stand at {name} already: they were looked for")
    else:
        found.assumed.append(f"that no new record stands at {name} already: it was not searched")
    if events:
        return found  # one that was added is never compared again
    if reads:
        found.exact.append(f"what stands at {name} in the records that would change: they were read")
    else:
        found.assumed.append(
            f"that {name} holds what was sent last: the model is compared with our own snapshot, and nothing was read"
        )
    return found

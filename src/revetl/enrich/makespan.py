"""How long a waterfall takes at its vendors' limits: what each of them needs alone, and what can't overlap."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from revetl.enrich.parts import parts_for
from revetl.providers.spec import ProviderSpec


def seconds_alone(terms: ProviderSpec, lookups: float, latency_s: float) -> float:
    """What so many lookups take at the vendor's limits: its windows, and how many may wait at once."""
    if lookups < 1:
        return 0.0
    requests = lookups / (terms.batch.size if terms.batch else 1)
    if terms.job is not None:
        latency_s = max(latency_s, terms.job.poll.every_s)
    slowest = max((w.seconds / w.calls * max(0.0, requests - w.calls) for w in terms.limits.windows), default=0.0)
    return max(slowest, requests * latency_s / terms.at_once, latency_s)


def seconds_together(steps: Sequence[float], verifiers: Iterable[float], records: int, *, paid: bool) -> float:
    """Of the whole run, at the least. `steps`: what each stage's questions take alone, and after them the verification
    of its values; `verifiers`: what each takes for all stages.

    The records pass in parts, and each step takes the next part while later ones have those before: so it is about as
    long as the slowest step, and the first part's way there, and the last one's from there. One after the other where
    the run has one part, and where the money may not suffice (`paid` False).
    """
    parts = parts_for(records) if paid else 1
    ends = [0.0] * parts
    for step in steps:
        free = 0.0
        for i in range(parts):
            free = ends[i] = max(free, ends[i]) + step / parts
    return max(ends[-1], *verifiers, 0.0)

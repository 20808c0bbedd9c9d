"""How long a waterfall takes at its vendors' limits: what each of them needs alone, and what can't overlap."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from revetl.enrich.selection.partition import partition_count
from revetl.providers.grammar import ProviderSpec


@dataclass(frozen=True, slots=True)
class ProviderLoad:
    """What some lookups take: for `busy_s` the vendor can take no others, and `wait_s` is the way of one answer."""

    busy_s: float = 0.0
    wait_s: float = 0.0

    @property
    def seconds(self) -> float:
        """Alone, at the least: what is busy waits already."""
        return max(self.busy_s, self.wait_s)


def load_of(spec: ProviderSpec, lookups: float, latency_s: float) -> ProviderLoad:
    """By the vendor's windows, and by how many may wait at once. A job whose like was never seen ends with its first
    poll."""
    if lookups < 1:
        return ProviderLoad()
    requests = lookups / (spec.batch.size if spec.batch else 1)
    if spec.job is not None:
        latency_s = max(latency_s, spec.job.poll.every_s)
    slowest = max((w.seconds / w.calls * max(0.0, requests - w.calls) for w in spec.limits.windows), default=0.0)
    return ProviderLoad(max(slowest, requests * latency_s / spec.at_once), latency_s)


def seconds_together(
    steps: Sequence[ProviderLoad], verifiers: Iterable[ProviderLoad], records: int, *, paid: bool
) -> float:
    """Of the whole run, at the least. `steps`: each stage's questions, and after them the verification of its values;
    `verifiers`: each one's work for all stages.

    The records pass in partitions, and each step takes the next one while later steps have those before. So it takes
    about as long as the busiest step, beside the first partition's way to it and the last one's way from it. Steps
    follow one another where the run has one partition, and where the money may not suffice (`paid` False).
    """
    partitions = partition_count(records) if paid else 1
    ends = [0.0] * partitions
    for step in steps:
        free = 0.0
        for i in range(partitions):
            begun = max(free, ends[i])
            free = begun + step.busy_s / partitions
            ends[i] = max(free, begun + step.wait_s)
    return max(ends[-1], *(load.seconds for load in verifiers), 0.0)

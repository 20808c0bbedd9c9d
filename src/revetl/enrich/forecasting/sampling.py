"""Seeded draws, and what a sample of them says."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence

_EXACT_BELOW = 30


def quantile(values: Sequence[float], share: float) -> float:
    """Of a sample, between its neighbours: where one more draw is below with a chance of `share`."""
    ordered = sorted(values)
    if not ordered:
        return 0.0
    place = min(max(share * (len(ordered) + 1) - 1, 0.0), len(ordered) - 1.0)
    low = math.floor(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)


def bits(mask: int) -> list[int]:
    return [i for i in range(mask.bit_length()) if mask >> i & 1]


def binomial(rng: random.Random, n: int, rate: float) -> int:
    """Exact where few happen or few don't, else the normal distribution with the same mean and variance."""
    if rate > 0.5:
        return n - binomial(rng, n, 1 - rate)
    if n * rate <= _EXACT_BELOW:
        return _rare(rng, n, rate)
    drawn = rng.gauss(n * rate, math.sqrt(n * rate * (1 - rate)))
    return min(n, max(0, round(drawn)))


def _rare(rng: random.Random, n: int, rate: float) -> int:
    """From one success to the next: the gaps are geometric."""
    if n <= 0 or rate <= 0:
        return 0
    scale, at, found = math.log1p(-rate), 0, 0
    while True:
        at += math.floor(math.log(1.0 - rng.random()) / scale) + 1
        if at > n:
            return found
        found += 1

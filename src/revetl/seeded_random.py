"""Chance that a seed repeats: for samples, forecasts and sandboxes. What must not be guessed comes from `secrets`."""

from __future__ import annotations

import random


class Seeded(random.Random):
    """The same seed, the same draws, on every machine."""

    def __init__(self, seed: int) -> None:
        super().__init__(seed)

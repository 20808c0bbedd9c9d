"""How much of a sweep over every step of a crash `make test` plays; `REVETL_EVERY_STEP=1` plays all of it."""

from __future__ import annotations

import os

EVERY_STEP = os.environ.get("REVETL_EVERY_STEP") == "1"


def stride(short: int) -> int:
    """Every `short`-th step, or every one where all are asked for."""
    return 1 if EVERY_STEP else short

"""Stands in `revetl.testing`, since the suites that connectors inherit use it too."""

from __future__ import annotations

from revetl.testing.crashing import Crash, CrashingWarehouse, Fuse

__all__ = ["Crash", "CrashingWarehouse", "Fuse"]

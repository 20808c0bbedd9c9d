"""Stands in `revetl.testing`, since the suites that connectors inherit run on it too."""

from __future__ import annotations

from revetl.testing.virtual_time import START_S, STEP_S, VirtualDeadlock, VirtualTimeLoop, run_virtual

__all__ = ["START_S", "STEP_S", "VirtualDeadlock", "VirtualTimeLoop", "run_virtual"]

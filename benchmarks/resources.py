"""What a process used."""

from __future__ import annotations

import re
from pathlib import Path


def peak_mib() -> float:
    """Peak resident memory of this process since its program was loaded. Not `ru_maxrss`, which a process takes over
    from the one that started it."""
    found = re.search(r"^VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text(), re.MULTILINE)
    if found is None:
        raise RuntimeError("the kernel does not tell the peak of resident memory")
    return int(found[1]) / 1024

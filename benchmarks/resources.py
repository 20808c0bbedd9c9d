"""What a process used."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median

_EVERY_S = 0.1


def peak_mib(process: int | None = None) -> float:
    """Peak resident memory of a process, or of this one, since its program was loaded. Not `ru_maxrss`, which a process
    takes over from the one that started it."""
    return _mib("VmHWM", process)


@contextmanager
def usual_mib() -> Iterator[list[float]]:
    """The median of what this process has resident while the block lasts, once it is over: peaks are moments."""
    seen: list[float] = []
    found: list[float] = []
    over = threading.Event()

    def watch() -> None:
        while not over.wait(_EVERY_S):
            seen.append(_mib("VmRSS"))

    watching = threading.Thread(target=watch, daemon=True)
    watching.start()
    try:
        yield found
    finally:
        over.set()
        watching.join()
        found.append(median(seen or [_mib("VmRSS")]))


def _mib(name: str, process: int | None = None) -> float:
    status = Path(f"/proc/{process or 'self'}/status").read_text()
    found = re.search(rf"^{name}:\s+(\d+) kB", status, re.MULTILINE)
    if found is None:
        raise RuntimeError(f"the kernel does not tell {name} of this process")
    return int(found[1]) / 1024

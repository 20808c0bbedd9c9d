"""Files that hold customers: for their owner's eyes only, whatever the umask of the process is."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

_MODE = 0o600


@contextmanager
def replaced(path: Path) -> Iterator[BinaryIO]:
    """A new file (mode 0600) to write to, which takes the place of `path` once the block has ended well: a reader never
    sees half of it, and after a failure what stood there stands still. OSError as the system gives it."""
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    part.unlink(missing_ok=True)  # of a process with our number that was killed
    # Exclusive: through a link that somebody laid there beforehand, another file would be written.
    with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _MODE), "wb") as file:
        try:
            yield file
            file.flush()
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)


class _Umask:
    """The umask belongs to the process, so whoever needs another one shares it, and the last to leave puts it back."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._users = 0
        self._before = 0

    def enter(self) -> None:
        with self._lock:
            before = os.umask(0o077)  # each time: whoever embeds us may have set another one meanwhile
            if not self._users:
                self._before = before
            self._users += 1

    def leave(self) -> None:
        with self._lock:
            self._users -= 1
            if not self._users:
                os.umask(self._before)


private_umask = _Umask()

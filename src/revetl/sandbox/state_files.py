"""A vendor's records in a file, so that a sandbox that is stopped and started again holds the same ones."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from revetl.clock import Clock
from revetl.sandbox.vendor import PersistentVendor

# Files are written once writes have paused this long, or at the latest after so long.
_PAUSE_S = 1.0
_SAVE_AT_LEAST_EVERY_S = 30.0


class StateFile:
    """`load` at the start, `save` whenever `stale`. The file is replaced whole: a crash leaves the earlier one."""

    def __init__(self, path: Path, vendor: PersistentVendor) -> None:
        self._path = path
        self._vendor = vendor
        self._saved_version = vendor.version

    @property
    def version(self) -> int:
        return self._vendor.version

    @property
    def stale(self) -> bool:
        return self._vendor.version != self._saved_version

    def load(self) -> bool:
        """Whether there was anything to load. ValueError, with the path, for a file of another version."""
        if not self._path.exists():
            return False
        document = json.loads(self._path.read_text("utf-8"))
        try:
            self._vendor.restore(document)
        except ValueError as e:
            raise ValueError(f"{self._path}: {e}; remove it to start afresh") from e
        self._saved_version = self._vendor.version
        return True

    def save(self) -> None:
        version = self._vendor.version
        self._path.parent.mkdir(parents=True, exist_ok=True)
        aside = self._path.with_suffix(".json.new")
        with aside.open("w", encoding="utf-8") as file:
            json.dump(self._vendor.dump(), file, separators=(",", ":"))
            file.flush()
            os.fsync(file.fileno())
        aside.replace(self._path)
        self._saved_version = version


@asynccontextmanager
async def keep_state(files: Sequence[StateFile], clock: Clock) -> AsyncIterator[None]:
    """Loads the files, then writes them now and then until left, and what is stale at the end."""
    for file in files:
        file.load()
    saving = [asyncio.create_task(_save_now_and_then(file, clock)) for file in files]
    try:
        yield
    finally:
        for task in saving:
            task.cancel()
        for task in saving:
            with suppress(asyncio.CancelledError):
                await task
        for file in files:
            if file.stale:
                file.save()


async def _save_now_and_then(file: StateFile, clock: Clock) -> None:
    seen, saved_at = file.version, clock.monotonic()
    while True:
        await clock.sleep(_PAUSE_S)
        paused = file.version == seen
        seen = file.version
        if file.stale and (paused or clock.monotonic() - saved_at > _SAVE_AT_LEAST_EVERY_S):
            file.save()
            saved_at = clock.monotonic()

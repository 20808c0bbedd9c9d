"""What a place for files is asked for, and one file on its way there: repeated where that is safe, which it is, since a
file is only ever made where none stands."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from revetl.clock import Clock
from revetl.destinations.files.spool import SpooledFile
from revetl.errors import Ambiguous, CallError, Throttled, Unavailable

_PAUSES_S = (0.5, 2.0, 8.0, 20.0)


class FileStore(Protocol):
    """One folder, bucket or server. Paths are below its url. What is raised is a CallError: Denied, Throttled and
    Unavailable say that certainly nothing was made, Ambiguous that it may have been."""

    async def check(self) -> str:
        """A line for people. Denied where it can't be reached with these credentials."""
        ...

    async def create(self, path: str, file: SpooledFile) -> bool:
        """Makes the file, whole or not at all, with the folders that it needs. False: one stands there, and is as it
        was."""
        ...

    async def holds(self, path: str, file: SpooledFile) -> bool:
        """Whether a file of exactly this content stands there."""
        ...

    async def close(self) -> None: ...


@dataclass(slots=True)
class FileWriter:
    """Counts what it takes. `name`: of the destination, for messages."""

    name: str
    store: FileStore
    clock: Clock
    requests: int = 0
    retries: int = 0

    async def put(self, path: str, file: SpooledFile) -> None:
        """Afterwards this file stands there, made now or by an earlier attempt. Raises as `FileStore.create`; Ambiguous
        too where another file has its name."""
        in_doubt = False
        for pause_s in (*_PAUSES_S, None):
            try:
                self.requests += 1
                file.content.seek(0)
                if await self.store.create(path, file):
                    return
                self.requests += 1
                if await self.store.holds(path, file):
                    return
            except CallError as e:
                in_doubt = in_doubt or isinstance(e, Ambiguous)
                if pause_s is None or not isinstance(e, Ambiguous | Throttled | Unavailable):
                    raise (_ambiguous(e) if in_doubt else e) from None
                self.retries += 1
                await self.clock.sleep(pause_s)
            else:
                raise Ambiguous(
                    f"{self.name}: {path} stands there and is another file than this run makes: it was made with other"
                    " options, or by another version. Remove it, or put the options back, and the next run goes on"
                )
        raise AssertionError("the last attempt returns or raises")


def half_removed(name: str) -> Unavailable:
    """Another attempt at the same file took ours, half made, for what a killed process left."""
    return Unavailable(f"{name}: another attempt at this file removed ours", code="HALF_REMOVED")


def _ambiguous(error: CallError) -> Ambiguous:
    return error if isinstance(error, Ambiguous) else Ambiguous(str(error), code=error.code, status=error.status)

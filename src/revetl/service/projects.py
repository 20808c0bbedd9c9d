"""The project as its files are now, read again while the service runs."""

from __future__ import annotations

import fcntl
import logging
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from revetl.clock import Clock
from revetl.errors import LeaseError, RevetlError
from revetl.schedules.deciding import ScheduleState
from revetl.schedules.spec import Schedule
from revetl.usecases.schedule import Outlook, outlook

if TYPE_CHECKING:
    from revetl.project import Project
    from revetl.warehouse.base import Warehouse

log = logging.getLogger("revetl.service")

_READ_EVERY_S = 60.0


class ProjectBook:
    """`load` reads the project. A mistake that somebody makes in its files while the service runs does not stop it:
    what was declared before holds, the log and `error` say it."""

    def __init__(self, load: Callable[[], Project], clock: Clock) -> None:
        self._load, self._clock = load, clock
        self._project = load()
        self._schedules: Sequence[Schedule] = self._project.schedules()
        self._read_at = clock.monotonic()
        self.error: str | None = None

    @property
    def project(self) -> Project:
        return self._project

    def schedules(self) -> Sequence[Schedule]:
        if self._clock.monotonic() - self._read_at >= _READ_EVERY_S:
            self._read()
        return self._schedules

    def _read(self) -> None:
        self._read_at = self._clock.monotonic()
        try:
            project = self._load()
            self._schedules = project.schedules()
            self._project = project
            self.error = None
        except RevetlError as e:
            if str(e) != self.error:
                log.error("the project can't be read as it is now", extra={"kind": e.kind, "why": str(e)})
            self.error = str(e)

    def outlook(self, warehouse: Warehouse, schedule: Schedule, state: ScheduleState | None) -> Outlook:
        return outlook(self._project, warehouse, schedule, state)

    @contextmanager
    def door(self) -> Iterator[Warehouse]:
        """The warehouse for one look. WarehouseBusy where another process has the file."""
        warehouse = self._project.open_warehouse()
        try:
            yield warehouse
        finally:
            warehouse.close()


class OneService:
    """Of services over one file of a database only one works, for as long as its process lives: the lease in the file
    can't be renewed while a run has it. The system gives the lock back when the process ends, however it ends."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "serve.lock"
        self._descriptor: int | None = None

    def hold(self) -> None:
        """Safe to repeat. LeaseError where another process has it."""
        if self._descriptor is not None:
            return
        self._path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(descriptor)
            raise LeaseError("another `revetl serve` runs the schedules of this file") from None
        self._descriptor = descriptor

    def release(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

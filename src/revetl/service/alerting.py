"""Alerts inside the service: a check with each look, messages between looks."""

from __future__ import annotations

import asyncio
import logging
from datetime import datetime
from typing import TYPE_CHECKING

from revetl.alerts.checking import ToTell, look, tell, write_told
from revetl.alerts.incidents import AlertMessage
from revetl.clock import Clock
from revetl.errors import ConfigError
from revetl.usecases.alerts import budgets, declared, open_channels

if TYPE_CHECKING:
    from revetl.alerts.spec import AlertsFile
    from revetl.service.projects import ProjectBook
    from revetl.warehouse.base import Warehouse

log = logging.getLogger("revetl.service")

_EVERY_S = 30.0  # between two checks, where looks are more frequent


class AlertWatch:
    """The file is read at each check: a rule that is added counts from then on. A mistake in it is logged, and what was
    read before holds."""

    def __init__(self, book: ProjectBook, clock: Clock) -> None:
        self._book, self._clock = book, clock
        self._file: AlertsFile = declared(book.project)  # a mistake at the start is told as one
        open_channels(self._file, clock)
        self._told: list[ToTell] = []
        self._done: list[AlertMessage] = []
        self._checked_at = float("-inf")
        self._busy = asyncio.Lock()

    def looked(self, warehouse: Warehouse, now: datetime) -> None:
        done, self._done = self._done, []
        write_told(warehouse, done)
        if self._clock.monotonic() - self._checked_at < _EVERY_S and not done:
            return
        self._checked_at = self._clock.monotonic()
        try:
            self._file = declared(self._book.project)
        except ConfigError as e:
            log.error("alerts.yml can't be read as it is now", extra={"why": str(e)})
        _, self._told = look(warehouse, self._file, budgets(self._book.project), now)

    async def afterwards(self) -> bool:
        told, self._told = self._told, []
        if not told:
            return False
        project, channels = self._book.project, open_channels(self._file, self._clock)
        self._done += await tell(told, channels, project.name, project.target, self._clock.now(), self._file.page)
        return bool(self._done)

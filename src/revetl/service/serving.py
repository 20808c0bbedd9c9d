"""`revetl serve`, put together."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from revetl.clock import Clock, SystemClock
from revetl.service.launching import SubprocessLauncher
from revetl.service.projects import OneService, ProjectBook
from revetl.service.scheduling import SchedulingWorker, WorkerOptions

if TYPE_CHECKING:
    from revetl.project import Project
    from revetl.warehouse.base import Warehouse

log = logging.getLogger("revetl.service")

_POLL_S = {"duckdb": 5.0, "postgres": 5.0, "snowflake": 30.0}


@dataclass(frozen=True, slots=True, kw_only=True)
class ServeOptions:
    """`flags`: those that say which project, as every command takes them. `parallel`: runs at once; on DuckDB one."""

    flags: Sequence[str] = ()
    parallel: int = 4


async def serve(
    load: Callable[[], Project], options: ServeOptions, stop: asyncio.Event, clock: Clock | None = None
) -> None:
    """Until `stop`. ConfigError where the project can't be read at the start; what goes wrong later is logged."""
    clock = clock or SystemClock()
    book = ProjectBook(load, clock)
    kind = book.project.profile.type
    one = OneService(book.project.state_dir) if kind == "duckdb" else None

    @contextmanager
    def door() -> Iterator[Warehouse]:
        if one is not None:
            one.hold()
        with book.door() as warehouse:
            yield warehouse

    worker = SchedulingWorker(
        door,
        book,
        SubprocessLauncher(options.flags, clock=clock),
        clock,
        WorkerOptions(
            parallel=options.parallel,
            poll_s=_POLL_S.get(kind, 5.0),
            exclusive=kind == "duckdb",
            lazy=kind != "postgres",
        ),
    )
    log.info("serving", extra={"target": book.project.target, "schedules": len(book.schedules())})
    try:
        await worker.run(stop)
    finally:
        if one is not None:
            one.release()

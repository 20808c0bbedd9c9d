"""`revetl serve`, put together."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from revetl.alerts.spec import FILE_NAME as ALERTS_FILE
from revetl.clock import Clock, SystemClock
from revetl.errors import ConfigError
from revetl.service.alerting import AlertWatch
from revetl.service.launching import SubprocessLauncher
from revetl.service.operations.running import OperationProcess, OperationRunner
from revetl.service.projects import OneService, ProjectBook
from revetl.service.scheduling import SchedulingWorker, WorkerOptions

if TYPE_CHECKING:
    from starlette.applications import Starlette

    from revetl.project import Project
    from revetl.warehouse.base import Warehouse

log = logging.getLogger("revetl.service")

_ALERTS_EVERY_S = 300.0  # where nothing is due: a sync that is late is told within five minutes
_POLL_S = {"duckdb": 5.0, "postgres": 5.0, "snowflake": 30.0}


@dataclass(frozen=True, slots=True, kw_only=True)
class ServeOptions:
    """`flags`: those that say which project, as every command takes them. `parallel`: runs at once; on DuckDB one.
    `port`: of the page, on loopback; 0 is any free one, None is no page."""

    flags: Sequence[str] = ()
    parallel: int = 4
    port: int | None = None


async def serve(
    load: Callable[[], Project], options: ServeOptions, stop: asyncio.Event, clock: Clock | None = None
) -> None:
    """Until `stop`. ConfigError where the project can't be read at the start, or the port is taken; what goes wrong
    later is logged."""
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

    watch = AlertWatch(book, clock) if (book.project.root / ALERTS_FILE).exists() else None
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
            look_every_s=_ALERTS_EVERY_S if watch is not None else None,
        ),
        watch=watch,
    )
    log.info("serving", extra={"target": book.project.target, "schedules": len(book.schedules())})
    exclusive = one is not None
    try:
        async with AsyncExitStack() as stack:
            if options.port is not None:
                application, page_server = _web()
                process = OperationProcess(options.flags, clock)
                runner = OperationRunner(
                    door, process, clock, worker.state.worker, exclusive=exclusive, lazy=kind == "snowflake"
                )
                app = application(book, book.door, worker.state, runner, clock, exclusive=exclusive)
                await stack.enter_async_context(_running(runner))
                await stack.enter_async_context(page_server(app, options.port))
            await worker.run(stop)
    finally:
        if one is not None:
            one.release()


@asynccontextmanager
async def _running(runner: OperationRunner) -> AsyncIterator[None]:
    stop = asyncio.Event()
    task = asyncio.create_task(runner.run(stop))
    try:
        yield
    finally:
        stop.set()
        await task


def _web() -> tuple[Callable[..., Starlette], Callable[[Any, int], AbstractAsyncContextManager[int]]]:
    """ConfigError where the extra is not installed."""
    try:
        from revetl.service.page.server import page_server
        from revetl.service.web import web_application
    except ModuleNotFoundError as e:
        hint = "pip install 'revetl[service]', or `revetl serve --no-page`."
        raise ConfigError(f"the page needs {e.name}, which is not installed", hint=hint) from None
    return web_application, page_server

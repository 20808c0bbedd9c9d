"""The page and the API on one address, put together. Loaded where `revetl serve` shows a page."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AbstractContextManager

from starlette.applications import Starlette

from revetl.clock import Clock
from revetl.context import Offload
from revetl.service.api.app import Api
from revetl.service.api.handlers import ApiHandlers
from revetl.service.operations.accepting import OperationIntake
from revetl.service.operations.running import OperationRunner
from revetl.service.page.acts import ActPages
from revetl.service.page.app import Page
from revetl.service.projects import ProjectBook
from revetl.service.scheduling import WorkerState
from revetl.warehouse.base import Warehouse


def web_application(
    book: ProjectBook,
    door: Callable[[], AbstractContextManager[Warehouse]],
    state: WorkerState,
    runner: OperationRunner,
    clock: Clock,
    *,
    exclusive: bool,
    offload: Offload = asyncio.to_thread,
) -> Starlette:
    """`door` opens the warehouse for a moment; on DuckDB not beside a run of this service."""
    page = Page(book, door, state, clock, exclusive=exclusive, offload=offload, in_use=lambda: runner.busy)
    intake = OperationIntake(page.opened, runner, clock, lambda: book.project.approvals, offload=offload)
    handlers = ApiHandlers(book, page.opened, page.fresh, intake, runner, clock, offload=offload)
    api = Api(handlers, page.tokens, intake, clock)
    return page.app([*api.routes(), *ActPages(page, api, page.tokens, runner).routes()])

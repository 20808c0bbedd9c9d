"""The routes of the page that anybody on this machine may read: no request leaves it, no script, everything that data
holds escaped. What changes something is in `acts.py`, for who has signed in.

What keeps a stranger out: it listens on loopback alone, and a request whose Host is another name is refused, so that no
website can reach it through a name that it points at 127.0.0.1 (DNS rebinding).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from revetl import __version__
from revetl.clock import Clock
from revetl.context import Offload
from revetl.errors import RevetlError, WarehouseBusy
from revetl.safe_text import for_terminal
from revetl.service.access import TokenBook
from revetl.service.page.metrics import exposition
from revetl.service.page.reading import Overview, changes_of, overview, run_page
from revetl.service.page.sessions import PageSessions
from revetl.service.page.visitors import LOCAL_READER, Visitor, visitor_of
from revetl.service.problems import ServiceProblem
from revetl.service.projects import ProjectBook
from revetl.service.scheduling import WorkerState
from revetl.warehouse.base import Warehouse

if TYPE_CHECKING:
    from revetl.project import Project

log = logging.getLogger("revetl.service")

HOSTS = frozenset({"127.0.0.1", "localhost", "[::1]"})
_HEADERS = (
    (b"content-security-policy", b"default-src 'none'; style-src 'self'; form-action 'self'; base-uri 'none';"
     b" frame-ancestors 'none'"),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),  # a key that was searched for stands in the address
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cache-control", b"no-store"),
)  # fmt: skip
_FRESH_S = 5.0  # what many ask for is read once in so long
_LONGEST_QUERY = 2_000
_LONGEST_OF_API = 16_384  # two keys of 500 characters, each of which may take 12 bytes, and the rest
_LOOK_FAILED = "The last look at the schedules failed. The log of the service says why."
_NOBODY = Visitor(LOCAL_READER)
_STATUSES = ("", "ok", "accepted", "rejected", "skipped", "unknown")


class _Guard:
    """Refuses a foreign Host and overlong addresses, and puts the headers on every answer."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def with_headers(message: Any) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", []), *_HEADERS]
            await send(message)

        if scope["type"] != "http":
            return
        hosts = [value.decode("latin-1") for name, value in scope["headers"] if name == b"host"]
        if len(hosts) != 1 or _without_port(hosts[0]) not in HOSTS:
            response: ASGIApp = PlainTextResponse("This page answers on 127.0.0.1 and localhost alone.\n", 421)
        elif scope["path"].startswith("/v1/"):
            long = len(scope.get("query_string", b"")) > _LONGEST_OF_API
            response = ServiceProblem("address-too-long", "Of 16 KiB at most.").response() if long else self._app
        elif len(scope.get("query_string", b"")) > _LONGEST_QUERY:
            response = PlainTextResponse("The address is too long.\n", 414)
        else:
            response = self._app
        await response(scope, receive, with_headers)


def _without_port(host: str) -> str:
    name, colon, port = host.rpartition(":")
    return name if colon and port.isdigit() else host


class Page:
    """`door` opens the warehouse for one request; `state` is the worker's, whose run has a DuckDB file for itself."""

    def __init__(
        self,
        book: ProjectBook,
        door: Callable[[], AbstractContextManager[Warehouse]],
        state: WorkerState,
        clock: Clock,
        *,
        exclusive: bool,
        offload: Offload = asyncio.to_thread,
        in_use: Callable[[], bool] = lambda: False,
    ) -> None:
        """`in_use`: whether something else than a scheduled run has the file."""
        self.sessions = PageSessions(clock)
        self.tokens = TokenBook(self.opened, clock, offload=offload)
        self._book, self._door, self._state, self._clock, self._offload = book, door, state, clock, offload
        self._exclusive, self._in_use = exclusive, in_use
        self._overview: Overview | None = None
        self._templates = Environment(
            loader=PackageLoader("revetl.service.page"),
            autoescape=True,
            undefined=StrictUndefined,
            finalize=_shown,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._templates.filters |= {"moment": _moment, "age": self._age, "count": lambda n: f"{n:,}"}

    def app(self, more: Sequence[BaseRoute] = ()) -> Starlette:
        """`more`: routes of others on the same address."""
        routes = [
            *more,
            Route("/", self.safe(self._index)),
            Route("/runs/{run_id}", self.safe(self._run)),
            Route("/style.css", self._style),
            Route("/metrics", self.safe(self._metrics)),
            Route("/healthz", self._healthz),
            Route("/readyz", self._readyz),
        ]
        return Starlette(routes=routes, middleware=[Middleware(_Guard)], exception_handlers={404: self._missing})

    def safe(self, handler: Callable[[Request], Awaitable[Response]]) -> Callable[[Request], Awaitable[Response]]:
        """A warehouse that is away is said on the page, with nothing of a traceback."""

        async def handling(request: Request) -> Response:
            try:
                return await handler(request)
            except WarehouseBusy:
                said = "A run works in the database file. It is shown when that has ended."
                return self.html("error.html", 503, title="In use", said=said)
            except ServiceProblem as problem:
                return self.html("error.html", problem.status, title=problem.title, said=problem.detail)
            except RevetlError as e:
                log.warning("a page could not be read", extra={"kind": e.kind, "why": str(e)})
                said = "The warehouse can't be read at this moment. The log of the service says why."
                return self.html("error.html", 503, title="Not to be read", said=said)

        return handling

    async def visitor(self, request: Request) -> Visitor:
        return await visitor_of(request, self.sessions, self.tokens)

    @property
    def project(self) -> Project:
        return self._book.project

    async def read(self, read: Callable[[Warehouse], Any]) -> Any:
        """By one opening of the warehouse. WarehouseBusy and WarehouseError where that can't be."""

        def reading() -> Any:
            with self.opened() as warehouse:
                return read(warehouse)

        return await self._offload(reading)

    async def _index(self, request: Request) -> Response:
        visitor = await self._visitor_or_reader(request)
        found, stale = await self.fresh()
        return self.html(
            "overview.html",
            visitor=visitor,
            title="Syncs",
            overview=found,
            stale=stale,
            error=self._book.error or (self._state.error and _LOOK_FAILED),
        )

    async def _visitor_or_reader(self, request: Request) -> Visitor:
        """What was read before is shown beside a run, though nobody can be known then who was not known before."""
        try:
            return await self.visitor(request)
        except WarehouseBusy:
            return Visitor(LOCAL_READER)

    async def _run(self, request: Request) -> Response:
        visitor = await self.visitor(request)
        said = {name: request.query_params.get(name, "") for name in ("search", "status", "after")}
        if said["status"] not in _STATUSES:
            said["status"] = ""
        found = await self._offload(self._read_run, request.path_params["run_id"], said)
        if found is None:
            return self.html("error.html", 404, title="No such run", said="There is no run of this id.")
        return self.html(
            "run.html",
            visitor=visitor,
            title=found.run.subject or "",
            page=found,
            said=said,
            statuses=_STATUSES,
            changes=changes_of,
            declared=found.run.subject in {spec.name for spec in self.project.syncs(verified=False)}
            if visitor.acts
            else False,
        )

    def _read_run(self, run_id: str, said: dict[str, str]) -> Any:
        with self.opened() as warehouse:
            return run_page(warehouse, run_id, **said)

    async def fresh(self) -> tuple[Overview, bool]:
        """The overview, and whether it is of before, as the file is in use. WarehouseBusy where there is none yet."""
        now = self._clock.now()
        if self._overview is not None and (now - self._overview.read_at).total_seconds() < _FRESH_S:
            return self._overview, False
        try:
            self._overview = await self._offload(self._read_overview, now)
        except WarehouseBusy:
            if self._overview is None:
                raise
            return self._overview, True
        return self._overview, False

    def _read_overview(self, now: datetime) -> Overview:
        with self.opened() as warehouse:
            return overview(warehouse, self._book.schedules(), now)

    def opened(self) -> AbstractContextManager[Warehouse]:
        """The warehouse for a moment. WarehouseBusy beside a run of ours that has the file."""
        if self._exclusive and (self._state.running or self._in_use()):
            raise WarehouseBusy("a run has the file")
        return self._door()

    async def _metrics(self, _request: Request) -> Response:
        found, _ = await self.fresh()
        body, type_ = exposition(found, self._state)
        return Response(body, media_type=type_)

    async def _healthz(self, _request: Request) -> Response:
        return JSONResponse({"status": "ok", "version": __version__})

    async def _readyz(self, _request: Request) -> Response:
        """Ready once a look went well, whoever has the lease."""
        state = self._state
        looked = state.looked_at is not None or state.holder is not None
        ready = looked and state.error is None
        document = {
            "status": "ready" if ready else "not ready",
            "leading": state.leading,
            "looked_at": state.looked_at.isoformat() if state.looked_at else None,
            "running": sorted(state.running),
        }
        return JSONResponse(document, 200 if ready else 503)

    async def _style(self, _request: Request) -> Response:
        source = self._templates.loader
        assert source is not None  # noqa: S101 - it is made with one
        text, _, _ = source.get_source(self._templates, "style.css")
        return Response(text, media_type="text/css")

    async def _missing(self, _request: Request, _error: Exception) -> Response:
        return self.html("error.html", 404, title="Not here", said="There is no such page.")

    def html(self, name: str, status: int = 200, *, visitor: Visitor = _NOBODY, **values: Any) -> Response:
        project = self._book.project
        common = {"project": project.name, "target": project.target, "version": __version__, "visitor": visitor}
        return HTMLResponse(self._templates.get_template(name).render(**common, **values), status)

    def _age(self, moment: datetime | None) -> str:
        """How long ago, in one unit."""
        if moment is None:
            return ""
        s = max(0, int((self._clock.now() - moment).total_seconds()))
        for unit, length in (("d", 86_400), ("h", 3_600), ("min", 60)):
            if s >= length:
                return f"{s // length} {unit}"
        return f"{s} s"


def _shown(value: Any) -> Any:
    """Text of strangers on one line, with nothing unseen in it; Jinja escapes it after."""
    if value is None:
        return ""
    return for_terminal(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _moment(moment: datetime | None) -> str:
    return "" if moment is None else f"{moment:%Y-%m-%d %H:%M}"

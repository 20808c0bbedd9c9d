"""`/v1` over HTTP: who asks, how often, how much, and what of it fits, before a handler sees it."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from pydantic import BaseModel, ValidationError
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from revetl.accounts.tokens import AccessToken
from revetl.clock import Clock
from revetl.errors import RevetlError, WarehouseBusy
from revetl.service.access import TokenBook
from revetl.service.api.handlers import LONGEST_WAIT_S, ApiCall, ApiHandlers
from revetl.service.api.openapi import document
from revetl.service.api.routes import ROUTES, ApiRoute
from revetl.service.operations.accepting import Asker, OperationIntake
from revetl.service.problems import ServiceProblem
from revetl.service.rate_limits import RateLimit

log = logging.getLogger("revetl.service")

MOST_BODY = 64 * 1024
_BURST, _PER_S = 60, 20.0
_RETRY_BUSY_S = 2.0
_KEY = re.compile(r"[!-~]{1,200}")
_PATH_TEXT = re.compile(r"[^\x00-\x1f\x7f-\x9f]{1,200}")
_WAIT = re.compile(r"(?:^|[,;\s])wait=(\d{1,5})(?=$|[,;\s])")
_TOLD_ERRORS = 10


class Api:
    """The routes of `/v1`, for the application that has the page."""

    def __init__(
        self,
        handlers: ApiHandlers,
        tokens: TokenBook,
        intake: OperationIntake,
        clock: Clock,
        *,
        routes: Sequence[ApiRoute] = ROUTES,
    ) -> None:
        self._handlers, self._tokens, self._intake, self._table = handlers, tokens, intake, routes
        self._limit = RateLimit(clock, burst=_BURST, per_s=_PER_S)
        self._document = json.dumps(document(routes), indent=1)

    def routes(self) -> list[Route]:
        return [
            Route("/v1/openapi.json", self._openapi, methods=["GET"]),
            *(
                Route(each.path, self._answering(each), methods=[each.method])
                for each in sorted(self._table, key=lambda route: route.path)
            ),
        ]

    async def perform(
        self, handler: str, asker: Asker, *, path: Mapping[str, str], body: bytes, key: str, secret: str
    ) -> BaseModel:
        """What a form of the page asks, with the checks of its route. ServiceProblem where it is refused."""
        route = next(each for each in self._table if each.handler == handler and each.body is not None)
        await self._check_right(route, asker)
        _check_path(path)
        call = ApiCall(
            asker=asker, path=path, query=None, body=_parsed(route.body, body), key=_checked_key([key]), secret=secret
        )
        found: BaseModel = await getattr(self._handlers, handler)(call)
        return found

    async def _check_right(self, route: ApiRoute, asker: Asker) -> None:
        if not asker.principal.may(route.right):
            await self._intake.refused(asker, route.handler, None)
            said = f"It takes the right to {route.right}; this is a {asker.principal.role}."
            raise ServiceProblem("not-allowed", said)

    async def _openapi(self, _request: Request) -> Response:
        return Response(self._document, media_type="application/json")

    def _answering(self, route: ApiRoute) -> Callable[[Request], Awaitable[Response]]:
        handler: Callable[[ApiCall], Awaitable[BaseModel]] = getattr(self._handlers, route.handler)

        async def answer(request: Request) -> Response:
            try:
                response = await self._answer(route, handler, request)
            except ServiceProblem as problem:
                response = problem.response()
            except WarehouseBusy:
                response = ServiceProblem(
                    "warehouse-busy", "Nothing was done. Ask again.", retry_after_s=_RETRY_BUSY_S
                ).response()
            except RevetlError as e:
                log.warning("an API request failed", extra={"kind": e.kind, "why": str(e), "route": route.handler})
                response = ServiceProblem(
                    "warehouse-away", "The log of the service says why.", retry_after_s=_RETRY_BUSY_S
                ).response()
            response.headers.update(route.headers())
            return response

        return answer

    async def _answer(
        self, route: ApiRoute, handler: Callable[[ApiCall], Awaitable[BaseModel]], request: Request
    ) -> Response:
        address = request.client.host if request.client is not None else "unknown"
        token, secret = await self._who(request, address)
        asker = Asker(token.principal, f"api from {address}")
        path = dict(request.path_params)
        await self._check_right(route, asker)
        _check_path(path)
        query = _read_query(route, request)
        body = _parsed(route.body, await _read_body(request)) if route.body is not None else None
        call = ApiCall(
            asker=asker,
            path=path,
            query=query,
            body=body,
            key=_checked_key(request.headers.getlist("idempotency-key")) if route.act else "",
            secret=secret,
            wait_s=_wait_s(request) if route.act else 0.0,
        )
        found = await handler(call)
        status = 200 if route.act and getattr(found, "ended_at", None) is not None else route.status
        response = JSONResponse(found.model_dump(mode="json"), status)
        if route.act:
            response.headers["Location"] = f"/v1/operations/{getattr(found, 'operation_id', '')}"
        return response

    async def _who(self, request: Request, address: str) -> tuple[AccessToken, str]:
        given = request.headers.getlist("authorization")
        scheme, _, secret = given[0].partition(" ") if len(given) == 1 else ("", "", "")
        if scheme.lower() != "bearer" or not secret:
            raise ServiceProblem("no-token", "Authorization: Bearer TOKEN. `revetl token create` makes one.")
        token = await self._tokens.find(secret.strip(), address)
        if (wait_s := self._limit.take(token.token_id)) is not None:
            raise ServiceProblem("too-many-requests", "This token asks too often.", retry_after_s=wait_s)
        return token, secret.strip()


def _read_query(route: ApiRoute, request: Request) -> BaseModel:
    pairs = request.query_params.multi_items()
    if len({name for name, _ in pairs}) != len(pairs):
        raise ServiceProblem("invalid", "A parameter stands in the address twice.")
    try:
        return route.query.model_validate(dict(pairs))
    except ValidationError as e:
        raise _invalid(e) from None


async def _read_body(request: Request) -> bytes:
    type_ = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if type_ != "application/json":
        raise ServiceProblem("wrong-media-type", "Content-Type: application/json")
    found = bytearray()
    async for chunk in request.stream():
        found += chunk
        if len(found) > MOST_BODY:
            raise ServiceProblem("too-large", f"A body is {MOST_BODY // 1024} KiB at most.")
    return bytes(found)


def _parsed(model: type[BaseModel] | None, raw: bytes) -> BaseModel:
    if model is None:
        raise ServiceProblem("not-found", "Nothing is asked by this.")
    try:
        return model.model_validate_json(raw)
    except ValidationError as e:
        if any(error["type"] == "json_invalid" for error in e.errors(include_input=False, include_url=False)):
            raise ServiceProblem("bad-request", "The body is not JSON.") from None
        raise _invalid(e) from None


def _invalid(error: ValidationError) -> ServiceProblem:
    """Names places and what is wrong there; not what was sent."""
    told: list[Mapping[str, Any]] = [
        {"at": ".".join(map(str, each["loc"]))[:200], "said": each["msg"]}
        for each in error.errors(include_input=False, include_url=False, include_context=False)[:_TOLD_ERRORS]
    ]
    return ServiceProblem("invalid", "Fields that are missing, too many, or of another form.", errors=told)


def _check_path(path: Mapping[str, str]) -> None:
    if not all(_PATH_TEXT.fullmatch(text) for text in path.values()):
        raise ServiceProblem("not-found", "Nothing has such a name.")


def _checked_key(given: Sequence[str]) -> str:
    if len(given) != 1 or not _KEY.fullmatch(given[0]):
        raise ServiceProblem("invalid", "Idempotency-Key: 1 to 200 visible characters of ASCII, once.")
    return given[0]


def _wait_s(request: Request) -> float:
    found = _WAIT.search(request.headers.get("prefer", ""))
    return min(LONGEST_WAIT_S, float(found[1])) if found else 0.0

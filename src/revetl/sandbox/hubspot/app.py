"""The portal over HTTP: routes, credentials, limits. Endpoint functions know nothing of HTTP but status and body."""

from __future__ import annotations

import json
from typing import Any

from aiohttp import web

from revetl.sandbox.hubspot import errors, search
from revetl.sandbox.hubspot.errors import ApiError
from revetl.sandbox.hubspot.limits import RateLimits
from revetl.sandbox.hubspot.portal import TOKEN_LIFETIME_S, Portal, PortalCall
from revetl.sandbox.hubspot.routes import FAMILIES, TOKEN_PATHS, ServedRoute, all_routes
from revetl.sandbox.hubspot.standard_objects import OTHER_STANDARD_OBJECTS
from revetl.sandbox.vendor import Handler, Routes


class HubSpotApp:
    """`requests`, `writes` (requests that may change something), `refused` (4xx and 5xx) count since the start."""

    def __init__(self, portal: Portal, limits: RateLimits) -> None:
        self.portal = portal
        self.limits = limits
        self.requests = 0
        self.writes = 0
        self.refused = 0
        self._routes = tuple(all_routes())

    def add_routes(self, routes: Routes) -> None:
        for route in self._routes:
            routes.add(route.method, route.path, self._handler(route))
        for path in TOKEN_PATHS:
            routes.post(path, self._token)
        for family in FAMILIES:
            routes.add("*", family + "/{rest:.*}", self._elsewhere)

    def _handler(self, route: ServedRoute) -> Handler:
        async def handle(request: web.Request) -> web.StreamResponse:
            self.requests += 1
            self.writes += route.writes
            headers: dict[str, str] = {}
            try:
                if not route.public:
                    token, oauth = self.portal.authenticate(request.headers.get("Authorization"))
                    headers = self.limits.take(token, search=route.searches, oauth=oauth)
                    self.portal.require_scope(token, self._scopes(route, request))
                status, body = route.endpoint(await self._call(request, searching=route.searches))
            except ApiError as e:
                self.refused += 1
                return answer(e.status, e.body(), headers)
            return answer(status, body, headers)

        return handle

    def _scopes(self, route: ServedRoute, request: web.Request) -> list[str]:
        """Of the objects that the address names. 400 for an object that there is not, which is found before the scopes
        are looked at (measured by a third party)."""
        objects = {}
        for name in ("type", "from", "to"):
            if name in request.match_info:
                object_ = self.portal.canonical(request.match_info[name])
                objects[name] = object_ if object_ in OTHER_STANDARD_OBJECTS else self._scoped_as(object_)
        scopes = [scope.format(**objects) for scope in route.scopes]
        # Whatever is done with tickets takes the one scope of that name (spec).
        return list(dict.fromkeys("tickets" if ".tickets." in scope else scope for scope in scopes))

    def _scoped_as(self, object_: str) -> str:
        """All types that an account defines share their scopes (spec)."""
        type_ = self.portal.store(object_).type
        return "custom" if type_ in self.portal.custom else type_

    async def _call(self, request: web.Request, *, searching: bool) -> PortalCall:
        body: Any = None
        if request.can_read_body:
            raw = await request.read()
            if (
                searching
                and len(raw) > search.BODY_MAX_CHARS
                and len(raw.decode(errors="replace")) > search.BODY_MAX_CHARS
            ):
                raise errors.invalid_input(f"The request body is longer than {search.BODY_MAX_CHARS} characters")
            try:
                body = json.loads(raw)
            except ValueError:
                raise errors.invalid_json("the body is not JSON") from None
        match, url = request.match_info, f"{request.scheme}://{request.host}{request.path}"
        return PortalCall(self.portal, self.portal.canonical(match.get("type", "")), match, request.query, body, url)

    async def _token(self, request: web.Request) -> web.StreamResponse:
        """Any refresh token serves except one with `bad` in it."""
        form = await request.post()
        refresh = str(form.get("refresh_token", ""))
        if form.get("grant_type") != "refresh_token" or not refresh or "bad" in refresh:
            body = {"status": "BAD_REFRESH_TOKEN", "message": "missing or invalid refresh token"}
            return answer(400, body, {})
        token = self.portal.issue_token()
        granted = {"access_token": token, "refresh_token": refresh, "expires_in": TOKEN_LIFETIME_S}
        return answer(200, {**granted, "token_type": "bearer"}, {})

    async def _elsewhere(self, request: web.Request) -> web.StreamResponse:
        """Where nothing is served: 405 with an empty body and the methods that there are (captured), or 404 as JSON."""
        self.requests += 1
        self.refused += 1
        allowed = sorted({route.method for route in self._routes if route.is_at(request.path)})
        if request.path in TOKEN_PATHS:
            allowed = ["POST"]
        if allowed:
            return answer(405, None, {"Allow": ",".join([*allowed, "OPTIONS"])})
        return answer(404, errors.not_found().body(), {"X-HubSpot-NotFound": "true"})


def answer(status: int, body: Any, headers: dict[str, str]) -> web.Response:
    if body is None:
        return web.Response(status=status, headers=headers)
    raw = json.dumps(body, separators=(",", ":")).encode()
    return web.Response(status=status, body=raw, headers=headers, content_type="application/json", charset="utf-8")

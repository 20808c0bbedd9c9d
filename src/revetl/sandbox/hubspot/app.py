"""The portal over HTTP: routes, credentials, limits. Endpoint functions know nothing of HTTP but status and body."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from aiohttp import web

from revetl.sandbox.hubspot import associations, batch, errors, objects, properties, search
from revetl.sandbox.hubspot.errors import ApiError
from revetl.sandbox.hubspot.limits import RateLimits
from revetl.sandbox.hubspot.portal import TOKEN_LIFETIME_S, Portal, PortalCall, Reply, canonical_type
from revetl.sandbox.vendor import Handler, Routes

Endpoint = Callable[[PortalCall], Reply]

DATED = ("2026-03", "2026-09")

_OBJECTS: tuple[tuple[str, str, Endpoint], ...] = (
    ("POST", "/batch/create", batch.create),
    ("POST", "/batch/read", batch.read),
    ("POST", "/batch/update", batch.update),
    ("POST", "/batch/upsert", batch.upsert),
    ("POST", "/batch/archive", batch.archive),
    ("POST", "/search", search.search),
    ("POST", "/merge", objects.merge),
    ("POST", "/gdpr-delete", objects.gdpr_delete),
    ("GET", "", objects.list_all),
    ("POST", "", objects.create),
    ("GET", "/{id}", objects.read),
    ("PATCH", "/{id}", objects.update),
    ("DELETE", "/{id}", objects.archive),
)
_PROPERTIES: tuple[tuple[str, str, Endpoint], ...] = (
    ("POST", "/batch/create", properties.batch_create),
    ("POST", "/batch/read", properties.batch_read),
    ("POST", "/batch/archive", properties.batch_archive),
    ("GET", "", properties.list_all),
    ("POST", "", properties.create),
    ("GET", "/{name}", properties.read),
    ("PATCH", "/{name}", properties.update),
    ("DELETE", "/{name}", properties.archive),
)
_ASSOCIATIONS: tuple[tuple[str, str, Endpoint], ...] = (
    ("GET", "/labels", associations.labels),
    ("POST", "/batch/create", associations.create),
    ("POST", "/batch/read", associations.read),
    ("POST", "/batch/archive", associations.archive),
    ("POST", "/batch/labels/archive", associations.archive_labels),
    ("POST", "/batch/associate/default", associations.associate_default),
)
# Of POST endpoints, those that change nothing.
_READING = frozenset({batch.read, search.search, properties.batch_read, associations.read})


class HubSpotApp:
    """`requests`, `writes` (requests that may change something), `refused` (4xx and 5xx) count since the start."""

    def __init__(self, portal: Portal, limits: RateLimits) -> None:
        self.portal = portal
        self.limits = limits
        self.requests = 0
        self.writes = 0
        self.refused = 0

    def add_routes(self, routes: Routes) -> None:
        for base in ("/crm/v3/objects", *(f"/crm/objects/{d}" for d in DATED)):
            self._add(routes, base + "/{type}", _OBJECTS)
        for base in ("/crm/v3/properties", *(f"/crm/properties/{d}" for d in DATED)):
            self._add(routes, base + "/{type}", _PROPERTIES)
        for base in ("/crm/v4/associations", *(f"/crm/associations/{d}" for d in DATED)):
            self._add(routes, base + "/{from}/{to}", _ASSOCIATIONS)
        listed = (("GET", "/crm/v4/objects/{type}/{id}/associations/{to}", associations.list_of),)
        self._add(routes, "", listed)
        self._add(routes, "", (("GET", "/account-info/v3/details", _account),))
        routes.post("/oauth/v1/token", self._token)

    def _add(self, routes: Routes, base: str, table: tuple[tuple[str, str, Endpoint], ...]) -> None:
        for method, path, endpoint in table:
            routes.add(method, base + path, self._handler(method, endpoint))

    def _handler(self, method: str, endpoint: Endpoint) -> Handler:
        writes = method != "GET" and endpoint not in _READING
        searching = endpoint is search.search

        async def handle(request: web.Request) -> web.StreamResponse:
            self.requests += 1
            self.writes += writes
            headers: dict[str, str] = {}
            try:
                token, oauth = self.portal.authenticate(request.headers.get("Authorization"))
                headers = self.limits.take(token, search=searching, oauth=oauth)
                if writes and "readonly" in token:
                    raise errors.missing_scopes([f"crm.objects.{request.match_info.get('type', 'contacts')}.write"])
                status, body = endpoint(await self._call(request, searching=searching))
            except ApiError as e:
                self.refused += 1
                return answer(e.status, e.body(), headers)
            return answer(status, body, headers)

        return handle

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
        match = request.match_info
        return PortalCall(self.portal, canonical_type(match.get("type", "")), match, request.query, body, request.path)

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


def _account(call: PortalCall) -> Reply:
    return 200, {
        "portalId": call.portal.portal_id,
        "accountType": "DEVELOPER_TEST",
        "timeZone": "UTC",
        "companyCurrency": "USD",
        "uiDomain": "app.hubspot.com",
        "dataHostingLocation": "na1",
    }


def answer(status: int, body: Any, headers: dict[str, str]) -> web.Response:
    if body is None:
        return web.Response(status=status, headers=headers)
    raw = json.dumps(body, separators=(",", ":")).encode()
    return web.Response(status=status, body=raw, headers=headers, content_type="application/json", charset="utf-8")

"""Mailroom on this machine: `revetl sandbox start` serves it at /mailroom."""

from __future__ import annotations

from typing import Any

from aiohttp import web

from revetl.sandbox.vendor import Routes, SandboxVendor, VendorContext, VendorOptions


class MailroomSandbox(SandboxVendor):
    name = "mailroom"

    def __init__(self, context: VendorContext, options: VendorOptions) -> None:
        self.subscribers: dict[str, dict[str, Any]] = {}
        self._last_id = 0
        self._requests = 0

    def add_routes(self, routes: Routes) -> None:
        routes.post("/v1/ping", self._ping)
        routes.post("/v1/subscribers/save", self._save)
        routes.post("/v1/subscribers/remove", self._remove)
        routes.post("/v1/subscribers/find", self._find)

    def reset(self, *, keep_records: bool = False) -> None:
        self._requests = 0
        if not keep_records:
            self.subscribers.clear()

    def stats(self, *, calls: bool = False) -> dict[str, Any]:
        return {"requests": self._requests, "records": {"subscribers": len(self.subscribers)}}

    async def _body(self, request: web.Request) -> dict[str, Any]:
        self._requests += 1
        if "bad" in request.headers.get("x-api-key", "bad"):
            raise web.HTTPUnauthorized
        body: dict[str, Any] = await request.json()
        return body

    async def _ping(self, request: web.Request) -> web.Response:
        await self._body(request)
        return web.json_response({"account": "sandbox"})

    async def _save(self, request: web.Request) -> web.Response:
        """Answers 200 with results and errors side by side, as Mailroom does."""
        results, errors = [], []
        for item in (await self._body(request))["subscribers"]:
            fields = {**item["fields"]}
            if "email" in fields:
                fields["email"] = str(fields["email"]).strip().lower()
            id_ = item["id"] or self._by_email(fields.get("email"))
            if "@" not in fields.get("email", "@"):
                errors.append({"ref": item["ref"], "code": "BAD_EMAIL", "message": "email is no address"})
            elif len(fields.get("name") or "") > 100:
                errors.append({"ref": item["ref"], "code": "NAME_TOO_LONG", "message": "name has over 100 characters"})
            elif item["id"] and item["id"] not in self.subscribers:
                errors.append({"ref": item["ref"], "code": "GONE", "message": "there is no such subscriber"})
            else:
                if id_ is None:
                    self._last_id += 1
                    id_ = f"sub_{self._last_id}"
                self.subscribers.setdefault(id_, {}).update(fields)
                results.append({"ref": item["ref"], "id": id_})
        return web.json_response({"results": results, "errors": errors})

    async def _remove(self, request: web.Request) -> web.Response:
        inputs = (await self._body(request))["subscribers"]
        for item in inputs:
            self.subscribers.pop(item["id"], None)
        return web.json_response({"results": [{"ref": i["ref"], "id": i["id"]} for i in inputs], "errors": []})

    async def _find(self, request: web.Request) -> web.Response:
        body = await self._body(request)
        emails, ids = set(body.get("emails", ())), set(body.get("ids", ()))
        found = [{"id": i, **s} for i, s in self.subscribers.items() if i in ids or s["email"] in emails]
        return web.json_response({"results": found})

    def _by_email(self, email: str | None) -> str | None:
        return next((i for i, s in self.subscribers.items() if s["email"] == email), None)

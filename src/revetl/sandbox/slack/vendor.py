"""Slack's Web API and incoming webhooks, as far as messages go. Any token serves that begins with `xoxb-`, unless it
holds `bad`; a webhook is `/slack/services/T…/B…/…`, and posts into #general."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from aiohttp import web
from pydantic import Field

from revetl.sandbox.slack.workspace import BOT_ID, BOT_USER, SlackChannel, SlackRefusal, SlackWorkspace
from revetl.sandbox.vendor import Handler, Routes, SandboxVendor, VendorContext, VendorOptions

Arguments = dict[str, Any]
Method = Callable[[Arguments], dict[str, Any]]

_SCOPES = ("chat:write", "channels:read", "groups:read", "channels:history", "groups:history")
_PAGED = {"cursor", "limit"}
_SPAN = {"channel", "oldest", "latest", "inclusive", "include_all_metadata", *_PAGED}
_MESSAGE = {"channel", "text", "blocks", "link_names", "parse", "metadata", "as_user", "attachments"}
_POST = {*_MESSAGE, "thread_ts", "mrkdwn", "unfurl_links", "unfurl_media", "reply_broadcast"}
_FALSE = ("", "0", "false", "False", False, None)


class SlackOptions(VendorOptions):
    """`scopes`: what the token may do. `page_rows`: the longest page."""

    scopes: tuple[str, ...] = Field(default=_SCOPES, examples=["[chat:write, channels:read]"])
    page_rows: int = Field(default=200, ge=1)


class SlackSandbox(SandboxVendor):
    name = "slack"
    Options = SlackOptions

    def __init__(self, context: VendorContext, options: SlackOptions) -> None:
        self._options = options
        self.workspace = SlackWorkspace(context.clock, limited=context.settings.limited)
        self.methods: dict[str, int] = {}

    def add_routes(self, routes: Routes) -> None:
        for name, method, taken in (
            ("auth.test", self._auth_test, set[str]()),
            ("conversations.list", self._list, {"types", "exclude_archived", "team_id", *_PAGED}),
            ("conversations.info", self._info, {"channel", "include_locale", "include_num_members"}),
            ("conversations.history", self._history, _SPAN),
            ("conversations.replies", self._replies, {*_SPAN, "ts"}),
            ("chat.postMessage", self._post, _POST),
            ("chat.update", self._update, {*_MESSAGE, "ts", "reply_broadcast"}),
            ("chat.delete", self._delete, {"channel", "ts", "as_user"}),
        ):
            handler = self._answering(name, method, taken)
            routes.post(f"/api/{name}", handler)
            if not name.startswith("chat."):
                routes.get(f"/api/{name}", handler)
        routes.post("/services/{team}/{bot}/{secret}", self._webhook)

    def reset(self, *, keep_records: bool = False) -> None:
        self.methods.clear()
        if not keep_records:
            self.workspace.clear()

    def stats(self, *, calls: bool = False) -> dict[str, Any]:
        channels = self.workspace.channels.values()
        return {
            "requests": sum(self.methods.values()),
            "methods": dict(self.methods),
            "messages": {c.name: len(self.workspace.standing(c.id)) for c in channels if c.messages},
            "pings": len(self.workspace.pings),
        }

    def _answering(self, name: str, method: Method, taken: Iterable[str]) -> Handler:
        async def answer(request: web.Request) -> web.StreamResponse:
            self.methods[name] = self.methods.get(name, 0) + 1
            try:
                self._let_in(request)
                arguments = await _arguments(request)
                if unknown := sorted(set(arguments) - {*taken, "token"}):
                    raise SlackRefusal("invalid_arguments", response_metadata={"messages": [f"unknown: {unknown}"]})
                return web.json_response({"ok": True, **method(arguments)})
            except SlackRefusal as e:
                document = {"ok": False, "error": e.code, **e.more}
                if e.retry_after_s is None:
                    return web.json_response(document)
                return web.json_response(document, status=429, headers={"retry-after": str(e.retry_after_s)})

        return answer

    def _let_in(self, request: web.Request) -> None:
        token = request.headers.get("authorization", "").removeprefix("Bearer ")
        if not token:
            raise SlackRefusal("not_authed")
        if not token.startswith("xoxb-") or "bad" in token:
            raise SlackRefusal("invalid_auth")

    def _need(self, scope: str) -> None:
        if scope not in self._options.scopes:
            raise SlackRefusal("missing_scope", needed=scope, provided=",".join(self._options.scopes))

    def _auth_test(self, _: Arguments) -> dict[str, Any]:
        who = {"user": "revetl", "user_id": BOT_USER, "bot_id": BOT_ID}
        return {"url": "https://sandbox.slack.com/", "team": "Sandbox", "team_id": "T0SANDBOX1", **who}

    def _list(self, arguments: Arguments) -> dict[str, Any]:
        types = str(arguments.get("types") or "public_channel").split(",")
        hidden = arguments.get("exclude_archived") not in _FALSE
        for type_, scope in (("public_channel", "channels:read"), ("private_channel", "groups:read")):
            if type_ in types:
                self._need(scope)
        found = [
            c.shown()
            for c in self.workspace.visible()
            if ("private_channel" if c.is_private else "public_channel") in types and not (hidden and c.is_archived)
        ]
        return self._page("channels", found, arguments)

    def _info(self, arguments: Arguments) -> dict[str, Any]:
        channel = self.workspace.channel(_id_of(arguments), member=False)
        self._need("groups:read" if channel.is_private else "channels:read")
        return {"channel": channel.shown()}

    def _history(self, arguments: Arguments) -> dict[str, Any]:
        """Newest first, without replies."""
        channel = self._readable(arguments)
        top = [m for m in channel.messages.values() if m.get("thread_ts", m["ts"]) == m["ts"]]
        return self._page("messages", _shown(top[::-1], arguments), arguments)

    def _replies(self, arguments: Arguments) -> dict[str, Any]:
        """The message that the thread is of, and its replies, oldest first."""
        channel = self._readable(arguments)
        asked = channel.messages.get(str(arguments.get("ts")))
        if asked is None:
            raise SlackRefusal("thread_not_found")
        thread = asked.get("thread_ts", asked["ts"])
        found = [m for m in channel.messages.values() if thread in (m["ts"], m.get("thread_ts"))]
        parent, replies = found[:1], found[1:]
        return self._page("messages", [*_shown(parent, {}, arguments), *_shown(replies, arguments)], arguments)

    def _post(self, arguments: Arguments) -> dict[str, Any]:
        self._need("chat:write")
        channel = self.workspace.channel(str(arguments.get("channel") or ""))
        message = self.workspace.post(channel, arguments)
        return {"channel": channel.id, "ts": message["ts"], "message": message}

    def _update(self, arguments: Arguments) -> dict[str, Any]:
        self._need("chat:write")
        channel = self.workspace.channel(_id_of(arguments))
        message = self.workspace.update(channel, str(arguments.get("ts")), arguments)
        return {"channel": channel.id, "ts": message["ts"], "text": message["text"], "message": message}

    def _delete(self, arguments: Arguments) -> dict[str, Any]:
        self._need("chat:write")
        channel = self.workspace.channel(_id_of(arguments))
        self.workspace.delete(channel, str(arguments.get("ts")))
        return {"channel": channel.id, "ts": arguments.get("ts")}

    def _readable(self, arguments: Arguments) -> SlackChannel:
        channel = self.workspace.channel(_id_of(arguments))
        self._need("groups:history" if channel.is_private else "channels:history")
        return channel

    def _page(self, name: str, found: list[Any], arguments: Arguments) -> dict[str, Any]:
        limit, cursor = str(arguments.get("limit") or "100"), str(arguments.get("cursor") or "0")
        if not limit.isdigit() or not 0 < int(limit) < 1_000:
            raise SlackRefusal("invalid_limit")
        if not cursor.isdigit():
            raise SlackRefusal("invalid_cursor")
        start, end = int(cursor), int(cursor) + min(int(limit), self._options.page_rows)
        more = str(end) if end < len(found) else ""
        return {name: found[start:end], "has_more": bool(more), "response_metadata": {"next_cursor": more}}

    async def _webhook(self, request: web.Request) -> web.StreamResponse:
        self.methods["webhook"] = self.methods.get("webhook", 0) + 1
        if "bad" in request.match_info["secret"]:
            return web.Response(status=404, text="no_service")
        try:
            sent = json.loads(await request.read())
            if not isinstance(sent, dict):
                raise ValueError
            self.workspace.post(self.workspace.channel("general"), sent, by_webhook=True)
        except SlackRefusal as e:
            if e.retry_after_s is not None:
                return web.Response(status=429, text="rate_limited", headers={"retry-after": str(e.retry_after_s)})
            return web.Response(status=400, text=e.code)
        except ValueError:
            return web.Response(status=400, text="invalid_payload")
        return web.Response(text="ok")


async def _arguments(request: web.Request) -> Arguments:
    """Of the query, of a form or of JSON. Structures are JSON in a form (docs)."""
    arguments: Arguments = dict(request.query)
    if request.content_type == "application/json":
        try:
            body = json.loads(await request.read() or b"{}")
        except ValueError:
            raise SlackRefusal("invalid_json") from None
        if not isinstance(body, dict):
            raise SlackRefusal("json_not_object")
        return {**arguments, **body}
    arguments |= dict(await request.post())
    for name in ("blocks", "metadata", "attachments"):
        if isinstance(arguments.get(name), str):
            try:
                arguments[name] = json.loads(arguments[name])
            except ValueError:
                raise SlackRefusal("invalid_arguments") from None
    return arguments


def _id_of(arguments: Arguments) -> str:
    """Only chat.postMessage takes a name."""
    channel = str(arguments.get("channel") or "")
    if not channel[:1].isupper():
        raise SlackRefusal("channel_not_found")
    return channel


def _shown(
    messages: Iterable[Mapping[str, Any]], span: Arguments, also: Arguments | None = None
) -> list[dict[str, Any]]:
    """Those within `oldest` and `latest`. Without `include_all_metadata` what metadata hold is left out."""
    oldest, latest = float(span.get("oldest") or 0), float(span.get("latest") or "inf")
    within = span.get("inclusive") not in _FALSE
    whole = (span if also is None else also).get("include_all_metadata") not in _FALSE
    shown = []
    for message in messages:
        ts = float(message["ts"])
        if oldest < ts < latest or (within and ts in (oldest, latest)):
            kept = dict(message)
            if not whole and "metadata" in kept:
                kept["metadata"] = {"event_type": kept["metadata"]["event_type"]}
            shown.append(kept)
    return shown

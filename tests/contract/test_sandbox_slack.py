"""The Slack sandbox under slack_sdk, which knows nothing of us; and what we send, held against Slack's description."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import httpx
import pytest
from slack_sdk import WebClient
from slack_sdk.errors import SlackApiError
from slack_sdk.http_retry.builtin_handlers import RateLimitErrorRetryHandler
from slack_sdk.webhook import WebhookClient

from revetl.destinations.slack import Options, connect
from revetl.destinations.slack.connector import ReadableSlack
from revetl.model import Change, Operation
from revetl.sandbox.inprocess import sandbox_in_process
from revetl.sandbox.server import RunningSandbox, running_sandbox
from revetl.sandbox.settings import SandboxSettings
from revetl.sandbox.slack.vendor import SlackSandbox
from revetl.testing.clocks import VirtualClock
from revetl.testing.virtual_time import run_virtual

SPECS = Path(os.environ.get("REVETL_SPECS_DIR", Path(__file__).resolve().parents[3] / "shared" / "specs")) / "slack"
# Newer than the description, which is of 2021: docs.slack.dev has them at these methods.
NEWER = {
    ("chat.postMessage", "metadata"),
    ("chat.update", "metadata"),
    ("conversations.history", "include_all_metadata"),
    ("conversations.replies", "include_all_metadata"),
}


@pytest.fixture
def options() -> dict[str, Any]:
    return {"page_rows": 2}


@pytest.fixture
async def running(options: dict[str, Any]) -> AsyncIterator[RunningSandbox]:
    async with running_sandbox(settings=SandboxSettings(vendors={"slack": options})) as running:
        yield running


def client(running: RunningSandbox, token: str = "xoxb-anything") -> WebClient:
    return WebClient(token, base_url=f"{running.base_url}/slack/api/")


async def off_loop(call: Callable[..., Any], *args: Any, **named: Any) -> Any:
    """The client blocks; the server runs in this loop."""
    return await asyncio.to_thread(call, *args, **named)


def refusal(call: Callable[..., Any], **named: Any) -> str:
    with pytest.raises(SlackApiError) as caught:
        call(**named)
    return str(caught.value.response["error"])


async def test_one_message_through_its_life(running: RunningSandbox) -> None:
    def live() -> None:
        slack = client(running)
        who = slack.auth_test()
        assert who["bot_id"]
        blocks = [{"type": "section", "text": {"type": "plain_text", "text": "Hello"}}]
        about = {"event_type": "made", "event_payload": {"id": "7"}}
        sent = slack.chat_postMessage(channel="#general", text="Hello", blocks=blocks, metadata=about)
        channel, ts = sent["channel"], sent["ts"]
        assert slack.conversations_history(channel=channel)["messages"][0]["metadata"] == {"event_type": "made"}
        whole = slack.conversations_history(channel=channel, include_all_metadata=True)["messages"][0]
        assert (whole["metadata"], whole["bot_id"]) == (about, who["bot_id"])
        assert slack.chat_update(channel=channel, ts=ts, text="Changed")["text"] == "Changed"
        reply = slack.chat_postMessage(channel=channel, text="below", thread_ts=ts)["ts"]
        assert [m["ts"] for m in slack.conversations_replies(channel=channel, ts=ts)["messages"]] == [ts, reply]
        assert [m["ts"] for m in slack.conversations_history(channel=channel)["messages"]] == [ts]
        slack.chat_delete(channel=channel, ts=reply)
        slack.chat_delete(channel=channel, ts=ts)
        assert refusal(slack.chat_delete, channel=channel, ts=reply) == "message_not_found"
        assert refusal(slack.chat_update, channel=channel, ts=ts, text="x") == "message_not_found"

    await off_loop(live)


async def test_pages_by_cursor(running: RunningSandbox) -> None:
    def read() -> None:
        slack = client(running)
        sent = [slack.chat_postMessage(channel="general", text=f"text {n}")["ts"] for n in range(5)]
        channel = slack.chat_postMessage(channel="deals", text="x")["channel"]
        assert len(slack.conversations_history(channel=channel)["messages"]) == 1
        pages = [[m["ts"] for m in p["messages"]] for p in slack.conversations_history(channel="C0GENERAL1", limit=2)]
        assert pages == [sent[:2:-1], sent[2:0:-1], sent[:1]]
        within = slack.conversations_history(channel="C0GENERAL1", oldest=sent[1], latest=sent[3])["messages"]
        assert [m["ts"] for m in within] == [sent[2]]
        names = [c["name"] for page in slack.conversations_list() for c in page["channels"]]
        assert names == ["general", "signups", "deals", "random", "old-news"]
        alive = [c["name"] for p in slack.conversations_list(exclude_archived=True) for c in p["channels"]]
        assert "old-news" not in alive

    await off_loop(read)


@pytest.mark.filterwarnings("ignore:The top-level `text` argument")  # the client's advice
async def test_refusals_are_slacks_own(running: RunningSandbox) -> None:
    def refused() -> None:
        slack = client(running)
        by = slack.chat_postMessage
        assert refusal(by, channel="nowhere", text="x") == "channel_not_found"
        assert refusal(by, channel="random", text="x") == "not_in_channel"
        assert refusal(by, channel="old-news", text="x") == "is_archived"
        assert refusal(by, channel="general", text="") == "no_text"
        assert refusal(by, channel="general", text="x", blocks=[{"type": "nope"}]) == "invalid_blocks"
        too_long = [{"type": "section", "text": {"type": "mrkdwn", "text": "x" * 3_001}}]
        assert refusal(by, channel="general", text="x", blocks=too_long) == "invalid_blocks"
        assert refusal(by, channel="general", text="x", metadata={"event_type": "x"}) == "metadata_must_have_payload"
        assert refusal(by, channel="general", text="x", thread_ts="1.000001") == "thread_not_found"
        assert refusal(by, channel="general", text="x", no_such_argument=1) == "invalid_arguments"
        assert refusal(slack.conversations_history, channel="general") == "channel_not_found"
        assert refusal(slack.conversations_info, channel="G0SECRET01") == "channel_not_found"
        assert refusal(client(running, "xoxb-bad").auth_test) == "invalid_auth"

    await off_loop(refused)


async def test_nobody_edits_what_a_person_wrote(running: RunningSandbox) -> None:
    ts = running.vendor(SlackSandbox).workspace.say_as_person("general", "mine")

    def refused() -> None:
        slack = client(running)
        assert refusal(slack.chat_update, channel="C0GENERAL1", ts=ts, text="x") == "cant_update_message"
        assert refusal(slack.chat_delete, channel="C0GENERAL1", ts=ts) == "cant_delete_message"

    await off_loop(refused)


@pytest.mark.parametrize("options", [{"scopes": ["chat:write"]}])
async def test_scopes(running: RunningSandbox) -> None:
    def refused() -> None:
        slack = client(running)
        with pytest.raises(SlackApiError) as caught:
            slack.conversations_history(channel="C0GENERAL1")
        said = caught.value.response
        assert (said["error"], said["needed"], said["provided"]) == ("missing_scope", "channels:history", "chat:write")

    await off_loop(refused)


async def test_a_burst_is_throttled_with_the_seconds_to_wait(running: RunningSandbox) -> None:
    def burst() -> None:
        slack = client(running)

        def post_twenty() -> None:
            for n in range(20):
                slack.chat_postMessage(channel="general", text=f"text {n}")

        with pytest.raises(SlackApiError) as caught:
            post_twenty()
        assert (caught.value.response.status_code, caught.value.response["error"]) == (429, "ratelimited")
        assert caught.value.response.headers["retry-after"] == "1"
        slack.retry_handlers.append(RateLimitErrorRetryHandler(max_retry_count=3))
        assert slack.chat_postMessage(channel="general", text="after the wait")["ok"]

    await off_loop(burst)


async def test_a_webhook(running: RunningSandbox) -> None:
    def post() -> None:
        hook = WebhookClient(f"{running.base_url}/slack/services/T0/B0/secret")
        assert (hook.send(text="Hello").status_code, hook.send(text="Again").body) == (200, "ok")
        assert (hook.send(text="").status_code, hook.send(text="").body) == (400, "no_text")
        assert WebhookClient(f"{running.base_url}/slack/services/T0/B0/bad").send(text="x").body == "no_service"

    await off_loop(post)
    assert len(running.vendor(SlackSandbox).workspace.standing("general")) == 2


@pytest.mark.skipif(not SPECS.is_dir(), reason="Slack's published description is not here: REVETL_SPECS_DIR names it")
def test_what_we_send_is_what_slack_describes() -> None:
    """Every method with the arguments that we give it; what is newer than the description stands in a list."""
    [file] = SPECS.glob("*.json")
    paths = json.loads(file.read_text("utf-8"))["paths"]
    sent = run_virtual(_one_of_each())
    described = {
        method.removeprefix("/"): {p["name"] for verb in verbs.values() for p in verb.get("parameters", ())}
        for method, verbs in paths.items()
    }
    assert {method for method, _ in sent} == {
        *("auth.test", "conversations.list", "conversations.info", "conversations.history", "conversations.replies"),
        *("chat.postMessage", "chat.update", "chat.delete"),
    }
    assert {(method, name) for method, names in sent for name in names if name not in described[method]} == NEWER
    for method, names in sent:
        verbs = paths[f"/{method}"].values()
        needed = {p["name"] for v in verbs for p in v.get("parameters", ()) if p.get("required")} - {"token"}
        assert needed <= set(names), method


class _Recorder(httpx.AsyncBaseTransport):
    def __init__(self, inner: httpx.AsyncBaseTransport) -> None:
        self._inner = inner
        self.sent: list[tuple[str, tuple[str, ...]]] = []

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        url = urlsplit(str(request.url))
        body = json.loads(request.content) if request.content else {}
        self.sent.append((url.path.rsplit("/", 1)[-1], (*dict(parse_qsl(url.query)), *body)))
        return await self._inner.handle_async_request(request)


async def _one_of_each() -> list[tuple[str, tuple[str, ...]]]:
    async with sandbox_in_process(SandboxSettings(), VirtualClock()) as (transport, _):
        recorder = _Recorder(transport)
        options = {"token": "xoxb-1", "base_url": "http://127.0.0.1:1/slack/api", "on_change": "update"}
        slack = connect("slack", Options.model_validate(options), VirtualClock(), recorder)
        assert isinstance(slack, ReadableSlack)
        async with slack:
            await slack.check()
            await slack.describe("C0DEALS001")
            await slack.describe("signups")
            blocks = '[{"type": "header", "text": {"type": "plain_text", "text": "x"}}]'
            fields: dict[str, Any] = {"message_key": "a", "text": "x", "blocks": blocks}
            create = Change(0, "a", Operation.CREATE, None, fields, "a")
            [made] = await slack.write("signups", "message_key", [create])
            assert set(await slack.look_up("signups", "message_key", ["a"], ["text"])) == {"a"}
            assert set(await slack.read_back("signups", [str(made.destination_id)], ["text"])) == {made.destination_id}
            below = Change(1, "b", Operation.CREATE, None, {"message_key": "b", "text": "y", "thread": "a"}, "b", True)
            await slack.write("signups", "message_key", [below])
            update = Change(2, "a", Operation.UPDATE, made.destination_id, {"text": "z"}, "a", record=fields)
            await slack.write("signups", "message_key", [update])
            await slack.write("signups", "message_key", [Change(3, "a", Operation.DELETE, made.destination_id, {})])
        return recorder.sent

"""Slack passes the suite that every connector inherits, against the sandbox in process and on virtual time."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from html import unescape
from typing import Any, ClassVar

import httpx

from revetl.clock import Clock
from revetl.destinations.base import Destination
from revetl.destinations.slack import Options, connect
from revetl.model import Scalar
from revetl.sandbox.inprocess import InProcess, sandbox_in_process
from revetl.sandbox.settings import SandboxSettings
from revetl.sandbox.slack.vendor import SlackSandbox
from revetl.sandbox.slack.workspace import SlackWorkspace
from revetl.testing import DestinationSuite, StoredRecord, VendorWire
from revetl.testing.destinations.harness import SuiteBench

_ONE_MESSAGE = "an answer is of one message, and holds no list of them"


@dataclass
class Vendor:
    transport: InProcess
    workspace: SlackWorkspace


class SlackSuite(DestinationSuite):
    object, identity, text = "#signups", "message_key", "text"
    match_on: ClassVar[str | None] = "message_key"
    token = "xoxb-suite-token-7f3a91"
    options: ClassVar[Mapping[str, Any]] = {"on_change": "update"}
    waivers: ClassVar[Mapping[str, str]] = {"test_what_the_vendor_did_not_answer_for_is_never_ok": _ONE_MESSAGE}

    def vendor(self, clock: Clock) -> AbstractAsyncContextManager[Vendor]:
        @asynccontextmanager
        async def started() -> AsyncIterator[Vendor]:
            settings = SandboxSettings(vendors={"slack": {"page_rows": 3}})
            async with sandbox_in_process(settings, clock) as (transport, sandbox):
                yield Vendor(transport, sandbox.vendor(SlackSandbox).workspace)

        return started()

    def transport(self, vendor: Vendor) -> httpx.AsyncBaseTransport:
        return vendor.transport

    def connect(self, vendor: Vendor, wire: VendorWire, clock: Clock) -> Destination:
        options = {"token": self.token, "base_url": "http://127.0.0.1:1/slack/api", **self.options}
        return connect("slack", Options.model_validate(options), clock, wire)

    async def standing(self, vendor: Vendor) -> list[StoredRecord]:
        channel = vendor.workspace.channel("signups")
        return [
            StoredRecord(f"{channel.id}:{m['ts']}", {**m["metadata"]["event_payload"], "text": unescape(m["text"])})
            for m in vendor.workspace.standing("signups")
        ]

    def fields(self, n: int) -> dict[str, Scalar]:
        return {"message_key": f"signup-{n}@example.com", "text": f"Text {n} & <more>"}

    def poison(self, fields: Mapping[str, Scalar]) -> dict[str, Scalar]:
        return {**fields, "text": "x" * 40_001}

    def is_write(self, request: httpx.Request) -> bool:
        return "/chat." in request.url.path

    def success_with_errors(self) -> httpx.Response:
        return httpx.Response(200, json={"ok": False, "error": "fatal_error"})

    def values(self) -> Mapping[str, Sequence[Scalar]]:
        return {"text": [*super().values()["text"], "<!channel> <@U123> a & b &amp; c", "*bold* _so_ `x`", "@here"]}

    async def fail(self, bench: SuiteBench, kind: str) -> None:
        """Of 503 Slack does not say that nothing was done; where its edge does not reach it, nothing was."""
        if kind == "unavailable":
            bench.wire.answer_instead(httpx.Response(521))
        else:
            await super().fail(bench, kind)


class TestMessagesThatAreEdited(SlackSuite):
    pass


class TestMessagesByChannelId(SlackSuite):
    object = "C0SIGNUPS1"


class TestMessagesThatAreLeft(SlackSuite):
    """The default: what was sent stays as it is."""

    options: ClassVar[Mapping[str, Any]] = {}
    waivers: ClassVar[Mapping[str, str]] = {
        **SlackSuite.waivers,
        "test_updates_and_deletes_are_of_the_record_that_they_name": "on_change: ignore leaves what was sent",
        "test_a_second_run_sends_nothing_and_a_change_is_sent_alone": "on_change: ignore leaves what was sent",
    }


class TestMessagesByAWebhook(SlackSuite):
    """A webhook is write-only: nothing is found again, so nothing whose answer is lost is sent again."""

    object, identity, text, match_on = "messages", "text", "text", None
    token = "T0SUITE/B0SUITE/token7f3a91"
    waivers: ClassVar[Mapping[str, str]] = {
        "test_what_the_vendor_did_not_answer_for_is_never_ok": "its answer is the word ok, and holds no list",
        "test_lost_answers_are_healed_by_the_next_run": "what may have been posted is not posted again",
        "test_a_crash_at_any_write_loses_nothing_and_doubles_nothing": "what may have been posted is not posted again",
    }

    def connect(self, vendor: Vendor, wire: VendorWire, clock: Clock) -> Destination:
        url = f"http://127.0.0.1:1/slack/services/{self.token}"
        return connect("slack", Options.model_validate({"webhook_url": url}), clock, wire)

    async def standing(self, vendor: Vendor) -> list[StoredRecord]:
        """A webhook gives no ids."""
        return [StoredRecord("None", {"text": unescape(m["text"])}) for m in vendor.workspace.standing("general")]

    def fields(self, n: int) -> dict[str, Scalar]:
        return {"text": f"Text {n} & <more>"}

    def poison(self, fields: Mapping[str, Scalar]) -> dict[str, Scalar]:
        return {**fields, "blocks": '[{"type": "rich_text"}]'}

    def is_write(self, request: httpx.Request) -> bool:
        return "/services/" in request.url.path

    def success_with_errors(self) -> httpx.Response:
        return httpx.Response(200, text="<html>a proxy's page</html>")

    def values(self) -> Mapping[str, Sequence[Scalar]]:
        return {}

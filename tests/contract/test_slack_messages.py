"""Messages from a model under the real engine: sent once, threaded, edited where asked, taken back, and harmless."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

import pytest

from revetl.destinations.base import Destination
from revetl.destinations.slack import Options, connect
from revetl.destinations.slack.escaping import NotAllowedInBlocks, escape, safe_blocks, unescape
from revetl.destinations.slack.messages import message_id
from revetl.errors import ConfigError, Denied
from revetl.model import Change, Operation, Relation, SyncSpec
from revetl.sandbox.inprocess import sandbox_in_process
from revetl.sandbox.settings import SandboxSettings
from revetl.sandbox.slack.vendor import SlackSandbox
from revetl.state.runs import get_run
from revetl.sync import SyncOptions, SyncReport, plan_sync, run_sync
from revetl.sync.rollback.rolling_back import RollbackChoices, RollbackReport, roll_back
from revetl.testing import VendorWire
from revetl.testing.clocks import VirtualClock
from revetl.testing.destinations.wire import lost
from revetl.testing.virtual_time import run_virtual
from revetl.warehouse.base import Warehouse
from tests.support.sync_bench import context
from tests.support.warehouses import SCHEMA, the_warehouse

BASE = "http://127.0.0.1:1/slack"
COLUMNS = ("message_key", "text", "thread", "blocks")
Row = Sequence[str | None]


@dataclass
class World:
    """A model of messages, and the sandbox's workspace behind a wire."""

    slack: SlackSandbox
    wire: VendorWire
    clock: VirtualClock
    warehouse: Warehouse

    def destination(self, **options: Any) -> Destination:
        given = {"base_url": f"{BASE}/api", **options}
        if "webhook_url" not in options:
            given.setdefault("token", "xoxb-a-token")
        return connect("slack", Options.model_validate(given), self.clock, self.wire)

    def model(self, *rows: Row) -> None:
        self.warehouse.execute("DROP TABLE IF EXISTS messages")
        self.warehouse.execute(f"CREATE TABLE messages ({', '.join(f'{c} VARCHAR' for c in COLUMNS)})")
        for row in rows:
            padded = [*row, None, None][: len(COLUMNS)]
            self.warehouse.execute("INSERT INTO messages VALUES (?, ?, ?, ?)", padded)

    def spec(self, **changes: Any) -> SyncSpec:
        said: dict[str, Any] = {
            "name": "slack__signups",
            "relation": Relation(SCHEMA, "messages"),
            "destination": "slack",
            "object": "#signups",
            "key": "message_key",
            "match_on": "message_key",
            "mode": "insert",
            "columns": COLUMNS,
        }
        return SyncSpec(**{**said, **changes})

    async def sync(self, *, mode: str = "insert", **options: Any) -> SyncReport:
        async with self.destination(**options) as destination:
            return await run_sync(context(self.warehouse, self.clock), self.spec(mode=mode), destination)

    async def roll_back(self, run_id: str, **options: Any) -> RollbackReport:
        run = get_run(self.warehouse, run_id)
        assert run is not None
        async with self.destination(**options) as destination:
            ctx = context(self.warehouse, self.clock, command="rollback")
            return await roll_back(ctx, self.spec(), destination, run, RollbackChoices(archive_created=True))

    def channel(self, name: str = "signups") -> list[dict[str, Any]]:
        return self.slack.workspace.standing(name)

    def texts(self, name: str = "signups") -> list[str]:
        return sorted(unescape(m["text"]) for m in self.channel(name))


def play(script: Callable[[World], Awaitable[None]], **options: Any) -> None:
    async def main() -> None:
        clock = VirtualClock()
        settings = SandboxSettings(vendors={"slack": {"page_rows": 2, **options}})
        async with sandbox_in_process(settings, clock) as (transport, sandbox):
            wire = VendorWire(transport, lambda request: "/chat." in request.url.path)
            await script(World(sandbox.vendor(SlackSandbox), wire, clock, the_warehouse()))

    run_virtual(main())


HOSTILE = [
    "<!channel> look",
    "<!here|x> <!everyone> <!subteam^S123|@all>",
    "<@U0PERSON01> hi",
    "<https://evil.example|https://bank.example>",
    "a & b &lt;!channel&gt; &amp;",
    "@here @channel #general",
    "*bold* _so_ ~no~ `code` > quote",
]


def test_text_from_data_pings_nobody_and_arrives_as_it_is() -> None:
    async def script(world: World) -> None:
        blocks = [{"type": "section", "text": {"type": "mrkdwn", "text": t}} for t in HOSTILE]
        rows = [(f"k{n}", text, None, json.dumps(blocks)) for n, text in enumerate(HOSTILE)]
        world.model(*rows)
        assert (await world.sync()).counts == {"ok": len(HOSTILE)}
        assert world.texts() == sorted(HOSTILE)
        assert world.slack.workspace.pings == []
        assert world.slack.workspace.disguised_links == []
        world.slack.workspace.post(world.slack.workspace.channel("signups"), {"text": HOSTILE[0]})
        assert world.slack.workspace.pings == ["<!channel>"], "the sandbox sees a ping where there is one"

    play(script)


@pytest.mark.parametrize("text", [*HOSTILE, "", "&&amp;amp;", "<<>>"])
def test_what_is_escaped_is_read_back_as_it_was(text: str) -> None:
    assert unescape(escape(text)) == text
    assert not set("<>") & set(escape(text))


@pytest.mark.parametrize(
    "blocks",
    [
        [{"type": "rich_text", "elements": [{"type": "broadcast", "range": "channel"}]}],
        [{"type": "markdown", "text": "<!channel>"}],
        [{"type": "actions", "elements": [{"type": "button"}]}],
        [{"type": "section", "text": {"type": "mrkdwn", "text": "x"}, "accessory": {"type": "users_select"}}],
        [{"type": "context", "elements": [{"type": "user", "user_id": "U1"}]}],
        [{"type": "image", "image_url": "https://evil.example/pixel.png", "alt_text": "x"}],
        {"type": "section"},
        [],
        ["text"],
    ],
)
def test_blocks_from_data_are_text_alone(blocks: object) -> None:
    with pytest.raises(NotAllowedInBlocks):
        safe_blocks(blocks)


def test_only_new_rows_are_sent_and_a_changed_one_is_left() -> None:
    async def script(world: World) -> None:
        world.model(("a", "Ann signed up"), ("b", "Bob signed up"))
        assert (await world.sync()).counts == {"ok": 2}
        world.model(("a", "Ann has changed"), ("b", "Bob signed up"), ("c", "Cid signed up"))
        assert (await world.sync()).counts == {"ok": 1}
        assert world.texts() == ["Ann signed up", "Bob signed up", "Cid signed up"]
        assert (await world.sync()).plan.changes == 0

    play(script)


def test_a_changed_row_edits_its_message_where_asked() -> None:
    async def script(world: World) -> None:
        world.model(("a", "won: 10", None, '[{"type": "divider"}]'), ("b", "won: 20"))
        await world.sync(mode="upsert", on_change="update")
        world.model(("a", "won: 11"), ("b", "won: 20"))
        assert (await world.sync(mode="upsert", on_change="update")).counts == {"ok": 1}
        assert world.texts() == ["won: 11", "won: 20"]
        edited = next(m for m in world.channel() if m["text"] == "won: 11")
        assert "blocks" not in edited
        assert edited["metadata"]["event_payload"] == {"message_key": "a"}

    play(script)


def test_a_changed_row_adds_a_reply_where_asked_and_a_lost_answer_adds_no_second() -> None:
    async def script(world: World) -> None:
        world.model(("a", "open"))
        await world.sync(mode="upsert", on_change="thread")
        world.model(("a", "won"))
        world.wire.spoil(lost, 1)
        assert (await world.sync(mode="upsert", on_change="thread")).counts == {"unknown": 1}
        world.wire.mend()
        assert (await world.sync(mode="upsert", on_change="thread")).counts == {"ok": 1}
        assert world.texts() == ["open", "won"]
        first, reply = world.channel()
        assert reply["thread_ts"] == first["ts"]
        assert (await world.sync(mode="upsert", on_change="thread")).plan.changes == 0

    play(script)


def test_threads_by_another_key_and_by_a_ts() -> None:
    async def script(world: World) -> None:
        by_hand = world.slack.workspace.say_as_person("signups", "Thread for today")
        world.model(("parent", "Deal 7"), ("r1", "Deal 7 was won", "parent"), ("r2", "noted", by_hand))
        assert (await world.sync()).counts == {"ok": 3}
        placed = {m["text"]: m.get("thread_ts") for m in world.channel()}
        parent = next(m["ts"] for m in world.channel() if m["text"] == "Deal 7")
        assert (placed["Deal 7 was won"], placed["noted"]) == (parent, by_hand)

    play(script)


def test_a_reply_whose_parent_is_not_sent_yet_waits_for_the_next_run() -> None:
    async def script(world: World) -> None:
        world.model(("r", "below", "z"))
        report = await world.sync()
        assert report.counts == {"rejected": 1}
        world.model(("r", "below", "z"), ("z", "above"))
        for _ in range(2):  # which of the two is sent first is not said
            report = await world.sync()
        assert world.texts() == ["above", "below"]
        assert (report.status, (await world.sync()).plan.changes) == ("done", 0)

    play(script)


@pytest.mark.parametrize("thread", [None, "parent"])
def test_a_message_whose_answer_is_lost_is_found_and_not_sent_again(thread: str | None) -> None:
    async def script(world: World) -> None:
        world.model(("parent", "first"))
        await world.sync()
        world.model(("parent", "first"), ("m", "once", thread))
        world.wire.spoil(lost, 1)
        assert (await world.sync()).counts == {"unknown": 1}
        world.wire.mend()
        for n in range(5):  # more than a page
            world.slack.workspace.say_as_person("signups", f"chat {n}")
        await world.sync()
        assert world.texts().count("once") == 1
        assert (await world.sync()).plan.changes == 0

    play(script)


def test_without_history_what_may_have_been_sent_is_not_sent_again() -> None:
    async def script(world: World) -> None:
        world.model(("m", "once"))
        world.wire.spoil(lost, 1)
        assert (await world.sync(history=False)).counts == {"unknown": 1}
        world.wire.mend()
        report = await world.sync(history=False)
        assert world.texts() == ["once"]
        assert report.counts.get("ok", 0) == 0
        assert any("until a person has looked" in said for said in report.plan.consequences)

    play(script)


def test_a_rollback_deletes_our_messages_and_no_others() -> None:
    async def script(world: World) -> None:
        world.model(("a", "kept"))
        await world.sync()
        world.slack.workspace.say_as_person("signups", "a person's")
        world.model(("a", "kept"), ("b", "taken back"))
        report = await world.sync()
        undone = await world.roll_back(report.run_id)
        assert undone.counts == {"ok": 1}
        assert world.texts() == ["a person's", "kept"]

    play(script)


@pytest.mark.parametrize(
    ("object_", "why"),
    [
        ("#old-news", "is archived"),
        ("#random", "no member of #random"),
        ("#signup", "Did you mean 'signups'"),
        ("secret", "no channel #secret"),
        ("C0OLDNEWS1", "is archived"),
    ],
)
def test_a_channel_that_can_not_be_written_to_is_said_at_plan_time(object_: str, why: str) -> None:
    async def script(world: World) -> None:
        world.model(("a", "x"))
        async with world.destination() as destination:
            with pytest.raises(ConfigError) as caught:
                await plan_sync(
                    context(world.warehouse, world.clock), world.spec(object=object_), destination, SyncOptions()
                )
        assert why in f"{caught.value} {[p.hint for p in caught.value.problems]}"
        assert world.wire.writes == 0

    play(script)


def test_a_missing_scope_is_named_at_plan_time() -> None:
    async def script(world: World) -> None:
        world.model(("a", "x"))
        async with world.destination() as destination:
            with pytest.raises(Denied, match="channels:history"):
                await plan_sync(context(world.warehouse, world.clock), world.spec(), destination, SyncOptions())

    play(script, scopes=("chat:write", "channels:read", "groups:read"))


def test_one_message_a_second_and_channel_and_no_429() -> None:
    async def script(world: World) -> None:
        world.model(*[(f"k{n}", f"text {n}") for n in range(60)])
        started = world.clock.monotonic()
        report = await world.sync()
        assert report.counts == {"ok": 60}
        assert world.slack.methods["chat.postMessage"] == 60, "none was refused"
        assert 58 <= world.clock.monotonic() - started < 75

    play(script)


def test_a_retry_after_is_kept() -> None:
    async def script(world: World) -> None:
        channel = world.slack.workspace.channel("signups")
        channel.tokens, channel.filled_at = -3.0, world.clock.monotonic()  # somebody else posted a burst
        world.model(("a", "x"))
        assert (await world.sync()).counts == {"ok": 1}
        assert world.slack.methods["chat.postMessage"] > 1
        assert world.clock.monotonic() - channel.filled_at < 1

    play(script)


def test_what_a_person_removed_is_gone_though_replies_keep_its_place() -> None:
    async def script(world: World) -> None:
        world.model(("a", "x"), ("r", "below", "a"))
        await world.sync()
        workspace = world.slack.workspace
        channel = workspace.channel("signups")
        parent = next(m for m in world.channel() if m["text"] == "x")
        workspace.delete(channel, parent["ts"])
        async with world.destination() as destination:
            await destination.describe("#signups")
            assert await destination.read_back("#signups", [message_id(channel.id, parent["ts"])], ["text"]) == {}  # type: ignore[attr-defined]  # a capability

    play(script)


def test_a_webhook_says_that_it_is_write_only_and_hides_its_address() -> None:
    secret = "T0TEAM0001/B0BOT00001/secretsecretsecret"

    async def script(world: World) -> None:
        world.model(("a", "<!channel> hi"))
        url = f"{BASE}/services/{secret}"
        spec = world.spec(object="messages", match_on=None, columns=("message_key", "text"))
        async with world.destination(webhook_url=url) as destination:
            plan = await plan_sync(context(world.warehouse, world.clock), spec, destination, SyncOptions())
            assert any("lost" in said and "not sent again" in said for said in plan.consequences)
            report = await run_sync(context(world.warehouse, world.clock), spec, destination)
            assert report.counts == {"ok": 1}
            assert secret not in repr(destination)
        assert world.texts("general") == ["<!channel> hi"]
        assert world.slack.workspace.pings == []
        async with world.destination(webhook_url=url.replace("secretsecret", "bad-secret")) as destination:
            change = Change(0, "k", Operation.CREATE, None, {"text": "x"})
            with pytest.raises(Denied) as caught:
                await destination.write("messages", None, [change])
        assert "no_service" in str(caught.value)
        assert "bad-secret" not in str(caught.value)

    play(script)


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({}, "token"),
        ({"token": "xoxb-1", "webhook_url": "https://hooks.slack.com/services/T/B/x"}, "not both"),
        ({"webhook_url": "https://hooks.slack.com/services/T/B/x", "on_change": "update"}, "on_change"),
    ],
)
def test_options_that_can_not_be(options: dict[str, Any], why: str) -> None:
    with pytest.raises(ValueError, match=why) as caught:
        Options.model_validate(options)
    assert "xoxb-1" not in str(caught.value)

"""A workspace: its channels and what stands in them. Every refusal is Slack's own code."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from revetl.clock import Clock

BOT_ID, BOT_USER = "B0SANDBOX01", "U0SANDBOX01"
_MOST_TEXT, _MOST_BLOCKS, _MOST_SECTION, _MOST_HEADER = 40_000, 50, 3_000, 150
_BLOCK_TYPES = {
    *("actions", "context", "divider", "file", "header", "image", "input", "markdown", "rich_text", "section", "video"),
}
_COMMAND = re.compile(r"<(!(?:channel|here|everyone|subteam\^\w+)|@[UW]\w+)(?:\|[^>]*)?>")
_LINK = re.compile(r"<(?:https?|mailto):[^>|]*\|[^>]*>")
_BURST = 5.0  # messages that a channel takes at once before one a second is all


class SlackRefusal(Exception):
    """`{"ok": false, "error": code}`. `retry_after_s`: answered with 429."""

    def __init__(self, code: str, retry_after_s: int | None = None, **more: Any) -> None:
        super().__init__(code)
        self.code, self.retry_after_s, self.more = code, retry_after_s, more


@dataclass(slots=True)
class SlackChannel:
    """`messages`: ts → message, oldest first, replies among them."""

    id: str
    name: str
    is_member: bool = True
    is_archived: bool = False
    is_private: bool = False
    messages: dict[str, dict[str, Any]] = field(default_factory=dict)
    tokens: float = _BURST
    filled_at: float = 0.0

    def shown(self) -> dict[str, Any]:
        kind = {"is_channel": True, "is_private": self.is_private, "is_archived": self.is_archived}
        return {"id": self.id, "name": self.name, "is_member": self.is_member, **kind}


class SlackWorkspace:
    """`pings` and `disguised_links`: what messages did to people, in the words in which they were sent."""

    def __init__(self, clock: Clock, *, limited: bool) -> None:
        self._clock, self._limited = clock, limited
        self.clear()

    def clear(self) -> None:
        self.pings: list[str] = []
        self.disguised_links: list[str] = []
        self._last_ts = 0
        channels = [
            SlackChannel("C0GENERAL1", "general"),
            SlackChannel("C0SIGNUPS1", "signups"),
            SlackChannel("C0DEALS001", "deals"),
            SlackChannel("C0RANDOM01", "random", is_member=False),
            SlackChannel("C0OLDNEWS1", "old-news", is_archived=True),
            SlackChannel("G0BOARD001", "board", is_private=True),
            SlackChannel("G0SECRET01", "secret", is_private=True, is_member=False),
        ]
        self.channels = {channel.id: channel for channel in channels}

    def visible(self) -> Iterator[SlackChannel]:
        """A private channel is seen by its members alone."""
        return (c for c in self.channels.values() if c.is_member or not c.is_private)

    def channel(self, name_or_id: str, *, member: bool = True) -> SlackChannel:
        name = name_or_id.removeprefix("#")
        found = next((c for c in self.visible() if name in (c.id, c.name)), None)
        if found is None:
            raise SlackRefusal("channel_not_found")
        if member and not found.is_member:
            raise SlackRefusal("not_in_channel")
        return found

    def standing(self, name: str) -> list[dict[str, Any]]:
        """Every message of a channel, replies too, without tombstones."""
        return [m for m in self.channel(name, member=False).messages.values() if m.get("subtype") != "tombstone"]

    def post(self, channel: SlackChannel, sent: Mapping[str, Any], *, by_webhook: bool = False) -> dict[str, Any]:
        if channel.is_archived:
            raise SlackRefusal("is_archived")
        content = self._content(sent)
        thread = sent.get("thread_ts")
        if thread is not None:
            # What is no message, or stands in a thread itself, is taken for none: the reply goes to its thread.
            parent = channel.messages.get(str(thread))
            if parent is None:
                raise SlackRefusal("thread_not_found")
            content["thread_ts"] = parent.get("thread_ts", thread)
        self._pace(channel)
        self._note_what_it_does(sent, content)
        message = {"type": "message", "ts": self._next_ts(), "bot_id": BOT_ID, "user": BOT_USER, **content}
        if by_webhook:
            message["subtype"] = "bot_message"
        channel.messages[message["ts"]] = message
        if thread is not None:
            parent = channel.messages[content["thread_ts"]]
            parent["thread_ts"] = parent["ts"]
            parent["reply_count"] = parent.get("reply_count", 0) + 1
            parent["latest_reply"] = message["ts"]
        return message

    def update(self, channel: SlackChannel, ts: str, sent: Mapping[str, Any]) -> dict[str, Any]:
        message = self._own(channel, ts, "cant_update_message")
        content = self._content({**sent, "text": sent.get("text", message["text"])})
        self._note_what_it_does(sent, content)
        if not sent.get("blocks") and sent.get("blocks") is not None:
            message.pop("blocks", None)
        message.update(content)
        message["edited"] = {"user": BOT_USER, "ts": self._next_ts()}
        return message

    def delete(self, channel: SlackChannel, ts: str) -> None:
        """A message with replies leaves a tombstone over them."""
        message = self._own(channel, ts, "cant_delete_message")
        if message.get("reply_count"):
            kept = {name: message[name] for name in ("ts", "thread_ts", "reply_count", "latest_reply")}
            channel.messages[ts] = {
                "type": "message",
                "subtype": "tombstone",
                "text": "This message was deleted.",
                "user": "USLACKBOT",
                **kept,
            }
        else:
            del channel.messages[ts]

    def say_as_person(self, name: str, text: str, **more: Any) -> str:
        """What somebody writes by hand; its ts."""
        channel = self.channel(name, member=False)
        ts = self._next_ts()
        channel.messages[ts] = {"type": "message", "ts": ts, "user": "U0PERSON01", "text": text, **more}
        return ts

    def _own(self, channel: SlackChannel, ts: str, code: str) -> dict[str, Any]:
        message = channel.messages.get(ts)
        if message is None or message.get("subtype") == "tombstone":
            raise SlackRefusal("message_not_found")
        if message.get("bot_id") != BOT_ID:
            raise SlackRefusal(code)
        return message

    def _content(self, sent: Mapping[str, Any]) -> dict[str, Any]:
        text, blocks = str(sent.get("text") or "").strip(), sent.get("blocks") or []
        if not text and not blocks:
            raise SlackRefusal("no_text")
        content: dict[str, Any] = {"text": text[:_MOST_TEXT]}  # cut, without a word
        if blocks:
            content["blocks"] = [{**_checked_block(b), "block_id": f"b{n}"} for n, b in enumerate(_listed(blocks))]
        if sent.get("metadata") is not None:
            content["metadata"] = _checked_metadata(sent["metadata"])
        return content

    def _pace(self, channel: SlackChannel) -> None:
        if not self._limited:
            return
        now = self._clock.monotonic()
        channel.tokens = min(_BURST, channel.tokens + now - channel.filled_at)
        channel.filled_at = now
        if channel.tokens < 1:
            raise SlackRefusal("ratelimited", retry_after_s=1)
        channel.tokens -= 1

    def _note_what_it_does(self, sent: Mapping[str, Any], content: Mapping[str, Any]) -> None:
        texts = [content["text"], *_mrkdwn_texts(content.get("blocks", []))]
        for text in texts:
            self.pings += [match[0] for match in _COMMAND.finditer(text)]
            self.disguised_links += [match[0] for match in _LINK.finditer(text)]
            if sent.get("link_names"):
                self.pings += re.findall(r"@(?:here|channel|everyone)\b", text)

    def _next_ts(self) -> str:
        self._last_ts = max(self._last_ts + 1, int(self._clock.now().timestamp() * 1_000_000))
        return f"{self._last_ts // 1_000_000}.{self._last_ts % 1_000_000:06d}"


def _listed(blocks: object) -> list[Any]:
    if not isinstance(blocks, list):
        raise SlackRefusal("invalid_blocks_format")
    if len(blocks) > _MOST_BLOCKS:
        raise SlackRefusal("invalid_blocks")
    return blocks


def _checked_block(block: object) -> dict[str, Any]:
    if not isinstance(block, dict) or block.get("type") not in _BLOCK_TYPES:
        raise SlackRefusal("invalid_blocks")
    kind, text = block["type"], block.get("text")
    if kind == "header" and not _is_text(text, _MOST_HEADER, "plain_text"):
        raise SlackRefusal("invalid_blocks")
    if kind == "section" and not (_is_text(text, _MOST_SECTION) or block.get("fields")):
        raise SlackRefusal("invalid_blocks")
    if kind == "context" and not block.get("elements"):
        raise SlackRefusal("invalid_blocks")
    return block


def _is_text(text: object, most: int, *kinds: str) -> bool:
    if not isinstance(text, dict) or text.get("type") not in (kinds or ("plain_text", "mrkdwn")):
        return False
    return 0 < len(str(text.get("text") or "")) <= most


def _checked_metadata(given: object) -> dict[str, Any]:
    if not isinstance(given, dict) or not re.fullmatch(r"\w+", str(given.get("event_type") or "")):
        raise SlackRefusal("invalid_metadata_format")
    if not isinstance(given.get("event_payload"), dict):
        raise SlackRefusal("metadata_must_have_payload")
    return given


def _mrkdwn_texts(piece: Any) -> Iterator[str]:
    if isinstance(piece, list):
        for each in piece:
            yield from _mrkdwn_texts(each)
    elif isinstance(piece, dict):
        if piece.get("type") in ("mrkdwn", "markdown"):
            yield str(piece.get("text") or "")
        for value in piece.values():
            yield from _mrkdwn_texts(value)

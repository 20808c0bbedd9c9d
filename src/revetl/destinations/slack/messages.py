"""A row as a message, and a message as it stands in a channel.

A message carries its key in its metadata (`event_type`, `event_payload`, docs: message metadata), which people don't
see. By it a message is found again.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from revetl.destinations.base import DestinationField, ObjectSchema, RecordMatch
from revetl.destinations.slack.escaping import NotAllowedInBlocks, escape, plain_blocks, safe_blocks, unescape
from revetl.errors import Rejected
from revetl.json_documents import parse_json
from revetl.model import JsonText, Scalar

KEY, TEXT, BLOCKS, THREAD = "message_key", "text", "blocks", "thread"
EVENT_TYPE = "revetl_message"
REPLY_TYPE = "revetl_reply"
_LONGEST_TEXT = 40_000  # characters; Slack cuts what is longer without a word (docs)
_FIELDS = (
    DestinationField(KEY, "string", unique=True),
    DestinationField(TEXT, "string"),
    DestinationField(BLOCKS, "json"),
    DestinationField(THREAD, "string"),
)


def schema(*, events: bool) -> ObjectSchema:
    """Of every channel alike. `events`: nothing that was sent can be seen or changed, and nothing is looked for."""
    fields = {f.name: f for f in _FIELDS if not events or f.name in (TEXT, BLOCKS)}
    if events:
        return ObjectSchema(fields, "events", None, {TEXT: "it is what the message says"})
    needed = {KEY: "by it a message is found again", TEXT: "it is what the message says"}
    return ObjectSchema(fields, required=needed)


def body(fields: Mapping[str, Scalar]) -> dict[str, Any]:
    """Text and blocks as they are sent. Rejected where Slack would refuse or cut them, or where they could ping."""
    text = _text(fields.get(TEXT))
    if not text:
        raise Rejected("there is no text", code="no_text", in_row=True)
    escaped = escape(text)
    if len(escaped) > _LONGEST_TEXT:
        raise Rejected(f"text: Slack cuts more than {_LONGEST_TEXT:,} characters", code="msg_too_long", in_row=True)
    out: dict[str, Any] = {"text": escaped, "link_names": False, "parse": "none"}
    blocks = fields.get(BLOCKS)
    if blocks is not None:
        try:
            out["blocks"] = safe_blocks(parse_json(str(blocks)))
        except NotAllowedInBlocks as e:
            raise Rejected(f"blocks: {e}", code="invalid_blocks", in_row=True) from None
        except ValueError:
            raise Rejected("blocks: no JSON", code="invalid_blocks", in_row=True) from None
    return out


def metadata(fields: Mapping[str, Scalar]) -> dict[str, Any]:
    """What a message is found by, and what of the row the message itself does not show."""
    kept = {name: form(name, fields[name]) for name in (KEY, THREAD) if fields.get(name) is not None}
    return {"event_type": EVENT_TYPE, "event_payload": kept}


def form(name: str, value: Scalar) -> str:
    """How a field is compared. Slack adds to blocks what is no content, and none of that counts."""
    if value is None:
        return ""
    if name != BLOCKS:
        return _text(value)
    try:
        blocks = parse_json(str(value))
    except ValueError:
        return _text(value)
    plain = plain_blocks(safe_blocks(blocks)) if _is_safe(blocks) else blocks
    return json.dumps(plain, sort_keys=True, ensure_ascii=False, separators=(",", ":"))


@dataclass(frozen=True, slots=True)
class SentMessage:
    """One of ours as it stands in a channel. `event` is the type of its metadata."""

    channel: str
    ts: str
    event: str
    payload: Mapping[str, Any]
    raw: Mapping[str, Any] = field(repr=False)

    @property
    def id(self) -> str:
        return message_id(self.channel, self.ts)

    @property
    def key(self) -> str:
        return str(self.payload.get(KEY, ""))

    def match(self) -> RecordMatch:
        blocks = plain_blocks(self.raw.get("blocks"))
        thread = self.payload.get(THREAD)
        fields: dict[str, Scalar] = {
            KEY: self.key,
            TEXT: unescape(str(self.raw.get("text") or "")),
            BLOCKS: None if blocks is None else JsonText(json.dumps(blocks, ensure_ascii=False)),
            THREAD: None if thread is None else str(thread),
        }
        return RecordMatch(self.id, fields, datetime.fromtimestamp(float(self.ts), UTC))


def sent_message(channel: str, bot_id: str, raw: Mapping[str, Any]) -> SentMessage | None:
    """None of what people and other apps wrote, and of what was deleted and left a tombstone over its replies."""
    about = raw.get("metadata")
    if raw.get("subtype") == "tombstone" or raw.get("bot_id") != bot_id or not isinstance(about, dict):
        return None
    event, payload, ts = about.get("event_type"), about.get("event_payload"), raw.get("ts")
    if event not in (EVENT_TYPE, REPLY_TYPE) or not isinstance(payload, dict) or not isinstance(ts, str):
        return None
    return SentMessage(channel, ts, str(event), payload, raw)


def message_id(channel: str, ts: str) -> str:
    """A `ts` is unique within its channel (docs)."""
    return f"{channel}:{ts}"


def split_id(id_: str) -> tuple[str, str]:
    """(channel, ts)"""
    channel, _, ts = id_.rpartition(":")
    return channel, ts


def _text(value: Scalar) -> str:
    return "" if value is None else str(value).strip()


def _is_safe(blocks: object) -> bool:
    try:
        safe_blocks(blocks)
    except NotAllowedInBlocks:
        return False
    return True

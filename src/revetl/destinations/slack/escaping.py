"""Text from data as Slack shows it: as it stands. It pings nobody, is no link under another name, and has no markup.

Slack reads `<!channel>`, `<@U…>`, `<#C…>` and `<url|text>` as commands, so `&`, `<` and `>` are written as entities
(docs.slack.dev, formatting message text: these three and no others). Markup such as `*bold*` can't be escaped; whoever
sends a message switches it off (`mrkdwn: false`) beside `link_names: false` and `parse: none`, which keep `@here` and
`#general` plain.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

# What a message is built of. All else can ping, ask a person to do something, or load what nobody has looked at.
_TEXTS = ("plain_text", "mrkdwn")
_BLOCKS = ("header", "section", "context", "divider")
_OURS = ("verbatim", "emoji", "block_id")  # set by us or by Slack, and no content


class NotAllowedInBlocks(ValueError):
    """A piece that blocks from data may not hold. The message names its type, never its content."""


def escape(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def unescape(text: str) -> str:
    """What `escape` was given."""
    return text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")


def safe_blocks(blocks: object) -> list[dict[str, Any]]:
    """Blocks with every text escaped. NotAllowedInBlocks for anything but headers, sections, contexts and dividers made
    of text."""
    if not isinstance(blocks, list) or not blocks:
        raise NotAllowedInBlocks("blocks are a list with at least one block")
    return [_block(block) for block in blocks]


def plain_blocks(blocks: object) -> list[dict[str, Any]] | None:
    """What `safe_blocks` was given, of what Slack stores; None where these are not such blocks: Slack adds some of its
    own to a message of text alone."""
    try:
        safe_blocks(blocks)
    except NotAllowedInBlocks:
        return None
    plain: list[dict[str, Any]] = _plain(blocks)
    return plain


def _block(block: object) -> dict[str, Any]:
    kind = _kind(block, _BLOCKS)
    safe: dict[str, Any] = {"type": kind}
    for name, value in _members(block):
        if name == "text":
            safe[name] = _text(value)
        elif name in ("fields", "elements") and isinstance(value, list):
            safe[name] = [_text(each) for each in value]
        elif name not in ("type", "block_id"):
            raise NotAllowedInBlocks(f"a {kind} block from data has no {name!r}")
    return safe


def _text(text: object) -> dict[str, Any]:
    kind = _kind(text, _TEXTS)
    said = dict(_members(text)).get("text")
    if not isinstance(said, str):
        raise NotAllowedInBlocks(f"a {kind} object has a text")
    if kind == "plain_text":  # Slack reads no commands there
        return {"type": kind, "text": said, "emoji": False}
    return {"type": kind, "text": escape(said), "verbatim": True}


def _kind(piece: object, allowed: tuple[str, ...]) -> str:
    kind = piece.get("type") if isinstance(piece, Mapping) else None
    if not isinstance(kind, str) or kind not in allowed:
        raise NotAllowedInBlocks(f"blocks from data are made of {', '.join((*_BLOCKS, *_TEXTS))} alone")
    return kind


def _members(piece: object) -> list[tuple[str, Any]]:
    return [(str(name), value) for name, value in piece.items()] if isinstance(piece, Mapping) else []


def _plain(piece: Any) -> Any:
    if isinstance(piece, list):
        return [_plain(each) for each in piece]
    if not isinstance(piece, dict):
        return piece
    plain = {name: _plain(value) for name, value in piece.items() if name not in _OURS}
    if piece.get("type") == "mrkdwn":
        plain["text"] = unescape(str(piece.get("text", "")))
    return plain

"""The channel that a sync writes to, by its name or id, as it is when the sync is planned; and what was sent there."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Collection, Mapping
from dataclasses import dataclass
from typing import Any

from revetl.clock import Clock
from revetl.destinations.slack import api
from revetl.destinations.slack.messages import EVENT_TYPE, SentMessage, sent_message
from revetl.errors import ConfigError, did_you_mean
from revetl.http import Response, Session

READS = "reads"  # the rate limit of what reads messages
_ID = re.compile(r"[CG][A-Z0-9]{7,}")
_PAGE = "200"  # Slack advises no more
_DAY_S = 86_400


@dataclass(frozen=True, slots=True)
class Channel:
    id: str
    name: str


class SlackChannels:
    """Of one token."""

    def __init__(self, session: Session, clock: Clock, look_back_days: int) -> None:
        self._session, self._clock, self._look_back_s = session, clock, look_back_days * _DAY_S
        self._resolved: dict[str, Channel] = {}
        self._bot_id: str | None = None

    async def resolve(self, object_: str, *, must_be_member: bool) -> Channel:
        """ConfigError for a channel that is not there, is archived, or that the app is no member of."""
        if object_ in self._resolved:
            return self._resolved[object_]
        wanted = object_.removeprefix("#")
        found = await self._by_id(wanted) if _ID.fullmatch(wanted) else await self._by_name(wanted)
        name = str(found.get("name") or wanted)
        if found.get("is_archived") is True:
            raise ConfigError(
                f"{self._session.name}: the channel #{name} is archived",
                hint="Unarchive it in Slack, or name another channel as the sync's object.",
            )
        if must_be_member and found.get("is_member") is not True:
            raise ConfigError(
                f"{self._session.name}: the app is no member of #{name}, so it can't read what it sent there",
                hint=f"Write `/invite @` and the app's name in #{name}.",
            )
        channel = self._resolved[object_] = Channel(str(found.get("id")), name)
        return channel

    async def find(self, channel: Channel, keys: Collection[str]) -> dict[str, SentMessage]:
        """key → our message of that key, the first where there are two, of the last `look_back_days`. Replies are not
        among them: a channel's history holds none (docs)."""
        oldest = f"{self._clock.now().timestamp() - self._look_back_s:.6f}"
        found: dict[str, SentMessage] = {}
        params = {"channel": channel.id, "oldest": oldest}
        async for message in self._messages(channel.id, "/conversations.history", params):
            if message.event == EVENT_TYPE and message.key in keys:
                found[message.key] = message  # they come newest first
        return found

    async def replies(self, channel_id: str, thread_ts: str) -> AsyncIterator[SentMessage]:
        """Ours below one message."""
        params = {"channel": channel_id, "ts": thread_ts}
        async for message in self._messages(channel_id, "/conversations.replies", params):
            if message.ts != thread_ts:
                yield message

    async def one(self, channel_id: str, ts: str) -> SentMessage | None:
        """By its ts, a reply too; None where it is gone."""
        at = {"channel": channel_id, "oldest": ts, "latest": ts, "inclusive": "true"}
        for path, params in (("/conversations.history", at), ("/conversations.replies", {**at, "ts": ts})):
            async for message in self._messages(channel_id, path, params):
                if message.ts == ts:
                    return message
        return None

    async def bot_id(self) -> str:
        if self._bot_id is None:
            self._bot_id = str(api.document(await self.asked("/auth.test", {})).get("bot_id") or "")
        return self._bot_id

    async def asked(self, path: str, params: Mapping[str, str], limit: str = READS) -> Response:
        """Rejected where Slack refuses the question itself."""
        response = await self._session.request("GET", path, params=params, idempotent=True, limit=limit)
        if not api.is_ok(response):
            raise api.refused(self._session, response)
        return response

    async def _messages(self, channel_id: str, path: str, params: Mapping[str, str]) -> AsyncIterator[SentMessage]:
        bot_id = await self.bot_id()
        asked = {**params, "include_all_metadata": "true"}
        async for page in self._pages(path, asked, missing_is_empty=True):
            for raw in page.get("messages") or ():
                message = sent_message(channel_id, bot_id, raw) if isinstance(raw, dict) else None
                if message is not None:
                    yield message

    async def _pages(
        self, path: str, params: Mapping[str, str], *, missing_is_empty: bool = False
    ) -> AsyncIterator[Mapping[str, Any]]:
        cursor = ""
        while True:
            asked = {**params, "limit": _PAGE, **({"cursor": cursor} if cursor else {})}
            response = await self._session.request("GET", path, params=asked, idempotent=True, limit=READS)
            if missing_is_empty and api.error_code(response) == "thread_not_found":
                return
            if not api.is_ok(response):
                raise api.refused(self._session, response)
            page = api.document(response)
            yield page
            about = page.get("response_metadata")
            following = str(about.get("next_cursor") or "") if isinstance(about, dict) else ""
            if not following or following == cursor:
                return
            cursor = following

    async def _by_id(self, id_: str) -> Mapping[str, Any]:
        found = api.document(await self.asked("/conversations.info", {"channel": id_})).get("channel")
        return found if isinstance(found, dict) else {}

    async def _by_name(self, name: str) -> Mapping[str, Any]:
        """Two channels of one name: one of them is archived."""
        seen: dict[str, Mapping[str, Any]] = {}
        async for page in self._pages("/conversations.list", {"types": "public_channel,private_channel"}):
            for found in page.get("channels") or ():
                if isinstance(found, dict) and (found.get("is_archived") is not True or found.get("name") not in seen):
                    seen[str(found.get("name"))] = found
        if name not in seen:
            near = did_you_mean(name, [*seen])
            raise ConfigError(
                f"{self._session.name}: there is no channel #{name} that the app can see",
                hint=near or "A private channel is seen once the app is a member: `/invite` it there.",
            )
        return seen[name]

"""One message a call: Slack has no batch. A post can't be repeated: Slack documents nothing by which it would know it
(`client_msg_id` is of its own clients). What may have been sent is looked for by its key before it is sent again."""

from __future__ import annotations

import re
from collections.abc import Mapping
from hashlib import sha256
from typing import Any

from revetl.destinations.slack import api, messages
from revetl.destinations.slack.channels import Channel, SlackChannels
from revetl.destinations.slack.options import Options
from revetl.errors import Ambiguous, Rejected
from revetl.http import Response, Session
from revetl.model import Change, Operation, Outcome, Scalar, Status

POSTS = "posts"  # the rate limit of chat.postMessage
_TS = re.compile(r"\d{10}\.\d{6}")


class MessageWriter:
    """`parents`: the keys that this process sent or found → their ts."""

    def __init__(self, session: Session, channels: SlackChannels, options: Options) -> None:
        self._session, self._channels, self._options = session, channels, options
        self._parents: dict[tuple[str, str], str] = {}

    async def write(self, channel: Channel, change: Change) -> Outcome:
        """Raises as `Destination.write`."""
        fields = {**(change.record or {}), **change.fields}
        try:
            if change.op is Operation.DELETE:
                return await self._delete(change)
            if change.destination_id is None:
                return await self._post(channel, change, fields)
            if self._options.on_change == "update":
                return await self._update(change, fields)
            if self._options.on_change == "thread":
                return await self._reply(change, fields)
        except Rejected as e:
            return Outcome(
                change.ordinal, Status.REJECTED, None, "Rejected", e.code, f"{self._session.name}: {e}", in_row=e.in_row
            )
        left = "the message is left as it was sent: on_change is ignore"
        return Outcome(change.ordinal, Status.ACCEPTED, change.destination_id, None, "ON_CHANGE_IGNORE", left)

    async def _post(self, channel: Channel, change: Change, fields: Mapping[str, Scalar]) -> Outcome:
        key = messages.form(messages.KEY, fields.get(messages.KEY))
        if not key:
            raise Rejected(f"{messages.KEY} is empty", code="MISSING_KEY", in_row=True)
        sent = {"channel": channel.id, **messages.body(fields), "metadata": messages.metadata(fields)}
        thread = messages.form(messages.THREAD, fields.get(messages.THREAD))
        if thread:
            sent["thread_ts"] = await self._thread(channel, thread)
        if change.in_doubt and self._options.history:
            there = await self._sent_before(channel, key, sent.get("thread_ts"))
            if there is not None:
                self._parents[channel.id, key] = messages.split_id(there)[1]
                return Outcome(change.ordinal, Status.OK, there)
        ts, attempts = await self._posted(sent)
        self._parents[channel.id, key] = ts
        return Outcome(change.ordinal, Status.OK, messages.message_id(channel.id, ts), attempts=attempts)

    async def _posted(self, sent: Mapping[str, Any]) -> tuple[str, int]:
        """(ts, attempts)"""
        plain = {"mrkdwn": False, "unfurl_links": self._options.unfurl_links, "unfurl_media": False}
        response = await self._session.request("POST", "/chat.postMessage", json={**sent, **plain}, limit=POSTS)
        self._refuse(response)
        ts = api.document(response).get("ts")
        if not isinstance(ts, str) or not ts:
            raise Ambiguous(f"{self._session.name}: Slack says that a message was sent, and not which")
        attempts: int = response.extensions["attempts"]
        return ts, attempts

    async def _update(self, change: Change, fields: Mapping[str, Scalar]) -> Outcome:
        channel, ts = messages.split_id(str(change.destination_id))
        sent = {"channel": channel, "ts": ts, **messages.body(fields)}
        if "blocks" not in sent:
            sent["blocks"] = []  # what is left out would stay
        if fields.get(messages.KEY) is not None:
            sent["metadata"] = messages.metadata(fields)
        response = await self._session.request("POST", "/chat.update", json=sent, idempotent=True)
        self._refuse(response)
        return Outcome(change.ordinal, Status.OK, change.destination_id)

    async def _reply(self, change: Change, fields: Mapping[str, Scalar]) -> Outcome:
        """Below the message itself, unless it says the same. A reply is known by what was answered last."""
        channel, ts = messages.split_id(str(change.destination_id))
        sent = messages.body(fields)
        digest = sha256(f"{change.key}\0{change.after}\0{sent}".encode()).hexdigest()
        if self._options.history:
            standing = await self._channels.one(channel, ts)
            if standing is None:
                raise Rejected("the message is gone, so nothing is replied to it", code=api.GONE)
            if standing.match().fields[messages.TEXT] == messages.form(messages.TEXT, fields.get(messages.TEXT)):
                return Outcome(change.ordinal, Status.OK, change.destination_id)
            thread_ts = str(standing.raw.get("thread_ts") or ts)
            if change.in_doubt:
                async for reply in self._channels.replies(channel, thread_ts):
                    if reply.payload.get("reply") == digest:
                        return Outcome(change.ordinal, Status.OK, change.destination_id)
        else:
            thread_ts = ts
        about = {"event_type": messages.REPLY_TYPE, "event_payload": {"reply": digest}}
        await self._posted({"channel": channel, **sent, "thread_ts": thread_ts, "metadata": about})
        return Outcome(change.ordinal, Status.OK, change.destination_id)

    async def _delete(self, change: Change) -> Outcome:
        if change.destination_id is None:
            raise Rejected("it is not known which message it is", code=api.GONE)
        channel, ts = messages.split_id(change.destination_id)
        response = await self._session.request(
            "POST", "/chat.delete", json={"channel": channel, "ts": ts}, idempotent=True
        )
        if api.error_code(response) != api.GONE:
            self._refuse(response)
        return Outcome(change.ordinal, Status.OK, change.destination_id)

    async def _thread(self, channel: Channel, thread: str) -> str:
        """The ts of the message below which this one goes."""
        if _TS.fullmatch(thread):
            return thread
        if (channel.id, thread) not in self._parents and self._options.history:
            for key, message in (await self._channels.find(channel, [thread])).items():
                self._parents[channel.id, key] = message.ts
        if (channel.id, thread) not in self._parents:
            why = "thread: no message with this key stands in the channel yet; the next run tries it again"
            raise Rejected(why, code="THREAD_NOT_FOUND")
        return self._parents[channel.id, thread]

    async def _sent_before(self, channel: Channel, key: str, thread_ts: object) -> str | None:
        """The id of the message that an earlier attempt sent, in the channel or in the thread."""
        if thread_ts is None:
            found = (await self._channels.find(channel, [key])).get(key)
            return found.id if found is not None else None
        async for reply in self._channels.replies(channel.id, str(thread_ts)):
            if reply.event == messages.EVENT_TYPE and reply.key == key:
                return reply.id
        return None

    def _refuse(self, response: Response) -> None:
        if not api.is_ok(response):
            raise api.refused(self._session, response)

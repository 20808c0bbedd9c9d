"""The Slack destination: an object is a channel, a record is a message. Facts of the vendor: docs/design/slack.md."""

from __future__ import annotations

from collections.abc import Sequence

from revetl.clock import Clock
from revetl.destinations.base import Destination, Limits, ObjectSchema, Quota, RecordMatch
from revetl.destinations.session_destination import SessionDestination
from revetl.destinations.slack import api, messages
from revetl.destinations.slack.channels import READS, Channel, SlackChannels
from revetl.destinations.slack.options import Options
from revetl.destinations.slack.webhook import SlackWebhook
from revetl.destinations.slack.writing import POSTS, MessageWriter
from revetl.errors import ConfigError
from revetl.http import Rate, ResponseRules, ResponseVerdict, Session, SessionOptions, Transport
from revetl.model import Change, Outcome, Scalar

_POSTS = Rate(1)  # a second and channel (docs); Slack also drops bursts without an error
_READS = Rate(50, 60)  # a minute: tier 3 (docs)
_NOTES = {
    "ignore": "a message that was sent is left as it is when its row changes (on_change: ignore)",
    "update": "a message is edited when its row changes (on_change: update)",
    "thread": "a row that changes adds a reply below its message (on_change: thread)",
}


class Slack(SessionDestination):
    """The core: by a token that can't read the channel. What was sent and has no answer is not sent again."""

    def __init__(self, name: str, options: Options, clock: Clock, *, transport: Transport | None = None) -> None:
        if options.token is None:
            raise ConfigError(f"{name} has no token")
        token = options.token.get_secret_value()
        self.name = name
        self._options = options
        self._session = Session(
            name,
            options.base_url.rstrip("/"),
            SessionOptions(
                headers={"authorization": f"Bearer {token}"},
                secrets=[token],
                rates={"default": _READS, POSTS: _POSTS, READS: _READS},
                allow_insecure=options.allow_insecure,
            ),
            ResponseRules(
                # Of 503 nobody says that nothing was done; only a question is repeated.
                verdicts={503: ResponseVerdict.AMBIGUOUS},
                verdict=api.verdict,
                error_code=api.error_code,
                explain=api.explain,
                readable=api.readable,
            ),
            transport=transport,
            clock=clock,
        )
        self._channels = SlackChannels(self._session, clock, options.look_back_days)
        self._writer = MessageWriter(self._session, self._channels, options)

    async def check(self) -> str:
        said = api.document(await self._channels.asked("/auth.test", {}))
        who, where = (" ".join(str(said.get(name) or "?").split()) for name in ("user", "team"))
        return f"{who} in the workspace {where}; 1 message a second in each channel"

    async def describe(self, object_: str) -> ObjectSchema:
        """ConfigError for a channel that is archived, not there, or that the app is no member of."""
        await self._channel(object_)
        return messages.schema(events=False)

    def limits(self, object_: str) -> Limits:
        return Limits(batch_rows=1, concurrency=self._options.concurrency, lookup_rows=1_000, read_rows=1)

    def quota(self, object_: str, match_on: str | None) -> Quota:
        return Quota(_READS, _READS, _POSTS, notes=(_NOTES[self._options.on_change],))

    def normalise(self, object_: str, field: str, value: Scalar) -> str:
        return messages.form(field, value)

    def idempotent(self, object_: str, match_on: str | None) -> bool:
        return False

    def needs_record(self, object_: str) -> bool:
        return self._options.on_change != "ignore"

    def replaces_record(self, object_: str) -> bool:
        return self._options.on_change == "update"

    async def write(self, object_: str, match_on: str | None, changes: Sequence[Change]) -> list[Outcome]:
        channel = await self._channel(object_)
        return [await self._writer.write(channel, change) for change in changes]

    async def _channel(self, object_: str) -> Channel:
        return await self._channels.resolve(object_, must_be_member=self._options.history)


class SearchableSlack(Slack):
    """By a token that reads the channel: what may have been sent is found by its key."""

    async def look_up(
        self, object_: str, match_on: str, values: Sequence[Scalar], fields: Sequence[str]
    ) -> dict[str, RecordMatch]:
        if match_on != messages.KEY:
            message = f"{self.name}: a message can't be looked for by {match_on!r}"
            raise ConfigError(message, hint=f"Write `match_on: {messages.KEY}`.")
        keys = {messages.form(match_on, value) for value in values} - {""}
        found = await self._channels.find(await self._channel(object_), keys) if keys else {}
        return {key: message.match() for key, message in found.items()}


class ReadableSlack(SearchableSlack):
    """Where a message holds what its row says, so that the two can be compared: not with `on_change: thread`."""

    async def read_back(self, object_: str, ids: Sequence[str], fields: Sequence[str]) -> dict[str, RecordMatch]:
        found = {id_: await self._channels.one(*messages.split_id(id_)) for id_ in ids}
        return {id_: message.match() for id_, message in found.items() if message is not None}


def connect(name: str, options: Options, clock: Clock, transport: Transport | None = None) -> Destination:
    """An account with the capabilities that its options leave it."""
    if options.webhook_url is not None:
        url = options.webhook_url.get_secret_value()
        return SlackWebhook(name, url, clock, allow_insecure=options.allow_insecure, transport=transport)
    if not options.history:
        return Slack(name, options, clock, transport=transport)
    kind = SearchableSlack if options.on_change == "thread" else ReadableSlack
    return kind(name, options, clock, transport=transport)

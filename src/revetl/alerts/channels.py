"""Where messages go. Each takes one message, or raises why it did not: it is tried again at the next check."""

from __future__ import annotations

import asyncio
import json
import smtplib
import ssl
from email.message import EmailMessage
from hashlib import sha256
from typing import Any, Protocol
from urllib.parse import urlsplit

from revetl.alerts.spec import ChannelSpec, EmailChannelSpec, PagerDutyChannelSpec, SlackChannelSpec, WebhookChannelSpec
from revetl.alerts.texts import AlertText
from revetl.clock import Clock
from revetl.destinations.slack.webhook import OBJECT, SlackWebhook
from revetl.errors import ConfigError, Rejected, Unavailable
from revetl.http import Policy, Session, SessionOptions, SessionRequest, Transport, WebhookSignature
from revetl.http.urls import is_loopback
from revetl.model import Change, Operation, Status

# A check that hangs keeps the next one from being made.
_PATIENCE = Policy(timeout_s=10.0, deadline_s=30.0, max_attempts=3)
_SMTP_S = 15.0


class AlertChannel(Protocol):
    """`grouped`: takes several incidents in one message; else it is given one at a time."""

    grouped: bool

    async def send(self, text: AlertText) -> None:
        """CallError or ConfigError where it was not taken; the message of neither holds a secret."""
        ...


def open_channel(name: str, spec: ChannelSpec, clock: Clock, transport: Transport | None = None) -> AlertChannel:
    """`transport`: in place of the network, in tests. ConfigError for an address that may not be."""
    if isinstance(spec, SlackChannelSpec):
        return _Slack(name, spec, clock, transport)
    if isinstance(spec, PagerDutyChannelSpec):
        return _PagerDuty(name, spec, clock, transport)
    if isinstance(spec, WebhookChannelSpec):
        return _Webhook(name, spec, clock, transport)
    return _Email(name, spec)


class _Slack:
    """The connector's own webhook: it escapes what Slack would read as a command, and knows Slack's refusals."""

    grouped = True

    def __init__(self, name: str, spec: SlackChannelSpec, clock: Clock, transport: Transport | None) -> None:
        self._name, self._spec, self._clock, self._transport = name, spec, clock, transport

    async def send(self, text: AlertText) -> None:
        url = self._spec.webhook_url.get_secret_value()
        async with SlackWebhook(self._name, url, self._clock, transport=self._transport) as slack:
            change = Change(0, "alert", Operation.CREATE, None, {"text": text.body})
            (outcome,) = await slack.write(OBJECT, None, [change])
        if outcome.status is not Status.OK:
            raise Rejected(outcome.message or "Slack refuses it", code=outcome.error_code)


class _PagerDuty:
    """Events API v2. The incident's id is the `dedup_key`, so one that is sent again opens no second alert
    (developer.pagerduty.com, Send an Alert Event)."""

    grouped = False

    def __init__(self, name: str, spec: PagerDutyChannelSpec, clock: Clock, transport: Transport | None) -> None:
        self._key = spec.routing_key.get_secret_value()
        options = SessionOptions(secrets=[self._key], policy=_PATIENCE)
        self._session = Session(name, spec.base_url, options, transport=transport, clock=clock)

    async def send(self, text: AlertText) -> None:
        for message, incident in text.items:
            event: dict[str, Any] = {
                "routing_key": self._key,
                "event_action": "trigger" if message.news == "opened" else "resolve",
                "dedup_key": incident.incident_id,
                "payload": {
                    "summary": f"{text.subject}: {incident.said}"[:1024],
                    "source": f"revetl {text.project} {text.target}",
                    "severity": incident.severity,
                    "custom_details": {"command": incident.command, "count": incident.count},
                },
            }
            async with self._session as session:
                response = await session.request("POST", "/v2/enqueue", json=event, idempotent=True)
            _refuse(response.status_code, "PagerDuty")


class _Webhook:
    """Signed as Standard Webhooks says. `webhook-id` is the same however often a message is repeated."""

    grouped = True

    def __init__(self, name: str, spec: WebhookChannelSpec, clock: Clock, transport: Transport | None) -> None:
        whole = urlsplit(spec.url.get_secret_value())
        self._path = whole.path + (f"?{whole.query}" if whole.query else "")
        secret = spec.secret.get_secret_value() if spec.secret else None
        options = SessionOptions(
            secrets=[part for part in (secret, self._path) if part and len(part) > 7],
            policy=_PATIENCE,
            auth=(WebhookSignature(secret),) if secret else (),
        )
        self._session = Session(name, f"{whole.scheme}://{whole.netloc}", options, transport=transport, clock=clock)

    async def send(self, text: AlertText) -> None:
        named = " ".join(sorted(f"{m.incident_id}.{m.news}" for m, _ in text.items))
        id_ = f"msg_{sha256(named.encode()).hexdigest()[:24]}"
        async with self._session as session:
            content = json.dumps(text.document(), ensure_ascii=False).encode()
            headers = {"webhook-id": id_, "content-type": "application/json"}
            response = await session.send(SessionRequest("POST", self._path, content, {}, headers), idempotent=True)
        _refuse(response.status_code, "the webhook")


class _Email:
    grouped = True

    def __init__(self, name: str, spec: EmailChannelSpec) -> None:
        if spec.tls == "none" and not is_loopback(spec.host):
            raise ConfigError(f"{name}: tls: none to another machine would send the password and the text in the open")
        self._name, self._spec = name, spec

    async def send(self, text: AlertText) -> None:
        await asyncio.to_thread(self._send, text)

    def _send(self, text: AlertText) -> None:
        spec = self._spec
        mail = EmailMessage()
        mail["Subject"] = " ".join(text.subject.split())
        mail["From"], mail["To"] = spec.sender, ", ".join(spec.to)
        mail["Auto-Submitted"] = "auto-generated"  # RFC 3834: nobody's absence notice answers it
        mail.set_content(text.body)
        context = ssl.create_default_context()
        try:
            if spec.tls == "implicit":
                server: smtplib.SMTP = smtplib.SMTP_SSL(spec.host, spec.port, timeout=_SMTP_S, context=context)
            else:
                server = smtplib.SMTP(spec.host, spec.port, timeout=_SMTP_S)
            with server:
                if spec.tls == "starttls":
                    server.starttls(context=context)
                if spec.user is not None and spec.password is not None:
                    server.login(spec.user, spec.password.get_secret_value())
                server.send_message(mail)
        except smtplib.SMTPResponseException as e:
            # The server's own words may repeat an address or more.
            raise Unavailable(f"{self._name}: the mail server answered {e.smtp_code}") from None
        except (OSError, smtplib.SMTPException) as e:
            raise Unavailable(f"{self._name}: no mail server took it: {type(e).__name__}") from None


def _refuse(status: int, who: str) -> None:
    if not 200 <= status < 300:
        raise Rejected(f"{who} answered {status}", status=status)

"""Alerts from the tables to a channel: what is found, told once, and repeated where none took it."""

from __future__ import annotations

import asyncio
import json
import socketserver
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import TypeAdapter
from standardwebhooks.webhooks import Webhook

from revetl.alerts.channels import open_channel
from revetl.alerts.checking import look, tell, write_told
from revetl.alerts.findings import WaterfallBudget, findings, read_facts
from revetl.alerts.incidents import IncidentTables
from revetl.alerts.spec import AlertsFile, ChannelSpec, read_alerts
from revetl.alerts.texts import AlertText
from revetl.clock import SystemClock
from revetl.errors import CallError, ConfigError, Unavailable
from revetl.model import RunRecord
from revetl.state import runs
from revetl.state.schema import create_all
from revetl.warehouse.duckdb import DuckDBWarehouse
from tests.support.project_files import write

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
FILE = AlertsFile.model_validate(
    {
        "channels": {"ops": {"type": "slack", "webhook_url": "https://hooks.slack.com/services/T0/B0/secret-path"}},
        "alerts": [
            {"alert": "run failed", "select": ["hubspot__*"], "to": ["ops"], "clear_for": "0m"},
            {"alert": "rejected share", "over": 0.05, "to": ["ops"]},
            {"alert": "records waiting", "longer_than": "1d", "to": ["ops"]},
            {"alert": "late", "older_than": "26h", "to": ["ops"]},
            {"alert": "times missed", "to": ["ops"]},
            {"alert": "budget spent", "over": 0.8, "to": ["ops"]},
            {"alert": "provider down", "over": 0.5, "calls": 4, "to": ["ops"]},
        ],
    }
)


@pytest.fixture(scope="module")
def shared() -> Iterator[DuckDBWarehouse]:
    warehouse = DuckDBWarehouse(":memory:", state_schema="revetl", settings={})
    create_all(warehouse)
    yield warehouse
    warehouse.close()


@pytest.fixture
def warehouse(shared: DuckDBWarehouse) -> DuckDBWarehouse:
    for name in ("runs", "incidents", "alert_messages", "scheduled_runs", "enrichment_spend", "enrichment_calls"):
        shared.execute(f'DELETE FROM "revetl"."{name}"')
    return shared


def ran(warehouse: DuckDBWarehouse, subject: str, at: datetime, status: Any = "done", **more: Any) -> None:
    record = RunRecord(f"{subject}-{at:%d%H%M}", "sync", subject, "dev", at, "0", finished_at=at, status=status, **more)
    runs.start_run(warehouse, record)


class Taken:
    """A channel that takes what it is given, or nothing."""

    grouped = True

    def __init__(self, *, takes: bool = True) -> None:
        self.takes, self.texts = takes, list[AlertText]()

    async def send(self, text: AlertText) -> None:
        if not self.takes:
            raise Unavailable("ops: nobody answers")
        self.texts.append(text)


def checked(warehouse: DuckDBWarehouse, channel: Taken, now: datetime, file: AlertsFile = FILE) -> list[str]:
    """One check. What the channel was told."""
    before = len(channel.texts)
    _, told = look(warehouse, file, {}, now)
    write_told(warehouse, asyncio.run(tell(told, {"ops": channel}, "crm", "dev", now, None)))
    return [line for text in channel.texts[before:] for line in text.body.splitlines()]


def test_what_is_found_in_the_tables(warehouse: DuckDBWarehouse) -> None:
    ran(warehouse, "hubspot__a", NOW - HOUR, "failed")
    ran(warehouse, "hubspot__a", NOW - 2 * HOUR, "stopped")
    ran(warehouse, "hubspot__a", NOW - 3 * HOUR)
    ran(warehouse, "slack__x", NOW - HOUR, "failed")  # not selected
    ran(warehouse, "rejecting", NOW - HOUR, "partial", counts={"ok": 80, "rejected": 20})
    ran(warehouse, "waiting", NOW - 30 * HOUR, "partial", waiting={"INVALID_EMAIL": 3})
    ran(warehouse, "waiting", NOW - HOUR, "partial", waiting={"INVALID_EMAIL": 2, "NOT_OURS": 5})
    ran(warehouse, "late", NOW - 30 * HOUR)
    ran(warehouse, "interrupted", NOW - HOUR, "interrupted")
    warehouse.execute(
        "INSERT INTO revetl.scheduled_runs (schedule, due_at, since, status, missed) VALUES"
        " ('sync:missed', '2026-03-02 05:00', '2026-03-01 05:00', 'missed', 2)"
    )
    warehouse.execute(
        "INSERT INTO revetl.scheduled_runs (schedule, due_at, ended_at, status, exit_code) VALUES"
        " ('sync:hubspot__typo', '2026-03-02 05:00', '2026-03-02 05:00', 'failed', 2)"
    )
    warehouse.execute("INSERT INTO revetl.enrichment_spend VALUES ('r', 'emails', 'hunter.find', '2026-03-02', 8, 1)")
    warehouse.execute(
        "INSERT INTO revetl.enrichment_calls (call_id, provider, status, answered_at)"
        " SELECT 'c' || i, 'hunter.find', CASE WHEN i < 3 THEN 'error' ELSE 'hit' END, '2026-03-02 11:30'"
        " FROM range(4) t(i)"
    )
    facts = read_facts(warehouse, NOW, {"emails": WaterfallBudget(Decimal(10))})
    found = {(f.rule, f.subject): f for f in findings(FILE.alerts, facts)}
    said = {key: f.said for key, f in found.items()}
    assert said == {
        ("run failed", "hubspot__a"): "the last run failed",
        ("run failed", "hubspot__typo"): "the last scheduled run ended before it began",
        ("rejected share", "rejecting"): "20 records were rejected, 20% of the last run",
        ("records waiting", "waiting"): "7 records wait, and some have since 2026-03-01 06:00 UTC",
        ("late", "late"): "no run ended well since 2026-03-01 06:00 UTC",
        ("times missed", "missed"): "2 times of its schedule were missed: nobody served",
        ("budget spent", "emails"): "$9.00 of $10.00 for the day are spent or reserved",
        ("provider down", "hunter.find"): "3 of 4 calls of the last hour had an error or no answer",
    }
    assert found["run failed", "hubspot__a"].since == NOW - 2 * HOUR
    assert found["run failed", "hubspot__a"].command == "revetl runs show hubspot__a-021100"


def test_one_message_when_it_begins_and_one_when_it_is_over(warehouse: DuckDBWarehouse) -> None:
    ops = Taken()
    ran(warehouse, "hubspot__a", NOW, "failed")
    ran(warehouse, "hubspot__b", NOW, "failed")
    told = checked(warehouse, ops, NOW)
    assert told[0] == "[crm dev] hubspot__a: run failed and 1 more"
    assert "WARNING hubspot__b: run failed: the last run failed, since 2026-03-02 12:00 UTC" in told
    assert checked(warehouse, ops, NOW + HOUR) == []
    ran(warehouse, "hubspot__a", NOW + 2 * HOUR)
    told = checked(warehouse, ops, NOW + 2 * HOUR)
    assert told[2:] == ["OVER hubspot__a: run failed, since 2026-03-02 12:00 UTC, last seen 2026-03-02 13:00 UTC"]
    assert checked(warehouse, ops, NOW + 3 * HOUR) == []
    assert [i.subject for i in IncidentTables(warehouse).open_incidents()] == ["hubspot__b"]


def test_what_a_channel_did_not_take_is_told_later_unless_it_is_over_by_then(warehouse: DuckDBWarehouse) -> None:
    ops = Taken(takes=False)
    ran(warehouse, "hubspot__a", NOW, "failed")
    ran(warehouse, "hubspot__b", NOW, "failed")
    checked(warehouse, ops, NOW)
    (first, second) = IncidentTables(warehouse).unsent()
    assert (first.attempts, first.error) == (second.attempts, second.error) == (1, "ops: nobody answers")
    ran(warehouse, "hubspot__a", NOW + HOUR)
    checked(warehouse, ops, NOW + HOUR)
    ops.takes = True
    told = checked(warehouse, ops, NOW + 2 * HOUR)
    assert told[0] == "[crm dev] hubspot__b: run failed"
    assert not any("hubspot__a" in line for line in told)
    assert IncidentTables(warehouse).unsent() == []


def test_after_a_crash_between_telling_and_writing_only_that_message_is_repeated(warehouse: DuckDBWarehouse) -> None:
    ops = Taken()
    ran(warehouse, "hubspot__a", NOW, "failed")
    _, told = look(warehouse, FILE, {}, NOW)
    asyncio.run(tell(told, {"ops": ops}, "crm", "dev", NOW, None))  # and we die here
    assert checked(warehouse, ops, NOW + HOUR)[0] == "[crm dev] hubspot__a: run failed"
    assert checked(warehouse, ops, NOW + 2 * HOUR) == []
    ids = [text.items[0][1].incident_id for text in ops.texts]
    assert len(ids) == 2
    assert len(set(ids)) == 1


def sent_by(said: dict[str, Any], status: int = 200, body: bytes = b"ok") -> list[httpx.Request]:
    """The requests of one message about a failed run."""
    seen = []

    async def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(status, content=body)

    spec = TypeAdapter(ChannelSpec).validate_python(said)
    channel = open_channel("ops", spec, SystemClock(), httpx.MockTransport(answer))
    asyncio.run(channel.send(text_of("hubspot__<!channel>")))
    return seen


def text_of(subject: str) -> AlertText:
    from revetl.alerts.incidents import AlertMessage, Incident

    incident = Incident(
        incident_id="i-1",
        rule="run failed",
        subject=subject,
        severity="critical",
        said="the last run failed",
        command="revetl runs show r1",
        count=1,
        since=NOW,
        opened_at=NOW,
        seen_at=NOW,
    )
    message = AlertMessage(incident_id="i-1", channel="ops", news="opened", written_at=NOW)
    return AlertText("crm", "dev", [(message, incident)], "http://127.0.0.1:8420/")


def test_slack_is_told_and_nobody_is_pinged() -> None:
    (request,) = sent_by({"type": "slack", "webhook_url": "https://hooks.slack.com/services/T0/B0/secret-path"})
    text = json.loads(request.content)["text"]
    assert "hubspot__&lt;!channel&gt;: run failed" in text
    assert "revetl runs show r1" in text


def test_a_pager_is_told_by_the_incidents_id() -> None:
    (request,) = sent_by({"type": "pagerduty", "routing_key": "R" * 32}, 202, b"{}")
    event = json.loads(request.content)
    assert str(request.url) == "https://events.pagerduty.com/v2/enqueue"
    assert (event["event_action"], event["dedup_key"], event["payload"]["severity"]) == ("trigger", "i-1", "critical")


def test_a_webhook_is_signed_and_its_id_stays() -> None:
    said = {"type": "webhook", "url": "https://alerts.example/hook?team=7", "secret": SECRET}
    (request,), (again,) = sent_by(said), sent_by(said)
    assert str(request.url) == said["url"]
    verified = Webhook(SECRET).verify(request.content, dict(request.headers))
    assert verified["incidents"][0]["command"] == "revetl runs show r1"
    assert request.headers["webhook-id"] == again.headers["webhook-id"]


@pytest.mark.parametrize(
    "said",
    [
        {"type": "slack", "webhook_url": "https://hooks.slack.com/services/T0/B0/secret-path"},
        {"type": "pagerduty", "routing_key": "R" * 32},
        {"type": "webhook", "url": "https://alerts.example/secret-path", "secret": SECRET},
    ],
)
def test_a_refusal_is_said_without_a_secret(said: dict[str, Any]) -> None:
    with pytest.raises(CallError) as error:
        sent_by(said, 403, b"no: secret-path " + b"R" * 32)
    assert not any(secret in str(error.value) for secret in ("secret-path", "R" * 32, SECRET))


class _Smtp(socketserver.StreamRequestHandler):
    """Enough of RFC 5321 for one mail."""

    def handle(self) -> None:
        say = lambda line: self.wfile.write(line + b"\r\n")  # noqa: E731
        say(b"220 here")
        for line in self.rfile:
            word = line[:4].upper()
            if word == b"DATA":
                say(b"354 go on")
                mail = b"".join(iter(self.rfile.readline, b".\r\n"))
                self.server.mails.append(mail.decode())  # type: ignore[attr-defined]
            if word == b"QUIT":
                say(b"221 bye")
                return
            say(b"250 ok")


def test_a_mail_is_sent_and_one_to_another_machine_never_in_the_open() -> None:
    with socketserver.TCPServer(("127.0.0.1", 0), _Smtp) as server:
        server.mails = []  # type: ignore[attr-defined]
        threading.Thread(target=server.handle_request).start()
        said = {"type": "email", "host": "127.0.0.1", "port": server.server_address[1], "tls": "none"}
        spec = TypeAdapter(ChannelSpec).validate_python(said | {"sender": "r@x.example", "to": ["a@x.example"]})
        asyncio.run(open_channel("mail", spec, SystemClock()).send(text_of("hubspot__a\nBcc: b@x.example")))
        (mail,) = server.mails  # type: ignore[attr-defined]
    head, _, body = mail.partition("\r\n\r\n")
    assert "Subject: [crm dev] hubspot__a Bcc: b@x.example: run failed" in head
    assert not any(line.startswith("Bcc") for line in head.splitlines())
    assert "revetl runs show r1" in body
    elsewhere = TypeAdapter(ChannelSpec).validate_python(
        said | {"sender": "r@x.example", "to": ["a@x.example"], "host": "mail.example"}
    )
    with pytest.raises(ConfigError, match="in the open"):
        open_channel("mail", elsewhere, SystemClock())


@pytest.mark.parametrize(
    ("text", "because"),
    [
        (
            "alerts:\n  - {alert: run failed, to: [opps]}\nchannels:\n  ops: {type: slack, webhook_url: x}\n",
            ":2: no channel",
        ),
        (
            "alerts:\n  - {alert: late, older_than: 26, to: [x]}\n",
            ":2: alerts.0.late.older_than: a duration is written",
        ),
        ("alerts:\n  - {alert: run faild, to: [x]}\n", ":2: "),
        ("channels:\n  hook: {type: webhook, url: 'https://x.example', secret: '###'}\n", "the secret is base64"),
        (
            "channels:\n  ops: {type: slack, webhook_url: \"{{ env_var('NOT_SET_HERE') }}\"}\n",
            "NOT_SET_HERE is not set",
        ),
    ],
)
def test_a_mistake_in_the_file_is_told_at_its_line(tmp_path: Path, text: str, because: str) -> None:
    write(tmp_path / "alerts.yml", text)
    with pytest.raises(ConfigError) as error:
        read_alerts(tmp_path)
    assert because in str(error.value)
    assert "###" not in str(error.value)

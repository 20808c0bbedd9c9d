"""`incidents` and `alert_messages`: one row per incident, one per message and channel, so that each is told once.

An incident is open from when its condition is first found until it has not been found for `clear_for`. What comes back
before is the same incident. The rows are written before anything is sent; what was not sent is tried at every check.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from revetl.alerts.findings import Finding
from revetl.alerts.spec import RuleSpec
from revetl.clock import naive
from revetl.state.schema import TABLES, create_all, relation
from revetl.warehouse.base import Warehouse
from revetl.warehouse.sql import ident, table

News = Literal["opened", "recovered"]
_INCIDENT = tuple(name for name, _ in TABLES["incidents"])  # the fields of Incident, in their order
_MESSAGE = tuple(name for name, _ in TABLES["alert_messages"])  # and of AlertMessage
GIVEN_UP_AFTER = timedelta(days=1)  # what nobody could be told by then is old news


@dataclass(frozen=True, slots=True, kw_only=True)
class Incident:
    """One row. `since`: from when on the condition is known to hold; `seen_at`: when it was last found;
    `recovered_at`: when it was last found before it stayed away, None while it is open. Times are aware, UTC."""

    incident_id: str
    rule: str
    subject: str
    severity: str
    said: str
    command: str
    count: int
    since: datetime
    opened_at: datetime
    seen_at: datetime
    recovered_at: datetime | None = None

    @property
    def key(self) -> tuple[str, str]:
        return self.rule, self.subject


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertMessage:
    """One row: one piece of news of one incident for one channel. `sent_at`: None as long as it was not taken.
    `dropped`: why it will not be sent."""

    incident_id: str
    channel: str
    news: News
    written_at: datetime
    sent_at: datetime | None = None
    attempts: int = 0
    error: str | None = None
    dropped: str | None = None


@dataclass(frozen=True, slots=True)
class IncidentChanges:
    """What one check changes: incidents as they are from now on, and what is to be told."""

    opened: tuple[Incident, ...] = ()
    changed: tuple[Incident, ...] = ()
    messages: tuple[AlertMessage, ...] = ()


def changes(
    rules: Sequence[RuleSpec], open_incidents: Sequence[Incident], found: Sequence[Finding], now: datetime
) -> IncidentChanges:
    """Plain values in and out. `open_incidents`: those without `recovered_at`."""
    by_key = {incident.key: incident for incident in open_incidents}
    holding = {(finding.rule, finding.subject): finding for finding in found}
    opened, changed, messages = list[Incident](), list[Incident](), list[AlertMessage]()
    for key, finding in holding.items():
        rule = _rule(rules, *key)
        if rule is None:
            continue
        if key in by_key:
            seen = replace(by_key[key], said=finding.said, command=finding.command, count=finding.count, seen_at=now)
            changed.append(seen)
            continue
        incident = Incident(
            incident_id=_id(finding, now),
            rule=finding.rule,
            subject=finding.subject,
            severity=rule.severity,
            said=finding.said,
            command=finding.command,
            count=finding.count,
            since=finding.since,
            opened_at=now,
            seen_at=now,
        )
        opened.append(incident)
        messages += [_message(incident, channel, "opened", now) for channel in rule.to]
    for key, incident in by_key.items():
        if key in holding:
            continue
        rule = _rule(rules, *key)
        if rule is not None and now - incident.seen_at < rule.clear_for:
            continue
        changed.append(replace(incident, recovered_at=incident.seen_at))
        # A rule that was taken out of the file asks nobody to be told.
        messages += [_message(incident, channel, "recovered", now) for channel in (rule.to if rule else ())]
    return IncidentChanges(tuple(opened), tuple(changed), tuple(messages))


def _rule(rules: Sequence[RuleSpec], kind: str, subject: str) -> RuleSpec | None:
    """The first of this kind that covers the subject: as `findings` takes it."""
    return next((rule for rule in rules if rule.alert == kind and rule.covers(subject)), None)


def _id(finding: Finding, now: datetime) -> str:
    """The same for two checks of one moment: what is told twice by a crash can be told apart by who hears it."""
    return hashlib.sha256(f"{finding.rule}\n{finding.subject}\n{now.isoformat()}".encode()).hexdigest()[:16]


def _message(incident: Incident, channel: str, news: News, now: datetime) -> AlertMessage:
    return AlertMessage(incident_id=incident.incident_id, channel=channel, news=news, written_at=now)


class IncidentTables:
    """The two tables of one warehouse. Reading gives nothing where they are not there yet."""

    def __init__(self, warehouse: Warehouse) -> None:
        self._warehouse = warehouse
        self._incidents = table(relation(warehouse, "incidents"))
        self._messages = table(relation(warehouse, "alert_messages"))
        self._are_there = False

    def _there(self) -> bool:
        if not self._are_there:
            self._are_there = bool(self._warehouse.columns(relation(self._warehouse, "alert_messages")))
        return self._are_there

    def create(self) -> None:
        """Safe to repeat."""
        if not self._there():
            create_all(self._warehouse)
            self._are_there = True

    def open_incidents(self) -> list[Incident]:
        """The oldest first."""
        return self._incidents_where("WHERE recovered_at IS NULL ORDER BY opened_at, incident_id")

    def newest(self, limit: int) -> list[Incident]:
        return self._incidents_where(f"ORDER BY opened_at DESC, incident_id LIMIT {int(limit)}")

    def by_id(self, ids: Sequence[str]) -> dict[str, Incident]:
        if not ids:
            return {}
        marks = ", ".join("?" for _ in ids)
        found = self._incidents_where(f"WHERE incident_id IN ({marks})", [*ids])
        return {incident.incident_id: incident for incident in found}

    def unsent(self) -> list[AlertMessage]:
        """What is to be told, the oldest first."""
        if not self._there():
            return []
        names = ", ".join(map(ident, _MESSAGE))
        rows: list[Any] = self._warehouse.rows(
            f"""
            SELECT {names}
            FROM {self._messages}
            WHERE sent_at IS NULL
              AND dropped IS NULL
            ORDER BY written_at, incident_id, channel
            """
        )
        return [AlertMessage(**_cells(_MESSAGE, row)) for row in rows]

    def write(self, what: IncidentChanges) -> None:
        """Inside the caller's transaction."""
        for incident in what.opened:
            self._insert(self._incidents, _INCIDENT, asdict(incident))
        for incident in what.changed:
            self._warehouse.execute(
                f"""
                UPDATE {self._incidents}
                SET said = ?, command = ?, {ident("count")} = ?, seen_at = ?, recovered_at = ?
                WHERE incident_id = ?
                """,
                [
                    incident.said,
                    incident.command,
                    incident.count,
                    naive(incident.seen_at),
                    naive(incident.recovered_at),
                    incident.incident_id,
                ],
            )
        for message in what.messages:
            self._insert(self._messages, _MESSAGE, asdict(message))

    def change_message(self, message: AlertMessage) -> None:
        """Safe to repeat."""
        self._warehouse.execute(
            f"""
            UPDATE {self._messages}
            SET sent_at = ?, attempts = ?, error = ?, dropped = ?
            WHERE incident_id = ? AND channel = ? AND news = ?
            """,
            [
                naive(message.sent_at),
                message.attempts,
                message.error,
                message.dropped,
                message.incident_id,
                message.channel,
                message.news,
            ],
        )

    def _insert(self, target: str, columns: Sequence[str], cells: Mapping[str, Any]) -> None:
        names, marks = ", ".join(map(ident, columns)), ", ".join("?" for _ in columns)
        values = [naive(v) if isinstance(v, datetime) else v for v in (cells[name] for name in columns)]
        self._warehouse.execute(f"INSERT INTO {target} ({names}) VALUES ({marks})", values)

    def _incidents_where(self, rest: str, params: list[Any] | None = None) -> list[Incident]:
        if not self._there():
            return []
        names = ", ".join(map(ident, _INCIDENT))
        rows: list[Any] = self._warehouse.rows(f"SELECT {names} FROM {self._incidents} {rest}", params or [])
        return [Incident(**_cells(_INCIDENT, row)) for row in rows]


def _cells(names: Sequence[str], row: Sequence[Any]) -> dict[str, Any]:
    return {
        name: value.replace(tzinfo=UTC) if isinstance(value, datetime) else value
        for name, value in zip(names, row, strict=True)
    }

"""One check: what is wrong now, which incidents that opens and ends, and who is told.

In two steps, so that a crash between them tells nobody twice and forgets nothing: incidents and what is to be told are
written in one transaction; then each channel is given what it has not taken yet. A crash after a channel took it and
before that is written repeats this one message: PagerDuty and signed webhooks can tell, by the id, that they have it.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import groupby

from revetl.alerts.channels import AlertChannel
from revetl.alerts.findings import WaterfallBudget, findings, read_facts
from revetl.alerts.incidents import GIVEN_UP_AFTER, AlertMessage, Incident, IncidentChanges, IncidentTables, changes
from revetl.alerts.spec import AlertsFile
from revetl.alerts.texts import AlertText
from revetl.errors import RevetlError
from revetl.warehouse.base import Warehouse

log = logging.getLogger("revetl.alerts")


@dataclass(frozen=True, slots=True)
class ToTell:
    """What a channel has not taken yet, with its incident."""

    message: AlertMessage
    incident: Incident


def look(
    warehouse: Warehouse, file: AlertsFile, budgets: Mapping[str, WaterfallBudget], now: datetime
) -> tuple[IncidentChanges, list[ToTell]]:
    """Writes what changed, and gives what is to be told now, the oldest first. Of two checks at once one is refused by
    the warehouse or opens an incident of its own: `serve` makes them under its lease."""
    tables = IncidentTables(warehouse)
    tables.create()
    found = findings(file.alerts, read_facts(warehouse, now, budgets))
    made = changes(file.alerts, tables.open_incidents(), found, now)
    with warehouse.transaction():
        tables.write(made)
        unsent = tables.unsent()
        for message in _moot(unsent, file, now):
            tables.change_message(message)
    unsent = tables.unsent()
    incidents = tables.by_id(sorted({message.incident_id for message in unsent}))
    for incident in made.opened:
        log.warning("an incident began", extra={"rule": incident.rule, "subject": incident.subject})
    return made, [ToTell(m, incidents[m.incident_id]) for m in unsent if m.incident_id in incidents]


def _moot(unsent: Sequence[AlertMessage], file: AlertsFile, now: datetime) -> list[AlertMessage]:
    """What need not be told any more: the channel is gone from the file, it is a day old, or it was over before
    anybody heard of it."""
    over = {(m.incident_id, m.channel) for m in unsent if m.news == "recovered"}
    never = {(m.incident_id, m.channel) for m in unsent if m.news == "opened"}
    found = []
    for message in unsent:
        key = (message.incident_id, message.channel)
        if message.channel not in file.channels:
            found.append(replace(message, dropped="the channel is not in alerts.yml any more"))
        elif now - message.written_at > GIVEN_UP_AFTER:
            found.append(replace(message, dropped="not taken for a day"))
        elif key in over and key in never:
            found.append(replace(message, dropped="over before it was told"))
    return found


async def tell(
    told: Sequence[ToTell],
    channels: Mapping[str, AlertChannel],
    project: str,
    target: str,
    now: datetime,
    page: str | None,
) -> list[AlertMessage]:
    """Gives each channel what it has not taken, in one message where it takes several. The messages as they are now:
    taken, or with why not."""
    done: list[AlertMessage] = []
    ordered = sorted(told, key=lambda e: (e.message.channel, e.message.news, e.incident.severity, e.incident.subject))
    for name, group in groupby(ordered, key=lambda each: each.message.channel):
        channel = channels.get(name)
        if channel is None:
            continue
        items = list(group)
        for batch in [items] if channel.grouped else [[item] for item in items]:
            text = AlertText(project, target, [(item.message, item.incident) for item in batch], page)
            error = None
            try:
                await channel.send(text)
            except RevetlError as e:
                error = str(e)[:500]
                log.error("a channel did not take an alert", extra={"channel": name, "why": error})
            for item in batch:
                tried = replace(item.message, attempts=item.message.attempts + 1, error=error)
                done.append(tried if error else replace(tried, sent_at=now))
    return done


def write_told(warehouse: Warehouse, messages: Sequence[AlertMessage]) -> None:
    """Safe to repeat."""
    tables = IncidentTables(warehouse)
    if messages:
        with warehouse.transaction():
            for message in messages:
                tables.change_message(message)

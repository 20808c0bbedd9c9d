"""`revetl alerts`: what is wrong, who was told, and whether a channel works. The service makes the same check."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from revetl.alerts.channels import AlertChannel, open_channel
from revetl.alerts.checking import ToTell, look, tell, write_told
from revetl.alerts.findings import WaterfallBudget
from revetl.alerts.incidents import AlertMessage, Incident, IncidentTables, News
from revetl.alerts.spec import FILE_NAME, AlertsFile, read_alerts
from revetl.errors import ConfigError, RevetlError, did_you_mean
from revetl.usecases.caller import Caller

if TYPE_CHECKING:
    from revetl.clock import Clock
    from revetl.project import Project


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertCheck:
    """One check. `untold`: messages that a channel did not take, with why; they are tried again at the next one."""

    opened: Sequence[Incident]
    recovered: Sequence[Incident]
    open: Sequence[Incident]
    sent: int
    untold: Sequence[AlertMessage]

    @property
    def exit_code(self) -> int:
        """0 although something is wrong: that was told. 1 where a channel did not take it."""
        return int(bool(self.untold))


def declared(project: Project) -> AlertsFile:
    """ConfigError with every mistake of alerts.yml, and where there is none."""
    file = read_alerts(project.root)
    if file is None:
        raise ConfigError(
            f"there is no {FILE_NAME} beside revetl.yml", hint="docs/guides/alerts.md has one to begin with."
        )
    return file


def budgets(project: Project) -> dict[str, WaterfallBudget]:
    return {
        name: WaterfallBudget(spec.budget.per_day_usd, spec.budget.per_month_usd)
        for name, spec in project.waterfalls.items()
    }


def open_channels(file: AlertsFile, clock: Clock) -> dict[str, AlertChannel]:
    """ConfigError for an address that may not be."""
    return {name: open_channel(name, spec, clock) for name, spec in file.channels.items()}


def incidents(project: Project, caller: Caller, limit: int) -> list[Incident]:
    """The newest first, those that are over among them."""
    with caller.warehouse(project) as warehouse:
        return IncidentTables(warehouse).newest(limit)


def check(project: Project, caller: Caller, channels: Mapping[str, AlertChannel] | None = None) -> AlertCheck:
    """Opens and ends incidents, and tells each once. Safe to repeat. ConfigError, WarehouseError; a channel that takes
    nothing is in the result."""
    file = declared(project)
    channels = open_channels(file, caller.clock) if channels is None else channels
    now = caller.clock.now()
    with caller.warehouse(project) as warehouse:
        made, told = look(warehouse, file, budgets(project), now)
        done = asyncio.run(tell(told, channels, project.name, project.target, now, file.page))
        write_told(warehouse, done)
        still = IncidentTables(warehouse).open_incidents()
    return AlertCheck(
        opened=made.opened,
        recovered=[incident for incident in made.changed if incident.recovered_at is not None],
        open=still,
        sent=sum(1 for message in done if message.sent_at is not None),
        untold=[message for message in done if message.sent_at is None],
    )


def try_channels(project: Project, caller: Caller, names: Sequence[str]) -> dict[str, str | None]:
    """Sends a message that says it is a test through each channel, or those named. Name → why it was not taken, None
    where it was. Nothing is written down. ConfigError for a name that is none."""
    file = declared(project)
    for name in names:
        if name not in file.channels:
            raise ConfigError(f"no channel {name!r} in {FILE_NAME}", hint=did_you_mean(name, list(file.channels)))
    now = caller.clock.now()
    found: dict[str, str | None] = {}
    for name in names or file.channels:
        incident = Incident(
            incident_id=f"test-{now:%Y%m%dT%H%M%S}",
            rule="test",
            subject="revetl alerts test",
            severity="warning",
            said="nothing is wrong: somebody tries this channel",
            command="revetl alerts test",
            count=0,
            since=now,
            opened_at=now,
            seen_at=now,
            recovered_at=now,
        )
        # Of a pager: opened and over at once, so that it stays quiet.
        news: tuple[News, ...] = ("opened", "recovered")
        both = [
            ToTell(AlertMessage(incident_id=incident.incident_id, channel=name, news=each, written_at=now), incident)
            for each in news
        ]
        try:
            channel = open_channel(name, file.channels[name], caller.clock)
            items = both[:1] if channel.grouped else both
            done = asyncio.run(tell(items, {name: channel}, project.name, project.target, now, file.page))
            found[name] = next((message.error for message in done if message.error), None)
        except RevetlError as e:
            found[name] = str(e)
    return found

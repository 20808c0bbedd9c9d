"""`alerts.yml`, beside revetl.yml: channels, and rules that say which incidents are told where."""

from __future__ import annotations

import re
from datetime import timedelta
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, field_validator

from revetl.documents import parse, read_yaml, render_env
from revetl.errors import ConfigError, Problem, did_you_mean

FILE_NAME = "alerts.yml"

_UNITS = {"m": "minutes", "h": "hours", "d": "days"}


def _duration(written: object) -> object:
    found = re.fullmatch(r"(\d{1,5})([mhd])", written.strip()) if isinstance(written, str) else None
    if isinstance(written, timedelta):
        return written
    if found is None:
        raise ValueError("a duration is written as 15m, 26h or 2d")
    return timedelta(**{_UNITS[found[2]]: int(found[1])})


Duration = Annotated[
    timedelta,
    BeforeValidator(_duration, json_schema_input_type=Annotated[str, Field(pattern=r"^\d{1,5}[mhd]$")]),
]
Share = Annotated[float, Field(gt=0, le=1)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class SlackChannelSpec(_Strict):
    """An incoming webhook of Slack: one channel, chosen when it was made."""

    type: Literal["slack"]
    webhook_url: SecretStr = Field(min_length=1)


class EmailChannelSpec(_Strict):
    """SMTP. `tls`: starttls on port 587, implicit on 465, none to this machine alone."""

    type: Literal["email"]
    host: str = Field(min_length=1)
    port: int = Field(default=587, ge=1, le=65_535)
    tls: Literal["starttls", "implicit", "none"] = "starttls"
    user: str | None = None
    password: SecretStr | None = None
    sender: str = Field(pattern=r"^[^@\s<>]+@[^@\s<>]+$")
    to: list[Annotated[str, Field(pattern=r"^[^@\s<>,]+@[^@\s<>,]+$")]] = Field(min_length=1)


class PagerDutyChannelSpec(_Strict):
    """Events API v2: the integration key of a service."""

    type: Literal["pagerduty"]
    routing_key: SecretStr = Field(min_length=1)
    base_url: str = Field(default="https://events.pagerduty.com", pattern=r"^https?://[^/?#]+$")


class WebhookChannelSpec(_Strict):
    """Any address that takes JSON. Signed as Standard Webhooks says, where there is a `secret`."""

    type: Literal["webhook"]
    url: SecretStr = Field(min_length=1)
    secret: SecretStr | None = None

    @field_validator("secret")
    @classmethod
    def _a_key(cls, secret: SecretStr | None) -> SecretStr | None:
        if secret is not None:
            from revetl.http import WebhookSignature

            try:
                WebhookSignature(secret.get_secret_value())
            except ValueError:
                raise ValueError("the secret is base64, with or without whsec_ before it") from None
        return secret


ChannelSpec = Annotated[
    SlackChannelSpec | EmailChannelSpec | PagerDutyChannelSpec | WebhookChannelSpec, Field(discriminator="type")
]
Severity = Literal["critical", "warning"]


class _Rule(_Strict):
    to: list[str] = Field(min_length=1, description="Names under `channels`.")
    select: list[str] = Field(
        default=["*"], description="Syncs, waterfalls or providers by name; * as in a shell. Default: all."
    )
    severity: Severity = "warning"
    clear_for: Duration = Field(
        default=timedelta(minutes=15),
        description="For how long it must be over before that is told: what comes back before is the same incident.",
    )

    def covers(self, subject: str) -> bool:
        return any(fnmatchcase(subject, pattern) for pattern in self.select)


class RunFailed(_Rule):
    """The last run of a sync or a waterfall failed, or a guardrail or a budget stopped it."""

    alert: Literal["run failed"]


class RejectedShare(_Rule):
    """Of the records of its last run more than `over` were rejected, `at_least` of them."""

    alert: Literal["rejected share"]
    over: Share
    at_least: int = Field(default=1, ge=1)


class RecordsWaiting(_Rule):
    """At the end of every run for longer than `longer_than`, `at_least` records waited in the retry queue."""

    alert: Literal["records waiting"]
    longer_than: Duration
    at_least: int = Field(default=1, ge=1)


class SyncLate(_Rule):
    """No run ended well for longer than `older_than`."""

    alert: Literal["late"]
    older_than: Duration


class TimesMissed(_Rule):
    """A time of a schedule came while nobody served. It is over after a run that ends well."""

    alert: Literal["times missed"]


class BudgetSpent(_Rule):
    """More than `over` of a waterfall's budget for the day or the month is spent or reserved."""

    alert: Literal["budget spent"]
    over: Share = 0.8


class ProviderDown(_Rule):
    """Of a provider's calls of the last hour, `calls` at least, more than `over` had no answer or an error."""

    alert: Literal["provider down"]
    over: Share = 0.5
    calls: int = Field(default=10, ge=1)


RuleSpec = Annotated[
    RunFailed | RejectedShare | RecordsWaiting | SyncLate | TimesMissed | BudgetSpent | ProviderDown,
    Field(discriminator="alert"),
]


class AlertsFile(_Strict):
    """The whole of alerts.yml. `page`: where `revetl serve` can be reached, for links in messages."""

    channels: dict[str, ChannelSpec] = {}
    alerts: list[RuleSpec] = []
    page: str | None = Field(default=None, pattern=r"^https?://[^\s]+$")


def read_alerts(root: Path) -> AlertsFile | None:
    """None where there is no alerts.yml. ConfigError with every mistake, each at its line."""
    path = root / FILE_NAME
    if not path.exists():
        return None
    document = render_env(read_yaml(path))
    data: Any = document.data if document.data is not None else {}
    if not isinstance(data, dict):
        raise ConfigError(document.problem((), "not a mapping: `channels:` and `alerts:` stand here"))
    found = parse(document, AlertsFile, data)
    problems: list[Problem] = []
    for i, rule in enumerate(found.alerts):
        for j, name in enumerate(rule.to):
            if name not in found.channels:
                hint = did_you_mean(name, list(found.channels)) or "Declare it under `channels:`."
                problems.append(document.problem(("alerts", i, "to", j), f"no channel {name!r}", hint))
    if problems:
        raise ConfigError(problems)
    return found

"""What a message says: counts, names and a command. Nothing about a customer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from revetl.alerts.incidents import AlertMessage, Incident

MOST_NAMED = 20  # of one message; the command shows the others


@dataclass(frozen=True, slots=True)
class AlertText:
    """One message of one channel about incidents of one check. `items`: (message, its incident)."""

    project: str
    target: str
    items: Sequence[tuple[AlertMessage, Incident]]
    page: str | None = None

    @property
    def subject(self) -> str:
        opened = [i for m, i in self.items if m.news == "opened"]
        shown = opened or [i for _, i in self.items]
        state = "" if opened else "over: "
        more = f" and {len(self.items) - 1} more" if len(self.items) > 1 else ""
        return f"[{self.project} {self.target}] {state}{shown[0].subject}: {shown[0].rule}{more}"

    @property
    def body(self) -> str:
        lines = [self.subject, ""]
        for message, incident in self.items[:MOST_NAMED]:
            since = f"since {incident.since:%Y-%m-%d %H:%M} UTC"
            if message.news == "opened":
                lines.append(
                    f"{incident.severity.upper()} {incident.subject}: {incident.rule}: {incident.said}, {since}"
                )
                lines.append(f"    {incident.command}")
            else:
                at = f"{incident.recovered_at:%Y-%m-%d %H:%M} UTC" if incident.recovered_at else "now"
                lines.append(f"OVER {incident.subject}: {incident.rule}, {since}, last seen {at}")
        if len(self.items) > MOST_NAMED:
            lines.append(f"… and {len(self.items) - MOST_NAMED} more: revetl alerts")
        if self.page:
            lines += ["", self.page]
        return "\n".join(lines)

    def document(self) -> dict[str, Any]:
        """For a webhook."""
        return {
            "project": self.project,
            "target": self.target,
            "page": self.page,
            "incidents": [
                {
                    "id": incident.incident_id,
                    "news": message.news,
                    "rule": incident.rule,
                    "subject": incident.subject,
                    "severity": incident.severity,
                    "said": incident.said,
                    "count": incident.count,
                    "command": incident.command,
                    "since": incident.since.isoformat(),
                    "recovered_at": incident.recovered_at.isoformat() if incident.recovered_at else None,
                }
                for message, incident in self.items
            ],
        }

"""`audit_log`: every act, by whom, when, from where, and why. Rows are added, and nothing here changes or removes one.

A row is written before its act begins, so an act that a crash cuts off is in it; what became of it stands in `runs`,
under the same invocation, and in `operations`. It names syncs, runs, plans and counts, never a person: what an erasure
was asked by is not kept.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from revetl.clock import naive
from revetl.model import Scalar
from revetl.state.schema import TABLES, create_all, relation
from revetl.warehouse.base import Warehouse
from revetl.warehouse.sql import ident, table

LONGEST_REASON = 500
_COLUMNS = tuple(name for name, _ in TABLES["audit_log"])


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditEvent:
    """One row.

    actor     a token's name; of the command line the user of the machine, or whom a service ran it for
    origin    from where: `command line on HOST`, `python on HOST`, `api from ADDRESS`, `page from ADDRESS`
    action    sync, apply, run, retry, rollback, drift, erase, disconnect, enrich, plan, approve, token, sign-in …
    subject   the sync, run, plan or waterfall; None where the act has none
    details   what else was said: options, counts. No key and no value of a record
    outcome   `began`, or `refused` where it was not allowed
    """

    actor: str
    origin: str
    action: str
    subject: str | None = None
    details: Mapping[str, Any] = field(default_factory=dict)
    reason: str | None = None
    outcome: str = "began"
    invocation_id: str | None = None
    operation_id: str | None = None
    event_id: str = field(default_factory=lambda: secrets.token_hex(8))
    at: datetime | None = None


class AuditLog:
    """The table in one warehouse. `there`: the tables are, which is not asked again."""

    def __init__(self, warehouse: Warehouse, *, there: bool = False) -> None:
        self._warehouse = warehouse
        self._there = there
        self._relation = relation(warehouse, "audit_log")
        self._table = table(self._relation)

    def add(self, event: AuditEvent, now: datetime) -> None:
        """WarehouseError where it can't be written: then the act must not begin."""
        if not self._there:
            create_all(self._warehouse)
            self._there = True
        cells: list[Scalar] = [_plain(naive(now) if c == "at" else getattr(event, c)) for c in _COLUMNS]
        names, marks = ", ".join(map(ident, _COLUMNS)), ", ".join("?" for _ in _COLUMNS)
        self._warehouse.execute(f"INSERT INTO {self._table} ({names}) VALUES ({marks})", cells)

    def moment_of(self, event_id: str) -> tuple[datetime, str] | None:
        """Where an event stands, for the page that begins after it; None where there is none."""
        if not self._warehouse.columns(self._relation):
            return None
        found: list[Any] = self._warehouse.rows(f'SELECT "at" FROM {self._table} WHERE event_id = ?', [event_id])
        return (found[0][0].replace(tzinfo=UTC), event_id) if found else None

    def newest(
        self, limit: int = 50, *, before: tuple[datetime, str] | None = None, subject: str = "", actor: str = ""
    ) -> list[AuditEvent]:
        """The newest first; `before`: the moment and id of the last one of the page before."""
        if not self._warehouse.columns(self._relation):
            return []
        clauses = ["TRUE"]
        params: list[Scalar] = []
        if before is not None:
            clauses.append('("at" < ? OR ("at" = ? AND event_id < ?))')
            params += [naive(before[0]), naive(before[0]), before[1]]
        for column, wanted in (("subject", subject), ("actor", actor)):
            if wanted:
                clauses.append(f"{ident(column)} = ?")
                params.append(wanted)
        found: list[Any] = self._warehouse.rows(
            f"""
            SELECT {", ".join(map(ident, _COLUMNS))}
            FROM {self._table}
            WHERE {" AND ".join(clauses)}
            ORDER BY "at" DESC, event_id DESC
            LIMIT {int(limit)}
            """,
            params,
        )
        return [_event(dict(zip(_COLUMNS, row, strict=True))) for row in found]


def _plain(value: Any) -> Any:
    return json.dumps(value, sort_keys=True, default=str) if isinstance(value, Mapping) else value


def _event(cells: dict[str, Any]) -> AuditEvent:
    return AuditEvent(
        **{**cells, "details": json.loads(cells["details"] or "{}"), "at": cells["at"].replace(tzinfo=UTC)}
    )

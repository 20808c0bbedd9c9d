"""`operations`: what was asked of a service, and what became of it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal

from revetl.clock import naive
from revetl.model import Scalar
from revetl.service.operations.kinds import OperationKind
from revetl.state.schema import TABLES, create_all, relation
from revetl.warehouse.base import Warehouse
from revetl.warehouse.sql import ident, table

OperationStatus = Literal["waiting", "running", "done", "partial", "stopped", "failed", "interrupted"]
OPEN: tuple[OperationStatus, ...] = ("waiting", "running")
_COLUMNS = tuple(name for name, _ in TABLES["operations"])
_TIMES = ("asked_at", "began_at", "ended_at")


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceOperation:
    """One row. `idempotency_key` and `request` are digests: two requests of one key are one operation, and are refused
    where they ask for different things."""

    operation_id: str
    kind: OperationKind
    subject: str | None
    arguments: Mapping[str, Any] = field(default_factory=dict)
    asked_by: str
    reason: str | None = None
    asked_at: datetime
    status: OperationStatus = "waiting"
    said: str | None = None
    worker: str | None = None
    attempts: int = 0
    began_at: datetime | None = None
    ended_at: datetime | None = None
    exit_code: int | None = None
    idempotency_key: str
    request: str

    @property
    def is_open(self) -> bool:
        return self.status in OPEN


class OperationTable:
    """Reading gives nothing where the table is not there yet."""

    def __init__(self, warehouse: Warehouse) -> None:
        self._warehouse = warehouse
        self._relation = relation(warehouse, "operations")
        self._table = table(self._relation)

    def create(self) -> None:
        """Safe to repeat."""
        create_all(self._warehouse)

    def add(self, operation: ServiceOperation) -> None:
        names, marks = ", ".join(map(ident, _COLUMNS)), ", ".join("?" for _ in _COLUMNS)
        cells = [_plain(getattr(operation, name)) for name in _COLUMNS]
        self._warehouse.execute(f"INSERT INTO {self._table} ({names}) VALUES ({marks})", cells)

    def change(self, operation: ServiceOperation) -> None:
        """Writes the row as it is now, where it has not ended. Safe to repeat."""
        changed = ("status", "said", "worker", "attempts", "began_at", "ended_at", "exit_code")
        self._warehouse.execute(
            f"""
            UPDATE {self._table}
            SET {", ".join(f"{ident(name)} = ?" for name in changed)}
            WHERE operation_id = ? AND status IN ('waiting', 'running')
            """,
            [*(_plain(getattr(operation, name)) for name in changed), operation.operation_id],
        )

    def find(self, operation_id: str) -> ServiceOperation | None:
        return next(iter(self._select("WHERE operation_id = ?", [operation_id])), None)

    def asked_with(self, idempotency_key: str) -> ServiceOperation | None:
        return next(iter(self._select("WHERE idempotency_key = ?", [idempotency_key])), None)

    def open(self) -> list[ServiceOperation]:
        """Those that wait or run, who was asked first before the others."""
        return self._select("WHERE status IN ('waiting', 'running') ORDER BY asked_at, operation_id", [])

    def newest(self, limit: int) -> list[ServiceOperation]:
        return self._select(f"ORDER BY asked_at DESC, operation_id DESC LIMIT {int(limit)}", [])

    def _select(self, rest: str, params: Sequence[Scalar]) -> list[ServiceOperation]:
        if not self._warehouse.columns(self._relation):
            return []
        names = ", ".join(map(ident, _COLUMNS))
        rows: list[Any] = self._warehouse.rows(f"SELECT {names} FROM {self._table} {rest}", params)
        return [_operation(dict(zip(_COLUMNS, row, strict=True))) for row in rows]


def _plain(value: Any) -> Scalar:
    if isinstance(value, datetime):
        return naive(value)
    if isinstance(value, Mapping):
        return json.dumps(value, sort_keys=True)
    return str(value) if isinstance(value, OperationKind) else value


def _operation(cells: dict[str, Any]) -> ServiceOperation:
    times = {name: cells[name] and cells[name].replace(tzinfo=UTC) for name in _TIMES}
    read = {"kind": OperationKind(cells["kind"]), "arguments": json.loads(cells["arguments"] or "{}")}
    return ServiceOperation(**{**cells, **times, **read, "attempts": int(cells["attempts"] or 0)})

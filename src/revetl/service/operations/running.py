"""Runs what was asked of the service, as `revetl serve` runs what is scheduled: each operation is a process of the
command line. docs/adr/0028-scheduled-runs-are-processes.md

An operation is durable before it is answered with 202, and is begun by whoever has its lease. A service that ends puts
back what it ran; what a dead one left is begun again by the next: every command is safe to repeat. Only those about one
person are not, since what was asked by is in no table: they end as `interrupted`, and are to be asked for again.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import shutil
import tempfile
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

from revetl.accounts.plan_reviews import PlanReviews, ReviewedPlan
from revetl.clock import Clock
from revetl.context import Offload
from revetl.errors import LeaseError, RevetlError, WarehouseBusy
from revetl.service.launching import INTERRUPTED, ended
from revetl.service.operations.kinds import KINDS, LIST_FILE, PLAN_FILE, OperationKind, list_of_one, row_of
from revetl.service.operations.tables import OperationStatus, OperationTable, ServiceOperation
from revetl.service.waking_loop import WakingLoop
from revetl.state import leases
from revetl.subprocesses import start_python
from revetl.warehouse.base import Warehouse

log = logging.getLogger("revetl.service")

LASTS = timedelta(seconds=90)
MOST_ATTEMPTS = 5
_POLL_S = 1.0
_LOOK_EVERY_S = 60.0  # for what a service on another machine left
_WAIT = "30m"  # for the lease of a sync, or the file of the database
_LONGEST_SAID = 500
_MOST_OUTPUT = 1 << 20
_KEPT = 200  # of what was asked last
_BY_CODE: dict[int, OperationStatus] = {0: "done", 1: "partial", 3: "stopped"}
_WHY = {
    1: "records were refused or wait, or something was away",
    2: "a mistake in a file, or in what was asked",
    3: "a guardrail, a budget or a saga stopped it",
    4: "credentials or scope were refused",
}
_NOT_KEPT = "the service ended meanwhile, and what was asked is kept nowhere: ask again"


@dataclass(frozen=True, slots=True)
class FinishedCommand:
    """What a process left. `output`: its JSON document; `plan`: the file of a plan; `row`: of a list of one."""

    code: int
    output: Any = None
    plan: str | None = None
    row: Mapping[str, str] = field(default_factory=dict, repr=False)


class OperationProcess:
    """Starts the command of one operation. `project`: the flags that say which project."""

    def __init__(self, project: Sequence[str], clock: Clock) -> None:
        self._project, self._clock = list(project), clock

    async def run(
        self, operation: ServiceOperation, files: Mapping[str, bytes], stop: asyncio.Event
    ) -> FinishedCommand:
        """To its end; `files` stand in its folder, which is removed after. What can't be started counts as 1."""
        folder = Path(tempfile.mkdtemp(prefix="revetl-operation-"))  # for the owner's eyes alone
        try:
            for name, content in files.items():
                (folder / name).write_bytes(content)
            words = KINDS[operation.kind].command(operation.arguments, folder)
            flags = [*self._project, "--wait", _WAIT, "--json", "--quiet", "--log-format", "json"]
            with (folder / "output.json").open("w+b") as output:
                try:
                    process = start_python(
                        ["-m", "revetl.cli.main", *words, *flags],
                        bound=True,
                        stdout=output,
                        env=_environment(operation),
                    )
                except OSError as e:
                    why = e.strerror or type(e).__name__
                    log.error("an operation can't be started", extra={"kind": operation.kind, "why": why})
                    return FinishedCommand(1)
                code = await ended(process, stop, self._clock)
                output.seek(0)
                said = _document(output.read(_MOST_OUTPUT))
            return FinishedCommand(code, said, _text(folder / PLAN_FILE), row_of(_bytes(folder / LIST_FILE)))
        finally:
            await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)


def _environment(operation: ServiceOperation) -> dict[str, str]:
    """By which the command line's row of the audit log says for whom it works."""
    ours = {
        "REVETL_ON_BEHALF_OF": operation.asked_by,
        "REVETL_OPERATION": operation.operation_id,
        "REVETL_REASON": operation.reason or "",
    }
    return {**os.environ, **ours}


def _document(raw: bytes) -> Any:
    try:
        return json.loads(raw)
    except ValueError:
        return None


def _bytes(path: Path) -> bytes:
    return path.read_bytes() if path.exists() else b""


def _text(path: Path) -> str | None:
    return path.read_text("utf-8") if path.exists() else None


class OperationRunner(WakingLoop):
    """`door` opens the warehouse for a moment. `exclusive`: it is a file, which an operation needs for itself."""

    def __init__(
        self,
        door: Callable[[], AbstractContextManager[Warehouse]],
        process: OperationProcess,
        clock: Clock,
        worker: str,
        *,
        exclusive: bool,
        lazy: bool = True,
        offload: Offload = asyncio.to_thread,
    ) -> None:
        super().__init__()
        self._door, self._process, self._clock, self._worker = door, process, clock, worker
        self._parallel = 1 if exclusive else 4
        self._exclusive, self._lazy, self._offload = exclusive, lazy, offload
        self._private: dict[str, Mapping[str, str]] = {}
        self._results: OrderedDict[str, Any] = OrderedDict()
        self._plans: dict[str, str] = {}
        self._latest: OrderedDict[str, ServiceOperation] = OrderedDict()
        self._finished: list[tuple[ServiceOperation, FinishedCommand]] = []
        self._waits = True  # at the start: what a dead service left
        self._looked_at = clock.monotonic()

    @property
    def busy(self) -> bool:
        """Whether an operation has the file of the database."""
        return self._exclusive and bool(self._tasks)

    def add(self, operation: ServiceOperation, private: Mapping[str, str] | None) -> None:
        """After its row is durable. `private`: who is meant, which is kept in memory until it has run."""
        if private is not None:
            self._private[operation.operation_id] = private
        self._remember(operation)
        self._waits = True
        self._wake.set()

    def find(self, operation_id: str) -> ServiceOperation | None:
        """One that this service was asked, as it is now, without the warehouse: an operation may have its file."""
        return self._latest.get(operation_id)

    def _remember(self, operation: ServiceOperation) -> None:
        self._latest[operation.operation_id] = operation
        while len(self._latest) > _KEPT:
            old, _ = self._latest.popitem(last=False)
            self._plans.pop(old, None)

    def result(self, operation_id: str) -> Any:
        """What an operation about one person gave; None where it is not of this service, or long ago."""
        return self._results.get(operation_id)

    def plan(self, operation_id: str) -> str | None:
        """The id of the plan that it made."""
        return self._plans.get(operation_id)

    async def _leave(self) -> None:
        """What was written down goes on with the next service."""
        await self._step(begin=False)

    def _patience_s(self) -> float:
        pending = (self._waits and len(self._tasks) < self._parallel) or self._finished
        return _POLL_S if pending else LASTS.total_seconds() / 3 if self._tasks else _LOOK_EVERY_S

    async def _step(self, *, begin: bool = True) -> None:
        due = not self._lazy and self._clock.monotonic() - self._looked_at >= _LOOK_EVERY_S
        beats = bool(self._tasks) and not self._exclusive
        wanted = begin and self._waits and len(self._tasks) < self._parallel
        if not (wanted or due or beats or self._finished):
            return
        if self._exclusive and self._tasks:
            return
        try:
            starting = await self._offload(self._look, begin)
        except WarehouseBusy:
            return
        except LeaseError:  # another service has the file's schedules: it runs what waits, too
            self._waits, self._looked_at = False, self._clock.monotonic()
            return
        except RevetlError as e:
            log.warning("operations could not be looked at", extra={"kind": e.kind, "why": str(e)})
            return
        for operation, files in starting:
            self._remember(operation)
            self._tasks[operation.operation_id] = asyncio.create_task(self._one(operation, files))

    def _look(self, begin: bool) -> list[tuple[ServiceOperation, dict[str, bytes]]]:
        with self._door() as warehouse:
            table = OperationTable(warehouse)
            for operation, found in list(self._finished):
                self._write_end(warehouse, table, operation, found)
                self._remember(operation)  # not before: whoever is told that a plan is made asks for it next
                self._finished.remove((operation, found))
            if not self._exclusive:
                with warehouse.transaction():
                    for operation_id in self._tasks:
                        leases.hold(warehouse, _lease(operation_id), self._holder(operation_id), until=self._until())
            starting: list[tuple[ServiceOperation, dict[str, bytes]]] = []
            waiting = [o for o in table.open() if o.operation_id not in self._tasks] if begin else []
            for operation in waiting:
                if len(self._tasks) + len(starting) >= self._parallel:
                    break
                if (chosen := self._claim(warehouse, table, operation)) is not None:
                    starting.append(chosen)
            if begin:
                self._waits = len(waiting) > len(starting)
                self._looked_at = self._clock.monotonic()
            return starting

    def _claim(
        self, warehouse: Warehouse, table: OperationTable, operation: ServiceOperation
    ) -> tuple[ServiceOperation, dict[str, bytes]] | None:
        """None: another service has it, or it has come to its end here."""
        id_, now = operation.operation_id, self._clock.now()
        if leases.take(warehouse, _lease(id_), self._holder(id_), now=now, lasts=LASTS) is not None:
            return None
        current = table.find(id_)
        if current is None or not current.is_open:
            leases.release(warehouse, _lease(id_), self._holder(id_))
            return None
        private = self._private.get(id_)
        over: OperationStatus | None = None
        if KINDS[current.kind].about_a_person and private is None:
            over, why = "interrupted", _NOT_KEPT
        elif current.attempts >= MOST_ATTEMPTS:
            over, why = "failed", f"the service ended each of the {current.attempts} times that it ran"
        if over is not None:
            table.change(replace(current, status=over, said=why, ended_at=now))
            leases.release(warehouse, _lease(id_), self._holder(id_))
            return None
        began = replace(
            current, status="running", worker=self._worker, attempts=current.attempts + 1, began_at=now, said=None
        )
        table.change(began)
        return began, self._files(warehouse, began, private)

    def _files(
        self, warehouse: Warehouse, operation: ServiceOperation, private: Mapping[str, str] | None
    ) -> dict[str, bytes]:
        if private is not None:
            return {"row.csv": list_of_one(private)}
        if operation.kind is OperationKind.APPLY:
            plan = PlanReviews(warehouse).find(operation.arguments["plan"])
            return {PLAN_FILE: plan.document.encode()} if plan is not None else {}
        return {}

    async def _one(self, operation: ServiceOperation, files: Mapping[str, bytes]) -> None:
        log.info("operation started", extra={"operation": operation.operation_id, "kind": operation.kind})
        found = FinishedCommand(INTERRUPTED)  # where we are cancelled
        try:
            found = await self._process.run(operation, files, self._abandon)
        finally:
            over = _over(operation, found, self._clock)
            if KINDS[operation.kind].about_a_person:
                self._keep(operation, found)
            self._finished.append((over, found))
            self._tasks.pop(operation.operation_id, None)
            self._wake.set()
            said = {"operation": operation.operation_id, "status": over.status, "exit_code": found.code}
            log.info("operation ended", extra=said)

    def _keep(self, operation: ServiceOperation, found: FinishedCommand) -> None:
        self._private.pop(operation.operation_id, None)
        self._results[operation.operation_id] = dict(found.row) if found.row else found.output
        while len(self._results) > _KEPT:
            self._results.popitem(last=False)

    def _write_end(
        self, warehouse: Warehouse, table: OperationTable, operation: ServiceOperation, found: FinishedCommand
    ) -> None:
        id_ = operation.operation_id
        if found.plan is not None and operation.ended_at is not None:
            digest = self._plans[id_] = json.loads(found.plan)["sha256"]
            PlanReviews(warehouse).add(
                ReviewedPlan(
                    plan=digest,
                    document=found.plan,
                    created_at=operation.ended_at,
                    created_by=operation.asked_by,
                    operation_id=id_,
                    applied_by=None,
                )
            )
        table.change(operation)
        leases.release(warehouse, _lease(id_), self._holder(id_))

    def _holder(self, operation_id: str) -> str:
        return f"{self._worker}:{operation_id}"

    def _until(self) -> Any:
        return self._clock.now() + LASTS


def _lease(operation_id: str) -> str:
    return f"operation:{operation_id}"


def _over(operation: ServiceOperation, found: FinishedCommand, clock: Clock) -> ServiceOperation:
    if found.code == INTERRUPTED:
        if KINDS[operation.kind].about_a_person:
            return replace(operation, status="interrupted", said=_NOT_KEPT, ended_at=clock.now(), exit_code=found.code)
        return replace(operation, status="waiting", said="the service was stopped", began_at=None)
    error = found.output.get("error") if isinstance(found.output, dict) else None
    status = "failed" if found.code == 1 and error else _BY_CODE.get(found.code, "failed")
    said = _WHY.get(found.code)
    if isinstance(error, dict) and not KINDS[operation.kind].about_a_person:
        said = str(error.get("message") or said)[:_LONGEST_SAID]
    return replace(operation, status=status, said=said, ended_at=clock.now(), exit_code=found.code)

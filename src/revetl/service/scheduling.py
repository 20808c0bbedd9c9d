"""The worker that decides what is due and starts it. Of several, one has the lease and works; the others look whether
it still does.

One *look* is: follow a dead worker, write down what ended, decide, choose what starts, in one transaction that renews
the lease. A process is started only after that transaction stands. docs/design/service.md says what fails between.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import socket
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Protocol

from revetl.clock import Clock
from revetl.context import Offload
from revetl.errors import LeaseError, RevetlError, WarehouseBusy, WarehouseError
from revetl.schedules.deciding import MOST_ATTEMPTS, DueRun, DueStatus, ScheduleDecision, ScheduleState, decide
from revetl.schedules.spec import Schedule
from revetl.schedules.tables import LEASE, ScheduleTables
from revetl.schedules.times import next_time
from revetl.service.launching import INTERRUPTED, Launcher
from revetl.service.waking_loop import WakingLoop
from revetl.state import leases
from revetl.usecases.schedule import Outlook
from revetl.warehouse.base import Warehouse

log = logging.getLogger("revetl.service")

LASTS = timedelta(seconds=90)
_READ_PROJECT_S = 60.0  # somebody may add a schedule
_WRITTEN_EVERY = timedelta(minutes=1)  # that a span without a time is decided need not stand there at once
_BY_CODE: dict[int, DueStatus] = {0: "done", 1: "partial", 3: "stopped"}
_WHY = {
    1: "records were refused or wait, or something was away: `revetl runs`",
    2: "a mistake in a file, told in the service's log",
    3: "a guardrail, a budget or a saga stopped it: `revetl plan`",
    4: "credentials or scope were refused: `revetl debug`",
}


class ScheduleBook(Protocol):
    """What the project declares at this moment, and what each schedule waits for."""

    def schedules(self) -> Sequence[Schedule]: ...

    def outlook(self, warehouse: Warehouse, schedule: Schedule, state: ScheduleState | None) -> Outlook: ...


class LookWatch(Protocol):
    """What is done beside schedules by the worker that has the lease: alerts."""

    def looked(self, warehouse: Warehouse, now: datetime) -> None:
        """At the end of a look, while the warehouse is open. RevetlError is logged as that of the look."""
        ...

    async def afterwards(self) -> bool:
        """With the warehouse closed. Whether another look is to write something down."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerOptions:
    """`exclusive`: the warehouse is a file, which a run needs for itself: one run at a time, no look beside it.
    `lazy`: a look costs something (a file that others want, a warehouse that is woken), so none is made before a
    time is due. `poll_s`: between looks, where something is waited for. `look_every_s`: looks are made so often even
    where they are lazy; None: no more than schedules need."""

    parallel: int = 4
    poll_s: float = 5.0
    exclusive: bool = False
    lazy: bool = False
    look_every_s: float | None = None


@dataclass(slots=True)
class WorkerState:
    """What a page may show of the worker. `leading`: whether it has the lease; `holder`: who has it otherwise."""

    worker: str
    leading: bool = False
    holder: str | None = None
    looked_at: datetime | None = None
    error: str | None = None
    running: dict[str, DueRun] = field(default_factory=dict)


class SchedulingWorker(WakingLoop):
    """`door` opens the warehouse for one look."""

    def __init__(
        self,
        door: Callable[[], AbstractContextManager[Warehouse]],
        book: ScheduleBook,
        launcher: Launcher,
        clock: Clock,
        options: WorkerOptions = WorkerOptions(),
        *,
        offload: Offload = asyncio.to_thread,
        watch: LookWatch | None = None,
    ) -> None:
        super().__init__()
        self.state = WorkerState(f"{socket.gethostname()}-{secrets.token_hex(4)}")
        self._door, self._book, self._launcher, self._clock = door, book, launcher, clock
        self._options, self._offload, self._watch = options, offload, watch
        self._parallel = 1 if options.exclusive else options.parallel
        self._created = False
        self._serving_since: datetime | None = None
        self._ended: list[DueRun] = []
        self._waits = True  # something is waited for, so the next look is soon
        self._next: datetime | None = None
        self._seen: list[Schedule] = []

    def _patience_s(self) -> float:
        patience = _READ_PROJECT_S if self._options.lazy and not self._waits else self._options.poll_s
        if self._next is not None and (until := (self._next - self._clock.now()).total_seconds()) > 0:
            patience = min(patience, until)
        return patience

    def _needed(self) -> bool:
        """Whether a look can find anything. A file is not opened beside the run that works in it."""
        if self._options.exclusive and self._tasks:
            return False
        if not self._options.lazy or self._ended or self._waits:
            return True
        looked = self.state.looked_at
        if self._tasks and (looked is None or self._clock.now() - looked >= LASTS / 3):
            return True  # the lease ends otherwise
        every = self._options.look_every_s
        if every is not None and (looked is None or (self._clock.now() - looked).total_seconds() >= every):
            return True
        if (now := list(self._book.schedules())) != self._seen:
            self._seen = now
            return True
        return self._next is not None and self._clock.now() >= self._next

    async def _step(self) -> None:
        try:
            if not await self._offload(self._needed):
                return
            starting = await self._offload(self._look)
        except WarehouseBusy as e:
            log.debug("the database file is in use", extra={"why": str(e)})
            self._waits = True
            return
        except LeaseError:
            self._stand_by("another worker")
            return
        except RevetlError as e:
            # The service goes on: a warehouse comes back, a file is mended. The page and /readyz say it.
            self.state.error = str(e)
            self._waits = True
            log.warning("a look at the schedules failed", extra={"kind": e.kind, "why": str(e)})
            return
        self.state.error = None
        for schedule, due in starting:
            self._start(schedule, due)
        if self._watch is not None and await self._watch.afterwards():
            self._waits = True  # something is to be written down at the next look

    def _look(self) -> list[tuple[Schedule, DueRun]]:
        now = self._clock.now()
        with self._door() as warehouse:
            tables = ScheduleTables(warehouse, there=self._created)
            tables.create()
            self._created = True
            if not self._lead(warehouse, tables, now):
                return []
            schedules = list(self._book.schedules())
            states, open_runs = tables.states(), tables.open_runs()
            ended = list(self._ended)
            over = {(run.schedule, run.due_at) for run in ended}
            open_runs = [run for run in open_runs if (run.schedule, run.due_at) not in over]
            decisions, starting = self._decide(warehouse, schedules, states, open_runs)
            with warehouse.transaction():
                for run in ended:
                    tables.change(run)
                for decision in decisions:
                    tables.write(decision)
                for _, due in starting:
                    tables.change(due)
                leases.hold(warehouse, LEASE, self.state.worker, until=self._clock.now() + LASTS)
            del self._ended[: len(ended)]
            self._foresee(schedules, states, [*open_runs, *(r for d in decisions for r in d.new)], now)
            self.state.looked_at = now
            if self._watch is not None:
                self._watch.looked(warehouse, now)
        return starting

    def _foresee(
        self, schedules: Sequence[Schedule], states: dict[str, ScheduleState], runs: Sequence[DueRun], now: datetime
    ) -> None:
        """When the next look can find something."""
        live = [s for s in schedules if not s.spec.pause]
        names = {s.name for s in live}
        self._seen = list(schedules)
        self._waits = any(s.spec.cron is None for s in live) or any(
            r.status == "waiting" and r.schedule in names for r in runs
        )
        self._next = min((at for s in live if (at := next_time(s.spec, now)) is not None), default=None)

    def _lead(self, warehouse: Warehouse, tables: ScheduleTables, now: datetime) -> bool:
        holder = leases.take(warehouse, LEASE, self.state.worker, now=now, lasts=LASTS)
        if holder is not None:
            self._stand_by(f"process {holder.pid} on {holder.host}")
            return False
        if not self.state.leading:
            log.info("this worker runs the schedules", extra={"worker": self.state.worker})
            self._serving_since = now
            self._abandon = asyncio.Event()
            self._follow(warehouse, tables)
        self.state.leading, self.state.holder = True, None
        return True

    def _follow(self, warehouse: Warehouse, tables: ScheduleTables) -> None:
        """Runs of a worker that is gone are started again under the same time: a run takes up where it stopped."""
        ours = {(run.schedule, run.due_at) for run in self.state.running.values()}
        left = [r for r in tables.open_runs() if r.status == "running" and (r.schedule, r.due_at) not in ours]
        with warehouse.transaction():
            for run in left:
                log.warning("a worker ended during a run", extra={"schedule": run.schedule, "worker": run.worker})
                why = f"{run.worker} ended while it ran"
                if run.attempts >= MOST_ATTEMPTS:
                    over = f"{why}, started {run.attempts} times"
                    tables.change(replace(run, status="failed", reason=over, ended_at=self._clock.now()))
                else:
                    tables.change(replace(run, status="waiting", reason=why, began_at=None))

    def _stand_by(self, holder: str) -> None:
        if self.state.leading:
            log.warning("another worker took over", extra={"worker": self.state.worker})
            # Its runs are started again by whoever took over, and what it has to say of them is out of date.
            self._abandon.set()
            self._ended.clear()
        elif self.state.holder != holder:
            log.info("standing by", extra={"worker": self.state.worker, "holder": holder})
        self.state.leading, self.state.holder, self._waits = False, holder, True

    def _decide(
        self,
        warehouse: Warehouse,
        schedules: Sequence[Schedule],
        states: dict[str, ScheduleState],
        open_runs: Sequence[DueRun],
    ) -> tuple[list[ScheduleDecision], list[tuple[Schedule, DueRun]]]:
        now = self._clock.now()
        decisions: dict[str, ScheduleDecision] = {}
        ready: list[tuple[Schedule, DueRun, Outlook]] = []
        for schedule in schedules:
            state = states.get(schedule.name)
            own = [r for r in open_runs if r.schedule == schedule.name]
            outlook = self._book.outlook(warehouse, schedule, state)
            decision = decide(
                schedule,
                state,
                own,
                now,
                serving_since=self._serving_since or now,
                unmet=outlook.unmet,
            )
            if state is None:
                first = replace(decision.state, source_mark=outlook.source_mark)
                decision = replace(decision, state=first)
            if (
                decision.new
                or state is None
                or state.definition != decision.state.definition
                or (now - state.decided_until >= _WRITTEN_EVERY)
            ):
                decisions[schedule.name] = decision
            for run in decision.new:
                _log_decided(run)
            own += [run for run in decision.new if run.status == "waiting"]
            busy = schedule.name in self._tasks or any(r.status == "running" for r in own)
            waiting = next((r for r in own if r.status == "waiting"), None)
            # What was started before has had what it waited for.
            may = waiting is not None and (waiting.attempts > 0 or not outlook.unmet)
            if waiting is not None and may and not busy and not schedule.spec.pause:
                ready.append((schedule, waiting, outlook))
        ready.sort(key=lambda each: (each[1].due_at, each[0].name))  # who has waited longest comes first
        starting = []
        for schedule, run, outlook in ready[: max(0, self._parallel - len(self._tasks))]:
            began = replace(
                run,
                status="running",
                worker=self.state.worker,
                attempts=run.attempts + 1,
                began_at=now,
                reason=None,
            )
            starting.append((schedule, began))
            if outlook.source_mark is not None:
                held = decisions.get(schedule.name) or ScheduleDecision(states[schedule.name])
                marked = replace(held.state, source_mark=outlook.source_mark)
                decisions[schedule.name] = replace(held, state=marked)
        return list(decisions.values()), starting

    def _start(self, schedule: Schedule, due: DueRun) -> None:
        log.info("run started", extra={"schedule": schedule.name, "due_at": due.due_at.isoformat()})
        self.state.running[schedule.name] = due
        task = asyncio.create_task(self._run(schedule, due))
        self._tasks[schedule.name] = task

    async def _run(self, schedule: Schedule, due: DueRun) -> None:
        code = 1
        try:
            code = await self._launcher.run(schedule, self._abandon)
        finally:
            ended = _ended(due, code, self._clock.now())
            if self.state.leading:
                self._ended.append(ended)
            self.state.running.pop(schedule.name, None)
            self._tasks.pop(schedule.name, None)
            self._wake.set()
            said = {"schedule": schedule.name, "status": ended.status, "exit_code": code}
            log.info("run ended", extra=said)

    async def _leave(self) -> None:
        def leave() -> None:
            with self._door() as warehouse:
                tables = ScheduleTables(warehouse)
                with warehouse.transaction():
                    for run in self._ended:
                        tables.change(run)
                    leases.hold(warehouse, LEASE, self.state.worker, until=self._clock.now() + LASTS)
                leases.release(warehouse, LEASE, self.state.worker)

        leases.forget(self.state.worker)
        if self.state.leading:
            try:
                await self._offload(leave)
            except (LeaseError, WarehouseError) as e:
                # The rows stay `running`: whoever serves next finds them so and starts them again.
                log.warning("the end of the service could not be written down", extra={"why": str(e)})
        log.info("the service has ended", extra={"worker": self.state.worker})


def _ended(due: DueRun, code: int, now: datetime) -> DueRun:
    if code == INTERRUPTED:
        # Stopped with the service, in good order: the next one goes on with it.
        why = "the service was stopped while it ran"
        return replace(due, status="waiting", reason=why, began_at=None, exit_code=code)
    return replace(due, status=_BY_CODE.get(code, "failed"), reason=_WHY.get(code), ended_at=now, exit_code=code)


def _log_decided(run: DueRun) -> None:
    if run.status in ("missed", "skipped"):
        said = {"schedule": run.schedule, "due_at": run.due_at.isoformat(), "why": run.reason, "times": run.missed or 1}
        log.warning(f"a time was {run.status}", extra=said)

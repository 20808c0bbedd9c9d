"""Schedules, alerts and the page on all three warehouses; and of three workers one works."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from revetl.accounts.audit import AuditLog
from revetl.accounts.roles import Principal, Role
from revetl.accounts.tokens import TokenTable
from revetl.alerts.checking import look, tell, write_told
from revetl.alerts.incidents import IncidentTables
from revetl.alerts.spec import AlertsFile
from revetl.alerts.texts import AlertText
from revetl.clock import LoopClock
from revetl.model import RunRecord
from revetl.schedules.deciding import DueRun, ScheduleState, decide, first_seen
from revetl.schedules.spec import Schedule, ScheduleSpec
from revetl.schedules.tables import ScheduleTables
from revetl.service.operations.accepting import Asker, OperationIntake, OperationRequest
from revetl.service.operations.kinds import OperationKind
from revetl.service.operations.running import FinishedCommand, OperationRunner
from revetl.service.operations.tables import OperationTable, ServiceOperation
from revetl.service.page.metrics import exposition
from revetl.service.page.reading import overview, run_page
from revetl.service.scheduling import SchedulingWorker, WorkerOptions, WorkerState
from revetl.state import runs
from revetl.state.schema import create_all
from revetl.usecases.schedule import Outlook
from revetl.warehouse.base import Warehouse
from tests.support.service_world import inline
from tests.support.virtual_time import run_virtual
from tests.support.warehouses import new_warehouse

KINDS = ("duckdb", "postgres", "snowflake")
NIGHT = datetime(2026, 3, 2, 5, 15, tzinfo=UTC)
NOON = datetime(2026, 3, 5, 12, tzinfo=UTC)
SCHEDULE = Schedule("sync", "a", ScheduleSpec(cron="15 5 * * *", catch_up="all"), "a")
FILE = AlertsFile.model_validate(
    {
        "channels": {"ops": {"type": "slack", "webhook_url": "https://hooks.slack.com/services/T0/B0/x"}},
        "alerts": [{"alert": "run failed", "to": ["ops"]}, {"alert": "late", "older_than": "1d", "to": ["ops"]}],
    }
)


@pytest.fixture(scope="module", params=KINDS)
def warehouse(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Warehouse]:
    with new_warehouse(request.param, tmp_path_factory.mktemp("w")) as opened:
        create_all(opened)
        yield opened


class Ops:
    grouped = True

    def __init__(self) -> None:
        self.subjects: list[str] = []

    async def send(self, text: AlertText) -> None:
        self.subjects.append(text.subject)


def test_due_runs_are_read_back_as_they_were_written(warehouse: Warehouse) -> None:
    tables = ScheduleTables(warehouse)
    decision = decide(SCHEDULE, first_seen(SCHEDULE, NIGHT), (), NOON, serving_since=NOON)
    with warehouse.transaction():
        tables.write(decision)
    assert tables.open_runs() == list(decision.new)
    ended = replace(decision.new[0], status="stopped", began_at=NOON, ended_at=NOON, exit_code=3, attempts=1)
    tables.change(ended)
    assert tables.newest()[-1] == ended
    assert tables.states()["sync:a"] == replace(decision.state, last_began=NOON)


def test_an_incident_is_told_once_and_shown(warehouse: Warehouse) -> None:
    record = RunRecord("r1-of-a", "sync", "a", "dev", NOON - timedelta(hours=2), "0", finished_at=NOON, status="failed")
    runs.start_run(warehouse, record)
    ops = Ops()
    for minutes in (0, 5):
        now = NOON + timedelta(minutes=minutes)
        _, told = look(warehouse, FILE, {}, now)
        write_told(warehouse, asyncio.run(tell(told, {"ops": ops}, "crm", "dev", now, None)))
    assert ops.subjects == ["[crm dev] a: run failed"]
    (incident,) = IncidentTables(warehouse).open_incidents()
    found = overview(warehouse, [SCHEDULE], NOON)
    assert [sync.subject for sync in found.syncs] == ["a"]
    assert [word for _, word in found.syncs[0].health if word] == ["failed"]
    assert found.incidents == [incident]
    assert b'revetl_records_waiting{subject="a"} 0.0' in exposition(found, WorkerState("w"))[0]
    page = run_page(warehouse, "r1-of-a", search="k", status="ok", after="a")
    assert page is not None
    assert (page.run.status, page.records, page.following) == ("failed", [], None)


class Book:
    """A schedule that is due whenever nothing of it runs."""

    def __init__(self) -> None:
        self.ran = 0

    def schedules(self) -> Sequence[Schedule]:
        return [Schedule("sync", "b", ScheduleSpec(after=["a"]), "b")]

    def outlook(self, _warehouse: Warehouse, _schedule: Schedule, _state: ScheduleState | None) -> Outlook:
        return Outlook()

    async def run(self, _schedule: Schedule, _stop: asyncio.Event) -> int:
        self.ran += 1
        await asyncio.sleep(10.0)
        return 0


def test_of_three_workers_one_works(warehouse: Warehouse) -> None:
    @contextmanager
    def door() -> Iterator[Warehouse]:
        yield warehouse

    async def offload(function: object, *args: object) -> object:
        return function(*args)  # type: ignore[operator]

    async def main() -> None:
        stop, book, clock = asyncio.Event(), Book(), LoopClock(NOON)
        options = WorkerOptions(poll_s=15.0)
        workers = [SchedulingWorker(door, book, book, clock, options, offload=offload) for _ in range(3)]
        tasks = [asyncio.create_task(worker.run(stop)) for worker in workers]
        await asyncio.sleep(60.0)
        assert sorted(worker.state.leading for worker in workers) == [False, False, True]
        stop.set()
        await asyncio.gather(*tasks)
        due: list[DueRun] = [run for run in ScheduleTables(warehouse).newest() if run.schedule == "sync:b"]
        assert len(due) == book.ran > 2
        assert len({run.due_at for run in due}) == len(due)

    run_virtual(main())


class Ended:
    """In place of the command line."""

    async def run(
        self, operation: ServiceOperation, files: Mapping[str, bytes], stop: asyncio.Event
    ) -> FinishedCommand:
        return FinishedCommand(0, plan='{"sha256": "d1", "syncs": []}' if operation.kind == "plan" else None)


def test_what_is_asked_is_kept_run_approved_and_logged_on_every_warehouse(warehouse: Warehouse) -> None:
    """Two services: each operation is run by one of them, and once."""

    @contextmanager
    def door() -> Iterator[Warehouse]:
        yield warehouse

    async def work() -> list[ServiceOperation]:
        clock = LoopClock(NOON)
        made, _ = TokenTable(warehouse).create("ada", Role.OPERATOR, by="root", now=NOON)
        TokenTable(warehouse).used([made.token_id], NOON)
        runners = [
            OperationRunner(door, Ended(), clock, f"w{i}", exclusive=False, lazy=False, offload=inline) for i in (1, 2)
        ]
        intake = OperationIntake(door, runners[0], clock, lambda: 1, offload=inline)
        asker = Asker(made.principal, "api from 127.0.0.1")
        asked = OperationRequest(kind=OperationKind.PLAN, subject="a", arguments={"syncs": ["a"]}, key="k", digest="d")
        first, again = [await intake.accept(asker, asked) for _ in range(2)]
        assert first.operation_id == again.operation_id
        stop = asyncio.Event()
        tasks = [asyncio.create_task(runner.run(stop)) for runner in runners]
        await clock.sleep(5)
        agreed = await intake.approve(Asker(Principal("grace", Role.APPROVER, "t2"), "page"), "d1", "fine")
        assert agreed.approvers() == {"grace"}
        await clock.sleep(1)
        await intake.accept(
            asker,
            OperationRequest(kind=OperationKind.APPLY, subject="d1", arguments={"plan": "d1"}, key="k2", digest="d"),
        )
        await clock.sleep(5)
        stop.set()
        await asyncio.gather(*tasks)
        return OperationTable(warehouse).newest(5)

    found = run_virtual(work())
    assert [(each.kind, each.status, each.attempts) for each in found] == [("apply", "done", 1), ("plan", "done", 1)]
    log = AuditLog(warehouse).newest(10)
    assert [event.action for event in log] == ["apply", "approve", "plan"]
    assert [event.action for event in AuditLog(warehouse).newest(2, before=(log[0].at or NOON, log[0].event_id))] == [
        "approve",
        "plan",
    ]
    (token,) = TokenTable(warehouse).all()
    assert (token.name, token.last_used_at) == ("ada", NOON)

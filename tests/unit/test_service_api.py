"""`/v1`: what it answers, that an act is one operation however often it is asked, and what survives a dead service."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from typing import Any

import pytest

from revetl.accounts.roles import Role
from revetl.errors import WarehouseBusy, WarehouseError
from revetl.service.api import answers
from revetl.service.api.openapi import document
from revetl.service.api.routes import ROUTES
from revetl.service.operations.running import FinishedCommand
from revetl.service.problems import PROBLEMS
from revetl.warehouse.base import Warehouse
from tests.support.service_world import RUN, SYNC, ServiceWorld, emptied, fill, state_in_memory
from tests.support.small_project import REPOSITORY

SYNC_RUNS = f"/v1/syncs/{SYNC}/runs"


@pytest.fixture(scope="module")
def state() -> Iterator[Warehouse]:
    warehouse = state_in_memory()
    fill(warehouse)
    yield warehouse
    warehouse.close()


@pytest.fixture
def world(state: Warehouse) -> ServiceWorld:
    return ServiceWorld(emptied(state))


async def test_outcomes_are_paged_by_key_and_no_record_is_lost_or_shown_twice(world: ServiceWorld) -> None:
    # Two rows of one key where a page would end: the record and its link.
    world.warehouse.execute(
        f'INSERT INTO revetl.outcomes (run_id, sync, key, op, status, attempts, "at")'
        f" VALUES ('{RUN}', '{SYNC}', 'k00000006', 'link', 'ok', 1, now())"
    )
    async with world.client(headers=world.headers("viewer")) as client:
        found: list[tuple[str, str]] = []
        after: dict[str, Any] = {}
        while True:
            answer = await client.get(f"/v1/runs/{RUN}/outcomes", params={"limit": 7, **after})
            assert answer.status_code == 200, answer.text
            page = answer.json()
            found += [(each["key"], each["op"]) for each in page["outcomes"]]
            if page["next"] is None:
                break
            after = {"after": page["next"]}
        assert len(found) == len(set(found)) == 26
        refused = await client.get(f"/v1/runs/{RUN}/outcomes", params={"status": "rejected", "search": "k0000001"})
        assert [each["key"] for each in refused.json()["outcomes"]] == ["k00000010"]
        one = await client.get(f"/v1/runs/{RUN}")
        assert one.json()["reasons"] == [
            {"status": "rejected", "code": "INVALID_EMAIL", "example": "not an address", "records": 3}
        ]
        assert (await client.get("/v1/syncs")).json()["syncs"][0]["last_run_id"] == RUN
        assert (await client.get("/v1/runs")).json()["runs"][0]["counts"] == {"ok": 25}


async def test_an_act_is_one_operation_however_often_it_is_asked(world: ServiceWorld) -> None:
    async with world.serving() as client:
        headers = world.headers(key="monday", wait=None)
        first, second = await asyncio.gather(
            client.post(SYNC_RUNS, json={"reason": "quarter's end"}, headers=headers),
            client.post(SYNC_RUNS, json={"reason": "quarter's end"}, headers=headers),
        )
        assert (first.status_code, second.status_code) == (202, 202)
        assert first.json()["operation_id"] == second.json()["operation_id"]
        other = await client.post(SYNC_RUNS, json={"reason": "another"}, headers=headers)
        assert (other.status_code, other.json()["type"]) == (422, "urn:revetl:problem:key-in-use")
        mine = await client.post(SYNC_RUNS, json={}, headers=world.headers("approver", key="monday"))
        assert mine.status_code == 200  # the key of another token is another key
        ended = await client.get(first.headers["location"], headers=headers)
        assert ended.json()["status"] == "done"
    assert [operation.asked_by for operation, _ in world.process.ran] == ["operator-name", "approver-name"]
    asked = world.rows("SELECT actor, action, subject, reason, outcome FROM revetl.audit_log WHERE outcome = 'asked'")
    assert ("operator-name", "sync", SYNC, "quarter's end", "asked") in asked
    assert len(asked) == 2


async def test_a_plan_is_approved_by_others_and_sent_as_it_was(world: ServiceWorld) -> None:
    world.approvals = 1
    async with world.serving() as client:
        assert (await client.post(SYNC_RUNS, json={}, headers=world.headers())).json()["status"] == 403
        made = (await client.post("/v1/plans", json={"syncs": [SYNC]}, headers=world.headers("approver"))).json()
        plan = f"/v1/plans/{made['plan']}"
        shown = (await client.get(plan, headers=world.headers("viewer"))).json()
        assert shown["syncs"][0]["counts"] == {"create": 1, "update": 1}
        early = await client.post(f"{plan}/apply", json={}, headers=world.headers())
        assert (early.status_code, early.json()["type"]) == (409, "urn:revetl:problem:approval-missing")
        own = await client.post(f"{plan}/approvals", json={}, headers=world.headers("approver"))
        assert own.json()["type"] == "urn:revetl:problem:own-plan"
        world.tokens["second"] = world.token("approver-name", Role.APPROVER)
        world.clock.passed += 11  # tokens are read anew
        again = await client.post(f"{plan}/approvals", json={}, headers=world.headers("second"))
        assert again.status_code == 409  # another token of the same person
        world.tokens["other"] = world.token("grace", Role.APPROVER)
        world.clock.passed += 11
        for _ in range(2):
            agreed = await client.post(
                f"{plan}/approvals", json={"reason": "looks right"}, headers=world.headers("other")
            )
            assert [a["name"] for a in agreed.json()["approvals"]] == ["grace"]
        sent = await client.post(f"{plan}/apply", json={}, headers=world.headers())
        assert (sent.status_code, sent.json()["status"]) == (200, "done")
    operation, files = world.process.ran[-1]
    assert json.loads(files["plan.json"])["sha256"] == made["plan"]
    assert operation.arguments == {"plan": made["plan"]}


async def test_whom_an_act_is_about_stands_in_no_table(world: ServiceWorld) -> None:
    world.process.does = lambda operation: FinishedCommand(0, row={"job_title": "Analyst"})
    body = {"waterfall": "contact_profile", "inputs": {"email": "ada@acme.example"}, "max_spend_usd": "0.50"}
    async with world.serving() as client:
        found = await client.post("/v1/enrichments", json=body, headers=world.headers())
        assert (found.status_code, found.json()["result"]) == (200, {"job_title": "Analyst"})
        erased = await client.post(
            "/v1/erasures", json={"email": "ada@acme.example"}, headers=world.headers("approver")
        )
        assert erased.status_code == 200
    assert [files["row.csv"] for _, files in world.process.ran] == [b"email\nada@acme.example\n"] * 2
    for name in ("operations", "audit_log"):
        assert "ada@" not in str(world.rows(f"SELECT * FROM revetl.{name}"))


async def test_what_a_dead_service_left_is_begun_again_but_for_what_nobody_knows(world: ServiceWorld) -> None:
    world.process.held = asyncio.Event()
    first = asyncio.create_task(world.runner.run(asyncio.Event()))
    async with world.client() as client:
        ids = [
            (await client.post(path, json=body, headers=world.headers("approver", wait=None))).json()["operation_id"]
            for path, body in ((SYNC_RUNS, {}), ("/v1/erasures", {"key": "g1"}), (SYNC_RUNS, {"reason": "two"}))
        ]
    await world.process.began.wait()
    world.fails = WarehouseError("killed")  # nothing is written any more
    for task in (first, *world.runner._tasks.values()):
        task.cancel()
    await asyncio.gather(first, return_exceptions=True)
    world.fails = None
    world.warehouse.execute("UPDATE revetl.leases SET expires_at = TIMESTAMP '2026-03-01'")
    world.process.held, stop = None, asyncio.Event()
    second = world.another_runner("w2")
    task = asyncio.create_task(second.run(stop))
    await world.until(lambda: not world.rows("SELECT 1 FROM revetl.operations WHERE status IN ('waiting', 'running')"))
    stop.set()
    await task
    found = dict(world.rows("SELECT operation_id, status FROM revetl.operations"))
    assert [found[i] for i in ids] == ["done", "interrupted", "done"]


async def test_a_file_in_use_or_a_warehouse_that_is_away_is_said_and_nothing_is_lost(world: ServiceWorld) -> None:
    async with world.serving() as client:
        assert (await client.get("/v1/runs", headers=world.headers("viewer"))).status_code == 200
        world.fails = WarehouseBusy("in use")
        busy = await client.post(SYNC_RUNS, json={}, headers=world.headers(key="k"))
        assert (busy.status_code, busy.headers["retry-after"]) == (503, "2")
        world.fails = WarehouseError("password of the database: hunter2")
        away = await client.get("/v1/runs", headers=world.headers("viewer"))
        assert away.status_code == 503
        assert "hunter2" not in away.text
        world.fails = None
        assert (await client.post(SYNC_RUNS, json={}, headers=world.headers(key="k"))).status_code == 200
    assert len(world.process.ran) == 1


async def test_how_an_operation_failed_is_said(world: ServiceWorld) -> None:
    said = {"error": {"kind": "guardrail", "message": "too many would be deleted"}}
    world.process.does = lambda operation: FinishedCommand(3, output=said)
    async with world.serving() as client:
        found = (await client.post(SYNC_RUNS, json={}, headers=world.headers())).json()
    assert (found["status"], found["said"], found["exit_code"]) == ("stopped", "too many would be deleted", 3)


async def test_the_document_is_the_one_that_is_committed_and_served(world: ServiceWorld) -> None:
    committed = json.loads((REPOSITORY / "docs/reference/openapi.json").read_text("utf-8"))
    made = document()
    assert committed["paths"] == made["paths"], "python scripts/api_docs.py"
    assert committed["components"] == made["components"], "python scripts/api_docs.py"
    async with world.client() as client:
        assert (await client.get("/v1/openapi.json")).json() == made


def test_a_route_that_is_to_go_says_when() -> None:
    old = replace(ROUTES[0], deprecated=date(2027, 1, 1), sunset=date(2027, 7, 1), successor="/v2/syncs")
    assert old.headers() == {
        "Deprecation": "@1798761600",
        "Sunset": "Thu, 01 Jul 2027 00:00:00 GMT",
        "Link": '</v2/syncs>; rel="successor-version"',
    }
    assert document([old])["paths"]["/v1/syncs"]["get"]["deprecated"] is True
    assert all(r.sunset is None or (r.deprecated and (r.sunset - r.deprecated).days >= 180) for r in ROUTES)


def test_every_act_is_an_operation_and_every_problem_has_a_meaning() -> None:
    assert all(r.answer is answers.OperationAnswer and r.status == 202 for r in ROUTES if r.act)
    assert {r.handler for r in ROUTES if r.method == "POST" and not r.act} == {"approve_plan"}  # safe to repeat by name
    assert len({title for _, title in PROBLEMS.values()}) == len(PROBLEMS)

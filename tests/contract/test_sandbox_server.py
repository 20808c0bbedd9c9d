"""The sandbox as a server: faults, what it counts, a person's edits, restarts, and the process around it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import aiohttp
import pytest
from click.testing import CliRunner

from revetl.cli.commands.sandbox import command
from revetl.sandbox.process import SandboxProcess
from revetl.sandbox.server import RunningSandbox, running_sandbox
from revetl.sandbox.settings import SandboxSettings
from tests.support.sandbox_hubspot import portal_of

HEADERS = {"Authorization": "Bearer pat-test"}
CONTACTS = "/crm/v3/objects/contacts"


@pytest.fixture
async def running() -> AsyncIterator[RunningSandbox]:
    async with running_sandbox() as running:
        yield running


@pytest.fixture
async def session(running: RunningSandbox) -> AsyncIterator[aiohttp.ClientSession]:
    # No reuse of connections: the client repeats by itself what fails on a reused one.
    connector = aiohttp.TCPConnector(force_close=True)
    async with aiohttp.ClientSession(running.base_url, headers=HEADERS, connector=connector) as session:
        yield session


async def create(session: aiohttp.ClientSession, email: str = "a@b.io") -> int:
    async with session.post(CONTACTS, json={"properties": {"email": email}}) as answer:
        await answer.json()
        return answer.status


async def inject(session: aiohttp.ClientSession, **fault: Any) -> int:
    async with session.post("/_sandbox/faults", json=fault) as answer:
        return answer.status


async def test_status_faults_come_before_or_after_the_work(
    session: aiohttp.ClientSession, running: RunningSandbox
) -> None:
    records = portal_of(running).store("contacts").records
    await inject(session, route=f"POST {CONTACTS}", kind="status", status=502, skip=1)
    assert [await create(session, f"{n}@b.io") for n in "abc"] == [201, 502, 201]
    assert len(records) == 2
    await inject(session, route="POST /crm/*", kind="status_after", status=504)
    assert await create(session, "d@b.io") == 504
    assert len(records) == 3


@pytest.mark.parametrize(
    ("kind", "applied", "fails_with"),
    [
        ("reset_before", False, aiohttp.ClientConnectionError),
        ("reset_after", True, aiohttp.ClientConnectionError),
        ("truncate", True, aiohttp.ClientPayloadError),
        ("wrong_json", True, aiohttp.ContentTypeError),
    ],
)
async def test_lost_and_broken_answers(
    session: aiohttp.ClientSession, running: RunningSandbox, kind: str, applied: bool, fails_with: type[Exception]
) -> None:
    await inject(session, route=f"POST {CONTACTS}", kind=kind)
    with pytest.raises(fails_with):
        await create(session)
    assert bool(portal_of(running).store("contacts").records) is applied
    assert await create(session, "other@b.io") == 201


async def test_an_answer_that_drips_comes_whole_but_late(
    session: aiohttp.ClientSession, running: RunningSandbox
) -> None:
    await inject(session, route=f"POST {CONTACTS}", kind="drip", delay_s=0.2)
    began = asyncio.get_running_loop().time()
    assert await create(session) == 201
    assert asyncio.get_running_loop().time() - began >= 0.2
    assert portal_of(running).store("contacts").records


async def test_random_faults_repeat_after_a_reset(session: aiohttp.ClientSession) -> None:
    async def a_day() -> list[int]:
        await inject(session, route="*", kind="status", times=None, probability=0.4)
        seen = [await create(session, f"{n}@b.io") for n in range(30)]
        async with session.post("/_sandbox/reset") as answer:
            assert answer.status == 204
        return seen

    first = await a_day()
    assert set(first) == {201, 503}
    assert await a_day() == first


async def test_a_fault_that_makes_no_sense_is_refused(session: aiohttp.ClientSession) -> None:
    assert await inject(session, route="*", kind="explode") == 400
    assert await inject(session, route="*", kind="status", often=3) == 400
    assert await inject(session, kind="status") == 400


async def test_stats_part_writes_from_reads(session: aiohttp.ClientSession) -> None:
    await create(session)
    async with session.get(f"{CONTACTS}/999") as answer:
        assert answer.status == 404
    async with session.post(f"{CONTACTS}/batch/read", json={"inputs": [{"id": "1"}]}) as answer:
        assert answer.status == 207
    async with session.get("/_sandbox/stats") as answer:
        stats = await answer.json()
    assert stats["requests"] == {
        "total": 3,
        "by_route": {f"POST {CONTACTS}": 1, f"GET {CONTACTS}/{{id}}": 1, f"POST {CONTACTS}/batch/read": 1},
        "by_status": {"201": 1, "207": 1, "404": 1},
    }
    assert (stats["hubspot"]["requests"], stats["hubspot"]["write_requests"]) == (3, 1)
    assert stats["hubspot"]["records"]["contacts"] == 1


async def test_a_persons_edit_shows_in_the_history(session: aiohttp.ClientSession) -> None:
    await create(session)
    edit = {"object": "contacts", "match": {"email": "a@b.io"}, "properties": {"jobtitle": "By hand"}}
    async with session.post("/_sandbox/edit", json=edit) as answer:
        record = await answer.json()
    async with session.patch(f"{CONTACTS}/{record['id']}", json={"properties": {"jobtitle": "By us"}}) as answer:
        assert answer.status == 200
    async with session.get(f"{CONTACTS}/{record['id']}?propertiesWithHistory=jobtitle") as answer:
        history = (await answer.json())["propertiesWithHistory"]["jobtitle"]
    assert [(h["value"], h["sourceType"]) for h in history] == [("By us", "INTEGRATION"), ("By hand", "CRM_UI")]


async def test_records_outlive_a_restart(tmp_path: Path) -> None:
    settings = SandboxSettings(data_dir=tmp_path)
    async with running_sandbox(settings=settings) as running, aiohttp.ClientSession(headers=HEADERS) as session:
        base = running.base_url

        async def post(path: str, body: Any) -> Any:
            async with session.post(base + path, json=body) as answer:
                return await answer.json() if answer.status != 204 else None

        key = {"name": "revetl_key", "label": "K", "type": "string", "fieldType": "text", "hasUniqueValue": True}
        await post("/crm/v3/properties/companies", {**key, "groupName": "companyinformation"})
        person = await post(CONTACTS, {"properties": {"email": "a@b.io"}})
        gone = await post(CONTACTS, {"properties": {"email": "gone@b.io"}})
        await post(f"{CONTACTS}/batch/archive", {"inputs": [{"id": gone["id"]}]})
        firm = await post("/crm/v3/objects/companies", {"properties": {"revetl_key": "k1", "domain": "b.io"}})
        pair = {"inputs": [{"from": {"id": person["id"]}, "to": {"id": firm["id"]}}]}
        await post("/crm/v4/associations/contacts/companies/batch/associate/default", pair)
        before = running.sandbox.stats()["hubspot"]["records"]
    async with running_sandbox(settings=settings) as again:
        portal = portal_of(again)
        assert again.sandbox.stats()["hubspot"]["records"] == before
        companies = portal.store("companies")
        assert companies.find("k1", "revetl_key") is companies.get(firm["id"])
        assert portal.store("contacts").find("a@b.io", "email") is not None
        assert gone["id"] in portal.store("contacts").archived
        assert portal.linked("contacts", person["id"], "companies") == {firm["id"]: [279]}
        assert portal.last_id == int(firm["id"])


async def test_records_are_written_while_it_runs(tmp_path: Path) -> None:
    class Hurried:
        """Real time, and nobody waits."""

        def __init__(self) -> None:
            from revetl.clock import SystemClock

            self.now, self.monotonic = SystemClock().now, SystemClock().monotonic

        async def sleep(self, seconds: float) -> None:
            await asyncio.sleep(0.005)

    file = tmp_path / "hubspot.json"
    async with running_sandbox(settings=SandboxSettings(data_dir=tmp_path), clock=Hurried()) as running:
        async with aiohttp.ClientSession(running.base_url, headers=HEADERS) as session:
            await create(session)
        for _ in range(1000):
            if file.exists():
                break
            await asyncio.sleep(0.005)
        assert "a@b.io" in file.read_text()


def test_a_process_of_its_own_serves_and_stops_in_order(tmp_path: Path) -> None:
    with SandboxProcess(data_dir=tmp_path) as sandbox:
        with urlopen(f"{sandbox.base_url}/_sandbox/ready", timeout=5) as answer:
            assert json.load(answer) == {"status": "ready"}
        shown = CliRunner().invoke(command, ["stats", "--url", sandbox.base_url, "--json"])
        assert shown.exit_code == 0, shown.output
        assert json.loads(shown.stdout)["hubspot"]["requests"] == 0
        taken = sandbox.base_url.rsplit(":", 1)[1]
        with pytest.raises(RuntimeError, match="ended with"), SandboxProcess(port=int(taken)):
            pass
    with pytest.raises(OSError, match=r"refused"):
        urlopen(f"{sandbox.base_url}/_sandbox/ready", timeout=5)
    silent = CliRunner().invoke(command, ["stats", "--url", sandbox.base_url])
    assert silent.exit_code == 2


def test_generate_takes_a_grouped_number(tmp_path: Path) -> None:
    arguments = ["generate", "--records", "1_00", "--database", str(tmp_path / "w.duckdb"), "--truth", str(tmp_path)]
    made = CliRunner().invoke(command, [*arguments, "--json"])
    assert made.exit_code == 0, made.output
    assert sum(json.loads(made.stdout)[f"raw_{t}"] for t in (
        "crm.contacts", "billing.customers", "product.users", "support.requesters"
    )) == 100  # fmt: skip
    assert (tmp_path / "people.parquet").exists()
    assert CliRunner().invoke(command, ["generate", "--records", "none"]).exit_code == 2

"""Programs that read HubSpot and that nobody here wrote page through the sandbox whole, after syncs wrote there, and
what they read is what stands in the warehouse, value by value.

`scripts/hubspot_readers.sh` installs them; where one is missing its test skips and says so. The vendor's Python
client is a dependency of the tests. dlt's own source can be had from its repository alone; ingestr carries it in a
package. Stitch's `tap-hubspot` reads companies and deals by addresses of versions 1 and 2, which the sandbox does not
serve, so Meltano's stands for the Singer taps.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from revetl.model import Scalar
from revetl.sandbox.server import RunningSandbox, running_sandbox
from revetl.sandbox.settings import SandboxSettings
from revetl.warehouse.duckdb import DuckDBWarehouse
from tests.support.hubspot_world import COMPANIES_N, CONTACTS, CONTACTS_N, DEALS_N, SPECS, TYPES, World, fill
from tests.support.sandbox_hubspot import portal_of

# One portal for all of them: none of them writes.
pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.xdist_group("hubspot_readers")]

READERS = Path(__file__).resolve().parents[2] / ".cache/readers"
DRIVERS = Path(__file__).resolve().parents[1] / "support/hubspot_readers"
INSTALL = "bash scripts/hubspot_readers.sh installs it"
UNLIMITED = SandboxSettings(limited=False)
DEADLINE_S = 120

Document = dict[str, Any]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def served() -> AsyncIterator[tuple[World, RunningSandbox]]:
    warehouse = DuckDBWarehouse(":memory:", threads=1)
    fill(warehouse, people=CONTACTS_N + 1, firms=COMPANIES_N, deals=DEALS_N)
    async with running_sandbox(settings=UNLIMITED) as sandbox:
        world = World(sandbox.base_url, warehouse)
        for spec in SPECS:
            assert (await world.sync(spec)).status == "done"
        # Somebody leaves: an archived record is no reader's business.
        warehouse.execute("DELETE FROM contacts WHERE golden_id = ?", [f"c{CONTACTS_N}"])
        assert (await world.sync(CONTACTS)).counts["ok"] == 1
        yield world, sandbox
    warehouse.close()


async def read(program: list[str | Path], driver: str, base_url: str, home: Path) -> Document:
    """What a reader prints. It sees nothing of this process: no home, no settings of ours, no proxies."""
    node_modules = READERS / "node/node_modules"
    env = {"PATH": os.environ["PATH"], "HOME": str(home), "LANG": "C.UTF-8", "NODE_PATH": str(node_modules)}
    env |= {"RUNTIME__DLTHUB_TELEMETRY": "false", "DLT_DATA_DIR": str(home)}
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        *program, DRIVERS / driver, base_url, stdout=pipe, stderr=pipe, env=env, cwd=home
    )
    try:
        printed, said = await asyncio.wait_for(process.communicate(), DEADLINE_S)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode == 0, said.decode()[-3000:]
    document: Document = json.loads(printed)
    return document


def python_of(reader: str) -> list[str | Path]:
    python = READERS / reader / "bin/python"
    if not (READERS / reader / ".stamp").exists():
        pytest.skip(f"the reader {reader} is not here: {INSTALL}")
    return [python]


def equal(told: object, value: Scalar) -> bool:
    """Whether the text of a reader is this value of the warehouse, read as a value of its type."""
    if value is None or value == "":
        return told is None or told == ""
    if not isinstance(told, str):
        return False
    match value:
        case bool():
            return told == str(value).lower()
        case int():
            return told.lstrip("-").isdigit() and int(told) == value
        case Decimal():
            return Decimal(told) == value
        case datetime():
            return datetime.fromisoformat(told) == value.replace(tzinfo=UTC)
        case date():
            return date.fromisoformat(told) == value
        case _:
            return told == value


def differences(
    world: World, records: Mapping[str, list[dict[str, Any]]], unread: Callable[[str], bool] = lambda _: False
) -> list[str]:
    """Every value that a reader has otherwise than the warehouse. `unread`: columns that it does not ask for."""
    found = []
    for spec in SPECS:
        rows, ids = world.rows(spec), world.ids(spec)
        by_id = {r["id"]: r["properties"] for r in records[spec.object]}
        if sorted(by_id) != sorted(ids.values()) or len(by_id) != len(records[spec.object]):
            found.append(f"{spec.object}: {len(records[spec.object])} records for {len(ids)}")
            continue
        for key, row in rows.items():
            properties = by_id[ids[key]]
            for column, value in row.items():
                # The vendor keeps addresses in lower case (live).
                wanted = value.lower() if column == "email" and isinstance(value, str) else value
                if not unread(column) and not equal(properties[column], wanted):
                    found.append(f"{spec.object} {key} {column}: {properties[column]!r} is not {wanted!r}")
    return found


def pages(sandbox: RunningSandbox, route: str) -> int:
    return int(sandbox.sandbox.stats()["requests"]["by_route"].get(route, 0))


def owners(sandbox: RunningSandbox) -> list[str]:
    """Those who are shown unless archived ones are asked for."""
    return [o.id for o in portal_of(sandbox).owners.values() if not o.archived]


def check_types(document: Document) -> None:
    for object_, types in document["types"].items():
        assert {name: types[name] for name in TYPES[object_]} == TYPES[object_]


async def whole(served: tuple[World, RunningSandbox], program: list[str | Path], driver: str, home: Path) -> None:
    """What the vendor's own clients read: records by list and by search, definitions, links, owners, pipelines."""
    world, sandbox = served
    sandbox.sandbox.by_route.clear()
    document = await read(program, driver, world.base_url, home)
    assert pages(sandbox, "GET /crm/v3/objects/contacts") == -(-CONTACTS_N // 17)
    assert differences(world, document["records"]) == []
    assert differences(world, document["searched"]) == []
    check_types(document)
    assert {tuple(link) for link in document["links"]} == set(world.links())
    assert document["owners"] == owners(sandbox)
    pipelines = portal_of(sandbox).pipelines["deals"].values()
    assert document["pipelines"]["deals"] == {p.id: list(p.stages) for p in pipelines}


async def test_the_vendors_python_client(served: tuple[World, RunningSandbox], tmp_path: Path) -> None:
    await whole(served, [sys.executable], "vendor_python.py", tmp_path)


async def test_the_vendors_node_client(served: tuple[World, RunningSandbox], tmp_path: Path) -> None:
    node = shutil.which("node")
    if node is None or not (READERS / "node/.stamp").exists():
        pytest.skip(f"the vendor's Node client is not here: {INSTALL}")
    await whole(served, [node], "vendor_node.js", tmp_path)


async def test_meltanos_tap(served: tuple[World, RunningSandbox], tmp_path: Path) -> None:
    world, sandbox = served
    program = python_of("meltano")
    sandbox.sandbox.by_route.clear()
    document = await read(program, "meltano_tap.py", world.base_url, tmp_path)
    assert pages(sandbox, "POST /crm/v3/objects/contacts/search") == -(-CONTACTS_N // 100)
    assert differences(world, document["records"]) == []
    assert differences(world, document["searched"]) == []
    assert {tuple(link) for link in document["links"]} == set(world.links())
    assert document["owners"] == owners(sandbox)


async def test_dlts_source(served: tuple[World, RunningSandbox], tmp_path: Path) -> None:
    """It asks for its own choice of properties that begin with `hs_`, names links by object, and reads history too."""
    world, sandbox = served
    program = python_of("dlt")
    sandbox.sandbox.by_route.clear()
    document = await read(program, "dlt_source.py", world.base_url, tmp_path)
    by_fifty, by_hundred = -(-CONTACTS_N // 50), -(-CONTACTS_N // 100)
    assert pages(sandbox, "GET /crm/v3/objects/contacts") == by_fifty + by_hundred
    assert differences(world, document["records"], lambda column: column.startswith("hs_")) == []
    check_types(document)
    forward = {tuple(link[:4]) for link in document["links"] if link[0] != "companies"}
    assert {link[:4] for link in world.links()} <= forward
    backward = {(link[2], link[3], link[0], link[1]) for link in world.links()}
    assert forward <= {link[:4] for link in world.links()} | backward
    assert document["schemas"] == [], "of objects that an account made itself"
    ids = world.ids(CONTACTS)
    written = {(e["object_id"], e["property_name"]): e["value"] for e in document["history"]["contacts"]}
    first_names = {ids[key]: row["firstname"] for key, row in world.rows(CONTACTS).items() if row["firstname"]}
    assert {id_: written[id_, "firstname"] for id_ in first_names} == first_names

"""A vendor that another package brings, installed as a package is: served, reset, counted, edited, and kept."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import aiohttp
import pytest
from click.testing import CliRunner

from revetl.cli.main import cli
from revetl.errors import ConfigError
from revetl.sandbox.registry import create_vendors, vendors
from revetl.sandbox.server import running_sandbox
from revetl.sandbox.settings import SandboxSettings
from revetl.sandbox.vendor import VendorContext
from tests.support.sandbox_world import HandClock

PAGE = Path(__file__).parents[2] / "docs" / "design" / "sandbox.md"
MODULE = "acme_sandbox"
BEARER = {"Authorization": "Bearer pat-test"}

Install = Callable[..., None]


def example() -> str:
    """The vendor that the page shows."""
    (code,) = re.findall(r"```python\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
    return str(code)


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """Puts a package where an installer would: its module, and a dist-info that names the entry point."""
    site = tmp_path / "site-packages"

    def install(code: str, name: str = "acme", attribute: str = "AcmeSandbox") -> None:
        info = site / "revetl_acme-1.0.dist-info"
        info.mkdir(parents=True)
        (site / f"{MODULE}.py").write_text(code, "utf-8")
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: revetl-acme\nVersion: 1.0\n", "utf-8")
        (info / "entry_points.txt").write_text(f"[revetl.sandboxes]\n{name} = {MODULE}:{attribute}\n", "utf-8")
        monkeypatch.syspath_prepend(site)

    yield install
    sys.modules.pop(MODULE, None)


async def put(session: aiohttp.ClientSession, path: str, person: dict[str, str] | None = None) -> int:
    async with session.put(path, json=person or {}) as answer:
        return answer.status


async def test_it_is_served_counted_and_reset(install: Install) -> None:
    install(example())
    async with running_sandbox() as running, aiohttp.ClientSession(running.base_url) as session:
        for email in ("a@b.io", "c@d.io"):
            assert await put(session, f"/acme/people/{email}") == 200
        async with session.get("/_sandbox/stats") as answer:
            stats = await answer.json()
        assert stats["acme"] == {"requests": 2, "records": {"people": 2}}
        assert stats["requests"]["by_route"] == {"PUT /acme/people/{email}": 2}
        assert "acme" not in stats["providers"], "it charges nothing"
        async with session.post("/_sandbox/reset?keep=records") as answer:
            assert answer.status == 204
        assert running.sandbox.stats()["acme"] == {"requests": 0, "records": {"people": 2}}
        async with session.post("/_sandbox/reset") as answer:
            assert answer.status == 204
        assert running.sandbox.stats()["acme"] == {"requests": 0, "records": {"people": 0}}


async def test_faults_strike_it_too(install: Install) -> None:
    install(example())
    async with running_sandbox() as running, aiohttp.ClientSession(running.base_url) as session:
        async with session.post("/_sandbox/faults", json={"route": "PUT /acme/*", "kind": "status_after"}) as answer:
            assert answer.status == 201
        assert await put(session, "/acme/people/a@b.io") == 503
        assert running.sandbox.stats()["acme"]["records"] == {"people": 1}


async def test_a_person_edits_where_such_an_object_is(install: Install) -> None:
    install(example())
    async with running_sandbox() as running, aiohttp.ClientSession(running.base_url) as session:

        async def edit(**document: object) -> tuple[int, dict[str, object]]:
            async with session.post("/_sandbox/edit", json=document) as answer:
                return answer.status, await answer.json()

        await put(session, "/acme/people/a@b.io", {"title": "CEO"})
        change = {"object": "people", "id": "a@b.io", "properties": {"title": "CTO"}}
        assert await edit(**change) == (200, {"title": "CTO"})
        assert (await edit(**{**change, "id": "x@y.io"}))[0] == 404
        assert (await edit(**change, vendor="acme"))[0] == 200
        assert (await edit(**change, vendor="hubspot"))[0] == 404, "it has no such object, and says so in its own words"
        async with session.post("/crm/v3/objects/contacts", json={"properties": {"email": "a@b.io"}}, headers=BEARER):
            pass
        by_hand = {"object": "contacts", "match": {"email": "a@b.io"}, "properties": {"jobtitle": "By hand"}}
        assert (await edit(**by_hand))[0] == 200
        for refused in (await edit(object="planets", id="1"), await edit(**change, vendor="hunter")):
            assert refused[0] == 400
            assert "acme" in str(refused[1]["error"])


async def test_its_records_outlive_a_restart(install: Install, tmp_path: Path) -> None:
    install(example())
    settings = SandboxSettings(data_dir=tmp_path / "data")
    async with running_sandbox(settings=settings) as running, aiohttp.ClientSession(running.base_url) as session:
        await put(session, "/acme/people/a@b.io", {"title": "CEO"})
    assert json.loads((tmp_path / "data" / "acme.json").read_text("utf-8")) == {"people": {"a@b.io": {"title": "CEO"}}}
    async with running_sandbox(settings=settings) as again:
        assert again.sandbox.stats()["acme"]["records"] == {"people": 1}


async def test_its_options_are_set_and_checked(install: Install) -> None:
    install(example())
    settings = SandboxSettings(vendors={"acme": {"people_max": 0}})
    async with running_sandbox(settings=settings) as running, aiohttp.ClientSession(running.base_url) as session:
        assert await put(session, "/acme/people/a@b.io") == 402
    for options, says in (
        ({"people": 0}, "acme has no option 'people'\n    It takes people_max."),
        ({"people_max": "many"}, "acme.people_max: Input should be a valid integer"),
    ):
        with pytest.raises(ConfigError) as refused:
            create_vendors(VendorContext(SandboxSettings(vendors={"acme": options}), HandClock()))
        assert says in str(refused.value)


def test_the_command_lists_it(install: Install) -> None:
    install(example())
    listed = CliRunner().invoke(cli, ["sandbox", "vendors", "--json"], catch_exceptions=False)
    assert {"vendor": "acme", "path": "/acme", "options": {"people_max": 1000}} in json.loads(listed.stdout)
    refused = CliRunner().invoke(cli, ["sandbox", "start", "--set", "acme.people=3"])
    assert refused.exit_code == 2
    assert "It takes people_max." in " ".join(refused.output.split())


@pytest.mark.parametrize(
    ("change", "name", "attribute", "says"),
    [
        (("import re", "import re"), "acme", "Nobody", "can't be imported"),
        (("from typing", "from nowhere_at_all"), "acme", "AcmeSandbox", "can't be imported"),
        (("from typing", "from typing"), "acme", "AcmeOptions", "no name, mount"),
        (('name = "acme"', 'name = "other"'), "acme", "AcmeSandbox", "calls itself 'other'"),
        (('name = "acme"', 'name = "hubspot"'), "hubspot", "AcmeSandbox", "has the name of another one"),
        (('name = "acme"', 'name = "../acme"'), "../acme", "AcmeSandbox", "needs another name"),
        (('name = "acme"', 'name = "requests"'), "requests", "AcmeSandbox", "needs another name"),
        (('name = "acme"', 'name = "acme"\n    mount = ""'), "acme", "AcmeSandbox", "both mounted at /"),
        (('name = "acme"', 'name = "acme"\n    mount = "/_sandbox/x"'), "acme", "AcmeSandbox", "can't be mounted"),
    ],
)
def test_what_cannot_be_served_is_refused_by_the_name_of_its_package(
    install: Install, change: tuple[str, str], name: str, attribute: str, says: str
) -> None:
    install(example().replace(*change), name, attribute)
    with pytest.raises(ConfigError) as refused:
        vendors()
    assert says in str(refused.value)
    assert "acme" in str(refused.value)


async def test_a_mount_of_its_own(install: Install) -> None:
    install(example().replace('name = "acme"', 'name = "acme"\n    mount = "/crm/acme"'))
    async with running_sandbox() as running, aiohttp.ClientSession(running.base_url) as session:
        assert await put(session, "/crm/acme/people/a@b.io") == 200

"""What the registry promises for every connector, ours and other packages'; and the plain HTTP sink."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pytest
from click.testing import CliRunner

import revetl
from revetl import __version__
from revetl.cli.main import cli
from revetl.clock import LoopClock, SystemClock
from revetl.destinations import registry
from revetl.destinations.http_sink import HttpSink, Options
from revetl.documents import parse, read_yaml
from revetl.errors import ConfigError, Denied, Rejected, Unavailable
from revetl.model import Change, Operation, Outcome, Status
from tests.support.virtual_time import run_virtual

DATABASE = {"host": "127.0.0.1", "user": "sender", "password": "pat-secret-word"}
MINIMAL: dict[str, dict[str, Any]] = {
    "hubspot": {"token": "pat-secret-token"},
    "http": {
        "base_url": "http://127.0.0.1:1",
        "objects": {"contacts": {"upsert": {"method": "PUT", "path": "/contacts/{email}"}}},
    },
    "http_sink": {"url": "http://127.0.0.1:1/push"},
    "salesforce": {
        "base_url": "http://127.0.0.1:1",
        "auth": {"type": "oauth_client_credentials", "client_id": "app", "client_secret": "pat-secret-token"},
    },
    "slack": {"token": "pat-secret-token"},
    "google_sheets": {
        "spreadsheet_id": "1exampleExample",
        "auth": {
            "type": "oauth_refresh_token",
            "client_id": "app",
            "client_secret": "pat-secret-token",
            "refresh_token": "pat-secret-token",
        },
    },
    "postgres": {"dbname": "crm", **DATABASE},
    "mysql": {"database": "crm", **DATABASE},
    "files": {"url": "file:///srv/exports"},
}
# The name of a protocol stands in every other file: what is looked for is the folder.
_SHORT_FORMS = {"http": [Path(revetl.__file__).parent / "destinations" / "http_sink"]}
# Slack is also what an inequality leaves.
_SPELLINGS = {
    "http": {"destinations.http ", "destinations.http.", "destinations/http/"},
    "files": {"destinations.files", "destinations/files", "files.connector"},  # the word is everywhere
    "slack": {"destinations.slack", "destinations/slack", "api.slack", '"slack', "slack."},
}


@pytest.mark.parametrize("type_", registry.types())
def test_every_connector_is_made_from_its_least_options(type_: str) -> None:
    destination = registry.create_destination(type_, "mine", MINIMAL[type_], SystemClock())
    assert destination.name == "mine"
    assert destination.limits("contacts").batch_rows >= 1
    assert (destination.requests, destination.retries) == (0, 0)
    assert "pat-secret" not in repr(destination)


@pytest.mark.parametrize("type_", registry.types())
def test_a_misspelt_option_is_said_with_its_line(type_: str, tmp_path: Path) -> None:
    path = tmp_path / "connections.yml"
    others = {"files": ("fromat: csv", "'format'"), "google_sheets": ("batch_row: 3", "'batch_rows'")}
    misspelt, meant = others.get(type_, ("concurency: 3", "'concurrency'"))
    path.write_text("\n".join([*(f"{k}: {v!r}" for k, v in MINIMAL[type_].items()), misspelt]))
    with pytest.raises(ConfigError) as caught:
        parse(read_yaml(path), registry.options_model(type_))
    assert f"{path}:{len(MINIMAL[type_]) + 1}" in str(caught.value)
    assert meant in str(caught.value)
    assert "pat-secret" not in str(caught.value)


def test_an_unknown_type_names_the_nearest() -> None:
    with pytest.raises(ConfigError, match="hubspot"):
        registry.options_model("hubspt")


CONNECTOR = """
from pydantic import BaseModel
from revetl.destinations.base import DestinationField, Limits, ObjectSchema

class Options(BaseModel):
    token: str = "t"

class Acme:
    def __init__(self, name): self.name = name
    async def __aenter__(self): return self
    async def __aexit__(self, *exc): return None
    async def check(self): return "here"
    async def describe(self, object_): return ObjectSchema({"email": DestinationField("email", "string")})
    def limits(self, object_): return Limits(10, 1)
    def normalise(self, object_, field, value): return str(value)
    def idempotent(self, object_, match_on): return True
    async def write(self, object_, match_on, changes): return []

def connect(name, options, clock): return Acme(name)
"""
Install = Callable[..., None]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """Puts a package where an installer would: its module, and a dist-info that names the entry point."""
    site = tmp_path / "site-packages"
    modules: list[str] = []

    def install(code: str = CONNECTOR, type_: str = "acme", package: str = "revetl-acme", attribute: str = "") -> None:
        module = package.replace("-", "_")
        info = site / f"{module}-1.2.dist-info"
        info.mkdir(parents=True)
        (site / f"{module}.py").write_text(code, "utf-8")
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.2\n", "utf-8")
        (info / "entry_points.txt").write_text(f"[{registry.GROUP}]\n{type_} = {module}{attribute}\n", "utf-8")
        monkeypatch.syspath_prepend(site)
        modules.append(module)

    yield install
    for module in modules:
        sys.modules.pop(module, None)


def test_a_connector_of_another_package_is_found_by_its_entry_point(install: Install) -> None:
    install()
    assert registry.types() == (
        "hubspot",
        "http",
        "http_sink",
        "salesforce",
        "slack",
        "google_sheets",
        "postgres",
        "mysql",
        "files",
        "acme",
    )
    assert registry.options_model("acme").__name__ == "Options"
    destination = registry.create_destination("acme", "mine", {"token": "x"}, SystemClock())
    assert isinstance(destination, sys.modules["revetl_acme"].Acme)
    with pytest.raises(ConfigError, match="Did you mean 'acme'"):
        registry.options_model("acmee")


def test_an_entry_point_may_name_any_object_with_options_and_connect(install: Install) -> None:
    install(
        CONNECTOR + "\nclass Door:\n    Options = Options\n    connect = staticmethod(connect)\n", attribute=":Door"
    )
    assert registry.create_destination("acme", "mine", {}, SystemClock()).__class__.__name__ == "Acme"


def test_everything_that_lists_types_lists_those_of_other_packages(install: Install, tmp_path: Path) -> None:
    install()
    schema = CliRunner().invoke(cli, ["schema", "connections"], catch_exceptions=False)
    entry = json.loads(schema.stdout)["$defs"]["DestinationEntry"]
    assert entry["properties"]["type"]["enum"] == [*registry.types()]
    project = tmp_path / "project"
    assert CliRunner().invoke(cli, ["init", str(project)]).exit_code == 0
    connections = project / "profiles" / "connections.yml"
    declared = "destinations:\n  crm: {type: acme, outputs: {default: {}}}\n"
    connections.write_text(connections.read_text("utf-8").replace("destinations:\n", declared, 1))
    where = ["--project-dir", str(project), "--profiles-dir", str(project / "profiles")]
    listed = CliRunner().invoke(cli, ["ls", "--json", *where], catch_exceptions=False)
    found = json.loads(listed.stdout)["destinations"]
    assert {"name": "crm", "type": "acme", "package": "revetl-acme"} in found
    assert {d["package"] for d in found if d["type"] != "acme"} <= {"revetl"}
    # Of the others none is asked: nothing answers at their addresses, and each is tried for seconds.
    connections.write_text(declared)
    debugged = json.loads(CliRunner().invoke(cli, ["debug", "--json", *where], catch_exceptions=False).stdout)
    checks = {c["check"]: (c["ok"], c["detail"]) for c in debugged}
    types = "hubspot, http, http_sink, salesforce, slack, google_sheets, postgres, mysql, files"
    assert checks["connectors"] == (True, f"{types}, acme (revetl-acme 1.2)")
    assert checks["destination crm"] == (True, "here")
    connections.write_text(connections.read_text("utf-8").replace("type: acme,", "type: acmee,"))
    debugged = json.loads(CliRunner().invoke(cli, ["debug", "--json", *where], catch_exceptions=False).stdout)
    [said] = [c["detail"] for c in debugged if c["check"] == "destination crm"]
    assert re.search(r"connections.yml:\d+", said)
    assert "Did you mean 'acme'?" in said


def test_a_clash_names_both(install: Install) -> None:
    install(type_="hubspot")
    with pytest.raises(ConfigError) as caught:
        registry.types()
    assert "revetl-acme 1.2" in str(caught.value)
    assert f"revetl {__version__}" in str(caught.value)


def test_a_clash_of_two_packages_names_both(install: Install) -> None:
    install()
    install(package="acme-for-revetl")
    with pytest.raises(ConfigError) as caught:
        registry.options_model("http_sink")
    assert "'acme'" in str(caught.value)
    assert "revetl-acme 1.2" in str(caught.value)
    assert "acme-for-revetl 1.2" in str(caught.value)


@pytest.mark.parametrize(
    ("code", "says"),
    [
        ("import nowhere_at_all", "can't be imported: ModuleNotFoundError: No module named 'nowhere_at_all'"),
        ("1 / 0", "can't be imported: ZeroDivisionError"),
        ("def broken(:", "can't be imported: SyntaxError"),
        ("Options = None", "has no connect"),
        ("", "has no Options and no connect"),
        ("Options = dict\ndef connect(*_): ...", "its Options are no pydantic model"),
        (CONNECTOR.replace("return Acme(name)", "raise KeyError(options.token)"), "does not connect: KeyError"),
        (CONNECTOR.replace("async def check", "async def czech"), "is no Destination: it lacks check"),
    ],
)
def test_a_broken_package_is_named_and_gives_no_traceback(install: Install, code: str, says: str) -> None:
    install(code)
    assert "acme" in registry.types(), "listing imports nothing"
    with pytest.raises(ConfigError) as caught:
        registry.create_destination("acme", "mine", {"token": "hush-token"}, SystemClock())
    assert says in str(caught.value)
    assert "revetl-acme 1.2" in str(caught.value)
    assert "hush-token" not in str(caught.value)
    assert registry.options_model("hubspot"), "others are not touched by it"


# Where a connector may be named: its folder, its sandbox, the registries; the starter project and the demo, which are
# of two vendors; the headers of lists, which people export from them.
_MAY_NAME = (
    "usecases/init_texts.py",
    "cli/commands/init.py",
    "destinations/registry.py",
    "sandbox/registry.py",
    "enrich/lists/headers.py",
    "usecases/demo.py",
    "cli/commands/demo.py",
    "cli/render/demo.py",
    "alerts/spec.py",  # a channel that people are told by
    "alerts/channels.py",
)


OURS = {t: c.place.split(".")[2] for t, c in registry.connectors().items() if c.entry is None}
# A dialect's name is also a warehouse's, so that others say it shows nothing: it has a file in the folder of its kind.
DIALECTS = {"postgres": "sql", "mysql": "sql"}


@pytest.mark.parametrize("type_", [t for t in OURS if t not in DIALECTS])
def test_adding_a_connector_touches_its_folder_and_a_line_of_each_registry(type_: str) -> None:
    src = Path(revetl.__file__).parent
    assert (src / "destinations" / type_ / "__init__.py").is_file(), "one folder per vendor"
    own = [src / "destinations" / type_, src / "sandbox" / type_, *_SHORT_FORMS.get(type_, ())]
    spellings = _SPELLINGS.get(type_, {type_, type_.replace("_", ""), type_.replace("_", "-")})
    naming = [
        str(file.relative_to(src))
        for file in sorted(src.rglob("*.py"))
        if not any(folder in file.parents for folder in own)
        and any(word in file.read_text("utf-8").lower() for word in spellings)
    ]
    assert set(naming) <= set(_MAY_NAME)
    for name in ("destinations/registry.py", "sandbox/registry.py"):
        lines = [line for line in (src / name).read_text("utf-8").splitlines() if f'"{type_}"' in line]
        assert len(lines) == (1 if (src / name).parent.joinpath(type_).is_dir() else 0), name


def test_every_folder_of_destinations_is_registered() -> None:
    root = Path(revetl.__file__).parent / "destinations"
    folders = {file.parent.name for file in root.glob("*/__init__.py")}
    assert folders == set(OURS.values())
    assert {t: folder for t, folder in OURS.items() if t != folder} == DIALECTS


def test_the_registry_imports_no_vendor() -> None:
    heavy = "('httpx', 'pydantic', 'aiohttp')"
    code = f"import sys, revetl.destinations.registry; print([m for m in sys.modules if m in {heavy}])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def changes(n: int) -> list[Change]:
    values = {"n": 1, "d": Decimal("1.50"), "at": datetime(2026, 1, 2, tzinfo=UTC), "on": date(2026, 1, 2), "x": None}
    return [Change(i, f"k{i}", Operation.CREATE, None, values) for i in range(n)]


def send(
    status: int, batch: list[Change], url: str = "https://sink.example/push?site=7"
) -> tuple[list[Outcome], list[httpx.Request]]:
    seen: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(status)

    async def main() -> list[Outcome]:
        options = Options.model_validate({"url": url, "headers": {"X-Api-Key": "secret"}})
        async with HttpSink("sink", options, LoopClock(), httpx.MockTransport(answer)) as sink:
            known = (await sink.describe("anything")).fields
            assert "whatever" in known
            assert not known["whatever"].read_only
            return await sink.write("anything", None, batch)

    return run_virtual(main()), seen


def test_the_sink_posts_what_changed() -> None:
    outcomes, [request] = send(202, changes(3))
    assert [(o.ordinal, o.status, o.destination_id) for o in outcomes] == [(i, Status.OK, f"k{i}") for i in range(3)]
    assert str(request.url) == "https://sink.example/push?site=7"
    assert request.headers["x-api-key"] == "secret"
    fields = {"n": 1, "d": "1.50", "at": "2026-01-02T00:00:00+00:00", "on": "2026-01-02", "x": None}
    assert json.loads(request.content) == [{"key": f"k{i}", "op": "create", "fields": fields} for i in range(3)]


def test_the_sink_says_when_it_refuses_is_lost_or_away() -> None:
    with pytest.raises(Rejected, match="answered 422"):  # atomic: the engine halves it
        send(422, changes(2))
    assert {o.status for o in send(504, changes(2))[0]} == {Status.UNKNOWN}
    with pytest.raises(Unavailable):
        send(503, changes(2))
    for status in (404, 405, 410, 415):  # the address is wrong, not a record: the run ends
        with pytest.raises(Denied, match=f"answered {status}"):
            send(status, changes(2))


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:9", "http://127.0.0.1:9/", "https://a.example/a/a", "https://a.example?x=1"]
)
def test_the_sinks_address_is_kept(url: str) -> None:
    _, [request] = send(200, changes(1), url)
    assert str(request.url).replace("/?", "?").rstrip("/") == url.rstrip("/")

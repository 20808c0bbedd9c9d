"""Properties that a portal lacks, made for columns that a sync names (`create_properties`)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import date, datetime
from decimal import Decimal
from typing import Any, cast

import pytest

from revetl.destinations.hubspot import HubSpot
from revetl.errors import ConfigError, Denied
from revetl.model import SyncSpec
from revetl.project import Project
from revetl.sandbox.faults import Fault
from revetl.usecases.debug import access
from tests.support.hubspot_bench import PortalBench, portal_bench
from tests.support.published_hubspot import as_published as as_published

pytestmark = pytest.mark.usefixtures("as_published")

COLUMNS = "k VARCHAR, email VARCHAR, tier VARCHAR, score DECIMAL(9, 2), vip BOOLEAN, since DATE, seen TIMESTAMP"
NEW = ("tier", "score", "vip", "since", "seen")
ROW = (
    "c1",
    "ann@x.example",
    "Gold",
    Decimal("7.50"),
    True,
    date(2026, 3, 1),
    datetime.fromisoformat("2026-03-01T09:30"),
)


@pytest.fixture
async def bench() -> AsyncIterator[PortalBench]:
    async with portal_bench() as bench:
        bench.model(COLUMNS, ROW)
        yield bench


def asked(bench: PortalBench, **more: Any) -> SyncSpec:
    return bench.spec("contacts", **{"match_on": "email", "create_properties": NEW, **more})


def made(bench: PortalBench) -> dict[str, tuple[str, str]]:
    """Of ours: name → HubSpot's type and control."""
    found = bench.portal.store("contacts").properties.values()
    return {p.name: (p.type, p.field_type) for p in found if p.name in (*NEW, "tierr")}


@pytest.mark.parametrize("version", ["v3", "2026-03", "2026-09"])
async def test_each_is_typed_as_its_column_and_filled(bench: PortalBench, version: str) -> None:
    assert (await bench.run(asked(bench), api_version=version)).counts == {"ok": 1}
    assert made(bench) == {
        "tier": ("string", "text"),
        "score": ("number", "number"),
        "vip": ("bool", "booleancheckbox"),
        "since": ("date", "date"),
        "seen": ("datetime", "date"),
    }
    assert bench.records("contacts", *NEW) == [("Gold", "7.50", "true", "2026-03-01", "2026-03-01T09:30:00.000Z")]


async def test_the_plan_names_them_and_makes_none(bench: PortalBench) -> None:
    plan = await bench.plan(asked(bench))
    assert plan.new_fields == {"tier": "string", "score": "number", "vip": "bool", "since": "date", "seen": "datetime"}
    assert "makes properties: tier (text), score (number), vip (bool), since (date), seen (datetime)" in plan.notes
    assert made(bench) == {}
    await bench.run(asked(bench))
    bench.model(COLUMNS, (*ROW[:2], "Silver", *ROW[3:]))
    assert (await bench.plan(asked(bench))).new_fields == {}


async def test_a_saved_plan_names_them_and_makes_them_when_it_is_applied(bench: PortalBench) -> None:
    data, report = await bench.save_and_apply(asked(bench))
    assert list(data["new_fields"]) == list(NEW)
    assert "makes properties: tier (text), score (number)" in report.plan.notes[0]
    assert (report.counts, list(made(bench))) == ({"ok": 1}, list(NEW))


async def test_without_being_asked_for_none_is_made(bench: PortalBench) -> None:
    """A column that is spelled wrongly is a mistake where the sync names others."""
    with pytest.raises(ConfigError, match="score"):
        await bench.run(asked(bench, create_properties=("tier",)))
    assert made(bench) == {}


@pytest.mark.parametrize("passed", [1, 2, 4])
async def test_a_run_that_ends_between_two_makes_the_rest_next_time(bench: PortalBench, passed: int) -> None:
    """The first request of all makes none: it tries whether the token may."""
    denied = Fault("POST */properties/contacts", "status", status=403, skip=1 + passed)
    bench.sandbox.sandbox.faults.add(denied)
    with pytest.raises(Denied):
        await bench.run(asked(bench))
    assert (list(made(bench)), bench.records("contacts", "email")) == (list(NEW[:passed]), [])
    assert (await bench.run(asked(bench))).counts == {"ok": 1}
    assert list(made(bench)) == list(NEW)


async def test_an_answer_that_is_lost_makes_it_once(bench: PortalBench) -> None:
    bench.sandbox.sandbox.faults.add(Fault("POST */properties/contacts", "reset_after", skip=1))
    assert (await bench.run(asked(bench))).counts == {"ok": 1}
    assert list(made(bench)) == list(NEW)


async def test_one_that_somebody_made_meanwhile_is_taken_where_it_is_of_that_type(bench: PortalBench) -> None:
    async with bench.connect() as slow, bench.connect() as quick:
        await slow.describe("contacts")
        await quick.make_field("contacts", "tier", "string")
        await slow.make_field("contacts", "tier", "string")
        await quick.make_field("contacts", "vip", "bool")
        with pytest.raises(ConfigError, match="can't be made as number: it stands as bool"):
            await slow.make_field("contacts", "vip", "number")


async def test_a_token_without_the_scope_is_told_when_it_is_planned() -> None:
    scopes = [f"crm.{kind}.contacts.{right}" for kind in ("objects", "schemas") for right in ("read", "write")]
    tokens = {"pat-narrow": [s for s in scopes if s != "crm.schemas.contacts.write"]}
    async with portal_bench(hubspot={"scopes": tokens}) as bench:
        bench.model(COLUMNS, ROW)
        with pytest.raises(Denied, match=r"lacks crm\.schemas\.contacts\.write"):
            await bench.plan(asked(bench), token="pat-narrow")
        assert bench.records("contacts", "email") == []

        class Account:
            """Of a project no more than its connection."""

            def destination(self, name: str) -> HubSpot:
                return bench.connect(token="pat-narrow")

        project = cast(Project, Account())
        (said,), _ = await access(project, asked(bench))
        assert "crm.schemas.contacts.write" in said
        assert (await access(project, asked(bench, create_properties=())))[0] == []


async def test_a_name_that_hubspot_does_not_take_is_refused_before_anything_is_asked(bench: PortalBench) -> None:
    bench.model('k VARCHAR, email VARCHAR, "Tier" VARCHAR', ("c1", "ann@x.example", "Gold"))
    with pytest.raises(ConfigError, match="'Tier' can't be the name of a property"):
        await bench.plan(asked(bench, create_properties=("Tier",)))

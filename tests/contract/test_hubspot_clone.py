"""A sandbox that is started with the copy of an account is made as that account is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from revetl.errors import ConfigError
from revetl.sandbox.hubspot.account import Pipeline, PipelineStage, PortalOwner
from revetl.sandbox.hubspot.object_types import CustomObject
from revetl.sandbox.hubspot.schema import Property
from revetl.sandbox.hubspot.vendor import HubSpotSandbox
from revetl.sandbox.registry import vendor_options
from revetl.sandbox.settings import SandboxSettings
from tests.support.hubspot_bench import PortalBench, portal_bench
from tests.support.published_hubspot import as_published as as_published

pytestmark = pytest.mark.usefixtures("as_published")


def furnish(bench: PortalBench) -> None:
    """What no fresh portal has."""
    portal = bench.portal
    machines = CustomObject("2-1001", "machines", "p1_machines", "Machine", "Machines", "serial", required=["serial"])
    portal.define(machines).add_property(
        Property("serial", "string", group="information", unique=True, hubspot_defined=False)
    )
    portal.association_types.open("2-1001", "contacts")
    portal.association_types.create(("contacts", "companies"), "adviser", "Adviser", "Advised by")
    options = {"gold": "Gold", "tin": "Tin"}
    tier = Property("tier", "enumeration", group="contactinformation", hubspot_defined=False, options=options)
    portal.store("contacts").add_property(tier)
    portal.store("contacts").properties["lifecyclestage"].options = {"warm": "Warm", "hot": "Hot"}
    stage = PipelineStage("p-new", "Referred", 0, {"probability": "0.1", "isClosed": "false"})
    portal.pipelines["deals"]["partners"] = Pipeline("partners", "Partners", 1, {"p-new": stage})
    portal.owners["720001"] = PortalOwner("720001", "orla@corp.example", "Orla", "Oak", 920001)
    portal.add_list("Newsletter", "contacts").members["1"] = 0
    portal.add_list("Hot", "contacts", "DYNAMIC")
    portal.set_up()


async def copied(bench: PortalBench, **options: object) -> tuple[dict[str, Any], list[str]]:
    async with bench.connect(**options) as hubspot:
        return await hubspot.copy_setup()


def without_times(document: Any) -> Any:
    """When something was set up is not copied."""
    if isinstance(document, dict):
        return {k: without_times(v) for k, v in document.items() if k not in ("createdAt", "updatedAt")}
    return [without_times(v) for v in document] if isinstance(document, list) else document


@pytest.mark.parametrize("version", ["v3", "2026-03", "2026-09"])
async def test_the_copy_of_a_copy_is_the_same_and_holds_no_record(tmp_path: Path, version: str) -> None:
    async with portal_bench() as bench:
        furnish(bench)
        bench.model("k VARCHAR, email VARCHAR", ("1", "ann@corp.example"))
        assert (await bench.run(bench.spec("contacts", match_on="email"))).counts == {"ok": 1}
        document, left_out = await copied(bench, api_version=version)
        assert left_out == []
        assert "ann@corp.example" not in json.dumps(document)
    path = tmp_path / "portal.json"
    path.write_text(json.dumps(document), "utf-8")
    async with portal_bench(hubspot={"portal": str(path)}) as clone:
        again, _ = await copied(clone, api_version=version)
        assert without_times(again) == without_times(document)
        assert [len(store.records) for store in clone.portal.stores.values()] == [0] * 5
        lists = [(one.name, one.processing_type, one.members) for one in clone.portal.lists.values()]
        assert lists == [("Newsletter", "MANUAL", {}), ("Hot", "DYNAMIC", {})]


async def test_a_sync_is_rehearsed_in_the_clone_as_in_the_account(tmp_path: Path) -> None:
    async with portal_bench() as bench:
        furnish(bench)
        document, _ = await copied(bench)
    path = tmp_path / "portal.json"
    path.write_text(json.dumps(document), "utf-8")
    async with portal_bench(hubspot={"portal": str(path)}) as clone:
        columns = "k VARCHAR, email VARCHAR, tier VARCHAR, lifecyclestage VARCHAR"
        clone.model(columns, ("1", "a@corp.example", "gold", "hot"), ("2", "b@corp.example", "lead", "warm"))
        spec = clone.spec("contacts", match_on="email")
        assert (await clone.run(spec)).counts == {"ok": 1, "rejected": 1}, "lead is no tier there"
        clone.model(columns, ("1", "a@corp.example", "tin", "warm"))
        await clone.run(spec)
        stands = clone.records("contacts", "email", "tier", "lifecyclestage")
        assert stands == [("a@corp.example", "tin", "hot")], "the account's own stages go forward only"
        async with clone.connect() as hubspot:
            found = await hubspot.look_up("deals/stages", "label", ["Referred"], [])
            assert [match.destination_id for match in found.values()] == ["p-new"]
            assert await hubspot.link_types("machines", "contacts")
            assert len(await hubspot.link_types("contacts", "companies")) == 3
        clone.model("k VARCHAR, serial VARCHAR", ("m1", "A-1"))
        assert (await clone.run(clone.spec("machines", match_on="serial"))).counts == {"ok": 1}


async def test_a_clone_that_keeps_its_records_is_the_same_after_a_restart(tmp_path: Path) -> None:
    async with portal_bench() as bench:
        furnish(bench)
        del bench.portal.store("contacts").properties["hs_seniority"]
        document, _ = await copied(bench)
    path = tmp_path / "portal.json"
    path.write_text(json.dumps(document), "utf-8")
    settings = SandboxSettings(limited=False, vendors={"hubspot": {"portal": str(path)}}, data_dir=tmp_path / "data")
    async with portal_bench(settings) as clone:
        clone.model("k VARCHAR, email VARCHAR", ("1", "ann@corp.example"))
        await clone.run(clone.spec("contacts", match_on="email"))
    async with portal_bench(settings) as clone:
        assert clone.records("contacts", "email") == [("ann@corp.example",)]
        again, _ = await copied(clone)
        assert by_name(again) == by_name(document)


def by_name(document: dict[str, Any]) -> list[Any]:
    """Of each object its properties, whatever their order."""
    return [sorted(without_times(o["properties"]), key=lambda p: str(p["name"])) for o in document["objects"]]


async def test_what_the_token_may_not_read_is_left_out_and_said() -> None:
    scopes = {"pat-narrow": ["crm.objects.contacts.read", "crm.schemas.contacts.read"]}
    async with portal_bench(hubspot={"scopes": scopes}) as bench:
        document, left_out = await copied(bench, token="pat-narrow")
    assert [o["address"] for o in document["objects"]] == ["contacts"]
    assert (document["owners"], document["lists"]) == ([], [])
    assert any(said.startswith("lists: ") and "crm.lists.read" in said for said in left_out)
    assert any(said.startswith("owners: ") and "crm.objects.owners.read" in said for said in left_out)


@pytest.mark.parametrize("content", ["", "[]", '{"format": "another"}', None])
def test_a_file_that_is_no_portal_is_refused_before_anything_is_served(tmp_path: Path, content: str | None) -> None:
    path = tmp_path / "portal.json"
    if content is not None:
        path.write_text(content, "utf-8")
    with pytest.raises(ConfigError, match="portal"):
        vendor_options("hubspot", HubSpotSandbox, {"portal": str(path)})

"""Owners by email, pipelines and stages by label: looked up as the objects that a column may name."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from revetl.errors import ConfigError, Denied
from revetl.sandbox.hubspot.account import Pipeline, PipelineStage, PortalOwner
from tests.support.hubspot_bench import PortalBench, portal_bench
from tests.support.published_hubspot import as_published as as_published

pytestmark = pytest.mark.usefixtures("as_published")


@pytest.fixture
async def bench() -> AsyncIterator[PortalBench]:
    async with portal_bench() as bench:
        stages = [PipelineStage("p-won", "Closed Won", 0, {"probability": "1.0"})]
        stages.append(PipelineStage("p-new", "Referred", 1, {"probability": "0.1"}))
        bench.portal.pipelines["deals"]["partners"] = Pipeline("partners", "Partners", 1, {s.id: s for s in stages})
        bench.portal.set_up()
        yield bench


async def found(bench: PortalBench, object_: str, by: str, *names: str, version: str = "v3") -> dict[str, str]:
    async with bench.connect(api_version=version) as hubspot:
        assert by in (await hubspot.describe(object_)).fields
        matches = await hubspot.look_up(object_, by, names, [])
        return {n: matches[f].destination_id for n in names if (f := hubspot.normalise(object_, by, n)) in matches}


@pytest.mark.parametrize("version", ["v3", "2026-03", "2026-09"])
async def test_an_owner_is_found_by_the_email(bench: PortalBench, version: str) -> None:
    names = ("Olive@revetl.example ", "omar@revetl.example", "nobody@revetl.example", "otto@revetl.example")
    ids = await found(bench, "owners", "email", *names, version=version)
    assert ids == {"Olive@revetl.example ": "710001", "omar@revetl.example": "710002"}, "otto has left"


async def test_owners_of_more_than_one_page(bench: PortalBench) -> None:
    more = {str(n): PortalOwner(str(n), f"o{n}@revetl.example", "O", str(n), n) for n in range(720_000, 720_600)}
    bench.portal.owners |= more
    assert await found(bench, "owners", "email", "o720599@revetl.example") == {"o720599@revetl.example": "720599"}


@pytest.mark.parametrize("version", ["v3", "2026-03", "2026-09"])
async def test_pipelines_and_stages_are_found_by_their_labels(bench: PortalBench, version: str) -> None:
    of = {"version": version}
    assert await found(bench, "deals/pipelines", "label", "Partners", "Lost", **of) == {"Partners": "partners"}
    stages = {"Referred": "p-new", "contract sent": "contractsent", "Partners/Closed Won": "p-won", "p-won": "p-won"}
    assert await found(bench, "deals/stages", "label", *stages, "Nowhere", **of) == stages
    assert await found(bench, "tickets/stages", "label", "Waiting on us", **of) == {"Waiting on us": "3"}


async def test_a_label_of_several_stages_is_an_error_that_lists_them(bench: PortalBench) -> None:
    with pytest.raises(ConfigError, match="several have the label 'closed won'") as refused:
        await found(bench, "deals/stages", "label", "Closed Won")
    assert refused.value.problems[0].hint == "Write one of 'Partners/Closed Won', 'Sales Pipeline/Closed Won'."


async def test_a_token_that_may_not_read_owners_is_told_the_scope() -> None:
    scopes = {"pat-narrow": ["crm.objects.contacts.read"]}
    async with portal_bench(hubspot={"scopes": scopes}) as narrow, narrow.connect(token="pat-narrow") as hubspot:
        with pytest.raises(Denied, match=r"crm\.objects\.owners\.read"):
            await hubspot.look_up("owners", "email", ["olive@revetl.example"], [])


async def test_nothing_is_written_into_them(bench: PortalBench) -> None:
    bench.model("k VARCHAR, email VARCHAR", ("1", "new@revetl.example"))
    with pytest.raises(ConfigError, match="none can be created by it"):
        await bench.run(bench.spec("owners", match_on="email"))

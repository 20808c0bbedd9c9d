"""Members of static lists from a model: a membership is a link to a list that is found by its name."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from typing import Any

import pytest

from revetl.destinations.base import Pair
from revetl.errors import ConfigError
from revetl.model import Association, Guardrails, Relation, Status, SyncSpec
from revetl.sandbox.hubspot.account import PortalList
from revetl.sync import SyncReport
from tests.support.hubspot_bench import PortalBench, portal_bench
from tests.support.published_hubspot import as_published as as_published

pytestmark = pytest.mark.usefixtures("as_published")
LISTS = SyncSpec(
    name="hubspot__lists",
    relation=Relation("main", "lists"),
    destination="hubspot",
    object="lists",
    key="list_key",
    match_on="name",
    mode="update",
    columns=("list_key", "name"),
    guardrails=Guardrails(min_rows=0),
)
COLUMNS = "customer_id VARCHAR, email VARCHAR, list_key VARCHAR"


@dataclass
class ListBench:
    bench: PortalBench
    list: PortalList

    def model(self, **lists: str | None) -> None:
        """Customer → the list that the model puts her on."""
        self.bench.model(COLUMNS, *((name, f"{name}@corp.example", key) for name, key in lists.items()))

    async def sync(self, version: str = "v3", **more: Any) -> SyncReport:
        await self.bench.run(LISTS, api_version=version)
        spec = self.bench.spec("contacts", match_on="email", **more)
        spec = replace(spec, associate=(Association("hubspot__lists", "list_key", 1, "lists"),))
        return await self.bench.run(spec, api_version=version)

    def ids(self) -> dict[str, str]:
        return {str(email).partition("@")[0]: str(id_) for email, id_ in self.records()}

    def records(self) -> list[tuple[str | None, ...]]:
        return self.bench.records("contacts", "email", "hs_object_id")

    @property
    def members(self) -> set[str]:
        names = {id_: name for name, id_ in self.ids().items()}
        return {names[id_] for id_ in self.list.members}


@pytest.fixture
async def listed() -> AsyncIterator[ListBench]:
    async with portal_bench() as bench:
        bench.warehouse.execute("CREATE TABLE lists (list_key VARCHAR, name VARCHAR)")
        bench.warehouse.execute("INSERT INTO lists VALUES ('news', 'Newsletter')")
        yield ListBench(bench, bench.portal.add_list("Newsletter", "contacts"))


@pytest.mark.parametrize("version", ["v3", "2026-03", "2026-09"])
async def test_who_is_in_the_model_is_put_on_the_list_and_who_leaves_is_taken_off(
    listed: ListBench, version: str
) -> None:
    listed.model(ann="news", bob="news", cid=None)
    assert (await listed.sync(version)).counts == {"ok": 3, "linked": 2}
    assert listed.members == {"ann", "bob"}
    listed.model(ann=None, bob="news", cid="news")
    assert (await listed.sync(version)).counts == {"linked": 1, "unlinked": 1}
    assert listed.members == {"bob", "cid"}
    assert (await listed.sync(version)).counts == {}


async def test_whom_a_person_put_on_the_list_stays_on_it(listed: ListBench) -> None:
    listed.model(ann=None, bob=None)
    await listed.sync()
    listed.list.members[listed.ids()["ann"]] = 1
    listed.model(ann="news", bob="news")
    await listed.sync()
    assert listed.members == {"ann", "bob"}
    listed.model(ann=None, bob=None)
    await listed.sync()
    assert listed.members == {"ann"}, "she was there before us"


async def test_a_record_that_is_not_there_is_refused_alone(listed: ListBench) -> None:
    listed.model(ann=None)
    await listed.sync()
    pairs = [Pair(0, listed.ids()["ann"], listed.list.id), Pair(1, "404", listed.list.id), Pair(2, "404", "405")]
    async with listed.bench.connect() as hubspot:
        outcomes = {o.ordinal: (o.status, o.error_code) for o in await hubspot.link("contacts", "lists", 1, pairs)}
        assert outcomes[0] == (Status.OK, None)
        assert outcomes[1] == (Status.REJECTED, "OBJECT_NOT_FOUND")
        assert outcomes[2][0] is Status.REJECTED, "there is no such list"
        assert [o.status for o in await hubspot.unlink("contacts", "lists", 1, pairs[:2])] == [Status.OK] * 2
        assert await hubspot.links_of("contacts", "lists", [listed.ids()["ann"]]) == {listed.ids()["ann"]: {}}
        assert await hubspot.read_back("lists", [listed.list.id, "405"], []) != {}
        assert list(await hubspot.read_back("lists", [listed.list.id, "405"], [])) == [listed.list.id]


async def test_a_dynamic_list_is_refused_before_anything_is_sent(listed: ListBench) -> None:
    listed.bench.portal.lists[listed.list.id].processing_type = "DYNAMIC"
    with pytest.raises(ConfigError, match="'Newsletter' takes no members: it is dynamic"):
        await listed.bench.run(LISTS)


async def test_a_list_that_is_not_there_is_absent(listed: ListBench) -> None:
    listed.bench.warehouse.execute("INSERT INTO lists VALUES ('no', 'News')")  # a part of the other's name
    async with listed.bench.connect() as hubspot:
        assert set(await hubspot.look_up("lists", "name", ["newsletter", "News", "Nowhere"], [])) == {"newsletter"}


async def test_a_mirror_that_clears_takes_off_who_left_the_model(listed: ListBench) -> None:
    listed.model(ann="news", bob="news", cid="news")
    await listed.sync(mode="mirror", on_leave="clear")
    listed.model(ann="news")
    guardrails = Guardrails(min_rows=0, max_deleted_share=None, deletes_declared=True)
    await listed.sync(mode="mirror", on_leave="clear", guardrails=guardrails)
    assert listed.members == {"ann"}
    listed.model()
    await listed.sync()
    assert listed.members == {"ann"}, "without it nothing is taken away"

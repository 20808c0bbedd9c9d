"""What the HubSpot sandbox answers differently by the version in the address, and about objects whose records it does
not hold."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from revetl.sandbox.server import running_sandbox
from revetl.sandbox.settings import SandboxSettings

HEADERS = {"Authorization": "Bearer pat-test"}


class Client:
    def __init__(self, base_url: str, session: aiohttp.ClientSession) -> None:
        self._base_url = base_url
        self._session = session

    async def call(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        async with self._session.request(method, self._base_url + path, json=body, headers=HEADERS) as answer:
            return answer.status, await answer.json() if answer.content_type == "application/json" else None

    async def made(self, object_: str, **properties: str) -> str:
        _, body = await self.call("POST", f"/crm/v3/objects/{object_}", {"properties": properties})
        return str(body["id"])


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    async with running_sandbox(settings=SandboxSettings(limited=False)) as running, aiohttp.ClientSession() as session:
        yield Client(running.base_url, session)


@pytest.mark.parametrize(
    ("base", "made", "archived", "ids"),
    [
        ("/crm/v4/associations", 201, 204, int),
        ("/crm/associations/2026-03", 201, 200, str),
        ("/crm/associations/2026-09", 200, 200, str),
    ],
)
async def test_links_are_answered_as_each_version_describes(
    client: Client, base: str, made: int, archived: int, ids: type
) -> None:
    contact, company = await client.made("contacts", email="a@b.example"), await client.made("companies", name="B")
    pair = {"from": {"id": contact}, "to": {"id": company}}
    types = [{"associationCategory": "HUBSPOT_DEFINED", "associationTypeId": 279}]
    path = f"{base}/contacts/companies/batch"
    status, body = await client.call("POST", f"{path}/create", {"inputs": [{**pair, "types": types}]})
    linked = body["results"][0]
    assert (status, linked["fromObjectId"], linked["toObjectId"]) == (made, ids(contact), ids(company))
    status, body = await client.call("POST", f"{path}/read", {"inputs": [{"id": contact}]})
    assert (status, [to["toObjectId"] for to in body["results"][0]["to"]]) == (200, [ids(company)])
    for name, one in (("labels/archive", {**pair, "types": types}), ("archive", {**pair, "to": [{"id": company}]})):
        status, body = await client.call("POST", f"{path}/{name}", {"inputs": [one]})
        assert (status, None if body is None else body["results"]) == (archived, None if archived == 204 else [])


@pytest.mark.parametrize("object_", ["quotes", "calls", "line_items"])
async def test_other_objects_of_an_account_are_forbidden_and_not_unknown(client: Client, object_: str) -> None:
    for path in (f"/crm/v3/properties/{object_}", f"/crm/v3/objects/{object_}"):
        status, body = await client.call("GET", path)
        assert (status, body["category"]) == (403, "MISSING_SCOPES")
        assert f"crm.objects.{object_}.read" in body["errors"][0]["context"]["requiredGranularScopes"]
    assert (await client.call("GET", "/crm/v3/objects/unicorns"))[0] == 400


async def test_nothing_is_linked_to_them(client: Client) -> None:
    contact = await client.made("contacts", email="a@b.example")
    path = f"/crm/v3/objects/contacts/{contact}?associations="
    assert (await client.call("GET", path + "quotes,products"))[0] == 200
    assert (await client.call("GET", path + "unicorns"))[0] == 400


async def test_schemas_stand_at_both_of_their_addresses(client: Client) -> None:
    answers = [await client.call("GET", path) for path in ("/crm-object-schemas/v3/schemas", "/crm/v3/schemas")]
    assert answers == [(200, {"results": []})] * 2

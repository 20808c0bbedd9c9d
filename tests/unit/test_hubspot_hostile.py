"""Answers of HubSpot's that are none: each read is asked again, then lost, and never taken for "no such record"."""

from __future__ import annotations

import json
import random
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest

from revetl.clock import LoopClock
from revetl.destinations.base import Pair
from revetl.destinations.http_sink import HttpSink
from revetl.destinations.http_sink import Options as SinkOptions
from revetl.destinations.hubspot import HubSpot, Options
from revetl.destinations.hubspot.linking import Linker
from revetl.destinations.hubspot.values import canonical
from revetl.errors import Ambiguous, Rejected, RevetlError
from revetl.model import Change, Operation, Status
from tests.support.virtual_time import run_virtual

PROPERTIES = {"results": [{"name": n, "type": "string", "groupName": "g"} for n in ("email", "city", "hs_object_id")]}
Call = Callable[[HubSpot], Awaitable[Any]]

READS: dict[str, Call] = {
    "batch read": lambda hub: hub.look_up("contacts", "email", ["a@a.example", "b@a.example"], ["city"]),
    "search": lambda hub: hub.look_up("contacts", "city", ["Rome"], ["email"]),
    "read back": lambda hub: hub.read_back("contacts", ["1"], ["city"]),
    "links": lambda hub: hub.links_of("contacts", "companies", ["1"]),
}
BODIES: tuple[Any, ...] = (
    *(None, [], "text", {}, {"results": None}, {"results": {}}, {"results": [None]}, {"results": ["1"]}),
    *({"results": [{}]}, {"results": [{"id": {}}]}, {"results": [{"id": True}]}, {"results": [{"id": ""}]}),
    {"results": [{"id": "1", "properties": ["x"]}]},
    {"results": [{"id": "1", "properties": {"email": {"value": "x"}}}]},
    {"results": [{"id": "1", "from": ["1"]}]},
    {"results": [{"id": "1", "from": {"id": "1"}, "to": ["2"]}]},
    {"results": [{"id": "1", "from": {"id": "1"}, "to": [{"toObjectId": 2, "associationTypes": ["x"]}]}]},
    {"results": [], "total": "many"},
    {"results": [], "total": -1},
    {"results": [], "paging": "next"},
    {"results": [], "paging": {"next": {"after": {}}}},
)


def served(call: Call, body: bytes, status: int = 200) -> tuple[Any, int]:
    """What the call came to, and how many requests it took beside that for the properties."""
    came = 0

    def answer(request: httpx.Request) -> httpx.Response:
        nonlocal came
        if request.method == "GET":
            return httpx.Response(200, json=PROPERTIES)
        came += 1
        return httpx.Response(status, content=body)

    async def main() -> Any:
        options = Options.model_validate({"token": "pat-token", "base_url": "http://127.0.0.1:1"})
        hub = HubSpot("hub", options, LoopClock(), transport=httpx.MockTransport(answer), rng=random.Random(1))
        async with hub:
            await hub.describe("contacts")
            try:
                return await call(hub)
            except RevetlError as e:
                return e

    return run_virtual(main()), came


@pytest.mark.parametrize("read", READS)
@pytest.mark.parametrize("body", BODIES, ids=json.dumps)
def test_a_read_that_is_not_as_documented_is_lost(read: str, body: Any) -> None:
    said, requests = served(READS[read], json.dumps(body).encode())
    assert isinstance(said, Ambiguous)
    assert requests == 6


@pytest.mark.parametrize("read", READS)
@pytest.mark.parametrize("body", [b"[" * 200_000, b'{"results":' * 900, b"\xff\xfe", b"1" * 5_000, b""])
def test_no_json_is_lost(read: str, body: bytes) -> None:
    said, requests = served(READS[read], body)
    assert isinstance(said, Ambiguous)
    assert requests == 6


@pytest.mark.parametrize("read", READS)
def test_a_cursor_that_does_not_move_is_followed_once(read: str) -> None:
    record = {"id": "1", "from": {"id": "1"}, "to": [], "paging": {"next": {"after": "1"}}}
    body = {"results": [record], "paging": {"next": {"after": "1"}}}
    said, requests = served(READS[read], json.dumps(body).encode())
    if read in ("search", "links"):
        assert isinstance(said, Ambiguous)
        assert "without end" in str(said)
    assert requests <= 2


def linker(hub: HubSpot) -> Linker:
    return Linker(hub._session, "/crm/v4/associations/contacts/companies", "contacts → companies")


@pytest.mark.parametrize(
    "body",
    [b"[" * 200_000, b'{"results": 5, "errors": "x"}', b'{"results": [{"id": {}}, 7, null], "errors": [1, {}]}', b"[]"],
)
def test_of_a_write_nobody_is_done_whom_the_answer_does_not_name(body: bytes) -> None:
    changes = [
        Change(n, f"k{n}", Operation.CREATE, None, {"email": f"{n}@a.example"}, f"{n}@a.example") for n in range(3)
    ]
    outcomes, _ = served(lambda hub: hub.write("contacts", "email", changes), body)
    assert {o.status for o in outcomes} <= {Status.UNKNOWN, Status.REJECTED}
    pairs = [Pair(n, str(n), "9") for n in range(3)]
    for call in (
        lambda hub: linker(hub).link(279, "HUBSPOT_DEFINED", pairs),
        lambda hub: linker(hub)._send("archive", pairs[:1], None),
    ):
        outcomes, _ = served(call, body)
        assert {o.ordinal for o in outcomes} <= {0, 1, 2}


def test_a_number_of_a_billion_digits_is_not_written_out() -> None:
    assert canonical("amount", "1e999999999", "number") == "1e999999999"
    assert canonical("amount", "-1e-999999999", "number") == "-1e-999999999"
    assert canonical("amount", "1.50e2", "number") == "150"


@pytest.mark.parametrize("value", [b"\xff\x00", 2**70, "\ud800"])
def test_an_endpoint_refuses_what_json_has_no_form_for_by_its_field(value: Any) -> None:
    async def main() -> None:
        options = SinkOptions.model_validate({"url": "http://127.0.0.1:1/x"})
        sink = HttpSink("sink", options, LoopClock(), httpx.MockTransport(lambda _: httpx.Response(200)))
        async with sink:
            change = Change(0, "k", Operation.CREATE, None, {"name": "Ada", "photo": value}, None)
            with pytest.raises(Rejected, match="photo: "):
                await sink.write("contacts", None, [change])

    run_virtual(main())


@pytest.mark.parametrize("vendors_first", [True, False])
def test_a_label_of_the_portal_with_the_id_of_one_of_hubspots_is_neither_taken_for_it_nor_removed(
    vendors_first: bool,
) -> None:
    """Reported: ids are unique within a category only."""
    own = {"category": "USER_DEFINED", "typeId": 1, "label": "Referred by"}
    kinds = [{"category": "HUBSPOT_DEFINED", "typeId": 1, "label": "Primary"}, own]
    plain = {"category": "HUBSPOT_DEFINED", "typeId": 279, "label": None}
    sent: list[tuple[str, Any]] = []

    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("/labels"):
            return httpx.Response(200, json={"results": [plain, *(kinds if vendors_first else kinds[::-1])]})
        if request.method == "GET":
            return httpx.Response(200, json=PROPERTIES)
        sent.append((request.url.path.split("/batch/")[1], json.loads(request.content)["inputs"][0]))
        if request.url.path.endswith("/read"):
            to = {"toObjectId": 9, "associationTypes": [own, plain]}
            return httpx.Response(200, json={"results": [{"from": {"id": "1"}, "to": [to]}]})
        return httpx.Response(201, json={"results": [{"fromObjectId": 1, "toObjectId": 9}]})

    async def main() -> None:
        options = Options.model_validate({"token": "pat-token", "base_url": "http://127.0.0.1:1"})
        hub = HubSpot("hub", options, LoopClock(), transport=httpx.MockTransport(answer), rng=random.Random(1))
        pair = [Pair(0, "1", "9", alone=True)]
        async with hub:
            assert await hub.exclusive_types("contacts", "companies") == {1}
            assert await hub.links_of("contacts", "companies", ["1"]) == {"1": {"9": {-1, 279}}}
            await hub.link("contacts", "companies", 1, pair)
            await hub.unlink("contacts", "companies", 1, pair)
            await hub.unlink("contacts", "companies", 279, pair)

    run_virtual(main())
    assert [types["types"] for action, types in sent if action == "create"] == [
        [{"associationCategory": "HUBSPOT_DEFINED", "associationTypeId": 1}]
    ]
    assert {action for action, _ in sent} == {"read", "create"}, "somebody's label stands there, so it stays"

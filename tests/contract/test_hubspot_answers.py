"""The HubSpot connector against answers that a well-behaved server never gives: it must claim only what is certain."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Sequence
from typing import Any

import httpx
import pytest

from revetl.clock import LoopClock
from revetl.destinations.hubspot import HubSpot, Options
from revetl.errors import Ambiguous, Denied, Throttled, Unavailable
from revetl.model import Change, Operation, Outcome, Status
from tests.support.virtual_time import run_virtual

Batch = Callable[[str, list[dict[str, Any]]], httpx.Response]

PROPERTIES = {
    "results": [
        {"name": "email", "type": "string", "fieldType": "text", "groupName": "contactinformation"},
        {"name": "firstname", "type": "string", "fieldType": "text", "groupName": "contactinformation"},
        {"name": "revetl_key", "type": "string", "fieldType": "text", "hasUniqueValue": True},
    ]
}


def write(batch: Batch, changes: Sequence[Change], match_on: str | None = "email") -> tuple[list[Outcome], int]:
    """The outcomes, and how many batch requests there were."""
    calls = 0

    def answer(request: httpx.Request) -> httpx.Response:
        nonlocal calls
        if "/properties/" in request.url.path:
            return httpx.Response(200, json=PROPERTIES)
        calls += 1
        return batch(request.url.path.rpartition("/")[2], json.loads(request.content)["inputs"])

    async def main() -> list[Outcome]:
        options = Options.model_validate({"token": "pat-test"})
        transport = httpx.MockTransport(answer)
        async with HubSpot("hubspot", options, LoopClock(), transport=transport, rng=random.Random(0)) as hubspot:
            return await hubspot.write("contacts", match_on, changes)

    return run_virtual(main()), calls


def creates(n: int) -> list[Change]:
    return [
        Change(i, f"k{i}", Operation.CREATE, None, {"email": f"P{i}@x.example", "firstname": "A"}, f"P{i}@x.example")
        for i in range(n)
    ]


def updates(n: int) -> list[Change]:
    return [Change(i, f"k{i}", Operation.UPDATE, str(1000 + i), {"firstname": "A"}) for i in range(n)]


def result(item: dict[str, Any]) -> dict[str, Any]:
    if "idProperty" in item:
        return {"id": "r-" + item["id"], "properties": {"email": item["id"].lower()}}
    return {"id": item["id"], "properties": {}}


def refused(status: int, body: dict[str, Any]) -> httpx.Response:
    return httpx.Response(status, json={"status": "error", **body})


def statuses(outcomes: Sequence[Outcome]) -> dict[int, Status]:
    assert len({o.ordinal for o in outcomes}) == len(outcomes)
    return {o.ordinal: o.status for o in outcomes}


def test_what_is_not_answered_is_unknown() -> None:
    outcomes, calls = write(
        lambda _, i: httpx.Response(200, json={"results": [result(x) for x in i[:-2]]}), updates(10)
    )
    assert calls == 1
    assert [o.ordinal for o in outcomes if o.status is Status.UNKNOWN] == [8, 9]


@pytest.mark.parametrize(
    "body", [b"", b"{}", b"[]", b"null", b'{"results": null}', b'{"results": [1, null, {}]}', b"<html>"]
)
def test_an_answer_without_sense_claims_nothing(body: bytes) -> None:
    outcomes, _ = write(lambda _, i: httpx.Response(200, content=body), updates(3))
    assert set(statuses(outcomes).values()) == {Status.UNKNOWN}


@pytest.mark.parametrize("body", [b"", b"{}", b"[]", b'{"errors": 7, "context": "x", "message": null}', b"<html>"])
def test_a_refusal_without_sense_rejects(body: bytes) -> None:
    outcomes, calls = write(lambda _, i: httpx.Response(400, content=body), updates(4))
    assert set(statuses(outcomes).values()) == {Status.REJECTED}
    assert calls == 7


def test_results_in_any_order_and_case() -> None:
    def batch(_: str, inputs: list[dict[str, Any]]) -> httpx.Response:
        return httpx.Response(200, json={"results": [result(x) for x in reversed(inputs)]})

    outcomes, _ = write(batch, creates(30))
    assert {o.ordinal: o.destination_id for o in outcomes} == {i: f"r-p{i}@x.example" for i in range(30)}


def test_a_whole_batch_refused_is_halved_until_the_culprit_stands_alone() -> None:
    def batch(_: str, inputs: list[dict[str, Any]]) -> httpx.Response:
        if any(x["id"] == "1037" for x in inputs):
            return refused(400, {"message": "no", "category": "VALIDATION_ERROR"})
        return httpx.Response(200, json={"results": [result(x) for x in inputs]})

    outcomes, calls = write(batch, updates(100))
    assert [o.ordinal for o in outcomes if o.status is not Status.OK] == [37]
    assert outcomes[37].error_code == "VALIDATION_ERROR"
    assert calls <= 1 + 2 * 7


def test_ids_that_are_named_are_taken_out_at_once() -> None:
    def batch(_: str, inputs: list[dict[str, Any]]) -> httpx.Response:
        bad = [x["id"] for x in inputs if int(x["id"]) % 10 == 0]
        if bad:
            return refused(404, {"category": "OBJECT_NOT_FOUND", "message": "…", "context": {"ids": bad}})
        return httpx.Response(200, json={"results": [result(x) for x in inputs]})

    outcomes, calls = write(batch, updates(100))
    assert sum(o.status is Status.REJECTED for o in outcomes) == 10
    assert calls == 2


def test_a_property_that_is_not_there_costs_two_requests_not_two_hundred() -> None:
    def batch(_: str, inputs: list[dict[str, Any]]) -> httpx.Response:
        if any("firstname" in x["properties"] for x in inputs):
            inner = '[{"isValid":false,"message":"gone","error":"PROPERTY_DOESNT_EXIST","name":"firstname"}]'
            return refused(400, {"message": f"Property values were not valid: {inner}", "category": "VALIDATION_ERROR"})
        return httpx.Response(200, json={"results": [result(x) for x in inputs]})

    changes = [
        Change(i, f"k{i}", Operation.UPDATE, str(i), {"firstname" if i % 2 else "email": "x"}) for i in range(90)
    ]
    outcomes, calls = write(batch, changes)
    assert calls == 2
    assert all((o.status is Status.REJECTED) == bool(o.ordinal % 2) for o in outcomes)
    assert outcomes[1].error_code == "PROPERTY_DOESNT_EXIST"


def test_a_conflict_on_email_becomes_an_update_of_who_is_there() -> None:
    def batch(endpoint: str, inputs: list[dict[str, Any]]) -> httpx.Response:
        if endpoint == "update":
            return httpx.Response(200, json={"results": [result(x) for x in inputs]})
        error = {
            "category": "CONFLICT",
            "message": "Contact already exists. Existing ID: 77",
            "context": {"objectWriteTraceId": ["1"], "existingId": ["77"]},
        }
        return httpx.Response(
            207, json={"results": [result(x) for x in inputs if x["id"][1] != "1"], "errors": [error]}
        )

    outcomes, calls = write(batch, creates(3))
    assert set(statuses(outcomes).values()) == {Status.OK}
    assert {o.ordinal: o.destination_id for o in outcomes}[1] == "77"
    assert calls == 2


def test_an_error_that_names_nobody_is_found_by_halving() -> None:
    def batch(_: str, inputs: list[dict[str, Any]]) -> httpx.Response:
        good = [result(x) for x in inputs if x["id"] != "1005"]
        errors = [] if len(good) == len(inputs) else [{"category": "STRANGE", "message": "?"}]
        return httpx.Response(207, json={"results": good, "errors": errors})

    outcomes, _ = write(batch, updates(10))
    assert [o.ordinal for o in outcomes if o.status is Status.REJECTED] == [5]
    assert sum(o.status is Status.OK for o in outcomes) == 9


def test_a_merged_record_answers_under_its_new_id() -> None:
    def batch(_: str, inputs: list[dict[str, Any]]) -> httpx.Response:
        return httpx.Response(200, json={"results": [{"id": "9" if x["id"] == "1001" else x["id"]} for x in inputs]})

    outcomes, _ = write(batch, updates(4))
    assert {o.ordinal: o.destination_id for o in outcomes} == {0: "1000", 1: "9", 2: "1002", 3: "1003"}


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        (401, {"category": "INVALID_AUTHENTICATION"}, Denied),
        (403, {"category": "MISSING_SCOPES"}, Denied),
        (429, {"policyName": "DAILY", "errorType": "RATE_LIMIT"}, Throttled),
        (503, {}, Unavailable),
    ],
)
def test_before_anything_was_sent_they_leave_as_they_are(
    status: int, body: dict[str, Any], error: type[Exception]
) -> None:
    with pytest.raises(error):
        write(lambda *_: refused(status, body), updates(3))


def test_after_something_was_sent_the_rest_is_unknown() -> None:
    calls = iter(range(100))

    def batch(_: str, inputs: list[dict[str, Any]]) -> httpx.Response:
        if next(calls):
            return refused(401, {"category": "INVALID_AUTHENTICATION"})
        return httpx.Response(200, json={"results": [result(x) for x in inputs]})

    twins = [Change(i, f"k{i}", Operation.UPDATE, "5", {"firstname": str(i)}) for i in range(3)]
    outcomes, count = write(batch, twins)
    assert statuses(outcomes) == {0: Status.OK, 1: Status.UNKNOWN, 2: Status.UNKNOWN}
    assert count == 2


@pytest.mark.parametrize("seed", range(150))
def test_whatever_is_answered_ok_means_written(seed: int) -> None:
    """A server that refuses, shuffles, forgets, names by trace id, by id or nobody; what it wrote is kept beside."""
    rng = random.Random(seed)
    written: dict[str, str] = {}
    doomed = {str(1000 + i) for i in range(40) if rng.random() < 0.15}

    def batch(endpoint: str, inputs: list[dict[str, Any]]) -> httpx.Response:
        if endpoint == "read":
            return httpx.Response(200, json={"results": [result(x) for x in inputs if rng.random() < 0.9]})
        bad = [x for x in inputs if x["id"] in doomed]
        if bad and rng.random() < 0.4:
            ids = {"ids": [x["id"] for x in bad]} if rng.random() < 0.5 else {}
            return refused(400, {"category": "OBJECT_NOT_FOUND", "message": "no", "context": ids})
        good = [x for x in inputs if x["id"] not in doomed]
        for x in good:
            written[x["objectWriteTraceId"]] = x["id"]
        results = [
            result(x) | ({"objectWriteTraceId": x["objectWriteTraceId"]} if rng.random() < 0.2 else {})
            for x in good
            if rng.random() < 0.95
        ]
        errors = []
        for x in bad:
            how = rng.choice(["trace", "ids", "nothing", "silence"])
            context = {"trace": {"objectWriteTraceId": [x["objectWriteTraceId"]]}, "ids": {"ids": [x["id"]]}}.get(how)
            if how != "silence":
                errors.append({"category": "OBJECT_NOT_FOUND", "message": "no", "context": context})
        rng.shuffle(results)
        return httpx.Response(207, json={"results": results, "errors": errors})

    changes = updates(40)
    outcomes, _ = write(batch, changes)
    assert sorted(o.ordinal for o in outcomes) == list(range(40))
    for outcome in outcomes:
        if outcome.status is Status.OK:
            assert written[str(outcome.ordinal)] == str(1000 + outcome.ordinal) == outcome.destination_id
        elif outcome.status is Status.REJECTED:
            assert str(1000 + outcome.ordinal) in doomed


PAGE = httpx.Response(200, text="<html>temporarily unavailable</html>")


def test_a_page_that_stays_in_place_of_the_properties_is_an_outage_and_no_mistake_of_ours() -> None:
    transport = httpx.MockTransport(lambda _: PAGE)

    async def main() -> None:
        options = Options.model_validate({"token": "pat-test"})
        async with HubSpot("hubspot", options, LoopClock(), transport=transport, rng=random.Random(0)) as hubspot:
            await hubspot.describe("contacts")

    with pytest.raises(Ambiguous, match="not its own") as caught:
        run_virtual(main())
    assert caught.value.exit_code == 1


def test_a_page_in_place_of_an_answer_is_a_lost_answer_and_asked_for_again() -> None:
    calls = iter(range(100))

    def batch(_: str, inputs: list[dict[str, Any]]) -> httpx.Response:
        return PAGE if next(calls) < 3 else httpx.Response(200, json={"results": [result(x) for x in inputs]})

    outcomes, count = write(batch, updates(5))
    assert set(statuses(outcomes).values()) == {Status.OK}
    assert count == 4

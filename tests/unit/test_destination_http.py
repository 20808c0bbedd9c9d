"""Any HTTP API: what a description makes of changes and answers, and which descriptions are refused."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import httpx
import pytest

from revetl.clock import LoopClock
from revetl.destinations.base import RecordMatch
from revetl.destinations.http import Options, connect
from revetl.documents import parse, read_yaml
from revetl.errors import Ambiguous, ConfigError, Denied, Rejected
from revetl.model import Change, FieldRule, Operation, Outcome, Scalar, Status, SyncSpec
from revetl.sync import SyncReport, plan_sync, run_sync
from revetl.testing.virtual_time import run_virtual
from tests.support.sync_bench import ANN, BOB, Bench, context

USERS: dict[str, Any] = {
    "create": {"method": "POST", "path": "/users"},
    "update": {"method": "PATCH", "path": "/users/{id}"},
    "delete": {"method": "DELETE", "path": "/users/{id}", "body": "none"},
}
MANY: dict[str, Any] = {"method": "PUT", "path": "/users", "rows": 10, "at": "/users", "key_as": "ref"}
Answer = Callable[[httpx.Request], httpx.Response]


class Api:
    """One destination over answers of a test's own."""

    def __init__(self, answer: Answer, users: Mapping[str, Any] = USERS, **options: Any) -> None:
        self.sent: list[httpx.Request] = []
        self._answer = answer
        given = {"base_url": "https://api.example/v1", "objects": {"users": users}, **options}
        transport = httpx.MockTransport(self._record)
        self.destination: Any = connect("api", Options.model_validate(given), LoopClock(), transport)

    def _record(self, request: httpx.Request) -> httpx.Response:
        self.sent.append(request)
        return self._answer(request)

    def write(self, *changes: Change, match_on: str | None = "email") -> list[Outcome]:
        async def main() -> list[Outcome]:
            async with self.destination as opened:
                outcomes: list[Outcome] = await opened.write("users", match_on, changes)
                return outcomes

        return run_virtual(main())

    def find(self, values: Sequence[Scalar], fields: Sequence[str] = ("name",)) -> dict[str, RecordMatch]:
        async def main() -> dict[str, RecordMatch]:
            async with self.destination as opened:
                return dict(await opened.look_up("users", "email", values, fields))

        return run_virtual(main())


def says(status: int, body: Any = None, **headers: str) -> Answer:
    content = b"" if body is None else json.dumps(body).encode()
    return lambda _: httpx.Response(status, headers=headers, content=content)


def change(op: Operation = Operation.CREATE, ordinal: int = 0, id_: str | None = None, **fields: Scalar) -> Change:
    sent = fields or {"email": "ann@x.io", "name": "Ann"}
    if op is Operation.DELETE:
        sent = {}
    return Change(ordinal, f"k{ordinal}", op, id_, sent, sent.get("email"))


@pytest.mark.parametrize(
    ("op", "answer", "status", "code", "id_"),
    [
        (Operation.CREATE, says(201, {"id": 7}), Status.OK, None, "7"),
        (Operation.CREATE, says(201, None, location="/v1/users/a%2Fb"), Status.OK, None, "a/b"),
        (Operation.CREATE, says(200, {"other": 1}), Status.OK, None, None),
        (Operation.CREATE, says(202), Status.ACCEPTED, None, None),
        (Operation.CREATE, says(409), Status.REJECTED, "EXISTS", None),
        (Operation.CREATE, says(422, {"why": "no"}), Status.REJECTED, "422", None),
        (Operation.CREATE, says(400), Status.REJECTED, "400", None),
        (Operation.UPDATE, says(200), Status.OK, None, "9"),
        (Operation.UPDATE, says(404), Status.REJECTED, "GONE", None),
        (Operation.DELETE, says(204), Status.OK, None, "9"),
        (Operation.DELETE, says(404), Status.OK, None, "9"),
        (Operation.DELETE, says(410), Status.OK, None, "9"),
    ],
)
def test_what_a_status_means(op: Operation, answer: Answer, status: Status, code: str | None, id_: str | None) -> None:
    api = Api(answer, status=[{"http": 409, "verdict": "exists"}, {"http": 422, "verdict": "invalid"}])
    [outcome] = api.write(change(op, id_=None if op is Operation.CREATE else "9"))
    assert (outcome.status, outcome.error_code, outcome.destination_id) == (status, code, id_)
    assert outcome.in_row == (code == "422")
    assert status is not Status.REJECTED or outcome.message


def test_a_row_may_look_into_the_body_and_the_first_that_matches_counts() -> None:
    table = [
        {"http": 403, "at": "/code", "equals": ["RATE", "BUSY"], "verdict": "rejected"},
        {"http": "4xx", "verdict": "denied"},
        {"http": 200, "at": "/error/code", "equals": None, "verdict": "ok"},
        {"http": 200, "verdict": "rejected"},
    ]
    assert Api(says(403, {"code": "BUSY"}), status=table).write(change())[0].status is Status.REJECTED
    with pytest.raises(Denied):
        Api(says(403, {"code": "SCOPE"}), status=table).write(change())
    assert Api(says(200, {"id": "1"}), status=table).write(change())[0].status is Status.OK
    assert Api(says(200, {"error": {"code": 5}}), status=table).write(change())[0].status is Status.REJECTED


@pytest.mark.parametrize("status", [404, 405, 415, 301])
def test_a_wrong_address_ends_the_run_and_blames_no_record(status: int) -> None:
    with pytest.raises(Denied):
        Api(says(status)).write(change())


def test_the_body_is_the_columns_nested_with_constants_and_without_what_the_path_names() -> None:
    users = {
        **USERS,
        "upsert": {"method": "PUT", "path": "/orgs/{org}/users/{email}", "at": "/user", "beside": {"v": 2, "a.b": 1}},
        "constants": {"meta.source": "us"},
        "fields": {"notes": "json"},
    }
    api = Api(says(200), users)
    api.write(change(email="a/b@x.io", org="o 1", notes='{"n": [1]}', **{"address.city": "Riga"}))
    [sent] = api.sent
    assert sent.url.raw_path == b"/v1/orgs/o%201/users/a%2Fb%40x.io"
    assert json.loads(sent.content) == {
        "user": {"notes": {"n": [1]}, "address": {"city": "Riga"}, "meta": {"source": "us"}},
        "v": 2,
        "a": {"b": 1},
    }


@pytest.mark.parametrize(
    ("moment", "sent"),
    [
        (datetime(9999, 12, 31, 23, 59, 59, tzinfo=timezone(-timedelta(hours=1))), None),
        (datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=14))), None),
        (datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC), "9999-12-31T23:59:59+00:00"),
        (datetime(2024, 2, 29, 12, tzinfo=timezone(timedelta(hours=5, minutes=30))), "2024-02-29T12:00:00+05:30"),
        (datetime(1890, 1, 1, tzinfo=timezone(timedelta(hours=1, seconds=7))), "1889-12-31T22:59:53+00:00"),
        (datetime(2024, 2, 29, 12, microsecond=5), "2024-02-29T12:00:00.000005"),  # noqa: DTZ001
    ],
)
def test_a_moment_is_the_same_moment_or_is_refused_by_name(moment: datetime, sent: str | None) -> None:
    api = Api(says(200))
    [outcome] = api.write(change(email="a@x.io", seen=moment))
    if sent is None:
        assert (outcome.status, outcome.error_code, outcome.in_row) == (Status.REJECTED, "INVALID_VALUE", True)
        assert str(outcome.message).startswith("seen: a moment outside of the years 1 to 9999")
        assert api.sent == []
    else:
        assert json.loads(api.sent[0].content)["seen"] == sent


@pytest.mark.parametrize(
    ("answer", "statuses"),
    [
        ({"bad": []}, ["ok", "ok"]),
        ({"bad": ["B@x.io"]}, ["ok", "rejected"]),
        ({"bad": ["somebody@else.io"]}, ["unknown", "unknown"]),
        ({"bad": ["b@x.io", "somebody@else.io"]}, ["unknown", "rejected"]),
        ({}, ["unknown", "unknown"]),
        ({"bad": "b@x.io"}, ["unknown", "unknown"]),
    ],
)
def test_where_only_refusals_are_listed_silence_is_success_unless_the_list_is_in_doubt(
    answer: Any, statuses: list[str]
) -> None:
    bad = {"at": "/bad", "key": "", "key_is": "email", "otherwise": "invalid"}
    users = {**USERS, "upsert": {**MANY, "results": bad, "unnamed": "ok"}}
    outcomes = Api(says(200, answer), users).write(change(email="a@x.io"), change(ordinal=1, email="b@x.io"))
    assert [o.status.value for o in outcomes] == statuses


@pytest.mark.parametrize(
    ("answer", "statuses"),
    [
        ({"message": "success"}, ["accepted", "accepted"]),
        ({"errors": [{"index": 1}]}, ["accepted", "rejected"]),
        ({"errors": [{"index": 0}, {"index": 1}]}, ["rejected", "rejected"]),
        ({"errors": [{"index": 2}]}, ["unknown", "unknown"]),
        ({"errors": [{"index": 1}, {"index": -1}]}, ["unknown", "rejected"]),
        ({"errors": [{"index": True}]}, ["unknown", "unknown"]),
        ([], ["unknown", "unknown"]),
        ("success", ["unknown", "unknown"]),
    ],
)
def test_a_refusal_may_name_the_place_of_its_record_in_the_request_and_be_left_out(
    answer: Any, statuses: list[str]
) -> None:
    errors = {"at": "/errors", "by": "index", "key": "/index", "otherwise": "invalid", "optional": True}
    users = {**USERS, "upsert": {**MANY, "results": errors, "unnamed": "accepted"}}
    outcomes = Api(says(201, answer), users).write(change(email="a@x.io"), change(ordinal=1, email="b@x.io"))
    assert [o.status.value for o in outcomes] == statuses


def test_the_place_in_the_request_is_that_of_what_was_sent() -> None:
    errors = {"at": "/errors", "by": "index", "key": "/n", "otherwise": "invalid", "optional": True}
    users = {**USERS, "upsert": {**MANY, "results": errors, "unnamed": "ok"}}
    changes = [change(photo=b"x"), change(ordinal=1), change(ordinal=2)]
    outcomes = Api(says(207, {"errors": [{"n": 0}]}), users).write(*changes)
    assert {o.ordinal: o.status.value for o in outcomes} == {0: "rejected", 1: "rejected", 2: "ok"}


def test_a_record_without_a_form_is_refused_alone_by_its_field_and_without_its_value() -> None:
    users = {**USERS, "upsert": {**MANY, "results": {"at": "/r", "key": "/ref", "id": "/id"}}}
    api = Api(says(207, {"r": [{"ref": "k1", "id": "i1"}]}), users)
    bad, good = api.write(change(photo=b"secret"), change(ordinal=1))
    assert (bad.status, bad.error_code, bad.in_row) == (Status.REJECTED, "INVALID_VALUE", True)
    assert "photo" in str(bad.message)
    assert "secret" not in str(bad.message)
    assert (good.status, good.destination_id) == (Status.OK, "i1")
    assert len(json.loads(api.sent[0].content)["users"]) == 1


def test_results_in_order_count_only_when_none_is_missing() -> None:
    users = {**USERS, "upsert": {**MANY, "results": {"at": "/r", "by": "order", "id": "/id"}}}
    two = [change(ordinal=0), change(ordinal=1)]
    whole = Api(says(200, {"r": [{"id": 1}, {"id": 2}]}), users).write(*two)
    assert [(o.status, o.destination_id) for o in whole] == [(Status.OK, "1"), (Status.OK, "2")]
    short = Api(says(200, {"r": [{"id": 2}]}), users).write(*two)
    assert {o.status for o in short} == {Status.UNKNOWN}


def test_a_result_that_fits_two_records_is_of_neither_and_lists_of_errors_may_stand_apart() -> None:
    results = [
        {"at": "/done", "key": "/email", "key_is": "email", "id": "/id"},
        {"at": "/errors", "key": "/email", "key_is": "email", "message": "/said", "otherwise": "rejected"},
    ]
    body = {
        "done": [{"email": "ANN@x.io", "id": 1}, {"email": "b@x.io", "id": 2}],
        "errors": [{"email": "b@x.io", "said": "late"}, {"email": "c@x.io", "said": "c@x.io is no name of Cid"}],
    }
    api = Api(says(200, body), {**USERS, "upsert": {**MANY, "results": results}})
    outcomes = api.write(
        change(ordinal=0, email="ann@x.io"),
        change(ordinal=1, email="Ann@x.io"),
        change(ordinal=2, email="b@x.io"),
        change(ordinal=3, email="c@x.io", name="Cid"),
    )
    assert [o.status for o in outcomes] == [Status.UNKNOWN, Status.UNKNOWN, Status.UNKNOWN, Status.REJECTED]
    assert "taken and refused" in str(outcomes[2].message)
    assert outcomes[3].message == "refused: *** is no name of ***"


def test_a_page_in_place_of_an_answer_is_a_lost_answer() -> None:
    page = says(200, "<html>", **{"content-type": "text/html; charset=utf-8"})
    assert Api(page).write(change())[0].status is Status.UNKNOWN


def test_an_event_that_is_there_already_is_done() -> None:
    events = {"kind": "events", "event_id": "email", "create": {"method": "POST", "path": "/events"}}
    api = Api(says(409), events, status=[{"http": 409, "verdict": "exists"}])
    assert api.write(change())[0].status is Status.OK
    assert api.destination.idempotent("users", "email")


def test_a_batch_without_results_is_whole_or_not_at_all() -> None:
    users = {**USERS, "upsert": MANY}
    api = Api(says(422, {"said": "no"}), users)
    assert api.destination.limits("users").atomic
    with pytest.raises(Rejected, match="422"):
        api.write(change(), change(ordinal=1))
    assert {o.status for o in Api(says(200), users).write(change(), change(ordinal=1))} == {Status.OK}


LOOK_UP = {"path": "/users", "records": "/data", "by": ["email"]}
READ = {"path": "/users/{value}"}


def looked(look_up: Mapping[str, Any], answer: Answer) -> Api:
    return Api(answer, {**USERS, "look_up": {**LOOK_UP, **look_up}, "read_back": READ, "ignore_case": ["email"]})


def test_a_look_up_takes_only_what_is_exactly_it() -> None:
    data = [{"id": 1, "email": "ANN@x.io", "name": {"first": "Ann"}}, {"id": 2, "email": "annie@x.io"}, {"email": "x"}]
    api = looked({"param": "q", "query": {"per_page": "5"}}, says(200, {"data": data}))
    found = api.find(["ann@x.io"])
    assert {form: (m.destination_id, m.fields["name"]) for form, m in found.items()} == {
        "ann@x.io": ("1", '{"first":"Ann"}')
    }
    assert dict(api.sent[0].url.params) == {"per_page": "5", "q": "ann@x.io"}
    assert looked({"param": "q"}, says(404)).find(["ann@x.io"]) == {}


@pytest.mark.parametrize("status", [400, 403, 422])
def test_a_question_that_is_refused_is_not_taken_for_not_found(status: int) -> None:
    with pytest.raises(Denied):
        looked({"param": "q"}, says(status)).find(["ann@x.io"])
    with pytest.raises(Ambiguous):
        looked({"param": "q"}, says(200, {"other": []})).find(["ann@x.io"])


@pytest.mark.parametrize("body", [b'{"data": [{"id": 1', b"", b"try again later"])
@pytest.mark.parametrize("whole_pages", [0, 1])
def test_a_page_that_can_not_be_read_is_no_empty_one(body: bytes, whole_pages: int) -> None:
    asked = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        if len(asked) <= whole_pages:
            return httpx.Response(200, json={"data": [{"id": "1", "email": "x@x.io"}]})
        return httpx.Response(200, content=body, headers={"content-type": "application/json"})

    with pytest.raises(Ambiguous, match="no JSON"):
        looked({"page": {"param": "page"}}, answer).find(["ann@x.io"])


@pytest.mark.parametrize("nothing", [httpx.Response(204), httpx.Response(200, content=b"null")])
def test_an_answer_that_says_nothing_finds_nobody(nothing: httpx.Response) -> None:
    assert looked({"param": "q"}, lambda _: nothing).find(["ann@x.io"]) == {}


@pytest.mark.parametrize(
    ("page", "asked"),
    [
        ({"param": "page"}, ["1", "2", "3"]),
        ({"param": "page", "first": 0}, ["0", "1", "2"]),
        ({"param": "offset", "counts": "records", "first": 0}, ["0", "2", "3"]),
        ({"param": "after", "next": "/next"}, [None, "c1"]),
    ],
)
def test_a_list_without_a_filter_is_read_to_its_end(page: Mapping[str, Any], asked: list[str | None]) -> None:
    pages = [["a", "b"], ["c"], []]
    seen: list[str | None] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(dict(request.url.params).get(page["param"]))
        rows = [{"id": f"id-{n}", "email": f"{n}@x.io"} for n in pages[len(seen) - 1]]
        return httpx.Response(200, json={"data": rows, "next": "c1" if len(seen) == 1 else None})

    api = looked({"page": page}, answer)
    assert api.destination.limits("users").lookup_rows > 1
    assert set(api.find(["c@x.io", "a@x.io", "z@x.io"])) == {"a@x.io", "c@x.io"}
    assert seen == asked


def _pages_by(place: Callable[[str | None], httpx.Response], onward: str) -> Answer:
    """Two pages, the first of which names `onward`."""

    def answer(request: httpx.Request) -> httpx.Response:
        first = not request.url.query
        return place(onward if first else None)

    return answer


@pytest.mark.parametrize(
    "onward",
    [
        "https://api.example/v1/users?after=2&x=a%20b",
        "https://API.example:443/v1/users?after=2&x=a%20b",
        "/v1/users?after=2&x=a%20b",
        "?after=2&x=a%20b",
    ],
)
@pytest.mark.parametrize("header", [False, True])
def test_a_list_goes_on_at_the_address_that_it_names(onward: str, header: bool) -> None:
    def place(onward: str | None) -> httpx.Response:
        rows = [{"id": "1" if onward else "2", "email": "a@x.io" if onward else "b@x.io"}]
        links = {"link": f'<{onward}>; rel="next", </v1/users>; rel="first"'} if onward and header else {}
        return httpx.Response(200, json={"data": rows, "paging": {"next": None if header else onward}}, headers=links)

    page = {"link_header": True} if header else {"next_url": "/paging/next"}
    api = looked({"page": page}, _pages_by(place, onward))
    assert {m.destination_id for m in api.find(["a@x.io", "b@x.io"]).values()} == {"1", "2"}
    assert str(api.sent[1].url) == "https://api.example/v1/users?after=2&x=a%20b"


@pytest.mark.parametrize(
    "onward",
    [
        "https://evil.example/v1/users?after=2",
        "http://api.example/v1/users?after=2",
        "https://api.example:8443/v1/users?after=2",
        "https://api.example@evil.example/v1/users",
        "https://me:pass@api.example/v1/users",
        "//evil.example/v1/users",
        "/admin/users",
        "/v1/../admin",
        "/v1/%2e%2e/admin",
        "/v1x/users",
        "https://api.example\\@evil.example/v1/users",
        "/v1/users?a=1&a=2",
        "https://[::1/v1/users",
        "file:///etc/passwd",
    ],
)
def test_an_address_elsewhere_is_never_asked(onward: str) -> None:
    api = looked(
        {"page": {"next_url": "/n"}}, _pages_by(lambda n: httpx.Response(200, json={"data": [], "n": n}), onward)
    )
    with pytest.raises(Denied, match="next page of /users"):
        api.find(["a@x.io"])
    assert len(api.sent) == 1


@pytest.mark.parametrize("page", [{}, {"param": "p", "next_url": "/n"}, {"link_header": True, "next": "/n"}])
def test_a_list_goes_on_in_one_way(page: Mapping[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"how the list goes on|an address is 'next_url'"):
        looked({"page": page}, says(200, {"data": []}))


def test_a_page_that_comes_again_ends_it() -> None:
    with pytest.raises(Ambiguous, match="same page again"):
        looked({"page": {"param": "p", "next": "/n"}}, says(200, {"data": [], "n": "x"})).find(["a@x.io"])


def test_several_values_are_joined_and_one_with_a_comma_goes_alone() -> None:
    api = looked({"param": "q", "rows": 10}, says(200, {"data": []}))
    api.find(["a@x.io", "b,c@x.io", "d@x.io"])
    assert [dict(r.url.params)["q"] for r in api.sent] == ["b,c@x.io", "a@x.io,d@x.io"]


def test_a_value_in_the_path_of_a_question_is_encoded() -> None:
    api = looked({"path": "/users/by/{value}"}, says(404))
    assert api.find(["a/../b"]) == {}
    assert api.sent[0].url.raw_path == b"/v1/users/by/a%2F..%2Fb"
    assert api.find([".."]) == {}
    assert len(api.sent) == 1


# Under the engine.


def spec(bench: Bench, **changes: Any) -> SyncSpec:
    bench.sync_as(destination="api", object="users", **changes)
    return bench.spec


def synced(bench: Bench, api: Api, **changes: Any) -> SyncReport:
    async def main() -> SyncReport:
        async with api.destination as opened:
            return await run_sync(context(bench.warehouse, bench.clock), spec(bench, **changes), opened)

    return asyncio.run(main())


def fresh(api: Api, answer: Answer, users: Mapping[str, Any] = USERS, **options: Any) -> Api:
    """The same connection as another process makes it."""
    made = Api(answer, users, **options)
    made.sent = api.sent
    return made


def test_a_repeat_after_a_lost_answer_has_its_key_and_the_same_content_later_has_another() -> None:
    bench, options = Bench(), {"idempotency": {"across_runs": True}}
    bench.source([ANN])

    def lost(request: httpx.Request) -> httpx.Response:
        raise httpx.ReadError("cut", request=request)

    api = Api(lost, **options)
    assert synced(bench, api).counts == {"unknown": 1}
    created = {r.headers["idempotency-key"] for r in api.sent}
    assert len(created) == 1, "the session repeats under the same key"
    again = fresh(api, says(200, {"id": "7"}), **options)
    assert synced(bench, again).counts == {"ok": 1}
    assert {r.headers["idempotency-key"] for r in api.sent} == created, "and so does the next run"
    keys = []
    for name in ("Anna", "Ann", "Anna", "Ann"):
        bench.source([("1", "ann@x.io", name, "Riga")])
        api.sent.clear()
        assert synced(bench, fresh(api, says(200), **options)).counts == {"ok": 1}
        keys.append(api.sent[-1].headers["idempotency-key"])
    assert len({*keys}) == 4, "a vendor would give its first answer again, and change nothing"


@pytest.mark.parametrize("searched", [True, False])
def test_a_model_may_name_records_by_the_ids_that_the_vendor_gave(searched: bool) -> None:
    standing = {"u/1": {"id": "u/1", "email": "ann@x.io", "firstname": "Old"}, "u2": {"id": "u2", "firstname": "Bob"}}

    def answer(request: httpx.Request) -> httpx.Response:
        id_ = unquote(request.url.raw_path.decode().rpartition("/")[2])
        if id_ not in standing:
            return httpx.Response(404)
        if request.method == "PATCH":
            standing[id_] |= json.loads(request.content)
        return httpx.Response(200, json=standing[id_])

    users = {**USERS, "read_back": {"path": "/users/{value}"}, "id_field": "user_id"}
    if searched:
        users["look_up"] = {**LOOK_UP, "param": "email"}
    bench = Bench()
    bench.source(
        [("1", "u/1", "Ann", None), ("2", "u2", "Bob", None), ("3", "u9", "Cid", None), ("4", None, "Dora", None)],
        "golden_id VARCHAR, user_id VARCHAR, firstname VARCHAR, city VARCHAR",
    )
    api = Api(answer, users)
    by_id = {"match_on": "user_id", "mode": "update", "columns": ("golden_id", "user_id", "firstname")}
    report = synced(bench, api, **by_id)
    assert report.counts == {"ok": 2}, "Bob stands there with these values already"
    assert report.plan.absent == 2, "no record has the id u9, and Dora has none"
    assert standing["u/1"]["firstname"] == "Ann"
    sent = [(r.method, r.url.raw_path, json.loads(r.content)) for r in api.sent if r.method != "GET"]
    assert sent == [("PATCH", b"/v1/users/u%2F1", {"firstname": "Ann"})], "the id itself is never sent"
    with pytest.raises(ConfigError, match="is the id that api gives"):
        synced(bench, fresh(api, answer, users), **{**by_id, "mode": "upsert"})


def test_records_are_named_by_id_only_where_they_can_be_read() -> None:
    with pytest.raises(ValueError, match="'id_field' needs 'read_back'"):
        Api(says(200), {**USERS, "id_field": "user_id"})


def test_a_path_may_name_a_column_that_did_not_change_and_a_whole_body_has_all_of_them() -> None:
    bench = Bench()
    bench.source([ANN, BOB])
    users = {
        **USERS,
        "create": {"method": "POST", "path": "/cities/{city}/users"},
        "update": {"method": "PUT", "path": "/cities/{city}/users/{id}", "body": "whole"},
        "delete": {"method": "DELETE", "path": "/cities/{city}/users/{id}", "body": "none"},
    }
    api = Api(says(200, {"id": "7"}), users)
    report = synced(bench, api, mode="mirror", on_leave="archive")
    assert report.counts == {"ok": 1, "rejected": 1}, "Bob has no city, which stands in the path"
    bench.source([("1", "ann@x.io", "Anna", "Riga"), BOB])
    api.sent.clear()
    assert synced(bench, fresh(api, says(200), users)).plan.fields == {"firstname": 1}
    [sent] = api.sent
    assert (sent.method, sent.url.raw_path) == ("PUT", b"/v1/cities/Riga/users/7")
    assert json.loads(sent.content) == {"email": "ann@x.io", "firstname": "Anna"}
    bench.source([BOB])
    api.sent.clear()
    bench.sync_as(guardrails=bench.spec.guardrails.__class__(max_deleted_share=1.0, deletes_declared=True))
    synced(bench, fresh(api, says(200), users))
    assert [(r.method, r.url.raw_path) for r in api.sent] == [("DELETE", b"/v1/cities/Riga/users/7")]


def test_what_the_description_asks_of_the_model_is_said_when_it_is_planned() -> None:
    def planned(users: Mapping[str, Any], **changes: Any) -> str:
        bench = Bench()
        bench.source([ANN])
        api = Api(says(200), {**users, "look_up": {**LOOK_UP, "param": "email"}, "read_back": READ})

        async def main() -> None:
            async with api.destination as opened:
                await plan_sync(context(bench.warehouse, bench.clock), spec(bench, **changes), opened)

        with pytest.raises(ConfigError) as refused:
            asyncio.run(main())
        return str(refused.value)

    said = planned({**USERS, "create": {"method": "POST", "path": "/orgs/{orgg}/users"}})
    assert "models/activation/fake__contacts.yml: there is no column 'orgg': it stands in the path" in said
    whole = {**USERS, "update": {**USERS["update"], "body": "whole"}}
    assert "replaces the whole record" in planned(whole, fields={"city": FieldRule("fill_blank")})


# What is refused when it is read.

VALID = """\
base_url: https://api.example
objects:
  users:
    create: {method: POST, path: /users}
    update: {method: PATCH, path: "/users/{id}"}
"""


@pytest.mark.parametrize(
    ("old", "new", "line", "message"),
    [
        ("path: /users}", "path: users}", 4, "a path starts with '/'"),
        ("path: /users}", "path: '/users?x=1'}", 4, "a path starts with '/'"),
        ("path: /users}", "path: /../users}", 4, "a path starts with '/'"),
        ("path: /users}", "path: '/users/{id}'}", 3, "has no id before it is made"),
        ("path: /users}", "path: /users, rows: 5, key_as: r, results: {key: ref}}", 4, "can never match"),
        ("path: /users}", "path: /users, results: {key: /a~b}}", 4, "can never match"),
        ("path: /users}", "path: /users, rows: 5, results: {key: /ref}}", 4, "only where 'key_as' sends it"),
        ("path: /users}", "path: /users, beside: {a: 1}}", 4, "'beside' needs 'at'"),
        ("path: /users}", "path: /users, results: {id: /id}}", 4, "say where the result names its record"),
        ('"/users/{id}"}', '"/users/{id}", rows: 5}', 5, "many records in one call have one path"),
        ("method: PATCH", "method: PATC", 5, "Input should be"),
        ("    update:", "    updat:", 5, "'updat' is not known here"),
        ("objects:", "status: [{http: 9xx, verdict: ok}]\nobjects:", 2, "an HTTP status is"),
        ("objects:", "status: [{http: 200, at: /x, verdict: ok}]\nobjects:", 2, "'at' and 'equals' go together"),
        ("objects:", "signing_secret: not base64\nobjects:", 2, "is no signing secret"),
        ("objects:", 'headers: {x: "a\\nb"}\nobjects:', 2, "holds a line break"),
        ("objects:", "auth: {type: bearer, tokn: x}\nobjects:", 2, "'tokn' is not known here"),
        (
            "objects:\n",
            "objects:\n  orgs: {upsert: {method: PUT, path: /o}, look_up: {path: /o, by: [a]}}\n",
            2,
            "declare another destination",
        ),
    ],
)
def test_a_description_that_can_not_work_is_refused_with_its_line(
    tmp_path: Path, old: str, new: str, line: int, message: str
) -> None:
    path = tmp_path / "connections.yml"
    path.write_text(VALID)
    assert parse(read_yaml(path), Options).objects["users"].uses_id
    assert old in VALID
    path.write_text(VALID.replace(old, new, 1))
    with pytest.raises(ConfigError) as refused:
        parse(read_yaml(path), Options)
    assert message in str(refused.value)
    assert f"{path}:{line}: " in str(refused.value), str(refused.value)
    assert "not base64" not in str(refused.value)


def test_scopes_are_said_beside_those_that_the_token_has() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.host == "id.example":
            return httpx.Response(200, json={"access_token": "t0ken", "scope": "users.read"})
        return httpx.Response(200)

    auth = {
        "type": "oauth_client_credentials",
        "token_url": "https://id.example/t",
        "client_id": "c",
        "client_secret": "s3cret",
        "scopes": ["users.read", "users.write"],
    }
    api = Api(answer, auth=auth, check={"path": "/me"})

    async def main() -> tuple[str, list[str]]:
        async with api.destination as opened:
            return await opened.check(), await opened.probe("users", "email")

    said, missing = run_virtual(main())
    assert said == "answered 200; scopes asked for: users.read users.write; the token has: users.read"
    assert missing == ["the token lacks the scope users.write"]

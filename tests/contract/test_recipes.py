"""docs/guides/recipes.md: each recipe is read as a user's file is, and what it sends and makes of answers is held
against the shapes that the vendors document."""

from __future__ import annotations

import json
import os
import re
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from revetl.destinations.http import Options, connect
from revetl.documents import parse
from revetl.model import Change, Operation, Outcome, Scalar
from revetl.project.connections import read_connections
from revetl.testing.clocks import VirtualClock
from revetl.testing.virtual_time import run_virtual
from tests.support.published_api import Exchange, PublishedApi

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "guides" / "recipes.md"
SPECS = Path(os.environ.get("REVETL_SPECS_DIR", ROOT.parent / "shared" / "specs")) / "zendesk"
RECIPES: dict[str, str] = dict(re.findall(r'^```yaml recipe="(\w+)"\n(.*?)^```', PAGE.read_text("utf-8"), re.M | re.S))
SECRET = "a-word-of-the-test"
ACCEPTED, OK, REJECTED = "accepted", "ok", "rejected"


@dataclass(frozen=True)
class Call:
    """A request as the vendor documents it, and its answer."""

    request: str
    sent: Any = None
    status: int = 200
    answer: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Write:
    """`fields` of each record by its key; `id` of those that are there already. `outcomes`: (status, id or code)."""

    op: Operation
    fields: Mapping[str, Mapping[str, Scalar]]
    outcomes: list[tuple[str, str | None]]
    calls: list[Call]
    ids: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Recipe:
    object: str
    match_on: str | None
    auth: Mapping[str, str]
    steps: list[Write]
    looked_up: tuple[list[Scalar], list[Call], dict[str, str]] | None = None
    read_back: tuple[list[str], list[str], list[Call], dict[str, Any]] | None = None


def basic(user: str, password: str = SECRET) -> dict[str, str]:
    return {"authorization": "Basic " + b64encode(f"{user}:{password}".encode()).decode()}


BEARER = {"authorization": f"Bearer {SECRET}"}
KLAVIYO = {"authorization": f"Klaviyo-API-Key {SECRET}", "revision": "2026-07-15"}
INTERCOM = {**BEARER, "intercom-version": "2.16"}
CREATE, UPDATE, DELETE = Operation.CREATE, Operation.UPDATE, Operation.DELETE
JOB = "/api/profile-bulk-import-jobs"


def klaviyo_job(status: str) -> Any:
    return {"data": {"type": "profile-bulk-import-job", "id": "J1", "attributes": {"status": status}}}


def people(*ids: str, **attributes: Any) -> list[dict[str, Any]]:
    person = {"type": "person", "action": "identify"}
    return [{**person, "identifiers": {"id": id_}, "attributes": attributes} for id_ in ids]


EXPECTED: dict[str, Recipe] = {
    "customerio": Recipe(
        "people",
        None,
        basic(SECRET),
        [
            Write(
                CREATE,
                {"u1": {"attributes.plan": "pro"}, "u2": {"attributes.plan": "pro"}},
                [(ACCEPTED, None), (REJECTED, "invalid")],
                [
                    Call(
                        "POST /api/v2/batch",
                        {"batch": people("u1", "u2", plan="pro")},
                        207,
                        {"errors": [{"batch_index": 1, "reason": "invalid", "field": "id", "message": "bad"}]},
                    )
                ],
            ),
            Write(
                UPDATE,
                {"u1": {"attributes.plan": None}},
                [(ACCEPTED, "u1")],
                [Call("POST /api/v2/batch", {"batch": people("u1", plan=None)}, 200, {})],
            ),
            Write(DELETE, {"u+1@x": {}}, [(OK, "u+1@x")], [Call("DELETE /api/v1/customers/u%2B1%40x", None, 200, {})]),
        ],
    ),
    "klaviyo": Recipe(
        "profiles",
        "attributes.external_id",
        KLAVIYO,
        [
            Write(
                CREATE,
                {"k1": {"attributes.external_id": "e1", "attributes.properties.plan": "pro"}},
                [(OK, "01AB")],
                [
                    Call(
                        "POST /api/profile-import",
                        {
                            "data": {
                                "type": "profile",
                                "attributes": {"external_id": "e1", "properties": {"plan": "pro"}},
                            }
                        },
                        201,
                        {"data": {"type": "profile", "id": "01AB", "attributes": {}}},
                    )
                ],
            ),
            Write(
                UPDATE,
                {"k1": {"attributes.first_name": "Ann"}},
                [(OK, "01AB")],
                [
                    Call(
                        "PATCH /api/profiles/01AB",
                        {"data": {"type": "profile", "id": "01AB", "attributes": {"first_name": "Ann"}}},
                        200,
                        {"data": {"type": "profile", "id": "01AB"}},
                    )
                ],
                {"k1": "01AB"},
            ),
            Write(
                CREATE,
                {"k2": {"attributes.external_id": "e2"}},
                [(REJECTED, "409")],
                [
                    Call(
                        "POST /api/profile-import",
                        {"data": {"type": "profile", "attributes": {"external_id": "e2"}}},
                        409,
                        {"errors": [{"code": "duplicate_profile", "meta": {"duplicate_profile_id": "01CD"}}]},
                    )
                ],
            ),
        ],
        read_back=(
            ["01AB"],
            ["attributes.first_name"],
            [
                Call(
                    "GET /api/profiles/01AB",
                    None,
                    200,
                    {"data": {"type": "profile", "id": "01AB", "attributes": {"first_name": "Ann"}}},
                )
            ],
            {"01AB": {"attributes.first_name": "Ann"}},
        ),
    ),
    "klaviyo_jobs": Recipe(
        "profiles",
        "attributes.external_id",
        KLAVIYO,
        [
            Write(
                CREATE,
                {"k1": {"attributes.external_id": "e1"}, "k2": {"attributes.external_id": "e2"}},
                [(OK, None), (REJECTED, "invalid")],
                [
                    Call(
                        f"POST {JOB}",
                        {
                            "data": {
                                "type": "profile-bulk-import-job",
                                "attributes": {
                                    "profiles": {
                                        "data": [
                                            {"type": "profile", "attributes": {"external_id": "e1"}},
                                            {"type": "profile", "attributes": {"external_id": "e2"}},
                                        ]
                                    }
                                },
                            }
                        },
                        202,
                        klaviyo_job("queued"),
                    ),
                    Call(f"GET {JOB}/J1", None, 200, klaviyo_job("processing")),
                    Call(f"GET {JOB}/J1", None, 200, klaviyo_job("complete")),
                    Call(
                        f"GET {JOB}/J1/import-errors",
                        None,
                        200,
                        {
                            "data": [
                                {
                                    "attributes": {
                                        "code": "invalid",
                                        "detail": "no",
                                        "original_payload": {"external_id": "e2"},
                                    }
                                }
                            ],
                            "links": {"next": None},
                        },
                    ),
                ],
            )
        ],
    ),
    "braze": Recipe(
        "users",
        None,
        BEARER,
        [
            Write(
                CREATE,
                {"u1": {"plan": "pro"}, "u2": {"plan": None}},
                [(ACCEPTED, None), (REJECTED, "REJECTED")],
                [
                    Call(
                        "POST /users/track",
                        {"attributes": [{"plan": "pro", "external_id": "u1"}, {"plan": None, "external_id": "u2"}]},
                        201,
                        {
                            "message": "success",
                            "attributes_processed": 1,
                            "errors": [{"type": "said in prose", "input_array": "attributes", "index": 1}],
                        },
                    )
                ],
            ),
            Write(
                UPDATE,
                {"u1": {"plan": "free"}},
                [(ACCEPTED, "u1")],
                [
                    Call(
                        "POST /users/track",
                        {"attributes": [{"plan": "free", "external_id": "u1"}]},
                        201,
                        {"message": "success", "attributes_processed": 1},
                    )
                ],
            ),
        ],
    ),
    "iterable": Recipe(
        "users",
        None,
        {"api-key": SECRET},
        [
            Write(
                CREATE,
                {"a@x.io": {"orders": 3}, "b@x.io": {"orders": 1}, "c@x.io": {"orders": 0}},
                [(OK, None), (REJECTED, "INVALID"), (REJECTED, "REJECTED")],
                [
                    Call(
                        "POST /api/users/bulkUpdate",
                        {
                            "users": [
                                {"dataFields": {"orders": n}, "email": e}
                                for e, n in (("a@x.io", 3), ("b@x.io", 1), ("c@x.io", 0))
                            ]
                        },
                        200,
                        {
                            "successCount": 1,
                            "failCount": 2,
                            "failedUpdates": {
                                "invalidEmails": [],
                                "invalidDataEmails": ["b@x.io"],
                                "notFoundEmails": [],
                                "conflictEmails": [],
                                "forgottenEmails": ["c@x.io"],
                            },
                        },
                    )
                ],
            ),
            Write(DELETE, {"a@x.io": {}}, [(OK, "a@x.io")], [Call("DELETE /api/users/a%40x.io", None, 200, {})]),
        ],
    ),
    "intercom": Recipe(
        "contacts",
        "external_id",
        INTERCOM,
        [
            Write(
                CREATE,
                {"k1": {"external_id": "e1", "custom_attributes.plan": "pro"}},
                [(OK, "6f")],
                [
                    Call(
                        "POST /contacts",
                        {"role": "user", "external_id": "e1", "custom_attributes": {"plan": "pro"}},
                        200,
                        {"type": "contact", "id": "6f", "external_id": "e1"},
                    )
                ],
            ),
            Write(
                UPDATE,
                {"k1": {"name": None}},
                [(OK, "6f")],
                [Call("PUT /contacts/6f", {"role": "user", "name": None}, 200, {"type": "contact", "id": "6f"})],
                {"k1": "6f"},
            ),
            Write(
                CREATE,
                {"k2": {"external_id": "e2"}},
                [(REJECTED, "EXISTS")],
                [
                    Call(
                        "POST /contacts",
                        {"role": "user", "external_id": "e2"},
                        409,
                        {
                            "type": "error.list",
                            "errors": [{"code": "conflict", "message": "already exists with id=7a"}],
                        },
                    )
                ],
            ),
            Write(
                DELETE,
                {"k1": {}},
                [(OK, "6f")],
                [Call("POST /contacts/6f/archive", None, 200, {"id": "6f", "archived": True})],
                {"k1": "6f"},
            ),
        ],
        looked_up=(
            ["e1", "e9"],
            [
                Call("GET /contacts/find_by_external_id/e1", None, 200, {"id": "6f", "external_id": "e1"}),
                Call("GET /contacts/find_by_external_id/e9", None, 404, {"type": "error.list", "errors": []}),
            ],
            {"e1": "6f"},
        ),
        read_back=(
            ["6f"],
            ["custom_attributes.plan"],
            [Call("GET /contacts/6f", None, 200, {"id": "6f", "custom_attributes": {"plan": "pro"}})],
            {"6f": {"custom_attributes.plan": "pro"}},
        ),
    ),
    "intercom_companies": Recipe(
        "companies",
        None,
        INTERCOM,
        [
            Write(
                CREATE,
                {"c1": {"name": "Acme", "custom_attributes.tier": 2}},
                [(OK, "5e")],
                [
                    Call(
                        "POST /companies",
                        {"company_id": "c1", "name": "Acme", "custom_attributes": {"tier": 2}},
                        200,
                        {"type": "company", "id": "5e", "company_id": "c1"},
                    )
                ],
            )
        ],
    ),
    "zendesk": Recipe(
        "users",
        "external_id",
        basic(f"{SECRET}/token"),
        [
            Write(
                CREATE,
                {"k1": {"external_id": "e1", "name": "Ann", "user_fields.plan": "pro"}},
                [(OK, "35")],
                [
                    Call(
                        "POST /api/v2/users/create_or_update",
                        {
                            "user": {
                                "skip_verify_email": True,
                                "external_id": "e1",
                                "name": "Ann",
                                "user_fields": {"plan": "pro"},
                            }
                        },
                        201,
                        {"user": {"id": 35, "external_id": "e1", "name": "Ann"}},
                    )
                ],
            ),
            Write(
                UPDATE,
                {"k1": {"name": "Anna"}},
                [(OK, "35")],
                [
                    Call(
                        "PUT /api/v2/users/35",
                        {"user": {"skip_verify_email": True, "name": "Anna"}},
                        200,
                        {"user": {"id": 35, "name": "Anna"}},
                    )
                ],
                {"k1": "35"},
            ),
            Write(
                UPDATE,
                {"k1": {"name": ""}},
                [(REJECTED, "422")],
                [
                    Call(
                        "PUT /api/v2/users/35",
                        {"user": {"skip_verify_email": True, "name": ""}},
                        422,
                        {"error": "RecordInvalid", "description": "Record validation errors", "details": {}},
                    )
                ],
                {"k1": "35"},
            ),
            Write(
                DELETE,
                {"k1": {}},
                [(OK, "35")],
                [Call("DELETE /api/v2/users/35", None, 200, {"user": {"id": 35, "name": "Anna", "active": False}})],
                {"k1": "35"},
            ),
        ],
        looked_up=(
            ["e1", "e9"],
            [
                Call(
                    "GET /api/v2/users/show_many?external_ids=e1%2Ce9",
                    None,
                    200,
                    {"users": [{"id": 35, "external_id": "e1", "name": "Ann"}], "count": 1},
                )
            ],
            {"e1": "35"},
        ),
        read_back=(
            ["35", "36"],
            ["user_fields.plan"],
            [
                Call(
                    "GET /api/v2/users/show_many?ids=35%2C36",
                    None,
                    200,
                    {"users": [{"id": 35, "name": "Ann", "user_fields": {"plan": "pro"}}]},
                )
            ],
            {"35": {"user_fields.plan": "pro"}},
        ),
    ),
    "airtable": Recipe(
        "Customers",
        "customer_id",
        BEARER,
        [
            Write(
                CREATE,
                {"c1": {"customer_id": "c1", "Plan": "pro"}, "c2": {"customer_id": "c2", "Plan": None}},
                [(OK, "rec1"), (OK, "rec2")],
                [
                    Call(
                        "PATCH /v0/appEXAMPLE/Customers",
                        {
                            "performUpsert": {"fieldsToMergeOn": ["customer_id"]},
                            "records": [
                                {"fields": {"customer_id": "c1", "Plan": "pro"}},
                                {"fields": {"customer_id": "c2", "Plan": None}},
                            ],
                        },
                        200,
                        {"records": [{"id": "rec1", "fields": {}}, {"id": "rec2", "fields": {}}], "createdRecords": []},
                    )
                ],
            ),
            Write(
                UPDATE,
                {"c1": {"Plan": "free"}},
                [(OK, "rec1")],
                [
                    Call(
                        "PATCH /v0/appEXAMPLE/Customers",
                        {"records": [{"id": "rec1", "fields": {"Plan": "free"}}]},
                        200,
                        {"records": [{"id": "rec1", "fields": {"Plan": "free"}}]},
                    )
                ],
                {"c1": "rec1"},
            ),
        ],
        read_back=(
            ["rec1"],
            ["Plan", "Notes"],
            [Call("GET /v0/appEXAMPLE/Customers/rec1", None, 200, {"id": "rec1", "fields": {"Plan": "free"}})],
            {"rec1": {"Plan": "free", "Notes": None}},
        ),
    ),
    "mailchimp": Recipe(
        "members",
        "hash",
        basic("anystring"),
        [
            Write(
                CREATE,
                {"k1": {"hash": "5d41", "email_address": "a@x.io", "merge_fields.FNAME": "Ann"}},
                [(OK, "5d41")],
                [
                    Call(
                        "PUT /3.0/lists/EXAMPLE/members/5d41",
                        {
                            "status_if_new": "subscribed",
                            "email_address": "a@x.io",
                            "merge_fields": {"FNAME": "Ann"},
                        },
                        200,
                        {"id": "5d41", "email_address": "a@x.io", "status": "subscribed"},
                    )
                ],
            ),
            Write(
                CREATE,
                {"k2": {"hash": "5d42", "email_address": "b@x.io"}},
                [(REJECTED, "400")],
                [
                    Call(
                        "PUT /3.0/lists/EXAMPLE/members/5d42",
                        {"status_if_new": "subscribed", "email_address": "b@x.io"},
                        400,
                        {"title": "Member In Compliance State", "status": 400, "detail": "b@x.io is unsubscribed"},
                    )
                ],
            ),
            Write(
                DELETE,
                {"k1": {"hash": "5d41"}},
                [(OK, "5d41")],
                [Call("DELETE /3.0/lists/EXAMPLE/members/5d41", None, 204)],
                {"k1": "5d41"},
            ),
        ],
        read_back=(
            ["5d41"],
            ["merge_fields.FNAME"],
            [
                Call(
                    "GET /3.0/lists/EXAMPLE/members/5d41",
                    None,
                    200,
                    {"id": "5d41", "merge_fields": {"FNAME": "Ann"}, "status": "subscribed"},
                )
            ],
            {"5d41": {"merge_fields.FNAME": "Ann"}},
        ),
    ),
    "mailchimp_many": Recipe(
        "members",
        None,
        basic("anystring"),
        [
            Write(
                CREATE,
                {e: {"status": "subscribed"} for e in ("a@x.io", "b@x.io", "c@x.io")},
                [(OK, None), (OK, None), (REJECTED, "ERROR_GENERIC")],
                [
                    Call(
                        "POST /3.0/lists/EXAMPLE",
                        {
                            "update_existing": True,
                            "members": [
                                {"status": "subscribed", "email_address": e} for e in ("a@x.io", "b@x.io", "c@x.io")
                            ],
                        },
                        200,
                        {
                            "new_members": [{"email_address": "A@x.io", "id": "5d41"}],
                            "updated_members": [{"email_address": "b@x.io", "id": "5d42"}],
                            "errors": [{"email_address": "c@x.io", "error": "no", "error_code": "ERROR_GENERIC"}],
                            "error_count": 1,
                        },
                    )
                ],
            )
        ],
    ),
}


@dataclass
class Vendor:
    """Answers what is expected, in order. AssertionError for another request."""

    recipe: Recipe
    base_url: str
    calls: list[Call] = field(default_factory=list)
    seen: list[tuple[httpx.Request, Call]] = field(default_factory=list)

    def answer(self, request: httpx.Request) -> httpx.Response:
        call = self.calls.pop(0)
        assert f"{request.method} {request.url.raw_path.decode()}" == call.request
        assert f"{request.url.scheme}://{request.url.host}" == f"https://{httpx.URL(self.base_url).host}"
        assert {name: request.headers.get(name) for name in self.recipe.auth} == dict(self.recipe.auth)
        if call.sent is None:
            assert not request.content
        else:
            assert request.headers["content-type"] == "application/json"
            assert json.loads(request.content) == call.sent
        self.seen.append((request, call))
        body = b"" if call.answer is None else json.dumps(call.answer).encode()
        return httpx.Response(call.status, content=body, headers={"content-type": "application/json"})


def read_recipe(name: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Options:
    """As a command reads a user's file."""
    for variable in re.findall(r"env_var\('(\w+)'\)", RECIPES[name]):
        monkeypatch.setenv(variable, SECRET)
    path = folder / "connections.yml"
    path.write_text(RECIPES[name], "utf-8")
    connections = read_connections(path, "dev")
    assert connections.destination_type(name) == "http"
    return parse(connections.output("destinations", name), Options)


def play(name: str, options: Options) -> list[tuple[httpx.Request, Call]]:
    recipe = EXPECTED[name]
    vendor = Vendor(recipe, options.base_url)

    async def main() -> None:
        clock = VirtualClock()
        destination: Any = connect(name, options, clock, httpx.MockTransport(vendor.answer))
        async with destination as opened:
            await opened.describe(recipe.object)
            for step in recipe.steps:
                vendor.calls += step.calls
                outcomes = await written(opened, recipe, step)
                assert [_said(o) for o in outcomes] == step.outcomes
                assert vendor.calls == []
            if recipe.looked_up is not None:
                values, calls, found = recipe.looked_up
                vendor.calls += calls
                matches = await opened.look_up(recipe.object, recipe.match_on, values, ["name"])
                assert {form: match.destination_id for form, match in matches.items()} == found
            if recipe.read_back is not None:
                ids, fields, calls, stands = recipe.read_back
                vendor.calls += calls
                matches = await opened.read_back(recipe.object, ids, fields)
                assert {id_: dict(match.fields) for id_, match in matches.items()} == stands
        assert vendor.calls == []

    run_virtual(main())
    return vendor.seen


async def written(opened: Any, recipe: Recipe, step: Write) -> list[Outcome]:
    changes = []
    for n, (key, fields) in enumerate(step.fields.items()):
        match = fields.get(recipe.match_on) if recipe.match_on else None
        id_ = step.ids.get(
            key, None if step.op is CREATE else key if not step.ids and recipe.match_on is None else None
        )
        sent = {} if step.op is DELETE else dict(fields)
        changes.append(Change(n, key, step.op, id_, sent, match, record=dict(fields)))
    if hasattr(opened, "submit"):
        job = await opened.submit(recipe.object, recipe.match_on, changes)
        outcomes: list[Outcome] | None = None
        while outcomes is None:
            outcomes = await opened.follow(recipe.object, job, changes)
    else:
        outcomes = await opened.write(recipe.object, recipe.match_on, changes)
    return sorted(outcomes, key=lambda o: o.ordinal)


def _said(outcome: Outcome) -> tuple[str, str | None]:
    is_refused = outcome.status.value == REJECTED
    return outcome.status.value, outcome.error_code if is_refused else outcome.destination_id


def resolvable(document: Any) -> Any:
    """The description is a piece of a larger one: what it refers to and does not hold may be anything."""
    held = document.get("components", {})

    def walk(value: Any) -> Any:
        if isinstance(value, list):
            return [kept for one in value if (kept := walk(one)) is not None]
        if not isinstance(value, dict):
            return value
        if isinstance(reference := value.get("$ref"), str):
            _, _, kind, name = reference.split("/")
            return value if name in held.get(kind, {}) else (None if kind == "parameters" else {})
        return {key: walk(one) for key, one in value.items()}

    return walk(document)


def test_every_recipe_is_played() -> None:
    assert set(RECIPES) == set(EXPECTED)


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_sends_what_the_vendor_documents(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert play(name, read_recipe(name, tmp_path, monkeypatch))


def test_zendesks_requests_are_described(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Their methods, paths and parameters: what bodies hold does not stand in this piece of the description."""
    source = SPECS / "users-openapi-original.yml"
    if not source.is_file():
        pytest.skip(f"Zendesk's description is not here: {source.name}, in the folder that REVETL_SPECS_DIR names")
    (tmp_path / "specs").mkdir()
    described = resolvable(yaml.load(source.read_text("utf-8"), yaml.CSafeLoader))
    (tmp_path / "specs" / "users.json").write_text(json.dumps(described, default=str), "utf-8")
    api = PublishedApi(tmp_path / "specs")
    found = set()
    for request, call in play("zendesk", read_recipe("zendesk", tmp_path, monkeypatch)):
        query = tuple(request.url.params.multi_items())
        answered = json.dumps(call.answer)
        sent = request.content.decode()
        exchange = Exchange(request.method, request.url.path, query, sent, call.status, answered)
        found |= {str(d) for d in api.differences(exchange) if d.side == "request"}
    assert found == set()

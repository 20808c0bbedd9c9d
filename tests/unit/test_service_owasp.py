"""OWASP's ten risks of APIs (2023 edition), each by its number, against `/v1` and the page; then what a page adds."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import timedelta

import httpx
import pytest

from revetl.accounts.roles import Right, Role
from revetl.accounts.tokens import TokenTable
from revetl.service.api.routes import ROUTES, ApiRoute
from revetl.service.operations.kinds import KINDS, OperationKind
from revetl.service.operations.running import FinishedCommand, _environment
from revetl.service.page.sessions import COOKIE
from revetl.warehouse.base import Warehouse
from tests.support.service_world import BASE, NOW, RUN, SYNC, ServiceWorld, emptied, fill, state_in_memory

SYNC_RUNS = f"/v1/syncs/{SYNC}/runs"
BODIES = {
    "make_plan": {"syncs": [SYNC]},
    "enrich_one": {"waterfall": "contact_profile", "inputs": {"email": "a@b.example"}, "max_spend_usd": "1"},
    "erase_person": {"key": "g1"},
}


@pytest.fixture(scope="module")
def state() -> Iterator[Warehouse]:
    warehouse = state_in_memory()
    fill(warehouse)
    yield warehouse
    warehouse.close()


@pytest.fixture
def world(state: Warehouse) -> ServiceWorld:
    return ServiceWorld(emptied(state))


def address(route: ApiRoute) -> str:
    names = {"run_id": RUN, "sync": SYNC, "plan": "none", "operation_id": "none", "key": "k00000001"}
    return re.sub(r"{(\w+)}", lambda m: names[m[1]], route.path)


async def send(client: httpx.AsyncClient, route: ApiRoute, headers: dict[str, str]) -> httpx.Response:
    body = BODIES.get(route.handler, {}) if route.body is not None else None
    return await client.request(route.method, address(route), json=body, headers=headers)


async def test_api1_an_object_is_reached_by_its_whole_name_and_by_nothing_like_it(world: ServiceWorld) -> None:
    """Broken object level authorization: within a project every viewer may read every object, so what is held to is
    that an id names one object: no pattern, no path, no part that fits by chance."""
    async with world.client(headers=world.headers("viewer")) as client:
        for name in ("%25", "2", "*", "..%2f..%2fetc%2fpasswd", "%00", "x'%20OR%20'1'='1", "-1"):
            for path in (f"/v1/runs/{name}", f"/v1/operations/{name}", f"/v1/plans/{name}"):
                assert (await client.get(path)).status_code == 404, path


async def test_api2_a_token_is_needed_and_one_that_is_over_is_none(world: ServiceWorld) -> None:
    """Broken authentication."""
    ended = world.token("old", Role.APPROVER, expires_at=world.clock.now() + timedelta(seconds=30))
    revoked = world.token("gone", Role.APPROVER)
    async with world.client() as client:
        assert (await client.get("/v1/runs", headers={"Authorization": f"Bearer {revoked}"})).status_code == 200
        TokenTable(world.warehouse).revoke("gone", world.clock.now())
        world.clock.passed += 60
        good = world.tokens["viewer"]
        for given in ("", "Bearer ", f"Basic {good}", f"Bearer {good}x", f"Bearer {ended}", f"Bearer {revoked}", good):
            answer = await client.get("/v1/runs", headers={"Authorization": given})
            assert (answer.status_code, answer.headers["content-type"]) == (401, "application/problem+json"), given
            assert answer.headers["www-authenticate"].startswith("Bearer")
        world.clock.passed += 600
        codes = [
            (await client.get("/v1/runs", headers={"Authorization": f"Bearer guess{i}"})).status_code for i in range(14)
        ]
        assert codes == [401] * 10 + [429] * 4  # nobody tries on
        assert (await client.get("/v1/runs", headers=world.headers("viewer"))).status_code == 200
    stored = str(world.rows("SELECT * FROM revetl.access_tokens"))
    assert not any(secret in stored for secret in world.tokens.values())


async def test_api3_only_named_fields_are_taken_and_shown(world: ServiceWorld) -> None:
    """Broken object property level authorization, mass assignment among it."""
    async with world.serving() as client:
        for extra in ({"asked_by": "somebody"}, {"status": "done"}, {"role": "approver"}):
            answer = await client.post(SYNC_RUNS, json=extra, headers=world.headers())
            assert (answer.status_code, answer.json()["errors"][0]["at"]) == (422, next(iter(extra)))
        done = (await client.post(SYNC_RUNS, json={}, headers=world.headers())).json()
        assert not {"idempotency_key", "request", "arguments", "worker"} & set(done)


async def test_api4_what_one_request_and_one_token_may_take_is_bounded(world: ServiceWorld) -> None:
    """Unrestricted resource consumption."""
    headers = world.headers("viewer") | {"Content-Type": "application/json"}
    async with world.client() as client:
        large = await client.post(SYNC_RUNS, content=b"[" * 70_000, headers=headers | world.headers())
        assert large.status_code == 413
        deep = await client.post(SYNC_RUNS, content=b"[" * 60_000, headers=headers | world.headers())
        assert deep.status_code in (400, 422)
        for query in ("limit=201", "limit=0", "limit=-1", "limit=x", "limit=5&limit=5"):
            assert (await client.get(f"/v1/runs?{query}", headers=headers)).status_code == 422, query
        assert (await client.get(f"/v1/runs?after={'a' * 3_000}", headers=headers)).status_code == 422
        long = await client.get(f"/v1/runs?after={'a' * 20_000}", headers=headers)
        assert (long.status_code, long.headers["content-type"]) == (414, "application/problem+json")
        world.clock.passed += 600
        codes = [(await client.get("/v1/plans", headers=headers)).status_code for _ in range(63)]
        assert codes[:60] == [200] * 60
        assert codes[-1] == 429


@pytest.mark.parametrize("role", list(Role))
async def test_api5_each_function_is_for_its_roles(world: ServiceWorld, role: Role) -> None:
    """Broken function level authorization: of every route by every role, and what is refused is written down."""
    may = {Role.VIEWER: {Right.READ}, Role.OPERATOR: {Right.READ, Right.ACT}, Role.APPROVER: set(Right)}[role]
    refused = "SELECT count(*) FROM revetl.audit_log WHERE outcome = 'refused'"
    before = world.warehouse.scalar(refused, int)
    denied = 0
    async with world.client() as client:
        for route in ROUTES:
            answer = await send(client, route, world.headers(role.value, wait=None))
            if route.right in may:
                assert answer.status_code not in (401, 403, 405), (route.handler, answer.text)
            else:
                denied += 1
                assert (answer.status_code, answer.json()["type"]) == (403, "urn:revetl:problem:not-allowed")
    assert world.warehouse.scalar(refused, int) == before + denied
    assert set(KINDS) == set(OperationKind)


async def test_api6_what_costs_or_can_not_be_undone_is_held_to_more_than_a_role(world: ServiceWorld) -> None:
    """Unrestricted access to sensitive business flows: money has a limit in each request, an erasure an approver, and
    where plans are approved nothing is sent around them."""
    world.approvals = 2
    try:
        async with world.client() as client:
            for path in (SYNC_RUNS, f"/v1/syncs/{SYNC}/retries"):
                answer = await client.post(path, json={}, headers=world.headers("approver"))
                assert answer.json()["type"] == "urn:revetl:problem:plan-needed"
            for spend in ("-1", "99999", "1e3", 5, None):
                body = BODIES["enrich_one"] | {"max_spend_usd": spend}
                answer = await client.post("/v1/enrichments", json=body, headers=world.headers())
                assert answer.status_code == 422, spend
    finally:
        world.approvals = 0
    assert KINDS[OperationKind.ERASE].right is Right.DECIDE


async def test_api7_nothing_that_is_sent_is_an_address_to_call_or_a_word_of_a_command(world: ServiceWorld) -> None:
    """Server side request forgery, and its kin here: what is asked becomes words of a process, so names are looked up
    among what is declared, and what people are called by goes in a file."""
    async with world.client() as client:
        for name in ("http:%2f%2f169.254.169.254", "--select", "tag:all", f"+{SYNC}", "*"):
            answer = await client.post(f"/v1/syncs/{name}/runs", json={}, headers=world.headers())
            assert answer.status_code == 404, name
        answer = await client.post("/v1/plans", json={"syncs": ["--full-refresh"]}, headers=world.headers())
        assert answer.status_code == 404
    retry = KINDS[OperationKind.RETRY].command({"sync": SYNC, "codes": ["--yes"]}, None)  # type: ignore[arg-type]  # no file
    assert retry == ["retry", "-s", SYNC, "--code=--yes"]


async def test_api8_every_answer_has_its_headers_and_no_failure_shows_the_inside(world: ServiceWorld) -> None:
    """Security misconfiguration."""
    async with world.client() as client:
        for path in ("/v1/runs", "/v1/openapi.json", "/", "/sign-in", "/v1/nothing", f"/v1/runs/{RUN}"):
            answer = await client.get(path)
            assert answer.headers["x-content-type-options"] == "nosniff", path
            assert answer.headers["cache-control"] == "no-store"
            assert "default-src 'none'" in answer.headers["content-security-policy"]
            assert "access-control-allow-origin" not in answer.headers
            assert not {"server", "x-powered-by"} & set(answer.headers)
        for content in (b"{", b"\xff\xfe", b'{"reason": "\\ud800"}', b"null", b"[]"):
            headers = world.headers() | {"Content-Type": "application/json"}
            answer = await client.post(SYNC_RUNS, content=content, headers=headers)
            assert answer.status_code in (400, 422), content
            assert not re.search(r"Traceback|File \"|pydantic|starlette", answer.text)
        odd = await client.get("/v1/runs", headers={"Host": "evil.example"})
        assert odd.status_code == 421
        assert (await client.delete("/v1/runs")).status_code == 405


async def test_api9_what_is_served_is_what_is_documented(world: ServiceWorld) -> None:
    """Improper inventory management."""
    async with world.client() as client:
        served = (await client.get("/v1/openapi.json")).json()["paths"]
    documented = {(method.upper(), path) for path, each in served.items() for method in each}
    assert documented == {(route.method, route.path) for route in ROUTES}
    paths = {getattr(route, "path", "") for route in world.app.routes}
    assert {path for path in paths if path.startswith("/v1/")} == {*served, "/v1/openapi.json"}


async def test_api10_what_a_command_or_a_vendor_says_is_text(world: ServiceWorld) -> None:
    """Unsafe consumption of APIs: what a destination answered is shown, escaped, and bounded."""
    hostile = "<script>alert(1)</script>\u202e" + "x" * 5_000
    world.process.does = lambda operation: FinishedCommand(3, output={"error": {"message": hostile}})
    try:
        async with world.serving() as client:
            found = (await client.post(SYNC_RUNS, json={}, headers=world.headers())).json()
            assert len(found["said"]) == 500
            page = await client.get(f"/operations/{found['operation_id']}")
    finally:
        world.process.does = world.process.ends_well
    assert "&lt;script&gt;" in page.text
    assert "<script" not in page.text
    assert "\u202e" not in page.text


def field(html: str, name: str) -> str:
    return re.findall(rf'name="{name}" value="([^"]*)"', html)[0]


async def sign_in(world: ServiceWorld, client: httpx.AsyncClient, role: str) -> httpx.Response:
    return await client.post("/sign-in", data={"token": world.tokens[role]}, headers={"Origin": BASE})


async def test_a_viewer_and_a_stranger_see_no_act_and_may_do_none(world: ServiceWorld) -> None:
    async with world.client() as client:
        assert "/acts/" not in (await client.get(f"/runs/{RUN}")).text
        assert (await client.post("/acts/run_sync", data={"sync": SYNC, "key": "k"})).status_code == 401
        answer = await sign_in(world, client, "viewer")
        cookie = answer.headers["set-cookie"]
        assert "HttpOnly" in cookie
        assert "SameSite=strict" in cookie
        page = (await client.get(f"/runs/{RUN}")).text
        assert "viewer-name" in page
        assert "/acts/" not in page
        csrf = field(page, "csrf")
        tried = await client.post("/acts/run_sync", data={"sync": SYNC, "key": "k", "csrf": csrf})
        assert tried.status_code == 403
        assert (await client.get("/audit")).status_code == 403
        assert (await client.get("/v1/runs")).status_code == 401  # a cookie is no token
    assert not world.process.ran


async def test_an_operator_plans_an_approver_agrees_and_it_is_sent_from_the_page(world: ServiceWorld) -> None:
    world.approvals = 1
    try:
        async with world.serving() as maker, world.client() as other:
            await sign_in(world, maker, "operator")
            await sign_in(world, other, "approver")
            plans = (await maker.get("/plans")).text
            form = {"csrf": field(plans, "csrf"), "key": field(plans, "key"), "syncs": SYNC, "reason": "monday"}
            made = await maker.post("/acts/make_plan", data=form)
            assert made.status_code == 303
            twice = await maker.post("/acts/make_plan", data=form)  # a double click
            assert twice.headers["location"] == made.headers["location"]
            for _ in range(500):
                shown = (await maker.get(made.headers["location"])).text
                if "/plans/sha-" in shown:
                    break
                await world.clock.sleep(0)
            plan = re.findall(r"/plans/(sha-[\w-]+)", shown)[0]
            assert "Apply" not in (await maker.get(f"/plans/{plan}")).text
            seen = (await other.get(f"/plans/{plan}")).text
            agreed = {"csrf": field(seen, "csrf"), "key": field(seen, "key"), "plan": plan, "reason": "fine"}
            assert (await other.post("/acts/approve_plan", data=agreed)).status_code == 303
            ready = (await maker.get(f"/plans/{plan}")).text
            assert "Apply: send exactly this" in ready
            send_it = {"csrf": field(ready, "csrf"), "key": field(ready, "key"), "plan": plan}
            assert (await maker.post("/acts/apply_plan", data=send_it)).status_code == 303
            for _ in range(500):
                if len(world.process.ran) == 2:
                    break
                await world.clock.sleep(0)
            log = (await other.get("/audit")).text
    finally:
        world.approvals = 0
    assert [operation.kind for operation, _ in world.process.ran] == [OperationKind.PLAN, OperationKind.APPLY]
    assert all(word in log for word in ("plan", "approve", "apply", "monday", "fine"))


async def test_a_form_of_another_site_or_session_does_nothing(world: ServiceWorld) -> None:
    async with world.client() as client:
        await sign_in(world, client, "operator")
        page = (await client.get(f"/runs/{RUN}")).text
        good = {"csrf": field(page, "csrf"), "key": "k1", "sync": SYNC}
        foreign = await client.post("/acts/run_sync", data=good, headers={"Origin": "https://evil.example"})
        assert foreign.status_code == 403
        for told in ({"Origin": "null"}, {"Origin": "null", "Sec-Fetch-Site": "cross-site"}):
            assert (await client.post("/acts/run_sync", data=good, headers=told)).status_code == 403
        ours = {"Origin": "null", "Sec-Fetch-Site": "same-origin"}  # as a browser does where no referrer is sent
        assert (await client.post("/acts/run_sync", data=good | {"key": "k0"}, headers=ours)).status_code == 303
        for changed in ({"csrf": ""}, {"csrf": "x" * 43}):
            assert (await client.post("/acts/run_sync", data=good | changed)).status_code == 403
        as_json = await client.post("/acts/run_sync", content=json.dumps(good), headers={"Content-Type": "text/plain"})
        assert as_json.status_code == 415
        assert (await client.post("/acts/erase_person", data=good)).status_code == 404
        out = await client.post("/sign-out", data={"csrf": good["csrf"]})
        assert out.status_code == 303
        client.cookies.set(COOKIE, "planted")
        assert (await client.post("/acts/run_sync", data=good)).status_code == 401


async def test_a_session_ends_with_its_token_and_with_time(world: ServiceWorld) -> None:
    world.tokens["brief"] = world.token("brief", Role.OPERATOR)
    world.clock.passed += 20
    async with world.client() as client:
        await sign_in(world, client, "brief")
        assert "brief" in (await client.get("/plans")).text
        TokenTable(world.warehouse).revoke("brief", NOW)
        world.clock.passed += 20
        assert "Sign in" in (await client.get("/plans")).text
        await sign_in(world, client, "operator")
        world.clock.passed += 3_601
        assert "Sign in" in (await client.get("/plans")).text


def test_whom_a_command_works_for_is_told_it(world: ServiceWorld) -> None:
    from revetl.service.operations.tables import ServiceOperation

    operation = ServiceOperation(
        operation_id="o1",
        kind=OperationKind.SYNC,
        subject=SYNC,
        asked_by="ada",
        reason="why",
        asked_at=NOW,
        idempotency_key="k",
        request="r",
    )
    told = _environment(operation)
    assert (told["REVETL_ON_BEHALF_OF"], told["REVETL_OPERATION"], told["REVETL_REASON"]) == ("ada", "o1", "why")

"""An HTTP API that answers with a job: how it is named, followed and ended, and who is never asked."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx
import pytest

from revetl.clock import LoopClock
from revetl.destinations.capabilities import RunsJobs
from revetl.destinations.http import Options, connect
from revetl.documents import parse, read_yaml
from revetl.errors import Ambiguous, ConfigError, Denied, Rejected, Unavailable
from revetl.model import Change, Operation, Outcome, Status
from revetl.state.runs import list_runs
from revetl.sync import SyncReport
from revetl.testing.virtual_time import run_virtual
from tests.support.sync_bench import Bench

RESULTS = {
    "at": "/results",
    "key": "/ref",
    "id": "/id",
    "verdicts": [{"at": "/ok", "equals": False, "verdict": "invalid"}],
}
BY_ID = {"id": "/job/id", "path": "/jobs/{job}", "state": "/state", "done": ["done", "part"], "failed": "failed"}
BY_ID = {**BY_ID, "unknown": "killed", "message": "/why", "results": RESULTS}


class JobsApi:
    """Takes jobs and answers after them what `answers` says, in turn; the last one for good."""

    def __init__(self, job: dict[str, Any], taken: httpx.Response | None = None, **of_object: Any) -> None:
        push = {"method": "POST", "path": "/users", "rows": 5, "at": "/users", "key_as": "ref", "job": job}
        users = {"upsert": push, **of_object}
        self.given: dict[str, Any] = {"base_url": "https://api.example/v1", "objects": {"users": users}}
        self._taken = taken or httpx.Response(202, json={"job": {"id": "a/1"}})
        self.answers: list[httpx.Response | Exception] = []
        self.posts: list[Any] = []
        self.asked: list[str] = []

    def open(self) -> Any:
        return connect("api", Options.model_validate(self.given), LoopClock(), httpx.MockTransport(self._answer))

    def follow(self, job_id: str = "a/1", changes: Sequence[Change] | None = None) -> list[Outcome] | None:
        async def main() -> list[Outcome] | None:
            async with self.open() as destination:
                found: list[Outcome] | None = await destination.follow("users", job_id, changes or creates(2))
                return found

        return run_virtual(main())

    def submit(self, *changes: Change) -> str:
        async def main() -> str:
            async with self.open() as destination:
                return str(await destination.submit("users", "email", changes or creates(2)))

        return run_virtual(main())

    def write(self) -> list[Outcome]:
        async def main() -> list[Outcome]:
            async with self.open() as destination:
                found: list[Outcome] = await destination.write("users", "email", creates(2))
                return found

        return run_virtual(main())

    def _answer(self, request: httpx.Request) -> httpx.Response:
        if request.method == "POST":
            self.posts.append(json.loads(request.content))
            return _copy(self._taken)
        self.asked.append(request.url.raw_path.decode())
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return _copy(answer)


def _copy(response: httpx.Response) -> httpx.Response:
    return httpx.Response(response.status_code, headers=response.headers, content=response.content)


def creates(count: int) -> list[Change]:
    emails = [f"p{n}@x.io" for n in range(count)]
    return [Change(n, f"k{n}", Operation.CREATE, None, {"email": e}, e) for n, e in enumerate(emails)]


def says(status: int = 200, **body: Any) -> httpx.Response:
    return httpx.Response(status, json=body)


def done(*results: dict[str, Any], state: str = "done") -> httpx.Response:
    return says(state=state, results=list(results))


def test_a_job_runs_until_a_declared_state_and_then_each_record_has_its_result() -> None:
    api = JobsApi(BY_ID)
    assert api.submit() == "a/1"
    assert api.posts == [{"users": [{"email": "p0@x.io", "ref": "k0"}, {"email": "p1@x.io", "ref": "k1"}]}]
    api.answers = [says(state="queued"), done({"ref": "k1", "id": 7}, {"ref": "k0", "ok": False})]
    assert api.follow() is None
    outcomes = api.follow()
    assert outcomes is not None
    assert [(o.ordinal, o.status, o.destination_id, o.in_row) for o in outcomes] == [
        (0, Status.REJECTED, None, True),
        (1, Status.OK, "7", False),
    ]
    assert api.asked == ["/v1/jobs/a%2F1", "/v1/jobs/a%2F1"], "an id stays in its segment"


def test_a_record_that_no_result_names_is_unknown_also_in_a_state_that_is_only_partly_done() -> None:
    api = JobsApi(BY_ID)
    api.answers = [done({"ref": "k1", "id": 7}, state="part")]
    assert [o.status for o in api.follow() or ()] == [Status.UNKNOWN, Status.OK]


@pytest.mark.parametrize(
    ("answer", "error", "says_"),
    [
        (says(state="failed", why="too many"), Rejected, "the job failed: too many"),
        (says(state="killed"), Ambiguous, "gave the job up"),
        (says(404), Ambiguous, "does not know the job any more"),
        (says(410), Ambiguous, "does not know the job any more"),
        (says(500), Unavailable, "500"),
        (says(403), Denied, "403"),
        (says(400, why="no"), Denied, "400"),
        (says(other="x"), Denied, "without a state at '/state'"),
        (httpx.ReadError("cut"), Unavailable, "GET /jobs/{job}"),
    ],
)
def test_what_an_answer_about_a_job_means(answer: Any, error: type[Exception], says_: str) -> None:
    api = JobsApi(BY_ID)
    api.answers = [answer]
    with pytest.raises(error, match=says_):
        api.follow()


@pytest.mark.parametrize(
    ("how", "taken"),
    [
        ({"location": True}, httpx.Response(202, headers={"location": "/v1/jobs/a%2F1?part=2"})),
        ({"location": True}, httpx.Response(202, headers={"location": "https://api.example/v1/jobs/a%2F1?part=2"})),
        ({"address": "/links/self"}, says(202, links={"self": "jobs/a%2F1?part=2"})),
    ],
)
def test_a_job_may_be_an_address_and_without_a_state_it_runs_while_202_is_answered(how: Any, taken: Any) -> None:
    api = JobsApi({**how, "results": RESULTS}, taken)
    job_id = api.submit()
    assert job_id == "/jobs/a%2F1?part=2", "it is all that another process needs"
    api.answers = [says(202), says(results=[{"ref": "k0", "id": 1}, {"ref": "k1", "id": 2}])]
    assert api.follow(job_id) is None
    assert [o.destination_id for o in api.follow(job_id) or ()] == ["1", "2"]
    assert set(api.asked) == {"/v1/jobs/a%2F1?part=2"}


@pytest.mark.parametrize(
    "address",
    ["https://evil.example/v1/jobs/1", "http://api.example/v1/jobs/1", "/other/1", "/v1/../x", "//evil.example/x"],
)
def test_credentials_never_follow_an_address_elsewhere(address: str) -> None:
    """The job was taken, so its records are in doubt. What stands in our state is checked like what the API says."""
    api = JobsApi({"location": True}, httpx.Response(202, headers={"location": address}))
    with pytest.raises(Ambiguous, match="lies elsewhere"):
        api.submit()
    for kept in ("/../../x", "@evil.example/x", ".evil.example/x"):
        with pytest.raises(Denied):
            api.follow(kept)
    assert api.asked == []


@pytest.mark.parametrize("body", [{}, {"job": {"id": None}}, {"job": {"id": "a\nb"}}, {"job": {"id": "x" * 1001}}])
def test_a_success_without_a_job_leaves_its_records_in_doubt(body: Any) -> None:
    with pytest.raises(Ambiguous, match="without a job"):
        JobsApi(BY_ID, httpx.Response(202, json=body)).submit()
    assert {o.status for o in JobsApi(BY_ID, httpx.Response(202, json=body)).write()} == {Status.UNKNOWN}


def test_results_may_stand_elsewhere_page_by_page_and_name_only_what_was_refused() -> None:
    job = {**BY_ID, "results_path": "/jobs/{job}/errors", "page": {"param": "p", "next": "/next"}, "unnamed": "ok"}
    api = JobsApi(job)
    first, last = says(results=[{"ref": "k0", "ok": False}], next="2"), says(results=[{"ref": "k2", "ok": False}])
    api.answers = [says(state="done"), first, last]
    outcomes = api.follow(changes=creates(3)) or []
    assert [o.status for o in outcomes] == [Status.REJECTED, Status.OK, Status.REJECTED]
    assert api.asked[1:] == ["/v1/jobs/a%2F1/errors", "/v1/jobs/a%2F1/errors?p=2"]


def test_a_page_of_refusals_that_can_not_be_read_is_asked_for_again() -> None:
    job = {**BY_ID, "results_path": "/jobs/{job}/errors", "page": {"param": "p", "next": "/next"}, "unnamed": "ok"}
    api = JobsApi(job)
    cut = httpx.Response(200, content=b'{"results": [{"re', headers={"content-type": "application/json"})
    api.answers = [says(state="done"), says(results=[{"ref": "k0", "ok": False}], next="2"), cut]
    with pytest.raises(Unavailable):
        api.follow(changes=creates(3))


@pytest.mark.parametrize("results", [{}, {"results": [{"ref": "someone else", "ok": False}]}])
def test_silence_is_no_success_where_there_is_no_list_or_a_refusal_is_of_nobody_that_is_known(results: Any) -> None:
    api = JobsApi({**BY_ID, "unnamed": "ok"})
    api.answers = [says(state="done", **results)]
    assert {o.status for o in api.follow() or ()} == {Status.UNKNOWN}


def test_a_record_without_a_form_costs_no_other_of_its_job() -> None:
    api = JobsApi({**BY_ID, "results": {"at": "/results", "by": "order", "id": "/id"}})
    changes = creates(3)
    changes[1] = changes[1]._replace(fields={"email": b"raw"})
    api.submit(*changes)
    assert [user["ref"] for user in api.posts[0]["users"]] == ["k0", "k2"]
    api.answers = [done({"id": 1}, {"id": 2})]
    outcomes = {o.ordinal: o for o in api.follow(changes=changes) or ()}
    assert {n: (o.status, o.destination_id) for n, o in outcomes.items()} == {
        0: (Status.OK, "1"),
        1: (Status.REJECTED, None),
        2: (Status.OK, "2"),
    }
    with pytest.raises(Rejected, match="email"):
        api.submit(changes[1])


@pytest.mark.parametrize(("count", "in_row"), [(1, True), (2, False)])
def test_of_a_job_that_is_refused_whole_only_a_record_that_is_alone_waits_for_its_row(count: int, in_row: bool) -> None:
    api = JobsApi(BY_ID, says(422, why="email is no address"))
    api.given["status"] = [{"http": 422, "verdict": "invalid"}]
    with pytest.raises(Rejected) as refused:
        api.submit(*creates(count))
    assert refused.value.in_row is in_row


def test_a_write_that_nobody_follows_waits_and_is_accepted_where_the_job_runs_on() -> None:
    api = JobsApi(BY_ID)
    api.answers = [says(state="runs"), says(state="runs"), done({"ref": "k0", "id": 1}, {"ref": "k1", "id": 2})]
    assert [o.destination_id for o in api.write()] == ["1", "2"]
    api.answers = [says(state="runs")]
    assert {o.status for o in api.write()} == {Status.ACCEPTED}
    api.answers = [says(403)]
    assert {o.status for o in api.write()} == {Status.UNKNOWN}, "what was handed over may be applied all the same"


def test_only_objects_with_jobs_go_by_them() -> None:
    plain = {"upsert": {"method": "PUT", "path": "/u/{email}"}}
    api = JobsApi(BY_ID)
    api.given["objects"] |= {"plain": plain}
    destination = api.open()
    assert isinstance(destination, RunsJobs)
    assert (destination.limits("users").jobs_from, destination.limits("users").job_rows) == (1, 5)
    assert destination.limits("plain").jobs_from > 10**12
    alone = connect("api", Options(base_url="https://api.example", objects={"plain": plain}), LoopClock())
    assert not isinstance(alone, RunsJobs)


def test_a_job_is_durable_before_it_is_asked_after_and_followed_by_the_next_run() -> None:
    bench, api = Bench(), JobsApi(BY_ID, id="/id")
    bench.source([(str(n), f"p{n}@x.io", f"P {n}", None) for n in range(3)])
    seen: list[list[tuple[Any, ...]]] = []

    def synced(stop_after_s: float | None = None) -> SyncReport:
        async def main() -> SyncReport:
            async with api.open() as destination:
                bench.destination = destination
                bench.sync_as(object="users", destination="api")
                stop = asyncio.Event()
                if stop_after_s is not None:
                    asyncio.get_running_loop().call_later(stop_after_s, stop.set)
                return await bench.start(stop_event=stop)

        return run_virtual(main())

    answer = api._answer

    def watched(request: httpx.Request) -> httpx.Response:
        if request.method == "GET":
            seen.append(bench.rows("SELECT job_id, ordinals, status FROM revetl.destination_jobs"))
        return answer(request)

    api._answer = watched  # type: ignore[method-assign]
    api.answers = [says(state="runs")]
    first = synced(stop_after_s=20)
    assert (first.status, first.jobs_running) == ("interrupted", 1)
    assert seen[0] == [("a/1", "0-2", "submitted")]
    api.answers = [done(*({"ref": str(n), "id": f"i{n}"} for n in range(3)))]
    second = synced()
    assert (second.status, second.followed, second.plan.changes) == ("done", {"ok": 3}, 0)
    assert len(api.posts) == 1, "nothing is sent again"
    assert len(list_runs(bench.warehouse)) == 2


VALID = """\
base_url: https://api.example
objects:
  users:
    upsert:
      method: POST
      path: /users
      job: {id: /id, path: "/jobs/{job}", state: /state, done: done}
"""


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("id: /id, ", "", "say by what a job is told"),
        ("id: /id, ", "id: /id, location: true, ", "say by what a job is told"),
        (', path: "/jobs/{job}"', "", "'id' and 'path' go together"),
        ("{job}", "{id}", "has {job} in it"),
        (", done: done", "", "'state' and 'done' go together"),
        ("done: done", "done: done, page: {param: p}", "'page' is of results at 'results_path'"),
        ("done: done", 'done: done, results_path: "/jobs/{job}/r"', "needs 'results'"),
        ("done: done}", "done: done}\n      results: {by: order}", "leave out 'results' beside it"),
        ("done: done}", "done: done, results: {key: /ref}}\n      rows: 5", "only where 'key_as' sends it"),
        ("done: done}", "done: done}\n    delete: {method: POST, path: /gone, body: none}", "or to none"),
    ],
)
def test_a_job_that_can_not_be_followed_is_refused_with_its_line(
    tmp_path: Path, old: str, new: str, message: str
) -> None:
    path = tmp_path / "connections.yml"
    path.write_text(VALID)
    assert parse(read_yaml(path), Options).objects["users"].runs_jobs
    assert old in VALID
    path.write_text(VALID.replace(old, new, 1))
    with pytest.raises(ConfigError) as refused:
        parse(read_yaml(path), Options)
    assert message in str(refused.value)
    assert f"{path}:" in str(refused.value)

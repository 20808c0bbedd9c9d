"""What a vendor may want of a request, and what an answer may be like: each kind against a vendor of a few lines."""

from __future__ import annotations

import json
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pytest

from revetl.clock import LoopClock
from revetl.errors import Ambiguous, ConfigError, Denied
from revetl.providers.base import Answer, Lookup, Reply
from revetl.providers.engine.about import is_about
from revetl.providers.grammar import AboutCheck, ProviderSpec, load_providers
from revetl.providers.registry import create_provider
from tests.support.virtual_time import run_virtual

KEY = "a-key-of-some-length"
FILE = """\
vendor: acme
base_url: https://api.acme.example
auth: {type: none}
status: [{http: 404, verdict: miss}, {http: 200, verdict: hit}]
endpoints:
  person:
    entity: person
    inputs: [email, first_name, last_name]
    sufficient: [[email]]
    request: {path: "/v1/people/{email}", query: {name: "{first_name} {last_name}"}}
    outputs: {email: {at: /email}}
    price: {per_hit_usd: 0.1}
"""
ADA = {"email": "ada@x.example", "first_name": "Ada", "last_name": "Lovelace"}
Answering = Callable[[httpx.Request], httpx.Response]


def specs(folder: Path, text: str = FILE) -> ProviderSpec:
    (folder / "acme.yml").write_text(text)
    return load_providers(folder, own_fields=())["acme.person"]


def problems(folder: Path, text: str) -> str:
    with pytest.raises(ConfigError) as caught:
        specs(folder, text)
    return "\n".join(str(p).replace(f"{folder}/", "") for p in caught.value.problems)


class Vendor(httpx.AsyncBaseTransport):
    def __init__(self, answer: Answering) -> None:
        self.answer = answer
        self.asked: list[httpx.Request] = []

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request)
        return self.answer(request)


def ask(
    spec: ProviderSpec, answer: Answering, inputs: dict[str, str] | None = None, **options: str
) -> tuple[Reply, list[httpx.Request], list[str]]:
    """The reply, the requests, and the jobs that were told of."""
    vendor, jobs = Vendor(answer), list[str]()

    async def submitted(request_id: str, _: object) -> None:
        jobs.append(request_id)

    async def main() -> Reply:
        async with create_provider(spec, options, LoopClock(), vendor) as provider:
            return (await provider.ask_many([Lookup(inputs or ADA, "r1")], submitted))[0]

    return run_virtual(main()), vendor.asked, jobs


def found(reply: Reply) -> Answer:
    assert isinstance(reply, Answer), reply
    return reply


def says(body: Any, status: int = 200) -> Answering:
    return lambda _: httpx.Response(status, json=body)


def test_nobody_needs_a_key_where_the_vendor_wants_none(tmp_path: Path) -> None:
    reply, (request,), _ = ask(specs(tmp_path), says({"email": "a@b.example"}))
    assert found(reply).values[0].value == "a@b.example"
    assert "authorization" not in request.headers


def test_an_input_in_the_path_is_one_step_of_it(tmp_path: Path) -> None:
    spec = specs(tmp_path)
    _, (request,), _ = ask(spec, says({}), {"email": "a/../b?c=é@x"})
    assert request.url.raw_path == b"/v1/people/a%2F..%2Fb%3Fc%3D%C3%A9%40x"
    reply, asked, _ = ask(spec, says({}), {"email": ".."})
    assert (found(reply).status, found(reply).error_code, found(reply).charged_usd) == ("error", "unusable_input", 0)
    assert asked == []


def test_a_message_shows_the_path_without_its_inputs(tmp_path: Path) -> None:
    def lost(_: httpx.Request) -> httpx.Response:
        raise httpx.ReadError("gone")

    reply, _, _ = ask(specs(tmp_path), lost)
    assert isinstance(reply, Ambiguous)
    assert "/v1/people/{email}" in str(reply)
    assert "ada" not in str(reply)


def test_headers_forms_and_put(tmp_path: Path) -> None:
    request = (
        'request: {method: PUT, path: /v1, headers: {X-Name: "{last_name}", X-Version: "2"}, form: {mail: "{email}"}}'
    )
    text = FILE.replace('request: {path: "/v1/people/{email}", query: {name: "{first_name} {last_name}"}}', request)
    spec = specs(tmp_path, text.replace("[email, first_name, last_name]", "[email, last_name]"))
    _, (sent,), _ = ask(spec, says({}), {"email": "a+b@x.example", "last_name": "Lovelace"})
    assert (sent.method, sent.content) == ("PUT", b"mail=a%2Bb%40x.example")
    assert (sent.headers["x-name"], sent.headers["x-version"]) == ("Lovelace", "2")
    assert sent.headers["content-type"] == "application/x-www-form-urlencoded"
    reply, asked, _ = ask(spec, says({}), {"email": "a@x.example", "last_name": "L\r\nX-Evil: 1"})
    assert (found(reply).error_code, asked) == ("unusable_input", [])


def test_client_credentials_are_exchanged_for_a_token_that_expires(tmp_path: Path) -> None:
    auth = "auth: {type: oauth_client_credentials, token_url: /oauth/token, scopes: [read]}"
    spec = specs(tmp_path, FILE.replace("auth: {type: none}", auth))
    tokens = iter(["first-token", "second-token"])

    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/oauth/token":
            assert request.content == b"grant_type=client_credentials&scope=read"
            return httpx.Response(200, json={"access_token": next(tokens), "expires_in": 3600})
        fresh = request.headers["authorization"] == "Bearer second-token"
        return httpx.Response(200, json={"email": "a@b.example"}) if fresh else httpx.Response(401, json={})

    reply, asked, _ = ask(spec, answer, client_id="us", client_secret="very-secret-text")
    assert found(reply).status == "hit"
    assert [r.url.path for r in asked].count("/oauth/token") == 2
    with pytest.raises(ConfigError, match="'client_secret' is missing"):
        ask(spec, answer, client_id="us")
    refused, _, _ = ask(spec, says({"error": "invalid_client"}, 401), client_id="us", client_secret="very-secret-text")
    assert isinstance(refused, Denied)
    assert "very-secret-text" not in str(refused)


LIST = """\
    outputs:
      email:
        pick: {from: [/emails, /0/emails], at: /type, equals: [professional, school]}
        at: /email
        confidence: {at: /grade, map: {A: 0.95, B: 0.8}}
"""


@pytest.mark.parametrize(
    ("emails", "value", "confidence"),
    [
        ([("p@gmail.example", "personal", "A"), ("p@x.example", "professional", "B")], "p@x.example", 0.8),
        ([("s@u.example", "school", "A"), ("p@x.example", "professional", "A")], "p@x.example", 0.95),
        ([("s@u.example", "school", "F")], "s@u.example", 0.0),
        ([("s@u.example", "school", None)], "s@u.example", None),
        ([("p@gmail.example", "personal", "A")], None, None),
        ([], None, None),
    ],
)
def test_an_item_is_chosen_by_what_it_says_and_graded(
    tmp_path: Path, emails: list[tuple[str, str, str | None]], value: str | None, confidence: float | None
) -> None:
    spec = specs(tmp_path, FILE.replace("    outputs: {email: {at: /email}}\n", LIST))
    items = [{"email": e, "type": t, "grade": g} for e, t, g in emails]
    for body in ({"emails": items}, [{"emails": items}]):
        answer = found(ask(spec, says(body))[0])
        assert [(v.value, v.confidence) for v in answer.values] == ([(value, confidence)] if value else [])


@pytest.mark.parametrize(
    ("compare", "asked", "said", "same"),
    [
        ("person", "Ada Lovelace", "LOVELACE, Ada", True),
        ("person", "Ada Lovelace", "Augusta Lovelace", False),
        ("person", "A. Lovelace", "Ada King Lovelace", True),
        ("person", "Ada Lovelace", "Ada Byron", False),
        ("person", "José Núñez", "Jose Nunez García", True),
        ("person", "Rob Smith", "Robert Smith", True),
        ("person", "李 小龙", "Bruce Lee", True),
        ("family_name", "Bob Smith", "Robert Smith", True),
        ("family_name", "Bob Smith", "Bob Jones", False),
        ("company", "Acme, Inc.", "ACME INCORPORATED", True),
        ("company", "Société Générale S.A.", "Societe Generale SA", True),
        ("company", "Acme", "Acme Holdings", False),
        ("company", "The Acme Co.", "acme", True),
        ("domain", "https://www.Acme.com/about", "acme.com", True),
        ("domain", "acme.com", "acme.co", False),
        ("text", " a@b.example", "A@B.example", True),
        ("text", "a", "b", False),
    ],
)
def test_names_are_compared_as_people_write_them(compare: Any, asked: str, said: str, same: bool) -> None:
    check = AboutCheck(asked="{name}", at=("/name",), compare=compare)
    assert is_about([check], {"name": asked}, {"name": said}) is same
    assert is_about([check], {}, {"name": said})
    assert is_about([check], {"name": asked}, {"name": None})


def test_an_answer_about_somebody_else_is_a_miss_that_was_paid_for(tmp_path: Path) -> None:
    about = '    about: [{asked: "{first_name} {last_name}", at: /name, compare: person}]\n'
    spec = specs(tmp_path, FILE + about)
    answer = found(ask(spec, says({"email": "c@d.example", "name": "Charles Babbage"}))[0])
    assert (answer.status, answer.error_code, answer.values) == ("miss", "about_somebody_else", ())
    assert answer.charged_usd == Decimal("0.1")
    assert answer.response == {"about_somebody_else": {"email": "c@d.example", "name": "Charles Babbage"}}
    assert found(ask(spec, says({"email": "c@d.example", "name": "Ada Lovelace"}))[0]).status == "hit"


JOB = """\
    status:
      - {http: 200, at: /state, equals: searching, verdict: submitted}
      - {http: 200, verdict: hit}
    job:
      id: /id
      poll:
        path: /v1/status
        query: {ids: "{job_id}"}
        every_s: 2
        status:
          - {http: 200, at: /0/state, equals: complete, verdict: hit}
          - {http: 200, at: /0/state, equals: failed, verdict: miss}
          - {http: 200, verdict: in_progress}
"""


def job_spec(folder: Path) -> ProviderSpec:
    return specs(folder, FILE.replace("{at: /email}", "{at: [/email, /0/email]}") + JOB)


@pytest.mark.parametrize(("end", "status"), [("complete", "hit"), ("failed", "miss")])
def test_a_job_of_one_question(tmp_path: Path, end: str, status: str) -> None:
    polls = iter(["searching", "searching", end])

    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path != "/v1/status":
            return httpx.Response(200, json={"id": 71, "state": "searching"})
        assert request.url.params["ids"] == "71"
        return httpx.Response(200, json=[{"state": next(polls), "email": "a@b.example"}])

    reply, asked, jobs = ask(job_spec(tmp_path), answer)
    assert (found(reply).status, jobs, len(asked)) == (status, ["71"], 4)
    assert found(reply).charged_usd == (Decimal("0.1") if status == "hit" else 0)


def test_a_vendor_with_jobs_may_answer_at_once(tmp_path: Path) -> None:
    reply, asked, jobs = ask(job_spec(tmp_path), says({"id": 71, "state": "complete", "email": "a@b.example"}))
    assert (found(reply).status, jobs, len(asked)) == ("hit", [], 1)


def test_a_later_run_fetches_the_result_of_one_question(tmp_path: Path) -> None:
    vendor = Vendor(says([{"state": "complete", "email": "a@b.example"}]))

    async def main(lookups: list[Lookup]) -> Any:
        async with create_provider(job_spec(tmp_path), {}, LoopClock(), vendor) as provider:
            return await provider.resume("71", lookups)

    (reply,) = run_virtual(main([Lookup({}, "r1")]))
    assert found(reply).values[0].value == "a@b.example"
    with pytest.raises(Ambiguous, match="stands for 2"):
        run_virtual(main([Lookup({}, "r1"), Lookup({}, "r2")]))


@pytest.mark.parametrize(
    ("right", "wrong", "told"),
    [
        ("auth: {type: none}", "auth: {type: oauth_client_credentials}", "acme.yml:3: auth: 'token_url' goes with"),
        ("auth: {type: none}", "auth: {type: none, scopes: [a]}", "acme.yml:3: auth: 'client_auth' and 'scopes'"),
        ('"/v1/people/{email}"', '"/v1/{first_name}"', "acme.yml:10: the path needs 'first_name', which email in"),
        ('"/v1/people/{email}"', '"/v1/{email}", form: {a: b}', "a GET has no 'form'"),
        ('"/v1/people/{email}"', '"/v1/{email}", headers: {Authorization: a}', "credentials go into 'auth'"),
        ('"/v1/people/{email}"', '"/v1/{email}", headers: {"X: y": a}', "acme.yml:10: "),
        ("{at: /email}", "{at: /email, confidence: {at: /g, scale: 2, map: {A: 1}}}", "a grade has 'map'"),
        ("{at: /email}", "{at: /email, confidence: {at: /g, map: {A: 2}}}", "acme.yml:11: "),
        ("price:", "about: [{asked: '{nam}', at: /n, compare: person}]\n    price:", "'nam' is not an input"),
        ("price:", "about: [{asked: Ada, at: /n, compare: person}]\n    price:", "a template with an input"),
        ("price:", "status: [{http: 200, verdict: submitted}]\n    price:", "'submitted' goes with 'job'"),
    ],
)
def test_a_mistake_is_told_at_its_line(tmp_path: Path, right: str, wrong: str, told: str) -> None:
    assert right in FILE
    assert told in problems(tmp_path, FILE.replace(right, wrong, 1))


def test_a_callback_needs_a_key_that_signs_it(tmp_path: Path) -> None:
    callback = "      callback: {at: /url, id: /id, signature: {header: X-Sig, algorithm: hmac-sha256}}\n"
    assert "signed under the api_key, which this vendor's auth has not" in problems(tmp_path, FILE + JOB + callback)


def test_the_json_schema_knows_all_of_it() -> None:
    schema = json.dumps(ProviderSpec.model_json_schema())
    assert all(word in schema for word in ("token_url", "form", "pick", "compare", "submitted", "PUT"))

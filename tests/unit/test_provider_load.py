"""Mistakes in provider files come out all at once, each at its line, with the nearest valid name."""

from __future__ import annotations

import re
from decimal import Decimal
from pathlib import Path

import pytest

from revetl.errors import ConfigError
from revetl.providers.grammar import load_providers

GOOD = """\
vendor: acme
base_url: https://api.acme.example
auth: {type: header, name: x-key}
status:
  - {http: 200, verdict: hit}
  - {http: 404, verdict: miss}
endpoints:
  person:
    entity: person
    inputs: [email, first_name]
    sufficient: [[email]]
    request:
      path: /v1/person
      query: {email: "{email}", first: "{first_name}"}
    outputs:
      phone: {at: /phone}
      job_title: {at: /title}
    price: {per_call_usd: 0.01, per_hit_usd: 0.1, groups: [{fields: [phone], usd: 0.5}]}
    ttl: {hit_days: 100, miss_days: 7, fields: {phone: 30}}
"""


def write(folder: Path, text: str, name: str = "acme.yml") -> Path:
    (folder / name).write_text(text)
    return folder


def problems(folder: Path) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load_providers(folder, own_fields=())
    return [str(p) for p in caught.value.problems]


def test_a_spec_says_what_the_waterfall_needs(tmp_path: Path) -> None:
    spec = load_providers(write(tmp_path, GOOD))["acme.person"]
    assert (spec.vendor, spec.kind, spec.entity) == ("acme", "finder", "person")
    assert spec.fields == ("phone", "job_title")
    assert (spec.price_per_call, spec.price_per_hit, spec.greatest_usd) == (
        Decimal("0.01"),
        Decimal("0.1"),
        Decimal("0.61"),
    )
    assert (spec.ttl_hit_days("phone"), spec.ttl_hit_days("job_title"), spec.ttl_miss_days) == (30, 100, 7)
    assert spec.can_ask({"email": "a@b.example"})
    assert not spec.can_ask({"email": "", "first_name": "Ada"})
    assert spec.relevant({"email": "a@b.example", "first_name": None, "city": "Rome"}) == {"email": "a@b.example"}


def test_a_folder_that_is_not_there_holds_no_providers(tmp_path: Path) -> None:
    assert load_providers(tmp_path / "none") == {}


@pytest.mark.parametrize(
    ("wrong", "right", "line", "says"),
    [
        ("vendr: acme", "vendor: acme", 1, "'vendr' is not known here"),
        ("sufficent: [[email]]", "sufficient: [[email]]", 11, "Did you mean 'sufficient'?"),
        ("sufficient: [[emial]]", "sufficient: [[email]]", 11, "Did you mean 'email'?"),
        ('email: "{emal}"', 'email: "{email}"', 14, "'emal' is not an input of this endpoint"),
        ("jobtitle: {at: /title}", "job_title: {at: /title}", 17, "Did you mean 'job_title'?"),
        ("{at: title}", "{at: /title}", 17, "starts with '/'"),
        ("fields: {fone: 30}", "fields: {phone: 30}", 19, "'fone' is not an output of this endpoint"),
        ("verdict: hitt}", "verdict: hit}", 5, "'hit'"),
        ("{http: 20, verdict: miss}", "{http: 404, verdict: miss}", 6, "an HTTP status"),
        ("verdict: miss, attempts: 3}", "verdict: miss}", 6, "in_progress only"),
        ("verdict: miss}", "verdict: hit}", 8, "no row of the status table says 'hit'"),
        ("per_call_usd: -1", "per_call_usd: 0.01", 18, "greater than or equal to 0"),
        ("per_hit_usd: 0.1, credits: {at: /n, usd: 9}", "per_hit_usd: 0.1", 18, "budgets reserve"),
        ("per_hit_usd: 0.1, free_when: {at: /free}", "per_hit_usd: 0.1", 18, "equals"),
        ("path: /v1/{email", "path: /v1/person", 13, "pattern"),
        ("path: /v1/{first_name}", "path: /v1/person", 13, "which email in 'sufficient' does not hold"),
        ("inputs: [email, first_name, city]", "inputs: [email, first_name]", 10, "never sends the input 'city'"),
    ],
)
def test_a_mistake_has_its_line_and_what_would_be_right(
    tmp_path: Path, wrong: str, right: str, line: int, says: str
) -> None:
    assert right in GOOD
    found = problems(write(tmp_path, GOOD.replace(right, wrong, 1)))
    assert any(re.match(rf".*acme\.yml:{line}: ", p) and says in p for p in found), found


def test_a_verifier_says_what_its_words_mean(tmp_path: Path) -> None:
    found = problems(write(tmp_path, GOOD.replace("    entity: person\n", "    entity: person\n    kind: verifier\n")))
    assert found == [f"{tmp_path / 'acme.yml'}:10: a verifier needs 'verification'"]


def test_mistakes_of_all_files_come_together(tmp_path: Path) -> None:
    write(
        tmp_path, GOOD.replace("[[email]]", "[[emial]]").replace("fields: {phone: 30}", "fields: {fone: 30}"), "a.yml"
    )
    write(tmp_path, "vendor: [", "b.yml")
    write(tmp_path, "- a list", "c.yml")
    found = "\n".join(problems(tmp_path))
    assert "a.yml:11" in found
    assert "a.yml:19" in found
    assert "b.yml" in found
    assert "c.yml:1" in found


def test_one_vendor_stands_in_one_file(tmp_path: Path) -> None:
    write(tmp_path, GOOD, "a.yml")
    assert "already described in a.yml" in problems(write(tmp_path, GOOD, "b.yml"))[0]


BULK = """\
vendor: acme
base_url: https://api.acme.example
auth: {type: bearer}
status:
  - {http: 404, verdict: miss}
  - {http: 429, verdict: slow_down, wait_s: 9}
limits: {windows: [{calls: 60, seconds: 60}], concurrency: 2}
endpoints:
  bulk:
    entity: person
    inputs: [email, first_name]
    sufficient: [[email]]
    request: {method: POST, path: /v1/bulk, json: {name: us}}
    status: [{http: 200, verdict: hit}]
    batch:
      size: 100
      at: /people
      item: {email: "{email}", first: "{first_name}", tag: "{ref}"}
      results: /people
      match: {at: /tag}
      status:
        - {at: /phone, equals: null, verdict: miss}
        - {verdict: hit}
    job:
      id: /id
      poll:
        path: /v1/bulk/{job_id}
        status:
          - {http: 200, verdict: hit}
          - {http: 202, verdict: in_progress, wait_s: 5}
      callback:
        at: /hook
        id: /id
        signature: {header: X-Sign, algorithm: hmac-sha1}
    outputs: {phone: {at: /phone}}
    price: {per_hit_usd: 0.1, held: true, credits: {remaining: {header: x-left}}}
    ttl: {miss_days: 30, miss_fields: {phone: 5}}
  single:
    entity: person
    inputs: [email]
    sufficient: [[email]]
    request: {path: /v1/one, query: {email: "{email}"}}
    status: [{http: 200, verdict: hit}]
    outputs: {phone: {at: /phone}}
    price: {per_hit_usd: 0.1}
    limits: {windows: [{calls: 5, seconds: 1}], share: ones}
"""


def test_a_batch_a_job_and_their_limits(tmp_path: Path) -> None:
    specs = load_providers(write(tmp_path, BULK))
    bulk, single = specs["acme.bulk"], specs["acme.single"]
    assert bulk.batch is not None
    assert bulk.job is not None
    assert (bulk.batch.size, bulk.price.held, bulk.greatest_usd) == (100, True, Decimal("0.1"))
    assert (bulk.limiter, bulk.limits.windows[0].calls, single.limiter) == ("", 60, "ones")
    assert (bulk.miss_days(["phone"]), bulk.miss_days([]), bulk.ttl_miss_days) == (5, 30, 30)
    # Of the vendor's rows a poll takes those that say "not now", and not what is a miss of a lookup.
    assert [(row.http, row.verdict) for row in bulk.job.poll.status[2:]] == [(("429",), "slow_down")]


@pytest.mark.parametrize(
    ("wrong", "right", "line", "says"),
    [
        ("verdict: in_progres, wait_s: 5}", "verdict: in_progress, wait_s: 5}", 30, "Did you mean 'in_progress'?"),
        ("siez: 100", "size: 100", 16, "Did you mean 'size'?"),
        ("size: 1\n", "size: 100\n", 16, "greater than or equal to 2"),
        ('first: "{frst_name}"', 'first: "{first_name}"', 18, "Did you mean 'first_name'?"),
        ('{name: "{email}"}', "{name: us}", 13, "sent once for all of a batch"),
        ("method: GET, path: /v1/bulk", "method: POST, path: /v1/bulk", 13, "a GET has no 'json'"),
        (
            "results: [/people, /errors]\n      status:",
            "results: /people\n      match: {at: /tag}\n      status:",
            19,
            "whose",
        ),
        ("      status:", "      match: {at: /tag}\n      status:", 15, "a job needs 'match'"),
        ('match: {at: /tag, equals: "{email}"}', "match: {at: /tag}", 15, "a job needs 'match'"),
        ("named: {miss: nobody}\n      match:", "match:", 20, "starts with '/'"),
        ("named: {mis: /nobody}\n      match:", "match:", 20, "Did you mean 'miss'?"),
        ("path: /v1/bulk/one", "path: /v1/bulk/{job_id}", 26, "'{job_id}'"),
        ("path: /v1/bulk/{job}", "path: /v1/bulk/{job_id}", 27, "pattern"),
        ("algorithm: hmac-sha2}", "algorithm: hmac-sha1}", 34, "Did you mean 'hmac-sha"),
        ("credits: {usd: 1}", "credits: {remaining: {header: x-left}}", 36, "either 'header' or 'at'"),
        (
            "credits: {header: a, at: /b, usd: 0.1}",
            "credits: {remaining: {header: x-left}}",
            36,
            "either 'header' or 'at'",
        ),
        ("credits: {header: a}", "credits: {remaining: {header: x-left}}", 36, "'usd' goes with"),
        ("miss_fields: {fone: 5}", "miss_fields: {phone: 5}", 37, "'fone' is not an output"),
        ("limits: {share: ones}", "limits: {windows: [{calls: 60, seconds: 60}], concurrency: 2}", 7, "shared already"),
        (
            "{http: 202, verdict: hit, wait_s: 5}",
            "{http: 202, verdict: in_progress, wait_s: 5}",
            30,
            "'wait_s' goes with",
        ),
    ],
)
def test_a_mistake_in_a_batch_has_its_line(tmp_path: Path, wrong: str, right: str, line: int, says: str) -> None:
    assert right in BULK
    found = problems(write(tmp_path, BULK.replace(right, wrong, 1)))
    assert any(re.match(rf".*acme\.yml:{line}: ", p) and says in p for p in found), found


def test_an_item_that_does_not_send_what_is_waited_for(tmp_path: Path) -> None:
    found = problems(write(tmp_path, BULK.replace(', tag: "{ref}"}', "}")))
    assert found == [f"{tmp_path / 'acme.yml'}:18: 'match' waits for '{{ref}}', which no item sends"]


def test_a_verifier_answers_at_once_and_a_job_is_a_batch(tmp_path: Path) -> None:
    verifier = "    kind: verifier\n    verification: {at: /v, map: {ok: valid}}\n    entity: person\n"
    found = problems(write(tmp_path, BULK.replace("    entity: person\n", verifier, 1)))
    assert any("a verifier answers at once" in p for p in found)
    start, end = BULK.index("    batch:"), BULK.index("    job:")
    found = problems(write(tmp_path, BULK[:start] + BULK[end:]))
    assert any("says 'submitted'" in p for p in found)


def test_endpoints_that_share_a_limit_have_the_same_one(tmp_path: Path) -> None:
    other = BULK.replace(
        "    ttl: {miss_days", "    limits: {windows: [{calls: 9, seconds: 1}], share: ones}\n    ttl: {miss_days"
    )
    assert any("endpoints that share 'ones' have the same limits" in p for p in problems(write(tmp_path, other)))

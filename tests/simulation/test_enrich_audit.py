"""Records of the audit are asked of everybody, the others as ever, and a second run asks nobody."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from revetl.enrich.execution.engine import run_waterfall
from revetl.enrich.options import WaterfallOptions
from revetl.providers.base import Answer
from tests.support.enrich_fakes import (
    PEOPLE,
    FakeProvider,
    clock,
    context,
    hit,
    miss,
    person,
    terms,
    verdict,
    warehouse_with,
    waterfall,
)
from tests.support.virtual_time import run_virtual

N = 120


def number(inputs: Mapping[str, str]) -> int:
    return int(inputs["first_name"].lower().removeprefix("first"))


def vendors() -> dict[str, FakeProvider]:
    def big(inputs: Mapping[str, str]) -> Answer:
        n = number(inputs)
        return hit("0.20", email=f"good{n}@acme.example", phone=f"+{n}") if n % 4 else miss()

    def small(inputs: Mapping[str, str]) -> Answer:
        n = number(inputs)
        return hit("0.03", email=f"good{n}@small.example") if n % 3 else miss()

    def check(inputs: Mapping[str, str]) -> Answer:
        return verdict("valid", inputs["email"], "0.01")

    made = [
        FakeProvider(terms("big.person", ("email", "phone"), per_hit="0.20"), big),
        FakeProvider(terms("small.email", ("email",), per_hit="0.03"), small),
        FakeProvider(terms("check.email", ("email",), inputs=("email",), per_hit="0.01", kind="verifier"), check),
    ]
    return {p.name: p for p in made}


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_the_share_is_asked_of_all_and_what_it_finds_is_verified(share):
    warehouse = warehouse_with([person(n) for n in range(N)])
    asked = vendors()
    spec = waterfall(audit={"share": share})
    for run_id in ("r1", "r2"):
        run_virtual(run_waterfall(context(warehouse, clock(), run_id), spec, asked, PEOPLE))
    audited = {
        key
        for (key,) in warehouse.rows(
            "SELECT key FROM revetl.enrichment_values WHERE field = 'email' AND entity = 'golden_contacts'"
            " GROUP BY key HAVING count(DISTINCT provider) = 2"
        )
    }
    missed = {n for n in range(N) if n % 4 == 0}
    assert len(asked["big.person"].bill) == N
    by_number = {number({"first_name": line[0]}) for line in asked["small.email"].bill}
    extra = by_number - missed
    assert missed <= by_number
    assert len(asked["small.email"].bill) == len(by_number)
    assert {f"g{n:05d}" for n in extra if n % 3} == audited
    assert share * 0.6 <= len(extra) / (N - len(missed)) <= share * 1.4
    waiting = "SELECT count(*) FROM revetl.enrichment_values WHERE rejected_reason = 'not_verified'"
    assert warehouse.rows(waiting) == [(0,)]


def test_a_list_is_not_audited():
    warehouse, asked = warehouse_with([person(n) for n in range(N)]), vendors()
    spec = waterfall(audit={"share": 1})
    options = WaterfallOptions(entity_name="adhoc:contacts")
    run_virtual(run_waterfall(context(warehouse, clock()), spec, asked, PEOPLE, options))
    assert {number({"first_name": line[0]}) for line in asked["small.email"].bill} == set(range(0, N, 4))

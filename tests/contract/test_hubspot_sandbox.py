"""The HubSpot connector against the sandbox, over real HTTP."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest

from revetl.clock import SystemClock
from revetl.destinations.base import Pair
from revetl.destinations.hubspot import HubSpot, Options
from revetl.errors import ConfigError, Denied, Unavailable
from revetl.model import Change, Operation, Outcome, Scalar, Status
from revetl.sandbox.faults import Fault
from revetl.sandbox.hubspot.options import HubSpotSandboxOptions
from revetl.sandbox.server import RunningSandbox, running_sandbox
from revetl.sandbox.settings import SandboxSettings
from tests.support.published_hubspot import as_published as as_published
from tests.support.sandbox_hubspot import portal_of

pytestmark = pytest.mark.usefixtures("as_published")

UNLIMITED = SandboxSettings(limited=False)
CREATE, UPDATE, DELETE = Operation.CREATE, Operation.UPDATE, Operation.DELETE


@pytest.fixture
async def sandbox() -> AsyncIterator[RunningSandbox]:
    async with running_sandbox(settings=UNLIMITED) as running:
        yield running


@pytest.fixture
async def hubspot(sandbox: RunningSandbox) -> AsyncIterator[HubSpot]:
    async with connected(sandbox) as destination:
        yield destination


@asynccontextmanager
async def connected(sandbox: RunningSandbox, **options: Any) -> AsyncIterator[HubSpot]:
    given = {"token": "pat-test", "searches_per_s": 100, "requests_per_10_s": 1000} | options
    settings = Options.model_validate({"base_url": sandbox.base_url, **given})
    async with HubSpot("hubspot", settings, SystemClock(), rng=random.Random(1)) as destination:
        yield destination


def change(
    ordinal: int, op: Operation = CREATE, id_: str | None = None, match: Scalar = None, **fields: Scalar
) -> Change:
    return Change(ordinal, f"key-{ordinal}", op, id_, fields, match)


def contact(ordinal: int, email: str | None = None, **fields: Scalar) -> Change:
    email = email or f"P{ordinal}@Corp.example"
    return change(ordinal, CREATE, None, email, email=email, **fields)


def company(ordinal: int, **fields: Scalar) -> Change:
    domain = f"d{ordinal}.example"
    return change(ordinal, CREATE, None, domain, domain=domain, name=f"Company {ordinal}", **fields)


def by_ordinal(outcomes: Sequence[Outcome], changes: Sequence[Change]) -> dict[int, Outcome]:
    """One outcome per change, or the test fails."""
    assert sorted(o.ordinal for o in outcomes) == sorted(c.ordinal for c in changes)
    return {o.ordinal: o for o in outcomes}


def stored(sandbox: RunningSandbox, object_: str, id_: str | None, name: str) -> str | None:
    store = portal_of(sandbox).store(object_)
    record = store.get(id_ or "")
    assert record is not None
    return store.value(record, name)


async def test_each_outcome_is_of_its_own_record(sandbox: RunningSandbox, hubspot: HubSpot) -> None:
    changes = [contact(i, firstname=f"First {i}") for i in range(100)]
    outcomes = by_ordinal(await hubspot.write("contacts", "email", changes), changes)
    for i, outcome in outcomes.items():
        assert outcome.status is Status.OK
        assert stored(sandbox, "contacts", outcome.destination_id, "email") == f"p{i}@corp.example"
        assert stored(sandbox, "contacts", outcome.destination_id, "firstname") == f"First {i}"
    before = hubspot.requests
    again = by_ordinal(await hubspot.write("contacts", "email", changes), changes)
    assert hubspot.requests - before == 2  # the second reads who was meant: the answer does not say
    assert {o.destination_id for o in again.values()} == {o.destination_id for o in outcomes.values()}
    assert len(portal_of(sandbox).store("contacts").records) == 100


async def test_a_bad_record_costs_only_itself(sandbox: RunningSandbox, hubspot: HubSpot) -> None:
    changes = [contact(i, lifecyclestage="nonsense" if i % 7 == 0 else "lead") for i in range(50)]
    changes.append(contact(50, email="not an address"))
    changes.append(contact(51, no_such_property="x"))
    changes.append(change(52, CREATE, None, None, firstname="Nobody"))
    changes.append(contact(53, firstname=b"bytes"))
    outcomes = by_ordinal(await hubspot.write("contacts", "email", changes), changes)
    bad = {i for i, o in outcomes.items() if o.status is Status.REJECTED}
    assert bad == {0, 7, 14, 21, 28, 35, 42, 49, 50, 51, 52, 53}
    assert all(o.status is Status.OK for i, o in outcomes.items() if i not in bad)
    assert outcomes[0].error_code == "INVALID_OPTION"
    assert outcomes[51].error_code == "PROPERTY_DOESNT_EXIST"
    assert outcomes[52].error_code == "MISSING_ID"
    assert outcomes[53].error_code == "INVALID_VALUE"
    assert len(portal_of(sandbox).store("contacts").records) == 42


async def test_twins_in_one_call_do_not_cost_the_batch(sandbox: RunningSandbox, hubspot: HubSpot) -> None:
    changes = [contact(0), contact(1, email="SAME@corp.example", firstname="a")]
    changes.append(contact(2, email=" same@corp.example", firstname="b"))
    outcomes = by_ordinal(await hubspot.write("contacts", "email", changes), changes)
    assert {o.status for o in outcomes.values()} == {Status.OK}
    assert outcomes[1].destination_id == outcomes[2].destination_id
    assert stored(sandbox, "contacts", outcomes[2].destination_id, "firstname") == "b"


async def test_a_record_found_by_another_address_keeps_its_main_one(sandbox: RunningSandbox, hubspot: HubSpot) -> None:
    three = [contact(i) for i in range(3)]
    made = by_ordinal(await hubspot.write("contacts", "email", three), three)
    id_ = made[1].destination_id
    store = portal_of(sandbox).store("contacts")
    record = store.get(id_ or "")
    assert record is not None
    portal_of(sandbox).update(
        store, record, {"hs_additional_emails": "second@corp.example"}, portal_of(sandbox).now_ms(), "UI"
    )
    found = await hubspot.look_up(
        "contacts", "email", ["Second@corp.example", "p0@corp.example", "no@corp.example"], []
    )
    assert {k: m.destination_id for k, m in found.items()} == {
        "second@corp.example": id_,
        "p0@corp.example": made[0].destination_id,
    }
    changes = [contact(5, email="second@corp.example", firstname="Found"), contact(6), contact(7)]
    outcomes = by_ordinal(await hubspot.write("contacts", "email", changes), changes)
    assert outcomes[5].destination_id == id_
    assert {o.status for o in outcomes.values()} == {Status.OK}
    assert stored(sandbox, "contacts", id_, "email") == "p1@corp.example"


async def test_update_and_archive_by_id(sandbox: RunningSandbox, hubspot: HubSpot) -> None:
    made = await hubspot.write("contacts", "email", [contact(i, jobtitle="CTO") for i in range(4)])
    ids = [o.destination_id for o in sorted(made, key=lambda o: o.ordinal)]
    changes = [change(i, UPDATE, ids[i], None, jobtitle=None if i else "CEO") for i in range(4)]
    changes.append(change(4, UPDATE, "999999", None, jobtitle="Ghost"))
    outcomes = by_ordinal(await hubspot.write("contacts", "email", changes), changes)
    assert outcomes[4].error_code == "OBJECT_NOT_FOUND"
    assert [outcomes[i].status for i in range(4)] == [Status.OK] * 4
    assert stored(sandbox, "contacts", ids[0], "jobtitle") == "CEO"
    assert not stored(sandbox, "contacts", ids[1], "jobtitle")
    gone = [change(i, DELETE, ids[i]) for i in range(2)] + [change(9, DELETE, None)]
    outcomes = by_ordinal(await hubspot.write("contacts", "email", gone), gone)
    assert [outcomes[i].status for i in (0, 1, 9)] == [Status.OK, Status.OK, Status.REJECTED]
    assert len(await hubspot.look_up("contacts", "hs_object_id", ids, [])) == 2
    late = [change(0, UPDATE, ids[0], None, jobtitle="x")]
    assert (await hubspot.write("contacts", "email", late))[0].error_code == "OBJECT_NOT_FOUND"


async def test_new_companies_go_through_our_key_and_repeat_safely(sandbox: RunningSandbox, hubspot: HubSpot) -> None:
    assert "revetl_key" not in (await hubspot.describe("companies")).fields
    changes = [company(i, numberofemployees=i) for i in range(120)]
    first = by_ordinal(await hubspot.write("companies", "domain", changes), changes)
    assert (await hubspot.describe("companies")).fields["revetl_key"].unique
    again = by_ordinal(await hubspot.write("companies", "domain", changes), changes)
    assert {i: o.destination_id for i, o in first.items()} == {i: o.destination_id for i, o in again.items()}
    assert len(portal_of(sandbox).store("companies").records) == 120
    assert stored(sandbox, "companies", first[7].destination_id, "revetl_key") == "key-7"


async def test_what_carries_our_key_is_found_again_whatever_else_has_changed(
    sandbox: RunningSandbox, hubspot: HubSpot
) -> None:
    """After a lost snapshot: a company by the key, also where its domain is another one by now. A contact is not."""
    cases = {
        "companies": ("domain", company(1, city="Bern"), change(1, CREATE, None, "two.example", domain="two.example")),
        "contacts": ("email", contact(1, "a@one.example"), contact(1, "a@two.example")),
    }
    for object_, (match_on, first, moved) in cases.items():
        await hubspot.describe(object_)
        ids = {(await hubspot.write(object_, match_on, [each]))[0].destination_id for each in (first, moved)}
        assert None not in ids
        assert (len(ids) == 1) is hubspot.keeps_key(object_, match_on), object_
    assert hubspot.keeps_key("companies", "domain")


async def test_two_runs_make_the_key_property_once(sandbox: RunningSandbox) -> None:
    async with connected(sandbox) as one, connected(sandbox) as two:
        await one.describe("companies")
        await two.describe("companies")
        for destination in (one, two):
            assert (await destination.write("companies", "domain", [company(1)]))[0].status is Status.OK
    assert len(portal_of(sandbox).store("companies").records) == 1


async def test_a_company_that_stands_there_is_found_and_adopted(sandbox: RunningSandbox, hubspot: HubSpot) -> None:
    store = portal_of(sandbox).store("companies")
    for n in range(230):
        values = {"domain": f"d{n % 220}.example", "name": f"Old {n}"}
        portal_of(sandbox).create(store, values, portal_of(sandbox).now_ms() + n, "UI")
    ids = {r.id: r for r in store.records.values()} if isinstance(store.records, dict) else {}
    oldest = min(ids, key=int)
    wanted = [f"D{n}.example" for n in range(225)]
    found = await hubspot.look_up("companies", "domain", wanted, ["name"])
    assert len(found) == 220
    assert found["d0.example"].destination_id == oldest  # two have it: the older one
    assert found["d0.example"].fields["name"] == "Old 0"
    update = change(3, UPDATE, oldest, None, city="Oslo")
    assert (await hubspot.write("companies", "domain", [update]))[0].status is Status.OK
    assert stored(sandbox, "companies", oldest, "revetl_key") == "key-3"
    # Known by its key from now on: a later update sends the change and nothing else.
    before = portal_of(sandbox).version
    assert (await hubspot.look_up("companies", "revetl_key", ["key-3"], []))["key-3"].destination_id == oldest
    assert portal_of(sandbox).version == before


@pytest.mark.parametrize("kind", ["status_after", "reset_after", "truncate", "wrong_json", "reset_before", "status"])
async def test_a_lost_answer_makes_no_second_record(sandbox: RunningSandbox, hubspot: HubSpot, kind: str) -> None:
    await hubspot.describe("companies")
    fault = Fault("POST /crm/v3/objects/companies/batch/upsert", kind, times=1, status=504)
    sandbox.sandbox.faults.active.append(fault)
    changes = [company(i) for i in range(10)]
    outcomes = by_ordinal(await hubspot.write("companies", "domain", changes), changes)
    assert fault.hits == 1
    assert len(portal_of(sandbox).store("companies").records) == 10
    assert {o.status for o in outcomes.values()} == {Status.OK}


async def test_credentials(sandbox: RunningSandbox) -> None:
    async with connected(sandbox, token="pat-bad") as destination:
        with pytest.raises(Denied) as caught:
            await destination.check()
        assert "pat-bad" not in str(caught.value)
    async with connected(sandbox, token="pat-readonly") as destination:
        assert "portal" in await destination.check()
        with pytest.raises(Denied) as caught:
            await destination.write("contacts", "email", [contact(1)])
        assert caught.value.code == "MISSING_SCOPES"


async def test_what_a_token_may_not_do_is_found_without_changing_anything(sandbox: RunningSandbox) -> None:
    async with connected(sandbox) as destination:
        before = portal_of(sandbox).version
        assert await destination.probe("companies", "domain") == []
        assert await destination.probe("contacts", "email") == []
        assert portal_of(sandbox).version == before
        asked = {"context": {"requiredGranularScopes": ["crm.schemas.companies.write"]}}
        body = {"status": "error", "category": "MISSING_SCOPES", "errors": [asked]}
        key = Fault("POST /crm/v3/properties/companies", "status", status=403, body=body)
        sandbox.sandbox.faults.active.append(key)
        (refused,) = await destination.probe("companies", "domain")
        assert "the token lacks crm.schemas.companies.write" in refused
        # A contact that is upserted by its email needs no key of ours.
        assert await destination.probe("contacts", "email") == []
    async with connected(sandbox, token="pat-readonly") as destination:
        (refused,) = await destination.probe("contacts", "email")
        assert "crm.objects.contacts.write" in refused


async def test_a_portal_that_is_away(sandbox: RunningSandbox) -> None:
    async with connected(sandbox, base_url="http://127.0.0.1:1") as destination:
        destination._session._policy = type(destination._session._policy)(max_attempts=1)
        with pytest.raises(Unavailable):
            await destination.write("contacts", "email", [contact(1)])


async def test_describe(sandbox: RunningSandbox, hubspot: HubSpot) -> None:
    fields = (await hubspot.describe("contacts")).fields
    assert fields["email"].type == "string"
    assert "lead" in fields["lifecyclestage"].options
    assert fields["createdate"].read_only
    assert fields["last_seen_at"].type == "datetime"
    for object_ in ("contcts", "a/b", "..", "a?b=c"):
        with pytest.raises(ConfigError):
            await hubspot.describe(object_)
    with pytest.raises(ConfigError):
        await hubspot.look_up("contacts", "nothing", ["x"], [])


@pytest.mark.parametrize("object_", ["a/b", "..", "a?b=c", "", "%2e%2e"])
async def test_what_is_no_name_of_an_object_is_never_asked_for(hubspot: HubSpot, object_: str) -> None:
    """As a part of a path it would lead elsewhere."""
    with pytest.raises(ConfigError, match="is not the name of a HubSpot object"):
        await hubspot.describe(object_)
    assert hubspot.requests == 0


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("last_seen_at", datetime(2026, 3, 4, 5, 6, 7, 891_000, tzinfo=UTC)),
        ("last_seen_at", datetime(2026, 3, 4, 5, 6, 7, tzinfo=timezone(timedelta(hours=-5)))),
        ("last_seen_at", datetime.fromisoformat("2026-03-04T05:06")),  # without a zone, as a warehouse gives UTC
        ("last_seen_at", date(2026, 3, 4)),
        ("open_tickets", 12),
        ("open_tickets", 12.0),
        ("open_tickets", 1e-7),
        ("open_tickets", Decimal("12.50")),
        ("open_tickets", Decimal("1E+3")),
        ("open_tickets", " 12\t"),
        ("last_seen_at", " 2026-03-04T05:06:07Z"),
        ("firstname", 'Ωmega "quoted"\n; line\u2028end'),
        ("firstname", "12.0"),
    ],
)
async def test_what_was_written_compares_equal_to_what_is_read(
    sandbox: RunningSandbox, hubspot: HubSpot, name: str, value: Scalar
) -> None:
    [outcome] = await hubspot.write("contacts", "email", [contact(1, **{name: value})])
    assert outcome.status is Status.OK, outcome
    match = (await hubspot.look_up("contacts", "email", ["p1@corp.example"], [name]))["p1@corp.example"]
    assert hubspot.normalise("contacts", name, match.fields[name]) == hubspot.normalise("contacts", name, value)


async def test_blanks_alone_do_not_clear_a_number(sandbox: RunningSandbox, hubspot: HubSpot) -> None:
    [made] = await hubspot.write("contacts", "email", [contact(1, open_tickets=3)])
    [outcome] = await hubspot.write("contacts", "email", [change(1, UPDATE, made.destination_id, open_tickets="  ")])
    assert (outcome.status, outcome.error_code) == (Status.REJECTED, "INVALID_NUMBER")
    assert stored(sandbox, "contacts", made.destination_id, "open_tickets") == "3"


async def test_an_owner_that_is_none_costs_only_its_record(sandbox: RunningSandbox, hubspot: HubSpot) -> None:
    changes = [contact(0, hubspot_owner_id="710001"), contact(1, hubspot_owner_id="olive@revetl.example"), contact(2)]
    outcomes = by_ordinal(await hubspot.write("contacts", "email", changes), changes)
    assert [outcomes[i].status for i in (0, 2)] == [Status.OK] * 2
    assert (outcomes[1].status, outcomes[1].error_code) == (Status.REJECTED, "INVALID_OWNER_ID")


async def test_a_link_with_a_label_of_the_accounts_own(sandbox: RunningSandbox, hubspot: HubSpot) -> None:
    portal = portal_of(sandbox)
    label, _ = portal.association_types.create(("contacts", "companies"), "billing", "Bills", "Billed")
    [made] = await hubspot.write("contacts", "email", [contact(1)])
    [founded] = await hubspot.write("companies", "domain", [company(1)])
    person, firm = made.destination_id or "", founded.destination_id or ""
    assert label.id in await hubspot.link_types("contacts", "companies")
    [outcome] = await hubspot.link("contacts", "companies", label.id, [Pair(0, person, firm)])
    assert outcome.status is Status.OK
    assert set(portal.linked("contacts", person, "companies")[firm]) == {label.id, 279}


async def test_the_dated_api(sandbox: RunningSandbox) -> None:
    async with connected(sandbox, api_version="2026-03") as destination:
        assert (await destination.write("contacts", "email", [contact(1)]))[0].status is Status.OK
        assert await destination.look_up("contacts", "email", ["p1@corp.example"], [])
    assert "POST /crm/objects/2026-03/contacts/batch/upsert" in sandbox.sandbox.by_route


async def test_limits_are_kept_not_met() -> None:
    limits = HubSpotSandboxOptions(burst=25, search_per_s=None, daily=None)
    async with (
        running_sandbox(settings=SandboxSettings(vendors={"hubspot": limits})) as sandbox,
        connected(sandbox, requests_per_10_s=25) as destination,
    ):
        for n in range(20):
            await destination.write("contacts", "email", [contact(n)])
        assert destination.requests == 21
        assert destination.retries == 0

"""Columns that name records of another object: resolved to ids, withheld while the other is missing. In memory."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import pytest

from revetl.destinations.base import RecordMatch
from revetl.errors import ConfigError, Unavailable
from revetl.model import Association, FieldRule, Guardrails, Reference, Relation, Scalar, SyncSpec, looked_up_as
from revetl.state.runs import get_run, list_runs
from revetl.sync.drift.resolution import DriftResolution
from revetl.sync.rollback.rolling_back import roll_back
from revetl.testing.crashing import Crash, CrashingWarehouse, Fuse
from tests.support.fake_destination import FakeDestination
from tests.support.sweeps import stride
from tests.support.sync_bench import Bench, drift
from tests.support.warehouses import SCHEMA

DDL = "golden_id VARCHAR, email VARCHAR, city VARCHAR, account_id VARCHAR"
LOOKED_UP = {"account_id": FieldRule(references=Reference(object="accounts", match_on="code"))}


class Asked(FakeDestination):
    """Remembers what was looked up of accounts."""

    asked: list[Scalar]

    async def look_up(
        self, object_: str, match_on: str, values: Sequence[Scalar], fields: Sequence[str]
    ) -> dict[str, RecordMatch]:
        if match_on == "code":
            self.requests += 1
            self.asked += values
        return await super().look_up(object_, match_on, values, fields)


class Accounts(Bench):
    """Contacts whose column account_id names an account."""

    def people(self, *rows: Sequence[Scalar]) -> None:
        self.source(rows, DDL)

    def account(self, code: str) -> str:
        return self.destination.make(code=code)

    def asked(self) -> list[Scalar]:
        assert isinstance(self.destination, Asked)
        asked, self.destination.asked = self.destination.asked, []
        return asked

    def contact(self, email: str) -> dict[str, Scalar]:
        return next(r for r in self.destination.records.values() if r.get("email") == email)


@pytest.fixture
def bench() -> Accounts:
    b = Accounts()
    b.destination = Asked(fields=("email", "city", "account_id", "code"))
    b.destination.asked = []
    b.sync_as(columns=("golden_id", "email", "city", "account_id"), fields=LOOKED_UP, guardrails=Guardrails(min_rows=0))
    return b


def test_the_id_of_the_named_record_is_sent(bench: Accounts) -> None:
    acme, bolt = bench.account("A-1"), bench.account("B-2")
    bench.people(("1", "ann@x.io", "Riga", "A-1"), ("2", "bob@x.io", None, "B-2"), ("3", "cid@x.io", None, "A-1"))
    report = bench.run()
    assert (report.status, report.counts, report.unresolved) == ("done", {"ok": 3}, {})
    sent = {key: fields.get("account_id") for _, key, fields in bench.sent()}
    assert sent == {"1": acme, "2": bolt, "3": acme}
    assert sorted(map(str, bench.asked())) == ["A-1", "B-2"], "each value once"
    again = bench.run()
    assert (again.counts, bench.sent(), bench.asked()) == ({}, [], []), "what is remembered costs nothing"


def test_a_missing_record_withholds_the_field_alone_until_it_is_there(bench: Accounts) -> None:
    bench.people(("1", "ann@x.io", "Riga", "A-1"), ("2", "bob@x.io", "Oslo", None))
    plan = bench.plan()
    assert (plan.create, plan.unresolved) == (2, {"account_id": 1})
    report = bench.run()
    assert (report.status, report.exit_code, report.unresolved) == ("partial", 1, {"account_id": 1})
    assert bench.contact("ann@x.io")["city"] == "Riga"
    assert bench.contact("ann@x.io").get("account_id") is None
    assert list_runs(bench.warehouse, 1)[0].waiting == {"REFERENCE_MISSING (account_id)": 1}
    bench.sent()
    assert (bench.run().counts, bench.sent()) == ({}, [])
    acme = bench.account("A-1")
    report = bench.run()
    assert (report.status, report.unresolved) == ("done", {})
    assert bench.sent() == [("update", "1", {"account_id": acme})]


def test_missing_ones_may_be_allowed_for(bench: Accounts) -> None:
    bench.people(("1", "ann@x.io", "Riga", "A-1"))
    bench.sync_as(guardrails=Guardrails(min_rows=0, max_waiting=1))
    assert (bench.run().exit_code, bench.run().status) == (0, "done")


def test_a_name_that_is_not_there_leaves_what_stands_and_sends_the_rest(bench: Accounts) -> None:
    acme = bench.account("A-1")
    bench.people(("1", "ann@x.io", "Riga", "A-1"))
    bench.run()
    bench.sent()
    bench.people(("1", "ann@x.io", "Oslo", "Z-9"))
    assert bench.run().unresolved == {"account_id": 1}
    assert bench.sent() == [("update", "1", {"city": "Oslo"})]
    assert bench.contact("ann@x.io")["account_id"] == acme
    bench.people(("1", "ann@x.io", "Oslo", None))
    assert bench.run().unresolved == {}
    assert bench.sent() == [("update", "1", {"account_id": None})], "naming nobody clears, as any null"


def test_a_row_that_is_sent_has_its_name_looked_up_anew(bench: Accounts) -> None:
    acme = bench.account("A-1")
    bench.people(("1", "ann@x.io", "Riga", "A-1"))
    bench.run()
    bench.sent()
    bench.destination.records[acme]["code"] = "old"
    now = bench.account("A-1")
    assert bench.run().counts == {}, "nothing of ours has changed"
    bench.people(("1", "ann@x.io", "Oslo", "A-1"))
    bench.run()
    assert bench.sent() == [("update", "1", {"account_id": now, "city": "Oslo"})]


def test_a_full_refresh_looks_all_up(bench: Accounts) -> None:
    bench.account("A-1")
    bench.people(("1", "ann@x.io", "Riga", "A-1"))
    bench.run()
    bench.asked()
    bench.run(full_refresh=True)
    assert bench.asked() == ["A-1"]


def test_a_number_names_a_record_as_its_text(bench: Accounts) -> None:
    acme = bench.account("7")
    bench.source([("1", "ann@x.io", "Riga", 7)], DDL.replace("account_id VARCHAR", "account_id INTEGER"))
    bench.run()
    assert bench.contact("ann@x.io")["account_id"] == acme


def test_drift_and_rollback_hold_ids_against_ids(bench: Accounts) -> None:
    acme, bolt = bench.account("A-1"), bench.account("B-2")
    bench.people(("1", "ann@x.io", "Riga", "A-1"))
    bench.run()
    assert drift(bench).drifted == 0
    bench.contact("ann@x.io")["account_id"] = bolt
    assert drift(bench, DriftResolution("reassert", None)).drifted == 1
    bench.run()
    assert bench.contact("ann@x.io")["account_id"] == acme
    bench.people(("1", "ann@x.io", "Riga", "B-2"))
    moved = bench.run()
    assert bench.contact("ann@x.io")["account_id"] == bolt
    undone = get_run(bench.warehouse, moved.run_id)
    assert undone is not None
    asyncio.run(roll_back(bench.context(command="rollback"), bench.spec, bench.destination, undone))
    assert bench.contact("ann@x.io")["account_id"] == acme
    bench.destination.written.clear()
    assert (bench.run().counts, bench.sent()) == ({}, []), "what was rolled back stays so"


def firms_elsewhere(bench: Accounts, *domains: str) -> Bench:
    """A sync of firms to another destination, which the column account_id names by its keys: f1, f2, …"""
    elsewhere = Bench(warehouse=bench.warehouse, destination=FakeDestination(fields=("domain",), name="other"))
    elsewhere.spec = SyncSpec(
        name="other__firms",
        relation=Relation(SCHEMA, "firms"),
        destination="other",
        object="firms",
        key="golden_id",
        match_on="domain",
        columns=("golden_id", "domain"),
        guardrails=Guardrails(min_rows=0),
    )
    bench.warehouse.execute("DROP TABLE IF EXISTS firms")
    bench.warehouse.execute("CREATE TABLE firms (golden_id VARCHAR, domain VARCHAR)")
    for n, domain in enumerate(domains or ("acme.example",), 1):
        bench.warehouse.execute("INSERT INTO firms VALUES (?, ?)", [f"f{n}", domain])
    bench.sync_as(fields={"account_id": FieldRule(references=Reference(to="other__firms"))})
    return elsewhere


def test_the_key_of_another_sync_gives_the_id_that_its_record_has_wherever_that_is(bench: Accounts) -> None:
    elsewhere = firms_elsewhere(bench)
    bench.people(("1", "ann@x.io", "Riga", "f1"))
    assert bench.run().unresolved == {"account_id": 1}, "that sync never ran"
    elsewhere.run()
    bench.run()
    assert bench.contact("ann@x.io")["account_id"] == next(iter(elsewhere.destination.records))
    assert bench.asked() == []


def test_an_id_of_another_sync_is_read_back_before_it_is_sent(bench: Accounts) -> None:
    elsewhere = firms_elsewhere(bench, "a.example", "b.example", "c.example")
    elsewhere.run()
    there = elsewhere.destination
    gone, kept, merged = list(there.records)
    bench.people(("1", "ann@x.io", "Riga", "f1"), ("2", "bob@x.io", "Oslo", "f2"))
    bench.run(connect=lambda _: there)
    assert sorted(there.reads) == [gone, kept]
    bench.sent(), there.reads.clear()

    del there.records[gone]
    left = there.merge(there.make(domain="theirs.example"), merged)
    assert elsewhere.run().counts == {}, "that sync reads nothing while its rows are equal"
    assert (bench.run(connect=lambda _: there).counts, there.reads) == ({}, []), "nor does this one"
    old = [("1", "ann@x.io", "Riga", "f1"), ("2", "bob@x.io", "Oslo", "f2")]
    bench.people(*old, ("3", "cid@x.io", None, "f1"), ("4", "dan@x.io", None, "f3"), ("5", "eve@x.io", None, "f3"))
    plan = bench.plan(connect=lambda _: there)
    assert (plan.create, plan.unresolved, plan.notes) == (3, {"account_id": 2}, [])
    there.requests = 0
    there.reads.clear()
    report = bench.run(connect=lambda _: there)
    assert (report.exit_code, report.unresolved) == (1, {"account_id": 2})
    assert sorted(there.reads) == [gone, merged], "each id once, and none that only unchanged rows name"
    assert there.requests == 1
    sent = {key: fields.get("account_id") for _, key, fields in bench.sent()}
    assert sent == {"3": None, "4": left, "5": left}
    assert bench.contact("ann@x.io")["account_id"] == gone, "what stands is kept"

    there.records[gone] = {"domain": "a.example"}
    assert bench.run(connect=lambda _: there).unresolved == {}, "what was gone is looked for again"
    assert bench.sent() == [("update", "3", {"account_id": gone})]
    there.reads.clear()
    assert (bench.run(connect=lambda _: there).counts, there.reads) == ({}, [])


def test_a_full_refresh_reads_all_ids_back(bench: Accounts) -> None:
    elsewhere = firms_elsewhere(bench)
    elsewhere.run()
    there = elsewhere.destination
    bench.people(("1", "ann@x.io", "Riga", "f1"))
    bench.run(connect=lambda _: there)
    left = there.merge(there.make(domain="theirs.example"), next(iter(there.records)))
    bench.run(connect=lambda _: there, full_refresh=True)
    assert bench.contact("ann@x.io")["account_id"] == left


def test_at_the_same_destination_no_connection_is_needed(bench: Accounts) -> None:
    elsewhere = firms_elsewhere(bench)
    elsewhere.destination = bench.destination
    bench.destination.fields = (*bench.destination.fields, "domain")
    elsewhere.sync_as(destination="fake")
    elsewhere.run()
    firm = next(iter(bench.destination.records))
    del bench.destination.records[firm]
    bench.people(("1", "ann@x.io", "Riga", "f1"))
    assert bench.run().unresolved == {"account_id": 1}
    assert bench.contact("ann@x.io").get("account_id") is None


class Blind:
    """A destination that can't be read."""

    async def __aenter__(self) -> Blind:
        return self

    async def __aexit__(self, *exc: object) -> None:
        return None


class Away(Blind):
    async def __aenter__(self) -> Blind:
        raise Unavailable("other: no route to the host of a customer")


@pytest.mark.parametrize(
    ("connect", "why"),
    [
        (lambda _: Blind(), "other can't be read back"),
        (lambda _: Away(), "other could not be read (Unavailable)"),
        (None, "other could not be read (ConfigError)"),
    ],
)
def test_where_ids_cannot_be_read_back_the_plan_says_so(bench: Accounts, connect: Any, why: str) -> None:
    elsewhere = firms_elsewhere(bench)
    elsewhere.run()
    firm = next(iter(elsewhere.destination.records))
    bench.people(("1", "ann@x.io", "Riga", None))
    assert bench.run(connect=connect).plan.notes == [], "no row names anything"
    bench.people(("1", "ann@x.io", "Riga", "f1"))
    report = bench.run(connect=connect)
    assert report.plan.notes == [f"account_id: ids are taken from our snapshot of other__firms, for {why}"]
    assert bench.contact("ann@x.io")["account_id"] == firm


def test_a_link_to_a_record_that_is_looked_up(bench: Accounts) -> None:
    named = looked_up_as("accounts", "code")
    bench.sync_as(fields={}, associate=(Association(named, "account_id", 1, "accounts", "code"),))
    acme = bench.account("A-1")
    bench.people(("1", "ann@x.io", "Riga", "A-1"), ("2", "bob@x.io", "Oslo", "B-2"))
    bench.run()
    report = bench.run()
    assert (report.links_waiting, {b for _, b, _ in bench.destination.links}) == (1, {acme})
    bolt = bench.account("B-2")
    bench.people(("1", "ann@x.io", "Riga", "B-2"), ("2", "bob@x.io", "Oslo", "B-2"))
    report = bench.run()
    assert (report.counts, report.links_waiting) == ({"linked": 2, "unlinked": 1}, 0)
    assert {b for _, b, _ in bench.destination.links} == {bolt}
    assert bench.run().counts == {}


def test_an_object_without_that_field_is_a_mistake_before_anything_is_sent(bench: Accounts) -> None:
    bench.sync_as(fields={"account_id": FieldRule(references=Reference(object="accounts", match_on="cod"))})
    bench.people(("1", "ann@x.io", "Riga", "A-1"))
    with pytest.raises(ConfigError, match="fake accounts has no field 'cod' to look up by") as e:
        bench.run()
    assert (e.value.problems[0].hint, bench.sent()) == ("Did you mean 'code'?", [])


def test_a_crash_at_every_step_loses_no_reference(bench: Accounts) -> None:
    acme, bolt = bench.account("A-1"), bench.account("B-2")
    inner, done = bench.warehouse, False
    # An odd stride, which takes turns with the names; every step under REVETL_EVERY_STEP=1.
    at, apart = 0, stride(9)
    while not done:
        at += apart
        # Each time names change hands, so that there is something to look up and to send.
        names = ("A-1", "B-2") if at % 2 else ("B-2", "A-1")
        bench.people(("1", "ann@x.io", "Riga", names[0]), ("2", "bob@x.io", "Oslo", names[1]))
        fuse = Fuse(at=at)
        bench.warehouse = CrashingWarehouse(inner, fuse)
        with suppress(Crash):
            bench.run()
            done = not fuse.dead
        bench.warehouse = inner
        bench.run()
        ids = [bench.contact(email)["account_id"] for email in ("ann@x.io", "bob@x.io")]
        assert ids == ([acme, bolt] if at % 2 else [bolt, acme]), f"died at step {at}"
    assert at > 40
    assert len(bench.destination.records) == 4

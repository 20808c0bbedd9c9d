"""Somebody is erased: nothing of her is in any state table, the money is, and she is never looked up or sent again."""

from __future__ import annotations

import asyncio
import copy
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from revetl.context import LeaseWait, RunContext
from revetl.enrich.execution.engine import run_waterfall
from revetl.enrich.lists.entity_table import list_key
from revetl.enrich.options import WaterfallOptions
from revetl.errors import ConfigError, GuardrailError, LeaseError
from revetl.model import FieldRule, Reference, Relation
from revetl.privacy.erasure import Erasure, ErasureReport
from revetl.privacy.mentions import emails_in
from revetl.privacy.suppressions import VARIABLE
from revetl.providers.base import Answer, ProvidedValue
from revetl.state import heartbeats, leases
from revetl.state.runs import list_runs
from revetl.state.schema import create_all, relation
from revetl.sync.drift.reading import find_drift
from revetl.sync.plan import saved
from revetl.sync.rollback.rolling_back import RollbackOptions, roll_back
from revetl.usecases.erase import list_keys, people_of
from revetl.warehouse.base import Warehouse
from revetl.warehouse.duckdb import DuckDBWarehouse
from revetl.warehouse.sql import ident, table
from tests.support.crashing import Crash, CrashingWarehouse, Fuse
from tests.support.enrich_fakes import FakeProvider, context, hit, miss, terms, verdict, waterfall
from tests.support.sync_bench import Bench
from tests.support.virtual_time import run_virtual
from tests.support.warehouses import PARAMS, SCHEMA, new_warehouse, the_warehouse

# Every statement under REVETL_EVERY_STEP=1.
STRIDE = 1 if os.environ.get("REVETL_EVERY_STEP") == "1" else 37
ADA = "ada@acme.example"
BOUGHT = "ada.l@acme.example"
# Her key, and all that any system of ours or of a vendor's says of her.
CANARIES = ("gid-ada", ADA, BOUGHT, "lovelace", "adaline", "+44555", "linkedin.com/in/adal")
COLUMNS = ("golden_id", "first_name", "last_name", "company_domain", "email", "phone", "linkedin_url")
PEOPLE = [
    ("gid-ada", "Adaline", "Lovelace", "acme.example", ADA, None, None),
    ("gid-bob", "Bob", "Babbage", "acme.example", "bob@acme.example", None, None),
    ("gid-cyd", "Cyd", "Charisse", "acme.example", None, None, None),
]
SPEC = waterfall(
    inputs={n: n for n in ("first_name", "last_name", "company_domain", "email", "linkedin_url")},
    fields={"email": {"accept": {"verified": True}}, "phone": {}, "linkedin_url": {}},
    stages=[{"provider": "big.person", "verify": {"email": "check.email"}}, {"provider": "small.person"}],
)


def knows(inputs: Mapping[str, str]) -> Answer:
    if inputs["first_name"] == "Cyd":
        return hit("0.20", phone="+1", email="cyd@acme.example")
    if inputs["first_name"] == "Bob":
        return hit("0.20", phone="+1", linkedin_url="linkedin.com/in/bob")
    given = {"phone": "+44555", "linkedin_url": "https://www.linkedin.com/in/adal/", "email": BOUGHT}
    values = tuple(ProvidedValue(name, value, 0.9) for name, value in given.items())
    return Answer("hit", 200, values, Decimal("0.20"), 5, {"person": given, "name": "Adaline Lovelace"})


NO_WAIT = LeaseWait()


class World:
    """Three people, enriched and sent, with everything that may be left of a person in some table."""

    def __init__(self, warehouse: Warehouse, path: Path, schema: str = SCHEMA) -> None:
        self.warehouse = warehouse
        create_all(warehouse)
        self.bench = Bench(warehouse=warehouse)
        self.bench.sync_as(relation=Relation(schema, "contacts"))
        self.people = Relation(schema, "golden_contacts")
        self.list = relation(warehouse, "adhoc_input__20260101_00aa")
        self.path = path
        for target in (self.people, self.list):
            warehouse.execute(f"CREATE TABLE {table(target)} ({', '.join(f'{c} VARCHAR' for c in COLUMNS)})")
        self.load(PEOPLE)
        self.vendors = self.providers()

    def load(self, people: list[tuple[str | None, ...]]) -> None:
        self.warehouse.execute(f"DELETE FROM {table(self.people)}")
        arrays = [pa.array(list(cells), pa.string()) for cells in zip(*people, strict=True)]
        self.warehouse.append(self.people, pa.table(arrays, names=list(COLUMNS)))
        self.bench.source([(p[0], p[4] or f"{p[0]}@mail.example", p[1], p[2]) for p in people])

    @staticmethod
    def providers() -> dict[str, FakeProvider]:
        made = [
            FakeProvider(terms("big.person", ("email", "phone", "linkedin_url"), per_hit="0.20"), knows),
            FakeProvider(terms("small.person", ("phone", "linkedin_url"), per_call="0.01"), lambda _: miss("0.01")),
            FakeProvider(
                terms("check.email", ("email",), inputs=("email",), per_hit="0.01", kind="verifier"),
                lambda inputs: verdict("valid", inputs["email"], "0.01"),
            ),
        ]
        return {p.name: p for p in made}

    def enrich(self, run_id: str, people: Relation | None = None, entity: str | None = None) -> Any:
        return run_virtual(
            run_waterfall(
                context(self.warehouse, self.bench.clock, run_id),
                SPEC,
                self.vendors,
                people or self.people,
                WaterfallOptions(entity_name=entity),
            )
        )

    def live(self) -> None:
        """Enriched, on a list as well; sent; refused once; compared; planned and saved."""
        self.enrich("r1")
        row = dict(zip(COLUMNS, PEOPLE[0], strict=True)) | {"email": None}
        key = list_key({name: row[name] for name in ("first_name", "last_name", "company_domain")})
        listed = pa.table({c: pa.array([key if c == "golden_id" else row[c]], pa.string()) for c in COLUMNS})
        self.warehouse.append(self.list, listed)
        self.enrich("r2", self.list, "adhoc:contacts")
        self.bench.run()
        self.bench.source([("gid-ada", ADA, "Adaline II", "x"), ("gid-bob", "bob@acme.example", "Bob II", "y")])
        self.bench.run()
        self.bench.source([("gid-ada", ADA, "Adaline III", "x"), ("gid-bob", "bob@acme.example", "B", "y")])
        self.bench.destination.records["101"]["firstname"] = "Adaline of theirs"
        asyncio.run(
            find_drift(self.bench.context(run_id="d1", command="drift"), self.bench.spec, self.bench.destination)
        )
        made = saved.entry(self.warehouse, self.bench.spec, self.bench.plan(), self.bench.clock)
        saved.write_file(self.warehouse, self.path, "dev", [made], self.bench.clock)
        # Another record's refusal that names her, and a run that ended with such a message.
        outcomes, runs = (table(relation(self.warehouse, name)) for name in ("outcomes", "runs"))
        said = f"a contact with {ADA.upper()} exists"
        self.warehouse.execute(f"UPDATE {outcomes} SET message = ? WHERE key = 'gid-bob'", [said])
        self.warehouse.execute(f"UPDATE {runs} SET error = ? WHERE run_id = 'r1'", [said])

    def request(self, *keys: str, wait: LeaseWait = NO_WAIT, **identity: str) -> Erasure:
        people = people_of([SPEC], lambda _: self.people)
        known = [identity] if identity else []
        ctx = RunContext(
            warehouse=self.warehouse,
            clock=self.bench.clock,
            run_id="e1",
            command="erase",
            target="dev",
            wait=wait,
        )
        return Erasure(ctx, people, list_keys([SPEC]), known, keys)

    def erase(self, *keys: str, **identity: str) -> ErasureReport:
        return asyncio.run(self.request(*keys, **identity).erase([self.bench.spec.name]))

    def left(self) -> dict[str, list[str]]:
        """Table → canaries that stand in any row of any state table."""
        found = {}
        for name, columns in self.warehouse.tables(self.warehouse.state_schema).items():
            if name.startswith("revetl_"):  # scratch of this connection, which Snowflake lists here
                continue
            cells = ", ".join(f"CAST({ident(c)} AS VARCHAR)" for c in columns)
            rows = self.warehouse.rows(f"SELECT {cells} FROM {table(relation(self.warehouse, name))}")
            text = str(rows).lower()
            if seen := [c for c in CANARIES if c in text]:
                found[name] = seen
        return found

    def money(self) -> list[tuple[Any, ...]]:
        return self.warehouse.rows(
            "SELECT provider, status, count(*), sum(charged_usd), sum(expected_usd)"
            f" FROM {table(relation(self.warehouse, 'enrichment_calls'))} GROUP BY 1, 2 ORDER BY 1, 2"
        )

    def of(self, name: str, key: str, column: str = "key") -> int:
        found = table(relation(self.warehouse, name))
        return int(str(self.warehouse.rows(f"SELECT count(*) FROM {found} WHERE {column} = ?", [key])[0][0]))


@pytest.fixture(params=PARAMS)
def world(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    if request.param == "snowflake" and os.environ.get("REVETL_ALL_WAREHOUSES") != "1":
        pytest.skip("half a minute in Snowflake's stand-in: set REVETL_ALL_WAREHOUSES=1")
    monkeypatch.setenv("REVETL_TEST_WAREHOUSE", request.param)
    return World(the_warehouse(), tmp_path / "plan.json")


@pytest.fixture(scope="module")
def lived(tmp_path_factory: pytest.TempPathFactory) -> World:
    """What is copied for each test: making it takes longer than erasing from it."""
    here = tmp_path_factory.mktemp("lived")
    world = World(DuckDBWarehouse(here / "lived.duckdb"), here / "plan.json", schema="main")
    world.live()
    world.warehouse.close()
    return world


def opened(lived: World, directory: Path) -> World:
    path = directory / "lived.duckdb"
    shutil.copy(lived.path.with_name("lived.duckdb"), path)
    here = copy.copy(lived)
    here.warehouse = DuckDBWarehouse(path)
    here.bench = copy.copy(lived.bench)
    here.bench.warehouse = here.warehouse
    here.bench.destination = copy.deepcopy(lived.bench.destination)
    here.vendors = here.providers()
    return here


@pytest.fixture
def here(lived: World, tmp_path: Path) -> Iterator[World]:
    world = opened(lived, tmp_path)
    yield world
    world.warehouse.close()


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[World]:
    with new_warehouse("duckdb", tmp_path) as warehouse:
        yield World(warehouse, tmp_path / "plan.json")


def test_nothing_of_her_is_left_and_all_of_the_money_is(world: World) -> None:
    world.live()
    before, money = world.left(), world.money()
    names = {name.partition("__")[0] for name in before}
    kept = {"snapshot", "plan", "drift", "saved", "adhoc_input", "outcomes", "runs", "enrichment_values"}
    assert names == kept | {"enrichment_calls"}, "the world has to hold her everywhere, or the test shows nothing"
    looked = asyncio.run(world.request(email=" ADA@acme.example ").look())
    assert world.left() == before
    assert looked.people.standing == [("fake__contacts", "101")]
    others = {name: world.of(name, "gid-bob") for name in ("outcomes", "enrichment_values", "snapshot__fake__contacts")}

    report = world.erase(email=" ADA@acme.example ")

    assert report.tables == looked.tables
    assert world.left() == {}
    assert world.money() == money
    assert {name: world.of(name, "gid-bob") for name in others} == others
    assert world.erase(email=ADA).tables == {}


def test_she_is_never_looked_up_again_whatever_of_her_comes_back(here: World) -> None:
    here.erase("gid-ada")
    assert here.left() == {}
    here.vendors = here.providers()
    returns = [
        ("gid-ada", "Renamed", "Entirely", "new.example", None, None, None),  # by her key
        ("n1", "X", "Y", "z.example", ADA.upper(), None, None),  # by her email
        ("n2", "X", "Y", "y.example", BOUGHT, None, None),  # by the one that was bought
        ("n3", "X", "Y", "w.example", None, None, "http://linkedin.com/in/adal"),  # by her profile
        ("n4", "adaline ", "LOVELACE", "acme.example", None, None, None),  # by name and company
        ("n5", "Dan", "Dare", "acme.example", None, None, None),
    ]
    here.load(returns)
    report = here.enrich("r3")
    assert report.suppressed >= 5
    asked = {bill[0] for vendor in here.vendors.values() for bill in vendor.bill}
    assert len(here.vendors["big.person"].bill) == 1, asked


def test_she_is_never_sent_again_and_the_others_are(here: World) -> None:
    here.erase(email=ADA)
    here.bench.sent()
    rows = [
        ("gid-ada", "renamed@acme.example", "R", "x"),  # her key
        ("n1", "Ada@Acme.example", "A", "x"),  # her email
        ("n2", "n2@x.example", "N", "https://linkedin.com/in/adal"),  # her profile, in any column
        ("gid-bob", "bob@acme.example", "Bob IV", "x"),
        ("n3", "nadia@acme.example", "N", "x"),
    ]
    here.bench.source(rows)
    plan = here.bench.plan()
    assert plan.suppressed == 3
    report = here.bench.run()
    assert sorted(key for _, key, _ in here.bench.sent()) == ["gid-bob", "n3"]
    assert report.plan.suppressed == 3
    assert here.left() == {}


def test_a_column_that_names_her_record_is_forgotten_and_asks_for_her_no_more(here: World) -> None:
    by_email = FieldRule(references=Reference(object="contacts", match_on="email"))
    here.bench.sync_as(fields={"city": by_email})
    here.bench.destination.make(email=ADA)
    rows = [("n1", "n1@x.example", "N", ADA), ("n2", "n2@x.example", "N", "bob@acme.example")]
    here.bench.source(rows)
    here.bench.run()
    assert here.of("references__fake__contacts", ADA, "value") == 1
    here.erase(email=ADA)
    assert here.of("references__fake__contacts", ADA, "value") == 0
    here.bench.source([("n1", "n1@x.example", "N II", ADA), ("n2", "n2@x.example", "N II", "bob@acme.example")])
    report = here.bench.run(full_refresh=True)
    assert report.unresolved == {"city": 1}
    assert here.of("references__fake__contacts", "bob@acme.example", "value") == 1
    assert here.left() == {}


# Ways in which a text may hold her address, and of others that only look like it.
HERS = [
    f"call {ADA}",
    f"mail:{ADA};x",
    f'"A. L." <{ADA}>',
    ADA.replace("@", "\u200b@"),
    f"see mailto:{ADA.replace('@', '%40')}?subject=x",
    ADA.replace("@", "&#64;").title(),
    f'{{"to": "{ADA.replace("@", chr(92) + "u0040")}"}}',
    ADA.replace("@", "+news@"),
    f"邮箱{ADA}，",
]
NOT_HERS = [f"x{ADA}", f"{ADA}.au", ADA.replace("acme", "acme2"), ADA.replace("@", " "), ADA.replace("@", ".x@")]


def test_a_text_that_names_her_is_not_sent_and_one_that_names_somebody_else_is(here: World) -> None:
    here.erase(email=ADA)
    here.bench.sent()
    texts = [*HERS, *NOT_HERS]
    here.bench.source([(f"n{i}", f"n{i}@x.example", "N", text) for i, text in enumerate(texts)])
    assert here.bench.run().plan.suppressed == len(HERS)
    assert sorted(key for _, key, _ in here.bench.sent()) == sorted(f"n{len(HERS) + i}" for i in range(len(NOT_HERS)))


@pytest.mark.parametrize("text", HERS)
def test_what_names_her_within_a_text_is_erased(here: World, text: str) -> None:
    """In a snapshot, a refusal's message, what was written, and why a run ended; the same of others stays."""
    rows = [("n1", "n1@x.example", "N", text), ("n2", "n2@x.example", "N", NOT_HERS[0])]
    here.bench.source(rows)
    here.bench.run()
    outcomes, runs = (table(relation(here.warehouse, name)) for name in ("outcomes", "runs"))
    here.warehouse.execute(f"UPDATE {outcomes} SET message = ? WHERE key = 'gid-bob'", [f"exists: {text}"])
    here.warehouse.execute(f"UPDATE {runs} SET error = ? WHERE run_id = 'r1'", [text])
    here.erase(email=ADA)
    assert here.of("snapshot__fake__contacts", "n1") == 0
    assert here.of("snapshot__fake__contacts", "n2") == 1
    for name, columns in here.warehouse.tables(here.warehouse.state_schema).items():
        cells = ", ".join(f"CAST({ident(c)} AS VARCHAR)" for c in columns)
        every = here.warehouse.rows(f"SELECT {cells} FROM {table(relation(here.warehouse, name))}")
        held = [cell for row in every for cell in row if cell is not None and ADA in emails_in(str(cell))]
        assert held == [], name


def test_a_known_record_that_takes_on_her_email_is_not_sent(here: World) -> None:
    here.erase(email=ADA)
    here.bench.sent()
    here.bench.source([("gid-bob", ADA, "Bob", "x"), ("gid-cyd", "cyd@acme.example", "Cyd", "x")])
    assert here.bench.plan().suppressed == 1
    here.bench.run()
    assert [key for _, key, _ in here.bench.sent()] == ["gid-cyd"]


def test_a_rollback_leaves_her_out(here: World) -> None:
    run = next(r for r in list_runs(here.warehouse, 50) if r.subject == here.bench.spec.name and r.command == "sync")
    here.erase(email=ADA)
    report = asyncio.run(
        roll_back(
            here.bench.context(run_id="u1", command="rollback"),
            here.bench.spec,
            here.bench.destination,
            run,
            options=RollbackOptions(dry_run=True),
        )
    )
    assert (report.plan.restore, report.plan.left) == (1, 0)  # the other one, whom that run updated as well


def test_a_saved_plan_that_names_her_is_dropped(here: World) -> None:
    here.erase(email=ADA)
    (entry,) = saved.read_file(here.path).entries
    with pytest.raises(GuardrailError, match="named somebody who was erased"):
        saved.check(here.warehouse, here.bench.spec, entry)


def test_a_job_that_was_never_read_is_not_fetched_for_her(here: World) -> None:
    calls = table(relation(here.warehouse, "enrichment_calls"))
    here.warehouse.execute(
        f"INSERT INTO {calls} (call_id, run_id, waterfall, provider, keys, request_hash, order_version, status,"
        " expected_usd, asked_at, request_id) VALUES ('c9', 'r0', 'contacts', 'big.person', ?, 'h9', 'o', 'in_doubt',"
        " 0.2, TIMESTAMP '2026-01-01 00:00:00', 'job-1')",
        [json.dumps(["gid-ada"])],
    )
    here.erase(email=ADA)
    assert here.warehouse.rows(f"SELECT status, request_id, expected_usd FROM {calls} WHERE call_id = 'c9'") == [
        ("in_doubt", None, Decimal("0.2"))
    ]
    assert here.enrich("r4").resumed == 0


def test_an_answer_that_served_somebody_else_stays_known(fresh: World) -> None:
    """Two records, one question: the other one's is not paid for again."""
    fresh.load([*PEOPLE, ("gid-twin", "Adaline", "Lovelace", "acme.example", "twin@acme.example", None, None)])
    fresh.enrich("r1")
    fresh.warehouse.execute(f"DELETE FROM {table(fresh.people)} WHERE golden_id = 'gid-ada'")
    fresh.erase("gid-ada")
    calls = table(relation(fresh.warehouse, "enrichment_calls"))
    shared = fresh.warehouse.rows(
        f"SELECT DISTINCT keys, response FROM {calls} WHERE contains(keys, '\"gid-twin\"') AND provider = 'big.person'"
    )
    assert len(shared) == 1
    assert "gid-ada" not in str(shared)
    assert fresh.of("enrichment_values", "gid-twin")
    fresh.vendors = fresh.providers()
    fresh.enrich("r2")
    assert not fresh.vendors["big.person"].bill


def test_while_a_waterfall_is_under_way_she_is_suppressed_and_nothing_is_removed(here: World) -> None:
    before = here.left()
    heartbeats.beat(here.warehouse, "r9", here.bench.clock.now() + timedelta(days=300))
    with pytest.raises(LeaseError, match="suppressed from now on"):
        here.erase(email=ADA)
    assert here.left() == before
    heartbeats.end(here.warehouse, "r9")
    here.bench.source([("new", ADA, "A", "x")])
    assert here.bench.plan().suppressed == 1
    here.erase(email=ADA)
    assert here.left() == {}
    assert leases.holder(here.warehouse, leases.name_of("fake__contacts"), now=here.bench.clock.now()) is None


def test_a_sync_that_is_under_way_is_waited_for(here: World) -> None:
    name, now = leases.name_of("fake__contacts"), here.bench.clock.now() + timedelta(days=300)
    leases.take(here.warehouse, name, "other", now=now, lasts=heartbeats.LASTS)
    told: list[str] = []

    def on_wait(holder: leases.Holder) -> None:
        told.append(holder.run_id)
        leases.release(here.warehouse, name, "other")

    request = here.request(email=ADA, wait=LeaseWait(60, on_wait))
    report = run_virtual(request.erase())
    assert (told, report.erased, here.left()) == (["other"], True, {})


def test_while_a_destination_works_on_a_job_nothing_is_removed(here: World) -> None:
    """What the job makes there would leave no trace here: no outcome and no id to tell the vendor by."""
    before = here.left()
    columns = "(run_id, sync, plan_id, ordinals, job_id, status)"
    here.warehouse.execute(
        f"INSERT INTO revetl.destination_jobs {columns} VALUES ('r', 'fake__contacts', 'r', '0', 'j', 'submitted')"
    )
    with pytest.raises(LeaseError, match=r"works on a job of fake__contacts.*suppressed.*revetl sync"):
        here.erase(email=ADA)
    assert here.left() == before
    here.warehouse.execute("UPDATE revetl.destination_jobs SET status = 'done'")
    here.erase(email=ADA)
    assert here.left() == {}


def test_while_a_run_is_to_be_published_nothing_is_removed(here: World) -> None:
    """Its rows stand frozen in the plan, and are published as they are."""
    before = here.left()
    here.warehouse.execute(
        "INSERT INTO revetl.publications (run_id, sync, plan_id, status) VALUES ('r', 'fake__contacts', 'r', 'open')"
    )
    with pytest.raises(LeaseError, match=r"fake__contacts.*suppressed.*revetl sync"):
        here.erase(email=ADA)
    assert here.left() == before
    here.warehouse.execute("UPDATE revetl.publications SET status = 'dropped'")
    here.erase(email=ADA)
    assert here.left() == {}


def test_a_crash_at_any_statement_leaves_all_or_nothing_and_her_suppressed(lived: World, tmp_path: Path) -> None:
    """Then the same request again finishes it."""
    step, crashed = 1, True
    while crashed:
        world = opened(lived, tmp_path)
        before, money = world.left(), world.money()
        inner, world.warehouse = world.warehouse, CrashingWarehouse(world.warehouse, Fuse(step))
        try:
            world.erase(email=ADA)
            crashed = False
        except Crash:
            leases._OURS.clear()  # the process is dead
        world.warehouse = inner
        left = world.left()
        # Copies of plans are dropped one by one, after all else is gone.
        assert left == before or all(name.startswith("saved__") for name in left), step
        if step % 4 == 1:
            world.erase(email=ADA)
            assert (world.left(), world.money()) == ({}, money), step
        inner.close()
        step += STRIDE
    assert step > 30


def test_without_the_key_of_the_list_nobody_is_sent(fresh: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "secret")
    fresh.erase(email=ADA)
    monkeypatch.delenv(VARIABLE)
    with pytest.raises(ConfigError, match=VARIABLE):
        fresh.bench.run()
    assert fresh.bench.sent() == []

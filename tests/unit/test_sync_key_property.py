"""`key_property`: our key in a field of the destination. By it a record is found again whatever else has changed; two
syncs of one object do not meet in it; what people do to it is mended by who writes the record."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from revetl.errors import ConfigError, GuardrailError
from revetl.model import Relation, Scalar
from revetl.state import syncs
from revetl.sync.disconnect.taking_back import Leaving
from revetl.sync.rollback.judge import RollbackChoices
from tests.support.crashing import Crash
from tests.support.fake_destination import FakeDestination
from tests.unit.test_sync_disconnect import left
from tests.unit.test_sync_restored import LATER, PEOPLE, World, backup, erase, restore
from tests.unit.test_sync_rollback import roll_back_run

KEY = "our_key"


@dataclass
class KeyedFake(FakeDestination):
    """Can make a unique field. A value that another record has is refused, an address too."""

    unique: set[str] = field(default_factory=lambda: {"email"})
    made: list[str] = field(default_factory=list)

    async def make_key_field(self, object_: str, name: str) -> None:
        if name not in self.fields:
            self.made.append(name)
            self.fields = (*self.fields, name)
            self.unique = {*self.unique, name}


class KeyedWorld(World):
    def __init__(self, folder: Path, **spec: Any) -> None:
        super().__init__(folder)
        self.bench.destination = KeyedFake()
        self.bench.sync_as(**{"key_property": KEY, **spec})

    @property
    def keys(self) -> list[str]:
        return sorted(str(r.get(KEY)) for r in self.bench.destination.records.values())

    def of(self, key: str) -> dict[str, Scalar]:
        """The record that holds this key."""
        return dict(self.bench.destination.by(KEY)[key])

    def id_of(self, email: str) -> str:
        return next(id_ for id_, r in self.bench.destination.records.items() if r.get("email") == email)


@pytest.fixture
def world(tmp_path: Path) -> KeyedWorld:
    return KeyedWorld(tmp_path)


def test_a_new_record_is_made_with_its_key_and_planning_makes_no_field(world: KeyedWorld) -> None:
    world.bench.source(PEOPLE)
    plan = world.bench.plan(state_dir=world.state_dir)
    assert plan.fields[KEY] == 4
    assert isinstance(world.bench.destination, KeyedFake)
    assert world.bench.destination.made == []
    world.sync()
    assert (world.bench.destination.made, world.keys) == ([KEY], ["0", "1", "2", "3"])
    assert world.sync().plan.lines == 0


def test_who_is_adopted_or_known_without_a_key_is_given_it_as_planned(world: KeyedWorld) -> None:
    world.bench.sync_as(key_property=None)
    world.bench.source(PEOPLE[:2])
    world.sync()
    world.bench.destination.make(email="p2@x.io", firstname="P2", city="Bern")
    world.bench.sync_as(key_property=KEY)
    world.bench.source(PEOPLE[:3])
    plan = world.bench.plan(state_dir=world.state_dir)
    assert {line.key: (line.op, line.fields) for line in plan.samples} == {
        "0": ("update", {KEY: (None, "0")}),
        "1": ("update", {KEY: (None, "1")}),
        "2": ("adopt", {KEY: (None, "2")}),
    }
    world.sync()
    assert world.keys == ["0", "1", "2"]


def since_the_backup(world: KeyedWorld) -> None:
    """Three records are made, and one is changed; then the backup from before takes the warehouse's place."""
    kept = backup(world.bench.warehouse)
    world.bench.source([("0", "p0@x.io", "P0", "Rome"), *PEOPLE[1:], *LATER])
    world.sync()
    restore(world.bench.warehouse, kept)
    world.bench.sent()


MOVED = [(key, f"m.{email}", *rest) for key, email, *rest in LATER]


def test_after_a_restored_backup_a_record_is_found_by_its_key_alone(world: KeyedWorld) -> None:
    world.bench.source(PEOPLE)
    world.sync()
    since_the_backup(world)
    world.bench.source([*PEOPLE, *MOVED])
    report = world.sync()
    assert (report.plan.create, report.plan.adopt, report.plan.violations, report.exit_code) == (0, 3, [], 0)
    assert "every record is read back" in report.plan.notes[-1]
    assert world.keys == sorted(key for key, *_ in (*PEOPLE, *LATER))
    assert world.of("n0")["email"] == "m.n0@x.io"
    assert world.of("0")["city"] == "Rome", "the model has the city as the backup has it: it may be a person's"
    assert world.sync().plan.lines == 0


def test_what_is_new_since_or_was_archived_by_a_person_is_not_made_until_somebody_says_so(world: KeyedWorld) -> None:
    world.bench.source(PEOPLE)
    world.sync()
    since_the_backup(world)
    del world.bench.destination.records[world.id_of("n0@x.io")]
    world.bench.source([*PEOPLE, *MOVED, ("new", "new@x.io", "New", None)])
    with pytest.raises(GuardrailError, match=r"2 record\(s\)[^.]* may have been archived there by a person"):
        world.sync()
    assert not {"n0", "new"} & set(world.keys)
    report = world.sync("restored")
    assert (report.plan.create, report.plan.adopt, report.exit_code) == (2, 2, 0)


def test_a_backup_of_the_time_before_the_key_still_asks_a_person(world: KeyedWorld) -> None:
    """What was made between it and the first key carries none."""
    world.bench.sync_as(key_property=None)
    world.bench.source(PEOPLE)
    world.sync()
    kept = backup(world.bench.warehouse)
    world.bench.source([*PEOPLE, *LATER])
    world.sync()
    restore(world.bench.warehouse, kept)
    world.bench.sync_as(key_property=KEY)
    world.bench.source([*PEOPLE, *MOVED])
    with pytest.raises(GuardrailError, match=r"under an earlier value[\s\S]*--allow restored"):
        world.sync()
    world.bench.source([*PEOPLE, *LATER])
    world.sync()
    # From here on it is known: everybody was read, and who is made holds a key.
    kept = backup(world.bench.warehouse)
    world.bench.source([*PEOPLE, *LATER, ("late", "late@x.io", "Late", None)])
    world.sync()
    restore(world.bench.warehouse, kept)
    world.bench.source([*PEOPLE, *LATER, ("late", "m.late@x.io", "Late", None)])
    report = world.sync()
    assert (report.plan.create, report.plan.adopt, report.exit_code) == (0, 1, 0)


def test_a_backup_that_does_not_know_the_first_run_with_a_key_asks_too(world: KeyedWorld) -> None:
    world.bench.sync_as(key_property=None)
    world.bench.source(PEOPLE)
    world.sync()
    kept = backup(world.bench.warehouse)
    world.bench.source([*PEOPLE, LATER[0]])
    world.sync()
    world.bench.sync_as(key_property=KEY)
    world.bench.source([*PEOPLE, *LATER])
    world.sync()
    restore(world.bench.warehouse, kept)
    world.bench.source([*PEOPLE, *MOVED, ("new", "new@x.io", "New", None)])
    with pytest.raises(GuardrailError, match="1 record"):
        world.sync()


def test_another_field_begins_anew(world: KeyedWorld) -> None:
    world.bench.source(PEOPLE)
    world.sync()
    kept = backup(world.bench.warehouse)
    world.bench.source([*PEOPLE, *LATER])
    world.sync()
    restore(world.bench.warehouse, kept)
    world.bench.sync_as(key_property="other_key")
    world.bench.source([*PEOPLE, *MOVED])
    with pytest.raises(GuardrailError, match=r"under an earlier value[\s\S]*--allow restored"):
        world.sync()


def test_a_dropped_snapshot_finds_by_key_and_asks_before_it_creates(world: KeyedWorld) -> None:
    world.bench.source(PEOPLE)
    world.sync()
    world.bench.warehouse.execute("DELETE FROM revetl.snapshot__fake__contacts")
    moved = [(key, f"m.{email}", *rest) for key, email, *rest in PEOPLE]
    world.bench.source([*moved, ("new", "new@x.io", "New", None)])
    with pytest.raises(GuardrailError, match="1 record"):
        world.sync()
    world.bench.source(moved)
    report = world.sync()
    assert (report.plan.create, report.plan.adopt, world.keys) == (0, 4, ["0", "1", "2", "3"])


def test_a_backup_without_its_snapshot_asks_before_it_creates(world: KeyedWorld) -> None:
    world.bench.source(PEOPLE)
    world.sync()
    since_the_backup(world)
    world.bench.warehouse.execute("DELETE FROM revetl.snapshot__fake__contacts")
    world.bench.source([*PEOPLE, *MOVED, ("new", "new@x.io", "New", None)])
    with pytest.raises(GuardrailError, match="1 record"):
        world.sync()


def test_a_create_whose_answer_was_lost_is_repeated_on_the_same_record(world: KeyedWorld) -> None:
    """Also where the row has moved to another address before the next run, and what we wrote into it is emptied."""

    def lost(_: object) -> None:
        raise Crash

    world.bench.source(PEOPLE[:2])
    world.bench.destination.after_write = lost
    with pytest.raises(Crash):
        world.sync()
    world.bench.destination.after_write = lambda _: None
    world.bench.source([("0", "m0@x.io", None, "Bern"), ("1", "m1@x.io", "P1", "Bern")])
    report = world.sync()
    assert (report.plan.create, world.keys, world.emails) == (0, ["0", "1"], ["m0@x.io", "m1@x.io"])
    assert "firstname" not in world.of("0")


def test_a_create_that_meets_an_address_which_came_to_stand_there_is_refused_and_adopted_next(
    world: KeyedWorld,
) -> None:
    world.bench.source(PEOPLE[:1])

    def form(_: object) -> None:
        world.bench.destination.before_write = lambda _: None
        world.bench.destination.make(email="p0@x.io", city="theirs")

    world.bench.destination.before_write = form
    report = world.sync()
    assert (report.counts, report.exit_code) == ({"rejected": 1}, 1)
    report = world.sync()
    assert (report.plan.adopt, report.exit_code, world.keys) == (1, 0, ["0"])


def test_two_syncs_of_one_object_with_equal_keys_do_not_meet(world: KeyedWorld, tmp_path: Path) -> None:
    """Each has a field of its own. A person whom both hold carries both keys."""
    other = KeyedWorld(tmp_path / "other", name="fake__leads", key_property="lead_key")
    other.bench.warehouse.close()
    other.bench.warehouse, other.bench.destination = world.bench.warehouse, world.bench.destination
    other.bench.spec = replace(other.bench.spec, relation=Relation(other.bench.spec.relation.schema, "contacts"))
    leads = [("0", "lead0@x.io", "L0", None), ("1", "p2@x.io", "P2", "Bern")]

    def both() -> None:
        world.bench.source(PEOPLE)
        assert world.sync().exit_code == 0
        other.bench.source(leads)
        assert other.sync().exit_code == 0

    both()
    both()
    holds = {r["email"]: (r.get(KEY), r.get("lead_key")) for r in world.bench.destination.records.values()}
    assert holds == {
        "p0@x.io": ("0", None),
        "p1@x.io": ("1", None),
        "p2@x.io": ("2", "1"),
        "p3@x.io": ("3", None),
        "lead0@x.io": (None, "0"),
    }
    # And after a lost snapshot each finds its own.
    for table in ("fake__contacts", "fake__leads"):
        world.bench.warehouse.execute(f"DELETE FROM revetl.snapshot__{table}")
    both()
    assert len(world.bench.destination.records) == 5


def test_a_key_that_a_person_took_away_comes_back_with_the_next_update(world: KeyedWorld) -> None:
    world.bench.source(PEOPLE)
    world.sync()
    world.bench.destination.records[world.id_of("p1@x.io")][KEY] = None
    world.bench.source([PEOPLE[0], ("1", "p1@x.io", "P1", "Rome"), *PEOPLE[2:]])
    plan = world.bench.plan(state_dir=world.state_dir)
    assert [line.fields for line in plan.samples] == [{"city": ("Bern", "Rome"), KEY: (None, "1")}]
    world.sync()
    assert (world.keys, world.of("1")["city"]) == (["0", "1", "2", "3"], "Rome")


def test_without_its_key_a_record_is_found_by_match_on(world: KeyedWorld) -> None:
    world.bench.source(PEOPLE)
    world.sync()
    since_the_backup(world)
    world.bench.destination.records[world.id_of("n1@x.io")][KEY] = None
    world.bench.source([*PEOPLE, MOVED[0], LATER[1], MOVED[2]])
    report = world.sync()
    assert (report.plan.create, report.plan.adopt, len(world.keys)) == (0, 3, 7)
    assert world.of("n1")["email"] == "n1@x.io"


@pytest.mark.parametrize(("primary", "other"), [("0", "1"), ("1", "0")])
@pytest.mark.parametrize("lost", [False, True])
def test_of_two_that_a_person_merged_one_writes_and_the_record_holds_its_key(
    world: KeyedWorld, primary: str, other: str, lost: bool
) -> None:
    world.bench.source(PEOPLE)
    world.sync()
    one, two = (world.id_of(f"p{key}@x.io") for key in (primary, other))
    left = world.bench.destination.merge(one, two)
    if lost:
        world.bench.warehouse.execute("DELETE FROM revetl.snapshot__fake__contacts")
    world.bench.source([(key, email, name, "Rome") for key, email, name, _ in PEOPLE])
    report = world.sync()
    assert (report.plan.withheld, report.plan.create) == (1, 0)
    assert len(world.bench.destination.records) == 3
    stands = world.bench.destination.records[left]
    assert (stands[KEY], stands["email"], stands["city"]) == (primary, f"p{primary}@x.io", "Rome")
    # Whose key stands there leaves the model: the other has the record, and its key from then on.
    world.bench.source([(key, email, name, "Oslo") for key, email, name, _ in PEOPLE if key != primary])
    for _ in range(2):
        world.sync()
    stands = world.bench.destination.records[left]
    assert (stands[KEY], stands["city"]) == (other, "Oslo")


def test_a_record_that_holds_the_key_of_another_is_neither_adopted_nor_given_another_key(world: KeyedWorld) -> None:
    """Also where nothing else tells whose it is: the snapshot is older than the record."""
    world.bench.source(PEOPLE)
    world.sync()
    record = world.id_of("p0@x.io")
    world.bench.destination.further[record] = ["dan@x.io"]
    world.bench.warehouse.execute("UPDATE revetl.snapshot__fake__contacts SET destination_id = NULL WHERE key = '0'")
    world.bench.source([*PEOPLE, ("n", "dan@x.io", "Dan", "Oslo")])
    report = world.sync()
    assert report.plan.reasons == {"HELD_BY_ANOTHER_KEY": 1}
    stands = world.bench.destination.records[record]
    assert (stands[KEY], stands["email"], stands["firstname"]) == ("0", "p0@x.io", PEOPLE[0][2])


def test_what_leaves_a_mirror_and_is_cleared_keeps_what_it_is_found_by(tmp_path: Path) -> None:
    world = KeyedWorld(tmp_path, mode="mirror", on_leave="clear")
    world.bench.source(PEOPLE)
    world.sync()
    world.bench.source(PEOPLE[1:])
    world.sync("deleted")
    assert world.of("0") == {"email": "p0@x.io", KEY: "0"}


def test_an_archived_record_is_made_anew_by_a_rollback_with_its_key(tmp_path: Path) -> None:
    world = KeyedWorld(tmp_path, mode="mirror", on_leave="archive")
    world.bench.source(PEOPLE)
    world.sync()
    world.bench.source(PEOPLE[1:])
    report = world.sync("deleted")
    assert world.keys == ["1", "2", "3"]
    roll_back_run(world.bench, report.run_id, RollbackChoices(recreate_archived=True))
    assert world.keys == ["0", "1", "2", "3"]


def test_who_was_erased_is_not_found_by_the_key_after_a_restore(world: KeyedWorld) -> None:
    world.bench.source(PEOPLE)
    world.sync()
    kept = backup(world.bench.warehouse)
    erase(world, "p0@x.io")
    restore(world.bench.warehouse, kept)
    world.bench.warehouse.execute("DELETE FROM revetl.snapshot__fake__contacts WHERE key = '0'")
    world.bench.source([("0", "other@x.io", "Back", "Rome"), *PEOPLE[1:]])
    report = world.sync()
    assert (report.plan.suppressed, world.of("0")["firstname"], world.of("0")["city"]) == (1, "P0", "Bern")


def test_who_left_and_was_not_looked_for_is_not_told_as_gone(tmp_path: Path) -> None:
    """Its id is not known, it has no address, and the field for keys is still to be made: nobody was asked."""
    world = KeyedWorld(tmp_path, mode="mirror", on_leave="archive", key_property=None)
    world.bench.source(PEOPLE)
    world.sync()
    world.bench.warehouse.execute(
        "UPDATE revetl.snapshot__fake__contacts SET destination_id = NULL, row_hash = NULL, email = NULL"
        " WHERE key = '0'"
    )
    world.bench.sync_as(key_property=KEY)
    world.bench.source(PEOPLE[1:])
    plan = world.bench.plan(state_dir=world.state_dir)
    assert plan.reasons == {"NO_ID": 1}
    world.sync("deleted")
    assert len(world.bench.destination.records) == 4


def test_addresses_are_no_keys_to_write_down(world: KeyedWorld) -> None:
    world.bench.source([("ann@x.io", "ann@x.io", "Ann", None)])
    with pytest.raises(ConfigError, match="golden_id holds addresses"):
        world.sync()
    assert world.bench.destination.records == {}


def test_a_field_that_can_not_name_a_record_is_refused_before_anything_is_sent(world: KeyedWorld) -> None:
    world.bench.source(PEOPLE)
    for name, said in (("city", "a column that is sent too"), ("nickname", "no unique text field")):
        world.bench.destination.fields = ("email", "firstname", "city", "nickname")
        world.bench.sync_as(key_property=name)
        with pytest.raises(ConfigError, match=said):
            world.sync()
    world.bench.destination = FakeDestination()  # makes none
    world.bench.sync_as(key_property=KEY)
    with pytest.raises(ConfigError, match=f"no field '{KEY}'"):
        world.sync()


# Days of a project: rows come, go and change their email; at the end of each day it is synced. One evening is kept.
DAYS = st.lists(
    st.dictionaries(st.sampled_from("abcdef"), st.sampled_from(["1", "2", "3"]), min_size=1), min_size=2, max_size=5
)


@settings(max_examples=6, deadline=None)
@given(days=DAYS, data=st.data(), crash=st.integers(0, 6))
def test_whenever_a_backup_is_restored_every_record_is_found_by_its_key(
    tmp_path_factory: pytest.TempPathFactory, days: list[dict[str, str]], data: st.DataObject, crash: int
) -> None:
    """None is made twice, whatever became of the emails; also where the first run after the
    restore dies between a write and its answer."""
    world = KeyedWorld(tmp_path_factory.mktemp("days"))

    def source(day: dict[str, str]) -> None:
        world.bench.source([(key, f"{key}{mail}@x.io", key, "Bern") for key, mail in day.items()])

    evenings = []
    for day in days:
        source(day)
        world.sync()
        evenings.append(backup(world.bench.warehouse))
    restore(world.bench.warehouse, data.draw(st.sampled_from(evenings)))
    last = data.draw(DAYS)[0]
    source(last)
    writes = iter(range(100))

    def dies(_: object) -> None:
        if next(writes) == crash:
            raise Crash

    world.bench.destination.after_write = dies
    try:
        world.sync("restored")
    except Crash:
        source(data.draw(DAYS)[0] | last)
    world.bench.destination.after_write = lambda _: None
    world.sync("restored")
    ever = {key for each in [*days, last] for key in each}
    of_each = [str(r["firstname"]) for r in world.bench.destination.records.values()]
    assert len(of_each) == len(set(of_each))
    assert ever <= set(of_each)
    assert set(world.keys) == set(of_each)


@pytest.mark.parametrize("known", [False, True])
@pytest.mark.parametrize(("one", "other"), [("k", "k "), ("k", "\tk"), ("k", "\u00a0k"), ("\u00e9", "e\u0301")])
def test_of_keys_that_are_one_there_the_second_is_withheld_by_name(
    world: KeyedWorld, one: str, other: str, known: bool
) -> None:
    first, second = (one, "one@x.io", "One", None), (other, "two@x.io", "Two", None)
    plain = ("plain", "three@x.io", "Three", None)
    for rows in [[first], [first, second, plain]] if known else [[second, first, plain]]:
        world.bench.source(rows)
        report = world.bench.run()
    assert report.counts["rejected"] == 1
    assert len(world.bench.destination.records) == 2
    ((key, code, message),) = world.bench.warehouse.rows(
        "SELECT key, error_code, message FROM revetl.rejected__fake__contacts"
    )
    assert code == "SAME_IDENTITY"
    (kept,) = {one, other} - {key}
    assert f"as {kept} of this model" in str(message)
    assert key == other or not known
    # Once the first has left the model, the second is sent.
    world.bench.source([(str(key), "two@x.io", "Two", None), plain])
    assert world.bench.run().counts.get("rejected") is None


def test_records_of_ours_keep_our_key_when_the_destination_is_left_and_are_found_by_it_again(world: KeyedWorld) -> None:
    bench = world.bench
    bench.sync_as(match_on=None)
    bench.source(PEOPLE)
    bench.run()
    made = sorted(bench.destination.records)
    report = left(bench, Leaving.CLEAR)
    assert (report.disconnected, len(made)) == (True, len(PEOPLE))
    assert world.keys == sorted(str(row[0]) for row in PEOPLE)
    assert {r.get("firstname") for r in bench.destination.records.values()} == {None}
    syncs.reconnect(bench.warehouse, bench.spec.name)
    bench.source([*PEOPLE, ("new", "new@x.io", "New", None)])
    plan = bench.plan()
    assert (plan.create, plan.adopt) == (1, len(PEOPLE)), "the plan says what the writes by our key come to"
    bench.source(PEOPLE)
    assert bench.run().status == "done"
    assert sorted(bench.destination.records) == made
    assert {r["firstname"] for r in bench.destination.records.values()} == {row[2] for row in PEOPLE}

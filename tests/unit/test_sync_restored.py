"""State older than the destination: a backup that was restored, a schema or snapshot that was dropped. It is noticed,
everything is read back, and nothing is made a second time."""

from __future__ import annotations

import json
import stat
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from revetl.clock import LoopClock
from revetl.errors import ConfigError, GuardrailError
from revetl.model import Association, Scalar
from revetl.privacy import erased_file
from revetl.privacy.suppressions import Suppressions
from revetl.state import kept_files
from revetl.state.schema import create_all, relation
from revetl.sync import SyncReport, restored
from revetl.sync.drift.resolution import DriftResolution
from revetl.sync.plan import standing
from revetl.sync.plan.summary import Refresh
from revetl.warehouse.sql import table
from tests.support.backups import backup, restore
from tests.support.fake_destination import UnreadableFake
from tests.support.sync_bench import Bench, drift

PEOPLE = [(str(i), f"p{i}@x.io", f"P{i}", "Bern") for i in range(4)]
LATER = [(f"n{i}", f"n{i}@x.io", f"N{i}", "Bern") for i in range(3)]


class World:
    """A sync with a folder beside it."""

    def __init__(self, folder: Path) -> None:
        self.bench = Bench()
        self.state_dir = folder / ".revetl" / "dev"

    def sync(self, *allow: str, **options: object) -> SyncReport:
        return self.bench.run(state_dir=self.state_dir, allow=allow, **options)

    def city_of(self, email: str) -> Scalar:
        return next(r["city"] for r in self.bench.destination.records.values() if r["email"] == email)

    @property
    def emails(self) -> list[str]:
        return sorted(str(r["email"]) for r in self.bench.destination.records.values())


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


@pytest.fixture
def older(world: World) -> World:
    """Three records were made since the backup that was restored, and one was changed."""
    world.bench.source(PEOPLE)
    world.sync()
    kept = backup(world.bench.warehouse)
    world.bench.source([("0", "p0@x.io", "P0", "Rome"), *PEOPLE[1:], *LATER])
    world.sync()
    restore(world.bench.warehouse, kept)
    world.bench.sent()
    return world


def test_a_restored_backup_is_noticed_and_what_was_made_since_is_found_again(older: World) -> None:
    older.bench.source([*PEOPLE, *LATER])  # as the source was before: by the old snapshot nothing differs
    report = older.sync()
    assert "does not know run" in report.plan.notes[-1]
    assert (report.plan.create, report.plan.read_back, report.exit_code) == (0, True, 0)
    assert older.emails == sorted(email for _, email, *_ in (*PEOPLE, *LATER))
    # Rome was sent since. Nothing says so any more: it may be a person's.
    assert older.city_of("p0@x.io") == "Rome"
    assert (report.plan.theirs, report.plan.left_as_theirs, report.plan.update) == ({"city": 1}, 1, 0)
    assert "1 record(s) keep what stands there" in report.plan.notes[-1]
    assert "(city 1)" in report.plan.notes[-1]
    again = older.sync()
    assert (again.plan.changes, again.plan.read_back) == (0, False)
    drift(older.bench, DriftResolution("reassert", None))
    older.sync()
    assert older.city_of("p0@x.io") == "Bern"


def test_after_a_restore_what_people_did_is_left_and_only_what_differs_is_sent(world: World) -> None:
    world.bench.source(PEOPLE)
    world.sync()
    records = world.bench.destination.records
    zero, one, two, three = records
    records[zero]["city"] = "Hand"  # before the backup
    kept = backup(world.bench.warehouse)
    world.bench.source([*PEOPLE[:3], ("3", "p3@x.io", "P3", "Oslo")])
    world.sync()
    restore(world.bench.warehouse, kept)
    records[one]["firstname"] = "After"
    records[three]["firstname"] = "Three"
    del records[two]
    world.bench.source([*PEOPLE[:3], ("3", "p3@x.io", "P3", "Lund")])
    world.bench.sent()
    report = world.sync()
    plan = report.plan
    assert (plan.update, plan.fields, plan.reasons) == (1, {"city": 1}, {"OBJECT_NOT_FOUND": 1})
    assert (plan.theirs, plan.left_as_theirs) == ({"city": 1, "firstname": 2}, 3)
    assert world.bench.sent() == [("update", "3", {"city": "Lund"})]
    assert {line.key: line.note for line in plan.samples}["1"] == f"{standing.THEIRS}firstname"
    assert (records[zero]["city"], records[one]["firstname"]) == ("Hand", "After")
    found = drift(world.bench)
    assert found.fields == {"city": {"theirs": 1}, "firstname": {"theirs": 2}}, "they are a person's from here on"


def test_after_a_restore_a_swap_that_stands_is_not_made_again(world: World) -> None:
    world.bench.destination.unique = {"email"}
    world.bench.source(PEOPLE)
    world.sync()
    kept = backup(world.bench.warehouse)
    (_, mail0, *rest0), (_, mail1, *rest1) = PEOPLE[:2]
    swapped = [("0", mail1, *rest0), ("1", mail0, *rest1), *PEOPLE[2:]]
    world.bench.source(swapped)
    world.sync()
    restore(world.bench.warehouse, kept)
    world.bench.destination.written.clear()
    report = world.sync()
    assert (report.plan.changes, report.plan.vacated) == (0, 0)
    assert (report.plan.matched, report.plan.unchanged) == (2, 2), "what the snapshot knew is no news"
    assert world.bench.destination.written == []
    assert world.sync().plan.lines == 0


def test_after_a_restore_a_link_that_a_person_removed_is_not_made_again(world: World) -> None:
    bench = world.bench
    bench.sync_as(associate=(Association("fake__contacts", "boss", 1, "contacts"),))
    columns = "golden_id VARCHAR, email VARCHAR, firstname VARCHAR, city VARCHAR, boss VARCHAR"
    rows = [(*row, boss) for row, boss in zip(PEOPLE, ("1", "2", None, None), strict=True)]
    bench.source(rows, ddl=columns)
    world.sync()
    assert len(bench.destination.links) == 2
    kept = backup(bench.warehouse)
    bench.source([*rows[:3], (*PEOPLE[3], "2")], ddl=columns)
    world.sync()
    restore(bench.warehouse, kept)
    zero, one, two, three = bench.destination.records
    bench.destination.links = {link for link in bench.destination.links if link[0] != zero}
    bench.destination.linked.clear()
    planned = bench.plan(state_dir=world.state_dir)
    assert (planned.links.link, planned.links.standing) == (0, 1), "the one that the older state does not know"
    world.sync()
    assert bench.destination.links == {(one, two, 1), (three, two, 1)}
    assert bench.destination.linked == [], "it stood there"


@pytest.mark.parametrize("change", ["link", "unlink"])
def test_a_run_that_sent_nothing_but_links_is_missed_after_a_restore(world: World, change: str) -> None:
    bench = world.bench
    bench.sync_as(associate=(Association("fake__contacts", "boss", 1, "contacts"),))
    columns = "golden_id VARCHAR, email VARCHAR, firstname VARCHAR, city VARCHAR, boss VARCHAR"
    bosses: tuple[str | None, ...] = ("1", None, None, None)
    bench.source([(*row, boss) for row, boss in zip(PEOPLE, bosses, strict=True)], ddl=columns)
    world.sync()
    kept = backup(bench.warehouse)
    bosses = ("1", "2", None, None) if change == "link" else (None,) * 4
    bench.source([(*row, boss) for row, boss in zip(PEOPLE, bosses, strict=True)], ddl=columns)
    between = world.sync()
    assert between.plan.changes == 0
    assert between.counts == {f"{change}ed": 1}
    restore(bench.warehouse, kept)
    assert bench.plan(state_dir=world.state_dir).read_back
    report = world.sync()
    assert f"does not know run {between.run_id}" in report.plan.notes[-1]
    assert not world.sync().plan.read_back, "once it is healed it is over"


def test_after_a_restore_a_link_to_a_record_that_is_gone_waits_for_it(world: World) -> None:
    """Sent, it would be refused by every run."""
    bench = world.bench
    bench.sync_as(associate=(Association("fake__contacts", "boss", 1, "contacts"),))
    columns = "golden_id VARCHAR, email VARCHAR, firstname VARCHAR, city VARCHAR, boss VARCHAR"
    bench.source([(*row, None) for row in PEOPLE], ddl=columns)
    world.sync()
    kept = backup(bench.warehouse)
    bench.source([(*PEOPLE[0][:3], "Rome", None), *((*row, None) for row in PEOPLE[1:])], ddl=columns)
    world.sync()
    restore(bench.warehouse, kept)
    there = bench.destination
    *_, two, three = there.records
    gone = there.records.pop(two)
    there.bad_links = {two}
    bench.source([*((*row, None) for row in PEOPLE[:3]), (*PEOPLE[3], "2")], ddl=columns)
    for reasons in ({"OBJECT_NOT_FOUND": 1}, {}):  # withheld by the first plan, and in the queue since
        planned = bench.plan(state_dir=world.state_dir)
        assert (planned.reasons, planned.links.link, planned.links.waiting) == (reasons, 0, 1)
        report = world.sync()
        assert (report.waiting_reasons, report.links_refused, report.links_waiting) == ({"OBJECT_NOT_FOUND": 1}, {}, 1)
        assert there.linked == []
    again = there.make(**gone)
    bench.source(
        [*((*row, None) for row in PEOPLE[:2]), (*PEOPLE[2][:3], "Oslo", None), (*PEOPLE[3], "2")], ddl=columns
    )
    assert bench.plan(state_dir=world.state_dir).links.link == 1, "the plan finds the record under its new id"
    assert (world.sync().exit_code, there.linked) == (0, [("link", three, again)])


def test_what_can_not_be_found_again_is_not_made_until_a_person_says_so(older: World) -> None:
    """Their emails change before the next sync: by the restored state nobody can know them."""
    moved = [(key, f"m.{email}", *rest) for key, email, *rest in LATER]
    older.bench.source([*PEOPLE, *moved])
    standing = older.emails
    for _ in range(2):  # it stays stopped
        with pytest.raises(
            GuardrailError, match=r"3 record\(s\) were not found there[\s\S]*--allow restored"
        ) as stopped:
            older.sync()
        assert stopped.value.exit_code == 3
    assert older.emails == standing
    planned = older.bench.plan(state_dir=older.state_dir)
    assert [v.guardrail for v in planned.violations] == ["restored"]
    report = older.sync("restored")
    assert (report.plan.create, report.exit_code) == (3, 0)
    assert older.sync().plan.changes == 0


def test_a_part_of_it_does_not_pass_for_all(older: World) -> None:
    older.bench.source([*PEOPLE, *LATER])
    older.sync(limit=2)
    assert older.sync().plan.read_back


def test_a_run_that_sent_nothing_is_no_sign(world: World) -> None:
    """A stopped one, and one that had nothing to do."""
    world.bench.source(PEOPLE)
    world.sync()
    kept = backup(world.bench.warehouse)
    world.sync()
    world.bench.source([])
    with pytest.raises(GuardrailError):
        world.sync()
    restore(world.bench.warehouse, kept)
    world.bench.source(PEOPLE)
    report = world.sync()
    assert (report.plan.changes, report.plan.read_back) == (0, False)


@pytest.mark.parametrize("dropped", ["snapshot", "schema"])
def test_a_lost_snapshot_or_schema_is_noticed(world: World, dropped: str) -> None:
    world.bench.source(PEOPLE)
    world.sync()
    warehouse = world.bench.warehouse
    for name in warehouse.tables(warehouse.state_schema):
        if dropped == "schema" or name.startswith("snapshot__"):
            warehouse.execute(f"DROP TABLE IF EXISTS {table(relation(warehouse, name))}")
    create_all(warehouse)
    world.bench.source([*PEOPLE[1:], ("0", "moved@x.io", "P0", "Bern")])
    with pytest.raises(GuardrailError, match="restored"):
        world.sync()
    world.bench.source(PEOPLE)
    report = world.sync()
    assert (report.plan.create, report.exit_code, len(world.emails)) == (0, 0, 4)


def test_a_lost_snapshot_is_noticed_without_any_file(world: World) -> None:
    world.bench.source(PEOPLE)
    world.bench.run()
    world.bench.warehouse.execute("DELETE FROM revetl.snapshot__fake__contacts")
    world.bench.source([("0", "moved@x.io", "P0", "Bern")])
    with pytest.raises(GuardrailError, match="snapshot of this sync is empty"):
        world.bench.run()


def test_a_mirror_that_deleted_all_has_lost_nothing(world: World) -> None:
    world.bench.sync_as(mode="mirror", on_leave="archive")
    world.bench.source(PEOPLE)
    world.sync()
    world.bench.source([])
    world.sync("rows", "deleted")
    assert world.emails == []
    world.bench.source(LATER)
    report = world.sync()
    assert (report.plan.create, report.plan.read_back, report.exit_code) == (3, False, 0)


def test_what_was_archived_there_and_is_to_be_made_again_was_not_lost(world: World) -> None:
    def later() -> None:
        world.bench.clock = LoopClock(world.bench.clock.now() + timedelta(hours=1))

    world.bench.source(PEOPLE)
    world.sync()
    world.bench.destination.records.clear()
    for resolution in (DriftResolution("reassert", None), None):  # and looked at once more
        later()
        drift(world.bench, resolution)
    later()
    report = world.sync()
    assert (report.plan.create, report.plan.read_back, report.exit_code) == (4, False, 0)
    later()
    world.bench.warehouse.execute("DELETE FROM revetl.snapshot__fake__contacts")
    world.bench.source([("0", "moved@x.io", "P0", "Bern")])
    with pytest.raises(GuardrailError, match="snapshot of this sync is empty"):
        world.sync()


def test_a_saved_plan_is_not_applied_to_older_state(older: World) -> None:
    from revetl.sync.plan.planner import Planner

    async def put_back(_: object) -> object:
        raise AssertionError("nothing may be restored")

    with pytest.raises(GuardrailError, match="make a new plan"):
        older.sync(planner=Planner(put_back))  # type: ignore[arg-type]


def test_the_file_names_a_run_and_nobody_and_is_its_owners(world: World) -> None:
    world.bench.source(PEOPLE)
    report = world.sync()
    (path,) = (world.state_dir / "last_runs").iterdir()
    assert path.read_text() == report.run_id + "\n"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert (world.state_dir.parent / ".gitignore").read_text() == "*\n"


def test_where_the_file_can_not_be_written_nothing_is_sent(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    world.bench.source(PEOPLE)
    monkeypatch.setattr(kept_files, "write", full)
    with pytest.raises(OSError, match="No space"):
        world.sync()
    assert world.emails == []


# Days of a project: rows come, go and change their email; at the end of each day it is synced. One evening is kept.
DAYS = st.lists(
    st.dictionaries(st.sampled_from("abcdef"), st.sampled_from(["1", "2", "3"]), min_size=1), min_size=2, max_size=5
)


@settings(max_examples=6, deadline=None)
@given(days=DAYS, data=st.data())
def test_whenever_a_backup_is_restored_no_record_is_made_twice(
    tmp_path_factory: pytest.TempPathFactory, days: list[dict[str, str]], data: st.DataObject
) -> None:
    world = World(tmp_path_factory.mktemp("days"))
    evenings = []
    for day in days:
        world.bench.source([(key, f"{key}{mail}@x.io", key, "Bern") for key, mail in day.items()])
        world.sync()
        evenings.append(backup(world.bench.warehouse))
    restore(world.bench.warehouse, data.draw(st.sampled_from(evenings)))
    day = data.draw(DAYS)[0]
    world.bench.source([(key, f"{key}{mail}@x.io", key, "Bern") for key, mail in day.items()])
    made = len(world.bench.destination.records)
    try:
        report = world.sync()
    except GuardrailError:
        assert len(world.bench.destination.records) == made
        return
    ever = {key for each in days for key in each}
    of_each = [str(r["firstname"]) for r in world.bench.destination.records.values()]
    assert sorted(of_each) == sorted(ever | day.keys()), report.plan


# Erasures.
def erase(world: World, email: str) -> None:
    warehouse, now = world.bench.warehouse, world.bench.clock.now()
    create_all(warehouse)
    Suppressions.load(warehouse).erase([{"email": email}], ["0"], now)
    erased_file.reconcile(warehouse, world.state_dir, now)


def test_an_erasure_survives_a_restored_backup(world: World) -> None:
    world.bench.source(PEOPLE)
    world.sync()
    kept = backup(world.bench.warehouse)
    erase(world, "p0@x.io")
    restore(world.bench.warehouse, kept)
    said: list[str] = []
    world.bench.source([("9", "P0@x.io", "Back", "Bern"), *PEOPLE[1:]])
    report = world.sync(note=said.append)
    assert report.plan.suppressed == 1
    assert "Back" not in str(world.bench.destination.records)
    assert "2 entries of the list of erased people" in said[0]
    assert not any("p0" in line for line in said)


def test_an_erasure_survives_a_dropped_schema_with_its_key(world: World) -> None:
    erase(world, "p0@x.io")
    warehouse = world.bench.warehouse
    for name in warehouse.tables(warehouse.state_schema):
        warehouse.execute(f"DROP TABLE IF EXISTS {table(relation(warehouse, name))}")
    world.bench.source([("9", "p0@x.io", "Back", "Bern"), *PEOPLE[1:]])
    assert world.sync().plan.suppressed == 1
    assert "p0@x.io" not in world.emails


def test_a_new_folder_takes_the_list_over_from_the_warehouse(world: World) -> None:
    erase(world, "p0@x.io")
    path = world.state_dir / erased_file.FILE
    whole = path.read_text()
    path.unlink()
    world.bench.source(PEOPLE[1:])
    world.sync()
    assert path.read_text() == whole
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert "p0" not in whole


@pytest.mark.parametrize("text", ["", "[]", '{"key": {}, "erased": []}', "[" * 100_000, '{"erased": [1]}'])
def test_a_list_that_can_not_be_read_stops_everything(world: World, text: str) -> None:
    kept_files.write(world.state_dir / erased_file.FILE, world.state_dir, text)
    world.bench.source(PEOPLE)
    with pytest.raises(ConfigError, match="not the list of erased people"):
        world.sync()
    assert world.emails == []


def test_a_list_of_another_key_stops_everything(world: World, tmp_path: Path) -> None:
    erase(world, "p0@x.io")
    other = World(tmp_path / "other")
    erase(other, "p1@x.io")
    text = (other.state_dir / erased_file.FILE).read_text()
    kept_files.write(world.state_dir / erased_file.FILE, world.state_dir, text)
    world.bench.source(PEOPLE)
    if json.loads(text)["key"] == _key_of(world):
        pytest.skip("one server, one schema: the two worlds share their key")
    with pytest.raises(ConfigError, match="another key"):
        world.sync()
    assert world.emails == []


def _key_of(world: World) -> dict[str, object]:
    ((source, salt, fingerprint),) = world.bench.rows("SELECT source, salt, fingerprint FROM revetl.suppression_key")
    return {"source": source, "salt": salt, "fingerprint": fingerprint}


def test_of_events_nothing_is_sent_twice(world: World) -> None:
    """A full refresh would add each once more."""
    older = restored.OlderState("r1")
    there = world.bench.destination
    assert restored.refresh(world.bench.spec, there, older, asked=False) is Refresh.READ_BACK
    assert restored.refresh(world.bench.spec, UnreadableFake(), older, asked=False) is Refresh.WHOLE
    world.bench.sync_as(mode="insert")
    assert restored.refresh(world.bench.spec, there, older, asked=False) is Refresh.NONE

"""A saved plan is applied exactly as it was, once, and refused where it was altered or its world is gone."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from revetl.errors import ConfigError, Denied, GuardrailError, RevetlError
from revetl.model import Association, Guardrails
from revetl.state import saved_plans
from revetl.sync import SyncReport
from revetl.sync.plan import saved
from tests.support.crashing import Crash
from tests.support.sync_bench import Bench

PEOPLE = [(str(i), f"p{i}@x.io", f"P{i}", "Bern") for i in range(6)]


@dataclass
class SavedBench:
    """A bench with a plan on paper."""

    bench: Bench
    path: Path

    def save(self) -> None:
        plan = self.bench.plan()
        made = saved.entry(self.bench.warehouse, self.bench.spec, plan, self.bench.clock)
        saved.write_file(self.bench.warehouse, self.path, "dev", [made], self.bench.clock)

    def apply(self, **options: Any) -> SyncReport:
        bench = self.bench
        file = saved.read_file(self.path)
        saved.check_seal(bench.warehouse, file)
        (entry,) = file.entries
        saved.check(bench.warehouse, bench.spec, entry)
        report = asyncio.run(bench.start(planner=saved.planner(bench.warehouse, bench.spec, entry), **options))
        saved.finish(bench.warehouse, entry, report.run_id, report.counts)
        return report

    def alter(self, change: Any, *, sealed: bool = False) -> None:
        document = json.loads(self.path.read_text())
        change(document)
        if sealed:
            document.pop("sha256")
            document["sha256"] = saved._digest(document)
        self.path.write_text(json.dumps(document))

    def refused(self, code: int, *words: str) -> None:
        """Nothing is sent, and the sentence says why."""
        with pytest.raises(RevetlError) as e:
            self.apply()
        assert e.value.exit_code == code
        for word in words:
            assert word in str(e.value)
        assert self.bench.sent() == []


@pytest.fixture
def kept(tmp_path: Path) -> SavedBench:
    bench = Bench()
    bench.source(PEOPLE[:4])
    bench.run()
    bench.sent()
    bench.source([*PEOPLE[:2], ("2", "p2@x.io", "P2", "Rome"), *PEOPLE[3:5]])
    kept = SavedBench(bench, tmp_path / "plan.json")
    kept.save()
    return kept


PLANNED = [("create", "4", {"email": "p4@x.io", "firstname": "P4", "city": "Bern"}), ("update", "2", {"city": "Rome"})]


def test_what_was_approved_is_sent_though_the_source_has_moved_on(kept: SavedBench) -> None:
    kept.bench.source([("0", "p0@x.io", "Changed", "Oslo")])
    report = kept.apply()
    assert kept.bench.sent() == PLANNED
    assert (report.counts, report.plan.create, report.plan.update) == ({"ok": 2}, 1, 1)
    later = kept.bench.run()
    assert (later.plan.update, later.plan.left) == (1, 4), "the next sync sends the rest"


def test_a_plan_made_in_between_does_not_replace_it(kept: SavedBench) -> None:
    kept.bench.source(PEOPLE)
    kept.bench.plan()
    kept.apply()
    assert kept.bench.sent() == PLANNED


def test_the_file_holds_no_key_and_no_value(kept: SavedBench) -> None:
    text = kept.path.read_text()
    for word in ("x.io", "P4", "Rome", '"4"'):
        assert word not in text
    assert json.loads(text)["syncs"][0]["counts"]["update"] == 1


def test_applied_twice_is_refused(kept: SavedBench) -> None:
    kept.apply()
    kept.bench.sent()
    kept.refused(3, "applied already, by run", "revetl plan")


def test_an_altered_file_is_refused(kept: SavedBench) -> None:
    kept.alter(lambda d: d["syncs"][0]["counts"].update(update=7))
    kept.refused(2, "altered")


def test_another_target_written_into_it_is_refused(kept: SavedBench) -> None:
    kept.alter(lambda d: d.update(target="prod"))
    kept.refused(2, "altered")


def test_an_altered_file_with_a_digest_to_fit_is_refused(kept: SavedBench) -> None:
    kept.alter(lambda d: d["syncs"][0].update(guardrails=[]) or d["syncs"][0]["counts"].update(update=7), sealed=True)
    kept.refused(2, "altered")


@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE {t} SET after__city = 'Oslo' WHERE key = '2'",
        "UPDATE {t} SET changed_fields = '[]' WHERE key = '2'",
        "UPDATE {t} SET key = '3' WHERE key = '2'",
        "UPDATE {t} SET destination_id = NULL WHERE key = '2'",
        "DELETE FROM {t} WHERE key = '4'",
        "INSERT INTO {t} SELECT * FROM {t} WHERE key = '4'",
    ],
)
def test_altered_lines_are_refused(kept: SavedBench, sql: str) -> None:
    (entry,) = saved.read_file(kept.path).entries
    copy = saved_plans.copy_of(kept.bench.warehouse, entry.plan_id)
    kept.bench.warehouse.execute(sql.format(t=f'revetl."{copy.name}"'))
    kept.refused(2, "lines were altered")


def test_a_run_in_between_makes_it_stale(kept: SavedBench) -> None:
    kept.bench.run()
    kept.bench.sent()
    kept.refused(3, "stale", "revetl plan --out")


def test_a_run_that_only_met_refusals_makes_it_stale(kept: SavedBench) -> None:
    kept.bench.destination.poison = {"p4@x.io", "Rome"}
    assert kept.bench.run().counts == {"rejected": 2}
    kept.bench.sent()
    kept.refused(3, "stale")


def test_a_recovery_in_between_makes_it_stale(kept: SavedBench) -> None:
    def die(_: object) -> None:
        raise Crash

    kept.bench.destination.after_write = die
    with pytest.raises(Crash):
        kept.bench.run()
    kept.bench.destination.after_write = lambda _: None
    kept.bench.sent()
    kept.bench.plan()
    kept.refused(3, "stale")


def test_a_record_that_became_doubtful_makes_it_stale(kept: SavedBench) -> None:
    kept.bench.warehouse.execute("UPDATE revetl.snapshot__fake__contacts SET row_hash = NULL WHERE key = '0'")
    kept.refused(3, "stale")


def test_a_run_that_found_nothing_to_do_leaves_it_good(kept: SavedBench) -> None:
    kept.bench.source(PEOPLE[:4])
    assert kept.bench.run().plan.changes == 0
    kept.apply()
    assert kept.bench.sent() == PLANNED


def test_other_columns_make_it_stale(kept: SavedBench) -> None:
    kept.bench.sync_as(columns=("golden_id", "email", "city"))
    kept.refused(3, "columns")


def test_other_rules_make_it_stale(kept: SavedBench) -> None:
    kept.bench.sync_as(mode="update")
    kept.refused(3, "synced, changed")


def test_a_crash_in_the_middle_is_healed_by_the_next_run_and_the_file_is_used_up(kept: SavedBench) -> None:
    kept.bench.destination.batch_rows = 1

    def die(_: object) -> None:
        raise Crash

    kept.bench.destination.after_write = die
    with pytest.raises(Crash):
        kept.apply()
    kept.bench.destination.after_write = lambda _: None
    kept.bench.sent()
    kept.refused(3, "plan")
    report = kept.bench.run()
    assert report.plan.in_doubt
    assert set(kept.bench.destination.by("email")) == {f"p{i}@x.io" for i in range(5)}
    assert kept.bench.destination.by("email")["p2@x.io"]["city"] == "Rome"


def test_refused_credentials_leave_it_good(kept: SavedBench) -> None:
    def denied(_: object) -> None:
        raise Denied("no")

    kept.bench.destination.before_write = denied
    assert kept.apply().exit_code == 4
    kept.bench.destination.before_write = lambda _: None
    kept.apply()
    assert kept.bench.sent() == PLANNED


def test_its_guardrails_hold_and_can_be_allowed(kept: SavedBench) -> None:
    kept.bench.sync_as(guardrails=Guardrails(max_changed_share=0.1))
    kept.save()
    kept.bench.sync_as(guardrails=Guardrails())
    with pytest.raises(GuardrailError, match="--allow changed"):
        kept.apply()
    kept.apply(allow=("changed",))
    assert kept.bench.sent() == PLANNED


def test_lines_are_dropped_once_used_and_after_thirty_days(kept: SavedBench) -> None:
    def copies() -> int:
        found = kept.bench.rows(
            "SELECT count(*) FROM information_schema.tables WHERE table_name LIKE 'saved\\_\\_%' ESCAPE '\\'"
        )
        return int(str(found[0][0]))

    kept.save()
    assert copies() == 2
    kept.apply()
    assert copies() == 1
    kept.bench.warehouse.execute("UPDATE revetl.saved_plans SET created_at = created_at - INTERVAL 31 DAY")
    kept.save()
    assert copies() == 1, "only the new one"


def test_an_old_plan_says_that_it_is_old(kept: SavedBench) -> None:
    kept.bench.warehouse.execute("UPDATE revetl.saved_plans SET created_at = created_at - INTERVAL 31 DAY")
    old = kept.path.read_text()
    kept.save()
    kept.path.write_text(old)
    kept.refused(3, "30 days")


def _sealed(**document: Any) -> str:
    return json.dumps({**document, "sha256": saved._digest(document)})


_WHOLE = {"revetl_plan": 1, "target": "dev", "created_at": "2026-01-01T00:00:00Z"}
_NO_PLANS = [
    *("", "[]", "{}", '{"sha256": 1}', "no json", "[" * 100_000, '{"a": ' * 100_000),
    _sealed(**_WHOLE),
    _sealed(**_WHOLE, syncs=[]),
    _sealed(**_WHOLE, syncs="x"),
    _sealed(**_WHOLE, syncs=["x"]),
    _sealed(**_WHOLE, syncs=[{"sync": "people"}]),
    _sealed(**_WHOLE, syncs=[{"sync": 1, "plan_id": []}]),
    _sealed(**{**_WHOLE, "target": None}, syncs=[{"sync": "people", "plan_id": "p"}]),
]


@pytest.mark.parametrize("text", _NO_PLANS, ids=range(len(_NO_PLANS)))
def test_another_file_is_told_as_such(tmp_path: Path, text: str) -> None:
    path = tmp_path / "x.json"
    path.write_text(text)
    with pytest.raises(ConfigError, match="not a plan"):
        saved.read_file(path)
    with pytest.raises(ConfigError, match="no such file"):
        saved.read_file(tmp_path / "none.json")


def test_a_plan_of_another_warehouse_is_refused(kept: SavedBench) -> None:
    other = SavedBench(Bench(), kept.path)
    other.bench.source(PEOPLE)
    other.bench.plan()
    other.refused(2, "knows no plan")


def test_the_file_is_written_whole_or_not_at_all(kept: SavedBench, monkeypatch: pytest.MonkeyPatch) -> None:
    before = kept.path.read_text()

    def full(self: Path, *_: object, **__: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(OSError, match="No space"):
        saved.write_file(kept.bench.warehouse, kept.path, "dev", [], kept.bench.clock)
    monkeypatch.undo()
    assert kept.path.read_text() == before
    assert [p.name for p in kept.path.parent.iterdir()] == [kept.path.name]


def test_links_are_those_that_were_approved(tmp_path: Path) -> None:
    """A plan of two syncs: the links that contacts had when it was made, to firms that it creates."""
    from tests.unit.test_sync_links import FIRMS, Two

    bench = Two()
    bench.destination.fields = ("email", "domain")
    links = (Association("fake__firms", "firm_id", 1, "firms"),)
    bench.sync_as(columns=("golden_id", "email", "firm_id"), associate=links, guardrails=Guardrails(min_rows=0))
    bench.firms("acme", "bolt")
    bench.people(ann="acme", bob="bolt")
    firms, contacts = (
        SavedBench(replace(bench, spec=FIRMS), tmp_path / "firms.json"),
        SavedBench(bench, tmp_path / "contacts.json"),
    )
    firms.save()
    contacts.save()
    bench.people(ann="bolt", bob=None, cid="acme")
    firms.apply()
    assert contacts.apply().counts == {"ok": 2, "linked": 2}
    assert bench.linked() == [("ann", "acme"), ("bob", "bolt")]
    bench.run()
    assert bench.linked() == [("ann", "bolt"), ("cid", "acme")], "the next sync sends what changed since"


def test_a_link_that_the_model_names_again_is_not_removed(tmp_path: Path) -> None:
    from tests.unit.test_sync_links import Two

    bench = Two()
    bench.destination.fields = ("email", "domain")
    links = (Association("fake__firms", "firm_id", 1, "firms"),)
    bench.sync_as(columns=("golden_id", "email", "firm_id"), associate=links, guardrails=Guardrails(min_rows=0))
    bench.firms("acme")
    bench.people(ann="acme", bob="acme")
    bench.run_firms()
    bench.run()
    bench.people(ann=None, bob=None)
    contacts = SavedBench(bench, tmp_path / "contacts.json")
    contacts.save()
    bench.people(ann="acme", bob=None)
    report = contacts.apply()
    assert (report.counts, bench.linked()) == ({"unlinked": 1}, [("ann", "acme")])
    assert report.plan.notes == ["1 link(s) not removed: the model names them again since the plan was made"]


def test_altered_links_are_refused(tmp_path: Path) -> None:
    from tests.unit.test_sync_links import Two

    bench = Two()
    bench.destination.fields = ("email",)
    links = (Association("fake__firms", "firm_id", 1, "firms"),)
    bench.sync_as(columns=("golden_id", "email", "firm_id"), associate=links)
    bench.people(ann="acme")
    kept = SavedBench(bench, tmp_path / "plan.json")
    kept.save()
    (entry,) = saved.read_file(kept.path).entries
    copy = saved_plans.pairs_of(bench.warehouse, entry.plan_id)
    bench.warehouse.execute(f"UPDATE revetl.\"{copy.name}\" SET firm_id = 'bolt'")
    kept.refused(2, "lines were altered")


@pytest.mark.parametrize("raw", [b"[" * 100_000, b'{"sha256": ' * 900, b"\xff\xfe", b"null", b"1" * 5_000, b"[]"])
def test_a_file_that_is_no_plan_is_a_configuration_error(tmp_path: Path, raw: bytes) -> None:
    path = tmp_path / "plan.json"
    path.write_bytes(raw)
    with pytest.raises(ConfigError) as e:
        saved.read_file(path)
    assert e.value.problems[0].path == path


def test_a_file_that_was_altered_is_said_to_be_without_asking_the_warehouse(kept: SavedBench) -> None:
    document = json.loads(kept.path.read_text())
    document["target"] = "prod"
    kept.path.write_text(json.dumps(document))
    with pytest.raises(ConfigError, match="was altered after it was saved"):
        saved.read_file(kept.path)


def _places(value: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [at, *(place for step, item in inner for place in _places(item, (*at, step)))]


@given(data=st.data())
def test_whatever_is_changed_in_the_file_it_is_refused_though_its_digest_is_reckoned_anew(
    two: SavedBench, data: st.DataObject
) -> None:
    whole = json.loads(two.path.read_text())
    file = two.path.with_name("changed.json")
    document = json.loads(two.path.read_text())
    document.pop("sha256")
    place = data.draw(st.sampled_from(_places(document)[1:]))
    holder = document
    for step in place[:-1]:
        holder = holder[step]
    match data.draw(st.sampled_from(["remove", "replace", "turn round"])):
        case "remove":
            del holder[place[-1]]
        case "replace":
            holder[place[-1]] = data.draw(st.sampled_from([None, 0, 1.5, "x", [], {}, "1999-01-01T00:00:00Z"]))
        case _:
            document["syncs"] = document["syncs"][::-1]
    file.write_text(json.dumps({**document, "sha256": saved._digest(document)}))
    if json.dumps(document, sort_keys=True) == json.dumps(
        {k: v for k, v in whole.items() if k != "sha256"}, sort_keys=True
    ):
        return
    with pytest.raises(ConfigError):
        saved.check_seal(two.bench.warehouse, saved.read_file(file))


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> SavedBench:
    """A file with two plans in it."""
    bench = Bench()
    bench.source(PEOPLE[:4])
    path = tmp_path_factory.mktemp("two") / "plan.json"
    entries = [saved.entry(bench.warehouse, bench.spec, bench.plan(), bench.clock) for _ in range(2)]
    saved.write_file(bench.warehouse, path, "dev", entries, bench.clock)
    saved.check_seal(bench.warehouse, saved.read_file(path))
    return SavedBench(bench, path)


def test_a_key_that_stands_twice_is_no_plan(kept: SavedBench) -> None:
    """A reviewer would see one value, and the other would be read."""
    text = kept.path.read_text()
    kept.path.write_text(text.replace('"target": "dev"', '"target": "prod",\n  "target": "dev"'))
    with pytest.raises(ConfigError, match="not a plan"):
        saved.read_file(kept.path)


def test_a_file_of_a_version_that_knew_no_seal_is_applied(kept: SavedBench) -> None:
    kept.bench.warehouse.execute("ALTER TABLE revetl.saved_plans DROP COLUMN file_digest")
    kept.apply()
    assert kept.bench.sent() == PLANNED


@pytest.mark.parametrize("on_leave", ["archive", "clear"])
def test_who_came_back_since_the_plan_was_made_is_not_removed(kept: SavedBench, on_leave: str) -> None:
    """By the same key, or by another one that has the address."""
    bench = kept.bench
    bench.sync_as(mode="mirror", on_leave=on_leave)
    bench.source([])
    bench.sync_as(guardrails=Guardrails(min_rows=0))
    kept.save()
    bench.source([PEOPLE[0], ("new", "P1@x.io", "P1", "Bern")])
    report = kept.apply()
    sent = bench.sent()
    assert {key for _, key, _ in sent} == {"2", "3"}
    assert (report.plan.reasons, report.plan.changes, report.exit_code) == ({"CAME_BACK": 2}, 2, 1)
    assert {bench.destination.records[i]["firstname"] for i in bench.destination.records} >= {"P0", "P1"}
    bench.run()  # gives the record to the key that has the address
    later = bench.run()
    assert (later.exit_code, later.waiting, later.plan.withheld) == (0, {}, 0), "they are of the model again"

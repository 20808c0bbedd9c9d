from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from revetl.errors import ConfigError, Denied, GuardrailError, Rejected, Unavailable, WarehouseError
from revetl.model import Change, FieldRule, Guardrails, Operation, Outcome, Status
from revetl.state import outcomes
from revetl.state.runs import get_run, list_runs
from revetl.sync.apply import checkpoint
from revetl.sync.rollback.rolling_back import RollbackChoices, roll_back
from tests.support.sync_bench import ANN, BOB, CID, Bench, bench_of_three
from tests.support.warehouses import SCHEMA


@pytest.fixture
def bench() -> Bench:
    return bench_of_three()


def test_the_first_run_creates_and_the_second_sends_nothing(bench: Bench) -> None:
    report = bench.run()
    assert (report.status, report.counts, report.exit_code) == ("done", {"ok": 3}, 0)
    assert ("create", "2", {"email": "bob@x.io", "firstname": "Bob"}) in bench.sent()
    again = bench.run()
    assert again.plan.unchanged == 3
    assert bench.sent() == []


def test_only_changed_fields_are_sent_and_a_null_clears(bench: Bench) -> None:
    bench.run()
    bench.sent()
    bench.source([("1", "ann@x.io", "Anna", "Riga"), BOB, ("3", "cid@x.io", "Cid", None)])
    report = bench.run()
    assert bench.sent() == [("update", "1", {"firstname": "Anna"}), ("update", "3", {"city": None})]
    assert report.plan.fields == {"firstname": 1, "city": 1}
    found = {o.key: o for o in outcomes.of_run(bench.warehouse, report.run_id)}
    assert (found["1"].before, found["1"].after) == ({"firstname": "Ann"}, {"firstname": "Anna"})
    assert (found["3"].before, found["3"].after) == ({"city": "Oslo"}, {"city": None})


def test_when_null_keep_never_clears_and_remembers_what_stands_there(bench: Bench) -> None:
    bench.sync_as(fields={"city": FieldRule(when_null="keep")})
    bench.run()
    bench.sent()
    bench.source([("1", "ann@x.io", "Ann", None), BOB, CID])
    assert bench.run().plan.changes == 0
    bench.source([ANN, BOB, CID])
    assert bench.run().plan.changes == 0, "Riga still stands there"
    assert bench.sent() == []


def test_an_existing_record_is_adopted_and_only_what_differs_is_sent(bench: Bench) -> None:
    bench.destination.records["7"] = {"email": "ANN@x.io", "firstname": "Ann", "city": "Old"}
    bench.destination.records["8"] = {"email": "bob@x.io", "firstname": "Bob", "city": "Bern"}
    report = bench.run()
    assert (report.plan.create, report.plan.adopt, report.plan.matched) == (1, 1, 1)
    assert ("update", "1", {"city": "Riga"}) in bench.sent()
    assert bench.destination.records["8"]["city"] == "Bern", "our null says nothing about a value we never wrote"
    assert report.counts == {"ok": 3}
    before = {o.key: o.before for o in outcomes.of_run(bench.warehouse, report.run_id)}
    assert before["1"] == {"city": "Old"}
    assert bench.run().plan.changes == 0


def test_without_a_value_to_look_for_nothing_is_created(bench: Bench) -> None:
    bench.source([ANN, ("2", None, "Bob", None)])
    report = bench.run()
    assert report.counts == {"ok": 1, "skipped": 1}
    assert report.exit_code == 0
    assert bench.run().plan.waiting == 1


def test_two_records_with_one_email_never_overwrite_each_other(bench: Bench) -> None:
    bench.source([ANN, ("2", "Ann@X.io", "Twin", None)])
    report = bench.run()
    assert report.counts == {"ok": 1, "rejected": 1}
    assert bench.destination.by("email") == {"ann@x.io": {"email": "ann@x.io", "firstname": "Ann", "city": "Riga"}}
    bench.source([ANN, ("2", "ann@x.io", "Twin", "Rome")])
    assert bench.run().counts == {"rejected": 1}, "now the record belongs to key 1"


def test_a_key_that_left_hands_its_record_over(bench: Bench) -> None:
    bench.sync_as(mode="mirror", on_leave="archive")
    bench.run()
    bench.source([("9", "ann@x.io", "Ann", "Rome"), BOB, CID])
    bench.sent()
    report = bench.run()
    assert bench.sent() == [("update", "9", {"city": "Rome"})]
    assert report.counts == {"ok": 1}
    assert bench.run().plan.changes == 0


def test_a_rejected_record_costs_nobody_and_waits_until_it_changes(bench: Bench) -> None:
    bench.destination.poison = {"bob@x.io"}
    report = bench.run()
    assert (report.counts, report.exit_code, report.status) == ({"ok": 2, "rejected": 1}, 1, "partial")
    assert outcomes.reasons(bench.warehouse, report.run_id) == [
        ("rejected", "VALIDATION_ERROR", "the value is not valid", 1)
    ]
    bench.sent()
    again = bench.run()
    assert (bench.sent(), again.plan.waiting, again.exit_code) == ([], 1, 0)
    bench.source([ANN, ("2", "bob@y.io", "Bob", None), CID])
    assert bench.run().counts == {"ok": 1}
    assert bench.rows("SELECT count(*) FROM revetl.rejected__fake__contacts") == [(0,)]


@pytest.mark.parametrize(("key", "said"), [(None, "no golden_id"), ("1", "'1' (2 times)")])
def test_null_and_duplicate_keys_stop_the_run_before_anything_is_sent(bench: Bench, key: str | None, said: str) -> None:
    bench.source([ANN, BOB, (key, "dup@x.io", "Dup", None)])
    with pytest.raises(ConfigError, match=r"fake__contacts\.yml") as first:
        bench.run()
    assert said in str(first.value)
    assert bench.sent() == []
    bench.source([ANN, BOB])
    bench.run()
    bench.sent()
    bench.source([ANN, BOB, (key, "ann@x.io", "Ann", "Riga")])
    with pytest.raises(ConfigError) as second:
        bench.run()
    assert said in str(second.value), "the same where the key is in the snapshot already"
    assert bench.sent() == []
    assert list_runs(bench.warehouse, 1)[0].status == "failed"


def test_unknown_and_read_only_fields_are_named_with_the_nearest(bench: Bench) -> None:
    bench.destination.fields = ("email", "first_name", "city")
    bench.destination.read_only = {"city"}
    with pytest.raises(ConfigError) as e:
        bench.run()
    assert "no field 'firstname'" in str(e.value)
    assert "Did you mean 'first_name'?" in str(e.value)
    assert "'city'" in str(e.value)
    assert bench.sent() == []


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"fields": {"city": FieldRule(policy="forward_only")}}, "a string field has no order"),
        ({"match_on": "mail"}, "Did you mean 'email'?"),
        ({"fields": {"town": FieldRule()}}, "'town'"),
        ({"columns": ("golden_id", "email", "firstnam")}, "Did you mean 'firstname'?"),
        ({"relation": replace(Bench().spec.relation, name="nothing")}, "revetl build"),
    ],
)
def test_what_cannot_be_done_is_refused(bench: Bench, change: dict[str, object], said: str) -> None:
    bench.sync_as(**change)
    with pytest.raises(ConfigError) as e:
        bench.run()
    assert said in str(e.value)


def test_guardrails_stop_before_anything_is_sent(bench: Bench) -> None:
    bench.sync_as(mode="mirror", on_leave="archive", guardrails=Guardrails(0.5, 0.5, 1))
    bench.run()
    bench.sent()
    for rows in ([], [("1", "a@x.io", "A", "A"), ("2", "b@x.io", "B", "B"), CID], [ANN]):
        bench.source(rows)
        with pytest.raises(GuardrailError):
            bench.run()
    assert bench.sent() == []
    assert list_runs(bench.warehouse, 1)[0].status == "stopped"


def test_mirror_archives_clears_once_or_leaves(bench: Bench) -> None:
    bench.run()
    bench.source([ANN, BOB])
    bench.sent()
    assert bench.run().plan.left == 1
    assert bench.sent() == [], "upsert keeps what left"
    bench.sync_as(mode="mirror", on_leave="clear")
    bench.run()
    assert bench.sent() == [("update", "3", {"firstname": None, "city": None})]
    assert bench.run().plan.changes == 0
    bench.sync_as(on_leave="archive")
    bench.run()
    assert [op for op, *_ in bench.sent()] == ["delete"]
    assert len(bench.destination.records) == 2
    assert bench.run().plan.changes == 0


def test_deletes_are_cut_and_counted_by_their_own_limit(bench: Bench) -> None:
    """As a vendor wants it that takes many records in one call, and one delete."""
    bench.destination.delete_rows = 1
    created = bench.run()
    bench.sync_as(mode="mirror", on_leave="archive")
    bench.source([("4", "dan@x.io", "Dan", None), ("5", "eve@x.io", "Eve", None)])
    calls: list[tuple[str, int]] = []
    bench.destination.before_write = lambda changes: calls.append((changes[0].op.value, len(changes)))
    report = bench.run()
    assert sorted(calls) == [("create", 2), ("delete", 1), ("delete", 1), ("delete", 1)]
    assert report.plan.requests == 4
    assert report.plan.forecast is not None
    assert report.plan.forecast.writes == {"create": 1, "delete": 3}
    assert created.plan.requests == 1
    undone = get_run(bench.warehouse, report.run_id)
    assert undone is not None
    ctx = bench.context(command="rollback")
    choices = RollbackChoices(archive_created=True, recreate_archived=True)
    plan = asyncio.run(roll_back(ctx, bench.spec, bench.destination, undone, choices)).plan
    assert (plan.archive, plan.recreate, plan.requests) == (2, 3, 2 + 1)


def test_whoever_comes_back_under_another_key_finds_the_cleared_record(bench: Bench) -> None:
    bench.sync_as(mode="mirror", on_leave="clear")
    bench.run()
    bench.source([ANN, BOB])
    bench.run()
    bench.source([ANN, BOB, ("other", *CID[1:])])
    report = bench.run()
    assert (report.plan.create, report.plan.adopt, len(bench.destination.records)) == (0, 1, 3)
    assert bench.rows("SELECT key FROM revetl.snapshot__fake__contacts ORDER BY key") == [("1",), ("2",), ("other",)]


def test_update_never_creates_and_insert_never_updates(bench: Bench) -> None:
    bench.sync_as(mode="update")
    bench.destination.records["7"] = {"email": "ann@x.io", "firstname": "A", "city": "Riga"}
    bench.run()
    assert bench.sent() == [("update", "1", {"firstname": "Ann"})]
    bench.sync_as(mode="insert")
    bench.source([("1", "ann@x.io", "Changed", "Riga"), BOB])
    bench.run()
    assert bench.sent() == [("create", "2", {"email": "bob@x.io", "firstname": "Bob"})]


def test_limit_sends_the_first_and_the_rest_comes_later(bench: Bench) -> None:
    assert bench.run(limit=2).counts == {"ok": 2}
    assert bench.run().counts == {"ok": 1}


def test_a_dry_run_and_a_plan_send_nothing_and_leave_no_run(bench: Bench) -> None:
    plan = bench.plan()
    assert (plan.create, plan.requests, len(plan.samples)) == (3, 1, 3)
    assert bench.plan(offline=True).create == 3
    assert bench.run(dry_run=True).dry_run
    assert bench.sent() == []
    assert list_runs(bench.warehouse, 9) == []


@pytest.mark.parametrize("error", [Denied("refused"), Unavailable("away")])
def test_a_destination_that_is_away_ends_the_run_and_leaves_nothing_in_doubt(bench: Bench, error: Exception) -> None:
    def fail(_: object) -> None:
        raise error

    bench.destination.before_write = fail
    report = bench.run()
    assert (report.status, report.not_sent, report.error) == ("failed", 3, str(error))
    assert report.exit_code == (4 if isinstance(error, Denied) else 1)
    bench.destination.before_write = lambda _: None
    again = bench.run()
    assert (again.recovered, again.counts) == (0, {"ok": 3})


def test_stop_finishes_what_is_in_flight_and_the_next_run_resumes(bench: Bench) -> None:
    bench.source([(str(i), f"p{i}@x.io", "P", None) for i in range(30)])
    bench.destination.latency_s = 0.001

    async def interrupted() -> object:
        stop = asyncio.Event()
        bench.destination.after_write = lambda _: stop.set()
        return await bench.start(stop_event=stop)

    report = asyncio.run(interrupted())
    assert report.status == "interrupted"
    sent = len(bench.sent())
    assert 0 < sent < 30
    bench.destination.after_write = lambda _: None
    again = bench.run()
    assert again.recovered == 0
    assert len(bench.sent()) == 30 - sent


def test_a_checkpoint_stands_whole_or_not_at_all(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise WarehouseError("the disk is full")

    monkeypatch.setattr("revetl.state.snapshot.queue_refused", fail)
    with pytest.raises(WarehouseError):
        bench.run()
    assert bench.rows("SELECT count(*) FROM revetl.outcomes") == [(0,)]
    assert bench.rows("SELECT count(*) FROM revetl.snapshot__fake__contacts") == [(0,)]
    monkeypatch.undo()
    assert bench.run().recovered == 3
    assert len(bench.destination.records) == 3


def test_columns_may_come_go_and_change_their_type(bench: Bench) -> None:
    bench.destination.fields = ("email", "firstname", "city", "seats")
    bench.run()
    bench.sent()
    ddl = "golden_id VARCHAR, email VARCHAR, firstname VARCHAR, seats VARCHAR"
    bench.sync_as(columns=("golden_id", "email", "firstname", "seats"))
    bench.source([(*ANN[:3], "1"), (*BOB[:3], None), (*CID[:3], "many")], ddl)
    bench.run()
    assert bench.sent() == [("update", "1", {"seats": "1"}), ("update", "3", {"seats": "many"})]
    bench.source([(*ANN[:3], 1), (*BOB[:3], None), (*CID[:3], None)], ddl.replace("seats VARCHAR", "seats INTEGER"))
    bench.run()
    assert bench.sent() == [("update", "3", {"firstname": "Cid", "seats": None})]
    assert bench.run().plan.changes == 0


def test_columns_named_like_our_own_are_no_trouble(bench: Bench) -> None:
    columns = ("golden_id", "email", "key", "run_id", 'say "hi", x')
    bench.sync_as(columns=columns)
    bench.destination.fields = columns[1:]
    ddl = 'golden_id VARCHAR, email VARCHAR, "key" VARCHAR, run_id VARCHAR, "say ""hi"", x" VARCHAR'
    bench.source([("1", "a@x.io", "k", "r", "h")], ddl)
    bench.run()
    bench.source([("1", "a@x.io", "k2", "r", "h2")], ddl)
    bench.sent()
    report = bench.run()
    assert bench.sent() == [("update", "1", {"key": "k2", 'say "hi", x': "h2"})]
    assert outcomes.of_run(bench.warehouse, report.run_id)[0].before == {"key": "k", 'say "hi", x': "h"}


_NO_FORM = {
    "duckdb": {
        "DOUBLE": ["'nan'", "'infinity'", "'-infinity'"],
        "FLOAT": ["'nan'", "'-infinity'"],
        "TIMESTAMP": ["'infinity'", "'0044-03-15 (BC)'", "'20024-01-01'"],
        "TIMESTAMPTZ": ["'-infinity'", "'20024-01-01'"],
        "DATE": ["'infinity'", "'20024-01-01'"],
    },
    "postgres": {
        "DOUBLE PRECISION": ["'nan'", "'infinity'", "'-infinity'"],
        "REAL": ["'nan'", "'-infinity'"],
        "NUMERIC": ["'nan'", "'infinity'", "'-infinity'"],
        "NUMERIC(10,2)": ["'nan'"],
        "TIMESTAMP": ["'infinity'", "'0044-03-15 BC'", "'20024-01-01'"],
        "TIMESTAMPTZ": ["'-infinity'", "'20024-01-01'"],
        "DATE": ["'infinity'", "'20024-01-01'"],
    },
    "snowflake": {"DOUBLE": ["'nan'", "'inf'", "'-inf'"]},
}
_FINE = {"TIMESTAMP": "'9999-12-31 23:59:59'", "TIMESTAMPTZ": "'2024-02-29 12:00:00+05'", "DATE": "'9999-12-31'"}


def test_what_no_destination_could_hold_is_null_and_costs_nobody(bench: Bench) -> None:
    """One typing error in a year, one NaN: every other row is sent, and so is the rest of this one."""
    by_type = _NO_FORM[bench.warehouse.dialect]
    bench.destination.fields = ("email", "v")
    bench.sync_as(columns=("golden_id", "email", "v"))
    database: Any = bench.warehouse  # is spoken to in its own words
    for type_, bad in by_type.items():
        bench.sync_as(name=f"fake__{''.join(c for c in type_ if c.isalnum())}")
        bench.source([], f"golden_id VARCHAR, email VARCHAR, v {type_}")
        fine = _FINE.get(type_, "'1.5'")
        for key, text in enumerate([*bad, fine]):
            row = f"'{key}', '{type_}{key}@x.io', CAST({text} AS {type_})"
            database._db.cursor().execute(f"INSERT INTO {SCHEMA}.contacts VALUES ({row})")
        assert bench.run().counts == {"ok": len(bad) + 1}
        *nothing, last = [fields.get("v") for _, _, fields in bench.sent()]
        assert (set(nothing), last is None) == ({None}, False), type_
        assert bench.run().plan.changes == 0
        database._db.cursor().execute(f"UPDATE {SCHEMA}.contacts SET v = CAST({fine} AS {type_}) WHERE golden_id = '0'")
        assert bench.run().counts == {"ok": 1}
        assert bench.sent() == [("update", "0", {"v": last})]


@pytest.mark.parametrize(
    "names",
    [
        ("key", "field_key"),
        ("run_id", "field_run_id", "field_field_run_id"),
        ("Field_Row_Hash", "field_destination_id", "destination_id"),
        ("size", "size__retyped", "size__retyped_"),
        ("before__email", "after__email", "present", "source_key", "op", "note"),
    ],
)
def test_no_name_of_a_column_meets_one_of_ours(bench: Bench, names: tuple[str, ...]) -> None:
    bench.destination.fields = ("email", *names)
    bench.sync_as(columns=("golden_id", "email", *names))
    quoted = [f'"{name}"' for name in names]
    ddl = "golden_id VARCHAR, email VARCHAR, " + ", ".join(f"{q} VARCHAR" for q in quoted)
    bench.source([("1", "a@x.io", *(str(i) for i, _ in enumerate(names)))], ddl)
    assert bench.run().counts == {"ok": 1}
    # Another type for the first: its values stand in a spare column meanwhile.
    bench.source(
        [("1", "a@x.io", 7, *(str(i) for i, _ in enumerate(names[1:], 1)))],
        ddl.replace("VARCHAR, " + quoted[1], "INTEGER, " + quoted[1]),
    )
    assert bench.run().counts == {"ok": 1}
    assert bench.destination.by("email")["a@x.io"] == {"email": "a@x.io", names[0]: 7} | {
        n: str(i) for i, n in enumerate(names[1:], 1)
    }
    assert bench.run().plan.changes == 0


def test_names_as_long_as_they_may_be(bench: Bench) -> None:
    """Two syncs and two columns that differ in the last letter only: Postgres would cut our longer names to one."""
    columns = tuple("f" * 62 + end for end in "ab")
    bench.destination.fields = ("email", *columns)
    bench.sync_as(columns=("golden_id", "email", *columns))
    ddl = f"golden_id VARCHAR, email VARCHAR, {columns[0]} VARCHAR, {columns[1]} "
    for name in ("s" * 62 + "a", "s" * 62 + "b", "s-a", "s_a"):
        bench.sync_as(name=name)
        bench.source([(name, f"{name}@x.io", "x", "y")], ddl + "VARCHAR")
        report = bench.run()
        assert (report.plan.create, report.counts) == (1, {"ok": 1}), "the state of another sync is not its own"
        bench.source([(name, f"{name}@x.io", "x", 2)], ddl + "INTEGER")
        assert bench.run().counts == {"ok": 1}
        stands = {"email": f"{name}@x.io", columns[0]: "x", columns[1]: 2}
        assert bench.destination.by("email")[f"{name}@x.io"] == stands
        assert bench.run().plan.changes == 0


def test_the_model_may_be_a_view(bench: Bench) -> None:
    bench.warehouse.execute("CREATE VIEW people AS SELECT * FROM contacts")
    bench.sync_as(relation=replace(bench.spec.relation, name="people"))
    assert bench.run().counts == {"ok": 3}
    assert bench.run().plan.unchanged == 3


def test_a_run_through_threads_checkpoints_as_it_goes(bench: Bench) -> None:
    bench.source([(str(i), f"p{i}@x.io", "P", None) for i in range(40)])
    report = bench.run(offload=asyncio.to_thread, intent_rows=5)
    assert report.counts == {"ok": 40}
    assert report.plan.requests == 14
    assert bench.run().plan.changes == 0


def test_a_run_that_broke_off_counts_what_it_had_in_flight(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    write = checkpoint.write

    def full_disk(*args: object, **kwargs: object) -> None:
        if args[3]:
            raise WarehouseError("the disk is full")
        write(*args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "write", full_disk)
        with pytest.raises(WarehouseError):
            bench.run(run_id="broken-off")
    bench.run()
    counts = {run.run_id: run.counts for run in list_runs(bench.warehouse)}["broken-off"]
    assert counts == {"unknown": len(outcomes.of_run(bench.warehouse, "broken-off"))}
    assert counts["unknown"] > 0


def test_what_leaves_is_gone_before_anybody_takes_its_address(bench: Bench) -> None:
    """Fewer deletes than a batch holds, several calls at once: the update would be refused as taken."""
    bench.sync_as(mode="mirror", on_leave="archive", guardrails=Guardrails(max_deleted_share=1.0))
    bench.source([ANN, BOB])
    assert bench.run().counts == {"ok": 2}
    bench.destination.latency_s = 0.01
    standing = bench.destination.records

    def taken(changes: Sequence[Change]) -> None:
        wanted = {c.fields["email"] for c in changes if c.op is not Operation.DELETE and "email" in c.fields}
        if wanted & {record["email"] for record in standing.values()}:
            raise Rejected("this address is taken", code="TAKEN")

    bench.destination.before_write = taken
    bench.source([("2", "ann@x.io", "Bob", None)])
    assert bench.run().counts == {"ok": 2}
    assert [record["email"] for record in standing.values()] == ["ann@x.io"]


@pytest.mark.parametrize("nonsense", [None, 3, "ok", Outcome(0, "success"), Outcome(0, Status.OK, 17)])  # type: ignore[arg-type]
def test_what_is_no_outcome_is_unknown_and_ends_the_run(bench: Bench, nonsense: Any) -> None:
    bench.source([ANN])
    bench.destination.answer = lambda _: [nonsense]
    report = bench.run()
    assert (report.status, report.counts) == ("failed", {"unknown": 1})
    bench.destination.answer = lambda outcomes: outcomes
    bench.run()
    assert [r["email"] for r in bench.destination.records.values()] == ["ann@x.io"]


def test_outcomes_may_come_from_a_generator(bench: Bench) -> None:
    bench.source([ANN, BOB])
    bench.destination.answer = lambda outcomes: (o for o in outcomes)  # type: ignore[assignment, return-value]
    assert bench.run().counts == {"ok": 2}

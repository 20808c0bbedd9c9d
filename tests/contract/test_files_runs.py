"""Files as a destination under the real engine: one file for each run, exactly once whatever is killed."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from unittest import mock

import pytest

from revetl.errors import Ambiguous, ConfigError, Denied, JobRunning, Unavailable
from revetl.model import Relation
from revetl.state import outcomes, publications
from revetl.state.publications import Publication
from revetl.state.sync_tables import SyncTables
from revetl.testing.crashing import Crash, Fuse
from tests.support.files import FileWire, orphans
from tests.support.files_bench import FilesBench, Model
from tests.support.sweeps import EVERY_STEP
from tests.support.warehouses import PARAMS, SCHEMA, new_warehouse

FIRST: Model = {f"p{n}@x.io": (f"Name {n}", None if n % 3 else "Rome") for n in range(9)}
# Some leave, some come, some change, some don't.
SECOND: Model = {
    **{email: values for email, values in FIRST.items() if email not in ("p1@x.io", "p7@x.io")},
    **{f"p{n}@x.io": (f"Changed {n}", "Oslo") for n in (2, 3, 5)},
    "p20@x.io": ("New", None),
}


@pytest.fixture
def bench(tmp_path: Path) -> FilesBench:
    made = FilesBench(tmp_path)
    made.model(FIRST)
    return made


def test_a_run_is_one_file_and_a_manifest_that_names_it(bench: FilesBench) -> None:
    report = bench.run()
    assert (report.status, report.exit_code, report.counts) == ("done", 0, {"ok": 9})
    [manifest] = bench.manifests()
    date = f"{report.run_id[:4]}-{report.run_id[4:6]}-{report.run_id[6:8]}"
    assert set(bench.files()) == {
        f"people/{date}/{report.run_id}.ndjson",
        f"people/_manifests/{report.run_id}.json",
    }
    assert manifest["run_id"] == report.run_id
    assert (manifest["sync"], manifest["contents"], manifest["key"]) == ("files__people", "changes", "id")
    assert (manifest["rows"], manifest["operations"]) == (9, {"create": 9})
    assert [c["name"] for c in manifest["columns"]] == ["_op", "id", "email", "name", "city"]
    assert bench.people() == FIRST


def test_changes_say_what_was_done_and_bring_whole_rows(bench: FilesBench) -> None:
    bench.run()
    bench.model(SECOND)
    report = bench.run()
    assert report.counts == {"ok": 6}
    [_, second] = bench.runs()
    assert Counter(row["_op"] for row in second.rows) == {"update": 3, "delete": 2, "create": 1}
    assert second.manifest["operations"] == {"create": 1, "delete": 2, "update": 3}
    deleted = next(row for row in second.rows if row["_op"] == "delete")
    assert deleted == {"_op": "delete", "id": "id-p1@x.io", "email": None, "name": None, "city": None}
    assert bench.people() == SECOND
    assert bench.run().plan.changes == 0
    assert len(bench.runs()) == 2, "a run without changes publishes nothing"


def test_full_contents_are_every_record_that_stands(bench: FilesBench) -> None:
    bench.options["contents"] = "full"
    bench.run()
    bench.model(SECOND)
    bench.run()
    [_, second] = bench.runs()
    assert [row["email"] for row in second.rows] == sorted(SECOND)
    assert "_op" not in second.rows[0]
    assert "operations" not in second.manifest
    assert bench.people() == SECOND
    bench.run()
    assert len(bench.runs()) == 2


def test_two_syncs_that_each_write_all_records_of_an_object_are_refused_by_name(bench: FilesBench) -> None:
    bench.sync_as(beside=(("files__leads", None),))
    bench.plan()  # changes of both may stand beside each other
    bench.options["contents"] = "full"
    with pytest.raises(ConfigError, match=r"files__leads writes every record of \w+ to .* what files__people writes"):
        bench.plan()
    assert bench.files() == {}


def test_a_full_run_in_which_everybody_left_says_so(bench: FilesBench) -> None:
    bench.options["contents"] = "full"
    bench.sync_as(guardrails=bench.spec.guardrails.__class__(min_rows=0, max_deleted_share=1.0, deletes_declared=True))
    bench.run()
    bench.model({})
    assert bench.run().status == "done"
    assert (bench.runs()[-1].manifest["rows"], bench.runs()[-1].manifest["files"]) == (0, [])


def test_a_large_run_is_cut_into_files_of_a_bounded_size(bench: FilesBench) -> None:
    bench.options["rows_per_file"] = 4
    bench.run()
    [manifest] = bench.manifests()
    assert [file["rows"] for file in manifest["files"]] == [4, 4, 1]
    run_id = manifest["run_id"]
    names = [file["path"].rpartition("/")[2] for file in manifest["files"]]
    assert names == [f"{run_id}.ndjson", f"{run_id}-2.ndjson", f"{run_id}-3.ndjson"]
    assert bench.people() == FIRST


@pytest.mark.parametrize("contents", ["changes", "full"])
def test_killed_at_any_step_every_change_is_told_exactly_once(tmp_path: Path, contents: str) -> None:
    """The process dies at a statement, at either end of a commit or of a file, from the moment on that the run is one
    to be published; then the next run comes. The reader fails on a change that is told twice or not. Tried here are
    both ends of the first file, the manifest's, and some of the other steps."""
    after_first = FilesBench(tmp_path / "first", {"format": "ndjson", "contents": contents})
    after_first.model(FIRST)
    after_first.run()
    after_first.model(SECOND)
    begun, file, manifest, end = steps_of(after_first.copy(tmp_path / "counted"))
    met = Counter[str]()
    for step in sorted({file, file + 1, manifest, manifest + 1, *range(begun, end, 8)}):
        bench = after_first.copy(tmp_path / str(step))
        fuse = Fuse(step)
        bench.wire = FileWire(fuse=fuse)
        try:
            bench.run(fuse)
        except Crash:
            pass
        else:  # a heartbeat more or less
            assert step > end - 4
            continue
        met["a file without a manifest"] += bool(orphans(bench.files()))
        met["both"] += len(bench.runs()) == 2
        bench.wire = FileWire()
        bench.end_leases()
        bench.run()
        assert bench.people() == SECOND, f"killed at step {step}"
        assert len(bench.runs()) == 2, "the second run was published once, by whoever took over"
    assert min(met["a file without a manifest"], met["both"]) > 0, met


def steps_of(bench: FilesBench) -> tuple[int, int, int, int]:
    """At which step a run is one to be published, its file and its manifest are made, and it ends."""
    steps, fuse = list[int](), Fuse()
    bench.wire = FileWire(fuse=fuse, on_call=lambda path: steps.append(fuse.step + 1))
    begin_as_ever = publications.begin

    def begin(tables: SyncTables, publication: Publication) -> None:
        steps.append(fuse.step + 1)
        begin_as_ever(tables, publication)

    with mock.patch.object(publications, "begin", begin):
        bench.run(fuse)
    begun, file, manifest = steps
    return begun, file, manifest, fuse.step


def test_a_lost_answer_is_made_good_by_the_next_run(bench: FilesBench) -> None:
    bench.wire.lose, bench.wire.dark = 1, True
    report = bench.run()
    assert (report.status, report.counts, report.not_sent, report.exit_code) == ("failed", {}, 9, 1)
    assert len(bench.files()) == 1, "it was made, and nobody was told"
    with pytest.raises(JobRunning, match="has not been published to its end"):
        bench.plan(offline=True)
    bench.wire.mend()
    second = bench.run()
    assert (second.status, second.followed, second.plan.changes) == ("done", {"ok": 9}, 0)
    assert [run.manifest["run_id"] for run in bench.runs()] == [report.run_id]
    assert bench.people() == FIRST
    assert {o.run_id for o in outcomes.of_key(bench.warehouse, "id-p1@x.io")} == {report.run_id}


@pytest.mark.parametrize(("failure", "exit_code"), [(Denied, 4), (Unavailable, 1)])
def test_a_refusal_leaves_nothing_and_the_next_run_plans_anew(
    bench: FilesBench, failure: type[Denied | Unavailable], exit_code: int
) -> None:
    bench.wire.failure = failure
    report = bench.run()
    assert (report.status, report.counts, report.not_sent, report.exit_code) == ("failed", {}, 9, exit_code)
    bench.wire.mend()
    bench.model(SECOND)
    assert bench.plan(offline=True).changes == len(SECOND)
    second = bench.run()
    assert (second.followed, second.counts) == ({}, {"ok": len(SECOND)})
    assert [run.manifest["run_id"] for run in bench.runs()] == [second.run_id]


def test_a_model_that_changed_meanwhile_changes_nothing_of_what_is_published_again(bench: FilesBench) -> None:
    """One column went, one came, one has another type: the file that stands is found to be the same."""
    bench.wire.lose, bench.wire.dark = 1, True
    first = bench.run()
    bench.wire.mend()
    [before] = bench.files().values()
    bench.warehouse.execute("DROP TABLE people")
    bench.warehouse.execute("CREATE TABLE people (id VARCHAR, email VARCHAR, name BIGINT, shoes VARCHAR)")
    bench.warehouse.execute("INSERT INTO people VALUES ('id-p1@x.io', 'p1@x.io', 7, 'boots')")
    bench.sync_as(columns=("id", "email", "name", "shoes"), mode="upsert", on_leave="ignore")
    second = bench.run()
    assert (second.status, second.followed) == ("done", {"ok": 9})
    old, new = bench.runs()
    assert old.manifest["run_id"] == first.run_id
    assert before in bench.files().values()
    assert new.rows == [{"_op": "update", "id": "id-p1@x.io", "email": "p1@x.io", "name": 7, "shoes": "boots"}]


def test_a_file_of_another_content_is_never_written_over(bench: FilesBench) -> None:
    bench.wire.lose, bench.wire.dark = 1, True
    bench.run()
    bench.wire.mend()
    [(path, content)] = bench.files().items()
    bench.options["rows_per_file"] = 4
    with pytest.raises(Ambiguous, match="it was made with other options") as refused:
        bench.run()
    assert path in str(refused.value)
    assert bench.files()[path] == content
    del bench.options["rows_per_file"]
    assert bench.run().status == "done"
    assert bench.people() == FIRST


def test_a_rollback_is_a_run_with_the_values_of_before(bench: FilesBench) -> None:
    bench.run()
    bench.model(SECOND)
    second = bench.run()
    report = bench.roll_back(second.run_id, archive_created=True, recreate_archived=True)
    assert report.status == "done"
    assert bench.people() == FIRST
    assert Counter(row["_op"] for row in bench.runs()[-1].rows) == {"update": 3, "create": 2, "delete": 1}
    assert bench.run().plan.changes == 0, "what was rolled back waits until its row changes"


def test_a_rollback_of_full_contents_is_the_set_of_before(bench: FilesBench) -> None:
    bench.options["contents"] = "full"
    bench.run()
    bench.model(SECOND)
    second = bench.run()
    bench.roll_back(second.run_id, archive_created=True, recreate_archived=True)
    assert bench.people() == FIRST


def test_what_can_not_be_in_a_file_is_refused_where_it_is_declared(bench: FilesBench) -> None:
    bench.sync_as(metadata={"synced": "synced_at"}, where="models/files__people.yml:7")
    with pytest.raises(ConfigError, match=r"models/files__people.yml:7: metadata: lake takes no fields"):
        bench.run()
    bench.sync_as(metadata={}, match_on="email")
    with pytest.raises(ConfigError, match="match_on: what lake is given is known by its key 'id' alone"):
        bench.run()
    bench.sync_as(match_on=None, object="../people")
    with pytest.raises(ConfigError, match="no folder can be called"):
        bench.run()


def test_a_plan_says_what_follows(bench: FilesBench) -> None:
    plan = bench.plan()
    assert plan.consequences == [
        "lake takes a run as a whole: the records that differ from what it was given before, each with what was done to"
        " it",
        "lake can't be read: drift is not seen, and a rollback is a run that gives the values of before once more",
    ]
    assert plan.forecast is None or sum(plan.forecast.writes.values()) == 1


# Snowflake's stand-in is slow: there the one that reads all that the other reads.
@pytest.mark.parametrize("kind", PARAMS)
@pytest.mark.parametrize("contents", ["changes", "full"])
def test_every_warehouse_publishes_the_same(tmp_path: Path, kind: str, contents: str) -> None:
    if (kind, contents) == ("snowflake", "changes") and not EVERY_STEP:
        pytest.skip("slow: set REVETL_EVERY_STEP=1")
    with new_warehouse(kind, tmp_path) as warehouse:
        bench = FilesBench(tmp_path / "lake", {"format": "parquet", "contents": contents}, warehouse=warehouse)
        bench.sync_as(relation=Relation(SCHEMA, "people"))
        bench.model(FIRST)
        bench.wire.lose, bench.wire.dark = 1, True
        assert bench.run().status == "failed"
        bench.wire.mend()
        bench.run()
        bench.model(SECOND)
        second = bench.run()
        assert (second.status, second.counts) == ("done", {"ok": 6})
        assert bench.people() == SECOND
        bench.roll_back(second.run_id, archive_created=True, recreate_archived=True)
        assert bench.people() == FIRST
        assert len(bench.runs()) == 3

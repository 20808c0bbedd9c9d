"""The source generator: exact sizes, the same rows from the same arguments, small and repeatable days."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pytest

from revetl.errors import WarehouseError
from revetl.sandbox.sources import generate, words

CONTACT_LIKE = ("raw_crm.contacts", "raw_billing.customers", "raw_product.users", "raw_support.requesters")


def contents(database: Path, *, without: str = "") -> dict[str, set[tuple[object, ...]]]:
    with duckdb.connect(str(database), read_only=True) as db:
        names = db.execute("SELECT schema_name || '.' || table_name FROM duckdb_tables()").fetchall()
        columns = f"* EXCLUDE ({without})" if without else "*"
        return {name: set(db.execute(f"SELECT {columns} FROM {name}").fetchall()) for (name,) in names}


@pytest.fixture(scope="module")
def first_day(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("day1")
    generate(directory / "w.duckdb", directory / "truth", records=1_500, seed=3, day=1)
    return directory


@pytest.mark.parametrize("records", [1, 7, 1_500])
def test_the_number_of_records_is_exact(tmp_path: Path, records: int) -> None:
    counts = generate(tmp_path / "w.duckdb", tmp_path / "truth", records=records, seed=3, day=1)
    assert sum(counts[name] for name in CONTACT_LIKE) == records


def test_the_same_arguments_give_the_same_rows_and_another_seed_others(tmp_path: Path, first_day: Path) -> None:
    generate(tmp_path / "w.duckdb", tmp_path / "truth", records=1_500, seed=3, day=1)
    assert contents(tmp_path / "w.duckdb") == contents(first_day / "w.duckdb")
    for name in ("people", "companies", "members"):
        left, right = (d / "truth" / f"{name}.parquet" for d in (tmp_path, first_day))
        assert duckdb.sql(f"FROM '{left}'").fetchall() == duckdb.sql(f"FROM '{right}'").fetchall()
    generate(tmp_path / "w.duckdb", tmp_path / "truth", records=1_500, seed=4, day=1)
    assert contents(tmp_path / "w.duckdb") != contents(first_day / "w.duckdb")


def test_a_later_day_changes_about_one_per_cent_and_repeats(tmp_path: Path, first_day: Path) -> None:
    generate(tmp_path / "w.duckdb", tmp_path / "truth", records=1_500, seed=3, day=2)
    second = contents(tmp_path / "w.duckdb", without="loaded_at")
    generate(tmp_path / "w.duckdb", tmp_path / "truth", records=1_500, seed=3, day=2)
    assert contents(tmp_path / "w.duckdb", without="loaded_at") == second
    first = contents(first_day / "w.duckdb", without="loaded_at")
    changed = sum(len(second[name] - first[name]) for name in first)
    total = sum(len(rows) for rows in first.values())
    assert 0.002 <= changed / total <= 0.02


def test_every_record_has_a_truth_and_every_truth_a_record(first_day: Path) -> None:
    with duckdb.connect(str(first_day / "w.duckdb"), read_only=True) as db:
        objects = [("crm", "contacts", "contact_id"), ("crm", "companies", "company_id")]
        objects += [("billing", "customers", "customer_id"), ("product", "users", "user_id")]
        objects += [("support", "requesters", "requester_id")]
        raw = " UNION ALL ".join(f"SELECT '{s}', '{o}', {key} FROM raw_{s}.{o}" for s, o, key in objects)
        members = f"SELECT system, object, record_id FROM '{first_day}/truth/members.parquet'"
        assert db.execute(f"({raw}) EXCEPT ALL ({members})").fetchall() == []
        assert db.execute(f"({members}) EXCEPT ALL ({raw})").fetchall() == []
        strangers = f"FROM '{first_day}/truth/members.parquet' m ANTI JOIN '{first_day}/truth/people.parquet' p"
        assert db.execute(f"{strangers} USING (person_id) WHERE m.person_id IS NOT NULL").fetchall() == []


def test_true_emails_phones_and_domains_are_unique(first_day: Path) -> None:
    for name, column in (("people", "email"), ("people", "phone"), ("companies", "domain"), ("companies", "name")):
        doubled = f"SELECT count({column}) - count(DISTINCT {column}) FROM '{first_day}/truth/{name}.parquet'"
        assert duckdb.sql(doubled).fetchall() == [(0,)], column


def test_the_troubles_of_real_data_are_there(first_day: Path) -> None:
    with duckdb.connect(str(first_day / "w.duckdb"), read_only=True) as db:
        inboxes = ", ".join(f"'{name}'" for name in words.SHARED_INBOXES)
        troubles = {
            "casing": "FROM raw_crm.contacts WHERE email = upper(email)",
            "plus-addresses": "FROM raw_product.users WHERE email LIKE '%+%@%'",
            "shared inboxes": f"FROM raw_billing.customers WHERE lower(split_part(email, '@', 1)) IN ({inboxes})",
            "missing addresses": "FROM raw_crm.contacts WHERE email IS NULL",
            "names the wrong way round": "FROM raw_billing.customers WHERE name LIKE '%, %'",
            "extensions": "FROM raw_crm.contacts WHERE phone LIKE '%ext%'",
            "paths in domains": "FROM raw_crm.companies WHERE website LIKE '%/about-us'",
        }
        for trouble, source in troubles.items():
            assert db.execute(f"SELECT count(*) > 0 {source}").fetchall() == [(True,)], trouble


@pytest.mark.parametrize(("records", "day"), [(0, 1), (10, 0)])
def test_senseless_sizes_are_refused(tmp_path: Path, records: int, day: int) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        generate(tmp_path / "w.duckdb", tmp_path / "truth", records=records, seed=1, day=day)


def test_a_file_that_is_no_database_is_named(tmp_path: Path) -> None:
    (tmp_path / "w.duckdb").write_text("something else altogether\n" * 400)
    with pytest.raises(WarehouseError, match=r"w\.duckdb: IO Error"):
        generate(tmp_path / "w.duckdb", tmp_path / "truth", records=10)
    assert (tmp_path / "w.duckdb").read_text().startswith("something else")

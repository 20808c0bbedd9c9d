"""Fictional sources for a B2B software company, with the troubles of real data, at any size.

`generate` writes four systems into a DuckDB warehouse and the truth behind them into Parquet files that no model
reads. Every choice is a hash of (seed, a salt, a key), never a random stream: the same arguments give the same rows
whatever the size of the machine, and day n is day n-1 with about one per cent changed. The work is set-based SQL
(`sql/`, in order), so memory stays bounded and large sizes spill to disk.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import resources
from pathlib import Path

import duckdb

from revetl.errors import WarehouseError
from revetl.sandbox.sources import words

# Measured: contact-like records per person under the probabilities in 02_records.sql.
_RECORDS_PER_PERSON = 2.1
_PEOPLE_PER_COMPANY = 7
_MEMORY_LIMIT = "2GB"
_STEPS = ("00_draws.sql", "01_truth.sql", "02_records.sql", "03_values.sql", "04_systems.sql")


def generate(database: Path, truth_dir: Path, *, records: int, seed: int = 7, day: int = 1) -> dict[str, int]:
    """Writes schemas raw_crm, raw_billing, raw_product, raw_support and truth_dir/{people,companies,members}.parquet.

    `records` counts contact-like source records on day 1 (CRM contacts, billing customers, product users, support
    requesters), exactly. `day` is 1 or later. Returns rows per table. Safe to repeat: tables and files are replaced.
    Raises ValueError on sizes that make no sense and WarehouseError where the database cannot be opened or written.
    """
    if records < 1:
        raise ValueError(f"records must be at least 1, not {records}")
    if day < 1:
        raise ValueError(f"day must be at least 1, not {day}")
    truth_dir.mkdir(parents=True, exist_ok=True)
    people = round(records / _RECORDS_PER_PERSON * 1.05) + 60
    sizes = {
        "seed": seed,
        "day": day,
        "n_records": records,
        "n_people": people,
        "n_companies": max(3, people // _PEOPLE_PER_COMPANY),
    }
    try:
        with duckdb.connect(str(database)) as db:
            return _generate(db, truth_dir, sizes)
    except duckdb.Error as e:
        raise WarehouseError(f"{database}: {str(e).splitlines()[0]}") from None


def _generate(db: duckdb.DuckDBPyConnection, truth_dir: Path, sizes: Mapping[str, int]) -> dict[str, int]:
    db.execute("SET preserve_insertion_order = false")
    # Past this, tables in the making go to a file beside the database: five million records fit a small machine.
    db.execute(f"SET memory_limit = '{_MEMORY_LIMIT}'")
    for name, value in sizes.items():
        db.execute(f"SET VARIABLE {name} = {int(value)}")
    _load_words(db)
    for step in _STEPS:
        db.execute(resources.files(__package__).joinpath("sql", step).read_text(encoding="utf-8"))
    for name in ("people", "companies", "members"):
        target = str(truth_dir / f"{name}.parquet").replace("'", "''")
        db.execute(f"COPY (FROM truth_{name} ORDER BY ALL) TO '{target}' (FORMAT parquet)")
    counts = db.execute(
        "SELECT schema_name || '.' || table_name FROM duckdb_tables() WHERE schema_name LIKE 'raw\\_%' ESCAPE '\\'"
        " ORDER BY ALL"
    ).fetchall()
    return {str(name): _count(db, str(name)) for (name,) in counts}


def _count(db: duckdb.DuckDBPyConnection, qualified: str) -> int:
    row = db.execute(f"SELECT count(*) FROM {qualified}").fetchone()
    return int(row[0]) if row else 0


def _load_words(db: duckdb.DuckDBPyConnection) -> None:
    """Word lists as list-valued variables: a hash picks an element without a join."""
    lists: dict[str, object] = {
        "first_names": list(words.FIRST_NAMES),
        "nicknames": [list(nicknames) for nicknames in words.FIRST_NAMES.values()],
        "last_names": list(words.LAST_NAMES),
        "company_starts": list(words.COMPANY_STARTS),
        "company_ends": list(words.COMPANY_ENDS),
        "company_kinds": list(words.COMPANY_KINDS),
        "company_suffixes": list(words.COMPANY_SUFFIXES),
        "industries": list(words.INDUSTRIES),
        "cities": [city for city, _, _ in words.CITIES],
        "countries": [country for _, country, _ in words.CITIES],
        "calling_codes": [code for _, _, code in words.CITIES],
        "titles": [title for title, _ in words.JOB_TITLES],
        "seniorities": [seniority for _, seniority in words.JOB_TITLES],
        "inboxes": list(words.SHARED_INBOXES),
        "free_domains": list(words.FREE_DOMAINS),
        "subjects": list(words.TICKET_SUBJECTS),
    }
    for name, value in lists.items():
        db.execute(f"SET VARIABLE {name} = $1", [value])

"""A small truth for the sandbox's vendors, and a clock that the test moves."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from revetl.sandbox.data_vendors.population import COMPANY_FIELDS, PERSON_FIELDS, Population
from revetl.sandbox.data_vendors.truth import TrueCompany, TruePerson, World

COMPANIES = 40
COUNTRIES = ("United States", "France", "Germany", "United Kingdom")
SENIORITIES = ("entry", "manager", "vp", "cxo")
KEY = "key-12345678"


class HandClock:
    """Time that a test moves, and that jumps over every sleep. `slept` keeps them."""

    def __init__(self) -> None:
        self.elapsed = 0.0
        self.slept: list[float] = []

    def now(self) -> datetime:
        return datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=self.elapsed)

    def monotonic(self) -> float:
        return 6000.0 + self.elapsed

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.elapsed += seconds


def company(i: int) -> TrueCompany:
    return TrueCompany(
        company_id=f"c{i}",
        name=f"Firm {i} Ltd",
        domain=f"firm{i}.example",
        industry="internet",
        employee_count=(5, 30, 120, 800, 4000)[i % 5],
        founded_year=1990 + i % 30,
        linkedin_url=f"https://www.linkedin.com/company/firm-{i}",
        city="London" if country(i) == "United Kingdom" else "Lyon",
        country=country(i),
    )


def person(i: int) -> TruePerson:
    at = i % COMPANIES
    return TruePerson(
        person_id=f"p{i}",
        first_name=f"Ann{i}",
        last_name="Lee",
        email=f"ann{i}.lee@firm{at}.example",
        phone=f"+33100{i:05d}",
        job_title=f"Title {i}",
        seniority=SENIORITIES[i % 7 % 4],
        linkedin_url=f"https://www.linkedin.com/in/ann-{i}",
        city=company(at).city,
        country=country(at),
        company_id=f"c{at}",
    )


def country(i: int) -> str:
    return COUNTRIES[i % len(COUNTRIES)]


def world(people: int) -> World:
    made = World()
    for i in range(COMPANIES):
        made.add_company(company(i))
    for i in range(people):
        made.add_person(person(i))
    return made


def write_truth(folder: Path, people: int = 100) -> Path:
    folder.mkdir(exist_ok=True)
    pq.write_table(pa.Table.from_pylist([asdict(person(i)) for i in range(people)]), folder / "people.parquet")
    pq.write_table(pa.Table.from_pylist([asdict(company(i)) for i in range(COMPANIES)]), folder / "companies.parquet")
    return folder


def all_knowing(*vendors: str, catch_all_share: float = 0.0) -> Population:
    """These vendors know every fact of everybody, and nothing wrong; nobody asked to be forgotten."""
    everything = {
        "coverage": 1.0,
        "people": {name: {"rate": 1.0, "wrong": 0.0} for name in PERSON_FIELDS},
        "companies": {name: {"rate": 1.0, "wrong": 0.0} for name in COMPANY_FIELDS},
        "resells": {},
        "segments": [],
    }
    document = {"erased_share": 0.0, "catch_all_share": catch_all_share, "vendors": dict.fromkeys(vendors, everything)}
    return Population().changed(document)

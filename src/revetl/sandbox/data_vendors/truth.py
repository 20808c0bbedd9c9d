"""Who really exists: read from two files that no model sees."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class TrueCompany:
    company_id: str
    name: str | None = None
    domain: str | None = None
    industry: str | None = None
    employee_count: int | None = None
    founded_year: int | None = None
    linkedin_url: str | None = None
    city: str | None = None
    country: str | None = None


@dataclass(frozen=True, slots=True)
class TruePerson:
    person_id: str
    first_name: str | None = None
    last_name: str | None = None
    email: str | None = None
    phone: str | None = None
    job_title: str | None = None
    seniority: str | None = None
    linkedin_url: str | None = None
    city: str | None = None
    country: str | None = None
    company_id: str | None = None


@dataclass(slots=True)
class World:
    """People and companies with the indexes that lookups need. All keys are in the form of the `*_key` functions."""

    people: list[TruePerson] = field(default_factory=list)
    companies: dict[str, TrueCompany] = field(default_factory=dict)
    company_list: list[TrueCompany] = field(default_factory=list)
    by_email: dict[str, TruePerson] = field(default_factory=dict)
    by_profile: dict[str, TruePerson] = field(default_factory=dict)
    by_phone: dict[str, TruePerson | None] = field(default_factory=dict)
    by_name: dict[tuple[str, str], list[TruePerson]] = field(default_factory=dict)
    company_by_domain: dict[str, TrueCompany] = field(default_factory=dict)
    company_by_name: dict[str, TrueCompany | None] = field(default_factory=dict)
    company_by_profile: dict[str, TrueCompany] = field(default_factory=dict)

    def add_company(self, company: TrueCompany) -> None:
        self.companies[company.company_id] = company
        self.company_list.append(company)
        if company.domain:
            self.company_by_domain[domain_key(company.domain)] = company
        if company.name:
            key = company_key(company.name)
            # A name that two companies share finds neither.
            self.company_by_name[key] = None if key in self.company_by_name else company
        if company.linkedin_url:
            self.company_by_profile[profile_key(company.linkedin_url)] = company

    def add_person(self, person: TruePerson) -> None:
        self.people.append(person)
        if person.email:
            self.by_email[email_key(person.email)] = person
        if person.linkedin_url:
            self.by_profile[profile_key(person.linkedin_url)] = person
        if person.phone:
            key = phone_key(person.phone)
            self.by_phone[key] = None if key in self.by_phone else person
        if person.first_name and person.last_name:
            self.by_name.setdefault(name_key(person.first_name, person.last_name), []).append(person)

    def company(self, text: str) -> TrueCompany | None:
        """By domain, web address or name, as a vendor's `company` parameter takes any of them."""
        return (
            self.company_by_domain.get(domain_key(text))
            or self.company_by_profile.get(profile_key(text))
            or self.company_by_name.get(company_key(text))
        )

    def person_at(self, first: str, last: str, company: TrueCompany) -> TruePerson | None:
        """None where nobody, or more than one, of that name works there."""
        named = [p for p in self.by_name.get(name_key(first, last), ()) if p.company_id == company.company_id]
        return named[0] if len(named) == 1 else None


class Truth:
    """The world as its files last said; read when first asked for, and again after they were replaced."""

    def __init__(self, directory: Path | None) -> None:
        self._directory = directory
        self._read_at: tuple[int, int] | None = None
        self._world = World()

    @property
    def world(self) -> World:
        if self._directory is None:
            return self._world
        people, companies = self._directory / "people.parquet", self._directory / "companies.parquet"
        if not people.exists() or not companies.exists():
            return self._world
        stamp = (people.stat().st_mtime_ns, companies.stat().st_mtime_ns)
        if stamp != self._read_at:
            self._world, self._read_at = _read(people, companies), stamp
        return self._world


def _read(people: Path, companies: Path) -> World:
    world = World()
    for row in _rows(companies, TrueCompany):
        world.add_company(TrueCompany(**row))
    for row in _rows(people, TruePerson):
        world.add_person(TruePerson(**row))
    return world


def _rows(path: Path, shape: type[Any]) -> list[dict[str, Any]]:
    import pyarrow.parquet as parquet

    table = parquet.read_table(path, columns=list(shape.__dataclass_fields__))
    rows: list[dict[str, Any]] = table.to_pylist()
    for row in rows:
        for name in ("person_id", "company_id"):
            if row.get(name) is not None:
                row[name] = str(row[name])
    return rows


def email_key(text: str) -> str:
    """Lower case, without a +tag."""
    local, _, domain = text.strip().lower().partition("@")
    return f"{local.partition('+')[0]}@{domain}"


def domain_key(text: str) -> str:
    bare = re.sub(r"^https?://", "", text.strip().lower()).split("/")[0]
    return bare.removeprefix("www.")


def profile_key(text: str) -> str:
    bare = re.sub(r"^https?://", "", text.strip().lower()).removeprefix("www.")
    return bare.split("?")[0].rstrip("/")


def phone_key(text: str) -> str:
    return re.sub(r"\D", "", text)


def name_key(first: str, last: str) -> tuple[str, str]:
    return first.strip().casefold(), last.strip().casefold()


_LEGAL = re.compile(r"\b(incorporated|inc|llc|ltd|limited|gmbh|corp|corporation|co|plc|ag|sa|bv)\b")


def company_key(text: str) -> str:
    """Lower case, without legal forms and punctuation."""
    return " ".join(_LEGAL.sub(" ", re.sub(r"[^\w\s]", " ", text.casefold())).split())

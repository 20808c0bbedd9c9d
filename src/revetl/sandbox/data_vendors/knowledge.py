"""What one vendor believes of a person or a company: drawn from the truth by hash, the same on every day and in every
process. The model is in `population.py`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from hashlib import blake2b, shake_128
from statistics import NormalDist
from typing import Any, Generic, TypeVar

from revetl.sandbox.data_vendors.population import Population, company_size
from revetl.sandbox.data_vendors.truth import TrueCompany, TruePerson, World
from revetl.sandbox.data_vendors.vendor_models import FieldRates, VendorModel

T = TypeVar("T")

_NORMAL = NormalDist()
_COMMON = "*"


@dataclass(frozen=True, slots=True)
class VendorRecord(Generic[T]):
    """A record as the vendor has it: what it lacks is None. `wrong` names the fields that are not so in truth;
    `source` is the vendor whose rows these are."""

    record: T
    wrong: frozenset[str]
    source: str


class Knowledge:
    """One vendor's. All draws are uniform in [0, 1) or standard normal, by hash of (seed, vendor, subject, what)."""

    def __init__(self, population: Population, seed: int, vendor: str) -> None:
        self.population = population
        self._seed = seed
        self._vendor = vendor
        self._common = math.sqrt(population.correlation)
        self._own = math.sqrt(1 - population.correlation)

    def person(self, world: World, person: TruePerson) -> VendorRecord[TruePerson] | None:
        """None for somebody whom the vendor doesn't know, or who asked to be forgotten."""
        who = person.person_id
        if self.erased(person):
            return None
        employer = world.companies.get(person.company_id or "")
        segments = _segments(person.country, employer, person.seniority)
        source = self._source(self._vendor, who)
        if not self._covers(source, who, segments):
            return None
        values, wrong = self._believed(person, "people", source, who, segments)
        for name in wrong:
            values[name] = self._wrong_of_person(world, person, employer, name, source)
        if "job_title" in wrong:
            values["job_title"], values["seniority"] = values["job_title"]
        elif values["job_title"] is None:
            values["seniority"] = None
        really = frozenset(n for n in wrong if values[n] != getattr(person, n))
        return VendorRecord(replace(person, **values), really, source)

    def company(self, world: World, company: TrueCompany) -> VendorRecord[TrueCompany] | None:
        what = company.company_id
        segments = _segments(company.country, company, None)
        source = self._source(self._vendor, what)
        if not self._covers(source, what, segments):
            return None
        values, wrong = self._believed(company, "companies", source, what, segments)
        for name in wrong:
            values[name] = self._wrong_of_company(world, company, name)
        really = frozenset(n for n in wrong if values[n] != getattr(company, n))
        return VendorRecord(replace(company, **values), really, source)

    def own(self, subject: str, what: str) -> float:
        """A draw of the vendor itself, for what is not a fact: a score, a delay."""
        return _uniform(self._seed, self._vendor, subject, what)

    def erased(self, person: TruePerson) -> bool:
        return _uniform(self._seed, _COMMON, person.person_id, "erased") < self.population.erased_share

    def catch_all(self, domain: str) -> bool:
        return _uniform(self._seed, _COMMON, domain, "catch_all") < self.population.catch_all_share

    def _source(self, vendor: str, subject: str) -> str:
        """Whose rows the vendor has on this subject."""
        draw = _uniform(self._seed, vendor, subject, "resold")
        for other, share in self.population.vendor(vendor).resells.items():
            if draw < share:
                return self._source(other, subject)
            draw -= share
        return vendor

    def _covers(self, source: str, subject: str, segments: Mapping[str, str]) -> bool:
        model = self.population.vendor(source)
        return self._hits(source, subject, "record", _shifted(model, model.coverage, segments, None))

    def _believed(
        self, record: Any, kind: str, source: str, subject: str, segments: Mapping[str, str]
    ) -> tuple[dict[str, Any], set[str]]:
        """Each field that some vendor may know, its true value or None, and which of them are wrong."""
        values: dict[str, Any] = {}
        wrong: set[str] = set()
        own = getattr(self.population.vendor(self._vendor), kind)
        for name in _NAMES[kind]:
            # What the resold rows lack altogether, the vendor has of its own.
            of = source if name in getattr(self.population.vendor(source), kind) else self._vendor
            model = self.population.vendor(of)
            rates: FieldRates | None = getattr(model, kind).get(name)
            values[name] = None
            if name not in own or rates is None or getattr(record, name) is None:
                continue
            rate = _shifted(model, min(1.0, rates.rate / model.coverage) if model.coverage else 0.0, segments, name)
            if self._hits(of, subject, name, rate):
                values[name] = getattr(record, name)
                if self._hits(of, subject, f"wrong {name}", rates.wrong):
                    wrong.add(name)
        return values, wrong

    def _hits(self, vendor: str, subject: str, what: str, rate: float) -> bool:
        if rate <= 0 or rate >= 1:
            return rate >= 1
        place = _PLACES[what]
        common = _normal(_draws(self._seed, _COMMON, subject), place)
        own = _normal(_draws(self._seed, vendor, subject), place)
        return self._common * common + self._own * own < _probit(rate)

    def _wrong_of_person(
        self, world: World, person: TruePerson, employer: TrueCompany | None, name: str, source: str
    ) -> Any:
        """What is out of date is out of date alike for everybody: the past is a fact too. A guess is the vendor's."""
        who = person.person_id
        if name == "job_title":
            earlier = world.people[self._pick(who, "which title", len(world.people))]
            return earlier.job_title, earlier.seniority
        if name == "email":
            if self.population.vendor(source).guesses and employer is not None and employer.domain:
                return _guessed_email(person, employer.domain)
            domain = self._earlier_employer(world, who).domain
            return f"{(person.email or '').partition('@')[0]}@{domain}" if domain else person.email
        if name == "phone":
            return _other_number(person.phone or "", self._pick(who, "which number", 998))
        if name == "linkedin_url":
            return f"{(person.linkedin_url or '').rstrip('/')}-{1 + self._pick(who, 'which profile', 98)}"
        return getattr(self._earlier_employer(world, who), name)

    def _wrong_of_company(self, world: World, company: TrueCompany, name: str) -> Any:
        what = company.company_id
        if name == "employee_count":
            factor = 0.3 + 2.4 * _uniform(self._seed, _COMMON, what, "which size")
            return max(1, round((company.employee_count or 1) * factor))
        if name == "founded_year":
            return (company.founded_year or 2000) + 1 + self._pick(what, "which year", 9)
        if name == "linkedin_url":
            return f"{(company.linkedin_url or '').rstrip('/')}-group"
        companies = world.company_list
        return getattr(companies[self._pick(what, f"which {name}", len(companies))], name)

    def _earlier_employer(self, world: World, who: str) -> TrueCompany:
        return world.company_list[self._pick(who, "which employer", len(world.company_list))]

    def _pick(self, subject: str, what: str, of: int) -> int:
        return int(_uniform(self._seed, _COMMON, subject, what) * of)


_NAMES: Mapping[str, tuple[str, ...]] = {
    "people": ("email", "phone", "job_title", "linkedin_url", "city", "country"),
    "companies": ("industry", "employee_count", "founded_year", "linkedin_url", "city", "country"),
}


def _segments(country: str | None, company: TrueCompany | None, seniority: str | None) -> dict[str, str]:
    found = {
        "country": country,
        "seniority": seniority,
        "industry": company.industry if company else None,
        "company_size": company_size(company.employee_count) if company else None,
    }
    return {name: value for name, value in found.items() if value is not None}


def _shifted(model: VendorModel, rate: float, segments: Mapping[str, str], field: str | None) -> float:
    """The rate with the odds of the segments that hold: of the record (field None) or of one field."""
    odds = 1.0
    for segment in model.segments:
        speaks = field in segment.fields if field else not segment.fields
        if speaks and segments.get(segment.attribute) in segment.values:
            odds *= segment.odds
    return rate if rate >= 1 else odds * rate / (1 - rate + odds * rate)


def _guessed_email(person: TruePerson, domain: str) -> str:
    first, last = (person.first_name or "").lower(), (person.last_name or "").lower()
    guesses = (f"{first[:1]}{last}", f"{first}_{last}", f"{last}.{first}")
    return next(f"{g}@{domain}".lower() for g in guesses if f"{g}@{domain}".lower() != (person.email or "").lower())


def _other_number(phone: str, step: int) -> str:
    if len(phone) < 4 or not phone[-3:].isdigit():
        return phone
    return f"{phone[:-3]}{(int(phone[-3:]) + 1 + step) % 1000:03d}"


# The model asks for some twenty draws of one subject at once: they are cut from one hash.
_FACTS = (
    "email",
    "phone",
    "job_title",
    "linkedin_url",
    "city",
    "country",
    "industry",
    "employee_count",
    "founded_year",
)
_PLACES = {what: place for place, what in enumerate(("record", *_FACTS, *(f"wrong {name}" for name in _FACTS)))}
_DRAW_BYTES = 4


@lru_cache(maxsize=65_536)
def _draws(seed: int, vendor: str, subject: str) -> bytes:
    return shake_128(f"{seed}|{vendor}|{subject}".encode()).digest(_DRAW_BYTES * len(_PLACES))


def _normal(draws: bytes, place: int) -> float:
    """A standard normal draw; the middle of its interval, so never at 0 or 1."""
    start = place * _DRAW_BYTES
    return _NORMAL.inv_cdf((int.from_bytes(draws[start : start + _DRAW_BYTES], "big") + 0.5) / 2 ** (8 * _DRAW_BYTES))


@lru_cache(maxsize=4096)
def _probit(rate: float) -> float:
    return _NORMAL.inv_cdf(rate)


def _uniform(seed: int, vendor: str, subject: str, what: str) -> float:
    digest = blake2b(f"{seed}|{vendor}|{subject}|{what}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2**64

"""What is set of each vendor, with the defaults. None of these figures is a measurement of the real vendors: they are
set so that order, overlap and price matter.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

_EUROPE = (
    "Germany",
    "Netherlands",
    "Sweden",
    "Norway",
    "Denmark",
    "Spain",
    "Italy",
    "Switzerland",
    "Ireland",
    "United Kingdom",
)


@dataclass(frozen=True, slots=True)
class FieldRates:
    """A field: the share of all records for which the vendor has a value, and the share of those that are wrong."""

    rate: float
    wrong: float = 0.0


@dataclass(frozen=True, slots=True)
class Segment:
    """Records whose `attribute` is one of `values` are known with other odds: of having the record at all, or of
    having each of `fields`. Odds of 1 change nothing."""

    attribute: str
    values: tuple[str, ...]
    odds: float
    fields: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class VendorModel:
    """`coverage`: the share of records it has at all; rates of fields are of all records, so none is above it.

    `resells`: other vendor → share of this one's records that are that one's rows. `guesses`: a wrong email is made up
    from the usual pattern, not the address at an employer the person has left.
    """

    coverage: float = 0.0
    people: Mapping[str, FieldRates] = field(default_factory=dict)
    companies: Mapping[str, FieldRates] = field(default_factory=dict)
    segments: tuple[Segment, ...] = ()
    resells: Mapping[str, float] = field(default_factory=dict)
    guesses: bool = False


KNOWS_NOTHING = VendorModel()

_COMPANY = {
    "industry": FieldRates(0.80),
    "employee_count": FieldRates(0.75),
    "founded_year": FieldRates(0.70),
    "linkedin_url": FieldRates(0.75),
    "city": FieldRates(0.70),
    "country": FieldRates(0.80),
}

DEFAULT_VENDORS: Mapping[str, VendorModel] = {
    "people_data_labs": VendorModel(
        coverage=0.85,
        people={
            "email": FieldRates(0.55, wrong=0.06),
            "phone": FieldRates(0.35, wrong=0.04),
            "job_title": FieldRates(0.70, wrong=0.12),
            "linkedin_url": FieldRates(0.75),
            "city": FieldRates(0.70, wrong=0.04),
            "country": FieldRates(0.80),
        },
        companies=_COMPANY,
        segments=(
            Segment("country", ("United States", "Canada"), 1.3),
            Segment("country", ("France", *_EUROPE), 0.8),
            Segment("company_size", ("1-10", "11-50"), 0.8),
        ),
    ),
    "hunter": VendorModel(
        coverage=0.80,
        people={"email": FieldRates(0.60, wrong=0.12)},
        segments=(Segment("company_size", ("1-10",), 0.6), Segment("company_size", ("1001+",), 1.3)),
        guesses=True,
    ),
    "apollo": VendorModel(
        coverage=0.80,
        people={
            "email": FieldRates(0.58, wrong=0.08),
            "phone": FieldRates(0.30, wrong=0.08),
            "job_title": FieldRates(0.72, wrong=0.10),
            "linkedin_url": FieldRates(0.74),
            "city": FieldRates(0.65, wrong=0.05),
            "country": FieldRates(0.74),
        },
        companies={**_COMPANY, "industry": FieldRates(0.78), "employee_count": FieldRates(0.78, wrong=0.10)},
        segments=(
            Segment("country", ("United States",), 1.8),
            Segment("country", ("France", *_EUROPE), 0.6),
            Segment("seniority", ("cxo", "vp", "director"), 1.3, ("email", "phone")),
        ),
    ),
    "prospeo": VendorModel(
        coverage=0.80,
        people={
            "email": FieldRates(0.60, wrong=0.05),
            "phone": FieldRates(0.30, wrong=0.06),
            "job_title": FieldRates(0.70, wrong=0.10),
            "linkedin_url": FieldRates(0.74),
            "city": FieldRates(0.60),
            "country": FieldRates(0.70),
        },
        companies=_COMPANY,
        segments=(Segment("seniority", ("entry",), 0.7, ("phone",)),),
        resells={"apollo": 0.35},
    ),
    "leadmagic": VendorModel(
        coverage=0.74,
        people={"email": FieldRates(0.56, wrong=0.05)},
        segments=(Segment("country", ("United States",), 1.5),),
        resells={"prospeo": 0.20},
        guesses=True,
    ),
    "dropcontact": VendorModel(
        coverage=0.80,
        people={
            "email": FieldRates(0.54, wrong=0.03),
            "phone": FieldRates(0.15, wrong=0.04),
            "job_title": FieldRates(0.45, wrong=0.12),
            "linkedin_url": FieldRates(0.55),
        },
        companies={"employee_count": FieldRates(0.60), "linkedin_url": FieldRates(0.60)},
        segments=(
            Segment("country", ("France",), 3.0),
            Segment("country", _EUROPE, 1.5),
            Segment("country", ("United States", "Canada"), 0.6),
        ),
        guesses=True,
    ),
    # It asks other vendors in its turn: a good part of what it has is theirs.
    "fullenrich": VendorModel(
        coverage=0.92,
        people={
            "email": FieldRates(0.74, wrong=0.04),
            "phone": FieldRates(0.48, wrong=0.06),
            "job_title": FieldRates(0.75, wrong=0.10),
            "linkedin_url": FieldRates(0.80),
            "city": FieldRates(0.70),
            "country": FieldRates(0.80),
        },
        resells={"people_data_labs": 0.25, "apollo": 0.15, "prospeo": 0.15},
    ),
    # A public register: complete, but a registered office is often that of the accountant.
    "companies_house": VendorModel(
        coverage=1.0,
        companies={"founded_year": FieldRates(1.0), "city": FieldRates(1.0, wrong=0.15), "country": FieldRates(1.0)},
    ),
    # Only who trades in securities, or with banks, needs an identifier.
    "gleif": VendorModel(coverage=0.4, companies={"founded_year": FieldRates(0.3), "city": FieldRates(0.4)}),
}

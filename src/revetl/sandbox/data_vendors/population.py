"""How much of the truth each vendor knows: one model for all of them, with documented defaults.

Whether a vendor knows a fact is a draw from a Gaussian copula with one common factor. For vendor v and fact f

    known(v, f)  iff  sqrt(rho) * Z(f) + sqrt(1 - rho) * E(v, f)  <  probit(rate)

where Z is shared by all vendors and E is the vendor's own, both standard normal by hash of the seed. So every vendor
has exactly its own rate, and what is hard for one is hard for the others. It is drawn twice: whether the vendor has
the record at all (`coverage`), and then each field of it, which keeps a vendor's fields together.

On top, vendors resell: on the share `resells` of the records a vendor has the rows of another, hits, gaps and wrong
values alike.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import yaml

from revetl.errors import did_you_mean
from revetl.sandbox.data_vendors.vendor_models import DEFAULT_VENDORS, KNOWS_NOTHING, FieldRates, Segment, VendorModel

PERSON_FIELDS = ("email", "phone", "job_title", "linkedin_url", "city", "country")
COMPANY_FIELDS = ("industry", "employee_count", "founded_year", "linkedin_url", "city", "country")
ATTRIBUTES = ("country", "seniority", "industry", "company_size")
SIZES = ((10, "1-10"), (50, "11-50"), (200, "51-200"), (1000, "201-1000"))
LARGEST = "1001+"


class PopulationError(ValueError):
    """A population that makes no sense; the message says where and what would be right."""


@dataclass(frozen=True, slots=True)
class Population:
    """`correlation` is rho above. `erased_share` of the people asked to be forgotten by every vendor; at
    `catch_all_share` of the companies the mail server takes any address."""

    correlation: float = 0.6
    erased_share: float = 0.004
    catch_all_share: float = 0.08
    vendors: Mapping[str, VendorModel] = field(default_factory=lambda: dict(DEFAULT_VENDORS))

    def __post_init__(self) -> None:
        for name in ("correlation", "erased_share", "catch_all_share"):
            _share(getattr(self, name), name)
        for name, vendor in self.vendors.items():
            _check(name, vendor, self.vendors)
        for name in self.vendors:
            self._refuse_circle(name, ())

    def _refuse_circle(self, name: str, above: tuple[str, ...]) -> None:
        if name in above:
            raise PopulationError(f"vendors resell one another in a circle: {' → '.join((*above, name))}")
        for other in self.vendors[name].resells:
            self._refuse_circle(other, (*above, name))

    def vendor(self, name: str) -> VendorModel:
        """A vendor that is not described knows nothing."""
        return self.vendors.get(name, KNOWS_NOTHING)

    def changed(self, document: Mapping[str, Any]) -> Population:
        """This one with what the document says: of a vendor, only what is named; of its fields, only those named."""
        _refuse_unknown("population", document, ("correlation", "erased_share", "catch_all_share", "vendors"))
        vendors = dict(self.vendors)
        for name, given in _mapping("vendors", document.get("vendors", {})).items():
            vendors[name] = _vendor_changed(name, vendors.get(name, KNOWS_NOTHING), _mapping(name, given))
        scalars = {n: float(document[n]) for n in ("correlation", "erased_share", "catch_all_share") if n in document}
        return replace(self, vendors=vendors, **scalars)

    def with_rate(self, where: str, rate: float) -> Population:
        """`hunter=0.3` sets the coverage of a vendor, `hunter.email=0.3` one of its fields."""
        vendor, _, name = where.partition(".")
        if vendor not in self.vendors:
            raise PopulationError(f"{vendor!r} is no vendor of the population{_hint(vendor, tuple(self.vendors))}")
        model = self.vendors[vendor]
        if not name:
            return self.changed({"vendors": {vendor: _scaled(model, rate)}})
        kinds = [kind for kind in ("people", "companies") if name in getattr(model, kind)]
        if not kinds:
            known = (*model.people, *model.companies)
            raise PopulationError(f"{vendor} has no field {name!r}{_hint(name, known)}")
        coverage = max(model.coverage, rate)
        return self.changed({"vendors": {vendor: {"coverage": coverage, **{k: {name: {"rate": rate}} for k in kinds}}}})


def read_population(path: Path) -> Population:
    """The defaults, changed by a YAML file. PopulationError where it makes no sense, OSError where there is none."""
    try:
        document = yaml.safe_load(path.read_text("utf-8"))
    except yaml.YAMLError as e:
        raise PopulationError(f"{path.name}: {e}") from e
    try:
        return Population().changed(_mapping("the file", document or {}))
    except (PopulationError, TypeError) as e:
        raise PopulationError(f"{path.name}: {e}") from e


def company_size(employees: int | None) -> str | None:
    if employees is None:
        return None
    return next((name for most, name in SIZES if employees <= most), LARGEST)


def _scaled(model: VendorModel, coverage: float) -> dict[str, Any]:
    """Fields keep their share of what the vendor has."""
    factor = coverage / model.coverage if model.coverage else 0.0
    fields = {
        kind: {name: {"rate": min(coverage, rates.rate * factor)} for name, rates in getattr(model, kind).items()}
        for kind in ("people", "companies")
    }
    return {"coverage": coverage, **fields}


def _vendor_changed(name: str, model: VendorModel, given: Mapping[str, Any]) -> VendorModel:
    _refuse_unknown(name, given, tuple(VendorModel.__dataclass_fields__))
    changes: dict[str, Any] = {n: given[n] for n in ("coverage", "guesses") if n in given}
    for kind in ("people", "companies"):
        if kind in given:
            fields = dict(getattr(model, kind))
            for field_name, values in _mapping(f"{name}.{kind}", given[kind]).items():
                values = _mapping(f"{name}.{kind}.{field_name}", values)
                _refuse_unknown(f"{name}.{kind}.{field_name}", values, ("rate", "wrong"))
                fields[field_name] = replace(fields.get(field_name, FieldRates(0.0)), **values)
            changes[kind] = fields
    if "resells" in given:
        changes["resells"] = dict(_mapping(f"{name}.resells", given["resells"]))
    if "segments" in given:
        changes["segments"] = tuple(_segment(name, s) for s in given["segments"])
    return replace(model, **changes)


def _segment(vendor: str, given: Any) -> Segment:
    given = _mapping(f"{vendor}.segments", given)
    _refuse_unknown(f"{vendor}.segments", given, tuple(Segment.__dataclass_fields__))
    for name in ("attribute", "values", "odds"):
        if name not in given:
            raise PopulationError(f"{vendor}.segments: {name!r} is missing")
    return Segment(given["attribute"], tuple(given["values"]), float(given["odds"]), tuple(given.get("fields", ())))


def _check(name: str, vendor: VendorModel, vendors: Mapping[str, VendorModel]) -> None:
    _share(vendor.coverage, f"{name}.coverage")
    for kind, allowed in (("people", PERSON_FIELDS), ("companies", COMPANY_FIELDS)):
        fields: Mapping[str, FieldRates] = getattr(vendor, kind)
        _refuse_unknown(f"{name}.{kind}", fields, allowed)
        for field_name, rates in fields.items():
            place = f"{name}.{kind}.{field_name}"
            _share(rates.rate, f"{place}.rate")
            _share(rates.wrong, f"{place}.wrong")
            if rates.rate > vendor.coverage + 1e-9:
                raise PopulationError(f"{place}.rate is above the coverage of {name}, {vendor.coverage}")
    for segment in vendor.segments:
        if segment.attribute not in ATTRIBUTES:
            raise PopulationError(
                f"{name}: {segment.attribute!r} is no attribute of a segment{_hint(segment.attribute, ATTRIBUTES)}"
            )
        if segment.attribute == "company_size":
            _refuse_unknown(
                f"{name}: company_size", dict.fromkeys(segment.values), (*(size for _, size in SIZES), LARGEST)
            )
        if segment.odds <= 0:
            raise PopulationError(f"{name}: odds must be above 0, not {segment.odds}")
    for other in vendor.resells:
        if other not in vendors:
            raise PopulationError(f"{name} resells {other!r}, which is no vendor{_hint(other, tuple(vendors))}")
    _share(sum(vendor.resells.values()), f"the sum of {name}.resells")


def _share(value: Any, name: str) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        raise PopulationError(f"{name} must be a number from 0 to 1, not {value!r}")


def _mapping(place: str, value: Any) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise PopulationError(f"{place} must be a mapping")
    return value


def _refuse_unknown(place: str, given: Mapping[str, Any], allowed: tuple[str, ...]) -> None:
    for name in given:
        if name not in allowed:
            raise PopulationError(f"{place}: {name!r} is unknown{_hint(name, allowed)}")


def _hint(name: str, known: tuple[str, ...]) -> str:
    hint = did_you_mean(name, known)
    return f". {hint}" if hint else ""

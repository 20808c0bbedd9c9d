"""Which column of a list is which input of a waterfall, and which waterfall can be run over the list at all."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from revetl.enrich.waterfall import WaterfallSpec
from revetl.errors import ConfigError, did_you_mean
from revetl.providers.grammar import ProviderSpec

# What people call these columns, without case, blanks and punctuation.
SYNONYMS: Mapping[str, tuple[str, ...]] = {
    "first_name": ("firstname", "first", "givenname", "forename", "fname"),
    "last_name": ("lastname", "last", "surname", "familyname", "lname"),
    "email": ("email", "emailaddress", "mail", "workemail", "businessemail", "contactemail"),
    "phone": ("phone", "phonenumber", "telephone", "tel", "mobile", "mobilephone", "cell", "directphone"),
    "linkedin_url": ("linkedin", "linkedinurl", "linkedinprofile", "personlinkedinurl", "profileurl"),
    "company_domain": ("companydomain", "domain", "website", "companywebsite", "companyurl", "url", "emaildomain"),
    "company_name": ("companyname", "company", "organization", "organisation", "employer", "account", "accountname"),
    "domain": ("domain", "companydomain", "website", "companywebsite", "url", "homepage"),
    "name": ("name", "companyname", "company", "organization", "organisation", "account", "accountname"),
    "job_title": ("jobtitle", "title", "position", "role"),
    "country": ("country", "countrycode", "countryname"),
    "city": ("city", "town", "locality"),
    "industry": ("industry", "sector"),
    "employee_count": ("employeecount", "employees", "headcount", "companysize", "numberofemployees"),
    "founded_year": ("foundedyear", "founded", "yearfounded"),
}
IN_FILES = ("", "_source", "_confidence")


@dataclass(frozen=True, slots=True)
class ColumnMatch:
    """`inputs`: provider input → the list's column; `fields`: wanted field → the list's column that may hold it."""

    spec: WaterfallSpec
    inputs: Mapping[str, str]
    fields: Mapping[str, str]


def match_columns(
    spec: WaterfallSpec, header: Sequence[str], given: Mapping[str, str | None] | None = None
) -> ColumnMatch:
    """By name or synonym, each column of the list for at most one input. The first that fits is taken.

    `given` says of an input which column it is, or None for one that is not to be used; those are not guessed.
    """
    given = given or {}
    plain = {_plain(name): name for name in reversed(header)}
    inputs = {name: column for name, column in given.items() if column is not None}
    taken = set(inputs.values())
    for name, column in spec.inputs.items():
        if name in given:
            continue
        found = _find([name, column], plain, taken)
        if found is not None:
            inputs[name] = found
            taken.add(found)
    by_column = {spec.inputs[name]: found for name, found in inputs.items()}
    fields = {}
    for field in spec.fields:
        found = by_column.get(spec.column(field)) or _find([field, spec.column(field)], plain, set())
        if found is not None:
            fields[field] = found
    return ColumnMatch(spec, {name: inputs[name] for name in spec.inputs if name in inputs}, fields)


def choose(
    waterfalls: Mapping[str, WaterfallSpec],
    providers: Mapping[str, ProviderSpec],
    header: Sequence[str],
    given: Mapping[str, str | None] | None = None,
) -> ColumnMatch:
    """The waterfall that can use the most of the list's columns. ConfigError where none has enough to ask with, or
    where `given` (see `match_columns`) names a column or an input that is not there."""
    given = given or {}
    if missing := [column for column in given.values() if column is not None and column not in header]:
        raise ConfigError(f"the list has no column {missing[0]!r}", hint=did_you_mean(missing[0], list(header)))
    known = sorted({name for spec in waterfalls.values() for name in spec.inputs})
    if strange := [name for name in given if name not in known]:
        raise ConfigError(f"no waterfall has an input {strange[0]!r}", hint=did_you_mean(strange[0], known))
    takes_all = [spec for spec in waterfalls.values() if all(name in spec.inputs for name in given)]
    matches = [match_columns(spec, header, given) for spec in takes_all]
    able = [m for m in matches if askable(m, providers)]
    if able:
        return max(able, key=lambda m: len(m.inputs))
    needs = sorted({" + ".join(g) for m in matches for s in m.spec.stages for g in providers[s.provider].sufficient})
    raise ConfigError(
        "no waterfall can be run over the columns " + ", ".join(map(repr, header)),
        hint="Enough would be: " + ("; ".join(needs) or "a waterfall in enrichment/waterfalls/"),
    )


def askable(match: ColumnMatch, providers: Mapping[str, ProviderSpec]) -> bool:
    present = dict.fromkeys(match.inputs, "x")
    return any(providers[stage.provider].can_ask(present) for stage in match.spec.stages)


def added_columns(
    match: ColumnMatch, header: Sequence[str], suffixes: Sequence[str] = IN_FILES
) -> dict[str, tuple[str, ...]]:
    """field → names of the columns that tell of it, one per suffix. None of them hides a column of the list."""
    taken = set(header)
    added = {}
    for field in match.spec.fields:
        base = field
        while any(base + suffix in taken for suffix in suffixes):
            base += "_enriched"
        added[field] = tuple(base + suffix for suffix in suffixes)
        taken.update(added[field])
    return added


def column_of(name: str, header: Sequence[str]) -> str | None:
    """Which column of a list holds what we call `name`, by that name or a synonym."""
    return _find([name], {_plain(column): column for column in reversed(header)}, set())


def _plain(name: str) -> str:
    return re.sub(r"[\W_]+", "", name).casefold()


def _find(names: Sequence[str], plain: Mapping[str, str], taken: set[str]) -> str | None:
    wanted = [_plain(name) for name in names]
    wanted += [word for name in names for word in SYNONYMS.get(name, ())]
    return next((plain[word] for word in wanted if word in plain and plain[word] not in taken), None)

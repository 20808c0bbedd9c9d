"""A waterfall over a list instead of a model: same engine, same ledger, same answers.

The list's inputs go into a table of the state's schema, `adhoc_input`, that has the columns of the waterfall's entity,
and is dropped afterwards. One list at a time in one warehouse.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from revetl.enrich.lists import CsvListing, ParquetListing
from revetl.enrich.spec import WaterfallSpec
from revetl.errors import ConfigError
from revetl.model import Relation
from revetl.providers.spec import ProviderSpec
from revetl.state.appending import naive
from revetl.state.schema import create_all, create_table, relation
from revetl.warehouse.base import Warehouse
from revetl.warehouse.sql import ident, literal, table

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
SOURCE_OF_OWN = "input"


@dataclass(frozen=True, slots=True)
class Match:
    """`inputs`: provider input → the list's column; `fields`: wanted field → the list's column that may hold it."""

    spec: WaterfallSpec
    inputs: Mapping[str, str]
    fields: Mapping[str, str]


def match_columns(spec: WaterfallSpec, header: Sequence[str]) -> Match:
    """By name or synonym, each column of the list for at most one input. The first that fits is taken."""
    plain = {_plain(name): name for name in reversed(header)}
    taken: set[str] = set()
    inputs: dict[str, str] = {}
    for name, column in spec.inputs.items():
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
    return Match(spec, inputs, fields)


def choose(
    waterfalls: Mapping[str, WaterfallSpec], providers: Mapping[str, ProviderSpec], header: Sequence[str]
) -> Match:
    """The waterfall that can use the most of the list's columns. ConfigError where none has enough to ask with."""
    matches = [match_columns(spec, header) for spec in waterfalls.values()]
    able = [m for m in matches if askable(m, providers)]
    if able:
        return max(able, key=lambda m: len(m.inputs))
    needs = sorted({" + ".join(g) for m in matches for s in m.spec.stages for g in providers[s.provider].sufficient})
    raise ConfigError(
        "no waterfall can be run over the columns " + ", ".join(map(repr, header)),
        hint="Enough would be: " + ("; ".join(needs) or "a waterfall in enrichment/waterfalls/"),
    )


def askable(match: Match, providers: Mapping[str, ProviderSpec]) -> bool:
    present = dict.fromkeys(match.inputs, "x")
    return any(providers[stage.provider].can_ask(present) for stage in match.spec.stages)


@contextmanager
def loaded(warehouse: Warehouse, match: Match, listing: CsvListing | ParquetListing) -> Iterator[Relation]:
    """The list's inputs as a relation for the waterfall, while the block lasts. A row that can't be read is a
    ConfigError here, before anything is asked."""
    create_all(warehouse)
    target = relation(warehouse, "adhoc_input")
    name = table(target, warehouse.dialect)
    warehouse.execute(f"DROP TABLE IF EXISTS {name}")
    try:
        _load(warehouse, match, listing, target)
        yield target
    finally:
        warehouse.execute(f"DROP TABLE IF EXISTS {name}")


def entity_name(spec: WaterfallSpec) -> str:
    """What values of lists are kept under: apart from the model's, whose keys are other ones."""
    return f"adhoc:{spec.name}"


def added_columns(match: Match, header: Sequence[str]) -> dict[str, tuple[str, str, str]]:
    """field → names of its value, source and confidence columns. None of them hides a column of the list."""
    taken = set(header)
    added = {}
    for field in match.spec.fields:
        base = field
        while any(name in taken for name in (base, f"{base}_source", f"{base}_confidence")):
            base += "_enriched"
        added[field] = (base, f"{base}_source", f"{base}_confidence")
        taken.update(added[field])
    return added


def enriched_rows(
    warehouse: Warehouse, match: Match, listing: CsvListing | ParquetListing, input_: Relation, now: datetime
) -> Iterator[list[tuple[Any, ...]]]:
    """The list's rows, each with value, source and confidence of every field. What the list itself holds wins."""
    row_no = 0
    own = {field: listing.header.index(column) for field, column in match.fields.items()}
    for chunk in listing.chunks():
        won = _winners(warehouse, match, input_, now, row_no, row_no + len(chunk))
        out = []
        for row in chunk:
            more: list[str | None] = []
            for field in match.spec.fields:
                held = row[own[field]] if field in own else None
                if held is not None and str(held).strip():
                    more += [str(held), SOURCE_OF_OWN, None]
                else:
                    more += won.get((row_no, field), (None, None, None))
            out.append((*row, *more))
            row_no += 1
        yield out


def _winners(
    warehouse: Warehouse, match: Match, input_: Relation, now: datetime, first: int, end: int
) -> dict[tuple[int, str], tuple[str, str, str | None]]:
    """Per row and field the accepted value of the earliest stage, then the surest, then the newest."""
    d = warehouse.dialect
    stages = " ".join(f"WHEN {literal(stage.provider, d)} THEN {i}" for i, stage in enumerate(match.spec.stages))
    rows = warehouse.rows(
        "SELECT row_no, field, value, provider, confidence FROM (SELECT i.row_no, v.field, v.value, v.provider,"
        " v.confidence, row_number() OVER (PARTITION BY i.row_no, v.field ORDER BY"
        f" CASE v.provider {stages} ELSE {len(match.spec.stages)} END, v.confidence DESC NULLS LAST,"
        f" v.observed_at DESC, v.value) AS place FROM {table(input_, d)} i"
        f" JOIN {table(relation(warehouse, 'enrichment_values'), d)} v ON v.key = i.{ident(match.spec.key, d)}"
        " WHERE i.row_no >= ? AND i.row_no < ? AND v.entity = ? AND v.rejected_reason IS NULL"
        " AND (v.expires_at IS NULL OR v.expires_at > ?)) AS ranked WHERE place = 1",
        [first, end, entity_name(match.spec), naive(now)],
    )
    return {
        (int(str(row_no)), str(field)): (str(value), str(provider), None if sure is None else f"{float(str(sure)):g}")
        for row_no, field, value, provider, sure in rows
    }


def _load(warehouse: Warehouse, match: Match, listing: CsvListing | ParquetListing, target: Relation) -> None:
    import pyarrow as pa

    spec = match.spec
    source = {spec.inputs[name]: listing.header.index(column) for name, column in match.inputs.items()}
    source |= {spec.column(field): listing.header.index(column) for field, column in match.fields.items()}
    columns = dict.fromkeys([*spec.inputs.values(), *(spec.column(f) for f in spec.fields)])
    if missing := _condition_columns(spec) - {c.lower() for c in columns}:
        raise ConfigError(f"a 'when' of the waterfall {spec.name} reads {sorted(missing)[0]!r}, which a list has not")
    create_table(warehouse, target, [("row_no", "BIGINT"), (spec.key, "VARCHAR"), *((c, "VARCHAR") for c in columns)])
    domains = {spec.inputs[name] for name in ("company_domain", "domain") if name in spec.inputs}
    clean = {column: _domain if column in domains else _text for column in columns}
    row_no = 0
    for chunk in listing.chunks():
        cells = {
            column: [clean[column](row[source[column]]) if column in source else None for row in chunk]
            for column in columns
        }
        keys = [_key({name: cells[column][i] for name, column in spec.inputs.items()}) for i in range(len(chunk))]
        arrays = [pa.array(range(row_no, row_no + len(chunk)), pa.int64()), pa.array(keys, pa.string())]
        arrays += [pa.array(values, pa.string()) for values in cells.values()]
        warehouse.append(target, pa.table(arrays, names=["row_no", spec.key, *columns]))
        row_no += len(chunk)


def _condition_columns(spec: WaterfallSpec) -> set[str]:
    import sqlglot
    from sqlglot import exp

    conditions = [sqlglot.parse_one(stage.when) for stage in spec.stages if stage.when]
    return {column.name.lower() for condition in conditions for column in condition.find_all(exp.Column)}


def _key(inputs: Mapping[str, str | None]) -> str:
    """The same for the same inputs, in whatever list and order they stand."""
    given = (f"{name}={' '.join(value.split()).casefold()}" for name, value in sorted(inputs.items()) if value)
    return hashlib.sha256("\x1f".join(given).encode()).hexdigest()[:32]


def _text(cell: object) -> str | None:
    return None if cell is None else str(cell)


def _domain(cell: object) -> str | None:
    """`https://www.acme.com/about` → `acme.com`: lists hold websites where providers ask for domains."""
    if cell is None:
        return None
    return re.sub(r"^(?:[a-z]+://)?(?:www\.)?([^/?#:]*).*$", r"\1", str(cell).strip(), flags=re.IGNORECASE | re.DOTALL)


def _plain(name: str) -> str:
    return re.sub(r"[\W_]+", "", name).casefold()


def _find(names: Sequence[str], plain: Mapping[str, str], taken: set[str]) -> str | None:
    wanted = [_plain(name) for name in names]
    wanted += [word for name in names for word in SYNONYMS.get(name, ())]
    return next((plain[word] for word in wanted if word in plain and plain[word] not in taken), None)

"""`revetl erase`: who is meant, where a project keeps people, and what is agreed to before anything is removed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import TYPE_CHECKING, BinaryIO

from revetl.enrich.lists.columns import column_of
from revetl.enrich.lists.entity_table import list_key
from revetl.enrich.lists.files import CsvListing, ParquetListing, open_list
from revetl.enrich.waterfall import WaterfallSpec
from revetl.errors import ConfigError
from revetl.model import Relation
from revetl.privacy.erasure import Erasure, ErasureReport
from revetl.privacy.people import PeopleRelation
from revetl.privacy.suppressions import UNIQUE
from revetl.usecases.caller import Caller

if TYPE_CHECKING:
    from revetl.context import RunContext
    from revetl.project import Project

_NAMED = ("first_name", "last_name", "company_domain", "company_name")
_KEYS = ("key", "golden_id")


@dataclass(frozen=True, slots=True)
class Whom:
    """Whoever is to be forgotten. `identities`: what is known of each, such as `{"email": …}`; `keys` of records."""

    identities: Sequence[Mapping[str, str]] = field(default=(), repr=False)
    keys: Sequence[str] = field(default=(), repr=False)

    def and_(self, others: Whom) -> Whom:
        return Whom([*self.identities, *others.identities], [*self.keys, *others.keys])


def listed(file: str, stdin: BinaryIO) -> Whom:
    """The people of a CSV or Parquet file, `-` being `stdin`. ConfigError where no column says who somebody is."""
    with open_list(file, stdin) as listing:
        return Whom(*read_people(listing))


def erase(project: Project, whom: Whom, confirm: Callable[[ErasureReport], bool], caller: Caller) -> ErasureReport:
    """What is held of these people is shown to `confirm`, and where it agrees removed. A report that is not `erased`
    says what is held, and nothing was changed. Safe to repeat, and to repeat after a crash at any point.

    Raises ConfigError (the key of the list of suppressed people is not at hand), LeaseError where a run that is under
    way did not end in time (they are suppressed then, and nothing was removed yet) and WarehouseError.
    """
    with caller.warehouse(project) as warehouse:
        request = _request(project, caller.context(project, warehouse, "erase"), whom)
        report = asyncio.run(request.look())
        if not confirm(report):
            return report
        syncs = [spec.name for spec in project.syncs(verified=False)] if project.built else []
        return asyncio.run(request.erase(syncs))


def _request(project: Project, ctx: RunContext, whom: Whom) -> Erasure:
    waterfalls = [*project.waterfalls.values()]
    models = set(project.manifest.model_names()) if project.built else set()
    people = people_of([spec for spec in waterfalls if spec.entity in models], project.relation)
    return Erasure(ctx, people, list_keys(waterfalls), whom.identities, whom.keys)


def people_of(waterfalls: Iterable[WaterfallSpec], relation: Callable[[str], Relation]) -> list[PeopleRelation]:
    """The entities of all waterfalls, each with the columns that tell who somebody is: its inputs, and the fields that
    name one person alone."""
    found = []
    for spec in waterfalls:
        fields = {name: spec.column(name) for name in spec.fields if name in UNIQUE}
        found.append(PeopleRelation(relation(spec.entity), spec.key, {**fields, **spec.inputs}))
    return found


def list_keys(waterfalls: Sequence[WaterfallSpec]) -> Callable[[Mapping[str, str]], set[str]]:
    """Lists keep a person under a digest of the inputs that the list had: that of any choice of what is known."""

    def keys(known: Mapping[str, str]) -> set[str]:
        found = set()
        for spec in waterfalls:
            given = [name for name in spec.inputs if known.get(name)]
            for size in range(1, len(given) + 1):
                for chosen in combinations(given, size):
                    # Only what names one person: a company, or a name alone, is shared by many.
                    if any(name in UNIQUE for name in chosen) or _names_one(chosen):
                        found.add(list_key({name: known[name] for name in chosen}))
        return found

    return keys


def _names_one(chosen: Sequence[str]) -> bool:
    company = "company_domain" in chosen or "company_name" in chosen
    return "first_name" in chosen and "last_name" in chosen and company


def read_people(listing: CsvListing | ParquetListing) -> tuple[list[dict[str, str]], list[str]]:
    """(what is known of each, keys of records) from a list with columns such as email, linkedin_url, golden_id or key.
    ConfigError where it has none of these."""
    columns = {name: column_of(name, listing.header) for name in (*UNIQUE, *_NAMED, *_KEYS)}
    places = {name: listing.header.index(column) for name, column in columns.items() if column is not None}
    if not any(name in places for name in (*UNIQUE, *_KEYS)):
        raise ConfigError(
            "the list names nobody: no column is an email, a LinkedIn profile or a key",
            hint="Name a column email, linkedin_url, golden_id or key.",
        )
    identities, keys = [], []
    for row in _rows(listing):
        cells = {name: str(row[place]).strip() for name, place in places.items() if row[place] is not None}
        keys += [cells[name] for name in _KEYS if cells.get(name)]
        if known := {name: text for name, text in cells.items() if name not in _KEYS and text}:
            identities.append(known)
    return identities, list(dict.fromkeys(keys))


def _rows(listing: CsvListing | ParquetListing) -> Iterator[Sequence[object]]:
    for chunk in listing.chunks():
        yield from chunk

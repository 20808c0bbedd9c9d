"""Where a project keeps people, and which people a request to erase names."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import combinations

from revetl.enrich.lists.columns import column_of
from revetl.enrich.lists.entity_table import list_key
from revetl.enrich.lists.files import CsvListing, ParquetListing
from revetl.enrich.waterfall import WaterfallSpec
from revetl.errors import ConfigError
from revetl.model import Relation
from revetl.privacy.persons import People
from revetl.privacy.suppressions import UNIQUE

_NAMED = ("first_name", "last_name", "company_domain", "company_name")
_KEYS = ("key", "golden_id")


def people_of(waterfalls: Iterable[WaterfallSpec], relation: Callable[[str], Relation]) -> list[People]:
    """The entities of all waterfalls, each with the columns that tell who somebody is: its inputs, and the fields that
    name one person alone."""
    found = []
    for spec in waterfalls:
        fields = {name: spec.column(name) for name in spec.fields if name in UNIQUE}
        found.append(People(relation(spec.entity), spec.key, {**fields, **spec.inputs}))
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

"""`revetl erase`: who is meant, where a project keeps people, and what is agreed to before anything is removed."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations, product
from typing import TYPE_CHECKING, BinaryIO

from revetl.enrich.execution.answer_spool import write_kept
from revetl.enrich.lists.columns import column_of
from revetl.enrich.lists.entity_table import as_a_list_has_it, list_key
from revetl.enrich.lists.files import Listing, open_list
from revetl.enrich.waterfall import WaterfallSpec
from revetl.errors import ConfigError, Problem
from revetl.model import Relation
from revetl.privacy import erased_file
from revetl.privacy.erasure import Erasure, ErasureReport
from revetl.privacy.people import PeopleRelation
from revetl.privacy.suppressions import UNIQUE, Suppressions, choose_key
from revetl.state.schema import create_all
from revetl.usecases.auditing import audited
from revetl.usecases.caller import Caller
from revetl.warehouse.sql import ident, table

if TYPE_CHECKING:
    from revetl.context import RunContext
    from revetl.project import Project
    from revetl.warehouse.base import Warehouse

_NAMED = ("first_name", "last_name", "company_domain", "company_name")
_KEYS = ("key", "golden_id")
_WHOLE = "A key is the whole golden_id, as `revetl explain` shows it; nothing was changed."
_CHUNK = 500  # keys in one statement
# What is asked for, as it is written; loose, for the form of an address is its server's to judge.
_FORMS = {
    "email": ("email address", re.compile(r"[^@\s]+@[^@\s.]+(\.[^@\s.]+)+"), "As in ada@example.com."),
    "linkedin_url": (
        "LinkedIn profile",
        re.compile(r"(https?://)?([\w-]+\.)?linkedin\.com/\S+", re.IGNORECASE),
        "As in https://www.linkedin.com/in/ada.",
    ),
}


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

    Raises ConfigError (what was asked for is no address, or a key of no record; the key of the list of suppressed
    people is not at hand), LeaseError where a run that is under way did not end in time (they are suppressed then, and
    nothing was removed yet) and WarehouseError.
    """
    with caller.warehouse(project) as warehouse:
        _require_named(whom)
        ctx = caller.context(project, warehouse, "erase")
        asyncio.run(_write_kept(ctx))
        request = _request(project, ctx, whom)
        report = asyncio.run(request.look())
        require_known(warehouse, _places_of_keys(project), whom.keys)
        if not confirm(report):
            return report
        audited(warehouse, caller, "erase", [], people=len(whom.identities) + len(whom.keys))
        syncs = [spec.name for spec in project.syncs(verified=False)] if project.built else []
        report = asyncio.run(request.erase(syncs))
        asyncio.run(_write_kept(ctx))  # of a run that was waited for
        return report


async def _write_kept(ctx: RunContext) -> None:
    """Answers that a run could not write stand in files. They go to the ledger first, where people are found and
    erased; of whoever is erased already nothing is written."""
    create_all(ctx.warehouse)
    erased_file.reconcile(ctx.warehouse, ctx.state_dir, ctx.clock.now())  # its key, before one is chosen
    await choose_key(ctx.warehouse, ctx.clock)
    await write_kept(ctx, Suppressions.load(ctx.warehouse))


def _require_named(whom: Whom) -> None:
    """An address that is none finds nobody, and "done" must not be said of that. One that nothing is held of is no
    mistake: that person is kept from coming in."""
    problems = [
        Problem(f"{said!r} is no {what}", hint=hint)
        for name, (what, form, hint) in _FORMS.items()
        for said in dict.fromkeys(known[name] for known in whom.identities if known.get(name))
        if not form.fullmatch(said.strip())
    ]
    if problems:
        raise ConfigError(problems)


def _places_of_keys(project: Project) -> list[tuple[Relation, str]]:
    """(relation, column) of the models whose records a key may name."""
    if not project.built:
        return []
    places = [(spec.relation, spec.key) for spec in project.syncs(verified=False)]
    models = set(project.manifest.model_names())
    return places + [(project.relation(w.entity), w.key) for w in project.waterfalls.values() if w.entity in models]


def require_known(warehouse: Warehouse, places: Iterable[tuple[Relation, str]], keys: Sequence[str]) -> None:
    """ConfigError that names each key of no record: not in `places`, not in a state table, and not erased before. A
    part of a key names nobody."""
    state = warehouse.tables(warehouse.state_schema)
    looked = [(Relation(warehouse.state_schema, name), "key") for name, columns in state.items() if "key" in columns]
    looked += [(r, column) for r, column in places if column in {c.name for c in warehouse.columns(r)}]
    erased = Suppressions.load(warehouse)
    asked = [key for key in dict.fromkeys(keys) if not erased.is_erased(key)]
    found: set[str] = set()
    for start in range(0, len(asked), _CHUNK):
        chunk = asked[start : start + _CHUNK]
        for place, column in dict.fromkeys(looked):
            cell = f"CAST({ident(column)} AS VARCHAR)"
            marks = ", ".join("?" for _ in chunk)
            for (key,) in warehouse.rows(
                f"SELECT DISTINCT {cell} FROM {table(place)} WHERE {cell} IN ({marks})", chunk
            ):
                found.add(str(key))
    if missing := [Problem(f"no record has the key {key!r}", hint=_WHOLE) for key in asked if key not in found]:
        raise ConfigError(missing)


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
    """Lists keep a person under a digest of the inputs that the list had, each in its one form: that of any choice of
    what is known."""

    def keys(known: Mapping[str, str]) -> set[str]:
        found = set()
        for said, spec in product((known, as_a_list_has_it(known)), waterfalls):
            found |= keys_of(said, spec)
        return found

    def keys_of(known: Mapping[str, str], spec: WaterfallSpec) -> set[str]:
        found = set()
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


def read_people(listing: Listing) -> tuple[list[dict[str, str]], list[str]]:
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


def _rows(listing: Listing) -> Iterator[Sequence[object]]:
    for chunk in listing.chunks():
        yield from chunk

"""A waterfall over a list instead of a model: same engine, same ledger, same answers.

The list's inputs go into a table of the state's schema, `adhoc_input__<day>_<random>`, that has the columns of the
waterfall's entity and is dropped afterwards; one that a killed process left is dropped by a later list.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Protocol

from revetl.clock import naive
from revetl.enrich.lists.cells import EntityKind, canonical, plain, split_name
from revetl.enrich.lists.columns import DOMAINS, ColumnMatch
from revetl.enrich.lists.words import of_input
from revetl.enrich.waterfall import WaterfallSpec
from revetl.errors import ConfigError, WarehouseFull, WarehouseLost
from revetl.model import Relation
from revetl.providers.grammar import ProviderSpec
from revetl.state.schema import create_all, create_table, relation
from revetl.state.values import OWN, apply_verdicts
from revetl.warehouse.base import Warehouse
from revetl.warehouse.reconnecting import failing_at_once
from revetl.warehouse.sql import ident, table

INPUT_TABLE = "adhoc_input"
LEFT_OVER = timedelta(days=2)


ProviderSpecs = Mapping[str, ProviderSpec]


class RowSource(Protocol):
    """A list, wherever it is kept: `header` holds its columns' names, `chunks` starts from the first row each time."""

    @property
    def header(self) -> Sequence[str]: ...

    def chunks(self) -> Iterator[list[tuple[Any, ...]]]: ...


@dataclass(frozen=True, slots=True)
class LoadedList:
    """`rows`: how many the list has. `unusable`: column of the list → how many of its cells hold something that can't
    be asked with: a placeholder, or text that is not what the column is for."""

    relation: Relation
    rows: int
    unusable: Mapping[str, int]


@contextmanager
def loaded(
    warehouse: Warehouse, match: ColumnMatch, listing: RowSource, now: datetime, *, limit: int | None = None
) -> Iterator[LoadedList]:
    """The list's inputs as a relation for the waterfall, while the block lasts. A row that can't be read is a
    ConfigError here, before anything is asked. `limit`: only the first so many rows are there to be asked about."""
    create_all(warehouse)
    _drop_left_overs(warehouse, now)
    target = relation(warehouse, f"{INPUT_TABLE}__{now:%Y%m%d}_{secrets.token_hex(4)}")
    try:
        rows, unusable = _load(warehouse, match, listing, target, limit)
        _put_own_values(warehouse, match.spec, target, now)
        yield LoadedList(target, rows, unusable)
    finally:
        # Where that can't be it goes with the left-overs, and what the run says of the failure is not hidden.
        with suppress(WarehouseLost, WarehouseFull), failing_at_once(warehouse):
            _remove_own_values(warehouse, match.spec, target)
            warehouse.execute(f"DROP TABLE IF EXISTS {table(target)}")


def _put_own_values(warehouse: Warehouse, spec: WaterfallSpec, input_: Relation, now: datetime) -> None:
    """What the list holds of fields that count only once they are verified waits for its verifier, like any value. What
    a verifier has said of it already is known at once."""
    values, key = table(relation(warehouse, "enrichment_values")), ident(spec.key)
    _remove_own_values(warehouse, spec, input_)
    for field in spec.verified_fields():
        own = ident(spec.column(field))
        warehouse.execute(
            f"""
            INSERT INTO {values} (
                entity, key, field, value, provider, confidence, call_id, observed_at, rejected_reason
            )
            SELECT DISTINCT ?, i.{key}, ?, i.{own}, ?, 1.0, ?, CAST(? AS TIMESTAMP), 'not_verified'
            FROM {table(input_)} i
            WHERE i.{own} IS NOT NULL
            """,
            [entity_name(spec), field, OWN, OWN, naive(now)],
        )
        apply_verdicts(warehouse, field, now)


def _remove_own_values(warehouse: Warehouse, spec: WaterfallSpec, input_: Relation) -> None:
    """They are there while their list is; what verifiers said of them stays."""
    if spec.verified_fields() and input_.name in warehouse.tables(input_.schema):
        warehouse.execute(
            f"""
            DELETE FROM {table(relation(warehouse, "enrichment_values"))}
            WHERE provider = ?
              AND entity = ?
              AND key IN (SELECT {ident(spec.key)} FROM {table(input_)})
            """,
            [OWN, entity_name(spec)],
        )


def _drop_left_overs(warehouse: Warehouse, now: datetime) -> None:
    """What killed processes left holds people's data. Only what is old goes: another list may be at work."""
    values = table(relation(warehouse, "enrichment_values"))
    warehouse.execute(f"DELETE FROM {values} WHERE provider = ? AND observed_at < ?", [OWN, naive(now - LEFT_OVER)])
    for name in warehouse.tables(warehouse.state_schema):
        made = re.fullmatch(INPUT_TABLE + r"__(\d{8})_[0-9a-f]+", name)
        if made is not None and made[1] < f"{now - LEFT_OVER:%Y%m%d}":
            warehouse.execute(f"DROP TABLE IF EXISTS {table(relation(warehouse, name))}")


def entity_name(spec: WaterfallSpec) -> str:
    """What values of lists are kept under: apart from the model's, whose keys are other ones."""
    return f"adhoc:{spec.name}"


def _load(
    warehouse: Warehouse, match: ColumnMatch, listing: RowSource, target: Relation, limit: int | None
) -> tuple[int, Counter[str]]:
    import pyarrow as pa

    spec = match.spec
    columns = dict.fromkeys([*spec.inputs.values(), *(spec.column(f) for f in spec.fields)])
    if missing := _condition_columns(spec) - {c.lower() for c in columns}:
        raise ConfigError(f"a 'when' of the waterfall {spec.name} reads {sorted(missing)[0]!r}, which a list has not")
    create_table(warehouse, target, [("row_no", "BIGINT"), (spec.key, "VARCHAR"), *((c, "VARCHAR") for c in columns)])
    read = RowReader(match, listing.header)
    row_no = 0
    for chunk in listing.chunks():
        # The whole list is read, so that a row that can't be is found before anything is asked.
        rows = chunk if limit is None else chunk[: max(0, limit - row_no)]
        found = [read(row) for row in rows]
        cells = {column: [row.get(column) for row in found] for column in columns}
        keys = [list_key({name: row.get(column) for name, column in spec.inputs.items()}) for row in found]
        arrays = [pa.array(range(row_no, row_no + len(rows)), pa.int64()), pa.array(keys, pa.string())]
        arrays += [pa.array(values, pa.string()) for values in cells.values()]
        warehouse.append(target, pa.table(arrays, names=["row_no", spec.key, *columns]))
        row_no += len(chunk)
    return row_no, read.unusable


class RowReader:
    """A row of the list as the columns of the waterfall's entity, each cell in its one form. `unusable` counts, by the
    list's column, the cells that say something which is none."""

    def __init__(self, match: ColumnMatch, header: Sequence[str]) -> None:
        spec = match.spec
        self._header = header
        # The entity's column → what stands in it, and where the list has it. An input's name comes before a field's.
        self._cells = {spec.column(field): (field, header.index(col)) for field, col in match.fields.items()}
        self._cells |= {spec.inputs[name]: (name, header.index(col)) for name, col in match.inputs.items()}
        # Where the list has it too: the first that can be used counts.
        self._further = {
            header.index(col): [header.index(other) for other in others] for col, others in match.further.items()
        }
        self._country = next((place for name, place in self._cells.values() if name == "country"), None)
        if self._country is None and match.country is not None:
            self._country = header.index(match.country)
        self._kind = _kind_of(spec)
        self._placeholders = {name: of_input(match.placeholders, name) for name, _ in self._cells.values()}
        self._names: tuple[str, str, int] | None = None
        if "first_name" in match.inputs and match.inputs["first_name"] == match.inputs.get("last_name"):
            first, last = spec.inputs["first_name"], spec.inputs["last_name"]
            self._names = (first, last, self._cells[first][1])
        # A blank domain is that of the address beside it.
        self._domains = [
            (spec.inputs[name], header.index(match.inputs["email"]))
            for name in DOMAINS
            if name in match.inputs and "email" in match.inputs
        ]
        self.unusable: Counter[str] = Counter()

    def __call__(self, row: Sequence[Any]) -> dict[str, str | None]:
        country = None if self._country is None else plain(row[self._country])
        found: dict[str, str | None] = {}
        for column, (name, place) in self._cells.items():
            fillers = self._placeholders[name]
            is_address = name in DOMAINS and (column, place) in self._domains
            found[column] = None
            for each in (place, *self._further.get(place, ())):
                found[column] = canonical(name, row[each], country=country, kind=self._kind, placeholders=fillers)
                if found[column] is not None:
                    break
                if not is_address and plain(row[each]) is not None:
                    self.unusable[self._header[each]] += 1
        for column, place in self._domains:
            for each in (place, *self._further.get(place, ())):
                found[column] = found[column] or canonical("domain", row[each])
        if self._names is not None:
            first, last, place = self._names
            found[first], found[last] = split_name(row[place])
        return found


def _kind_of(spec: WaterfallSpec) -> EntityKind | None:
    """Whose profile a LinkedIn address is, by what else is asked with."""
    if {"first_name", "last_name", "email", "phone", "company_domain", "company_name"} & spec.inputs.keys():
        return "person"
    return "company" if {"domain", "name"} & spec.inputs.keys() else None


def _condition_columns(spec: WaterfallSpec) -> set[str]:
    import sqlglot
    from sqlglot import exp

    conditions = [sqlglot.parse_one(stage.when) for stage in spec.stages if stage.when]
    return {column.name.lower() for condition in conditions for column in condition.find_all(exp.Column)}


def as_a_list_has_it(known: Mapping[str, str]) -> dict[str, str]:
    """Inputs of one person in the form that a list's have, and the domain of his address."""
    found = {name: canonical(name, value, country=known.get("country")) or value for name, value in known.items()}
    domain = canonical("domain", found.get("email"))
    return found if domain is None else {**dict.fromkeys(DOMAINS, domain), **found}


def list_key(inputs: Mapping[str, str | None]) -> str:
    """The same for the same inputs, in whatever list and order they stand."""
    given = (f"{name}={' '.join(value.split()).casefold()}" for name, value in sorted(inputs.items()) if value)
    return hashlib.sha256("\x1f".join(given).encode()).hexdigest()[:32]

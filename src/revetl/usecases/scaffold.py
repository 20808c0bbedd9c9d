"""`revetl scaffold`: a sync drafted from a model's columns and the destination's fields, for a person to go over."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from revetl.destinations.base import DestinationField
from revetl.errors import ConfigError, Problem, did_you_mean
from revetl.model import Relation
from revetl.sync.plan.field_types import kind_of, of_types
from revetl.usecases.caller import Caller
from revetl.usecases.schema import MODEL, named_in
from revetl.warehouse.base import Column
from revetl.warehouse.sql import ident, table

if TYPE_CHECKING:
    from revetl.project import Project
    from revetl.warehouse.base import Warehouse

# By what a record that is new to us is looked for, where the object has such a field.
_IDENTITIES = ("email", "domain", "external_id")
FOLDER = Path("activation")


@dataclass(frozen=True, slots=True)
class DraftedColumn:
    """One column of the model. `field`: where it goes; None: nowhere, and `said` is why. `data_type`: as dbt's contract
    spells it in this warehouse."""

    column: str
    type: str
    data_type: str
    field: str | None
    said: str | None = None


@dataclass(frozen=True, slots=True)
class Draft:
    """`sql` and `yml`: what `write` puts beside each other."""

    name: str
    key: str
    key_said: str | None
    match_on: str | None
    columns: tuple[DraftedColumn, ...]
    sql: str
    yml: str


def draft(project: Project, model: str, to: str, caller: Caller) -> Draft:
    """Reads the model's columns in the warehouse and the object's fields at the destination; writes nothing. `to`: as
    in `crm.contacts`.

    Raises ConfigError (no such model, destination or object, the model is not built), CallError and WarehouseError.
    """
    destination, _, object_ = to.partition(".")
    if problem := project.connections.missing("destinations", destination):
        raise ConfigError(problem)
    if not object_:
        raise ConfigError(f"{to!r} names no object", hint=f"As in {destination}.contacts.")
    relation = project.relation(model)
    fields = asyncio.run(_fields(project, destination, object_, caller))
    with caller.warehouse(project) as warehouse:
        columns = warehouse.columns(relation)
        if not columns:
            raise ConfigError(f"{model} is not in the warehouse", hint=f"Build it first: revetl build -s {model}")
        key, key_said = _key(warehouse, relation, columns, model)
        found = tuple(_column(c, fields, warehouse.dialect) for c in columns if c.name != key)
        key_type = _data_type(next(c.type for c in columns if c.name == key), warehouse.dialect)
    sent = [c for c in found if c.field is not None]
    match_on = next((name for name in _IDENTITIES if name in {c.field for c in sent}), None)
    name = f"{destination}__{object_}"
    return Draft(
        name,
        key,
        key_said,
        match_on,
        found,
        _sql(model, key, match_on, found),
        named_in(project.models_dir / FOLDER / f"{name}.yml", MODEL, project.root)
        + _yml(name, model, key, key_type, match_on, destination, object_, sent),
    )


def write(project: Project, drafted: Draft) -> list[Path]:
    """Into `activation` among the models. ConfigError, and nothing written, where one of the two files is there."""
    texts = {".sql": drafted.sql, ".yml": drafted.yml}
    paths = {project.models_dir / FOLDER / f"{drafted.name}{ending}": text for ending, text in texts.items()}
    if there := [path for path in paths if path.exists()]:
        raise ConfigError([Problem("is there already: nothing was written", path) for path in there])
    for path, text in paths.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return list(paths)


async def _fields(project: Project, name: str, object_: str, caller: Caller) -> Mapping[str, DestinationField]:
    async with project.destination(name, caller.clock) as destination:
        return (await destination.describe(object_)).fields


def _key(warehouse: Warehouse, relation: Relation, columns: Sequence[Column], model: str) -> tuple[str, str | None]:
    """The first column whose values are unique and not null, those that are named as keys are before all others; with
    what to check where it is not named so, or none is."""
    names = [c.name for c in columns]
    likely = [n for n in names if n.lower() in ("id", "golden_id", "key", f"{model.rstrip('s')}_id".lower())]
    likely += [n for n in names if n.lower().endswith(("_id", "_key")) and n not in likely]
    likely += [n for n in names if n.lower() in _IDENTITIES and n not in likely]
    others = [c.name for c in columns if c.name not in likely and _may_be_key(c.type)]
    for name in (*likely, *others):
        q = ident(name)
        total, distinct = warehouse.numbers(f"SELECT count(*), count(DISTINCT {q}) FROM {table(relation)}")
        if total == distinct:
            said = "unique and not null today; whether it stays with its record only you know"
            return name, None if name in likely else said
    return names[0], "no column is unique and not null: choose a key"


def _may_be_key(type_: str) -> bool:
    """A moment or an amount is unique by chance. Postgres compares no JSON."""
    return kind_of(type_) in ("text", "whole") and not type_.upper().startswith("JSON")


def _column(column: Column, fields: Mapping[str, DestinationField], dialect: str) -> DraftedColumn:
    data_type = _data_type(column.type, dialect)
    folded = {_folded(name): name for name in fields}
    field = column.name if column.name in fields else folded.get(_folded(column.name))
    if field is None:
        return DraftedColumn(column.name, column.type, data_type, None, f"no such field. {_near(column.name, fields)}")
    if fields[field].read_only:
        return DraftedColumn(column.name, column.type, data_type, None, f"{field} is read-only there")
    if kind_of(column.type) == "other" and fields[field].type not in ("json", "any"):
        return DraftedColumn(
            column.name, column.type, data_type, None, of_types(column.type, fields[field]) or "nested"
        )
    return DraftedColumn(column.name, column.type, data_type, field, of_types(column.type, fields[field]))


def _near(name: str, fields: Mapping[str, DestinationField]) -> str:
    hint = did_you_mean(name, [*fields]) or ""
    return hint if hint.startswith("Did") else "Rename it, or make one there"


def _folded(name: str) -> str:
    return "".join(c for c in name.lower() if c.isalnum())


def _data_type(type_: str, dialect: str) -> str:
    from sqlglot import exp

    return exp.DataType.build(type_, dialect="duckdb").sql(dialect=dialect).lower()


def _sql(model: str, key: str, match_on: str | None, columns: Sequence[DraftedColumn]) -> str:
    """Without whom has nothing to be found by: such a record would be withheld in every plan."""
    lines = [f"    {_name(key)}"]
    for c in columns:
        if c.field is not None:
            # A cast where the contract would otherwise hang on how the warehouse calls its text.
            value = f"cast({_name(c.column)} as {c.data_type})" if kind_of(c.type) == "text" else _name(c.column)
            lines.append(f"    {value}" + ("" if value == c.field else f" as {c.field}"))
    left_out = "".join(f"-- left out: {c.column} ({c.type}): {c.said}\n" for c in columns if c.field is None)
    found_by = [f"where {_name(c.column)} is not null\n" for c in columns if c.field == match_on and match_on]
    return f"{left_out}select\n" + ",\n".join(lines) + f"\nfrom {{{{ ref('{model}') }}}}\n" + "".join(found_by)


def _name(column: str) -> str:
    """Quoted where it would not be read as it is written."""
    return column if column.isidentifier() and column == column.lower() else '"' + column.replace('"', '""') + '"'


def _yml(
    name: str,
    model: str,
    key: str,
    key_type: str,
    match_on: str | None,
    destination: str,
    object_: str,
    columns: Sequence[DraftedColumn],
) -> str:
    quoted = "" if _name(key) == key else ", quote: true"
    listed = [f'      - {{name: "{key}", data_type: "{key_type}"{quoted}, data_tests: [unique, not_null]}}']
    for c in columns:
        said = f"  # {c.said}" if c.said else ""
        listed.append(f'      - {{name: {c.field}, data_type: "{c.data_type}"}}{said}')
    looked_for = (
        f"          match_on: {match_on}\n" if match_on else "          # match_on: the field to look for it by\n"
    )
    return (
        f"models:\n  - name: {name}\n    description: One row per record of {model} for {destination} {object_}.\n"
        "    config:\n      contract: {enforced: true}\n      meta:\n        revetl:\n"
        f'          destination: {destination}\n          object: {object_}\n          key: "{key}"\n{looked_for}'
        "          mode: upsert\n          guardrails: {max_changed_share: 0.5}\n"
        "    columns:\n" + "\n".join(listed) + "\n"
    )

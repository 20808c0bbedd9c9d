"""`create_properties`: a field is made at the destination for a column that has none there.

Only for columns that the sync names: a column that is spelled wrongly is a mistake in every other place, and would
otherwise become a field in the account of a whole company. So it is said per sync, beside the columns, and not per
connection.

What can fail here, and what then happens:
- the connector makes no fields, or takes none of that name or type → ConfigError when it is planned.
- earlier runs have written the field, and somebody archived it since → the plan says so; the field is made again, and
  every record that had a value of it is sent that value again.
- the process dies between forgetting those values and sending them → they are planned again by the next run.
- the credentials do not suffice → Denied when it is planned; nothing was sent.
- the process dies between two fields → the next plan makes those that are left; a field that stands is made no second
  time. A rollback leaves fields where they are: people may use them by then.
"""

from __future__ import annotations

from collections.abc import Mapping

from revetl.destinations.base import Destination, DestinationField, FieldType
from revetl.destinations.capabilities import MakesFields
from revetl.errors import ConfigError, Problem
from revetl.state.sync_tables import SyncTables, row_hash
from revetl.sync.plan import key_property
from revetl.sync.plan.field_types import Kind, kind_of
from revetl.warehouse.sql import ident

# The field of a column. One of no such kind (a list, a struct) is refused as a column of any field is (`field_types`).
_FIELD_OF: Mapping[Kind, FieldType] = {
    "text": "string",
    "whole": "number",
    "number": "number",
    "bool": "bool",
    "date": "date",
    "moment": "datetime",
    "other": "string",
}


def described(
    tables: SyncTables, destination: Destination, fields: Mapping[str, DestinationField]
) -> Mapping[str, DestinationField]:
    """The object's fields, with those that the sync asks for as they will be. ConfigError where one can't be made."""
    known, new = key_property.described(tables.spec, destination, fields), lacking(tables, destination, fields)
    return {**known, **new} if new else known  # an object that takes any field is no mere dict


async def to_make(
    tables: SyncTables, destination: Destination, fields: Mapping[str, DestinationField]
) -> dict[str, FieldType]:
    """Name → type of the fields that will be made. Denied where the credentials do not suffice. Changes nothing."""
    new = lacking(tables, destination, fields)
    if new and isinstance(destination, MakesFields):
        await destination.try_making_field(tables.spec.object)
    return {name: field.type for name, field in new.items()}


def forget_gone(tables: SyncTables, fields: Mapping[str, DestinationField]) -> list[str]:
    """What we sent into a field that `fields`, the destination's, have no more stands nowhere: the snapshot forgets it.
    So this plan, or the first after a person made the field again, has a line for each record that lacks its value;
    where the field was restored with its values, they are read back equal. Returns a sentence for each such field.
    Before the model is compared; safe to repeat."""
    gone = [f for f in tables.fields if f.name not in fields and f.name != tables.spec.match_on]
    if not gone:
        return []
    stood = {f.name: f"NULLIF(CAST({ident(f.stored)} AS VARCHAR), '') IS NOT NULL" for f in gone}
    counted = ", ".join(f"count(*) FILTER (WHERE {stood[f.name]})" for f in gone)
    counts = tables.warehouse.numbers(f"SELECT {counted} FROM {tables.snapshot}")
    lost = [(f, n) for f, n in zip(gone, counts, strict=True) if n]
    if not lost:
        return []
    names = {f.name for f, _ in lost}
    left = [f"CAST(NULL AS {f.type})" if f.name in names else ident(f.stored) for f in tables.fields]
    tables.warehouse.execute(
        f"""
        UPDATE {tables.snapshot}
        SET
            {", ".join(f"{ident(f.stored)} = NULL" for f, _ in lost)},
            row_hash = CASE WHEN row_hash IS NOT NULL THEN {row_hash(left)} END
        WHERE {" OR ".join(stood[f.name] for f, _ in lost)}
        """
    )
    return [
        f"{f.name} is gone there, though {n:,} record(s) were given a value of it: somebody archived it. The values are"
        " sent again"
        for f, n in lost
    ]


async def make(tables: SyncTables, destination: Destination) -> None:
    """Before anything is sent: the fields stand. Safe to repeat. ConfigError where one can't be made."""
    spec = tables.spec
    if not spec.create_properties or not isinstance(destination, MakesFields):
        return
    fields = (await destination.describe(spec.object)).fields
    for name, field in lacking(tables, destination, fields).items():
        await destination.make_field(spec.object, name, field.type)


def said(new: Mapping[str, str]) -> list[str]:
    """For people: the fields that will be made."""
    listed = ", ".join(f"{name} ({'text' if type_ == 'string' else type_})" for name, type_ in new.items())
    return [f"makes properties: {listed}"] if new else []


def lacking(
    tables: SyncTables, destination: Destination, fields: Mapping[str, DestinationField]
) -> dict[str, DestinationField]:
    """The fields that the sync asks for and that `fields` have not, as they will be. ConfigError where one can't be."""
    spec, columns = tables.spec, {f.name: f for f in tables.fields}
    names = [name for name in spec.create_properties if name not in fields and name in columns]
    if not names:
        return {}
    at = f"{spec.where or f'sync {spec.name}'}: create_properties"
    if not isinstance(destination, MakesFields):
        hint = f"Make {', '.join(names)} there yourself, and leave create_properties out."
        raise ConfigError(Problem(f"{at}: {spec.destination} makes no fields", hint=hint))
    found: dict[str, DestinationField] = {}
    problems: list[Problem] = []
    for name in names:
        try:
            found[name] = destination.new_field(spec.object, name, _FIELD_OF[kind_of(columns[name].type)])
        except ConfigError as e:
            problems += [Problem(f"{at}: {problem.message}", hint=problem.hint) for problem in e.problems]
    if problems:
        raise ConfigError(problems)
    return found

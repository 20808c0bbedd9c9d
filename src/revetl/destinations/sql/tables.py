"""What a table is made of, as its catalogue says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from revetl.destinations.base import DestinationField, FieldType, ObjectSchema
from revetl.errors import ConfigError

Kind = Literal[
    "text", "int", "decimal", "float", "bool", "date", "timestamp", "bytes", "uuid", "enum", "json", "array", "other"
]
_FIELD_TYPES: Mapping[Kind, FieldType] = {
    "int": "number",
    "decimal": "number",
    "float": "number",
    "bool": "bool",
    "date": "date",
    "timestamp": "datetime",
    "enum": "enum",
}


@dataclass(frozen=True, slots=True)
class TableColumn:
    """One column. `length`: characters of text, bytes of bytes. `places`: digits behind the point of a decimal, of a
    second for a time. `padded`: blanks at the end of the text are not told apart. `zoned`: a moment in time.

    `written` and `read` are the expressions by which a bound value goes in and a stored one comes out; `%s` and
    `{name}` stand for them; `compared` is the form in which two of them are compared exactly, `{value}` being one.
    `counted`: the database numbers its rows."""

    name: str
    kind: Kind
    nullable: bool = True
    generated: bool = False
    unique: bool = False
    length: int | None = None
    least: int | None = None
    most: int | None = None
    digits: int | None = None
    places: int | None = None
    single: bool = False
    padded: bool = False
    zoned: bool = False
    options: tuple[str, ...] = ()
    written: str = "%s"
    read: str = "{name}"
    compared: str = "{value}"
    counted: bool = False


@dataclass(frozen=True, slots=True)
class SqlTable:
    """`name` as the operator wrote it, `quoted` as it stands in statements. `id`: the column whose value is the id of
    a record."""

    name: str
    quoted: str
    columns: Mapping[str, TableColumn]
    id: TableColumn
    schema: ObjectSchema = field(init=False)

    def __post_init__(self) -> None:
        fields = {name: _as_field(column) for name, column in self.columns.items()}
        object.__setattr__(self, "schema", ObjectSchema(fields))

    def matched(self, match_on: str) -> TableColumn:
        """The column by which rows are found. ConfigError where two rows could have one value of it."""
        column = self.columns.get(match_on)
        if column is None:
            raise ConfigError(f"{self.name} has no column {match_on!r}")
        if not column.unique:
            raise ConfigError(
                f"{self.name}: two rows could have one {match_on}, so none is found by it",
                hint=f"Add a unique constraint on {match_on} alone, or match on a column that has one.",
            )
        return column


def made(name: str, quoted: str, columns: Mapping[str, TableColumn], primary: list[str]) -> SqlTable:
    """ConfigError for a table of which no single column names a row."""
    if len(primary) == 1:
        return SqlTable(name, quoted, columns, columns[primary[0]])
    for column in columns.values():
        if column.unique and not column.nullable:
            return SqlTable(name, quoted, columns, column)
    raise ConfigError(
        f"{name} has no column that names a row",
        hint="It needs a primary key of one column, or a unique constraint on one column that is NOT NULL.",
    )


def _as_field(column: TableColumn) -> DestinationField:
    return DestinationField(
        column.name,
        _FIELD_TYPES.get(column.kind, "string"),
        read_only=column.generated,
        unique=column.unique,
        options=column.options,
        vacatable=column.unique and column.nullable,
    )

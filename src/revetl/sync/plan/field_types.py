"""The type of each column against that of the destination's field, before anything is sent.

Most pairs have one meaning. Those that have not are said in the plan, and one is refused: whole numbers that are
seconds since 1970, where the destination takes milliseconds, would be written as January 1970 and refused by nobody.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Literal

from revetl.destinations.base import DestinationField
from revetl.errors import ConfigError, Problem
from revetl.model import Scalar
from revetl.state.outcomes import changed, with_change_list
from revetl.state.sync_tables import SyncField, SyncTables
from revetl.warehouse.sql import ident

Kind = Literal["text", "whole", "number", "bool", "date", "moment", "other"]
# Milliseconds since 1970 are beyond it since March 1973, seconds until the year 5138.
_SECONDS_BELOW = 100_000_000_000
_EXACT = 2**53  # whole numbers beyond it are rounded by whoever keeps numbers as doubles
_LOOKED_AT = 200  # distinct values of an enumeration

_SAID: Mapping[tuple[Kind, str], str] = {
    ("text", "number"): "text into a number: what is no number is refused there",
    ("text", "bool"): "text into a yes-or-no: all but true and false is refused there",
    ("text", "date"): "text into a date: what is no ISO date is refused there",
    ("text", "datetime"): "text into a moment: what is no ISO date or time is refused there",
    ("bool", "number"): "true and false into a number: refused there. Cast it to an integer",
    ("bool", "date"): "true and false into a date: refused there",
    ("bool", "datetime"): "true and false into a moment: refused there",
    ("whole", "bool"): "a number into a yes-or-no: refused there. Cast it to a boolean",
    ("number", "bool"): "a number into a yes-or-no: refused there. Cast it to a boolean",
    ("date", "number"): "a date into a number: refused there",
    ("moment", "number"): "a moment into a number: refused there",
    ("date", "bool"): "a date into a yes-or-no: refused there",
    ("moment", "bool"): "a moment into a yes-or-no: refused there",
    ("moment", "date"): "a moment into a date: the day in UTC is written",
    ("whole", "date"): "a whole number into a date: milliseconds since 1970 are meant",
    ("number", "date"): "a number into a date: milliseconds since 1970 are meant",
    ("whole", "datetime"): "a whole number into a moment: milliseconds since 1970 are meant",
    ("number", "datetime"): "a number into a moment: milliseconds since 1970 are meant",
    ("other", "multi_enum"): "a list into a multi-select: join it with ';' in the model",
}


@dataclass(frozen=True, slots=True)
class FieldNote:
    """What is worth knowing of one field. The message goes into logs and pull requests and holds no key and no value;
    `example` has some of the values, and is shown where samples are. `refused`: it must not be sent.
    `strange`: the values of an enumeration that hold what is no option."""

    field: str
    message: str
    example: str | None = None
    refused: bool = False
    cure: str | None = None
    strange: tuple[str, ...] = ()

    @property
    def sentence(self) -> str:
        return f"{self.field}: {self.message}"


def kind_of(type_: str) -> Kind:
    """Of a type in DuckDB's spelling."""
    name = type_.upper()
    if name.endswith("]") or name.startswith(("STRUCT", "MAP", "LIST", "ARRAY", "BLOB")):
        return "other"
    if name.startswith(("VARCHAR", "CHAR", "TEXT", "STRING", "UUID", "JSON", "ENUM")):
        return "text"
    if name.startswith("BOOL"):
        return "bool"
    if name.startswith(("TIMESTAMP", "DATETIME")):
        return "moment"
    if name.startswith("DATE"):
        return "date"
    if name.startswith(("FLOAT", "DOUBLE", "REAL")):
        return "number"
    if name.startswith(("DECIMAL", "NUMERIC", "NUMBER")):
        return "whole" if name.endswith(",0)") else "number"
    return "whole" if "INT" in name else "other"


def of_types(column_type: str, field: DestinationField) -> str | None:
    """What is worth saying of the pair without looking at a value; None where it has one meaning."""
    return _SAID.get((kind_of(column_type), field.type))


def refuse(tables: SyncTables, known: Mapping[str, DestinationField]) -> None:
    """ConfigError with every column whose type no field of this object can hold. Reads nothing."""
    where = tables.spec.where or f"sync {tables.spec.name}"
    problems = []
    for field in tables.fields:
        takes_json = field.name in known and known[field.name].type in ("json", "any")
        if field.is_sendable and (takes_json or not field.is_nested):
            continue
        kind, cure = field.source_type, f"Cast {field.name} to text in the model."
        if field.source_type.endswith("]"):
            kind = f"a list ({field.source_type})"
            cure = f"Join it in the model, with ';' for a multi-select: array_to_string({field.name}, ';')."
        problems.append(Problem(f"{where}: {field.name}: {kind} into a field: no field can hold it", hint=cure))
    if problems:
        raise ConfigError(problems)


def check(tables: SyncTables, known: Mapping[str, DestinationField]) -> list[FieldNote]:
    """Of the plan that stands in `plan__<sync>`: what to say of its fields. ConfigError with every field that
    must not be sent so. Reads only."""
    spec = tables.spec
    sent = [f for f in tables.fields if f.name in known and not (tables.by_id and f.name == spec.match_on)]
    notes = [note for f in sent for note in _of_field(tables, f, known[f.name])]
    where = spec.where or f"sync {spec.name}"
    refused = [Problem(f"{where}: {note.sentence}", hint=note.cure) for note in notes if note.refused]
    if refused:
        raise ConfigError(refused)
    return notes


def _of_field(tables: SyncTables, field: SyncField, known: DestinationField) -> Iterator[FieldNote]:
    kind, after = kind_of(field.type), ident(field.after)
    sent = f"FROM {tables.plan} WHERE {after} IS NOT NULL"
    if kind in ("whole", "number") and known.type in ("date", "datetime"):
        greatest = _greatest(tables, after, sent)
        if 0 < greatest < _SECONDS_BELOW:
            yield FieldNote(
                field.name,
                "its numbers are seconds since 1970, and milliseconds are meant there: January 1970 would be written",
                refused=True,
                cure=f"Make it a timestamp in the model: to_timestamp({field.name}).",
            )
        return
    if kind == "whole" and known.type == "number":
        greatest = _greatest(tables, after, sent)
        if greatest > _EXACT:
            yield FieldNote(
                field.name,
                f"whole numbers over {_EXACT} do not fit into a number there: their last digits are lost",
                f"up to {greatest}",
            )
        return
    said = of_types(field.type, known)
    if said is None:
        return
    example = tables.warehouse.rows(f"SELECT max({after}) {sent}")[0][0] if (kind, known.type) == _DAYS else None
    yield FieldNote(field.name, said, _as_day(example))


def _greatest(tables: SyncTables, column: str, sent: str) -> Decimal:
    """By its size; 0 where there is no value."""
    return Decimal(str(tables.warehouse.rows(f"SELECT max(abs({column})) {sent}")[0][0] or 0))


_DAYS = ("moment", "date")


def _as_day(moment: object) -> str | None:
    if not isinstance(moment, datetime):
        return None
    utc = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
    written: date = utc.date()
    return f"{moment:%Y-%m-%d %H:%M}{moment:%z} as {written}"


def strange_options(tables: SyncTables, known: Mapping[str, DestinationField]) -> list[FieldNote]:
    """Of the plan, once it is decided what is sent: of each enumeration how many records are given what is no option
    there. What they hold beside that is not sent, so it is not refused. Reads only."""
    planned = with_change_list(tables.plan)

    def given(field: SyncField) -> tuple[str, str]:
        sent = f"p.outcome IS NULL AND p.op <> 'delete' AND {changed(field.name)}"
        return f"p.{ident(field.after)}", f"({planned}) p WHERE {sent}"

    return _strange(tables, known, given)


def strange_options_of_model(tables: SyncTables, known: Mapping[str, DestinationField]) -> list[FieldNote]:
    """The same of all rows of the model, sent or not: before there is a plan. Reads only."""
    return _strange(tables, known, lambda field: (tables.value(field, "m"), f"{tables.source} m WHERE TRUE"))


def _strange(
    tables: SyncTables, known: Mapping[str, DestinationField], given: Callable[[SyncField], tuple[str, str]]
) -> list[FieldNote]:
    """`given`: of a field its value, and from where on the statement goes."""
    listed = (f for f in tables.fields if f.name in known and kind_of(f.type) == "text" and _has_options(known[f.name]))
    return [note for f in listed if (note := _of_options(tables, known[f.name], f.name, *given(f))) is not None]


def _has_options(known: DestinationField) -> bool:
    return known.type in ("enum", "multi_enum") and bool(known.options)


def _of_options(tables: SyncTables, known: DestinationField, name: str, value: str, origin: str) -> FieldNote | None:
    options = set(known.options)
    rows = tables.warehouse.rows(
        f"""
        SELECT {value} AS given, count(*) AS records
        FROM {origin} AND {value} IS NOT NULL
        GROUP BY 1
        ORDER BY records DESC, given
        LIMIT {_LOOKED_AT}
        """
    )
    folded = {_folded(option): option for option in known.options}
    strange, meant, held = 0, dict[str, str](), list[tuple[str, bool]]()
    for given, records in rows:
        parts = str(given).split(";") if known.type == "multi_enum" else [str(given)]
        odd = [part for part in parts if part and part not in options]
        held.append((str(given), bool(odd)))
        if odd:
            strange += int(str(records))
            meant |= {part: folded[_folded(part)] for part in odd if _folded(part) in folded}
    if not strange:
        return None
    said = f"{strange:,} record(s) hold what is no option there: refused there."
    if meant:
        said += f" A label or another spelling stands for {', '.join(map(repr, [*dict.fromkeys(meant.values())][:3]))}."
    if known.type == "multi_enum":
        said += " Several are joined with ';'."
    example = ", ".join(f"{given!r} for {option!r}" for given, option in [*meant.items()][:3])
    return FieldNote(name, said, example or None, strange=tuple(given for given, odd in held if odd))


def count_strange(tables: SyncTables, found: Sequence[FieldNote]) -> int:
    """Of the plan: records that are given any of what `strange_options` found, but for those that were refused before.
    Reads only."""
    given, params = ["FALSE"], list[Scalar]()
    for field in tables.fields:
        values = [value for note in found if note.field == field.name for value in note.strange]
        if values:
            marks = ", ".join("?" for _ in values)
            given.append(f"({changed(field.name)} AND p.{ident(field.after)} IN ({marks}))")
            params += values
    return tables.warehouse.scalar(
        f"""
        SELECT count(*)
        FROM ({with_change_list(tables.plan)}) p
        WHERE p.outcome IS NULL AND p.op <> 'delete' AND p.tries = 0
            AND ({" OR ".join(given)})
        """,
        int,
        params,
    )


def _folded(text: str) -> str:
    """An option's label differs from its internal value in case and in what joins its words."""
    return "".join(c for c in text.lower() if c.isalnum())

"""How one sync's columns lie in its state tables: resolved once per run from the spec and the model's relation.

The snapshot holds our own columns (key, destination_id, row_hash, …) and the model's beside each other, so a model's
column that has one of our names is stored with a prefix, and so is one that has such a prefixed name: no two meet.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from revetl.errors import ConfigError, Problem, did_you_mean
from revetl.model import JsonText, Reference, Relation, Scalar, SyncSpec, looked_up_as
from revetl.state.schema import relation, table_suffix
from revetl.warehouse.base import Warehouse
from revetl.warehouse.sql import ident, literal, shortened, table

_OURS = frozenset({"key", "destination_id", "row_hash", "synced_at", "run_id", "left_model"})
_PREFIX = "field_"
# What any field may take. Interval types have no form that a destination's field could take; numbers of 128 bits
# without a sign leave DuckDB as others (Arrow has no such type, and the highest bit becomes a minus). Nested ones are
# JSON, for a field that takes it.
_SENDABLE = (
    *("VARCHAR", "CHAR", "TEXT", "STRING", "UUID", "JSON", "ENUM", "BOOL", "DATE", "TIMESTAMP", "DATETIME", "BLOB"),
    *("TINYINT", "SMALLINT", "INT", "BIGINT", "HUGEINT", "UTINYINT", "USMALLINT", "UINT", "UBIGINT"),
    *("NUMBER", "DECIMAL", "NUMERIC", "FLOAT", "DOUBLE", "REAL"),
)
_RANGE = "RANGE"  # Postgres's INT8RANGE, DATEMULTIRANGE
_NESTED = ("STRUCT", "MAP", "LIST", "ARRAY", "OBJECT", "VARIANT")
_FLOATS = ("FLOAT", "DOUBLE", "REAL")
_GREATEST = "1.7976931348623157e308"  # that is finite; all three warehouses hold NaN for greater than infinity
_LATE = "9999-12-31 23:59:59.999999"
_LAST_MOMENT = {"DATE": "9999-12-31", "TIMESTAMP": _LATE, "TIMESTAMPTZ": _LATE, "TIMESTAMP WITH TIME ZONE": _LATE}
HASH_TYPE = "UBIGINT"
_BLANKS = " \t\r\n"
NullTexts = Literal["none", "empty", "blank"]


@dataclass(frozen=True, slots=True)
class SyncField:
    """One field that is sent. `stored` is its name in the snapshot; `before` and `after` its names in the plan. `type`
    is that of these, `source_type` that in the model: a struct is kept as the text of its JSON. `column`: the model's,
    where it has another name than the field. `references`: the column names a record, and the field is given its id.
    `null_texts`: which texts the destination takes for no value: none, the empty one, or all that are blank."""

    name: str
    type: str
    keep_null: bool
    column: str = ""
    source_type: str = ""
    references: Reference | None = None
    null_texts: NullTexts = "none"

    def given(self, value: str) -> str:
        """The value (an expression), and null where it is a text that the destination takes for none."""
        match self.null_texts:
            case "none":
                return value
            case "empty":
                return f"NULLIF({value}, '')"
            case "blank":
                return f"CASE WHEN trim({value}, {literal(_BLANKS)}) <> '' THEN {value} END"

    def standing(self, before: str, after: str) -> str:
        """What stands there once a row is sent (an expression), of what stood there and what the row says."""
        return f"coalesce({self.given(after)}, {before})" if self.keep_null else after

    @property
    def source(self) -> str:
        """The column of the model."""
        return self.column or self.name

    @property
    def is_nested(self) -> bool:
        """Whether the model's column holds structs, lists or maps."""
        return self.source_type.endswith("]") or self.source_type.startswith(_NESTED)

    @property
    def is_sendable(self) -> bool:
        """Whether there is any field that takes it."""
        return self.is_nested or not self.source_type or _sendable(self.source_type)

    @property
    def stored(self) -> str:
        bare = self.name.lower()
        while bare.startswith(_PREFIX):
            bare = bare.removeprefix(_PREFIX)
        return _PREFIX + self.name if bare in _OURS else self.name

    @property
    def before(self) -> str:
        return shortened(f"before__{self.name}")

    @property
    def after(self) -> str:
        return shortened(f"after__{self.name}")


@dataclass(frozen=True, slots=True)
class SyncTables:
    """One sync with its columns' types and its tables in one warehouse. `model`, `snapshot`, `plan` and so on are
    quoted names, ready to stand in a statement (`source` may be a subquery); `relation` gives a Relation. `by_id`:
    `match_on` is the id that the destination gave, which is looked for and never sent."""

    warehouse: Warehouse
    spec: SyncSpec
    fields: tuple[SyncField, ...]
    by_id: bool = False

    def relation(self, kind: str) -> Relation:
        """A state table of this sync: snapshot, plan, rejected, links, references, drift or rollback."""
        return relation_of(self.warehouse, kind, self.spec.name)

    @property
    def model(self) -> str:
        """The activation model, as dbt made it."""
        return table(self.spec.relation)

    @property
    def source(self) -> str:
        """The rows to be sent, to stand before an alias: the activation model, in which columns that name other records
        hold the ids of these. A record that is not there yet leaves the field as it stands in the snapshot, so that no
        difference is seen and the rest of the row is sent; it is seen once the record is there."""
        referring = [f for f in self.fields if f.references is not None]
        if not referring:
            return self.model
        joins, cells = [], dict[str, str]()
        present = {c.name for c in self.warehouse.columns(self.relation("snapshot"))}
        for i, f in enumerate(referring):
            found, stands = "CAST(NULL AS VARCHAR)", "CAST(NULL AS VARCHAR)"
            if (ids := self.ids_of(f)) is not None:
                joins.append(f"LEFT JOIN ({ids}) i{i} ON i{i}.key = {self.named_by(f, 'r')}")
                found = f"i{i}.destination_id"
            if f.stored in present:
                stands = f"CAST(n.{ident(f.stored)} AS VARCHAR)"
            cells[f.source] = f"""
                CASE
                    WHEN {self.named_by(f, "r")} IS NOT NULL THEN coalesce({found}, {stands})
                END AS {ident(f.source)}"""
        if any(f.stored in present for f in referring):
            joins.append(f"LEFT JOIN {self.snapshot} n ON n.key = {self.source_key('r')}")
        columns = dict.fromkeys((self.spec.key, *(f.source for f in self.fields)))
        return f"""(
            SELECT {", ".join(cells.get(c, f"r.{ident(c)}") for c in columns)}
            FROM {self.model} r
            {" ".join(joins)}
        )"""

    def named_by(self, field: SyncField, alias: str) -> str:
        """What names the other record, in a row of the model; null where nothing does."""
        return named_by(f"{alias}.{ident(field.source)}")

    def ids_of(self, field: SyncField) -> str | None:
        """A SELECT of (key, destination_id) of the records that the field may name; None where none was ever sent or
        looked up. An id is null where the record was gone when it was last read."""
        reference = field.references
        if reference is None:
            return None
        if reference.to is None:
            name = looked_up_as(reference.object, reference.match_on)
            return self.looked_up(name) if self.warehouse.columns(self.relation("references")) else None
        other = relation_of(self.warehouse, "snapshot", reference.to)
        if not self.warehouse.columns(other):
            return None
        if not self.warehouse.columns(self.relation("references")):
            return f"SELECT key, destination_id FROM {table(other)} WHERE destination_id IS NOT NULL"
        return f"""
            SELECT o.key, CASE WHEN c.value IS NULL THEN o.destination_id ELSE c.destination_id END AS destination_id
            FROM {table(other)} o
            LEFT JOIN {self.references} c ON c.target = {literal(reference.to)} AND c.value = o.destination_id
            WHERE o.destination_id IS NOT NULL"""

    def looked_up(self, name: str) -> str:
        """A SELECT of (key, destination_id) of the records that were found by a look-up (`model.looked_up_as`)."""
        return f"SELECT value AS key, destination_id FROM {self.references} WHERE target = {literal(name)}"

    @property
    def references(self) -> str:
        """What destinations said of the records that columns name (`sync.references.references_table`)."""
        return table(self.relation("references"))

    @property
    def snapshot(self) -> str:
        return table(self.relation("snapshot"))

    @property
    def plan(self) -> str:
        return table(self.relation("plan"))

    @property
    def rejected(self) -> str:
        """The retry queue."""
        return table(self.relation("rejected"))

    @property
    def links(self) -> str:
        return table(self.relation("links"))

    @property
    def drift(self) -> str:
        return table(self.relation("drift"))

    @property
    def rollback(self) -> str:
        return table(self.relation("rollback"))

    def shared(self, name: str) -> str:
        """A state table of all syncs: runs, plans, outcomes."""
        return table(relation(self.warehouse, name))

    def scratch_relation(self, purpose: str) -> Relation:
        """A table of this connection only: nothing of it is kept where the database allows."""
        return replace(self.warehouse.scratch(""), name=f"revetl_{purpose}__{table_suffix(self.spec.name)}")

    def scratch(self, purpose: str) -> str:
        return table(self.scratch_relation(purpose))

    def drop_scratch(self, purpose: str) -> None:
        self.warehouse.execute(f"DROP TABLE IF EXISTS {self.scratch(purpose)}")

    def new_scratch(self, purpose: str, body: str) -> None:
        """Makes it anew. `body` is `(columns)` or `AS SELECT …`."""
        self.drop_scratch(purpose)
        self.warehouse.execute(f"CREATE TEMPORARY TABLE {self.scratch(purpose)} {body}")

    @property
    def match_field(self) -> SyncField:
        """The field of `match_on`; only for a sync that has one."""
        return next(f for f in self.fields if f.name == self.spec.match_on)

    @property
    def identities(self) -> frozenset[str]:
        """The fields by which a record is found there."""
        return frozenset(filter(None, (self.spec.key_property, self.spec.match_on)))

    def cell(self, name: str, value: Scalar) -> Scalar:
        """A value of this field as a connector is handed it: text that is JSON is told apart from other text."""
        is_json = isinstance(value, str) and name in self.json_names
        return JsonText(value) if is_json else value

    @property
    def json_names(self) -> frozenset[str]:
        """The columns whose text is JSON."""
        return frozenset(f.name for f in self.fields if f.is_nested or f.source_type.startswith("JSON"))

    def value(self, field: SyncField, alias: str = "") -> str:
        """The field as it is sent: nested values as JSON, enumerations and the like as text; what has no form in Python
        or at any destination (NaN, infinity, moments outside of the years 1 to 9999) as null, or one such row would end
        every run."""
        column = f"{alias}.{ident(field.source)}" if alias else ident(field.source)
        if field.is_nested:
            return f"CAST(to_json({column}) AS VARCHAR)"
        if field.type == "VARCHAR":
            return f"CAST({column} AS VARCHAR)"
        if field.type.startswith(_FLOATS):
            return f"CASE WHEN {column} BETWEEN -{_GREATEST} AND {_GREATEST} THEN {column} END"
        if field.type in _LAST_MOMENT:
            first, last = (f"CAST('{m}' AS {field.type})" for m in ("0001-01-01", _LAST_MOMENT[field.type]))
            return f"CASE WHEN {column} BETWEEN {first} AND {last} THEN {column} END"
        if self.warehouse.dialect == "postgres" and field.type.startswith(("NUMERIC", "DECIMAL")):
            # Only there they may be NaN or infinite; NaN is greater than all others.
            lowest, greatest = (f"CAST('{n}' AS NUMERIC)" for n in ("-Infinity", "Infinity"))
            return f"CASE WHEN {column} > {lowest} AND {column} < {greatest} THEN {column} END"
        return column

    def source_key(self, alias: str) -> str:
        """The record's identity in our state, from a row of the model."""
        return f"CAST({alias}.{ident(self.spec.key)} AS VARCHAR)"

    def source_hash(self, alias: str) -> str:
        return row_hash([self.value(f, alias) for f in self.fields])

    def source_hashes(self, rows: str | None = None) -> str:
        """A SELECT of (key, source_hash), as planning hashes: of the model as it is now, or of some of its rows."""
        return (
            f"SELECT {self.source_key('m')} AS key, {self.source_hash('m')} AS source_hash FROM {rows or self.source} m"
        )


def field_of(stored: str) -> str | None:
    """The field that a column of the snapshot holds; None where the column is one of ours."""
    bare = stored.lower()
    while bare.startswith(_PREFIX):
        bare = bare.removeprefix(_PREFIX)
    if bare not in _OURS:
        return stored
    return stored[len(_PREFIX) :] if stored.lower().startswith(_PREFIX) else None


def relation_of(warehouse: Warehouse, kind: str, sync: str) -> Relation:
    """A state table of any sync, by its name."""
    return relation(warehouse, f"{kind}__{table_suffix(sync)}")


def named_by(cell: str) -> str:
    """What a cell of the model names another record by, as text; null where there are blanks alone."""
    return f"CASE WHEN TRIM(CAST({cell} AS VARCHAR)) <> '' THEN CAST({cell} AS VARCHAR) END"


def row_hash(values: Sequence[str]) -> str:
    """A hash of these expressions. It only nominates rows: what is sent is decided by comparing the columns, so a hash
    that changes with the database's version costs time and sends nothing. A change is missed only if one record's old
    and new values collide in 64 bits."""
    return f"hash({', '.join(values)})"


def resolve(warehouse: Warehouse, spec: SyncSpec) -> SyncTables:
    """ConfigError where the relation is missing, a declared column is not in it, or the sync asks for what is not
    there yet. Sends nothing and writes nothing."""
    found = {c.name: c.type.upper() for c in warehouse.columns(spec.relation)}
    if not found:
        place = f"{spec.relation.schema}.{spec.relation.name}"
        raise ConfigError(_problem(spec, f"{place} does not exist in the warehouse", "Build the model: revetl build"))
    columns = spec.columns or tuple(found)
    problems = [
        _problem(spec, f"column {c!r} is not in {spec.relation.schema}.{spec.relation.name}", did_you_mean(c, [*found]))
        for c in dict.fromkeys(
            (*columns, spec.key, *([spec.match_on] if spec.match_on else []), *(a.by for a in spec.associate))
        )
        if c not in found
    ]
    sent = spec.sent_of(columns)
    problems += _unsupported(spec, sent)
    problems += [
        _problem(spec, f"fields.{name}: {name!r} is {found[name]} in the model, which names no record")
        for name in spec.references
        if name in found and (found[name].endswith("]") or found[name].startswith(_NESTED))
    ]
    if not sent:
        problems.append(_problem(spec, f"no column to send besides the key {spec.key!r}"))
    if problems:
        raise ConfigError(problems)
    fields = [_field(spec, c, found[c]) for c in sent]
    if spec.key_property is not None:
        fields.append(SyncField(spec.key_property, "VARCHAR", keep_null=False, column=spec.key))
    return SyncTables(warehouse, spec, tuple(fields))


def _field(spec: SyncSpec, column: str, type_: str) -> SyncField:
    rule = spec.rule(column)
    if rule.references is not None:
        type_ = "VARCHAR"  # of the id, whatever names the record
    return SyncField(
        column, _stored_type(type_), rule.when_null == "keep", source_type=type_, references=rule.references
    )


def _sendable(type_: str) -> bool:
    return type_.startswith(_SENDABLE) and not type_.startswith("INTERVAL") and not type_.endswith(("]", _RANGE))


def _unsupported(spec: SyncSpec, sent: Sequence[str]) -> list[Problem]:
    problems = [
        _problem(spec, f"fields.{name}: {name!r} is not a column that is sent", did_you_mean(name, sent))
        for name in spec.fields
        if name not in sent
    ]
    if spec.match_on is not None and spec.match_on not in sent:
        problems.append(_problem(spec, f"match_on: {spec.match_on!r} is not a column that is sent"))
    if spec.key_property in sent:
        hint = "Leave the column out of the model: the field is given the key."
        problems.append(_problem(spec, f"key_property: {spec.key_property!r} is a column that is sent too", hint))
    return problems


def _stored_type(type_: str) -> str:
    as_text = type_.startswith(("ENUM", "UUID", "JSON", "VARCHAR", "TEXT", "STRING", "CHAR"))
    return "VARCHAR" if as_text or not _sendable(type_) else type_


def _problem(spec: SyncSpec, message: str, hint: str | None = None) -> Problem:
    return Problem(f"{spec.where}: {message}" if spec.where else f"sync {spec.name}: {message}", hint=hint)

"""Field policies: what may be written where people write too.

Runs on a frozen plan after reading back and matching, and before anything is sent. Fields that may not be written over
what stands there leave their line. The plan's columns become what stands there, so that the
snapshot later holds the truth. Reads from the destination, writes to it nothing. Safe to repeat: it decides anew.

What can fail here, and what then happens:
- the destination is away → its error leaves as it is and the run ends; nothing was sent.
- a policy can't be kept (no order, not readable) → ConfigError with the field; nothing was sent.
- a record is gone → its line is left as it is, and the write says so.
- a person writes between this reading and our writing → ours stands, as between two people in the CRM.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Any

from revetl.destinations.base import Destination, DestinationField, RecordMatch
from revetl.destinations.capabilities import ReadsBack
from revetl.errors import ConfigError, Problem
from revetl.model import FieldPolicy, Scalar, SyncSpec
from revetl.number_text import parse_number
from revetl.state.outcomes import changed, with_change_list
from revetl.state.sync_tables import SyncField, SyncTables
from revetl.sync import typed_text
from revetl.sync.readback import read_by_id
from revetl.sync.sync_run import SyncRun
from revetl.warehouse.cells import plain
from revetl.warehouse.sql import ident, literal

if TYPE_CHECKING:
    import pyarrow as pa

_CHUNK = 10_000
_ORDERED = ("enum", "number", "date", "datetime")
_NOTE = "its policies keep what stands there: "


@dataclass(frozen=True, slots=True)
class _RuledLine:
    """`found`: what stands there, where matching has read it already."""

    ordinal: int
    destination_id: str
    changed: list[str]
    found: dict[str, Scalar] | None
    ours: dict[str, Scalar]


def with_policy(tables: SyncTables) -> tuple[SyncField, ...]:
    return tuple(f for f in tables.fields if tables.spec.rule(f.name).policy != "always")


def check(tables: SyncTables, destination: Destination, described: Mapping[str, DestinationField]) -> None:
    """ConfigError for a policy that can't be kept: nothing can be read, or the field has no order. `described` are the
    destination's fields."""
    spec, problems = tables.spec, []
    for field in with_policy(tables):
        policy = spec.rule(field.name).policy
        if not isinstance(destination, ReadsBack):
            hint = "Leave the policy out: the field is then written whenever it changed."
            problems.append(_problem(spec, field, policy, f"{spec.destination} can't be read", hint))
        elif policy == "forward_only" and field.name in described:
            field_type = described[field.name].type
            if field_type not in _ORDERED or (field_type == "enum" and not described[field.name].options):
                hint = "Enumerations, numbers and dates have one. fill_blank works on every field."
                problems.append(_problem(spec, field, policy, f"a {field_type} field has no order", hint))
    if problems:
        raise ConfigError(problems)


async def decide(run: SyncRun, destination: Destination, described: Mapping[str, DestinationField]) -> dict[str, int]:
    """Takes out of the plan what its policies keep: field → records. What stands was read already, by matching or by
    `standing`; whatever was not is read here. Memory is flat: chunk by chunk."""
    ruled = with_policy(run.tables)
    if not ruled or not await run.on_tables(_count_nominated, ruled):
        return {}
    columns = ", ".join(f"{name} {type_}" for name, type_ in _columns(ruled))
    await run.on_tables(SyncTables.new_scratch, "kept", f"({columns})")
    chunks = await run.on_tables(_stream, ruled)
    judge = _PolicyJudge(run.tables, ruled, destination, described)
    while lines := await run.on_tables(_next_lines, ruled, chunks):
        ids = [line.destination_id for line in lines if line.found is None]
        stands = await read_by_id(destination, run.spec.object, ids, [f.name for f in run.tables.fields])
        rows = [row for line in lines if (row := judge.line(line, stands.get(line.destination_id)))]
        await run.ctx.offload(run.ctx.warehouse.append, run.tables.scratch_relation("kept"), _as_arrow(ruled, rows))
    return await run.on_tables(_write, ruled)


def allows(policy: FieldPolicy, field: DestinationField, stands: Scalar, ours: Scalar) -> bool:
    """Whether our value may be written over what stands there. Values of ordered types are given in the destination's
    normal form. An option that the portal does not know is let through if it is ours, so that it is refused with its
    reason, and never overwritten if it is theirs."""
    if policy == "always":
        return True
    if _blank(ours):
        return False
    if _blank(stands):
        return True
    if policy == "fill_blank":
        return False
    new, old = _rank(field, str(ours)), _rank(field, str(stands))
    return new is None or (old is not None and new > old)


def _blank(value: Scalar) -> bool:
    return value is None or (isinstance(value, str) and not value.strip())


def _rank(field: DestinationField, form: str) -> Any:
    """Comparable within one field; None where the value has no place in its order."""
    if field.type == "enum":
        return field.options.index(form) if form in field.options else None
    if field.type == "number":
        return parse_number(form)
    return form  # dates in one normal form sort as text


@dataclass(frozen=True, slots=True)
class _PolicyJudge:
    """Decides on one line after the other; holds no lines."""

    tables: SyncTables
    ruled: Sequence[SyncField]
    destination: Destination
    described: Mapping[str, DestinationField]

    def line(self, line: _RuledLine, match: RecordMatch | None) -> tuple[Any, ...] | None:
        """(ordinal, changed fields, what stands there, then per ruled field: verdict and what stands); None where the
        record is gone: the write will say so."""
        stands = line.found if line.found is not None else dict(match.fields) if match else None
        if stands is None:
            return None
        kept: set[str] = set()
        verdicts: list[str | None] = []
        for field in self.ruled:
            name = field.name
            if name not in line.changed:
                verdicts += [None, None]
                continue
            if self._keeps(name, stands.get(name), line.ours[name]):
                kept.add(name)
            verdicts += ["kept" if name in kept else "sent", _text(field, stands.get(name))]
        sent = [name for name in line.changed if name not in kept]
        found = {name: stands.get(name) for name in sent}
        return line.ordinal, json.dumps(sent, separators=(",", ":")), json.dumps(found, default=str), *verdicts

    def _keeps(self, name: str, there: Scalar, ours: Scalar) -> bool:
        if not _blank(ours) and self._form(name, ours) is None:
            return False  # it is sent, and refused with the reason
        field = self.described.get(name) or DestinationField(name, "string")
        return not allows(self.tables.spec.rule(name).policy, field, self._form(name, there), self._form(name, ours))

    def _form(self, name: str, value: Scalar) -> Scalar:
        try:
            if _blank(value):
                return value
            return self.destination.normalise(self.tables.spec.object, name, self.tables.cell(name, value))
        except ValueError:  # has no form there
            return None


def _text(field: SyncField, value: Scalar) -> str | None:
    """What stands there, for the field's columns of the plan; None where they can't hold it."""
    if _blank(value):
        return None
    try:
        return typed_text.text(typed_text.fit(field.type, value.isoformat() if isinstance(value, date) else value))
    except ValueError:
        return None


def _nominated(tables: SyncTables, ruled: Sequence[SyncField], columns: str) -> str:
    any_of = " OR ".join(changed(f.name) for f in ruled)
    return f"""
        SELECT {columns}
        FROM ({with_change_list(tables.plan)}) p
        WHERE p.outcome IS NULL AND p.op = 'update' AND p.destination_id IS NOT NULL AND ({any_of})
        """


def _count_nominated(tables: SyncTables, ruled: Sequence[SyncField]) -> int:
    return tables.warehouse.scalar(_nominated(tables, ruled, "count(*)"), int)


def _stream(tables: SyncTables, ruled: Sequence[SyncField]) -> Iterator[pa.RecordBatch]:
    ours = "".join(f", p.{ident(f.after)}" for f in ruled)
    columns = f"p.ordinal, p.destination_id, p.changed_fields, p.found{ours}"
    return tables.warehouse.stream(f"{_nominated(tables, ruled, columns)} ORDER BY p.ordinal", batch_rows=_CHUNK)


def _next_lines(tables: SyncTables, ruled: Sequence[SyncField], chunks: Iterator[pa.RecordBatch]) -> list[_RuledLine]:
    batch = next(chunks, None)
    if batch is None:
        return []
    names = [f.name for f in ruled]
    return [
        _RuledLine(
            ordinal,
            id_,
            json.loads(changed_),
            json.loads(found) if found else None,
            dict(zip(names, ours, strict=True)),
        )
        for ordinal, id_, changed_, found, *ours in zip(*(plain(c) for c in batch.columns), strict=True)
    ]


def _columns(ruled: Sequence[SyncField]) -> list[tuple[str, str]]:
    pairs = [(f"{what}_{i}", "VARCHAR") for i in range(len(ruled)) for what in ("verdict", "stands")]
    return [("ordinal", "BIGINT"), ("changed_fields", "VARCHAR"), ("found", "VARCHAR"), *pairs]


def _as_arrow(ruled: Sequence[SyncField], rows: Sequence[tuple[Any, ...]]) -> pa.Table:
    import pyarrow as pa

    named = _columns(ruled)
    columns = list(zip(*rows, strict=True)) or [()] * len(named)
    types = [pa.int64(), *(pa.string() for _ in named[1:])]
    return pa.table({name: pa.array(list(c), t) for (name, _), c, t in zip(named, columns, types, strict=True)})


def _write(tables: SyncTables, ruled: Sequence[SyncField]) -> dict[str, int]:
    """Returns field → records in which it is kept, those with none left out."""
    plan, kept = tables.plan, tables.scratch("kept")
    names = ", ".join(f"CASE WHEN k.verdict_{i} = 'kept' THEN {literal(f.name)} END" for i, f in enumerate(ruled))
    any_kept = " OR ".join(f"k.verdict_{i} = 'kept'" for i in range(len(ruled)))
    note = f"CASE WHEN {any_kept} THEN {literal(_NOTE)} || concat_ws(', ', {names}) END"
    sets = ["changed_fields = k.changed_fields", "found = k.found", f"note = {note}"]
    for i, f in enumerate(ruled):
        stands, before, after = typed_text.cast(f"k.stands_{i}", f.type), ident(f.before), ident(f.after)
        sets.append(f"{before} = CASE WHEN k.verdict_{i} IS NULL THEN {plan}.{before} ELSE {stands} END")
        sets.append(f"{after} = CASE WHEN k.verdict_{i} = 'kept' THEN {stands} ELSE {plan}.{after} END")
    assignments = ", ".join(sets)
    with tables.warehouse.transaction():
        tables.warehouse.execute(
            f"""
            UPDATE {plan}
            SET {assignments}
            FROM {kept} k
            WHERE k.ordinal = {plan}.ordinal
            """
        )
        tables.warehouse.execute(
            f"""
            UPDATE {plan}
            SET outcome = 'ok'
            WHERE outcome IS NULL AND changed_fields = '[]'
                AND ordinal IN (SELECT ordinal FROM {kept})
            """
        )
    counts = ", ".join(f"count(*) FILTER (WHERE verdict_{i} = 'kept')" for i in range(len(ruled)))
    numbers = tables.warehouse.numbers(f"SELECT {counts} FROM {kept}")
    return {f.name: n for f, n in zip(ruled, numbers, strict=True) if n}


def _problem(spec: SyncSpec, field: SyncField, policy: str, why: str, hint: str) -> Problem:
    where = spec.where or f"sync {spec.name}"
    return Problem(f"{where}: fields.{field.name}: {policy} can't be kept: {why}", hint=hint)

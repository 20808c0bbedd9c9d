"""Field policies: what may be written where people write too.

Runs on a frozen plan after matching and before anything is sent. Every line that would change a field with a policy is
read back, and the fields that may not be written leave it. The plan's columns become what stands there, so that the
snapshot later holds the truth. Reads from the destination, writes to it nothing. Safe to repeat: it decides anew.

What can fail here, and what then happens:
- the destination is away → its error leaves as it is and the run ends; nothing was sent.
- a policy can't be kept (no order, not readable) → ConfigError with the field; nothing was sent.
- a record is gone → its line is left as it is, and the write tells it.
- a person writes between this reading and our writing → ours stands, as between two people in the CRM.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any

from revetl.destinations.base import Destination, DestinationField, RecordMatch
from revetl.destinations.capabilities import ReadsBack
from revetl.errors import ConfigError, Problem
from revetl.model import FieldPolicy, Scalar, SyncSpec
from revetl.state.outcomes import changed, with_change_list
from revetl.state.sync_tables import Field, Layout
from revetl.sync.plan.matching import Offload
from revetl.sync.readback import read_by_id
from revetl.warehouse.base import Warehouse
from revetl.warehouse.cells import plain
from revetl.warehouse.sql import literal

if TYPE_CHECKING:
    import pyarrow as pa

_CHUNK = 10_000
_ORDERED = ("enum", "number", "date", "datetime")
_NOTE = "its policies keep what stands there: "


@dataclass(frozen=True, slots=True)
class _Line:
    """`found`: what stands there, where matching has read it already."""

    ordinal: int
    destination_id: str
    changed: list[str]
    found: dict[str, Scalar] | None
    ours: dict[str, Scalar]


def with_policy(layout: Layout) -> tuple[Field, ...]:
    return tuple(f for f in layout.fields if layout.spec.rule(f.name).policy != "always")


def check(layout: Layout, destination: Destination, known: Mapping[str, DestinationField]) -> None:
    """ConfigError for a policy that can't be kept: nothing can be read, or the field has no order. `known` are the
    destination's fields."""
    spec, problems = layout.spec, []
    for field in with_policy(layout):
        policy = spec.rule(field.name).policy
        if not isinstance(destination, ReadsBack):
            hint = "Leave the policy out: the field is then written whenever it changed."
            problems.append(_problem(spec, field, policy, f"{spec.destination} can't be read", hint))
        elif policy == "forward_only" and field.name in known:
            field_type = known[field.name].type
            if field_type not in _ORDERED or (field_type == "enum" and not known[field.name].options):
                hint = "Enumerations, numbers and dates have one. fill_blank works on every field."
                problems.append(_problem(spec, field, policy, f"a {field_type} field has no order", hint))
    if problems:
        raise ConfigError(problems)


async def decide(
    warehouse: Warehouse,
    layout: Layout,
    destination: Destination,
    known: Mapping[str, DestinationField],
    *,
    again: bool = False,
    offload: Offload,
) -> dict[str, int]:
    """Takes out of the plan what its policies keep: field → records. `again`: time has passed since it was decided, so
    that even lines which carry what stood there are read. Memory is flat: chunk by chunk."""
    ruled = with_policy(layout)
    if not ruled or not (await offload(warehouse.rows, _nominated(layout, ruled, "count(*)")))[0][0]:
        return {}
    await offload(_fresh_table, warehouse, layout, ruled)
    chunks = await offload(_stream, warehouse, layout, ruled, again)
    while lines := await offload(_next_lines, layout, ruled, chunks):
        stands = await _read(layout, destination, lines)
        rows = [_decided(layout, ruled, destination, known, line, stands) for line in lines]
        await offload(warehouse.append, layout.scratch("kept"), _as_arrow(ruled, [row for row in rows if row]))
    counts: dict[str, int] = await offload(_write, warehouse, layout, ruled)
    return counts


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
        try:
            number = Decimal(form)
        except InvalidOperation:
            return None
        return number if number.is_finite() else None
    return form  # dates in one normal form sort as text


async def _read(layout: Layout, destination: Destination, lines: Sequence[_Line]) -> dict[str, RecordMatch]:
    ids = [line.destination_id for line in lines if line.found is None]
    return await read_by_id(destination, layout.spec.object, ids, [f.name for f in layout.fields])


def _decided(
    layout: Layout,
    ruled: Sequence[Field],
    destination: Destination,
    known: Mapping[str, DestinationField],
    line: _Line,
    read: Mapping[str, RecordMatch],
) -> tuple[Any, ...] | None:
    """(ordinal, changed fields, what stands there, then per ruled field: verdict and what stands); None where the
    record is gone: the write will say so."""
    match = read.get(line.destination_id)
    stands = line.found if line.found is not None else dict(match.fields) if match else None
    if stands is None:
        return None
    spec = layout.spec

    def form(name: str, value: Scalar) -> Scalar:
        try:
            return value if _blank(value) else destination.normalise(spec.object, name, value)
        except ValueError:  # has no form there: it is sent, and refused with the reason
            return None

    kept: set[str] = set()
    verdicts: list[str | None] = []
    for field in ruled:
        name = field.name
        if name not in line.changed:
            verdicts += [None, None]
            continue
        there, ours = stands.get(name), line.ours[name]
        sendable = _blank(ours) or form(name, ours) is not None
        policy, described = spec.rule(name).policy, known.get(name) or DestinationField(name, "string")
        if sendable and not allows(policy, described, form(name, there), form(name, ours)):
            kept.add(name)
        verdicts += ["kept" if name in kept else "sent", _text(there)]
    left = [name for name in line.changed if name not in kept]
    found = {name: stands.get(name) for name in left}
    return line.ordinal, json.dumps(left, separators=(",", ":")), json.dumps(found, default=str), *verdicts


def _text(value: Scalar) -> str | None:
    if _blank(value):
        return None
    return value.isoformat() if isinstance(value, date) else str(value)


def _nominated(layout: Layout, ruled: Sequence[Field], columns: str) -> str:
    any_of = " OR ".join(changed(layout, f.name) for f in ruled)
    return (
        f"SELECT {columns} FROM ({with_change_list(layout.t(layout.plan))}) p"
        f" WHERE p.settled IS NULL AND p.op = 'update' AND p.destination_id IS NOT NULL AND ({any_of})"
    )


def _stream(warehouse: Warehouse, layout: Layout, ruled: Sequence[Field], again: bool) -> Iterator[pa.RecordBatch]:
    found = "CAST(NULL AS VARCHAR) AS found" if again else "p.found"
    ours = "".join(f", p.{layout.q(f.after)}" for f in ruled)
    columns = f"p.ordinal, p.destination_id, p.changed_fields, {found}{ours}"
    return warehouse.stream(f"{_nominated(layout, ruled, columns)} ORDER BY p.ordinal", batch_rows=_CHUNK)


def _next_lines(layout: Layout, ruled: Sequence[Field], chunks: Iterator[pa.RecordBatch]) -> list[_Line]:
    batch = next(chunks, None)
    if batch is None:
        return []
    names = [f.name for f in ruled]
    return [
        _Line(
            ordinal,
            id_,
            json.loads(changed_),
            json.loads(found) if found else None,
            dict(zip(names, ours, strict=True)),
        )
        for ordinal, id_, changed_, found, *ours in zip(*(plain(c) for c in batch.columns), strict=True)
    ]


def _columns(ruled: Sequence[Field]) -> list[tuple[str, str]]:
    pairs = [(f"{what}_{i}", "VARCHAR") for i in range(len(ruled)) for what in ("verdict", "stands")]
    return [("ordinal", "BIGINT"), ("changed_fields", "VARCHAR"), ("found", "VARCHAR"), *pairs]


def _fresh_table(warehouse: Warehouse, layout: Layout, ruled: Sequence[Field]) -> None:
    warehouse.execute(f"DROP TABLE IF EXISTS {layout.t(layout.scratch('kept'))}")
    columns = ", ".join(f"{name} {type_}" for name, type_ in _columns(ruled))
    warehouse.execute(layout.create_scratch("kept", f"({columns})"))


def _as_arrow(ruled: Sequence[Field], rows: Sequence[tuple[Any, ...]]) -> pa.Table:
    import pyarrow as pa

    named = _columns(ruled)
    columns = list(zip(*rows, strict=True)) or [()] * len(named)
    types = [pa.int64(), *(pa.string() for _ in named[1:])]
    return pa.table({name: pa.array(list(c), t) for (name, _), c, t in zip(named, columns, types, strict=True)})


def _write(warehouse: Warehouse, layout: Layout, ruled: Sequence[Field]) -> dict[str, int]:
    """Returns field → records in which it is kept, those with none left out."""
    plan, kept = layout.t(layout.plan), layout.t(layout.scratch("kept"))
    names = ", ".join(f"CASE WHEN k.verdict_{i} = 'kept' THEN {literal(f.name)} END" for i, f in enumerate(ruled))
    any_kept = " OR ".join(f"k.verdict_{i} = 'kept'" for i in range(len(ruled)))
    note = f"CASE WHEN {any_kept} THEN {literal(_NOTE)} || concat_ws(', ', {names}) END"
    sets = ["changed_fields = k.changed_fields", "found = k.found", f"note = {note}"]
    for i, f in enumerate(ruled):
        stands, before, after = f"TRY_CAST(k.stands_{i} AS {f.type})", layout.q(f.before), layout.q(f.after)
        sets.append(f"{before} = CASE WHEN k.verdict_{i} IS NULL THEN {plan}.{before} ELSE {stands} END")
        sets.append(f"{after} = CASE WHEN k.verdict_{i} = 'kept' THEN {stands} ELSE {plan}.{after} END")
    with warehouse.transaction():
        warehouse.execute(f"UPDATE {plan} SET {', '.join(sets)} FROM {kept} k WHERE k.ordinal = {plan}.ordinal")
        warehouse.execute(
            f"UPDATE {plan} SET settled = 'ok' WHERE settled IS NULL AND changed_fields = '[]'"
            f" AND ordinal IN (SELECT ordinal FROM {kept})"
        )
    counts = ", ".join(f"count(*) FILTER (WHERE verdict_{i} = 'kept')" for i in range(len(ruled)))
    found = warehouse.rows(f"SELECT {counts} FROM {kept}")[0]
    return {f.name: int(str(n)) for f, n in zip(ruled, found, strict=True) if n}


def _problem(spec: SyncSpec, field: Field, policy: str, why: str, hint: str) -> Problem:
    where = spec.where or f"sync {spec.name}"
    return Problem(f"{where}: fields.{field.name}: {policy} can't be kept: {why}", hint=hint)

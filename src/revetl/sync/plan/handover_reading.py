"""Which lines of a plan want a unique value, and which records have it: found in SQL, compared in the destination's
form. What is read is few: only lines that want what another key has, or wants too. Nothing is sent."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from revetl.destinations.base import Destination, DestinationField
from revetl.destinations.capabilities import LooksUp
from revetl.model import Operation, Scalar
from revetl.state.outcomes import changed, with_change_list
from revetl.state.sync_tables import SyncField, SyncTables
from revetl.sync import typed_text
from revetl.sync.batching import ask_in_batches
from revetl.sync.plan import held_elsewhere
from revetl.sync.plan.handover_order import Hold, Want
from revetl.sync.plan.held_elsewhere import LookedUpLine
from revetl.sync.readback import NormalForms
from revetl.sync.sync_run import SyncRun
from revetl.warehouse.sql import ident, literal


@dataclass(frozen=True, slots=True)
class UniqueField:
    """`refused`: the destination refuses a value that another record has. Of a `match_on` that it would take twice only
    creates are ordered: they are looked for by it."""

    field: SyncField
    refused: bool
    vacatable: bool


@dataclass(slots=True)
class WantingLine:
    """A plan line that wants a unique value. `after`: field → the value, as text."""

    key: str
    op: Operation
    destination_id: str | None
    changed: list[str]
    after: dict[str, str]


@dataclass(frozen=True, slots=True)
class HandoverReading:
    """`fields`: the unique ones, in their order. `lines`: ordinal → those that want a value of one. `elsewhere`:
    (line, field) → the id of the record that has it and is none of this sync; such a hold has no key."""

    fields: tuple[SyncField, ...]
    lines: dict[int, WantingLine]
    wants: list[Want]
    holds: list[Hold]
    elsewhere: dict[tuple[int, str], str]


async def read(run: SyncRun, destination: Destination, described: Mapping[str, DestinationField]) -> HandoverReading:
    """Of the plan as it stands. `described` are the destination's fields."""
    unique_ones = unique_fields(run.tables, described)
    out = HandoverReading(tuple(unique.field for unique in unique_ones), {}, [], [], {})
    forms = NormalForms(destination, run.tables)
    if unique_ones:
        await run.on_tables(_note_possible, out.fields)
    for unique in unique_ones:
        if not await run.on_tables(_find_wants, unique):
            continue
        wants = await run.on_tables(_read_wants, unique, out.lines, forms)
        holds = [hold for hold in await run.on_tables(_read_holds, unique, forms) if hold.value]
        if unique.field.name == run.spec.match_on:
            holds = await _without_stale(run, destination, out.lines, wants, holds)
            if unique.refused:
                found = await held_elsewhere.find(run, destination, unique.field, holds, vacatable=unique.vacatable)
                wants += _wants_of(out.lines, unique.field.name, found.wanting, {want.ordinal for want in wants})
                holds += found.holds
                out.elsewhere.update(found.ids)
        out.wants.extend(wants)
        out.holds.extend(holds)
    return out


def _wants_of(
    lines: dict[int, WantingLine], name: str, found: Iterable[LookedUpLine], read_already: Collection[int]
) -> list[Want]:
    """Fills `lines`."""
    wants = []
    for line in found:
        names = json.loads(line.changed_fields)
        wanting = WantingLine(line.key, Operation.UPDATE, line.destination_id, names, {})
        lines.setdefault(line.ordinal, wanting).after[name] = line.after
        if line.ordinal not in read_already:
            wants.append(Want(line.ordinal, line.key, name, line.value, False, 0 if line.in_doubt else 1))
    return wants


def unique_fields(tables: SyncTables, described: Mapping[str, DestinationField]) -> list[UniqueField]:
    """The fields of this sync in which two records can't have one value."""
    out = []
    for field in tables.fields:
        known = described.get(field.name)
        refused = known is not None and known.unique
        matched_on = field.name == tables.spec.match_on
        if (matched_on and tables.by_id) or not (refused or matched_on):
            continue
        out.append(UniqueField(field, refused, refused and known is not None and known.vacatable))
    return out


def _folded(column: str) -> str:
    """As far as SQL can tell two values to be one; those that it finds are compared in the destination's form."""
    return f"lower(trim(CAST({column} AS VARCHAR)))"


def _note_possible(tables: SyncTables, fields: Sequence[SyncField]) -> None:
    """What records may hold beside what we believe, into the scratch table `possible`: in doubt, what an unanswered
    write may have given them; and what was seen there when the plan was made."""
    import pyarrow as pa

    tables.new_scratch("possible", "(key VARCHAR, field VARCHAR, value VARCHAR)")
    doubtful = f"SELECT key FROM {tables.plan} WHERE in_doubt AND op = 'update' AND outcome IS NULL"
    rows = tables.warehouse.rows(
        f"""
        SELECT o.key, o."after"
        FROM {tables.shared("outcomes")} o
        WHERE o.sync = ? AND o.status = 'unknown' AND o.op <> 'delete' AND o.key IN ({doubtful})
        """,
        [tables.spec.name],
    )
    seen = tables.warehouse.rows(
        f"""
        SELECT p.key, p.found
        FROM ({with_change_list(tables.plan)}) p
        WHERE p.op = 'update' AND p.found IS NOT NULL AND p.outcome IS NULL
            AND ({" OR ".join(changed(f.name) for f in fields)})
        """
    )
    found = []
    for key, document in [*rows, *seen]:
        with suppress(ValueError):  # an earlier version wrote no JSON where a column's type had changed
            written = typed_text.load(str(document))
            found += [(str(key), f.name, str(written[f.name])) for f in fields if written.get(f.name) is not None]
    if found:
        columns = zip(("key", "field", "value"), zip(*found, strict=True), strict=True)
        table = pa.table({name: pa.array(list(cells), pa.string()) for name, cells in columns})
        tables.warehouse.append(tables.scratch_relation("possible"), table)


def _find_wants(tables: SyncTables, unique: UniqueField) -> bool:
    """The lines that would give their record a value of this field, into the scratch table `wants`. Whether any value
    can move at all: of `match_on` new records want nothing that is not free, unless a known record gives it up."""
    field = unique.field
    before, after = (_folded(f"p.{ident(column)}") for column in (field.before, field.after))
    lines = f"""
        SELECT p.*
        FROM ({with_change_list(tables.plan)}) p
        WHERE p.outcome IS NULL AND {changed(field.name)}
        """
    # What was read there differs, or the field would have left the line; the snapshot may know less.
    moves = f"p.op = 'update' AND (p.in_doubt OR p.found IS NOT NULL OR {before} IS DISTINCT FROM {after})"
    if field.name == tables.spec.match_on and not tables.warehouse.scalar(
        f"SELECT count(*) FROM ({lines}) p WHERE {moves}", int
    ):
        # A new record was not adopted for a value that was to be given up (`pass_over_given_up`), by a line that was
        # withheld since.
        kept = f"p.op = 'update' AND p.outcome = 'rejected' AND {changed(field.name)}"
        if not tables.warehouse.scalar(f"SELECT count(*) FROM ({with_change_list(tables.plan)}) p WHERE {kept}", int):
            return False
    tables.new_scratch(
        "wants",
        f"""
        AS SELECT p.ordinal, p.key, {after} AS folded
        FROM ({lines}) p
        WHERE {after} <> '' AND (p.op = 'create' {f"OR ({moves})" if unique.refused else ""})
        """,
    )
    return True


def _read_wants(
    tables: SyncTables, unique: UniqueField, lines: dict[int, WantingLine], forms: NormalForms
) -> list[Want]:
    """Those whose value somebody else has, or wants too. Fills `lines`."""
    field, name = unique.field, unique.field.name
    held = " UNION ALL ".join(f"SELECT key, folded FROM ({part}) h" for part in _holding(tables, unique))
    rows: list[tuple[Any, ...]] = tables.warehouse.rows(
        f"""
        SELECT p.ordinal, p.key, p.op, p.destination_id, p.changed_fields, p.in_doubt,
            CAST(p.{ident(field.after)} AS VARCHAR)
        FROM {tables.scratch("wants")} w
        JOIN {tables.plan} p ON p.ordinal = w.ordinal
        WHERE w.folded IN (SELECT x.folded FROM {tables.scratch("wants")} x GROUP BY x.folded HAVING count(*) > 1)
            OR w.ordinal IN (
                SELECT x.ordinal
                FROM {tables.scratch("wants")} x
                JOIN ({held}) h ON h.folded = x.folded AND h.key <> x.key
            )
        ORDER BY p.ordinal
        """
    )
    wants = []
    for ordinal, key, op, id_, names, in_doubt, after in rows:
        line = lines.setdefault(ordinal, WantingLine(key, Operation(op), id_, json.loads(names), {}))
        line.after[name] = after
        whole = line.op is Operation.CREATE and name == tables.spec.match_on
        if value := forms.of(name, after):
            wants.append(Want(ordinal, key, name, value, whole, 0 if in_doubt else 1, unique.refused))
    return wants


def _read_holds(tables: SyncTables, unique: UniqueField, forms: NormalForms) -> list[Hold]:
    """Records that have, or may have, a value that a line of another wants."""
    field, name = unique.field, unique.field.name
    parts = " UNION ALL ".join(_holding(tables, unique))
    wanted = f"SELECT folded, min(key) AS low, max(key) AS high FROM {tables.scratch('wants')} GROUP BY folded"
    rows: list[tuple[Any, ...]] = tables.warehouse.rows(
        f"""
        SELECT h.key, h.value, p.ordinal, p.op, p.outcome, p.destination_id, p.changed_fields,
            CAST(p.{ident(field.after)} AS VARCHAR)
        FROM ({parts}) h
        JOIN ({wanted}) w ON w.folded = h.folded AND (w.low <> h.key OR w.high <> h.key)
        LEFT JOIN {tables.plan} p ON p.key = h.key
        """
    )
    holds = []
    for key, stood, ordinal, op, outcome, id_, names, after in rows:
        value, leaves = forms.of(name, stood), op == "delete"
        gives = ordinal is not None and outcome is None
        gives = gives and (leaves or (name in json.loads(names) and forms.of(name, after) != value))
        keeps = outcome == "rejected" and name == tables.spec.match_on and name in json.loads(names)
        if gives or keeps or unique.refused:
            vacatable = unique.vacatable and op == "update" and id_ is not None
            holds.append(Hold(key, name, value, ordinal if gives else None, leaves, vacatable))
    return holds


def _holding(tables: SyncTables, unique: UniqueField) -> list[str]:
    """SELECTs of (key, value, folded): what stands by what is known. A line knows it best: policies have read it."""
    field = unique.field
    before, after, stored = f"p.{ident(field.before)}", f"p.{ident(field.after)}", f"n.{ident(field.stored)}"
    # A field that left the line stands there as ours, or was kept as it stands: either way as the line has it.
    stands = f"CASE WHEN NOT {changed(field.name)} AND {after} IS NOT NULL THEN {after} ELSE {before} END"
    gone = "(p.op = 'delete' AND p.outcome IS NOT DISTINCT FROM 'ok')"
    return [
        f"""
        SELECT p.key, CAST({stands} AS VARCHAR) AS value, {_folded(stands)} AS folded
        FROM ({with_change_list(tables.plan)}) p
        WHERE p.op <> 'create' AND NOT {gone}
        """,
        f"""
        SELECT n.key, CAST({stored} AS VARCHAR) AS value, {_folded(stored)} AS folded
        FROM {tables.snapshot} n
        WHERE n.destination_id IS NOT NULL AND NOT EXISTS (SELECT 1 FROM {tables.plan} p WHERE p.key = n.key)
        """,
        f"""
        SELECT m.key, m.value, {_folded("m.value")} AS folded
        FROM {tables.scratch("possible")} m
        WHERE m.field = {literal(field.name)}
        """,
    ]


async def _without_stale(
    run: SyncRun,
    destination: Destination,
    lines: Mapping[int, WantingLine],
    wants: Sequence[Want],
    holds: Sequence[Hold],
) -> list[Hold]:
    """A value that nobody gives up would be withheld for good, so it is looked whether it stands there still: a person
    may have changed it, or merged the record that had it into the one that wants it."""
    kept = {hold.value for hold in holds if hold.ordinal is None}
    asked = {want.value: lines[want.ordinal].after[want.field] for want in wants if want.value in kept}
    if not asked or not isinstance(destination, LooksUp):
        return [*holds]
    able, spec, limits = destination, run.spec, destination.limits(run.spec.object)

    async def ask(values: Sequence[Scalar]) -> Iterable[tuple[str, str]]:
        matches = await able.look_up(spec.object, str(spec.match_on), values, [])
        return [(value, match.destination_id) for value, match in matches.items()]

    answers = await ask_in_batches([*asked.values()], limits.lookup_rows, limits, ask)
    stands = {value: id_ for answer in answers for value, id_ in answer}
    own: dict[str, set[str | None]] = defaultdict(set)
    for want in wants:
        own[want.value].add(lines[want.ordinal].destination_id)
    return [
        hold
        for hold in holds
        if hold.ordinal is not None or (hold.value in stands and stands[hold.value] not in own[hold.value])
    ]

"""Unique values that move between records in one plan: swaps, chains, circles of any length (docs/design/sync.md).

Runs on a frozen plan after matching and policies, before it is counted. What wants a value and what has it is found in
SQL; only these lines are compared in the destination's form and put into an order (`handover_order`). The plan then says
of a line in which `wave` it is sent, which lines it `follows` and which of its fields it `vacates` before. Sends nothing.
Safe to repeat: it decides anew, and what it withheld before stays withheld.

What can fail here → nothing was sent, and the next plan decides anew. What can fail when it is applied is said in
`sync/apply/waves.py`.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from revetl.destinations.base import Destination, DestinationField
from revetl.destinations.capabilities import LooksUp
from revetl.model import Operation, Scalar
from revetl.state.outcomes import changed, with_change_list
from revetl.state.sync_tables import SyncField, SyncTables, row_hash
from revetl.sync import typed_text
from revetl.sync.batching import ask_in_batches
from revetl.sync.plan.handover_order import Arrangement, Hold, Want, arrange
from revetl.sync.plan.summary import PlanSummary, ValueMove
from revetl.sync.readback import NormalForms
from revetl.sync.sync_run import SyncRun
from revetl.warehouse.sql import ident, literal

VALUE_HELD = "VALUE_HELD"
_SAMPLES = 10
_RANK = {Operation.DELETE: 0, Operation.UPDATE: 1, Operation.CREATE: 2}  # as `freezing.sending_order`


@dataclass(frozen=True, slots=True)
class _UniqueField:
    """`refused`: the destination refuses a value that another record has. Of a `match_on` that it would take twice only
    creates are ordered: they are looked for by it."""

    field: SyncField
    refused: bool
    vacatable: bool


@dataclass(slots=True)
class _Line:
    """A plan line that wants a unique value. `after`: field → the value, as text."""

    key: str
    op: Operation
    destination_id: str | None
    changed: list[str]
    after: dict[str, str]


async def pass_over_given_up(run: SyncRun, destination: Destination) -> None:
    """A new record was found by a value that a record of another key has, and that key gives it up in this plan: it is
    not adopted, and is created once the value is free. Between the lookups and what they mean (`matching`)."""
    forms = NormalForms(destination, run.spec.object)
    rows = await run.on_tables(_found_at_others)
    name = run.tables.match_field.name
    free = [
        ordinal
        for ordinal, identity, in_doubt, before, after in rows
        if (in_doubt or forms.of(name, before) == identity) and forms.of(name, after) != identity
    ]
    if free:
        await run.on_tables(_forget_found, free)


def _found_at_others(tables: SyncTables) -> list[tuple[Any, ...]]:
    match = tables.match_field
    return tables.warehouse.rows(
        f"""
        SELECT f.ordinal, f.identity, h.in_doubt, h.{ident(match.before)}, h.{ident(match.after)}
        FROM {tables.scratch("found")} f
        JOIN {tables.plan} p ON p.ordinal = f.ordinal
        JOIN (
            SELECT c.*, coalesce(c.destination_id, o.destination_id) AS record
            FROM ({with_change_list(tables.plan)}) c
            LEFT JOIN {tables.scratch("found")} o ON o.ordinal = c.ordinal
        ) h ON h.record = f.destination_id AND h.key <> p.key
        WHERE p.op = 'create' AND h.known AND h.op <> 'delete' AND h.outcome IS NULL AND {changed(match.name, "h")}
        """
    )


def _forget_found(tables: SyncTables, ordinals: Sequence[int]) -> None:
    tables.warehouse.execute(
        f"""
        UPDATE {tables.scratch("found")}
        SET destination_id = NULL, changed_fields = NULL, found = NULL
        WHERE ordinal IN ({", ".join(str(int(n)) for n in ordinals)})
        """
    )


@dataclass(frozen=True, slots=True)
class WithheldField:
    """`holder`: the key that has the value, or is given it. `whole`: nothing else of the line is left to be sent."""

    key: str
    field: str
    holder: str
    whole: bool


async def decide(
    run: SyncRun,
    destination: Destination,
    described: Mapping[str, DestinationField],
    summary: PlanSummary | None = None,
) -> list[WithheldField]:
    """Orders and withholds; `summary` is told of it. `described` are the destination's fields. Returns what it
    withheld."""
    await run.on_tables(_clear)
    lines: dict[int, _Line] = {}
    wants: list[Want] = []
    holds: list[Hold] = []
    forms = NormalForms(destination, run.spec.object)
    fields = unique_fields(run.tables, described)
    await run.on_tables(_note_possible, [unique.field for unique in fields])
    for unique in fields:
        if not await run.on_tables(_find_wants, unique):
            continue
        found = await run.on_tables(_read_wants, unique, lines, forms)
        of_field = [hold for hold in await run.on_tables(_read_holds, unique, forms) if hold.value]
        if unique.field.name == run.spec.match_on:
            of_field = await _without_stale(run, destination, lines, found, of_field)
        wants += found
        holds += of_field
    arrangement = arrange(wants, holds)
    if not (arrangement.handovers or arrangement.withheld):
        return []
    if summary is not None:
        _tell(summary, arrangement, lines)
    return await run.on_tables(_write, [unique.field for unique in fields], lines, arrangement)


def unique_fields(tables: SyncTables, described: Mapping[str, DestinationField]) -> list[_UniqueField]:
    """The fields of this sync in which two records can't have one value."""
    out = []
    for field in tables.fields:
        known = described.get(field.name)
        refused = known is not None and known.unique
        matched_on = field.name == tables.spec.match_on
        if (matched_on and tables.by_id) or not (refused or matched_on):
            continue
        out.append(_UniqueField(field, refused, refused and known is not None and known.vacatable))
    return out


def _clear(tables: SyncTables) -> None:
    """What an earlier decision over the same plan said of the order."""
    tables.warehouse.execute(
        f"""
        UPDATE {tables.plan}
        SET wave = 0, follows = NULL, vacates = NULL
        WHERE wave <> 0 OR follows IS NOT NULL OR vacates IS NOT NULL
        """
    )


def _folded(column: str) -> str:
    """As far as SQL can tell two values to be one; those that it finds are compared in the destination's form."""
    return f"lower(trim(CAST({column} AS VARCHAR)))"


def _note_possible(tables: SyncTables, fields: Sequence[SyncField]) -> None:
    """What records in doubt may have been given by writes whose answer was lost, into the scratch table `possible`."""
    import pyarrow as pa

    tables.new_scratch("possible", "(key VARCHAR, field VARCHAR, value VARCHAR)")
    if not fields:
        return
    doubtful = f"SELECT key FROM {tables.plan} WHERE in_doubt AND op = 'update' AND outcome IS NULL"
    rows = tables.warehouse.rows(
        f"""
        SELECT o.key, o."after"
        FROM {tables.shared("outcomes")} o
        WHERE o.sync = ? AND o.status = 'unknown' AND o.op <> 'delete' AND o.key IN ({doubtful})
        """,
        [tables.spec.name],
    )
    found = []
    for key, after in rows:
        with suppress(ValueError):  # an earlier version wrote no JSON where a column's type had changed
            written = typed_text.load(str(after))
            found += [(str(key), f.name, str(written[f.name])) for f in fields if written.get(f.name) is not None]
    if found:
        columns = zip(("key", "field", "value"), zip(*found, strict=True), strict=True)
        table = pa.table({name: pa.array(list(cells), pa.string()) for name, cells in columns})
        tables.warehouse.append(tables.scratch_relation("possible"), table)


def _find_wants(tables: SyncTables, unique: _UniqueField) -> bool:
    """The lines that would give their record a value of this field, into the scratch table `wants`. Whether any value
    can move at all: of `match_on` new records want nothing that is not free, unless a known record gives it up."""
    field = unique.field
    before, after = (_folded(f"p.{ident(column)}") for column in (field.before, field.after))
    lines = f"""
        SELECT p.*
        FROM ({with_change_list(tables.plan)}) p
        WHERE p.outcome IS NULL AND {changed(field.name)}
        """
    moves = f"p.op = 'update' AND (p.in_doubt OR {before} IS DISTINCT FROM {after})"
    if field.name == tables.spec.match_on and not tables.warehouse.scalar(
        f"SELECT count(*) FROM ({lines}) p WHERE {moves}", int
    ):
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


def _read_wants(tables: SyncTables, unique: _UniqueField, lines: dict[int, _Line], forms: NormalForms) -> list[Want]:
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
        line = lines.setdefault(ordinal, _Line(key, Operation(op), id_, json.loads(names), {}))
        line.after[name] = after
        whole = line.op is Operation.CREATE and name == tables.spec.match_on
        if value := forms.of(name, after):
            wants.append(Want(ordinal, key, name, value, whole, 0 if in_doubt else 1, unique.refused))
    return wants


def _read_holds(tables: SyncTables, unique: _UniqueField, forms: NormalForms) -> list[Hold]:
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
        if gives or unique.refused:
            vacatable = unique.vacatable and op == "update" and id_ is not None
            holds.append(Hold(key, name, value, ordinal if gives else None, leaves, vacatable))
    return holds


def _holding(tables: SyncTables, unique: _UniqueField) -> list[str]:
    """SELECTs of (key, value, folded): what stands by what is known. A line knows it best, for policies have read it."""
    field = unique.field
    before, stored = (
        f"CAST({column} AS VARCHAR)" for column in (f"p.{ident(field.before)}", f"n.{ident(field.stored)}")
    )
    gone = "(p.op = 'delete' AND p.outcome IS NOT DISTINCT FROM 'ok')"
    return [
        f"""
        SELECT p.key, {before} AS value, {_folded(before)} AS folded
        FROM {tables.plan} p
        WHERE p.op <> 'create' AND NOT {gone}
        """,
        f"""
        SELECT n.key, {stored} AS value, {_folded(stored)} AS folded
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
    run: SyncRun, destination: Destination, lines: Mapping[int, _Line], wants: Sequence[Want], holds: Sequence[Hold]
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


def _tell(summary: PlanSummary, arrangement: Arrangement, lines: Mapping[int, _Line]) -> None:
    vacated = arrangement.vacated
    summary.moved = len(arrangement.handovers)
    summary.vacated = len({ordinal for ordinal, _ in vacated})
    summary.waves = 1 + max(arrangement.waves.values(), default=0)
    for _, name in sorted(arrangement.withheld):
        summary.held[name] = summary.held.get(name, 0) + 1
    first = sorted(arrangement.handovers, key=lambda h: (arrangement.waves.get(h.taker, 0), h.taker))[:_SAMPLES]
    summary.moves = [
        ValueMove(h.field, lines[h.taker].after[h.field], h.giver_key, h.taker_key, (h.giver, h.field) in vacated)
        for h in first
    ]


def _write(
    tables: SyncTables, fields: Sequence[SyncField], lines: Mapping[int, _Line], made: Arrangement
) -> list[WithheldField]:
    import pyarrow as pa

    rows = [*_rows(tables, fields, lines, made)]
    whole = {row[0] for row in rows if row[3]}
    named = [("ordinal", "BIGINT"), ("moved_to", "BIGINT"), ("wave", "INTEGER"), ("whole", "BOOLEAN")]
    named += [(name, "VARCHAR") for name in ("changed_fields", "follows", "vacates", "note")]
    named += [(f"withheld_{i}", "BOOLEAN") for i in range(len(fields))]
    tables.new_scratch("handovers", f"({', '.join(f'{name} {type_}' for name, type_ in named)})")
    types = {"BIGINT": pa.int64(), "INTEGER": pa.int32(), "BOOLEAN": pa.bool_(), "VARCHAR": pa.string()}
    columns = zip(named, zip(*rows, strict=True), strict=True)
    arrow = pa.table({name: pa.array(list(cells), types[type_]) for (name, type_), cells in columns})
    tables.warehouse.append(tables.scratch_relation("handovers"), arrow)
    plan, scratch = tables.plan, tables.scratch("handovers")
    stands = "".join(
        f""",
            {ident(f.after)} = CASE WHEN h.withheld_{i} AND NOT h.whole
                THEN {plan}.{ident(f.before)} ELSE {plan}.{ident(f.after)} END"""
        for i, f in enumerate(fields)
    )
    withheld = " OR ".join(f"withheld_{i}" for i in range(len(fields)))
    with tables.warehouse.transaction():
        tables.warehouse.execute(
            f"""
            UPDATE {plan}
            SET
                ordinal = h.moved_to,
                wave = h.wave,
                follows = h.follows,
                vacates = h.vacates,
                changed_fields = h.changed_fields,
                outcome = CASE WHEN h.whole THEN 'rejected' ELSE {plan}.outcome END,
                reason = CASE WHEN h.whole THEN {literal(VALUE_HELD)} ELSE {plan}.reason END,
                note = CASE WHEN {plan}.note IS NULL OR h.whole THEN h.note ELSE {plan}.note || '; ' || h.note END
                {stands}
            FROM {scratch} h
            WHERE h.ordinal = {plan}.ordinal
            """
        )
        # Of a row of which a field is withheld the snapshot is given another hash than the model's, so that the next
        # plan has a line for it again. In doubt it stays in doubt: the field may not hold what we believe.
        tables.warehouse.execute(
            f"""
            UPDATE {plan}
            SET row_hash = CASE WHEN NOT in_doubt THEN {row_hash([ident(f.after) for f in tables.fields])} END
            WHERE ordinal IN (SELECT moved_to FROM {scratch} WHERE NOT whole AND ({withheld}))
            """
        )
    return [
        WithheldField(lines[ordinal].key, name, holder, ordinal in whole)
        for (ordinal, name), holder in made.withheld.items()
    ]


def _rows(
    tables: SyncTables, fields: Sequence[SyncField], lines: Mapping[int, _Line], made: Arrangement
) -> Iterator[tuple[Any, ...]]:
    """As the scratch table `handovers` holds them. Lines of a later wave go behind all others."""
    withheld: dict[int, dict[str, str]] = defaultdict(dict)
    for (ordinal, name), holder in made.withheld.items():
        withheld[ordinal][name] = holder
    whole = {n for n, names in withheld.items() if _all_withheld(tables, lines[n], names)}
    later = sorted(
        (n for n in made.waves if n not in whole),
        key=lambda n: (made.waves[n], _RANK[lines[n].op], lines[n].key),
    )
    behind = tables.warehouse.scalar(f"SELECT max(ordinal) FROM {tables.plan}", int) + 1
    moved_to = {ordinal: behind + i for i, ordinal in enumerate(later)}
    follows: dict[int, list[tuple[int, str]]] = defaultdict(list)
    gives: dict[int, list[str]] = defaultdict(list)
    takes: dict[int, list[str]] = defaultdict(list)
    for h in made.handovers:
        follows[h.taker].append((moved_to.get(h.giver, h.giver), h.field))
        takes[h.taker].append(f"takes its {h.field} over from {h.giver_key}")
        gives[h.giver].append(f"gives its {h.field} to {h.taker_key}")
    vacates: dict[int, list[str]] = defaultdict(list)
    for ordinal, name in sorted(made.vacated):
        vacates[ordinal].append(name)
    for ordinal in sorted({*withheld, *follows, *vacates}):
        line, held = lines[ordinal], withheld.get(ordinal, {})
        said = [f"its {name} is not sent: {holder} of this sync has that value" for name, holder in held.items()]
        said += takes[ordinal]
        if emptied := vacates.get(ordinal):
            said += [f"its {', '.join(emptied)} is emptied first, since the values move in a circle", *gives[ordinal]]
        yield (
            ordinal,
            moved_to.get(ordinal, ordinal),
            0 if ordinal in whole else made.waves.get(ordinal, 0),
            ordinal in whole,
            _compact(line.changed if ordinal in whole else [name for name in line.changed if name not in held]),
            _compact(sorted(set(follows[ordinal]))) if follows.get(ordinal) and ordinal not in whole else None,
            _compact(vacates[ordinal]) if ordinal in vacates and ordinal not in whole else None,
            "; ".join(said),
            *(f.name in held for f in fields),
        )


def _all_withheld(tables: SyncTables, line: _Line, names: Mapping[str, str]) -> bool:
    """A new record is not made without the value that it is looked for by."""
    return (line.op is Operation.CREATE and tables.spec.match_on in names) or names.keys() >= set(line.changed)


def _compact(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"))

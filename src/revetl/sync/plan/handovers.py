"""Unique values that move between records in one plan: swaps, chains, circles of any length (docs/design/sync.md).

Runs on a frozen plan after matching and policies, before it is counted. What wants a value and what has it is read
(`handover_reading`) and put into an order (`handover_order`). The plan then says of a line in which `wave` it is sent,
which lines it `follows` and which of its fields it `vacates` before. Sends nothing. Safe to repeat: it decides anew,
and what it withheld before stays withheld.

What can fail here → nothing was sent, and the next plan decides anew. What can fail when it is applied is said in
`sync/apply/waves.py`.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from revetl.destinations.base import Destination, DestinationField
from revetl.model import Operation
from revetl.state.outcomes import VALUE_HELD, changed, with_change_list
from revetl.state.sync_tables import SyncField, SyncTables, row_hash
from revetl.sync.plan import handover_reading
from revetl.sync.plan.handover_order import Arrangement, arrange
from revetl.sync.plan.handover_reading import HandoverReading, WantingLine
from revetl.sync.plan.summary import PlanSummary, ValueMove
from revetl.sync.readback import NormalForms
from revetl.sync.sync_run import SyncRun
from revetl.warehouse.sql import ident, literal

_SAMPLES = 10
_RANK = {Operation.DELETE: 0, Operation.UPDATE: 1, Operation.CREATE: 2}  # as `freezing.sending_order`


async def pass_over_given_up(run: SyncRun, destination: Destination) -> None:
    """A new record was found by a value that a record of another key has, and that key gives it up in this plan: it is
    not adopted, and is created once the value is free. Between the lookups and what they mean (`matching`)."""
    forms = NormalForms(destination, run.tables)
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
        WHERE f.main AND p.op = 'create' AND h.known AND h.op <> 'delete' AND h.outcome IS NULL
            AND {changed(match.name, "h")}
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
    """`why`: who has the value, or is given it. `whole`: nothing else of the line is left to be sent."""

    key: str
    field: str
    why: str
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
    reading = await handover_reading.read(run, destination, described)
    arrangement = arrange(reading.wants, reading.holds)
    if not (arrangement.handovers or arrangement.withheld):
        return []
    if summary is not None:
        _tell(summary, arrangement, reading.lines)
    return await run.on_tables(_write, reading, arrangement)


def _clear(tables: SyncTables) -> None:
    """What an earlier decision over the same plan said of the order."""
    tables.warehouse.execute(
        f"""
        UPDATE {tables.plan}
        SET wave = 0, follows = NULL, vacates = NULL
        WHERE wave <> 0 OR follows IS NOT NULL OR vacates IS NOT NULL
        """
    )


def _tell(summary: PlanSummary, arrangement: Arrangement, lines: Mapping[int, WantingLine]) -> None:
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


def _write(tables: SyncTables, reading: HandoverReading, made: Arrangement) -> list[WithheldField]:
    import pyarrow as pa

    fields, lines = reading.fields, reading.lines
    rows = [*_rows(tables, reading, made)]
    whole = {row[0] for row in rows if row[3]}
    named = [("ordinal", "BIGINT"), ("moved_to", "BIGINT"), ("wave", "INTEGER"), ("whole", "BOOLEAN")]
    named += [(name, "VARCHAR") for name in ("changed_fields", "follows", "vacates", "note")]
    named += [(f"withheld_{i}", "BOOLEAN") for i in range(len(fields))]
    named += [("was_read", "BOOLEAN"), *((f"stands_{i}", "VARCHAR") for i in range(len(fields)))]
    tables.new_scratch("handovers", f"({', '.join(f'{name} {type_}' for name, type_ in named)})")
    types = {"BIGINT": pa.int64(), "INTEGER": pa.int32(), "BOOLEAN": pa.bool_(), "VARCHAR": pa.string()}
    columns = zip(named, zip(*rows, strict=True), strict=True)
    arrow = pa.table({name: pa.array(list(cells), types[type_]) for (name, type_), cells in columns})
    tables.warehouse.append(tables.scratch_relation("handovers"), arrow)
    plan, scratch = tables.plan, tables.scratch("handovers")
    stands = "".join(
        f""",
            {ident(f.after)} = CASE
                WHEN NOT h.withheld_{i} OR h.whole THEN {plan}.{ident(f.after)}
                WHEN h.was_read THEN CAST(h.stands_{i} AS {f.type})
                ELSE {plan}.{ident(f.before)}
            END"""
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
        # plan has a line for it again. In doubt it stays in doubt where what the field holds was not read.
        tables.warehouse.execute(
            f"""
            UPDATE {plan}
            SET row_hash = CASE
                WHEN NOT in_doubt OR ordinal IN (SELECT moved_to FROM {scratch} WHERE was_read)
                THEN {row_hash([ident(f.after) for f in tables.fields])}
            END
            WHERE ordinal IN (SELECT moved_to FROM {scratch} WHERE NOT whole AND ({withheld}))
            """
        )
    return [
        WithheldField(lines[ordinal].key, name, _who_has(reading, holder, ordinal, name), ordinal in whole)
        for (ordinal, name), holder in made.withheld.items()
    ]


def _rows(tables: SyncTables, reading: HandoverReading, made: Arrangement) -> Iterator[tuple[Any, ...]]:
    """As the scratch table `handovers` holds them. Lines of a later wave go behind all others."""
    fields, lines = reading.fields, reading.lines
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
    stand = _standing_texts(tables, fields, withheld.keys() - whole)
    vacates: dict[int, list[str]] = defaultdict(list)
    for ordinal, name in sorted(made.vacated):
        vacates[ordinal].append(name)
    for ordinal in sorted({*withheld, *follows, *vacates}):
        line, held = lines[ordinal], withheld.get(ordinal, {})
        said = [f"its {name} is withheld: {_who_has(reading, holder, ordinal, name)}" for name, holder in held.items()]
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
            ordinal in stand,
            *(stand.get(ordinal, {}).get(f.name) for f in fields),
        )


def _standing_texts(
    tables: SyncTables, fields: Sequence[SyncField], ordinals: Collection[int]
) -> dict[int, dict[str, str | None]]:
    """Of these lines those that are in doubt and were read back: what each field holds there. Else a record of which a
    field is withheld would be in doubt for ever, and sent whole by each run. Fields of text alone: hardly any other is
    unique."""
    if not ordinals or any(f.type != "VARCHAR" for f in fields):
        return {}
    rows = tables.warehouse.rows(f"SELECT ordinal, found FROM {tables.plan} WHERE in_doubt AND found IS NOT NULL")
    read = {int(str(n)): json.loads(str(found)) for n, found in rows if int(str(n)) in ordinals}
    return {
        n: {f.name: None if found[f.name] is None else str(found[f.name]) for f in fields}
        for n, found in read.items()
        if all(f.name in found for f in fields)
    }


def _who_has(reading: HandoverReading, holder: str, ordinal: int, name: str) -> str:
    if holder:
        return f"{holder} of this sync has that value"
    # Not looked up for this line where it is a new record, or another that waits for one that was looked up.
    record = reading.elsewhere.get((ordinal, name))
    return f"{f'the record {record}' if record else 'a record'} there has that value, and is none of this sync"


def _all_withheld(tables: SyncTables, line: WantingLine, names: Mapping[str, str]) -> bool:
    """A new record is not made without the value that it is looked for by."""
    return (line.op is Operation.CREATE and tables.spec.match_on in names) or names.keys() >= set(line.changed)


def _compact(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"))

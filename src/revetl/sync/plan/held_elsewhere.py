"""Unique values that a line wants, and that a record at the destination has though none of ours is known to have it: a
person made that record, another tool, or another sync. Looked up before anything is sent, so that only this field is
withheld; sent, the destination would refuse the whole record, each time. Reads only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from revetl.destinations.base import Destination, RecordMatch
from revetl.destinations.capabilities import LooksUp
from revetl.model import Scalar
from revetl.state.outcomes import changed, with_change_list
from revetl.state.sync_tables import SyncField, SyncTables
from revetl.sync.batching import ask_in_batches
from revetl.sync.plan.handover_order import Hold
from revetl.sync.readback import NormalForms
from revetl.sync.sync_run import SyncRun
from revetl.warehouse.sql import ident

_CHUNK = 5_000  # also what fits into a list of values everywhere: Snowflake takes 16,384


class LookedUpLine(NamedTuple):
    """A line that gives its record, which stands there, another value of the field. `value`: in the destination's
    form."""

    ordinal: int
    key: str
    destination_id: str
    changed_fields: str
    in_doubt: bool
    after: str
    value: str


@dataclass(slots=True)
class HeldElsewhere:
    """`wanting`: the lines whose value another record has. `ids`: (line, field) → that record's id, where it is
    none of this sync. `holds`: of each such record the hold; one of this sync may give the value up."""

    wanting: list[LookedUpLine] = field(default_factory=list)
    ids: dict[tuple[int, str], str] = field(default_factory=dict)
    holds: list[Hold] = field(default_factory=list)


async def find(
    run: SyncRun, destination: Destination, wanted: SyncField, known: Sequence[Hold], *, vacatable: bool
) -> HeldElsewhere:
    """Of the lines in the scratch table `wants` (`handover_reading`). `wanted`: the sync's `match_on`. `known`: who has
    which value as far as we know; those values are not looked up. Nothing where the destination can't be asked."""
    out = HeldElsewhere()
    if not isinstance(destination, LooksUp):
        return out
    forms, decided = NormalForms(destination, run.tables), {hold.value for hold in known}
    last: int | None = -1
    while last is not None:
        last, lines = await run.on_tables(_lines_after, forms, wanted, last)
        asked = [line for line in lines if line.value not in decided]
        matches = await _look_up(run, destination, wanted.name, asked)
        taken = [line for line in asked if (m := matches.get(line.value)) is not None and not _is_own(line, m)]
        if not taken:
            continue
        ours = await run.on_tables(_ours, wanted, {matches[line.value].destination_id for line in taken})
        for line in taken:
            id_ = matches[line.value].destination_id
            owner = ours.get(id_)
            if owner is not None and owner.key == line.key:
                continue
            out.wanting.append(line)
            if owner is None:
                out.ids[line.ordinal, wanted.name] = id_
                out.holds.append(Hold("", wanted.name, line.value))
                continue
            gives = owner.ordinal is not None and (owner.leaves or forms.of(wanted.name, owner.after) != line.value)
            able = vacatable and gives and not owner.leaves
            out.holds.append(
                Hold(owner.key, wanted.name, line.value, owner.ordinal if gives else None, owner.leaves, able)
            )
    return out


def _is_own(line: LookedUpLine, match: RecordMatch) -> bool:
    return line.destination_id == match.destination_id or line.destination_id in match.former_ids


async def _look_up(
    run: SyncRun, destination: Destination, name: str, lines: Sequence[LookedUpLine]
) -> Mapping[str, RecordMatch]:
    if not isinstance(destination, LooksUp):
        return {}
    able, spec, limits = destination, run.spec, destination.limits(run.spec.object)
    values = [*{line.value: line.after for line in lines}.values()]

    async def ask(batch: Sequence[Scalar]) -> Mapping[str, RecordMatch]:
        return await able.look_up(spec.object, name, batch, [])

    matches: dict[str, RecordMatch] = {}
    for answer in await ask_in_batches(values, limits.lookup_rows, limits, ask):
        matches.update(answer)
    return matches


def _lines_after(
    tables: SyncTables, forms: NormalForms, wanted: SyncField, ordinal: int
) -> tuple[int | None, list[LookedUpLine]]:
    """The next lines behind `ordinal`, and the last one's ordinal; None where there are no more. Of a value without a
    form at the destination the line is left out: no record there can have it."""
    rows: list[tuple[Any, ...]] = tables.warehouse.rows(
        f"""
        SELECT p.ordinal, p.key, p.destination_id, p.changed_fields, p.in_doubt,
            CAST(p.{ident(wanted.after)} AS VARCHAR) AS after
        FROM {tables.scratch("wants")} w
        JOIN {tables.plan} p ON p.ordinal = w.ordinal
        WHERE p.op = 'update' AND p.destination_id IS NOT NULL AND p.ordinal > ?
        ORDER BY p.ordinal
        LIMIT {_CHUNK}
        """,
        [ordinal],
    )
    lines = [
        LookedUpLine(int(n), key, id_, names, bool(in_doubt), after, forms.of(wanted.name, after))
        for n, key, id_, names, in_doubt, after in rows
        if forms.has(wanted.name, after)
    ]
    return (int(rows[-1][0]) if rows else None), lines


class _Owner(NamedTuple):
    """A record of ours, and the line by which it changes the field or leaves, where there is one."""

    key: str
    ordinal: int | None
    leaves: bool
    after: Scalar


def _ours(tables: SyncTables, wanted: SyncField, ids: set[str]) -> dict[str, _Owner]:
    """id → who of ours has it, in the plan or in the snapshot."""
    listed = ", ".join("?" for _ in ids)
    gives = f"p.outcome IS NULL AND (p.op = 'delete' OR {changed(wanted.name)})"
    rows: list[tuple[Any, ...]] = tables.warehouse.rows(
        f"""
        SELECT n.destination_id, n.key, NULL AS ordinal, FALSE AS leaves, NULL AS after
        FROM {tables.snapshot} n
        WHERE n.destination_id IN ({listed})
        UNION ALL
        SELECT p.destination_id, p.key,
            CASE WHEN {gives} THEN p.ordinal END AS ordinal,
            p.op = 'delete' AS leaves,
            CAST(p.{ident(wanted.after)} AS VARCHAR) AS after
        FROM ({with_change_list(tables.plan)}) p
        WHERE p.op <> 'create' AND p.destination_id IN ({listed})
        ORDER BY ordinal NULLS FIRST
        """,
        [*ids, *ids],
    )
    return {str(id_): _Owner(str(key), ordinal, bool(leaves), after) for id_, key, ordinal, leaves, after in rows}

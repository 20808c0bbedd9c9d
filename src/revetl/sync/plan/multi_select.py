"""Multi-select values: options that people added stay, unless the sync's yml says `options: replace`.

A field of type `multi_enum` holds a set of options, joined with `;`. What an update sends is merged from three sets:
what stands there, less what we sent last and want no more, with all that the model wants. The snapshot keeps the
model's own value, so an option of somebody else never becomes ours.

What we sent last counts for a record that we know by the id that it has. Of any other (adopted, made again, merged)
all that stands is kept: what of it was ours can't be told.

What can fail here, and what then happens:
- the destination is away → its error leaves as it is and the run ends; nothing was sent.
- the destination can't be read → a value replaces what stands there, and the plan says so.
- a person writes between this reading and our writing → ours stands, as between two people in the CRM.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from revetl.destinations.base import Destination, DestinationField
from revetl.destinations.capabilities import LooksUp, ReadsBack
from revetl.model import Scalar, SyncSpec
from revetl.state.outcomes import changed, with_change_list
from revetl.state.sync_tables import SyncField, SyncTables
from revetl.sync.readback import read_by_id
from revetl.sync.sync_run import SyncRun
from revetl.warehouse.cells import plain
from revetl.warehouse.sql import ident

if TYPE_CHECKING:
    import pyarrow as pa

_CHUNK = 10_000
_COLUMNS = (("ordinal", "BIGINT"), ("sent", "VARCHAR"))


def names(spec: SyncSpec, described: Mapping[str, DestinationField]) -> frozenset[str]:
    """The fields that hold a set of options of which ours are only a part. Under `options: replace` the whole set is
    ours, and the field is written like any other."""
    sets = (name for name, field in described.items() if field.type == "multi_enum")
    return frozenset(name for name in sets if spec.rule(name).options == "merge")


def options(value: Scalar) -> dict[str, None]:
    """In their order, each once."""
    return dict.fromkeys(o for o in str("" if value is None else value).split(";") if o)


def merged(stands: Scalar, before: Scalar, after: Scalar) -> Scalar:
    """What stands, less what is in `before` and not in `after`, with all of `after`. `after` itself where nobody else's
    option stays."""
    there, ours = options(stands), options(after)
    gone = options(before).keys() - ours.keys()
    if (there.keys() - gone) <= ours.keys():
        return after
    return ";".join([*(o for o in there if o not in gone), *(o for o in ours if o not in there)])


def moved(value: Scalar, before: Scalar, after: Scalar) -> str | None:
    """`value` with the step from `before` to `after`: less what the step took away, with what it added. A rollback goes
    the step the other way."""
    there, old, new = options(value), options(before), options(after)
    kept = [o for o in there if o in new or o not in old]
    return ";".join([*kept, *(o for o in new if o not in old and o not in there)]) or None


def ours_of(stands: Scalar, *ours: Scalar) -> str | None:
    """Of what stands the options that are in one of ours."""
    all_ours = {o for value in ours for o in options(value)}
    return ";".join(o for o in options(stands) if o in all_ours) or None


def replaced(tables: SyncTables, destination: Destination, described: Mapping[str, DestinationField]) -> list[str]:
    """A word on fields whose value replaces what stands there, for it can't be read."""
    if isinstance(destination, ReadsBack) and (isinstance(destination, LooksUp) or tables.spec.match_on is None):
        return []
    multi = names(tables.spec, described)
    return [
        f"{f.name}: {tables.spec.destination} can't be read, so the value replaces all options that stand there"
        for f in tables.fields
        if f.name in multi
    ]


async def decide(run: SyncRun, destination: Destination, described: Mapping[str, DestinationField]) -> None:
    """Writes down with each update what is sent in place of the model's value (`sent`). The last step of a plan that
    is decided; safe to repeat. What stands was read already; whatever was not is read here. Memory is flat."""
    multi = [f for f in run.tables.fields if f.name in names(run.spec, described)]
    if not multi or not isinstance(destination, ReadsBack) or not await run.on_tables(_count, multi):
        return
    columns = ", ".join(f"{name} {type_}" for name, type_ in _COLUMNS)
    await run.on_tables(SyncTables.new_scratch, "sent", f"({columns})")
    chunks = await run.on_tables(_stream, multi)
    while (chunk := await run.ctx.offload(next, chunks, None)) is not None:
        rows = await _merge(run, destination, multi, chunk)
        await run.ctx.offload(run.ctx.warehouse.append, run.tables.scratch_relation("sent"), _as_arrow(rows))
    await run.on_tables(_write)


async def _merge(
    run: SyncRun, destination: Destination, multi: list[SyncField], chunk: pa.RecordBatch
) -> list[tuple[int, str | None]]:
    ordinals, ids, lists, founds, *cells = (plain(column) for column in chunk.columns)
    wanted = [[f.name in json.loads(text) for f in multi] for text in lists]
    known = [json.loads(text) if text else {} for text in founds]
    unread = [
        id_
        for id_, found, ours in zip(ids, known, wanted, strict=True)
        if any(f.name not in found for f, is_ours in zip(multi, ours, strict=True) if is_ours)
    ]
    stands = await read_by_id(destination, run.spec.object, unread, [f.name for f in multi])
    rows: list[tuple[int, str | None]] = []
    for i, ordinal in enumerate(ordinals):
        there = dict(stands[ids[i]].fields) if ids[i] in stands else {}
        sent = {}
        for j, field in enumerate(multi):
            before, after = cells[2 * j][i], cells[2 * j + 1][i]
            value = merged(known[i].get(field.name, there.get(field.name)), before, after)
            if wanted[i][j] and value != after:
                sent[field.name] = value
        rows.append((ordinal, json.dumps(sent, separators=(",", ":")) if sent else None))
    return rows


def _nominated(tables: SyncTables, multi: list[SyncField], columns: str) -> str:
    any_of = " OR ".join(changed(f.name) for f in multi)
    return f"""
        SELECT {columns}
        FROM ({with_change_list(tables.plan)}) p
        LEFT JOIN {tables.snapshot} n ON n.key = p.key
        WHERE p.outcome IS NULL AND p.op = 'update' AND p.destination_id IS NOT NULL AND ({any_of})
        """


def _count(tables: SyncTables, multi: list[SyncField]) -> int:
    return tables.warehouse.scalar(_nominated(tables, multi, "count(*)"), int)


def _stream(tables: SyncTables, multi: list[SyncField]) -> Iterator[pa.RecordBatch]:
    pairs = "".join(
        f", CASE WHEN n.destination_id = p.destination_id THEN p.{ident(f.before)} END AS before__{i}"
        f", p.{ident(f.after)} AS after__{i}"
        for i, f in enumerate(multi)
    )
    columns = f"p.ordinal, p.destination_id, p.changed_fields, p.found{pairs}"
    return tables.warehouse.stream(f"{_nominated(tables, multi, columns)} ORDER BY p.ordinal", batch_rows=_CHUNK)


def _write(tables: SyncTables) -> None:
    tables.warehouse.execute(
        f"""
        UPDATE {tables.plan}
        SET sent = s.sent
        FROM {tables.scratch("sent")} s
        WHERE s.ordinal = {tables.plan}.ordinal
        """
    )


def _as_arrow(rows: list[tuple[Any, ...]]) -> pa.Table:
    import pyarrow as pa

    ordinals, sent = zip(*rows, strict=True)
    return pa.table({"ordinal": pa.array(list(ordinals), pa.int64()), "sent": pa.array(list(sent), pa.string())})

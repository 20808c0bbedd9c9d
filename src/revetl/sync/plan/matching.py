"""Before anything is created: does the record stand at the destination already?

Every line of the plan without a destination id is looked up by `match_on`. Found: it becomes an update by id of the
fields that differ from what stands there (an adoption). Not found: it is created. A record in doubt is looked up by its
present and by its earlier value, for an earlier attempt may have created it. What must not be sent is settled here,
with the reason: no value to look for, a record that another key of ours holds, a create that can't be reconciled.

What can fail here, and what then happens:
- the destination is away or refuses the credentials → its error leaves as it is and the run ends; nothing was sent.
- `match_on` can't be looked up there → ConfigError; nothing was sent.
- the process dies → the lines are not decided, and nobody applies a plan that was not decided: the next run plans anew.
- the destination's search lags behind its writes → a record made a moment ago may be missed, where the endpoint is not
  idempotent; how each destination bounds that is on its design page.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from revetl.destinations.base import Destination, RecordMatch
from revetl.destinations.capabilities import LooksUp
from revetl.model import Scalar
from revetl.state.sync_tables import Layout
from revetl.sync.batching import ask_in_batches
from revetl.warehouse.base import Warehouse
from revetl.warehouse.cells import plain

if TYPE_CHECKING:
    import pyarrow as pa

T = TypeVar("T")
Offload = Callable[..., Awaitable[Any]]

_FOUND = (
    ("ordinal", "BIGINT"),
    ("identity", "VARCHAR"),  # the present match_on value in the destination's normal form
    ("destination_id", "VARCHAR"),
    ("changed_fields", "VARCHAR"),
    ("found", "VARCHAR"),  # JSON: what stands at the destination, only the fields that will change
)
_CHUNK = 10_000


@dataclass(frozen=True, slots=True)
class _Line:
    ordinal: int
    op: str
    in_doubt: bool
    values: tuple[Scalar, ...]
    fields: dict[str, Scalar]


async def match_new(
    warehouse: Warehouse, layout: Layout, destination: Destination, *, idempotent: bool, offload: Offload
) -> int:
    """Decides every line of the plan that has no destination id. Reads from the destination, writes to it nothing.
    Returns how many are not there and, in mode update, left the plan for that."""
    spec = layout.spec
    found = layout.scratch("found")
    pending = f"SELECT count(*) FROM {layout.t(layout.plan)} WHERE destination_id IS NULL"
    if not (await offload(warehouse.rows, pending))[0][0]:
        return 0
    if spec.match_on is None or not (idempotent or isinstance(destination, LooksUp)):
        await offload(_settle_unmatchable, warehouse, layout, idempotent)
        return 0
    await offload(_fresh_table, warehouse, layout)
    chunks = await offload(_stream, warehouse, layout)
    while lines := await offload(_next_lines, layout, chunks):
        rows = await _look_up(layout, destination, lines)
        await offload(warehouse.append, found, _as_arrow(rows))
    absent: int = await offload(_decide, warehouse, layout)
    return absent


async def _look_up(layout: Layout, destination: Destination, lines: list[_Line]) -> list[tuple[Any, ...]]:
    spec = layout.spec
    match_on, limits = str(spec.match_on), destination.limits(spec.object)
    asked = [(line, [(v, destination.normalise(spec.object, match_on, v)) for v in line.values]) for line in lines]
    wanted = list({form: value for _, values in asked for value, form in values}.values())
    names = [f.name for f in layout.fields]
    known: dict[str, RecordMatch] = {}
    if isinstance(destination, LooksUp):
        able = destination

        async def ask(values: Sequence[Scalar]) -> Mapping[str, RecordMatch]:
            return await able.look_up(spec.object, match_on, values, names)

        for answer in await ask_in_batches(wanted, limits.lookup_rows, limits, ask):
            known.update(answer)
    rows = []
    for line, values in asked:
        match = next((known[form] for _, form in values if form in known), None)
        present = line.fields[match_on]
        identity = None if present is None or present == "" else destination.normalise(spec.object, match_on, present)
        by_present = identity is not None and identity in known
        rows.append((line.ordinal, identity, *_difference(layout, destination, line, match, by_present)))
    return rows


def _difference(
    layout: Layout, destination: Destination, line: _Line, match: RecordMatch | None, by_present: bool
) -> tuple[str | None, str | None, str | None]:
    """(id, changed fields, what stands there). A null of ours clears a value there only where an earlier write of ours
    may have put it: on a record that somebody else made it says nothing."""
    if match is None:
        return None, None, None
    object_ = layout.spec.object

    def form(name: str, value: Scalar) -> str:
        try:
            return "" if value is None else destination.normalise(object_, name, value)
        except ValueError:  # has no form there: it differs, is sent, and is refused with the reason
            return repr(value)

    stands = {
        f.name: match.fields.get(f.name)
        for f in layout.fields
        # Found by its present value the record answers to it already, be it as a secondary address.
        if not (by_present and f.name == layout.spec.match_on)
        and (line.fields[f.name] is not None or (line.in_doubt and not f.keep_null))
        and form(f.name, line.fields[f.name]) != form(f.name, match.fields.get(f.name))
    }
    return match.destination_id, json.dumps([*stands], separators=(",", ":")), json.dumps(stands, default=str)


def _fresh_table(warehouse: Warehouse, layout: Layout) -> None:
    target = layout.scratch("found")
    warehouse.execute(f"DROP TABLE IF EXISTS {layout.t(target)}")
    columns = ", ".join(f"{name} {type_}" for name, type_ in _FOUND)
    warehouse.execute(layout.create_scratch("found", f"({columns})"))


def _stream(warehouse: Warehouse, layout: Layout) -> Iterator[pa.RecordBatch]:
    after = "".join(f", {layout.q(f.after)}" for f in layout.fields)
    earlier = layout.q(layout.match_field.before)
    return warehouse.stream(
        f"SELECT ordinal, op, in_doubt, {earlier} AS earlier{after} FROM {layout.t(layout.plan)}"
        " WHERE destination_id IS NULL ORDER BY ordinal",
        batch_rows=_CHUNK,
    )


def _next_lines(layout: Layout, chunks: Iterator[pa.RecordBatch]) -> list[_Line]:
    batch = next(chunks, None)
    if batch is None:
        return []
    ordinals, ops, doubts, earlier, *columns = (plain(column) for column in batch.columns)
    names = [f.name for f in layout.fields]
    at = names.index(str(layout.spec.match_on))
    lines = []
    for i, ordinal in enumerate(ordinals):
        values = [columns[at][i], *([earlier[i]] if doubts[i] else [])]
        present = tuple(v for v in values if v is not None and v != "")
        lines.append(_Line(ordinal, ops[i], doubts[i], present, {n: c[i] for n, c in zip(names, columns, strict=True)}))
    return lines


def _as_arrow(rows: list[tuple[Any, ...]]) -> pa.Table:
    import pyarrow as pa

    types = [pa.int64(), *(pa.string() for _ in _FOUND[1:])]
    columns = zip(*rows, strict=True)
    return pa.table({name: pa.array(list(c), t) for (name, _), c, t in zip(_FOUND, columns, types, strict=True)})


def _settle_unmatchable(warehouse: Warehouse, layout: Layout, idempotent: bool) -> None:
    """No `match_on`: a create in doubt can't be looked for, and repeating it could make a second record."""
    if idempotent:
        return
    _settle(
        warehouse, layout, "in_doubt AND destination_id IS NULL", "unknown",
        "'may have been created by a run that broke off, and match_on is not set, so it cannot be looked for'",
        "NOT_RECONCILABLE",
    )  # fmt: skip


def _decide(warehouse: Warehouse, layout: Layout) -> int:
    with warehouse.transaction():
        _adopt(warehouse, layout)
        return _settle_lines(warehouse, layout)


def _adopt(warehouse: Warehouse, layout: Layout) -> None:
    plan, found = layout.t(layout.plan), layout.t(layout.scratch("found"))
    warehouse.execute(
        f"UPDATE {plan} SET destination_id = f.destination_id, adopted = {plan}.op = 'create',"
        f" op = CASE WHEN {plan}.op = 'create' THEN 'update' ELSE {plan}.op END,"
        f" changed_fields = CASE WHEN {plan}.op = 'delete' THEN '[]' ELSE f.changed_fields END,"
        " found = f.found"
        f" FROM {found} f WHERE f.ordinal = {plan}.ordinal AND f.destination_id IS NOT NULL"
    )


def _settle_lines(warehouse: Warehouse, layout: Layout) -> int:
    """Returns how many mode update takes out of the plan, for they are not at the destination."""
    absent = 0
    plan, found = layout.t(layout.plan), layout.t(layout.scratch("found"))
    match_on = str(layout.spec.match_on)
    said = match_on.replace("'", "''")
    _settle(
        warehouse, layout, "destination_id IS NULL AND op <> 'create'", "ok", "'is not at the destination any more'"
    )
    _settle(
        warehouse,
        layout,
        f"op = 'create' AND ordinal IN (SELECT ordinal FROM {found} WHERE identity IS NULL)",
        "skipped",
        f"'has no {said}, so it cannot be looked for before it is created'",
        "NO_IDENTITY",
    )
    twin = (
        "SELECT ordinal, first_value(key) OVER (PARTITION BY identity ORDER BY rank, ordinal) AS holder, key AS own"
        " FROM (SELECT p.ordinal, p.key, coalesce(p.destination_id, 'new:' || f.identity) AS identity,"
        f" CASE WHEN p.in_doubt THEN 0 ELSE 1 END AS rank FROM {plan} p JOIN {found} f ON f.ordinal = p.ordinal"
        " WHERE p.settled IS NULL AND p.op <> 'delete') t"
    )
    _settle(
        warehouse,
        layout,
        f"t.ordinal = {plan}.ordinal AND t.holder <> t.own",
        "rejected",
        f"'has the same {said} as ' || t.holder || ' of this model: they would overwrite each other'",
        "SAME_IDENTITY",
        f"({twin}) t",
    )
    _resolve_holders(warehouse, layout)
    if layout.spec.mode == "update":
        not_there = f"FROM {plan} WHERE op = 'create' AND NOT in_doubt"
        absent = int(str(warehouse.rows(f"SELECT count(*) {not_there}")[0][0]))
        warehouse.execute(f"DELETE {not_there}")
    if layout.spec.mode == "insert":
        _settle(
            warehouse, layout, "adopted AND NOT in_doubt", "skipped", "'exists already, and mode is insert'", "EXISTS"
        )
    _settle(warehouse, layout, "adopted AND changed_fields = '[]'", "ok", "'stands there with these values already'")
    return absent


def _resolve_holders(warehouse: Warehouse, layout: Layout) -> None:
    """An adopted record may be held by another key of ours. A key that is still in the model keeps it; one that left
    (a golden record got a new id) hands it over, and is not deleted for having left."""
    plan, snapshot = layout.t(layout.plan), layout.t(layout.snapshot)
    said = str(layout.spec.match_on).replace("'", "''")
    holders = (
        f"SELECT p.ordinal, min(n.key) AS holder FROM {plan} p"
        f" JOIN {snapshot} n ON n.destination_id = p.destination_id AND n.key <> p.key"
        f" JOIN {layout.t(layout.spec.relation)} m ON {layout.source_key('m')} = n.key"
        " WHERE p.adopted AND p.settled IS NULL GROUP BY p.ordinal"
    )
    _settle(
        warehouse,
        layout,
        f"t.ordinal = {plan}.ordinal",
        "rejected",
        f"'the record with its {said} is kept by ' || t.holder || ' of this model'",
        "HELD_BY_ANOTHER_KEY",
        f"({holders}) t",
    )
    taken = f"SELECT destination_id FROM {plan} WHERE adopted AND settled IS NULL"
    warehouse.execute(f"DELETE FROM {plan} WHERE known AND NOT adopted AND destination_id IN ({taken})")
    warehouse.execute(
        f"DELETE FROM {snapshot} AS n WHERE n.destination_id IN ({taken})"
        f" AND n.key NOT IN (SELECT key FROM {plan} WHERE adopted)"
    )


def _settle(
    warehouse: Warehouse,
    layout: Layout,
    where: str,
    status: str,
    note: str,
    reason: str | None = None,
    source: str | None = None,
) -> None:
    """`note` is an expression over the plan's row and the `source` it is joined with; `reason` the word by which such
    lines are counted."""
    plan, code = layout.t(layout.plan), "NULL" if reason is None else f"'{reason}'"
    joined = f" FROM {source}" if source else ""
    warehouse.execute(
        f"UPDATE {plan} SET settled = '{status}', reason = {code}, note = {note}{joined}"
        f" WHERE {plan}.settled IS NULL AND {where}"
    )

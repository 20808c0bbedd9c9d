"""Before anything is created: does the record stand at the destination already?

Every line of the plan without a destination id is looked up by our key, where the sync has it stand there
(`key_property`), else by `match_on`. Found: it becomes an update by id of the
fields that differ from what stands there (an adoption). Not found: it is created, unless it had an id once
(`standing`). A record in doubt is looked up by its present and by its earlier value, for an earlier attempt may have
created it: by that value it is our own, unless another key has that record by now. What must not be sent is withheld,
with the reason (`adoption`).

A saved plan is looked up again when it is applied (`look_again`): what was made there since is withheld, for nobody has
reviewed what would be written over it.

What can fail here, and what then happens:
- the destination is away or refuses the credentials → its error leaves as it is and the run ends; nothing was sent.
- `match_on` can't be looked up there → ConfigError; nothing was sent.
- the process dies → the lines are not decided, and nobody applies a plan that was not decided: the next run plans anew.
- the destination's search lags behind its writes → a record made a moment ago may be missed, where the endpoint is not
  idempotent; how each destination bounds that is on its design page.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from revetl.destinations.base import Destination, RecordMatch
from revetl.destinations.capabilities import LooksUp
from revetl.model import Scalar
from revetl.state.sync_tables import SyncTables
from revetl.sync.batching import ask_in_batches, cut
from revetl.sync.plan import adoption, found_holders, handovers, key_property, multi_select, twin_keys, unsearched
from revetl.sync.plan.equal_forms import is_null
from revetl.sync.sync_run import SyncRun
from revetl.warehouse.cells import plain
from revetl.warehouse.sql import ident

if TYPE_CHECKING:
    import pyarrow as pa

_FOUND = (
    ("ordinal", "BIGINT"),
    ("identity", "VARCHAR"),  # the present match_on value in the destination's normal form
    ("destination_id", "VARCHAR"),
    ("changed_fields", "VARCHAR"),
    ("found", "VARCHAR"),  # JSON: what stands at the destination, only the fields that will change
    ("asked", "BOOLEAN"),  # it was looked for
    ("empty", "BOOLEAN"),  # there is no present match_on value; else one without an identity has no form there
    ("main", "BOOLEAN"),  # what was found has the present match_on value as its main one, not as a further one
    ("keyed", "BOOLEAN"),  # what was found holds our key
    ("main_form", "VARCHAR"),  # its main match_on value, in the destination's normal form
    ("further", "VARCHAR"),  # that value as it stands there, where the record was found by a further one
    ("stands_key", "VARCHAR"),  # the key of ours that it holds
)
_NEW = "destination_id IS NULL"
_CREATES = f"{_NEW} AND op = 'create' AND outcome IS NULL"
_CHUNK = 10_000
_IDS_AT_ONCE = 5_000  # Snowflake takes 16,384 values in a list


@dataclass(frozen=True, slots=True)
class _NewLine:
    """A line without a destination id. `values`: what it is looked for by."""

    ordinal: int
    key: str
    op: str
    in_doubt: bool
    values: tuple[Scalar, ...]
    fields: dict[str, Scalar]


async def match_new(run: SyncRun, destination: Destination, multi: frozenset[str] = frozenset()) -> int:
    """Decides every line of the plan that has no destination id. Reads from the destination, writes to it nothing.
    `multi`: the fields that hold a set of options. Returns how many are not there and, in mode update, left the plan
    for that."""
    spec = run.spec
    searched = isinstance(destination, LooksUp)
    if not searched:
        await run.on_tables(unsearched.restore_ids)
    if not await run.on_tables(_count_new):
        return 0
    absent = await _match(run, destination, multi, searched=searched)
    if twin_keys.can_collide(spec, destination):
        await run.on_tables(twin_keys.withhold)
    return absent


async def _match(run: SyncRun, destination: Destination, multi: frozenset[str], *, searched: bool) -> int:
    spec = run.spec
    idempotent = destination.idempotent(spec.object, spec.created_through)
    if spec.created_through is None or not (idempotent or searched):
        if not idempotent:
            await run.on_tables(unsearched.withhold_unmatchable)
        return 0
    await _find(run, destination, _NEW, multi)
    await found_holders.find(run, destination)
    return await run.on_tables(partial(adoption.decide, searched=searched))


async def look_again(run: SyncRun, destination: Destination) -> None:
    """Of a saved plan, when it is applied: time has passed since its new records were looked for. One that stands there
    by now is withheld by name; the next plan adopts it. The others are created as reviewed. Nothing where the
    destination can't be asked. Safe to repeat."""
    if run.spec.created_through is None or not isinstance(destination, LooksUp):
        return
    if await run.on_tables(_count_new, _CREATES):
        await _find(run, destination, _CREATES)
        await run.on_tables(adoption.withhold_existing)


async def _find(run: SyncRun, destination: Destination, which: str, multi: frozenset[str] = frozenset()) -> None:
    """Fills the scratch table `found`, for the lines of the condition `which`."""
    columns = ", ".join(f"{name} {type_}" for name, type_ in _FOUND)
    await run.on_tables(SyncTables.new_scratch, "found", f"({columns})")
    await run.on_tables(found_holders.prepare)
    chunks = await run.on_tables(_stream, which)
    while lines := await run.on_tables(_next_lines, chunks):
        rows = await _look_up(run, destination, lines, multi)
        await run.ctx.offload(run.ctx.warehouse.append, run.tables.scratch_relation("found"), _as_arrow(rows))
    if run.spec.match_on is not None:
        await handovers.pass_over_given_up(run, destination)


def _count_new(tables: SyncTables, which: str = _NEW) -> int:
    return tables.warehouse.scalar(f"SELECT count(*) FROM {tables.plan} WHERE {which}", int)


async def _look_up(
    run: SyncRun, destination: Destination, lines: list[_NewLine], multi: frozenset[str]
) -> list[tuple[Any, ...]]:
    """`found` of these lines. Without `match_on` they are looked for by our key alone, which is then their identity."""
    spec, tables = run.spec, run.tables
    match_on, limits = str(spec.match_on or spec.key_property), destination.limits(spec.object)

    def form_of(value: Scalar) -> str | None:
        """None where the value has no form at the destination: no record can have it there."""
        try:
            return destination.normalise(spec.object, match_on, value)
        except ValueError:
            return None

    asked = [(line, [(v, form) for v in line.values if (form := form_of(v)) is not None]) for line in lines]
    wanted = list({form: value for _, values in asked for value, form in values}.values())
    names = [f.name for f in tables.fields]
    matches: dict[str, RecordMatch] = {}
    if isinstance(destination, LooksUp):
        able = destination

        async def ask(values: Sequence[Scalar]) -> Mapping[str, RecordMatch]:
            return await able.look_up(spec.object, match_on, values, names)

        for answer in await ask_in_batches(wanted, limits.lookup_rows, limits, ask):
            matches.update(answer)
    found_by_key = await key_property.find(spec, destination, [line.key for line in lines], names)
    keyed = found_by_key or {}
    earlier = {
        matches[f].destination_id for line, values in asked if len(values) > 1 for _, f in values if f in matches
    }
    await found_holders.note_former(run, [*matches.values()])
    owners = await run.on_tables(_owners, earlier | {match.destination_id for match in keyed.values()})
    lost = {
        matches[f].destination_id for line, values in asked if line.op == "update" for _, f in values if f in matches
    }
    held = {id_: (key, form_of(value)) for id_, key, value in await run.on_tables(_held, lost)}
    rows = []
    for line, values in asked:
        present = line.fields[match_on]
        empty = present is None or present == ""
        identity = None if empty else form_of(present)
        theirs = {form for _, form in values if form in matches and _is_held(held, line, matches[form], form)}
        found = [matches[form] for _, form in values if form in matches and form not in theirs]
        by_key = keyed.get(line.key)
        own = [m for m in [*found, by_key] if m and owners.get(m.destination_id, line.key) == line.key]
        present_match = None if identity in theirs else matches.get(identity or "")
        match = own[-1] if own else present_match
        by_present = match is not None and present_match is not None and _is_one(match, present_match)
        asked_for = isinstance(destination, LooksUp) and (bool(values) or found_by_key is not None)
        is_keyed = match is not None and match is by_key
        ours = line.in_doubt or is_keyed
        difference = _difference(tables, destination, _merged(line, match, multi), match, by_present, ours=ours)
        stands = None if match is None else match.fields.get(match_on)
        main_form = None if stands is None or stands == "" else form_of(stands)
        main = by_present and main_form == identity
        further = str(stands) if by_present and main_form is not None and not main else None
        key = match.fields.get(spec.key_property) if match is not None and spec.key_property else None
        of_match = (main, is_keyed, main_form, further, None if key is None else str(key))
        rows.append((line.ordinal, identity, *difference, asked_for, empty, *of_match))
    return rows


def _is_one(match: RecordMatch, other: RecordMatch) -> bool:
    return match.destination_id == other.destination_id


def _owners(tables: SyncTables, ids: Collection[str]) -> dict[str, str]:
    """id → the key that has it."""
    owners: dict[str, str] = {}
    for batch in cut([*ids], _IDS_AT_ONCE):
        rows = tables.warehouse.rows(
            f"""
            SELECT destination_id, key
            FROM {tables.snapshot}
            WHERE destination_id IN ({", ".join("?" for _ in batch)})
            """,
            batch,
        )
        owners |= {str(id_): str(key) for id_, key in rows}
    return owners


def _held(tables: SyncTables, ids: Collection[str]) -> list[tuple[str, str, Scalar]]:
    """(id, key, the `match_on` value that it is known by) of keys in the model."""
    if tables.spec.match_on is None or tables.by_id:
        return []
    held: list[Any] = []
    for batch in cut([*ids], _IDS_AT_ONCE):
        held += tables.warehouse.rows(
            f"""
            SELECT n.destination_id, n.key, n.{ident(tables.match_field.stored)}
            FROM {tables.snapshot} n
            JOIN {tables.source} m ON {tables.source_key("m")} = n.key
            WHERE n.destination_id IN ({", ".join("?" for _ in batch)})
            """,
            batch,
        )
    return [(str(id_), str(key), value) for id_, key, value in held]


def _is_held(held: Mapping[str, tuple[str, str | None]], line: _NewLine, match: RecordMatch, form: str) -> bool:
    """Of a line whose record is gone: whether what has its value is the record of another key, which is known by that
    very value and gives it up in this plan, or has taken it over. Nobody merged the two."""
    if line.op != "update" or match.destination_id not in held:
        return False
    key, value = held[match.destination_id]
    return key != line.key and value == form


def _merged(line: _NewLine, match: RecordMatch | None, multi: frozenset[str]) -> _NewLine:
    """With the options that stand there."""
    if match is None or not multi:
        return line
    stands, ours = match.fields, line.fields
    options = {n: multi_select.merged(stands.get(n), None, ours[n]) for n in ours.keys() & multi}
    return replace(line, fields={**ours, **options})


def _difference(
    tables: SyncTables,
    destination: Destination,
    line: _NewLine,
    match: RecordMatch | None,
    by_present: bool,
    *,
    ours: bool,
) -> tuple[str | None, str | None, str | None]:
    """(id, changed fields, what stands there). A null of ours clears a value there only where an earlier write of ours
    may have put it (`ours`): on a record that somebody else made it says nothing, and no more does a text that is a
    null to the destination."""
    if match is None:
        return None, None, None
    object_ = tables.spec.object

    def form(name: str, value: Scalar) -> str:
        try:
            return "" if value is None else destination.normalise(object_, name, tables.cell(name, value))
        except ValueError:  # has no form there: it differs, is sent, and is refused with the reason
            return repr(value)

    stands = {
        f.name: match.fields.get(f.name)
        for f in tables.fields
        # Found by its present value the record answers to it already, be it as a secondary address.
        if not (by_present and f.name == tables.spec.match_on)
        and (not is_null(destination, object_, f.name, line.fields[f.name]) or (ours and not f.keep_null))
        and form(f.name, line.fields[f.name]) != form(f.name, match.fields.get(f.name))
    }
    return match.destination_id, json.dumps([*stands], separators=(",", ":")), json.dumps(stands, default=str)


def _stream(tables: SyncTables, which: str) -> Iterator[pa.RecordBatch]:
    after = "".join(f", {ident(f.after)}" for f in tables.fields)
    earlier = "CAST(NULL AS VARCHAR)" if tables.spec.match_on is None else ident(tables.match_field.before)
    return tables.warehouse.stream(
        f"""
        SELECT ordinal, key, op, in_doubt, {earlier} AS earlier{after}
        FROM {tables.plan}
        WHERE {which}
        ORDER BY ordinal
        """,
        batch_rows=_CHUNK,
    )


def _next_lines(tables: SyncTables, chunks: Iterator[pa.RecordBatch]) -> list[_NewLine]:
    batch = next(chunks, None)
    if batch is None:
        return []
    ordinals, keys, ops, doubts, earlier, *columns = (plain(column) for column in batch.columns)
    names = [f.name for f in tables.fields]
    at = None if tables.spec.match_on is None else names.index(tables.spec.match_on)
    lines = []
    for i, ordinal in enumerate(ordinals):
        # Whose id leads nowhere any more is looked for by both too: there it may stand by what was written last.
        lost = ops[i] == "update"
        values = [] if at is None else [columns[at][i], *([earlier[i]] if doubts[i] or lost else [])]
        present = tuple(v for v in values if v is not None and v != "")
        lines.append(
            _NewLine(
                ordinal, keys[i], ops[i], doubts[i], present, {n: c[i] for n, c in zip(names, columns, strict=True)}
            )
        )
    return lines


def _as_arrow(rows: list[tuple[Any, ...]]) -> pa.Table:
    import pyarrow as pa

    arrow = {"BIGINT": pa.int64(), "VARCHAR": pa.string(), "BOOLEAN": pa.bool_()}
    types = [arrow[type_] for _, type_ in _FOUND]
    columns = zip(*rows, strict=True)
    return pa.table({name: pa.array(list(c), t) for (name, _), c, t in zip(_FOUND, columns, types, strict=True)})

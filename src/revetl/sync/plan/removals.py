"""Who left a mirror: whether the record that would be removed or cleared is still ours.

What revetl did not write it does not remove. A delete, or a clearing, goes only to a record that stands under the id
that we know, still has the `match_on` value that we last sent, and holds nobody who was merged into it and is not ours.
Else the line is withheld by name (NOT_OURS) and waits, tried again by each run: once a person has archived or erased
that record, nothing is left to do. `on_leave: erase` promises that somebody is gone for good, so there a record that is
gone under its id is looked for by `match_on` too: whoever stands there again is named and not passed over.

Runs after the lines were read back (`standing`) and matched. Reads from the destination, writes to it nothing; safe to
repeat. The destination is away → its error leaves as it is, and nothing was sent.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

from revetl.destinations.base import Destination, RecordMatch
from revetl.destinations.capabilities import LooksUp, ReadsBack
from revetl.model import Scalar
from revetl.state.outcomes import NOT_OURS, VACATED
from revetl.state.sync_tables import SyncTables
from revetl.sync import shared_records
from revetl.sync.batching import ask_in_batches, cut
from revetl.sync.merged_records import find_foreign
from revetl.sync.plan import redirected, same_record
from revetl.sync.readback import NormalForms, read_by_id
from revetl.sync.sync_run import SyncRun
from revetl.warehouse.sql import ident, literal

_AT_ONCE = 5_000  # Snowflake takes 16,384 values in a list
_HAPPENED = "op IN ('create', 'update', 'delete') AND status IN ('ok', 'accepted', 'unknown')"
MERGED = "was merged with a record that is not ours: it stands as {}, and is left as it is"
SOMEBODY_ELSE = "stands as {} with another {} than we last sent: it may be somebody else by now, and is left as it is"
NOTHING_OURS = "holds nothing any more that we sent"
AGAIN = "is gone, and stands again as {}, which is not ours to remove"

Sent = Mapping[str, Any]


class _Leaver(NamedTuple):
    """A line of who left, and the record that it means. `known_id`: by which we know it; None: found by its value."""

    ordinal: int
    key: str
    known_id: str | None
    id: str
    is_somebody_else: bool


class _Withheld(NamedTuple):
    ordinal: int
    note: str


def sent_in_doubt(tables: SyncTables) -> dict[str, list[Sent]]:
    """key → what writes held whose answers were lost, of lines of who left: it may stand there, and is ours too."""
    if tables.spec.mode != "mirror":
        return {}
    rows = tables.warehouse.rows(
        f"""
        SELECT o.key, o."after", o.error_code
        FROM {tables.shared("outcomes")} o
        WHERE o.sync = {literal(tables.spec.name)} AND o.status = 'unknown' AND o.op <> 'delete'
            AND o.key IN (SELECT p.key FROM {tables.plan} p WHERE p.in_doubt AND {same_record.leaves(tables, "p")})
        """
    )
    found: dict[str, list[Sent]] = {}
    for key, after, code in rows:
        sent = json.loads(str(after)) if after is not None else {}
        found.setdefault(str(key), []).append(sent)
        if code == VACATED and tables.spec.match_on is not None:
            found[str(key)].append({tables.spec.match_on: None})
    return found


async def decide(run: SyncRun, destination: Destination, *, read: bool) -> None:
    """Withholds the lines whose record is not ours to remove or to clear. `read`: lines were read back for this plan
    (`standing.read`). Nothing where the destination can't be read."""
    if run.spec.mode != "mirror":
        return
    await run.on_tables(redirected.withhold)
    if shared := await run.on_tables(_stood_on_by_others):
        await run.on_tables(_withhold, shared)
    if not isinstance(destination, ReadsBack):
        return
    withheld: list[_Withheld] = []
    if read:
        leavers = await run.on_tables(_leavers)
        withheld += await _judge(run, leavers, await run.on_tables(_merged_into, {leaver.id for leaver in leavers}))
    withheld += await _found_by_value(run, destination)
    if read and run.spec.erases:
        withheld += await _standing_again(run, destination)
    if withheld:
        await run.on_tables(_withhold, withheld)
    await run.on_tables(_pass_over_cleared)


def _stood_on_by_others(tables: SyncTables) -> list[_Withheld]:
    """Lines whose record another sync of ours still sends; of a clearing, where it sends a field that would be
    cleared. They wait until that sync lets go of it."""
    others = shared_records.others(tables)
    if not others:
        return []
    lines = tables.warehouse.rows(
        f"""
        SELECT p.ordinal, p.op, coalesce(p.destination_id, n.destination_id)
        FROM {tables.plan} p
        JOIN {tables.snapshot} n ON n.key = p.key
        WHERE p.outcome IS NULL AND {same_record.leaves(tables, "p")}
        ORDER BY p.ordinal
        """
    )
    shared = shared_records.stood_on(tables, others, (None if id_ is None else str(id_) for _, _, id_ in lines))
    found = list[_Withheld]()
    for ordinal, op, id_ in lines:
        for other in shared.get(str(id_), ()):
            if op == "delete" or other.fields - {str(tables.spec.match_on)}:
                found.append(_Withheld(int(str(ordinal)), shared_records.STANDS_ON.format(other.name)))
                break
    return found


def _leavers(tables: SyncTables) -> list[_Leaver]:
    """Of those that were read, who may be somebody else: all others have no row in `standing`."""
    rows = tables.warehouse.rows(
        f"""
        SELECT p.ordinal, p.key, n.destination_id, p.destination_id, s.own_form IS DISTINCT FROM s.main_form
        FROM {tables.plan} p
        JOIN {tables.scratch("standing")} s ON s.ordinal = p.ordinal
        JOIN {tables.snapshot} n ON n.key = p.key
        WHERE p.outcome IS NULL AND s.found_id IS NOT NULL AND {same_record.leaves(tables, "p")}
        ORDER BY p.ordinal
        """
    )
    return [
        _Leaver(int(str(ordinal)), str(key), None if known is None else str(known), str(id_), bool(other))
        for ordinal, key, known, id_, other in rows
    ]


def _merged_into(tables: SyncTables, ids: Collection[str]) -> dict[str, RecordMatch]:
    """The records, with the ids that lead to them."""
    former: dict[str, list[str]] = {id_: [] for id_ in ids}
    for id_, led in tables.warehouse.rows(f"SELECT DISTINCT key, destination_id FROM {tables.scratch('former')}"):
        if str(led) in former:
            former[str(led)].append(str(id_))
    return {id_: RecordMatch(id_, {}, former_ids=tuple(of)) for id_, of in former.items()}


async def _judge(run: SyncRun, leavers: Sequence[_Leaver], stands: Mapping[str, RecordMatch]) -> list[_Withheld]:
    foreign = await find_foreign(run, stands.values())
    return [
        _Withheld(leaver.ordinal, why)
        for leaver in leavers
        if (why := _why_not(leaver, stands[leaver.id], foreign, run.spec.match_on)) is not None
    ]


def _why_not(leaver: _Leaver, match: RecordMatch, foreign: Collection[str], match_on: str | None) -> str | None:
    others = [id_ for id_ in match.former_ids if id_ != leaver.known_id]
    moved = leaver.known_id is not None and leaver.id != leaver.known_id
    # Where the destination does not say what else went into it, it may be anybody.
    if any(id_ in foreign for id_ in others) or (moved and (leaver.is_somebody_else or not others)):
        return MERGED.format(leaver.id)
    return SOMEBODY_ELSE.format(leaver.id, match_on) if leaver.is_somebody_else else None


async def _found_by_value(run: SyncRun, destination: Destination) -> list[_Withheld]:
    """Lines without an id: a delete whose answer was lost, or a create that may have happened. What was found by
    `match_on` may have been made by somebody since, so of a delete it has to be the record that it was sent to."""
    lines = await run.on_tables(_without_known_id)
    if not lines:
        return []
    name, forms = str(run.spec.match_on), NormalForms(destination, run.tables)
    doubts = await run.on_tables(sent_in_doubt)
    stands = await read_by_id(destination, run.spec.object, [id_ for _, _, id_, _, _ in lines], [name])
    withheld, leavers = [], []
    for ordinal, key, id_, sent_to, ours in lines:
        match = stands.get(id_)
        if match is None:
            continue  # gone since it was looked for
        if sent_to is not None and sent_to != id_:
            withheld.append(_Withheld(ordinal, AGAIN.format(id_)))
            continue
        values = [ours, *(sent[name] for sent in doubts.get(key, ()) if name in sent)]
        is_ours = forms.of(name, match.fields.get(name)) in {forms.of(name, value) for value in values}
        leavers.append(_Leaver(ordinal, key, None, id_, not is_ours))
    return withheld + await _judge(run, leavers, {leaver.id: stands[leaver.id] for leaver in leavers})


def _without_known_id(tables: SyncTables) -> list[tuple[int, str, str, str | None, Scalar]]:
    """(line, key, the id that was found, the id that the last write was sent to, our `match_on`); None: that was a
    create whose answer was lost."""
    if tables.spec.match_on is None:
        return []
    rows = tables.warehouse.rows(
        f"""
        SELECT p.ordinal, p.key, p.destination_id, o.destination_id, p.{ident(tables.match_field.before)}
        FROM {tables.plan} p
        JOIN {tables.snapshot} n ON n.key = p.key
        LEFT JOIN (
            SELECT key, destination_id, row_number() OVER (PARTITION BY key ORDER BY "at" DESC, run_id DESC) AS recency
            FROM {tables.shared("outcomes")}
            WHERE sync = {literal(tables.spec.name)} AND {_HAPPENED}
        ) o ON o.key = p.key AND o.recency = 1
        WHERE p.outcome IS NULL AND p.destination_id IS NOT NULL AND n.destination_id IS NULL
            AND {same_record.leaves(tables, "p")}
        ORDER BY p.ordinal
        """
    )
    return [(int(str(n)), str(k), str(i), None if s is None else str(s), v) for n, k, i, s, v in rows]


async def _standing_again(run: SyncRun, destination: Destination) -> list[_Withheld]:
    """Who is to be erased, is gone under the id that we know, and answers to the same value under another."""
    name, forms = run.spec.match_on, NormalForms(destination, run.tables)
    if name is None or run.tables.by_id or not isinstance(destination, LooksUp):
        return []
    able, object_, limits = destination, run.spec.object, destination.limits(run.spec.object)
    gone = [(line, value) for line, value in await run.on_tables(_gone) if forms.has(name, value)]

    async def ask(batch: Sequence[Scalar]) -> Mapping[str, RecordMatch]:
        return await able.look_up(object_, name, batch, [name])

    found: dict[str, RecordMatch] = {}
    for answer in await ask_in_batches([value for _, value in gone], limits.lookup_rows, limits, ask):
        found |= answer
    again = [(line, match) for line, value in gone if (match := found.get(forms.of(name, value))) is not None]
    kept = await run.on_tables(_kept, {match.destination_id for _, match in again})
    return [
        _Withheld(line, AGAIN.format(match.destination_id))
        for line, match in again
        if match.destination_id not in kept  # the same person under another key, who is in the model
    ]


def _gone(tables: SyncTables) -> list[tuple[int, Scalar]]:
    """(line, the value that it was found by)."""
    before = f"p.{ident(tables.match_field.before)}"
    rows = tables.warehouse.rows(
        f"""
        SELECT p.ordinal, {before}
        FROM {tables.plan} p
        JOIN {tables.scratch("standing")} s ON s.ordinal = p.ordinal
        WHERE p.op = 'delete' AND p.outcome = 'ok' AND s.found_id IS NULL AND {before} IS NOT NULL
        ORDER BY p.ordinal
        """
    )
    return [(int(str(ordinal)), value) for ordinal, value in rows]


def _kept(tables: SyncTables, ids: Collection[str]) -> set[str]:
    """Of these, those that a key has which does not leave."""
    kept: set[str] = set()
    for batch in cut([*ids], _AT_ONCE):
        listed = ", ".join("?" for _ in batch)
        rows = tables.warehouse.rows(
            f"""
            SELECT p.destination_id
            FROM {tables.plan} p
            WHERE p.op <> 'delete' AND p.destination_id IN ({listed})
            UNION
            SELECT n.destination_id
            FROM {tables.snapshot} n
            WHERE n.destination_id IN ({listed}) AND n.key NOT IN (SELECT key FROM {tables.plan} WHERE op = 'delete')
            """,
            [*batch, *batch],
        )
        kept |= {str(id_) for (id_,) in rows}
    return kept


def _pass_over_cleared(tables: SyncTables) -> None:
    """Records of which every field was edited or emptied there since."""
    tables.warehouse.execute(
        f"""
        UPDATE {tables.plan}
        SET outcome = 'ok', note = {literal(NOTHING_OURS)}
        WHERE outcome IS NULL AND destination_id IS NOT NULL AND changed_fields = '[]'
            AND {same_record.clears(tables, tables.plan)}
        """
    )


def _withhold(tables: SyncTables, withheld: Sequence[_Withheld]) -> None:
    import pyarrow as pa

    tables.new_scratch("not_ours", "(ordinal BIGINT, note VARCHAR)")
    rows = pa.table(
        {
            "ordinal": pa.array([line.ordinal for line in withheld], pa.int64()),
            "note": pa.array([line.note for line in withheld], pa.string()),
        }
    )
    tables.warehouse.append(tables.scratch_relation("not_ours"), rows)
    tables.warehouse.execute(
        f"""
        UPDATE {tables.plan}
        SET outcome = 'rejected', reason = {literal(NOT_OURS)}, note = w.note
        FROM {tables.scratch("not_ours")} w
        WHERE w.ordinal = {tables.plan}.ordinal
        """
    )
    tables.drop_scratch("not_ours")

"""What a run would do to links, known before it: counted for its guardrails, and where no run follows, listed.

It is worked out as the run will: with the records as they are once the present plans are applied, in a copy of the
rows where these would follow. So plan and run count the same. Changes nothing but what is remembered of ids that lead
to another record.

The list (`read`) is a scratch table of this connection. It stays until the sync is planned again.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace
from datetime import datetime
from typing import Any

from revetl.destinations.base import Destination
from revetl.destinations.capabilities import ReadsBack, requests_of
from revetl.state.sync_tables import SyncTables
from revetl.sync.links import comparison, following, links_table, today
from revetl.sync.links.following import MovedEnd
from revetl.sync.links.links_table import LinkCounts
from revetl.sync.links.reading import check_types, ends_today, look
from revetl.sync.sync_run import SyncRun

_CHUNK, _PAGE = 20_000, 5_000


@dataclass(frozen=True, slots=True)
class LinkChange:
    """One link that a run would make or remove (`op`: link, unlink): of the record `key` to the record `to_key` of the
    sync `to_sync`, or of `object` where that names one. `type`: the vendor's id of the kind. An id is None where this
    plan, or that of the other sync, creates the record."""

    op: str
    key: str
    to_sync: str
    to_key: str
    type: int
    object: str
    from_id: str | None = None
    to_id: str | None = None


_COLUMNS = ", ".join(f'"{f.name}"' for f in fields(LinkChange))


async def plan_links(
    run: SyncRun, destination: Destination | None, *, full_refresh: bool, only_plans: bool
) -> LinkCounts:
    """`only_plans`: nothing is sent afterwards, so what stands on each pair is looked at, and the changes are listed. A
    run looks for itself, chunk by chunk. ConfigError for a kind of link that the destination does not have. Safe to
    repeat."""
    if not run.spec.associate:
        return LinkCounts(left=await run.on_tables(comparison.left))
    await run.on_tables(links_table.prepare)
    before = 0 if destination is None else requests_of(destination)[0]
    now = run.ctx.clock.now()
    counts, in_run = await _compared(run, destination, now, full_refresh)
    if destination is not None and only_plans and await today.learn(run, destination):
        counts, in_run = await _compared(run, destination, now, full_refresh)
    if destination is None:
        return await run.on_tables(_list, counts) if only_plans else counts
    if counts.link:
        await check_types(run.spec, destination)
    if only_plans:
        counts = await run.on_tables(_list, await _looked_at(run, destination, counts))
    in_plan = requests_of(destination)[0] - before
    if counts.changes or counts.standing or counts.kept:
        in_run += await today.requests(run, destination)
    return replace(counts, reads=in_plan + in_run)


async def _compared(
    run: SyncRun, destination: Destination | None, now: datetime, full_refresh: bool
) -> tuple[LinkCounts, int]:
    """The comparison as the run will make it, and how many more requests the run takes for it than were counted."""
    moved: list[MovedEnd] = []
    if destination is not None and isinstance(destination, ReadsBack):
        moved = await run.on_tables(_moved_ends)
    follows = await run.on_tables(following.follows)
    if not (moved or follows):
        return await run.on_tables(_compare, now, full_refresh), 0
    ahead = replace(run, tables=await run.on_tables(following.copy_for_planning))
    await ahead.on_tables(following.follow, planned=True)
    requests = 0
    if destination is not None and moved:
        at = [requests_of(destination)[0]]
        for object_ in sorted({end.object for end in moved}):
            await destination.describe(object_)
        at.append(requests_of(destination)[0])
        ends = await ends_today(destination, moved)
        at.append(requests_of(destination)[0])
        # The fields of an object are read once, whoever asks first: they are in no forecast.
        requests = (at[2] - at[1]) - (at[1] - at[0])
        await ahead.on_tables(following.follow_moved, ends)
    counts = await ahead.on_tables(_compare, now, full_refresh)
    if destination is not None and moved:
        looked = await look(run.spec, destination, await ahead.on_tables(links_table.moved_lines))
        counts = await run.on_tables(_leave_out, counts, looked.done, looked.kept)
    await run.on_tables(SyncTables.drop_scratch, "linksahead")
    return counts, requests


def _moved_ends(tables: SyncTables) -> list[MovedEnd]:
    return following.moved_ends(tables, planned=True)


def _compare(tables: SyncTables, now: datetime, full_refresh: bool) -> LinkCounts:
    counts = comparison.compare(tables, now, full_refresh=full_refresh, planned=True)
    tables.new_scratch("linksleft", "(ordinal BIGINT)")
    coming = comparison.coming(tables) if counts.waiting else 0
    return replace(counts, link=counts.link + coming, waiting=counts.waiting - coming)


async def _looked_at(run: SyncRun, destination: Destination, counts: LinkCounts) -> LinkCounts:
    """Without the links that stand there already, as the run will find them."""
    low = 0
    while chunk := await run.on_tables(links_table.lines_to_look_at, low, _CHUNK):
        looked = await look(run.spec, destination, chunk)
        counts = await run.on_tables(_leave_out, counts, looked.done, looked.kept)
        low = chunk[-1].ordinal + 1
    return counts


def _leave_out(tables: SyncTables, counts: LinkCounts, standing: set[int], kept: set[int]) -> LinkCounts:
    import pyarrow as pa  # where it is used: completion reads this module's neighbours

    left = sorted(standing | kept)
    if left:
        tables.warehouse.append(tables.scratch_relation("linksleft"), pa.table({"ordinal": pa.array(left, pa.int64())}))
    return replace(
        counts,
        link=counts.link - len(left),
        standing=counts.standing + len(standing),
        kept=counts.kept + len(kept),
    )


def _list(tables: SyncTables, counts: LinkCounts) -> LinkCounts:
    """After the comparison, and after what stands there was left out. Returns the counts as they were."""
    coming = comparison.coming_links(tables)
    tables.new_scratch(
        "linkchanges",
        f"""
        AS SELECT
            CAST(row_number() OVER (
                ORDER BY
                    CASE l.op WHEN 'unlink' THEN 0 ELSE 1 END,
                    l.to_sync, l.type, l.key, l.to_key, l.from_id, l.to_id
            ) - 1 AS BIGINT) AS ordinal,
            l.*
        FROM (
            SELECT {_COLUMNS}
            FROM {tables.scratch("linkplan")}
            WHERE op <> 'forget' AND ordinal NOT IN (SELECT ordinal FROM {tables.scratch("linksleft")})
            UNION ALL
            SELECT {_COLUMNS}
            FROM ({coming}) w
        ) l
        """,
    )
    return counts


def read(tables: SyncTables, *, keys: Sequence[str] = (), limit: int | None = None) -> Iterator[LinkChange]:
    """The changes that were listed last, removals first, in bounded memory: all, or those of the records `keys`.
    Nothing of a sync that links none."""
    if not tables.spec.associate:
        return
    # Page by page: what is streamed is read over another connection, which has no scratch tables of this one.
    last, left = -1, limit
    while left is None or left > 0:
        rows: list[Any] = tables.warehouse.rows(
            f"""
            SELECT ordinal, {_COLUMNS}
            FROM {tables.scratch("linkchanges")}
            WHERE ordinal > ? {f"AND key IN ({', '.join('?' for _ in keys)})" if keys else ""}
            ORDER BY ordinal
            LIMIT {_PAGE if left is None else min(_PAGE, left)}
            """,
            [last, *keys],
        )
        yield from (LinkChange(*row[1:]) for row in rows)
        if len(rows) < _PAGE:
            return
        last, left = int(rows[-1][0]), None if left is None else left - len(rows)


def samples(tables: SyncTables, most: int) -> list[LinkChange]:
    """A few changes of each kind, the first in the order in which they are sent."""
    if not tables.spec.associate:
        return []
    rows: list[Any] = tables.warehouse.rows(
        f"""
        SELECT {_COLUMNS}
        FROM {tables.scratch("linkchanges")}
        QUALIFY row_number() OVER (PARTITION BY op, to_sync, "type" ORDER BY ordinal) <= {int(most)}
        ORDER BY ordinal
        """
    )
    return [LinkChange(*row) for row in rows]

"""Links that were refused: which of them are tried again, by the rule of refused records (`sync/retry/due.py`).

- The cause lies in the row (`Outcome.in_row`): it waits until an id changes, or for `release`.
- It may lie outside: while at most `FEW` wait so, each run tries them all; of more, each is tried after a pause that
  doubles from an hour to a day, at most `MOST` in a run.
- A link that could not be removed is tried by every run: as long as it stands, somebody sees a link that is not so.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from revetl.clock import naive
from revetl.model import Scalar
from revetl.state.sync_tables import SyncTables
from revetl.sync.links.links_table import IDENTITY, prepare, same
from revetl.sync.retry.due import FEW, MOST

_IDENTITY = ", ".join(f"r.{c}" for c in IDENTITY)
# When it was last sent: a link that was to be made, or removed.
_REFUSED = "(state = 'rejected' OR (state = 'unlinking' AND error_code IS NOT NULL))"


def set_aside(tables: SyncTables, now: datetime, *, everything: bool) -> None:
    """Makes the scratch table `linkwaiting`: the refused links that are not tried now. `everything`: all are tried."""
    links, outside, columns = tables.links, "r.in_row IS NOT TRUE", f"{_IDENTITY}, r.error_code, r.in_row"
    tables.new_scratch("linkwaiting", f"AS SELECT {columns} FROM {links} r WHERE FALSE")
    if everything:
        return
    refused = f"SELECT {columns} FROM {links} r WHERE r.state = 'rejected'"
    waiting = tables.scratch("linkwaiting")
    tables.warehouse.execute(f"INSERT INTO {waiting} {refused}")
    few = tables.warehouse.scalar(f"SELECT count(*) FROM {waiting} r WHERE {outside}", int) <= FEW
    if few:
        tables.warehouse.execute(f"DELETE FROM {waiting} WHERE in_row IS NOT TRUE")
        return
    tables.new_scratch("linksdue", f"AS SELECT {_IDENTITY} FROM {links} r WHERE FALSE")
    due = tables.scratch("linksdue")
    tables.warehouse.execute(
        f"""
        INSERT INTO {due}
        SELECT {_IDENTITY}
        FROM {links} r
        WHERE r.state = 'rejected' AND {outside} AND coalesce(r.next_try <= ?, TRUE)
        ORDER BY r.next_try NULLS FIRST, {_IDENTITY}
        LIMIT {MOST}
        """,
        [naive(now)],
    )
    tables.warehouse.execute(f"DELETE FROM {waiting} WHERE EXISTS (SELECT 1 FROM {due} d WHERE {same('d', waiting)})")
    tables.drop_scratch("linksdue")


def still_wanted(tables: SyncTables) -> dict[str, int]:
    """Of those that were set aside, the ones that the model wants: error code → how many."""
    return tables.warehouse.counts(
        f"""
        SELECT coalesce(r.error_code, 'REJECTED'), count(*)
        FROM {tables.scratch("linkwaiting")} r
        JOIN {tables.scratch("wanted")} w ON {same("w", "r")}
        GROUP BY 1
        ORDER BY 1
        """
    )


def waiting(tables: SyncTables, keys: Sequence[str] = (), codes: Sequence[str] = ()) -> dict[str, int]:
    """The links that were refused when they were last sent: error code → how many. All of them, or those of these
    records and codes."""
    if not tables.spec.associate:
        return {}
    prepare(tables)
    which, params = _named(_REFUSED, keys, codes)
    return tables.warehouse.counts(
        f"""
        SELECT coalesce(error_code, 'REJECTED'), count(*)
        FROM {tables.links}
        WHERE {which}
        GROUP BY 1
        ORDER BY 1
        """,
        params,
    )


def release(tables: SyncTables, keys: Sequence[str] = (), codes: Sequence[str] = ()) -> int:
    """Lets refused links be sent again, of these records and codes or all; returns how many. What a person wants
    unlinked is sent only where its record is named. Safe to repeat."""
    if not tables.spec.associate:
        return 0
    prepare(tables)
    states = "state IN ('rejected', 'accepted')" if keys and not codes else "state = 'rejected'"
    which, params = _named(states, keys, codes)
    with tables.warehouse.transaction():
        released = tables.warehouse.scalar(f"SELECT count(*) FROM {tables.links} WHERE {which}", int, params)
        tables.warehouse.execute(f"DELETE FROM {tables.links} WHERE {which}", params)
    return released


def _named(condition: str, keys: Sequence[str], codes: Sequence[str]) -> tuple[str, list[Scalar]]:
    params = list[Scalar]()
    for column, values in (("key", keys), ("error_code", codes)):
        if values:
            condition += f" AND {column} IN ({', '.join('?' for _ in values)})"
            params += values
    return condition, params

"""Links of ours that a person removed: their rows in `drift__<sync>`, and what accepting and reasserting do to
`links__<sync>`. Such a row speaks of no field; `ours_last` is `<sync>: <key>` of the other record, `value` its id."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from revetl.state.sync_tables import Layout
from revetl.sync.drift import drift_table
from revetl.sync.drift.drift_table import Finding
from revetl.sync.links import links_table
from revetl.warehouse.base import Warehouse
from revetl.warehouse.sql import literal


class Made(NamedTuple):
    """One link of ours."""

    key: str
    to_sync: str
    to_key: str
    from_id: str
    to_id: str


def prepare(warehouse: Warehouse, layout: Layout, to_syncs: Sequence[str], type_: int, keys: Sequence[str]) -> int:
    """Puts into a scratch table the links of this kind that we made and hold to stand, of records that were found in
    their place; returns how many."""
    links_table.prepare(warehouse, layout)
    copy, table = layout.scratch("madelinks"), layout.t(links_table.table_of(warehouse, layout))
    chosen = f" AND l.key IN ({', '.join(map(literal, keys))})" if keys else ""
    warehouse.execute(f"DROP TABLE IF EXISTS {layout.t(copy)}")
    warehouse.execute(
        layout.create_scratch("madelinks", "AS")
        + f" SELECT CAST(row_number() OVER (ORDER BY l.from_id, l.to_id) - 1 AS BIGINT) AS ordinal, l.* FROM {table} l"
        f" WHERE l.state = 'linked' AND l.type = {int(type_)} AND l.to_sync IN ({', '.join(map(literal, to_syncs))})"
        f"{chosen} AND NOT EXISTS"
        f" (SELECT 1 FROM {layout.t(drift_table.findings(layout))} f WHERE f.key = l.key AND f.field IS NULL"
        f" AND f.class <> '{drift_table.UNTIED}')"
    )
    return links_table.as_int(warehouse.rows(f"SELECT count(*) FROM {layout.t(copy)}")[0][0])


def made(warehouse: Warehouse, layout: Layout, low: int, high: int) -> list[Made]:
    """Those of `prepare` in this stretch."""
    found: list[Any] = warehouse.rows(
        f"SELECT {', '.join(Made._fields)} FROM {layout.t(layout.scratch('madelinks'))}"
        " WHERE ordinal >= ? AND ordinal < ? ORDER BY ordinal",
        [low, high],
    )
    return [Made(*row) for row in found]


def finding(link: Made) -> Finding:
    other = f"{link.to_sync}: {link.to_key}"
    return Finding(link.key, link.from_id, None, other, other, None, drift_table.UNTIED, value=link.to_id)


def settle(warehouse: Warehouse, layout: Layout, *, accept: bool) -> int:
    """Accepted links stay untied until an id of theirs changes or a person retries their record; reasserted ones are
    forgotten, so that the next sync makes them again. Returns how many. Call inside a transaction; safe to repeat."""
    if not layout.spec.associate:
        return 0
    target = layout.t(links_table.table_of(warehouse, layout))
    found = layout.t(drift_table.findings(layout))
    gone = (
        f"EXISTS (SELECT 1 FROM {found} f WHERE f.class = '{drift_table.UNTIED}' AND f.key = {target}.key"
        f" AND f.destination_id = {target}.from_id AND f.value = {target}.to_id"
        f" AND f.ours_last = {target}.to_sync || ': ' || {target}.to_key) AND {target}.state = 'linked'"
    )
    count = links_table.as_int(warehouse.rows(f"SELECT count(*) FROM {target} WHERE {gone}")[0][0])
    if accept:
        warehouse.execute(f"UPDATE {target} SET state = 'accepted' WHERE {gone}")
    else:
        warehouse.execute(f"DELETE FROM {target} WHERE {gone}")
    return count

"""Keys that differ here and are one at the destination: `a` and `a ` in a field that holds our keys, or one letter in
Unicode's two forms. What is created under the second would be written over the record of the first.

So of such keys in the model one writes, the known one or else the first, and the others are withheld by name. Only
where creates go by our key (`key_property`, `KeepsKeys`). How a destination compares its keys is nowhere documented; to
take two for one costs a correction in the model, to take one for two costs a record.

Reads the warehouse only. Safe to repeat.
"""

from __future__ import annotations

import unicodedata

from revetl.destinations.base import Destination
from revetl.destinations.capabilities import KeepsKeys
from revetl.model import SyncSpec
from revetl.state.sync_tables import SyncTables
from revetl.sync.plan.line_decisions import decide_lines
from revetl.warehouse.sql import literal

_CHUNK = 10_000
# A character that is no visible one of ASCII. Written so that it means the same where a pattern has to match the whole.
_ODD = r"(.|\n)*[^!-~](.|\n)*"


def can_collide(spec: SyncSpec, destination: Destination) -> bool:
    """Whether what is created goes by our key."""
    if spec.key_property is not None:
        return True
    return isinstance(destination, KeepsKeys) and destination.keeps_key(spec.object, spec.match_on)


def withhold(tables: SyncTables) -> None:
    """Decides the lines of keys that another key of the model is equal to."""
    if not _write_forms(tables):
        tables.drop_scratch("keyforms")
        return
    forms = tables.scratch("keyforms")
    near = f"(SELECT key FROM {forms} UNION SELECT form FROM {forms})"
    twins = f"""
        SELECT
            w.ordinal,
            w.key AS own,
            first_value(w.key) OVER (PARTITION BY coalesce(k.form, w.key) ORDER BY w.rank, w.ordinal, w.key) AS holder
        FROM (
            SELECT n.key, CAST(NULL AS BIGINT) AS ordinal, 0 AS rank
            FROM {tables.snapshot} n
            JOIN {tables.source} m ON {tables.source_key("m")} = n.key
            WHERE n.key IN {near} AND n.key NOT IN (SELECT key FROM {tables.plan})
            UNION ALL
            SELECT p.key, p.ordinal, CASE WHEN p.known THEN 0 WHEN p.adopted THEN 1 ELSE 2 END
            FROM {tables.plan} p
            WHERE p.key IN {near} AND p.op <> 'delete' AND coalesce(p.outcome, 'ok') = 'ok'
        ) w
        LEFT JOIN {forms} k ON k.key = w.key
        """
    decide_lines(
        tables,
        "rejected",
        note=f"{literal('has the same key there as ')} || t.holder || {literal(_WHY)}",
        reason="SAME_IDENTITY",
        where=f"t.ordinal = {tables.plan}.ordinal AND t.holder <> t.own AND NOT {tables.plan}.known",
        joined=f"({twins}) t",
    )
    tables.drop_scratch("keyforms")


_WHY = " of this model, blanks around it and Unicode's forms apart: they would overwrite each other"


def _write_forms(tables: SyncTables) -> bool:
    """Makes the scratch table `keyforms`: key → the form in which it is compared, of keys that may have another one.
    False where there is none, or nothing is new."""
    import pyarrow as pa

    tables.new_scratch("keyforms", "(key VARCHAR, form VARCHAR)")
    new = f"SELECT key FROM {tables.plan} WHERE NOT known AND op <> 'delete' AND outcome IS NULL"
    if not tables.warehouse.rows(f"{new} LIMIT 1"):
        return False
    odd = f"""
        SELECT key
        FROM ({new} UNION SELECT key FROM {tables.snapshot}) k
        WHERE regexp_matches(key, {literal(_ODD)})
        """
    some = False
    for batch in tables.warehouse.stream(odd, batch_rows=_CHUNK):
        keys = [str(key) for key in batch.column(0).to_pylist()]
        forms = [unicodedata.normalize("NFC", key).strip() for key in keys]
        tables.warehouse.append(tables.scratch_relation("keyforms"), pa.table({"key": keys, "form": forms}))
        some = some or bool(keys)
    return some

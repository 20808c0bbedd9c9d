"""What each value cost: the rule of docs/design/values.md, for what is read outside of dbt's models.

The charge of a call is shared equally over all rows of values that it led to; the charge of a verdict over the rows
that hold that value and were decided by that verifier. So all shares add up to what hits and verdicts were charged.
"""

from __future__ import annotations

from revetl.state.schema import relation
from revetl.state.values import VERIFICATION
from revetl.warehouse.base import Warehouse
from revetl.warehouse.sql import literal, table


def priced_values(warehouse: Warehouse, only: str = "TRUE") -> str:
    """A SELECT of the rows of `enrichment_values` that are no verdicts and that `only` (a condition over `v`) takes,
    with `cost_usd` (NULL where no charge is known) and `verified_at` (NULL where nobody verified)."""
    values, calls = (table(relation(warehouse, f"enrichment_{name}")) for name in ("values", "calls"))
    verdict = literal(VERIFICATION)
    return f"""
    WITH wanted AS (
        SELECT v.* FROM {values} v WHERE v.entity <> {verdict} AND ({only})
    ),
    charged AS (
        SELECT call_id, max(charged_usd) AS usd FROM {calls} GROUP BY call_id
    ),
    rows_of_call AS (
        SELECT o.call_id, count(*) AS n
        FROM {values} o
        WHERE o.entity <> {verdict}
          AND o.call_id IN (SELECT call_id FROM wanted)
        GROUP BY o.call_id
    ),
    verdicts AS (
        SELECT o.field, lower(o.value) AS said, o.provider, max(o.observed_at) AS at, sum(c.usd) AS usd
        FROM {values} o
        LEFT JOIN charged c ON c.call_id = o.call_id
        WHERE o.entity = {verdict}
        GROUP BY o.field, lower(o.value), o.provider
    ),
    rows_of_verdict AS (
        SELECT o.field, lower(o.value) AS said, o.verified_by, count(*) AS n
        FROM {values} o
        WHERE o.entity <> {verdict}
          AND o.verified_by IS NOT NULL
        GROUP BY o.field, lower(o.value), o.verified_by
    )
    SELECT
        w.*,
        CAST(
            CASE WHEN c.usd IS NOT NULL OR d.usd IS NOT NULL
                THEN coalesce(c.usd / r.n, 0) + coalesce(d.usd / s.n, 0)
            END AS DECIMAL(18,6)
        ) AS cost_usd,
        CASE WHEN w.verification IS NOT NULL THEN coalesce(d.at, w.observed_at) END AS verified_at
    FROM wanted w
    LEFT JOIN charged c ON c.call_id = w.call_id
    LEFT JOIN rows_of_call r ON r.call_id = w.call_id
    LEFT JOIN verdicts d
        ON d.field = w.field
        AND d.said = lower(w.value)
        AND d.provider = w.verified_by
    LEFT JOIN rows_of_verdict s
        ON s.field = w.field
        AND s.said = lower(w.value)
        AND s.verified_by = w.verified_by
    """

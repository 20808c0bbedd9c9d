"""`enrichment_values`: every value that a provider gave, losers with the reason why.

A value that waits for its verification stands with `rejected_reason = 'not_verified'`. What a verifier said of a
value is a row too, of the entity `verification`: it is about the value, whoever's it is, so it is paid for once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from revetl.clock import naive
from revetl.state.appending import append_rows
from revetl.state.schema import relation
from revetl.warehouse.base import Warehouse
from revetl.warehouse.sql import table

VERIFICATION = "verification"
# The provider of what a list holds itself and wants verified.
OWN = "input"


@dataclass(frozen=True, slots=True)
class ValueRow:
    """`rejected_reason` None: accepted. One of low_confidence, invalid, catch_all, not_verified, not_wanted."""

    entity: str
    key: str
    field: str
    value: str
    provider: str
    confidence: float | None
    verification: str | None
    call_id: str
    observed_at: datetime
    expires_at: datetime | None
    rejected_reason: str | None


def append_values(warehouse: Warehouse, values: Sequence[ValueRow]) -> None:
    """Runs inside the caller's transaction."""
    append_rows(warehouse, "enrichment_values", [_row(v) for v in values])


def apply_verdicts(warehouse: Warehouse, field: str, now: datetime) -> None:
    """Accepts or rejects every value of `field` that waits, where a verdict on it is known. Safe to repeat.

    invalid and catch_all hold for ever, valid and unknown until they expire. unknown leaves the value waiting. Where
    verdicts differ the newest holds. Where no verifier has one, a value that was rejected on the word of the vendor
    that brought it is rejected from everybody: it is not worth a verifier's price.
    """
    values = table(relation(warehouse, "enrichment_values"))
    warehouse.execute(
        f"""
        UPDATE {values}
        SET verification = verdict.verification,
            verified_by = verdict.provider,
            rejected_reason = CASE verdict.verification
                WHEN 'valid' THEN NULL
                WHEN 'unknown' THEN 'not_verified'
                ELSE verdict.verification
            END
        FROM (
            SELECT
                lower(value) AS value,
                verification,
                provider,
                row_number() OVER (
                    PARTITION BY lower(value)
                    ORDER BY CASE WHEN entity = ? THEN 0 ELSE 1 END, observed_at DESC, call_id DESC
                ) AS place
            FROM {values}
            WHERE field = ?
              AND (
                  (entity = ? AND verification IS NOT NULL
                      AND (verification IN ('invalid', 'catch_all') OR expires_at > ?))
                  OR rejected_reason IN ('invalid', 'catch_all')
              )
        ) AS verdict
        WHERE {values}.field = ?
          AND {values}.entity <> ?
          AND {values}.rejected_reason = 'not_verified'
          AND verdict.place = 1
          AND lower({values}.value) = verdict.value
        """,
        [VERIFICATION, field, VERIFICATION, naive(now), field, VERIFICATION],
    )


def _row(v: ValueRow) -> tuple[Any, ...]:
    return (
        v.entity,
        v.key,
        v.field,
        v.value,
        v.provider,
        v.confidence,
        v.verification,
        v.call_id,
        naive(v.observed_at),
        None if v.expires_at is None else naive(v.expires_at),
        v.rejected_reason,
        None,
    )

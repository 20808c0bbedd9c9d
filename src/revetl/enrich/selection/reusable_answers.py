"""Which answers that are paid for serve further records, as SQL."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import starmap

from revetl.clock import naive
from revetl.enrich.selection.query import Query, compose
from revetl.enrich.selection.question import ReusableValue
from revetl.enrich.selection.questions import QuestionSelection
from revetl.enrich.waterfall import Stage
from revetl.state.values import VERIFICATION


class ReusableSelection(QuestionSelection):
    """What the records of one scope can be given without a call."""

    def reusable(self, stage: Stage) -> Iterator[ReusableValue]:
        """Values that a fresh answer gave to an equal question of another record, and that this one has not yet,
        ordered by key."""
        query = self._reusable(stage) + " ORDER BY key"
        for batch in self.warehouse.stream(query.sql, query.params):
            yield from starmap(ReusableValue, zip(*(column.to_pylist() for column in batch.columns), strict=True))

    # --- pieces ---

    def _reusable(self, stage: Stage) -> Query:
        fills = self.spec.fills(stage, self.providers[stage.provider])
        hashes, by = self._hashes(stage), Query("")
        if self._by_identity(stage):
            by = compose(
                """
                JOIN (
                    SELECT request_hash, earlier FROM ({same}) AS same
                    UNION
                    SELECT request_hash, request_hash AS earlier FROM ({lacking}) AS own
                ) AS s ON s.request_hash = c.request_hash
                """,
                same=self._same(stage),
                lacking=self._lacking(stage),
            )
            hashes = None
        return compose(
            """
            SELECT DISTINCT
                c.key, v.field, v.value, v.confidence, v.verification, v.call_id, v.observed_at, v.expires_at
            FROM ({lacking}) AS c
            {by}
            JOIN ({hits}) AS l ON l.request_hash = {asked}
            JOIN {values} v ON v.call_id = l.call_id
            WHERE {usable}
              AND NOT EXISTS (
                  SELECT 1
                  FROM {values} o
                  WHERE {own}
                    AND o.key = c.key
                    AND o.call_id = v.call_id
              )
            """,
            lacking=self._lacking(stage),
            by=by,
            hits=self._ledger.hits(stage.provider, fills, hashes),
            asked="s.earlier" if by.sql else "c.request_hash",
            values=self._values,
            usable=Query(
                "v.provider = ? AND v.entity <> ? AND v.expires_at > ?",
                (stage.provider, VERIFICATION, naive(self.now)),
            ),
            own=Query("o.entity = ?", (self.entity,)) + self._partition.condition("o.key"),
        )

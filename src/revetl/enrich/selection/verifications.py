"""Which values wait for a verifier, as SQL, and which of them it may be asked about now.

What a verifier says is about the value, whoever's it is: the question is the same for everybody who has it.
"""

from __future__ import annotations

from collections.abc import Iterator

from revetl.clock import naive
from revetl.enrich.selection.grouping import grouped
from revetl.enrich.selection.partition import EVERYTHING
from revetl.enrich.selection.query import Query, compose
from revetl.enrich.selection.question import Question
from revetl.enrich.selection.records import RecordSelection
from revetl.state.values import OWN
from revetl.warehouse.sql import literal


class VerificationSelection(RecordSelection):
    """The values that a waterfall's providers gave to the records of one scope, and that nobody has verified."""

    def count_waiting(self, field: str, verifier: str) -> int:
        """How many values nobody has verified, each once whoever's they are."""
        return self._count_questions(self._waiting(field, verifier))

    def count_unverified(self, field: str, verifier: str) -> int:
        """How many of them the verifier may be asked about now."""
        return self._count_questions(self._unverified(field, verifier))

    def stream_unverified(self, field: str, verifier: str) -> Iterator[Question]:
        """Those, as questions."""
        query = self._unverified(field, verifier) + " ORDER BY request_hash, key"
        return grouped(self.warehouse, query, (field,), (field,))

    def unverified_in_flight(self, field: str, verifier: str) -> int:
        """How many of the values that wait for `verifier` other runs have verified at this moment."""
        calls = self._ledger.latest(verifier, self._hashes_of_waiting(field, verifier))
        return self._count_questions(self._among_in_flight(self._waiting(field, verifier), calls))

    # --- pieces ---

    def _hashes_of_waiting(self, field: str, verifier: str) -> Query | None:
        """The questions about values that wait, so that of a long ledger only their rows are put together."""
        if self._partition == EVERYTHING:
            return None
        return compose(
            "SELECT {hash} FROM {values} w WHERE {waits}",
            hash=self._hash(self.providers[verifier].inputs, {field: "w.value"}),
            values=self._values,
            waits=Query("w.entity = ? AND w.field = ? AND w.rejected_reason = 'not_verified'", (self.entity, field))
            + self._partition.condition("w.key"),
        )

    def _unverified(self, field: str, verifier: str) -> Query:
        """Values that wait for `verifier` and that it may be asked about."""
        return compose(
            """
            SELECT u.*
            FROM ({waiting}) AS u
            LEFT JOIN ({answered}) AS b ON b.request_hash = u.request_hash
            WHERE {still_open}
            """,
            waiting=self._waiting(field, verifier),
            answered=self._ledger.answered(verifier, self._hashes_of_waiting(field, verifier)),
            still_open=self._ledger.still_open(verifier, [field], "b"),
        )

    def _waiting(self, field: str, verifier: str) -> Query:
        """Values that nobody has verified, of records that still lack the field."""
        return compose(
            """
            SELECT v.key, {hash} AS request_hash, v.value AS {input}
            FROM ({records}) AS e
            LEFT JOIN ({found}) AS a ON a.key = e.key
            JOIN {values} v ON v.key = e.key
            WHERE {waits}
              AND (e.blank_{i} = 1 OR v.provider = {own})
              AND (coalesce(a.got_{i}, 0) = 0 OR e.audited = 1)
              {may_ask}
            """,
            hash=self._hash(self.providers[verifier].inputs, {field: "v.value"}),
            input=self._input(field),
            records=self._scan(None),
            found=self._ledger.found_fields(),
            values=self._values,
            own=literal(OWN),
            waits=Query(
                "v.entity = ? AND v.field = ? AND v.rejected_reason = 'not_verified'"
                " AND (v.expires_at IS NULL OR v.expires_at > ?)",
                (self.entity, field, naive(self.now)),
            )
            + self._partition.condition("v.key"),
            i=str(list(self.spec.fields).index(field)),
            may_ask=self._may_ask_about(verifier, "e.key"),
        )

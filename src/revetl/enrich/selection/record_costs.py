"""What a record has cost in this run, as SQL: what a budget per record is held against."""

from __future__ import annotations

from decimal import Decimal

from revetl.enrich.selection.ledger import CHARGED
from revetl.enrich.selection.query import Query, compose
from revetl.enrich.selection.records import RecordSelection
from revetl.enrich.waterfall import Stage


class RecordCostSelection(RecordSelection):
    """The costs of the records of one scope."""

    def greatest(self, stage: Stage) -> Decimal:
        """The most that one question of this stage may cost, verification of what it finds included."""
        verifiers = (self.providers[name].greatest_usd for name in stage.verify.values())
        return self.providers[stage.provider].greatest_usd + sum(verifiers, Decimal(0))

    # --- pieces ---

    def _record_budget(self, stage: Stage) -> tuple[Query, Query]:
        """Joins to what each record has cost in this run, and the condition that this, the call now and its
        verification stay within the budget of a record. Both are empty where there is none.

        A call that serves many records counts in full for each.
        """
        cap = self.spec.budget.per_record_usd
        if cap is None:
            return Query(""), Query("")
        # Joined, and not looked up record by record: Postgres would read the ledger once for each.
        joins, spent = Query(""), Query("")
        for i, earlier in enumerate(self.spec.stages[: self.spec.stages.index(stage)]):
            joins += compose(
                "LEFT JOIN ({costs}) AS asked_{i} ON asked_{i}.request_hash = c.hash_{i} ",
                costs=self._ledger.costs(self.run_id, earlier.provider),
                i=str(i),
            )
            spent += f"coalesce(asked_{i}.usd, 0) + "
            for n, (field, verifier) in enumerate(earlier.verify.items()):
                joins += compose(
                    "LEFT JOIN ({costs}) AS verified_{i}_{n} ON verified_{i}_{n}.key = c.key ",
                    costs=self._verification_costs(earlier.provider, field, verifier),
                    i=str(i),
                    n=str(n),
                )
                spent += f"coalesce(verified_{i}_{n}.usd, 0) + "
        within = compose(
            "AND {spent} {this_call} <= {cap}",
            spent=spent,
            this_call=Query("CAST(? AS DECIMAL(18,6))", (self.greatest(stage),)),
            cap=Query("CAST(? AS DECIMAL(18,6))", (cap,)),
        )
        return joins, within

    def _verification_costs(self, provider: str, field: str, verifier: str) -> Query:
        """Record → what verifying the provider's value of this field has cost in this run (usd)."""
        return compose(
            """
            SELECT v.key, {charged} AS usd
            FROM {values} v
            JOIN {calls} k ON k.request_hash = {hash}
            WHERE {of_records}
              AND {of_run}
              AND k.status <> 'intent'
            GROUP BY v.key
            """,
            charged=CHARGED,
            values=self._values,
            calls=self._calls,
            hash=self._hash(self.providers[verifier].inputs, {field: "v.value"}),
            of_records=Query("v.entity = ? AND v.field = ? AND v.provider = ?", (self.entity, field, provider))
            + self._partition.condition("v.key"),
            of_run=Query("k.run_id = ? AND k.provider = ?", (self.run_id, verifier)),
        )

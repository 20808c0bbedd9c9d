"""What the ledger knows, as SQL: which questions are answered or in flight, which fields are found, what they cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from revetl.clock import naive
from revetl.enrich.selection.query import Query, compose
from revetl.enrich.selection.scope import Scope
from revetl.enrich.waterfall import StopRule
from revetl.model import Scalar
from revetl.providers.grammar import ProviderSpec
from revetl.state.schema import relation
from revetl.warehouse.sql import literal, table

CHARGED = "sum(coalesce(k.charged_usd, k.expected_usd))"


class LedgerSelection:
    """Calls and values as one scope sees them. `among`, a query of hashes, says which questions count (None: all)."""

    def __init__(self, scope: Scope) -> None:
        self.spec = scope.spec
        self.providers = scope.providers
        self.entity = scope.entity
        self.now = scope.now
        self.calls = table(relation(scope.warehouse, "enrichment_calls"))
        self.values = table(relation(scope.warehouse, "enrichment_values"))
        self._partition = scope.partition

    # --- questions ---

    def latest(self, provider: str, among: Query | None = None) -> Query:
        """One row per call: how it stands. The result of a job that was fetched later overrules its doubt."""
        return compose(
            """
            SELECT
                call_id,
                request_hash,
                coalesce(
                    max(CASE WHEN status NOT IN ('intent', 'in_doubt') THEN status END),
                    max(CASE WHEN status = 'in_doubt' THEN status END),
                    'intent'
                ) AS status,
                max(answered_at) AS answered_at,
                max(asked_at) AS asked_at,
                max(http_status) AS http_status,
                max(request_id) AS request_id
            FROM {calls}
            WHERE provider = {provider} {among}
            GROUP BY call_id, request_hash
            """,
            calls=self.calls,
            provider=Query("?", (provider,)),
            among=_within("request_hash", among),
        )

    def answered(self, provider: str, among: Query | None = None) -> Query:
        """One row per question: when it last was a hit (`hit_at`) or a miss (`miss_at`), and whether it may not be
        asked whatever is lacking (`closed`): in flight, refused, or in doubt where repeating is not free. `pending`: it
        may still be charged.

        A call without an outcome is in flight: those of dead runs are marked as in doubt before anything is chosen.
        """
        spec = self.providers[provider]
        miss_days = spec.miss_days([f for f in self.spec.fields if f in spec.fields] or spec.fields)
        return compose(
            """
            SELECT
                request_hash,
                max(CASE WHEN status = 'hit' THEN answered_at END) AS hit_at,
                max(CASE WHEN status = 'miss' THEN answered_at END) AS miss_at,
                max(CASE WHEN status = 'intent' OR {refused} OR {in_doubt} THEN 1 ELSE 0 END) AS closed,
                max(CASE WHEN status IN ('intent', 'in_doubt') THEN 1 ELSE 0 END) AS pending
            FROM ({latest}) AS latest
            GROUP BY request_hash
            """,
            refused=self._refused_since(miss_days),
            in_doubt=self._in_doubt_and_not_free(spec),
            latest=self.latest(provider, among),
        )

    def still_open(self, provider: str, fields: Sequence[str], answered: str) -> Query:
        """Condition on a row of `answered` (which may be absent): the provider may be asked for one of these fields."""
        ages = {self._age(provider, field) for field in fields}
        conditions, params = [], list[Scalar]()
        for hit, miss in sorted(ages):
            conditions.append(
                f"(({answered}.hit_at IS NULL OR {answered}.hit_at <= ?)"
                f" AND ({answered}.miss_at IS NULL OR {answered}.miss_at <= ?))"
            )
            params += [self._before(hit), self._before(miss)]
        return Query(f"(coalesce({answered}.closed, 0) = 0 AND ({' OR '.join(conditions)}))", tuple(params))

    def asked_lately(self, provider: str, hashes: Sequence[str]) -> Query:
        """Of these questions those that are in flight or were answered within a day: no answer is good for less."""
        return compose(
            """
            SELECT DISTINCT request_hash
            FROM ({latest}) AS latest
            WHERE status = 'intent'
               OR (status IN ('hit', 'miss') AND answered_at > {yesterday})
               OR {refused}
               OR {in_doubt}
            """,
            latest=self.latest(provider, Query(", ".join("?" for _ in hashes), tuple(hashes))),
            yesterday=Query("?", (self._before(1),)),
            refused=self._refused_since(1),
            in_doubt=self._in_doubt_and_not_free(self.providers[provider]),
        )

    def hits(self, provider: str, fields: Sequence[str], among: Query | None = None) -> Query:
        """(call_id, request_hash) of hits that are fresh for at least one of the fields."""
        age = max(self._age(provider, field)[0] for field in fields)
        return compose(
            """
            SELECT call_id, request_hash
            FROM ({latest}) AS latest
            WHERE status = 'hit'
              AND answered_at > {since}
            """,
            latest=self.latest(provider, among),
            since=Query("?", (self._before(age),)),
        )

    def others_ask(self, provider: str, run_id: str) -> Query:
        """A row where another run has a question in flight at this provider."""
        return compose(
            """
            SELECT 1
            FROM {calls} i
            WHERE {asked}
              AND NOT EXISTS (SELECT 1 FROM {calls} o WHERE o.call_id = i.call_id AND o.status <> 'intent')
            LIMIT 1
            """,
            calls=self.calls,
            asked=Query("i.provider = ? AND i.status = 'intent' AND i.run_id <> ?", (provider, run_id)),
        )

    def found_false(self, provider: str, among: Query | None = None) -> Query:
        """Question → fields (false_i) for which this provider's answer was found false: it is not paid for again."""
        flags = ", ".join(
            f"max(CASE WHEN v.field = {literal(f)} THEN 1 ELSE 0 END) AS false_{i}"
            for i, f in enumerate(self.spec.fields)
        )
        return compose(
            """
            SELECT c.request_hash, {flags}
            FROM {values} v
            JOIN {calls} c ON c.call_id = v.call_id
            WHERE c.provider = {provider}
              AND c.status = 'hit'
              AND v.rejected_reason IN ('invalid', 'catch_all')
              {among}
            GROUP BY c.request_hash
            """,
            flags=flags,
            values=self.values,
            calls=self.calls,
            provider=Query("?", (provider,)),
            among=_within("c.request_hash", among),
        )

    def costs(self, run_id: str, provider: str) -> Query:
        """Question → what it has cost in this run at the provider, or may have (usd)."""
        return compose(
            """
            SELECT k.request_hash, {charged} AS usd
            FROM {calls} k
            WHERE {of_run}
              AND k.status <> 'intent'
            GROUP BY k.request_hash
            """,
            charged=CHARGED,
            calls=self.calls,
            of_run=Query("k.run_id = ? AND k.provider = ?", (run_id, provider)),
        )

    # --- fields ---

    def accepted_fields(self) -> Query:
        """key → which fields have an accepted value that has not expired (got_i)."""
        return compose(
            "SELECT key, {got} FROM {values} WHERE {stands} GROUP BY key",
            got=self._got({}),
            values=self.values,
            stands=self._stands(),
        )

    def found_fields(self) -> Query:
        """key → which fields nobody else is asked for (got_i): their stop rule is met by values young enough."""
        agreed = {f: wanted.stop.agree for f, wanted in self.spec.fields.items() if isinstance(wanted.stop, StopRule)}
        stands = self._stands() + self._young_enough()
        if not any(agreed.values()):
            return compose(
                "SELECT key, {got} FROM {values} WHERE {stands} GROUP BY key",
                got=self._got(self._sure()),
                values=self.values,
                stands=stands,
            )
        rules = {f: f"sources >= {int(n)}" for f, n in agreed.items() if n is not None}
        return compose(
            """
            SELECT key, {got}
            FROM (
                SELECT key, field, max(confidence) AS confidence, count(DISTINCT {source}) AS sources
                FROM {values}
                WHERE {stands}
                GROUP BY key, field, lower(trim(value))
            ) AS said
            GROUP BY key
            """,
            got=self._got(self._sure() | rules),
            source=self._source(),
            values=self.values,
            stands=stands,
        )

    def _got(self, rules: Mapping[str, str]) -> str:
        return ", ".join(
            f"max(CASE WHEN field = {literal(f)} AND {rules.get(f, '1 = 1')} THEN 1 ELSE 0 END) AS got_{i}"
            for i, f in enumerate(self.spec.fields)
        )

    def _sure(self) -> dict[str, str]:
        """A vendor that gives no confidence is never sure enough."""
        return {
            field: f"confidence >= {float(wanted.stop.confidence)!r}"
            for field, wanted in self.spec.fields.items()
            if isinstance(wanted.stop, StopRule) and wanted.stop.confidence is not None
        }

    def _stands(self) -> Query:
        stands = Query(
            "entity = ? AND rejected_reason IS NULL AND (expires_at IS NULL OR expires_at > ?)",
            (self.entity, naive(self.now)),
        )
        return stands + self._partition.condition("key")

    def _young_enough(self) -> Query:
        """Leaves out what is to be refreshed by its age."""
        young = Query("")
        for field in self.spec.fields:
            days = self.spec.refresh_days(field)
            if days is not None:
                young += Query(f" AND (field <> {literal(field)} OR observed_at > ?)", (self._before(days),))
        return young

    def _source(self) -> str:
        """Who vouches for a value: vendors that have their data from one place are one."""
        same = self.spec.sources(self.providers.values())
        named = {name: same[spec.vendor] for name, spec in sorted(self.providers.items())}
        cases = " ".join(f"WHEN {literal(name)} THEN {literal(source)}" for name, source in named.items())
        return f"CASE provider {cases} ELSE split_part(provider, '.', 1) END"

    # --- conditions over a row of `latest` ---

    def _refused_since(self, days: int) -> Query:
        """The vendor refused the question for good. An error without an HTTP status says that it did nothing."""
        return Query(
            "(status = 'error' AND http_status IS NOT NULL AND answered_at > ?)",
            (self._before(days),),
        )

    def _in_doubt_and_not_free(self, spec: ProviderSpec) -> Query:
        """In doubt, and asking again might be paid for twice. A job that may still be at work is fetched, not repeated:
        what runs at one time is free nowhere."""
        return Query(
            "(status = 'in_doubt' AND (request_id IS NOT NULL OR asked_at > ? OR asked_at <= ? OR ? = 0))",
            (self._at_work(spec), self._before(spec.free_repeat_days), spec.free_repeat_days),
        )

    # --- ages ---

    def _age(self, provider: str, field: str) -> tuple[int, int]:
        """Up to which age, in days, a hit and a miss answer for this field."""
        spec = self.providers[provider]
        refresh = self.spec.refresh_days(field) if field in self.spec.fields else None
        hit = spec.ttl_hit_days(field)
        return hit if refresh is None else min(hit, refresh), spec.miss_days([field])

    def _at_work(self, spec: ProviderSpec) -> datetime:
        """A job asked for after this that nobody named may still be at work. Without jobs: a moment to come."""
        return naive(self.now) + (timedelta(seconds=-spec.at_work_s) if spec.at_work_s else timedelta(days=1))

    def _before(self, days: int) -> datetime:
        return naive(self.now) - timedelta(days=days)


def _within(hash_: str, among: Query | None) -> Query:
    return Query("") if among is None else compose("AND {hash} IN ({among})", hash=hash_, among=among)

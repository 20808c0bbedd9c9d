"""What the ledger knows, as SQL: which questions are answered or under way, which fields are found, what they cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from revetl.clock import naive
from revetl.enrich.execution.partitions import EVERYTHING, Part
from revetl.enrich.selection.query import Query
from revetl.enrich.waterfall import Stop, WaterfallSpec
from revetl.model import Scalar
from revetl.providers.grammar import ProviderSpec
from revetl.state.schema import relation
from revetl.warehouse.base import Warehouse
from revetl.warehouse.sql import literal, table

COST = "sum(coalesce(k.charged_usd, k.expected_usd))"


class Known:
    """One waterfall's view of calls and values at one moment. `entity` is the name under which values are kept. `part`:
    of values, only what those records have. `among`, a query of hashes, says which questions are meant (None: all)."""

    def __init__(
        self,
        warehouse: Warehouse,
        spec: WaterfallSpec,
        providers: Mapping[str, ProviderSpec],
        *,
        entity: str,
        now: datetime,
        part: Part = EVERYTHING,
    ) -> None:
        self.spec = spec
        self.providers = providers
        self.entity = entity
        self.now = now
        self.calls = table(relation(warehouse, "enrichment_calls"))
        self.values = table(relation(warehouse, "enrichment_values"))
        self._part = part

    # --- questions ---

    def latest(self, provider: str, among: Query | None = None) -> Query:
        """One row per call: how it stands. The result of a job that was fetched later overrules its doubt."""
        return (
            Query(
                "SELECT call_id, request_hash,"
                " coalesce(max(CASE WHEN status NOT IN ('intent', 'in_doubt') THEN status END),"
                " max(CASE WHEN status = 'in_doubt' THEN status END), 'intent') AS status,"
                " max(answered_at) AS answered_at, max(asked_at) AS asked_at, max(http_status) AS http_status,"
                f" max(request_id) AS request_id FROM {self.calls} WHERE provider = ?",
                (provider,),
            )
            + _within("request_hash", among)
            + " GROUP BY call_id, request_hash"
        )

    def answered(self, provider: str, among: Query | None = None) -> Query:
        """One row per question: when it last was a hit (`hit_at`) or a miss (`miss_at`), and whether it may not be
        asked whatever is lacking (`closed`): in flight, refused, or in doubt where repeating is not free.

        A call without an outcome is in flight: those of dead runs are marked as in doubt before anything is chosen.
        """
        terms = self.providers[provider]
        refused = self._before(terms.miss_days([f for f in self.spec.fields if f in terms.fields] or terms.fields))
        return (
            Query(
                "SELECT request_hash, max(CASE WHEN status = 'hit' THEN answered_at END) AS hit_at,"
                " max(CASE WHEN status = 'miss' THEN answered_at END) AS miss_at, max(CASE WHEN status = 'intent'"
                " OR (status = 'error' AND http_status IS NOT NULL AND answered_at > ?)"
                # A job that may still be at work is fetched, not repeated: what runs at one time is free nowhere.
                " OR (status = 'in_doubt' AND (request_id IS NOT NULL OR asked_at > ? OR asked_at <= ? OR ? = 0))"
                " THEN 1 ELSE 0 END) AS closed FROM (",
                (refused, self._at_work(terms), self._before(terms.free_repeat_days), terms.free_repeat_days),
            )
            + self.latest(provider, among)
            + ") AS latest GROUP BY request_hash"
        )

    def still_open(self, provider: str, fields: Sequence[str], answered: str) -> Query:
        """Condition on a row of `answered` (which may be absent): the provider may be asked for one of these fields."""
        ages = {self._age(provider, field) for field in fields}
        parts, params = [], list[Scalar]()
        for hit, miss in sorted(ages):
            parts.append(
                f"(({answered}.hit_at IS NULL OR {answered}.hit_at <= ?)"
                f" AND ({answered}.miss_at IS NULL OR {answered}.miss_at <= ?))"
            )
            params += [self._before(hit), self._before(miss)]
        return Query(f"(coalesce({answered}.closed, 0) = 0 AND ({' OR '.join(parts)}))", tuple(params))

    def asked_lately(self, provider: str, hashes: Sequence[str]) -> Query:
        """Of these questions those that are in flight or were answered within a day: no answer is good for less."""
        terms = self.providers[provider]
        return (
            Query("SELECT DISTINCT request_hash FROM (")
            + self.latest(provider, Query(", ".join("?" for _ in hashes), tuple(hashes)))
            + Query(
                ") AS latest WHERE status = 'intent' OR (status IN ('hit', 'miss') AND answered_at > ?)"
                " OR (status = 'error' AND http_status IS NOT NULL AND answered_at > ?)"
                " OR (status = 'in_doubt' AND (request_id IS NOT NULL OR asked_at > ? OR asked_at <= ? OR ? = 0))",
                (
                    self._before(1),
                    self._before(1),
                    self._at_work(terms),
                    self._before(terms.free_repeat_days),
                    terms.free_repeat_days,
                ),
            )
        )

    def hits(self, provider: str, fields: Sequence[str], among: Query | None = None) -> Query:
        """(call_id, request_hash) of hits that are fresh for at least one of the fields."""
        age = max(self._age(provider, field)[0] for field in fields)
        return (
            Query("SELECT call_id, request_hash FROM (")
            + self.latest(provider, among)
            + Query(") AS latest WHERE status = 'hit' AND answered_at > ?", (self._before(age),))
        )

    def others_ask(self, provider: str, run_id: str) -> Query:
        """A row where another run has a question under way at this provider."""
        return Query(
            f"SELECT 1 FROM {self.calls} i WHERE i.provider = ? AND i.status = 'intent' AND i.run_id <> ?"
            f" AND NOT EXISTS (SELECT 1 FROM {self.calls} o WHERE o.call_id = i.call_id AND o.status <> 'intent')"
            " LIMIT 1",
            (provider, run_id),
        )

    def burned(self, provider: str, among: Query | None = None) -> Query:
        """Question → fields for which this provider's answer was found false: it is not paid for again."""
        flags = ", ".join(
            f"max(CASE WHEN v.field = {self._literal(f)} THEN 1 ELSE 0 END) AS burned_{i}"
            for i, f in enumerate(self.spec.fields)
        )
        return (
            Query(
                f"SELECT c.request_hash, {flags} FROM {self.values} v JOIN {self.calls} c ON c.call_id = v.call_id"
                " WHERE c.provider = ? AND c.status = 'hit' AND v.rejected_reason IN ('invalid', 'catch_all')",
                (provider,),
            )
            + _within("c.request_hash", among)
            + " GROUP BY c.request_hash"
        )

    # --- fields ---

    def held(self) -> Query:
        """key → which fields have an accepted value that has not expired (got_i)."""
        return Query(f"SELECT key, {self._flags({})} FROM {self.values} WHERE ") + self._stands() + " GROUP BY key"

    def found(self) -> Query:
        """key → which fields nobody else is asked for (got_i): their stop rule is met by values young enough."""
        agreed = {f: want.stop.agree for f, want in self.spec.fields.items() if isinstance(want.stop, Stop)}
        stands = self._stands() + self._young()
        if not any(agreed.values()):
            return (
                Query(f"SELECT key, {self._flags(self._sure())} FROM {self.values} WHERE ") + stands + " GROUP BY key"
            )
        rules = {f: f"sources >= {int(n)}" for f, n in agreed.items() if n is not None}
        return (
            Query(
                f"SELECT key, {self._flags(self._sure() | rules)} FROM"
                f" (SELECT key, field, max(confidence) AS confidence, count(DISTINCT {self._source()}) AS sources"
                f" FROM {self.values} WHERE "
            )
            + stands
            + " GROUP BY key, field, lower(trim(value))) AS said GROUP BY key"
        )

    def _flags(self, rules: Mapping[str, str]) -> str:
        return ", ".join(
            f"max(CASE WHEN field = {self._literal(f)} AND {rules.get(f, '1 = 1')} THEN 1 ELSE 0 END) AS got_{i}"
            for i, f in enumerate(self.spec.fields)
        )

    def _sure(self) -> dict[str, str]:
        """A vendor that gives no confidence is never sure enough."""
        return {
            field: f"confidence >= {float(want.stop.confidence)!r}"
            for field, want in self.spec.fields.items()
            if isinstance(want.stop, Stop) and want.stop.confidence is not None
        }

    def _stands(self) -> Query:
        stands = Query(
            "entity = ? AND rejected_reason IS NULL AND (expires_at IS NULL OR expires_at > ?)",
            (self.entity, naive(self.now)),
        )
        return stands + self._part.condition("key")

    def _young(self) -> Query:
        """Leaves out what is to be refreshed by its age."""
        young = Query("")
        for field in self.spec.fields:
            days = self.spec.refresh_days(field)
            if days is not None:
                young += Query(f" AND (field <> {self._literal(field)} OR observed_at > ?)", (self._before(days),))
        return young

    def _source(self) -> str:
        """Who vouches for a value: vendors that have their data from one place are one."""
        same = self.spec.sources(self.providers.values())
        named = {name: same[terms.vendor] for name, terms in sorted(self.providers.items())}
        cases = " ".join(f"WHEN {self._literal(name)} THEN {self._literal(source)}" for name, source in named.items())
        return f"CASE provider {cases} ELSE split_part(provider, '.', 1) END"

    # --- money ---

    def cost(self, run_id: str, provider: str, request_hash: str) -> Query:
        """What one question to a provider has cost in this run, or may have."""
        return Query(
            f"coalesce((SELECT {COST} FROM {self.calls} k WHERE k.run_id = ? AND k.provider = ?"
            f" AND k.status <> 'intent' AND k.request_hash = {request_hash}), 0)",
            (run_id, provider),
        )

    # --- pieces ---

    def _age(self, provider: str, field: str) -> tuple[int, int]:
        """Up to which age, in days, a hit and a miss answer for this field."""
        terms = self.providers[provider]
        refresh = self.spec.refresh_days(field) if field in self.spec.fields else None
        hit = terms.ttl_hit_days(field)
        return hit if refresh is None else min(hit, refresh), terms.miss_days([field])

    def _at_work(self, terms: ProviderSpec) -> datetime:
        """A job asked for after this that nobody named may still be at work. Without jobs: a moment to come."""
        return naive(self.now) + (timedelta(seconds=-terms.at_work_s) if terms.at_work_s else timedelta(days=1))

    def _before(self, days: int) -> datetime:
        return naive(self.now) - timedelta(days=days)

    def _literal(self, text: str) -> str:
        return literal(text)


def _within(hash_: str, among: Query | None) -> Query:
    return Query("") if among is None else Query(f" AND {hash_} IN (") + among + ")"

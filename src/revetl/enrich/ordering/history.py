"""What the ledger knows of a waterfall's providers: who answered what for the same record, and what that cost.

The set logic is SQL in the warehouse: a record is joined to the last answer of each provider to the question that the
record would ask it, and records with the same pattern are counted. Only these counts leave the warehouse.

Under one order a provider is seen only where the ones before it left something lacking. Cells that nobody asked stay
unknown here (None); nothing is filled in for them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from revetl.clock import naive
from revetl.enrich.ordering.asked_records import UNABLE, AskedRecord, Candidate, KnownReply, VerificationCharge
from revetl.enrich.ordering.prices import ObservedPrice, PriceBook
from revetl.enrich.selection.query import Query, compose
from revetl.enrich.selection.questions import QuestionSelection
from revetl.enrich.selection.scope import Scope
from revetl.enrich.waterfall import Stage, StopRule, WaterfallSpec
from revetl.errors import ConfigError
from revetl.model import Relation
from revetl.providers.grammar import ProviderSpec
from revetl.state.schema import relation
from revetl.warehouse.base import Warehouse
from revetl.warehouse.sql import ident, literal, table

FOLDS = 5
_BEGINNING = datetime(1970, 1, 2, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class History:
    """`segments`: value of the segment's expression ('' where there is none) → what is known of its records.

    `candidates` and `prices` are in the waterfall's order; `checks` gives what verifying costs at each of
    them, over all fields.
    """

    waterfall: str
    fields: tuple[str, ...]
    candidates: tuple[Candidate, ...]
    prices: tuple[ObservedPrice, ...]
    checks: tuple[float, ...]
    segments: Mapping[str, tuple[AskedRecord, ...]]

    @property
    def asked_records(self) -> tuple[AskedRecord, ...]:
        return tuple(record for asked_records in self.segments.values() for record in asked_records)


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryFilter:
    """Which part of the ledger is looked at.

    segment      a SQL expression over the entity's columns, whose values are told apart; None: no segments
    fields       those to look at; empty: all
    entity_name  what values are kept under; None: the waterfall's entity
    since        answers from before it do not count, nor do their prices; None: all do
    """

    segment: str | None = None
    fields: Sequence[str] = ()
    entity_name: str | None = None
    since: datetime | None = None


EVERY_ANSWER = HistoryFilter()


def read_history(
    warehouse: Warehouse,
    spec: WaterfallSpec,
    providers: Mapping[str, ProviderSpec],
    entity: Relation,
    *,
    now: datetime,
    only: HistoryFilter = EVERY_ANSWER,
) -> History:
    """Reads the ledger; makes no call and writes nothing. Stages that fill none of the fields are left out.

    Raises ConfigError for a field that is found only when sources agree: several providers fill it together then, and
    this form of history can't say what each of them did.
    """
    looked_at = tuple(only.fields) or tuple(spec.fields)
    for name in looked_at:
        stop = spec.fields[name].stop
        if isinstance(stop, StopRule) and stop.agree:
            raise ConfigError(
                f"{name!r} is found when {stop.agree} sources agree: no order can be solved for that",
                hint="Look at the other fields, each with --field.",
            )
    scope = Scope(
        warehouse=warehouse,
        spec=spec,
        providers=providers,
        relation=entity,
        entity=only.entity_name or spec.entity,
        run_id="",
        now=now,
    )
    return _HistoryReader(QuestionSelection(scope), looked_at, naive(only.since or _BEGINNING)).history(only.segment)


class _HistoryReader:
    """`stages` are those that fill a field that is looked at, with their place in the waterfall."""

    def __init__(self, questions: QuestionSelection, fields: tuple[str, ...], since: datetime) -> None:
        self.questions = questions
        self.since = since
        self.fields = fields
        self.spec = questions.spec
        self.warehouse = questions.warehouse
        self.providers = questions.providers
        self.calls = table(relation(self.warehouse, "enrichment_calls"))
        self.values = table(relation(self.warehouse, "enrichment_values"))
        self.stages = [(i, stage) for i, stage in enumerate(self.spec.stages) if self._fills(stage)]

    def history(self, segment: str | None) -> History:
        book = PriceBook.read(self.warehouse, self.providers, self.since)
        shared = self._sharing()
        prices = [book.price(stage.provider, share) for (_, stage), share in zip(self.stages, shared, strict=True)]
        checks = {
            (s, f): book.verification(name)
            for s, (_, stage) in enumerate(self.stages)
            for f, name in self._checked(stage)
        }
        patterns = self._patterns(segment)
        candidates = [Candidate(stage.provider, self._mask(self._fills(stage))) for _, stage in self.stages]
        segments: dict[str, list[AskedRecord]] = {}
        for row in patterns:
            segments.setdefault(row.segment, []).append(self._asked_record(row, prices, checks))
        by_size = sorted(segments.items(), key=lambda item: -sum(c.weight for c in item[1]))
        owed = [sum(checks[s, f][1] for f, _ in self._checked(stage)) for s, (_, stage) in enumerate(self.stages)]
        found = {name: tuple(asked_records) for name, asked_records in by_size}
        return History(self.spec.name, self.fields, tuple(candidates), tuple(prices), tuple(owed), found)

    # --- what a stage is there for, among the fields that are looked at ---

    def _fills(self, stage: Stage) -> tuple[str, ...]:
        return tuple(f for f in self.spec.fills(stage, self.providers[stage.provider]) if f in self.fields)

    def _checked(self, stage: Stage) -> list[tuple[str, str]]:
        """(field, verifier) of the values that are verified before they count."""
        fills = self._fills(stage)
        return [(f, v) for f, v in stage.verify.items() if f in fills and self.spec.fields[f].accept.verified]

    def _judged(self, stage: Stage) -> list[str]:
        """Fields that somebody verifies, and of which the stage's own vendor may say that its value is false."""
        checked = {f for _, other in self.stages for f, _ in self._checked(other)}
        return [f for f in self._fills(stage) if f in checked]

    def _sure(self, field: str) -> str:
        """A value that does not end the search by the field's own rule leaves the field lacking."""
        stop = self.spec.fields[field].stop
        return f" AND confidence >= {stop.confidence!r}" if isinstance(stop, StopRule) and stop.confidence else ""

    def _mask(self, fields: Sequence[str]) -> int:
        return sum(1 << self.fields.index(f) for f in fields)

    def _sharing(self) -> list[float]:
        """Per stage: different questions per record that has an answer; 1 where there is none."""
        cells = ", ".join(f"count(DISTINCT p.hash_{i}), count(p.hash_{i})" for i, _ in self.stages)
        answered = (
            f"CASE WHEN l_{i}.status IS NOT NULL AND e.able_{i} = 1 THEN e.hash_{i} END AS hash_{i}"
            for i, _ in self.stages
        )
        query = compose(
            "SELECT {cells} FROM (SELECT {answered} {source}) AS p",
            cells=cells,
            answered=", ".join(answered),
            source=self._answers(None),
        )
        counts = self.warehouse.numbers(query.sql, query.params)
        return [a / b if b else 1.0 for a, b in zip(counts[::2], counts[1::2], strict=True)]

    # --- patterns ---

    def _answers(self, segment: str | None) -> Query:
        """FROM every record, with the last answer to each of its questions (l_i) and what that held (v_i)."""
        query = compose("FROM ({population}) AS e", population=self.questions.population(segment))
        for i, stage in self.stages:
            query += compose(
                """
                LEFT JOIN ({last_answer}) AS l_{i} ON l_{i}.request_hash = e.hash_{i}
                LEFT JOIN ({values}) AS v_{i} ON v_{i}.call_id = l_{i}.call_id
                """,
                last_answer=self._last_answer(stage),
                values=self._values_by_call(stage),
                i=str(i),
            )
        return query

    def _last_answer(self, stage: Stage) -> Query:
        """One row per question. `paid` is the most that such an answer was charged: a free repeat must not make the
        question look free."""
        return compose(
            """
            SELECT request_hash, call_id, status, paid
            FROM (
                SELECT
                    request_hash,
                    call_id,
                    status,
                    max(charged_usd) OVER (PARTITION BY request_hash, status) AS paid,
                    row_number() OVER (PARTITION BY request_hash ORDER BY answered_at DESC, call_id DESC) AS place
                FROM {calls}
                WHERE {answered}
            ) AS answers
            WHERE place = 1
            """,
            calls=self.calls,
            answered=Query(
                "provider = ? AND status IN ('hit', 'miss') AND answered_at >= ?", (stage.provider, self.since)
            ),
        )

    def _values_by_call(self, stage: Stage) -> Query:
        """Call → mask of the fields with an accepted value; per verified field the value that a verifier was owed for
        (value_k), with whether it gave a verdict (decided_k); the value that the vendor itself called false
        (refused_k). `here` is 0 where the call was made for a list or another model and its values were not given to
        this one: then nobody has judged them for it."""
        d = self.warehouse.dialect
        entity = literal(self.questions.entity, d)
        filled = []
        for f in self._fills(stage):
            ended = f"field = {literal(f, d)} AND entity = {entity} AND rejected_reason IS NULL{self._sure(f)}"
            filled.append(f"{self._mask([f])} * max(CASE WHEN {ended} THEN 1 ELSE 0 END)")
        cells = [f"{' + '.join(filled)} AS filled", f"max(CASE WHEN entity = {entity} THEN 1 ELSE 0 END) AS here"]
        for f, _ in self._checked(stage):
            k = self.fields.index(f)
            owed = f"field = {literal(f, d)} AND (verified_by IS NOT NULL OR rejected_reason = 'not_verified')"
            cells.append(f"max(CASE WHEN {owed} THEN lower(value) END) AS value_{k}")
            cells.append(f"max(CASE WHEN {owed} AND verified_by IS NOT NULL THEN 1 ELSE 0 END) AS decided_{k}")
        for f in self._judged(stage):
            refused = f"field = {literal(f, d)} AND verified_by IS NULL AND rejected_reason IN ('invalid', 'catch_all')"
            cells.append(f"max(CASE WHEN {refused} THEN lower(value) END) AS refused_{self.fields.index(f)}")
        return compose(
            "SELECT call_id, {cells} FROM {values} WHERE provider = {provider} GROUP BY call_id",
            cells=", ".join(cells),
            values=self.values,
            provider=Query("?", (stage.provider,)),
        )

    def _first_with(self, field: str, value: str) -> str:
        """The stage whose value a verifier was owed for is this one; the first where several gave it, else -1."""
        k = self.fields.index(field)
        same = " ".join(
            f"WHEN v_{j}.value_{k} = {value} THEN {j}"
            for j, other in self.stages
            if field in dict(self._checked(other))
        )
        return f"CASE {same} ELSE -1 END"

    def _patterns(self, segment: str | None) -> Iterator[_Pattern]:
        """Counts of records by everything that tells them apart, for those that want something and were asked once."""
        wants = " + ".join(f"{1 << k} * e.blank_{list(self.spec.fields).index(f)}" for k, f in enumerate(self.fields))
        fold = f"(strpos('0123456789abcdef', substr(md5('fold:' || e.key), 1, 1)) - 1) % {FOLDS}"
        cells = ["coalesce(e.segment, '') AS segment", "e.audited AS audited", f"{fold} AS fold", f"{wants} AS wants"]
        for i, stage in self.stages:
            cells.append(
                f"CASE WHEN e.able_{i} = 0 THEN '-' WHEN l_{i}.status IS NULL OR v_{i}.here = 0 THEN '?'"
                f" ELSE l_{i}.status END AS state_{i}"
            )
            cells.append(f"round(CAST(coalesce(l_{i}.paid, 0) AS DOUBLE), 6) AS usd_{i}")
            cells.append(f"CASE WHEN l_{i}.status = 'hit' THEN coalesce(v_{i}.filled, 0) ELSE 0 END AS filled_{i}")
            for f, _ in self._checked(stage):
                k = self.fields.index(f)
                cells.append(f"{self._first_with(f, f'v_{i}.value_{k}')} AS same_{i}_{k}")
                cells.append(f"coalesce(v_{i}.decided_{k}, 0) AS decided_{i}_{k}")
            for f in self._judged(stage):
                k = self.fields.index(f)
                cells.append(f"{self._first_with(f, f'v_{i}.refused_{k}')} AS refused_{i}_{k}")
        names = [ident(cell.rsplit(" AS ", 1)[1]) for cell in cells]
        asked = " OR ".join(f"state_{i} IN ('hit', 'miss')" for i, _ in self.stages)
        query = compose(
            """
            SELECT {names}, count(*)
            FROM (SELECT {cells} {source}) AS p
            WHERE wants > 0
              AND ({asked})
            GROUP BY {names}
            ORDER BY {names}
            """,
            names=", ".join(names),
            cells=", ".join(cells),
            source=self._answers(segment),
            asked=asked,
        )
        for row in self.warehouse.rows(query.sql, query.params):
            yield _Pattern.of(row)

    def _asked_record(
        self, row: _Pattern, prices: Sequence[ObservedPrice], checks: Mapping[tuple[int, str], tuple[float, float]]
    ) -> AskedRecord:
        """Cells come in the order in which `_patterns` selects them."""
        cells = iter(row.cells)
        states, paid, filled, labels = [], [], [], dict[tuple[int, str], tuple[int, int]]()
        refused: dict[tuple[int, str], int] = {}
        for s, (_, stage) in enumerate(self.stages):
            states.append(str(next(cells)))
            paid.append(float(next(cells)))
            filled.append(int(next(cells)))
            for f, _ in self._checked(stage):
                labels[s, f] = (int(next(cells)), int(next(cells)))
            for f in self._judged(stage):
                refused[s, f] = int(next(cells))
        replies: list[KnownReply | None] = []
        for s, state in enumerate(states):
            # Who is there for other fields than the record wants is never asked, so there is nothing to be known.
            if state == "-" or not row.wants & self._mask(self._fills(self.stages[s][1])):
                replies.append(UNABLE)
            elif state == "?":
                replies.append(None)
            else:
                owed = [
                    VerificationCharge(
                        self.fields.index(f), checks[at, f][decided], _sharers(labels, refused, f, label)
                    )
                    for (at, f), (label, decided) in labels.items()
                    if at == s and label >= 0 and state == "hit"
                ]
                hit = state == "hit"
                replies.append(KnownReply(paid[s] * prices[s].factor, filled[s], hit, tuple(owed)))
        return AskedRecord(row.records, row.wants, tuple(replies), row.audited, row.fold)


@dataclass(frozen=True, slots=True)
class _Pattern:
    segment: str
    audited: bool
    fold: int
    wants: int
    cells: tuple[Any, ...]
    records: float

    @classmethod
    def of(cls, row: Sequence[Any]) -> _Pattern:
        segment, audited, fold, wants, *cells, records = row
        return cls(str(segment), bool(audited), int(fold), int(wants), tuple(cells), float(records))


def _sharers(
    labels: Mapping[tuple[int, str], tuple[int, int]], refused: Mapping[tuple[int, str], int], field: str, label: int
) -> int:
    """Mask of the providers whose value of the field carries the same label (that of the first that gave it): once one
    of them was asked, nobody verifies it again, since a verdict is known or the vendor itself called it false."""
    given = {s for (s, f), (value, _) in labels.items() if f == field and value == label}
    return sum(1 << s for s in given | {s for (s, f), value in refused.items() if f == field and value == label})

"""What a list is given: beside each of its rows the value of every wanted field, where it is from, and what it cost."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from revetl.clock import naive
from revetl.enrich.lists.columns import ColumnMatch
from revetl.enrich.lists.costs import costs_of
from revetl.enrich.lists.entity_table import RowReader, RowSource, entity_name
from revetl.enrich.waterfall import WaterfallSpec
from revetl.model import Relation
from revetl.providers.grammar import ProviderSpec
from revetl.state.schema import relation
from revetl.state.values import OWN
from revetl.warehouse.base import Warehouse
from revetl.warehouse.sql import ident, literal, table

ProviderSpecs = Mapping[str, ProviderSpec]


@dataclass(frozen=True, slots=True)
class FoundValue:
    """What is known of one field of one row. `value` None: nothing, and `cost_usd` is what it cost to learn that.
    `cost_usd` None: nothing was charged."""

    value: str | None = None
    source: str | None = None
    confidence: float | None = None
    verification: str | None = None
    cost_usd: float | None = None

    @property
    def cells(self) -> tuple[str | None, ...]:
        """As text: value, source, confidence, verification, cost."""
        sure = None if self.confidence is None else f"{self.confidence:g}"
        cost = None if self.cost_usd is None else f"{self.cost_usd:.9f}".rstrip("0").rstrip(".")
        return (self.value, self.source, sure, self.verification, cost)


_NOTHING = FoundValue()


def enriched_rows(
    warehouse: Warehouse,
    match: ColumnMatch,
    providers: ProviderSpecs,
    listing: RowSource,
    input_: Relation,
    now: datetime,
) -> Iterator[list[tuple[Any, ...]]]:
    """The list's rows, each with value, source, confidence, verification and cost of every field. What the list itself
    holds wins."""
    for rows, found in found_values(warehouse, match, providers, listing, input_, now, priced=True):
        yield [
            (*row, *(cell for field in match.spec.fields for cell in known.get(field, _NOTHING).cells))
            for row, known in zip(rows, found, strict=True)
        ]


def found_values(
    warehouse: Warehouse,
    match: ColumnMatch,
    providers: ProviderSpecs,
    listing: RowSource,
    input_: Relation,
    now: datetime,
    *,
    priced: bool = False,
) -> Iterator[tuple[list[tuple[Any, ...]], list[dict[str, FoundValue]]]]:
    """Per chunk of the list its rows, and beside each what is known of its fields. `priced`: with what it cost."""
    first = 0
    own = {field: match.spec.column(field) for field in match.fields}
    read = RowReader(match, listing.header)
    with ExitStack() as stack:
        costs = None
        if priced:
            entity = entity_name(match.spec)
            costs = stack.enter_context(costs_of(warehouse, match.spec, providers, input_, entity, now))
        for chunk in listing.chunks():
            numbers = range(first, first + len(chunk))
            won = _winners(warehouse, match, providers, input_, now, numbers)
            verdicts = _verdicts_on_own(warehouse, match.spec, input_, numbers)
            found: list[dict[str, FoundValue]] = []
            for row_no, row in zip(numbers, chunk, strict=True):
                known = won.get(row_no, {})
                held = read(row)
                for field, column in own.items():
                    if (value := held.get(column)) is None:
                        continue
                    verdict, found_false = verdicts.get((row_no, field), (None, False))
                    # One that was found false stands where there is no better one, beside what was said of it.
                    better = known.get(field)
                    if not found_false or better is None or better.verification == verdict:
                        known[field] = FoundValue(value, OWN, verification=verdict)
                found.append(known)
            for (row_no, field), usd in costs.of_rows(numbers).items() if costs is not None else ():
                known = found[row_no - first]
                known[field] = replace(known.get(field, _NOTHING), cost_usd=usd)
            yield chunk, found
            first += len(chunk)


def _winners(
    warehouse: Warehouse,
    match: ColumnMatch,
    providers: ProviderSpecs,
    input_: Relation,
    now: datetime,
    rows: range,
) -> dict[int, dict[str, FoundValue]]:
    """Per row and field the accepted value that its stop rule looks for: of most independent sources, or the surest;
    then that of the earliest stage, the newest, the surest. Where none is accepted, one that a verifier is not sure of
    (catch_all, unknown): the column beside it says so."""
    entity = literal(entity_name(match.spec))
    values = table(relation(warehouse, "enrichment_values"))
    fields = match.spec.fields.items()
    agreed, surest = ([f for f, want in fields if getattr(want.stop, rule, None)] for rule in ("agree", "confidence"))
    order = "CASE WHEN u.rejected_reason IS NULL THEN 0 ELSE 1 END,"
    order += f" CASE WHEN u.field IN ({_literals(agreed)}) THEN u.n_sources END DESC NULLS LAST," if agreed else ""
    order += f" CASE WHEN u.field IN ({_literals(surest)}) THEN u.confidence END DESC NULLS LAST," if surest else ""
    stages = " ".join(f"WHEN {literal(stage.provider)} THEN {i}" for i, stage in enumerate(match.spec.stages))
    order += f" CASE u.provider {stages} ELSE {len(match.spec.stages)} END, u.observed_at DESC,"
    chosen = warehouse.rows(
        f"""
        WITH usable AS (
            SELECT
                i.row_no, v.field, v.value, v.provider, v.confidence, v.verification, v.observed_at,
                v.rejected_reason,
                lower(trim(v.value)) AS said,
                {_source_of_value(match.spec, providers)} AS source
            FROM {table(input_)} i
            JOIN {values} AS v ON v.key = i.{ident(match.spec.key)}
            WHERE i.row_no >= ?
              AND i.row_no < ?
              AND v.entity = {entity}
              AND v.provider <> {literal(OWN)}
              AND (v.rejected_reason IS NULL OR v.verification IN ('catch_all', 'unknown'))
              AND coalesce(v.rejected_reason, '') NOT IN ('low_confidence', 'not_wanted')
              AND (v.expires_at IS NULL OR v.expires_at > ?)
        ),
        agreed AS (
            SELECT row_no, field, said, count(DISTINCT source) AS n_sources
            FROM usable
            GROUP BY row_no, field, said
        ),
        ranked AS (
            SELECT
                u.*,
                row_number() OVER (
                    PARTITION BY u.row_no, u.field
                    ORDER BY {order} u.confidence DESC NULLS LAST, u.value
                ) AS place
            FROM (
                SELECT usable.*, a.n_sources
                FROM usable
                JOIN agreed a
                    ON a.row_no = usable.row_no
                    AND a.field = usable.field
                    AND a.said = usable.said
            ) AS u
        )
        SELECT row_no, field, value, provider, confidence, verification
        FROM ranked
        WHERE place = 1
        """,
        [rows.start, rows.stop, naive(now)],
    )
    found: dict[int, dict[str, FoundValue]] = {}
    for row_no, field, value, provider, sure, verdict in chosen:
        known = FoundValue(
            str(value),
            str(provider),
            None if sure is None else float(str(sure)),
            None if verdict is None else str(verdict),
        )
        found.setdefault(int(str(row_no)), {})[str(field)] = known
    return found


def _verdicts_on_own(
    warehouse: Warehouse, spec: WaterfallSpec, input_: Relation, rows: range
) -> dict[tuple[int, str], tuple[str, bool]]:
    """(row, field) → what a verifier said of the value that the list holds, and whether that is false."""
    if not spec.verified_fields():
        return {}
    found = warehouse.rows(
        f"""
        SELECT i.row_no, v.field, v.verification, v.rejected_reason
        FROM {table(input_)} i
        JOIN {table(relation(warehouse, "enrichment_values"))} v ON v.key = i.{ident(spec.key)}
        WHERE i.row_no >= ?
          AND i.row_no < ?
          AND v.entity = ?
          AND v.provider = ?
          AND v.verification IS NOT NULL
        """,
        [rows.start, rows.stop, entity_name(spec), OWN],
    )
    return {
        (int(str(row_no)), str(field)): (str(verdict), reason in ("invalid", "catch_all"))
        for row_no, field, verdict, reason in found
    }


def own_verdicts(warehouse: Warehouse, spec: WaterfallSpec, input_: Relation) -> dict[str, dict[str, int]]:
    """Field → what verifiers said of the values that the list holds → rows."""
    found: dict[str, dict[str, int]] = {}
    if not spec.verified_fields():
        return found
    rows = warehouse.rows(
        f"""
        SELECT v.field, coalesce(v.verification, 'not verified') AS said, count(*)
        FROM {table(input_)} i
        JOIN {table(relation(warehouse, "enrichment_values"))} v ON v.key = i.{ident(spec.key)}
        WHERE v.entity = ?
          AND v.provider = ?
        GROUP BY v.field, coalesce(v.verification, 'not verified')
        ORDER BY v.field, said
        """,
        [entity_name(spec), OWN],
    )
    for field, said, n in rows:
        found.setdefault(str(field), {})[str(said)] = int(str(n))
    return found


def _source_of_value(spec: WaterfallSpec, providers: ProviderSpecs) -> str:
    """Who vouches for a value: vendors that have their data from one place are one."""
    asked = [stage.provider for stage in spec.stages]
    same = spec.sources(providers.values())
    cases = " ".join(f"WHEN {literal(name)} THEN {literal(same[providers[name].vendor])}" for name in asked)
    return f"CASE v.provider {cases} ELSE split_part(v.provider, '.', 1) END"


def _literals(words: Sequence[str]) -> str:
    return ", ".join(map(literal, words))

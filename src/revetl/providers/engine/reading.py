"""From one response to what it means: verdict, values, charge. Pure: no network, no clock, no state.

Batches are read in `records.py`, by the same rules.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any, TypeVar

from revetl.http import one_word
from revetl.providers.base import ProvidedValue
from revetl.providers.engine.about import SOMEBODY_ELSE, is_about
from revetl.providers.engine.charging import charge_of, credits_of
from revetl.providers.engine.json_data import is_one_of, value_at
from revetl.providers.engine.values import values_of
from revetl.providers.grammar import HttpRow, LookupVerdict, ProviderSpec, VerdictRow

HttpRowT = TypeVar("HttpRowT", bound=HttpRow)


@dataclass(frozen=True, slots=True)
class ResponseMeaning:
    """What one response, or one record of it, means. `row` is the row of the table that matched; None: no row did."""

    verdict: LookupVerdict
    row: VerdictRow | None
    values: tuple[ProvidedValue, ...]
    charged_usd: Decimal
    error_code: str | None
    credits: Mapping[str, Decimal]


def read(
    spec: ProviderSpec, status: int, headers: Mapping[str, str], body: Any, inputs: Mapping[str, str] | None = None
) -> ResponseMeaning:
    """What this response means. `headers` by lower-case name; `body` is JSON data, None where it was none. `inputs`:
    what was asked; None where the response is not about one lookup."""
    row = matching_row(spec.status, status, body)
    return meaning_under(spec, "ambiguous" if row is None else row.verdict, row, headers, body, inputs)


def meaning_under(
    spec: ProviderSpec,
    verdict: LookupVerdict,
    row: VerdictRow | None,
    headers: Mapping[str, str],
    body: Any,
    inputs: Mapping[str, str] | None = None,
) -> ResponseMeaning:
    """What this response means under a verdict that is already decided (`then`, after the last attempt).

    The values of a batch stand in its records, so it has none here. An answer about somebody else has none either, and
    costs what the vendor takes for it all the same.
    """
    values = tuple(values_of(spec, body)) if verdict == "hit" and spec.batch is None else ()
    credits = credits_of(spec, headers, body)
    usd = charge_of(spec, verdict, values, credits, body)
    meaning = ResponseMeaning(verdict, row, values, usd, error_code(spec, body), credits)
    return about_whom_was_asked(spec, meaning, inputs or {}, body) if spec.batch is None else meaning


def about_whom_was_asked(
    spec: ProviderSpec, meaning: ResponseMeaning, inputs: Mapping[str, str], body: Any
) -> ResponseMeaning:
    """`meaning`; of a hit that is about somebody else without its values, and with the reason."""
    if meaning.verdict != "hit" or is_about(spec.about, inputs, body):
        return meaning
    return replace(meaning, values=(), error_code=SOMEBODY_ELSE)


def matching_row(rows: Sequence[HttpRowT], status: int, body: Any) -> HttpRowT | None:
    """The first row that matches. None as well where "found" or "not found" was said under 2xx without a JSON body: a
    page of some proxy, or half an answer, says neither."""
    row = next((r for r in rows if r.matches_status(status) and row_matches(r, body)), None)
    said = row is not None and row.verdict in ("hit", "miss")
    return None if said and body is None and 200 <= status < 300 and status != 204 else row


def error_code(spec: ProviderSpec, body: Any) -> str | None:
    """The vendor's own word for what went wrong. Its message is left alone: it may repeat what was asked."""
    said = next((str(c) for p in spec.error_code if isinstance(c := value_at(body, p), str | int)), None)
    return one_word(said)


def row_matches(row: VerdictRow, body: Any) -> bool:
    """Whether the body is as the row wants it."""
    if row.at is None:
        return True
    return is_one_of(value_at(body, row.at), row.equals)

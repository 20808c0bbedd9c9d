"""Many lookups as one request, and its answer as one reply for each. Pure: no network, no clock, no state.

Every lookup gets exactly one reply. Where it is not certain which record is a lookup's, what was paid for it is not
certain either: the lookup is `Ambiguous`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import ROUND_DOWN, Decimal
from typing import Any

from revetl.errors import Ambiguous
from revetl.providers.base import Answer, Lookup, Reply
from revetl.providers.engine.answers import VendorResponse, answer, error
from revetl.providers.engine.charging import credits_of, declared_charge
from revetl.providers.engine.json_data import value_at
from revetl.providers.engine.reading import ResponseMeaning, about_whom_was_asked, error_code, row_matches
from revetl.providers.engine.rendering import OutgoingRequest, fill_tree, render
from revetl.providers.engine.values import values_of
from revetl.providers.grammar import BatchRequest, ProviderSpec, RecordVerdict, fill

_MILLIONTH = Decimal("0.000001")


@dataclass(frozen=True, slots=True)
class _Entry:
    """What an answer holds of one lookup: its record, or that it is named in a list of this meaning."""

    record: Any
    verdict: RecordVerdict | None = None


def render_batch(
    spec: ProviderSpec, batch: BatchRequest, lookups: Sequence[Lookup], callback: Mapping[str, str] | None = None
) -> OutgoingRequest:
    """The request for these lookups. `callback`: pointer into the body → the address to call, where there is one."""
    items = [fill_tree(batch.item, _names(i, lookup)) for i, lookup in enumerate(lookups)]
    return render(spec, {}, {batch.at: items, **(callback or {})})


def read_records(
    spec: ProviderSpec,
    batch: BatchRequest,
    lookups: Sequence[Lookup],
    response: VendorResponse,
    rest: ResponseMeaning | None = None,
) -> list[Reply]:
    """One reply for each lookup, in their order, from an answer that holds records.

    `rest`: how the request as a whole ended where that was not well: it goes for whoever was not found.
    """
    replies: list[Reply] = []
    for lookup, entry in zip(lookups, _entries(batch, lookups, response.body), strict=True):
        reply = _rest(spec, rest, response) if entry is None else _reply(spec, batch, entry, response, lookup)
        said = isinstance(reply, Answer) and reply.status in ("hit", "suppressed")
        replies.append(reply if rest is None or said else _rest(spec, rest, response))
    return _counted(spec, replies, response)


def all_alike(
    spec: ProviderSpec, lookups: Sequence[Lookup], meaning: ResponseMeaning, response: VendorResponse
) -> list[Reply]:
    """One reply for each where the answer as a whole says what goes for all."""
    return _counted(spec, [_rest(spec, meaning, response)] * len(lookups), response)


def _rest(spec: ProviderSpec, meaning: ResponseMeaning | None, response: VendorResponse) -> Reply:
    """The reply for a lookup of which the answer says nothing, under the verdict of the whole."""
    if meaning is None:
        nothing = ResponseMeaning("ambiguous", None, (), Decimal(0), None, {})
        return error(spec.name, Ambiguous, "the answer has no record for this one", nothing, response)
    each = replace(meaning, charged_usd=declared_charge(spec, meaning.verdict, ()), credits={})
    return answer(spec.name, each, replace(response, body=None))


def share(total: Decimal, weights: Sequence[Decimal]) -> list[Decimal]:
    """`total` in parts as the weights are, equal ones where all are 0; to the millionth, and exactly `total` in sum."""
    if not weights:
        return []
    of = sum(weights, Decimal(0))
    parts: list[Decimal] = []
    left, weight_left = total, of or Decimal(len(weights))
    for weight in weights:
        weight = weight if of else Decimal(1)
        part = left if weight == weight_left else (left * weight / weight_left).quantize(_MILLIONTH, ROUND_DOWN)
        parts.append(part if weight else Decimal(0))
        left, weight_left = left - parts[-1], weight_left - weight
    return parts


def _names(index: int, lookup: Lookup) -> dict[str, str]:
    return {**lookup.inputs, "ref": lookup.ref or str(index)}


def _entries(batch: BatchRequest, lookups: Sequence[Lookup], body: Any) -> list[_Entry | None]:
    """For each lookup what the answer holds of it; None where it is not certain which is its."""
    records = [
        record for pointer in batch.results if isinstance(found := value_at(body, pointer), list) for record in found
    ]
    match = batch.match
    if match is None:
        # A list of another length has lost or added something, and nobody knows where.
        return [_Entry(record) for record in records] if len(records) == len(lookups) else [None] * len(lookups)
    by_name: dict[str, list[_Entry]] = {}
    for record in records:
        said = next((found for pointer in match.at if (found := value_at(record, pointer)) is not None), None)
        by_name.setdefault(_plain(said), []).append(_Entry(record))
    for verdict, pointer in batch.named.items():
        names = value_at(body, pointer)
        for name in names if isinstance(names, list) else ():
            by_name.setdefault(_plain(name), []).append(_Entry(None, verdict))
    wanted = [_plain(fill(match.equals, _names(i, lookup))) for i, lookup in enumerate(lookups)]
    return [by_name[name][0] if name and len(by_name.get(name, ())) == 1 else None for name in wanted]


def _plain(name: Any) -> str:
    """A name as it is compared; empty where it is none."""
    return str(name).casefold() if isinstance(name, str | int) and not isinstance(name, bool) else ""


def _reply(spec: ProviderSpec, batch: BatchRequest, entry: _Entry, response: VendorResponse, lookup: Lookup) -> Reply:
    row = next((r for r in batch.status if row_matches(r, entry.record)), None)
    verdict = entry.verdict or (row.verdict if row is not None else "ambiguous" if batch.status else "hit")
    values = tuple(values_of(spec, entry.record)) if verdict == "hit" else ()
    usd = declared_charge(spec, verdict, values)
    meaning = ResponseMeaning(verdict, row, values, usd, error_code(spec, entry.record), {})
    meaning = about_whom_was_asked(spec, meaning, lookup.inputs, entry.record)
    return answer(spec.name, meaning, replace(response, body=entry.record))


def _counted(spec: ProviderSpec, replies: Sequence[Reply], response: VendorResponse) -> list[Reply]:
    """The replies with the vendor's own count of credits, which is of the whole request, shared out over them."""
    said = credits_of(spec, response.headers, response.body)
    answers = [reply for reply in replies if isinstance(reply, Answer)]
    usd = spec.price.credits.usd if spec.price.credits is not None else None
    if not said or not answers:
        return list(replies)
    if "charged" not in said or usd is None:
        return [replace(r, credits=said) if isinstance(r, Answer) else r for r in replies]
    weights = [reply.charged_usd for reply in answers]
    charged = said["charged"]
    if usd and any(isinstance(reply, Ambiguous) for reply in replies):
        # What goes beyond the price of these is for those of which nothing came: they keep it reserved.
        charged = min(charged, sum(weights, Decimal(0)) / usd)
    credits = iter(share(charged, weights))
    money = iter(share(charged * usd, weights))
    return [
        replace(r, charged_usd=next(money), credits={**said, "charged": next(credits)}) if isinstance(r, Answer) else r
        for r in replies
    ]

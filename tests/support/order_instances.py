"""Made-up histories of providers that copy one another, and an oracle that plays every order record by record."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import permutations

from revetl.enrich.ordering.asked_records import UNABLE, AskedRecord, Candidate, KnownReply, VerificationCharge
from revetl.enrich.ordering.history import History
from revetl.enrich.ordering.prices import ObservedPrice
from revetl.enrich.ordering.replay import path_of


def instance(
    rng: random.Random, *, most_arms: int = 6, most_fields: int = 3, asked_records: int = 30
) -> tuple[list[Candidate], list[AskedRecord]]:
    """Providers with prices on call and on hit, partly resold data, answers that are charged and then rejected, values
    to verify (the same one from several providers), records that can't be asked everywhere."""
    n, fields = rng.randint(1, most_arms), rng.randint(1, most_fields)
    everything = (1 << fields) - 1
    candidates = [
        Candidate(f"p{i}", rng.randint(1, everything) if rng.random() < 0.5 else everything) for i in range(n)
    ]
    per_call = [rng.choice((0.0, round(rng.uniform(0, 0.1), 3))) for _ in candidates]
    per_hit = [rng.choice((0.0, round(rng.uniform(0, 0.4), 3))) for _ in candidates]
    check_usd = rng.choice((0.0, 0.008))
    rate = [rng.uniform(0.05, 0.95) for _ in candidates]
    resold = rng.uniform(0, 1)
    made = []
    for _ in range(rng.randint(1, asked_records)):
        shared = rng.random()
        wants = rng.randint(1, everything)
        values = [[rng.randint(0, 2) for _ in range(fields)] for _ in candidates]  # equal numbers are equal values
        replies = []
        for i, candidate in enumerate(candidates):
            if rng.random() < 0.05:
                replies.append(UNABLE)
                continue
            hit = (shared if rng.random() < resold else rng.random()) < rate[i]
            fills, checks = 0, []
            for f in range(fields) if hit else ():
                if not candidate.fills >> f & 1 or rng.random() < 0.2:
                    continue
                fills |= (rng.random() < 0.8) << f
                if check_usd:
                    same = sum(1 << j for j in range(n) if values[j][f] == values[i][f])
                    checks.append(VerificationCharge(f, check_usd, same))
            replies.append(KnownReply(per_call[i] + hit * per_hit[i], fills, hit, tuple(checks)))
        made.append(AskedRecord(float(rng.randint(1, 50)), wants, _settled(replies), fold=rng.randint(0, 4)))
    return candidates, made


def _settled(replies: list[KnownReply]) -> tuple[KnownReply, ...]:
    """`same` only names providers that have a value of that field to verify; equal values share one verdict."""
    out = []
    for reply in replies:
        checks, fills = [], reply.fills
        for check in reply.checks:
            peers = [
                j
                for j in range(len(replies))
                if check.same >> j & 1
                and any(c.field == check.field and c.same == check.same for c in replies[j].checks)
            ]
            bit = 1 << check.field
            fills = fills & ~bit | (replies[peers[0]].fills & bit)
            checks.append(VerificationCharge(check.field, check.usd, sum(1 << j for j in peers)))
        out.append(KnownReply(reply.usd, fills, reply.hit, tuple(checks), reply.able))
    return tuple(out)


def play(
    candidates: Sequence[Candidate], asked_records: Sequence[AskedRecord], order: Sequence[int]
) -> tuple[float, float]:
    """(cost, values), as a story: each record goes down the list with a bag of what it has and what was verified."""
    usd = values = 0.0
    for case in asked_records:
        has: set[int] = set()
        wants = {f for f in range(8) if case.wants >> f & 1}
        verdicts: set[tuple[int, int]] = set()
        for i in order:
            reply = case.replies[i]
            assert reply is not None
            here = {f for f in range(8) if candidates[i].fills >> f & 1}
            if not reply.able or not (wants - has) & here:
                continue
            usd += case.weight * reply.usd
            for check in reply.checks:
                if check.field in wants - has and (check.field, check.same) not in verdicts:
                    verdicts.add((check.field, check.same))
                    usd += case.weight * check.usd
            has |= {f for f in wants & here if reply.fills >> f & 1}
        values += case.weight * len(has)
    return usd, values


def every_order(n: int) -> Iterator[tuple[int, ...]]:
    """All orders of all subsets, each once: every order with every stopping point."""
    for length in range(n + 1):
        yield from permutations(range(n), length)


def resold(rng: random.Random, n: int = 4, *, records: int = 4000) -> tuple[list[Candidate], list[AskedRecord]]:
    """One field, as vendors are: everybody has the same prominent half, and each something of its own. One record a
    case, so that samples can be drawn."""
    candidates = [Candidate(f"p{i}", 1) for i in range(n)]
    prices = [(rng.choice((0.0, 0.01, 0.03)), rng.choice((0.02, 0.05, 0.2))) for _ in candidates]
    rate = [rng.uniform(0.2, 0.7) for _ in candidates]
    asked_records = []
    for _ in range(records):
        shared = rng.random()
        replies = []
        for (per_call, per_hit), r in zip(prices, rate, strict=True):
            hit = (shared if rng.random() < 0.6 else rng.random()) < r
            replies.append(KnownReply(per_call + hit * per_hit, int(hit and rng.random() < 0.9), hit))
        asked_records.append(AskedRecord(1.0, 1, tuple(replies), fold=rng.randrange(5)))
    return candidates, asked_records


def pooled(asked_records: Sequence[AskedRecord]) -> tuple[AskedRecord, ...]:
    """Equal cases as one, as the ledger's counts are."""
    found: dict[AskedRecord, float] = {}
    for case in asked_records:
        found[replace(case, weight=0.0)] = found.get(replace(case, weight=0.0), 0.0) + case.weight
    return tuple(replace(case, weight=weight) for case, weight in found.items())


def history(
    candidates: Sequence[Candidate], asked_records: Sequence[AskedRecord], segments: Sequence[str] = ("",)
) -> History:
    """Prices as the replies have them."""
    prices = []
    for i, _ in enumerate(candidates):
        misses = [r.usd for c in asked_records if (r := c.replies[i]) is not None and r.able and not r.hit]
        hits = [r.usd for c in asked_records if (r := c.replies[i]) is not None and r.able and r.hit]
        base = min(misses, default=0.0)
        prices.append(ObservedPrice(base, *(of(hits, default=base) - base for of in (max, min, max))))
    checks = [
        max((sum(k.usd for k in r.checks) for c in asked_records if (r := c.replies[i])), default=0.0)
        for i, _ in enumerate(candidates)
    ]
    return History(
        "w", ("f",), tuple(candidates), tuple(prices), tuple(checks), dict.fromkeys(segments, pooled(asked_records))
    )


def as_run(
    candidates: Sequence[Candidate], case: AskedRecord, order: Sequence[int], *, audited: bool = False
) -> AskedRecord:
    """What the ledger holds of the record after a run in this order: who was not asked is unknown."""
    if audited:
        return replace(case, audited=True)
    went = path_of(candidates, case, order)
    assert went is not None
    seen = [r if r is None or not r.able or went.asked >> i & 1 else None for i, r in enumerate(case.replies)]
    return replace(case, replies=tuple(seen))

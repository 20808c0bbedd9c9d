"""How good clusters are, estimated from a review.

Each band is a sample by itself, so its answers speak for all its pairs (stratified sampling). Precision is the share of
one person's pairs among those that the clusters join; recall is the share of one person's pairs that they join, of all
that were compared or joined. Pairs that no blocking rule brought together are in no band: what is missed there is not
seen.

Intervals: in each band the share of yes is drawn from the two distributions that belong to Clopper and Pearson's
limits, Beta(yes, no + 1) for the worst that the answers allow and Beta(yes + 1, no) for the best, and the pairs that
nobody saw are counted by it. Each figure is computed for each draw; the interval reaches from the lowest 2.5 of 100 of
the worst to the highest of the best. Combining limits so keeps what they promise over many bands (Fay, Proschan and
Brittain 2015). A band that was reviewed whole is known exactly.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from revetl.golden.review.bands import Band
from revetl.golden.review.review_file import ReviewedPair
from revetl.seeded_random import Seeded

_DRAWS = 1_000
_TAIL = 0.025
_HALF = 0.5
_MANY = 20


@dataclass(frozen=True, slots=True)
class ShareEstimate:
    """A share between 0 and 1, and where it lies with 95 % probability."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class BandAnswers:
    """Of one band: its pairs, and the answers by whether the clusters that are scored join the two records."""

    band: Band
    joined_yes: int
    joined_no: int
    apart_yes: int
    apart_no: int

    @property
    def n_answers(self) -> int:
        return self.joined_yes + self.joined_no + self.apart_yes + self.apart_no


@dataclass(frozen=True, slots=True)
class ReviewScores:
    """`precision`, `recall`: None as long as a band of which they depend has no answer. `unknown`: pairs with a record
    that is in no cluster any more; they count nowhere."""

    precision: ShareEstimate | None
    recall: ShareEstimate | None
    bands: tuple[BandAnswers, ...]
    n_answers: int
    unknown: int


def answers_by_band(pairs: Iterable[ReviewedPair], clusters: Mapping[str, str]) -> tuple[tuple[BandAnswers, ...], int]:
    """Counted by band, and how many pairs have a record that `clusters` does not have."""
    counts: dict[Band, dict[tuple[bool, bool], int]] = {}
    unknown = 0
    for pair in pairs:
        cells = counts.setdefault(pair.band, defaultdict(int))
        left, right = clusters.get(pair.left_key), clusters.get(pair.right_key)
        if left is None or right is None:
            unknown += 1
        elif pair.same is not None:
            cells[left == right, pair.same] += 1
    found = [
        BandAnswers(band, cells[True, True], cells[True, False], cells[False, True], cells[False, False])
        for band, cells in counts.items()
    ]
    return tuple(sorted(found, key=lambda one: (not one.band.joined, one.band.name))), unknown


def review_scores(
    pairs: Sequence[ReviewedPair], clusters: Mapping[str, str], *, seed: int = 1, draws: int = _DRAWS
) -> ReviewScores:
    """`clusters`: of each record, those to be scored; they need not be those that the pairs were drawn from. The same
    answers give the same figures."""
    bands, unknown = answers_by_band(pairs, clusters)
    answered, dice = [one for one in bands if one.n_answers], Seeded(seed)
    worst, best = (
        [_figures([_drawn(one, dice, at_best=at_best) for one in answered]) for _ in range(draws)]
        for at_best in (False, True)
    )
    precision, recall = _figures([_expected(one) for one in answered])
    silent = [one.band for one in bands if not one.n_answers]
    precisely = _estimate(precision, [p for p, _ in worst], [p for p, _ in best])
    recalled = _estimate(recall, [r for _, r in worst], [r for _, r in best])
    return ReviewScores(
        None if any(band.joined for band in silent) else precisely,
        None if silent else recalled,
        bands,
        sum(one.n_answers for one in bands),
        unknown,
    )


# Of the pairs of a band: joined and one person's, joined and not, apart and one person's.
_Totals = tuple[float, float, float]


def _expected(one: BandAnswers) -> _Totals:
    scale = one.band.n_pairs / one.n_answers
    return one.joined_yes * scale, one.joined_no * scale, one.apart_yes * scale


def _drawn(one: BandAnswers, dice: Seeded, *, at_best: bool) -> _Totals:
    """`at_best`: joined pairs are as often one person's as the answers allow, and those apart as seldom."""
    n_joined, n_apart = one.joined_yes + one.joined_no, one.apart_yes + one.apart_no
    # A band all of which is on one side is so because the clusters are those it was drawn from.
    share = 1.0 if not n_apart else 0.0 if not n_joined else dice.betavariate(n_joined + 0.5, n_apart + 0.5)
    unseen = max(one.band.n_pairs - one.n_answers, 0)
    joined = _successes(dice, unseen, share)
    yes = _successes(dice, joined, _limit(dice, one.joined_yes, one.joined_no, upper=at_best))
    missed = _successes(dice, unseen - joined, _limit(dice, one.apart_yes, one.apart_no, upper=not at_best))
    return one.joined_yes + yes, one.joined_no + joined - yes, one.apart_yes + missed


def _limit(dice: Seeded, yes: int, no: int, *, upper: bool) -> float:
    """A share of yes, drawn from the distribution of the upper or of the lower limit."""
    if upper:
        return dice.betavariate(yes + 1, no) if no else 1.0
    return dice.betavariate(yes, no + 1) if yes else 0.0


def _successes(dice: Seeded, n: int, share: float) -> int:
    """How many of `n` come true, each with the chance `share`: binomial, and normal where that is as good."""
    if share > _HALF:
        return n - _successes(dice, n, 1 - share)
    if n == 0 or share <= 0:
        return 0
    if n * share >= _MANY:
        return min(n, max(0, round(dice.gauss(n * share, math.sqrt(n * share * (1 - share))))))
    found, place, step = 0, -1, math.log1p(-share)
    while True:  # from one that comes true to the next
        place += 1 + int(math.log(1 - dice.random()) / step)
        if place >= n:
            return found
        found += 1


def _figures(totals: Sequence[_Totals]) -> tuple[float, float]:
    yes, no, missed = (sum(each) for each in zip(*totals, strict=True)) if totals else (0.0, 0.0, 0.0)
    return (yes / (yes + no) if yes + no else 1.0), (yes / (yes + missed) if yes + missed else 1.0)


def _estimate(value: float, worst: Sequence[float], best: Sequence[float]) -> ShareEstimate:
    low = sorted(worst)[int(_TAIL * len(worst))]
    high = sorted(best)[-1 - int(_TAIL * len(best))]
    return ShareEstimate(value, min(low, value), max(high, value))

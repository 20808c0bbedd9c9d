"""How good clusters are, estimated from a review.

Each band is a sample by itself, so its answers speak for all its pairs (stratified sampling). Precision is the share of
one person's pairs among those that the clusters join; recall is the share of one person's pairs that they join, of all
that were compared or joined. Pairs that no blocking rule brought together are in no band: what is missed there is not
seen.

Intervals: in each band the share of yes is drawn from its distribution given the answers, Beta(yes + ½, no + ½)
(Jeffreys); both figures are computed for each draw, and the middle 95 of 100 stand. A band without a single yes is so
not taken to hold none, and a band that was reviewed whole is known exactly.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from revetl.golden.review.bands import Band
from revetl.golden.review.review_file import ReviewedPair
from revetl.seeded_random import Seeded

_DRAWS = 2_000


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
    dice = Seeded(seed)
    drawn = [_figures([_drawn(one, dice) for one in bands if one.n_answers]) for _ in range(draws)]
    precision, recall = _figures([_expected(one) for one in bands if one.n_answers])
    silent = [one.band for one in bands if not one.n_answers]
    return ReviewScores(
        _estimate(precision, [p for p, _ in drawn]) if not any(band.joined for band in silent) else None,
        _estimate(recall, [r for _, r in drawn]) if not silent else None,
        bands,
        sum(one.n_answers for one in bands),
        unknown,
    )


# Of the pairs of a band: joined and one person's, joined and not, apart and one person's.
_Totals = tuple[float, float, float]


def _expected(one: BandAnswers) -> _Totals:
    scale = one.band.n_pairs / one.n_answers
    return one.joined_yes * scale, one.joined_no * scale, one.apart_yes * scale


def _drawn(one: BandAnswers, dice: Seeded) -> _Totals:
    n_joined, n_apart = one.joined_yes + one.joined_no, one.apart_yes + one.apart_no
    rest = max(one.band.n_pairs - one.n_answers, 0)
    # A band all of which is on one side is so because the clusters are those it was drawn from.
    joined = 1.0 if not n_apart else 0.0 if not n_joined else dice.betavariate(n_joined + 0.5, n_apart + 0.5)
    of_joined = dice.betavariate(one.joined_yes + 0.5, one.joined_no + 0.5) if n_joined else 0.0
    of_apart = dice.betavariate(one.apart_yes + 0.5, one.apart_no + 0.5) if n_apart else 0.0
    return (
        one.joined_yes + rest * joined * of_joined,
        one.joined_no + rest * joined * (1 - of_joined),
        one.apart_yes + rest * (1 - joined) * of_apart,
    )


def _figures(totals: Sequence[_Totals]) -> tuple[float, float]:
    yes, no, missed = (sum(each) for each in zip(*totals, strict=True)) if totals else (0.0, 0.0, 0.0)
    return (yes / (yes + no) if yes + no else 1.0), (yes / (yes + missed) if yes + missed else 1.0)


def _estimate(value: float, drawn: Sequence[float]) -> ShareEstimate:
    ordered = sorted(drawn)
    low, high = (ordered[min(int(share * len(ordered)), len(ordered) - 1)] for share in (0.025, 0.975))
    return ShareEstimate(value, min(low, value), max(high, value))

"""Intervals of a review, over populations whose truth is known: how often they hold it, and how wide they are.

A population is a set of bands with a share of one person's pairs each. Of every one as many samples are drawn as a review
would draw, answered by the truth, and estimated.
"""

from __future__ import annotations

import os

from benchmarks.report import Section
from revetl.golden.review.bands import Band, allotted
from revetl.golden.review.estimate import ShareEstimate, review_scores
from revetl.golden.review.review_file import ReviewedPair
from revetl.seeded_random import Seeded

SAMPLES = int(os.environ.get("REVETL_REVIEW_SAMPLES", "400"))
N_PAIRS = 200
# name → (score, joined, pairs, of them one person's)
POPULATIONS: dict[str, tuple[tuple[str, bool, int, int], ...]] = {
    "nearly pure, small": (
        ("-4 to 0 bits", True, 4, 4),
        ("0 to 4 bits", True, 63, 61),
        ("4 to 8 bits", True, 245, 245),
        ("8 to 16 bits", True, 112, 112),
        ("16 bits and more", True, 4, 4),
        ("-4 to 0 bits", False, 42, 20),
        ("-8 to -4 bits", False, 141, 2),
        ("below -8 bits", False, 631, 0),
    ),
    "large": (
        ("0 to 4 bits", True, 5_000, 4_600),
        ("8 to 16 bits", True, 60_000, 59_900),
        ("16 bits and more", True, 200_000, 200_000),
        ("-4 to 0 bits", False, 9_000, 900),
        ("below -8 bits", False, 400_000, 200),
    ),
    "weights that are wrong": (
        ("0 to 4 bits", True, 900, 500),
        ("8 to 16 bits", True, 2_000, 1_500),
        ("not compared", True, 300, 150),
        ("-4 to 0 bits", False, 500, 200),
        ("below -8 bits", False, 900, 90),
    ),
}
CLUSTERS = {"left": "1", "joined": "1", "apart": "2"}


def sampled(bands: dict[Band, int], dice: Seeded) -> list[ReviewedPair]:
    """A review of these bands, answered by the truth."""
    drawn = allotted(list(bands), N_PAIRS)
    pairs = []
    for band, n_same in bands.items():
        other = "joined" if band.joined else "apart"
        places = dice.sample(range(band.n_pairs), drawn[band.name])
        pairs += [ReviewedPair("left", other, band, None, place < n_same) for place in places]
    return pairs


def holds(truth: float, found: ShareEstimate | None) -> bool:
    return found is not None and found.low <= truth <= found.high


def measure() -> Section:
    first = int(os.environ.get("REVETL_FIRST_SEED", "0"))
    rows, least = [], 1.0
    for name, population in POPULATIONS.items():
        bands = {Band(score, joined, n): same for score, joined, n, same in population}
        right = sum(same for band, same in bands.items() if band.joined)
        truth = (right / sum(band.n_pairs for band in bands if band.joined), right / sum(bands.values()))
        held, widths = [0, 0], [0.0, 0.0]
        for seed in range(first, first + SAMPLES):
            found = review_scores(sampled(bands, Seeded(seed)), CLUSTERS, seed=seed, draws=400)
            for i, one in enumerate((found.precision, found.recall)):
                held[i] += holds(truth[i], one)
                widths[i] += 0.0 if one is None else one.high - one.low
        shares = [n / SAMPLES for n in held]
        least = min(least, *shares)
        cells = (f"{truth[i]:.3f} | {shares[i]:.1%} | {widths[i] / SAMPLES:.3f}".split(" | ") for i in range(2))
        rows.append((name, *(cell for each in cells for cell in each)))
    return Section(
        title="Intervals of a review",
        workload=f"{SAMPLES:,} samples of about {N_PAIRS} pairs of each population, from seed {first}.",
        header=("", "precision", "held", "width", "recall", "held", "width"),
        rows=rows,
        verdict="Target: each holds the truth in 95 of 100 samples or more: "
        + ("met." if least >= 0.95 else f"NOT met: {least:.1%}."),
    )

"""Bands: pairs of records that are about as likely to be one person's. A review draws from each band by itself."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

# In bits. A weight of 0 is as likely one person's as two people's, 4 sixteen times as likely.
_EDGES = (-8, -4, 0, 4, 8, 16)
NOT_COMPARED, VETOED = "not compared", "vetoed"
_DOUBT = 0.5  # of a band whose weight says nothing
_LEAST = 0.02  # of what a weight claims: no weight is taken to be surer than one in fifty


@dataclass(frozen=True, slots=True)
class Band:
    """`score`: which weights, or by which rule where the model has no weights. `joined`: whether the clusters put the
    two records together. `n_pairs`: how many pairs of all are in it, above zero."""

    score: str
    joined: bool
    n_pairs: int

    @property
    def name(self) -> str:
        return f"{'joined' if self.joined else 'apart'}, {self.score}"

    @property
    def claimed(self) -> float:
        """The share of one person's pairs that the weight itself claims; between 0 and 1."""
        return _CLAIMED.get(self.score, _DOUBT)


def score_case(weight: str) -> str:
    """An SQL expression: the score of a pair whose weight is the expression `weight`, NULL where it is vetoed."""
    whens = [f"WHEN {weight} IS NULL THEN '{VETOED}'"]
    whens += [f"WHEN {weight} < {edge} THEN '{name}'" for edge, name in zip(_EDGES, _NAMES, strict=False)]
    return f"CASE {' '.join(whens)} ELSE '{_NAMES[-1]}' END"


def _names() -> list[str]:
    between = [f"{low} to {high} bits" for low, high in pairwise(_EDGES)]
    return [f"below {_EDGES[0]} bits", *between, f"{_EDGES[-1]} bits and more"]


_NAMES = _names()


def _claimed() -> dict[str, float]:
    middles = [
        _EDGES[0] - 2.0,
        *((low + high) / 2 for low, high in pairwise(_EDGES)),
        _EDGES[-1] + 2.0,
    ]
    shares = [2**bits / (1 + 2**bits) for bits in middles]
    return {VETOED: _LEAST} | {
        name: min(max(share, _LEAST), 1 - _LEAST) for name, share in zip(_NAMES, shares, strict=True)
    }


_CLAIMED = _claimed()


def allotted(bands: list[Band], n_pairs: int, *, least: int = 5) -> dict[str, int]:
    """How many pairs of each band are drawn, by its name: about `n_pairs` in all, half of them joined.

    Precision is about joined pairs and recall about those that are apart, so each gets half. Inside, Neyman's
    allotment (1934) with the shares that the weights claim, one pair after the other (Wright 2012). `least` of each
    band, or all it has: a band of which nobody saw a pair says nothing.
    """
    found = {band.name: min(least, band.n_pairs) for band in bands}
    sides = [side for side in ([b for b in bands if b.joined], [b for b in bands if not b.joined]) if side]
    for side in sides:
        room = n_pairs // len(sides) - sum(found[band.name] for band in side)
        for _ in range(room):
            open_ = [band for band in side if found[band.name] < band.n_pairs]
            if not open_:
                break
            found[max(open_, key=lambda band: _gain(band, found[band.name])).name] += 1
    return found


def _gain(band: Band, drawn: int) -> float:
    deviation = float((band.claimed * (1 - band.claimed)) ** 0.5)
    return band.n_pairs * deviation / float((drawn * (drawn + 1)) ** 0.5)

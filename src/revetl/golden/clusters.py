"""Two ways to put the same records together, compared: the truth and what was found, or before a change and after it.

Both are given as cells: how many records are in one cluster here and in one cluster there. Names of clusters say
nothing; only who is together counts.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Cell:
    """`n_records`, above zero, are in cluster `left` on one side and in cluster `right` on the other. Each pair of
    names stands once."""

    left: str
    right: str
    n_records: int


@dataclass(frozen=True, slots=True)
class Score:
    """Between 0 and 1; 1.0 where there is nothing to find, or nothing was found."""

    precision: float
    recall: float

    @property
    def f1(self) -> float:
        total = self.precision + self.recall
        return 2 * self.precision * self.recall / total if total else 0.0


@dataclass(frozen=True, slots=True)
class Scores:
    """pairs  of two records that are together, and should be
    exact  of whole clusters, record by record
    b3     per record, of those that it is with (Bagga and Baldwin 1998)
    worst_joins, worst_misses  clusters with the most wrong pairs, and with the most pairs that were not found; the
           worst first
    """

    n_records: int
    pairs: Score
    exact: Score
    b3: Score
    worst_joins: tuple[tuple[str, int], ...]
    worst_misses: tuple[tuple[str, int], ...]


def score(cells: Sequence[Cell], *, shown: int = 5) -> Scores:
    """`left`: what was found; `right`: the truth."""
    found, truth = _sizes((c.left, c.n_records) for c in cells), _sizes((c.right, c.n_records) for c in cells)
    n_records = sum(c.n_records for c in cells)
    right = sum(_pairs(c.n_records) for c in cells)
    exact = sum(1 for c in cells if c.n_records == found[c.left] == truth[c.right])
    b3_precision = sum(c.n_records**2 / found[c.left] for c in cells)
    b3_recall = sum(c.n_records**2 / truth[c.right] for c in cells)
    return Scores(
        n_records,
        Score(_share(right, sum(map(_pairs, found.values()))), _share(right, sum(map(_pairs, truth.values())))),
        Score(_share(exact, len(found)), _share(exact, len(truth))),
        Score(_share(b3_precision, n_records), _share(b3_recall, n_records)),
        _worst(found, _sizes((c.left, _pairs(c.n_records)) for c in cells), shown),
        _worst(truth, _sizes((c.right, _pairs(c.n_records)) for c in cells), shown),
    )


@dataclass(frozen=True, slots=True)
class ClusterChange:
    """Clusters that share records, on either side, with how many. `kind`: merged (several became one), split (one
    became several) or moved (records went between clusters that are there before and after)."""

    kind: str
    before: tuple[tuple[str, int], ...]
    after: tuple[tuple[str, int], ...]

    @property
    def n_records(self) -> int:
        return sum(n for _, n in self.before)


def changes(cells: Sequence[Cell]) -> tuple[ClusterChange, ...]:
    """The largest first. `left`: before; `right`: after. Clusters that are the same on both sides are no change."""
    before, after = _sizes((c.left, c.n_records) for c in cells), _sizes((c.right, c.n_records) for c in cells)
    to_right, to_left = defaultdict[str, list[str]](list), defaultdict[str, list[str]](list)
    for cell in cells:
        to_right[cell.left].append(cell.right)
        to_left[cell.right].append(cell.left)
    found, seen = [], set[str]()
    for name in sorted(before):
        if name in seen:
            continue
        left, right, waiting = {name}, set[str](), [name]
        while waiting:
            for reached in to_right[waiting.pop()]:
                if reached not in right:
                    right.add(reached)
                    waiting += [each for each in to_left[reached] if each not in left]
                    left.update(to_left[reached])
        seen |= left
        if len(left) > 1 or len(right) > 1:
            kind = "merged" if len(right) == 1 else "split" if len(left) == 1 else "moved"
            found.append(ClusterChange(kind, _listed(left, before), _listed(right, after)))
    return tuple(sorted(found, key=lambda change: (-change.n_records, change.before)))


def _sizes(counted: Iterable[tuple[str, int]]) -> dict[str, int]:
    sizes = defaultdict[str, int](int)
    for name, n in counted:
        sizes[name] += n
    return dict(sizes)


def _listed(names: Iterable[str], sizes: dict[str, int]) -> tuple[tuple[str, int], ...]:
    return tuple(sorted(((name, sizes[name]) for name in names), key=lambda one: (-one[1], one[0])))


def _worst(sizes: dict[str, int], right: dict[str, int], shown: int) -> tuple[tuple[str, int], ...]:
    wrong = {name: _pairs(n) - right[name] for name, n in sizes.items() if _pairs(n) > right[name]}
    return tuple(sorted(wrong.items(), key=lambda one: (-one[1], one[0])))[:shown]


def _pairs(n: int) -> int:
    return n * (n - 1) // 2


def _share(part: float, whole: float) -> float:
    return part / whole if whole else 1.0

"""The seed of learned weights: what `match train` writes and the macro `matching_pairs` reads. It is in git, so a
change of it is reviewed like one of SQL.

One row per model, column and level. `fingerprint`: of the counts that it was learned from; `version` grows whenever a
model's weights change.
"""

from __future__ import annotations

import csv
import hashlib
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from revetl.errors import ConfigError, Problem
from revetl.golden.expectation import Learned, Pattern

SEED = "matching_weights"
_HEAD = ("model", "column_name", "level", "m", "u", "matches", "fingerprint", "version")


@dataclass(frozen=True, slots=True)
class WeightsFile:
    """What would be written. `version`: of the model's weights; the same as before where nothing changed."""

    path: Path
    text: str
    version: int
    changed: bool

    def write(self) -> None:
        """Safe to repeat."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.write_text(self.text, encoding="utf-8", newline="")


def fingerprint(samples: Mapping[str, Sequence[Pattern]], n_records: int) -> str:
    """Of the counts, in whatever order they came."""
    lines = [f"{n_records}"]
    lines += sorted(f"{name}|{'|'.join(p.levels)}|{p.n_pairs:g}" for name, of in samples.items() for p in of)
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]


def weights_file(path: Path, model: str, learned: Learned, data: str) -> WeightsFile:
    """The seed with the rows of `model` replaced, those of other models as they are. ConfigError where the file is
    none that `match train` wrote."""
    others, ours = _read(path, model)
    version = max((int(row[-1]) for row in ours), default=0)
    rows = _rows(model, learned, data)
    changed = [row[:-1] for row in ours] != rows
    version += changed
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(_HEAD)
    writer.writerows(sorted([*others, *([*row, str(version)] for row in rows)]))
    return WeightsFile(path, text.getvalue(), version, changed)


def _rows(model: str, learned: Learned, data: str) -> list[list[str]]:
    found = [
        [model, column, level, f"{m:.9f}", f"{learned.u[column][level]:.9f}", f"{learned.matches:.12f}", data]
        for column, of in learned.m.items()
        for level, m in of.items()
    ]
    return sorted(found)


def _read(path: Path, model: str) -> tuple[list[list[str]], list[list[str]]]:
    if not path.exists():
        return [], []
    with path.open(encoding="utf-8", newline="") as file:
        head, *rows = list(csv.reader(file)) or [[]]
    for number, row in enumerate(rows, 2):
        if tuple(head) != _HEAD or len(row) != len(_HEAD) or not row[-1].isdecimal():
            raise ConfigError(
                Problem("is not what `revetl match train` writes", path, line=number, hint="Move the file away.")
            )
    return [row for row in rows if row[0] != model], sorted(row for row in rows if row[0] == model)

"""Rows of a list that can't be read: what is wrong with each, told at once, and the rows themselves in a file.

Nothing of such a row is asked: with a cell too many it is not known which cell is which, and a wrong question is paid
for like a right one.
"""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass, field
from pathlib import Path

from revetl.errors import ConfigError, Problem
from revetl.private_files import replaced
from revetl.safe_text import for_spreadsheet

MOST_PROBLEMS = 20  # of one list, in one message
MOST_REJECTED = 10_000  # kept in memory; more is a list that is read with the wrong delimiter


@dataclass(frozen=True, slots=True)
class RejectedRow:
    """`line`: where it begins, counted from 1; `noticed`: where it was seen to be none. `text`: as it stands in the
    file."""

    line: int
    problem: str
    text: str = field(repr=False)
    hint: str | None = None
    noticed: int | None = None


class RejectedRows:
    """Of one list. `set_aside`: they are kept for a file, and the others are used. Else any of them refuses the list,
    and so do too many of them."""

    def __init__(self, name: Path, *, set_aside: bool = False) -> None:
        self._name, self._set_aside = name, set_aside
        self._rows: list[RejectedRow] = []
        self._seen = 0

    def __len__(self) -> int:
        return self._seen

    @property
    def first(self) -> RejectedRow | None:
        return self._rows[0] if self._rows else None

    def begin(self) -> None:
        """The list is read again from its start."""
        self._rows, self._seen = [], 0

    def add(self, row: RejectedRow) -> None:
        self._seen += 1
        if len(self._rows) < (MOST_REJECTED if self._set_aside else MOST_PROBLEMS):
            self._rows.append(row)

    def end(self, kept: int) -> None:
        """ConfigError where the list can't be used: `kept` rows of it could be read."""
        if self._seen and (not self._set_aside or self._seen > min(kept, MOST_REJECTED)):
            raise ConfigError([Problem(r.problem, self._name, r.line, r.hint) for r in self._rows[:MOST_PROBLEMS]])

    def write(self, path: Path) -> None:
        """As CSV, for its owner alone, whole or not at all."""
        with replaced(path) as file:
            text = io.TextIOWrapper(file, encoding="utf-8-sig", newline="")
            out = csv.writer(text)
            out.writerow(["line", "problem", "text"])
            out.writerows([row.line, row.problem, for_spreadsheet(row.text)] for row in self._rows)
            text.detach()

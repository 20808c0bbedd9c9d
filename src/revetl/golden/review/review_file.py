"""The CSV of a review: what a person is shown, and what the answers are read from.

Two records stand in one row, the same column of both side by side. How sure the matching was stands in the last
columns, where it sways nobody. Every cell is text that no spreadsheet computes; keys are written so that one gives them
back as they were, also `00017`, `1e5` and `=A1`.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, unquote

from revetl.errors import ConfigError, Problem, quoted
from revetl.golden.review.bands import Band
from revetl.golden.review.sampling import DrawnPair
from revetl.private_files import replaced
from revetl.safe_text import for_spreadsheet

ANSWER = "same"
_LAST = ("left_key", "right_key", "band", "pairs_in_band", "weight")
_KEY = "key:"
_PLAIN = " :._/-"  # stay as they are inside a key
_YES, _NO = ("yes", "y", "true", "1"), ("no", "n", "false", "0")
_UNSURE = ("", "?", "unsure")


@dataclass(frozen=True, slots=True)
class ReviewedPair:
    """`same`: whether the two records are one person's; None where nobody said."""

    left_key: str
    right_key: str
    band: Band
    weight: float | None
    same: bool | None


def is_review(path: Path) -> bool:
    """Whether the file's head is that of a review. ConfigError where it can't be read."""
    head = _read(path)[:1]
    return bool(head) and set(_LAST) < set(head[0]) and head[0][0].strip().lower() == ANSWER


def refuse_existing(path: Path) -> None:
    """ConfigError where there is a file: it may hold answers that took somebody hours."""
    if path.exists():
        raise ConfigError(Problem("is there already", path, hint="Move it away, or name another file."))


def write_review(
    path: Path, pairs: Sequence[DrawnPair], columns: Sequence[str], values: Mapping[str, Sequence[str]]
) -> None:
    """For its owner alone (mode 0600): it holds people. ConfigError where there is a file already."""
    refuse_existing(path)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    sides = [f"{name} ({side})" for name in columns for side in ("left", "right")]
    writer.writerow([ANSWER, *map(for_spreadsheet, sides), *_LAST])
    nothing = [""] * len(columns)
    for pair in pairs:
        both = zip(values.get(pair.left_key, nothing), values.get(pair.right_key, nothing), strict=True)
        cells = [for_spreadsheet(cell) for two in both for cell in two]
        weight = "" if pair.weight is None else f"{pair.weight:.3f}"
        last = [_written(pair.left_key), _written(pair.right_key), for_spreadsheet(pair.band.name)]
        writer.writerow(["", *cells, *last, str(pair.band.n_pairs), weight])
    try:
        with replaced(path) as file:
            # With a mark of its encoding, without which spreadsheets take it for another one.
            file.write(text.getvalue().encode("utf-8-sig"))
    except OSError as e:
        raise ConfigError(Problem(f"can't be written: {e.strerror}", path)) from e


def read_review(path: Path) -> tuple[ReviewedPair, ...]:
    """Also as a spreadsheet saves it: with `;` or tabs, a comma in numbers, columns moved. ConfigError with every
    answer that is neither yes nor no, by its line."""
    head, *rows = _read(path)
    place = {name.strip().lower(): i for i, name in enumerate(head)}
    found, problems = [], []
    for number, row in enumerate(rows, 2):
        if not any(cell.strip() for cell in row):
            continue
        try:
            answer, left, right, band, n_pairs, weight = (row[place[name]].strip() for name in (ANSWER, *_LAST))
            side, _, score = band.partition(", ")
            bits = float(weight.replace(",", ".")) if weight else None
            pair_band = Band(score, side == "joined", int(n_pairs))
            if answer.lower() not in (*_YES, *_NO, *_UNSURE):
                problems.append(Problem(f"{quoted(answer)} is neither yes nor no", path, line=number))
                continue
            same = None if answer.lower() in _UNSURE else answer.lower() in _YES
            found.append(ReviewedPair(_key(left), _key(right), pair_band, bits, same))
        except (IndexError, ValueError):
            problems.append(Problem("is no line of a review", path, line=number))
    if problems:
        raise ConfigError(problems)
    return tuple(found)


def _written(key: str) -> str:
    return _KEY + quote(key, safe=_PLAIN)


def _key(cell: str) -> str:
    if not cell.startswith(_KEY):
        raise ValueError("no key")
    return unquote(cell.removeprefix(_KEY))


def _read(path: Path) -> list[list[str]]:
    try:
        text = path.read_text("utf-8-sig")
        first = text.partition("\n")[0]
        delimiter = max(",;\t", key=first.count)
        return list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter))
    except (OSError, UnicodeDecodeError, csv.Error) as e:
        raise ConfigError(Problem(f"can't be read as CSV: {type(e).__name__}", path)) from e

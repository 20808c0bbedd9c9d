"""docs/reliability.md: one section per proof, each with the day and the time it took. Nothing there is written by hand."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.report import DOCS, Page, Section

_HEAD = (
    "# Reliability\n\n"
    "Written by `make verify`; not edited by hand. Each section says what was tried, what was counted and whether the "
    "target was met.\n"
)


def put(name: str, order: Sequence[str], section: Section, seconds: float) -> None:
    """Writes the section in the place of the earlier one of that name."""
    Page(DOCS / "reliability.md", _HEAD, "python -m verification", order).put(name, section, seconds)

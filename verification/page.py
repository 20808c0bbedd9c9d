"""docs/reliability.md: one section per proof, each with the day and the time it took. Nothing there is written by hand."""

from __future__ import annotations

import platform
import re
from collections.abc import Sequence
from datetime import date
from pathlib import Path

from benchmarks.report import Section

TARGET = Path(__file__).resolve().parents[1] / "docs" / "reliability.md"
_HEAD = (
    "# Reliability\n\n"
    "Written by `make verify`; not edited by hand. Each section says what was tried, what was counted and whether the "
    "target was met; `python -m verification NAME` repeats one of them.\n"
)


def put(name: str, order: Sequence[str], section: Section, seconds: float) -> None:
    """Writes the section in the place of the earlier one of that name."""
    sections = _sections()
    sections[name] = (
        f"<!-- {name} -->\n{section.markdown()}\n"
        f"`python -m verification {name}`, {date.today().isoformat()}, Python {platform.python_version()}, "  # noqa: DTZ011  a date for people
        f"{seconds:.0f} s.\n"
    )
    ordered = [n for n in order if n in sections]
    TARGET.write_text("\n".join([_HEAD, *(sections[n] for n in ordered)]))


def _sections() -> dict[str, str]:
    if not TARGET.exists():
        return {}
    parts = re.split(r"^<!-- (\w+) -->\n", TARGET.read_text(), flags=re.MULTILINE)[1:]
    return {name: f"<!-- {name} -->\n{body.rstrip()}\n" for name, body in zip(parts[::2], parts[1::2], strict=True)}

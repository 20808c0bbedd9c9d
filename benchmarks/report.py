"""Collects figures and writes docs/benchmarks.md. Nothing in that file is written by hand."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass, field
from datetime import date
from importlib.metadata import version
from pathlib import Path

TARGET = Path(__file__).resolve().parents[1] / "docs" / "benchmarks.md"


@dataclass
class Section:
    """One workload: what was measured, a table, and what it means."""

    title: str
    workload: str
    header: tuple[str, ...]
    rows: list[tuple[str, ...]] = field(default_factory=list)
    verdict: str = ""

    def markdown(self) -> str:
        lines = [f"## {self.title}", "", self.workload, "", "| " + " | ".join(self.header) + " |"]
        lines.append("|" + "---|" * len(self.header))
        lines += ["| " + " | ".join(row) + " |" for row in self.rows]
        if self.verdict:
            lines += ["", self.verdict]
        return "\n".join(lines) + "\n"


def write(sections: list[Section], seconds: float) -> None:
    versions = ", ".join(f"{name} {version(name)}" for name in ("duckdb", "httpx", "aiohttp", "drt-core", "dlt"))
    head = (
        "# Benchmarks\n\n"
        "Written by `make bench`; not edited by hand. Every comparison is a ratio between runs that took turns on one "
        "machine within minutes, because absolute times on shared machines drift.\n\n"
        f"{date.today().isoformat()}, Python {platform.python_version()}, {os.cpu_count()} cores, "  # noqa: DTZ011  a date for people
        f"{platform.system()} {platform.machine()}; {versions}. The whole run took {seconds:.0f} s.\n\n"
    )
    TARGET.write_text(head + "\n".join(s.markdown() for s in sections))

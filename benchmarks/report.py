"""Figures as pages of Markdown: docs/benchmarks.md here, docs/reliability.md for the proofs. Nothing on such a page is
written by hand; a section that is measured again takes the place of the earlier one."""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

DOCS = Path(__file__).resolve().parents[1] / "docs"


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


@dataclass(frozen=True)
class Page:
    """`head`: what stands above the sections. `command`: what repeats one of them, its name to follow."""

    path: Path
    head: str
    command: str
    order: Sequence[str]

    def put(self, name: str, section: Section, seconds: float) -> None:
        """Writes the section in the place of the earlier one of that name."""
        sections = self._sections()
        sections[name] = (
            f"<!-- {name} -->\n{section.markdown()}\n"
            f"`{self.command} {name}`, {datetime.now(UTC).date().isoformat()}, {seconds:.0f} s; {_machine()}.\n"
        )
        self.path.write_text("\n".join([self.head, *(sections[n] for n in self.order if n in sections)]))

    def _sections(self) -> dict[str, str]:
        if not self.path.exists():
            return {}
        parts = re.split(r"^<!-- (\w+) -->\n", self.path.read_text(), flags=re.MULTILINE)[1:]
        return {name: f"<!-- {name} -->\n{body.rstrip()}\n" for name, body in zip(parts[::2], parts[1::2], strict=True)}


def _machine() -> str:
    versions = ", ".join(f"{name} {version(name)}" for name in ("duckdb", "httpx", "aiohttp"))
    return f"Python {platform.python_version()}, {os.cpu_count()} cores, {platform.system()} {platform.machine()}, {versions}"

"""The ids of the newest runs, in a file beside dbt's artifacts: a shell completes them without the warehouse."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

FILE = "revetl_runs.txt"
_KEPT = 50


def remember_runs(folder: Path, run_ids: Iterable[str]) -> None:
    """The newest first. A list that can't be written costs a completion and nothing else; of two runs that end at once
    it may lose one."""
    with suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True)
        file = folder / FILE
        known = dict.fromkeys([*run_ids, *(read_runs(file) if file.exists() else ())])
        file.write_text("".join(f"{run}\n" for run in [*known][:_KEPT]), encoding="utf-8")


def read_runs(file: Path) -> list[str]:
    return file.read_text(encoding="utf-8", errors="replace").split()

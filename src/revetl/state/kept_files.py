"""Small files beside the project that know what a restored warehouse has forgotten (docs/adr/0019).

They stand in the project's folder for its target, 0600 in folders 0700 that git ignores, and appear whole or not at
all.
"""

from __future__ import annotations

import os
from pathlib import Path


def write(path: Path, state_dir: Path, text: str) -> None:
    """Durable when this returns. `path` is below `state_dir`. OSError where the disk does not take it."""
    for folder in (state_dir.parent, state_dir, path.parent):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    ignored = state_dir.parent / ".gitignore"
    if not ignored.exists():
        ignored.write_text("*\n")
    draft = path.with_name(f".{path.name}.{os.getpid()}.part")
    draft.unlink(missing_ok=True)
    try:
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


def read(path: Path) -> str | None:
    """None where there is none."""
    try:
        return path.read_text("utf-8")
    except FileNotFoundError:
        return None

"""One dbt exposure per sync, so that dbt's lineage ends where the data does. Only where revetl.yml asks for the file.

A file of ours among the models must never be what breaks the project. An exposure whose model was renamed, deleted or
disabled is an error to dbt before it says anything else, so the file is set aside before revetl lets dbt parse and
written again from what dbt parsed.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import yaml

from revetl.model import SyncSpec
from revetl.project.settings import Owner

_FIRST = "# Written by `revetl build`, one exposure per sync."  # earlier versions began with it as well
HEADER = (
    f"{_FIRST} Change the model's config.meta.revetl, not this file.\n"
    "# It may be deleted at any time: should dbt miss a model that this file names, delete it.\n"
)
_BY_EARLIER_VERSIONS = Path("models/exposures/revetl.yml")


def set_aside(path: Path | None) -> None:
    """Before dbt parses. Safe to repeat; a file that is not ours is left alone."""
    if path is not None and _is_ours(path):
        path.unlink()


def remove_unasked(dbt_project_dir: Path, wanted: Path | None) -> None:
    """Before dbt parses: what an earlier version wrote without being asked. Safe to repeat."""
    file = dbt_project_dir.resolve() / _BY_EARLIER_VERSIONS
    if file != wanted and _is_ours(file):
        file.unlink()


def write_exposures(path: Path, syncs: Sequence[SyncSpec], owner: Owner) -> None:
    """Writes the file; none for a project without syncs. A file that is not ours is left alone."""
    if not syncs or (path.exists() and not _is_ours(path)):
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    document = yaml.safe_dump(_document(syncs, owner), sort_keys=False, width=120, allow_unicode=True)
    path.write_text(HEADER + document, encoding="utf-8")


def _is_ours(file: Path) -> bool:
    try:
        with file.open(encoding="utf-8") as lines:
            return lines.readline().startswith(_FIRST)
    except (OSError, UnicodeDecodeError):
        return False


def _document(syncs: Sequence[SyncSpec], owner: Owner) -> dict[str, object]:
    return {
        "exposures": [
            {
                "name": f"sync_{s.name}",
                "label": f"{s.destination}: {s.object}",
                "type": "application",
                "maturity": "high",
                "description": f"{s.object} of {s.destination}, kept equal to {s.name} by revetl ({s.mode}).",
                "depends_on": [f"ref('{s.name}')"],
                "owner": owner.model_dump(exclude_none=True),
            }
            for s in sorted(syncs, key=lambda s: s.name)
        ]
    }

"""One dbt exposure per sync, so that dbt's lineage ends where the data does."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import yaml

from revetl.model import SyncSpec
from revetl.project.settings import Owner

HEADER = "# Written by `revetl build`, one exposure per sync. Change the model's config.meta.revetl, not this file.\n"


def write_exposures(dbt_project_dir: Path, syncs: Sequence[SyncSpec], owner: Owner) -> bool:
    """Writes models/exposures/revetl.yml where it differs, and says whether it did. dbt reads it when it next parses.

    Nothing is written for a project without syncs, unless the file exists and is out of date.
    """
    path = dbt_project_dir / "models" / "exposures" / "revetl.yml"
    text = HEADER + yaml.safe_dump(_document(syncs, owner), sort_keys=False, width=120, allow_unicode=True)
    present = path.read_text(encoding="utf-8") if path.exists() else None
    if present == text or (present is None and not syncs):
        return False
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return True


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

"""Writes docs/reference/openapi.json from the table of routes: `python scripts/api_docs.py`."""

from __future__ import annotations

import json
from pathlib import Path

from revetl.service.api.openapi import document

TARGET = Path(__file__).resolve().parents[1] / "docs" / "reference" / "openapi.json"

if __name__ == "__main__":
    TARGET.write_text(json.dumps(document(), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")

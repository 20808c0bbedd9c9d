"""The list of erased people, kept once more outside of the warehouse: a restored backup is older than some erasures,
and a dropped schema knows of none. What either side lacks it takes from the other, so that nobody who was erased is
looked up or sent again.

The file holds keyed hashes, and the key where the warehouse holds it too (`suppression_key`). It names nobody; whoever
can read file and key can test a guess, so it is 0600.
"""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import Any

from revetl.clock import naive
from revetl.errors import ConfigError, Problem
from revetl.privacy.suppressions import ERASED
from revetl.state import kept_files
from revetl.state.appending import append_rows
from revetl.state.schema import relation
from revetl.warehouse.base import Warehouse
from revetl.warehouse.sql import table

FILE = "erased.json"
_NO_LIST = "Move it away only if nobody was erased: without it a restored warehouse would send them again."


def reconcile(warehouse: Warehouse, state_dir: Path | None, now: datetime) -> int:
    """How many entries the warehouse lacked, and has now. The state tables must be there. Safe to repeat.

    ConfigError where the file can't be read, or where its entries were made with another key than the warehouse's: then
    nobody in it would be recognised, and nothing may be sent."""
    if state_dir is None:
        return 0
    path = state_dir / FILE
    kept = _read(path)
    keys, listed = (table(relation(warehouse, name)) for name in ("suppression_key", "suppressions"))
    key = _key(warehouse, keys)
    if kept is not None and key is None:
        made = kept["key"]
        values = [made["source"], made["salt"], made["fingerprint"]]
        warehouse.execute(f"INSERT INTO {keys} (source, salt, fingerprint) VALUES (?, ?, ?)", values)
        key = made
    if kept is not None and key is not None and kept["key"]["fingerprint"] != key["fingerprint"]:
        message = "its people were erased under another key than this warehouse's: none of them would be recognised"
        raise ConfigError(Problem(message, path, hint="Erase them again here, then move the file away."))
    known = {str(h) for (h,) in warehouse.rows(f"SELECT identity_hash FROM {listed} WHERE reason = ?", [ERASED])}
    of_file = set(kept["erased"]) if kept is not None else set[str]()
    append_rows(warehouse, "suppressions", [(h, ERASED, naive(now)) for h in sorted(of_file - known)])
    if known - of_file and key is not None:
        document = {"key": key, "erased": sorted(known | of_file)}
        kept_files.write(path, state_dir, json.dumps(document, indent=1) + "\n")
    return len(of_file - known)


def _key(warehouse: Warehouse, keys: str) -> dict[str, str | None] | None:
    for source, salt, fingerprint in warehouse.rows(f"SELECT source, salt, fingerprint FROM {keys}"):
        return {"source": str(source), "salt": None if salt is None else str(salt), "fingerprint": str(fingerprint)}
    return None


def _read(path: Path) -> dict[str, Any] | None:
    text = kept_files.read(path)
    if text is None:
        return None
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        document = None
    match document:
        case {"key": {"source": str(), "salt": str() | None, "fingerprint": str()}, "erased": [*hashes]} if all(
            isinstance(h, str) for h in hashes
        ):
            return dict(document)
    raise ConfigError(Problem("not the list of erased people that revetl wrote", path, hint=_NO_LIST))

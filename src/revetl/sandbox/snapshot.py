"""The portal in a file, so that a sandbox that is stopped and started again holds the same records."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from revetl.sandbox.hubspot.portal import Portal
from revetl.sandbox.hubspot.schema import Property
from revetl.sandbox.hubspot.store import ObjectStore, Record, Write

FILE_NAME = "hubspot.json"
_FORMAT = 1
_PROPERTY_FIELDS = ("name", "type", "field_type", "label", "group", "description", "unique", "options")


class Snapshot:
    """`load` at the start, `save` whenever `stale`. The file is replaced whole: a crash leaves the earlier one.
    `portal` gives the present one, since a reset puts another in its place."""

    def __init__(self, data_dir: Path, portal: Callable[[], Portal]) -> None:
        self._path = data_dir / FILE_NAME
        self._portal = portal
        self._saved_version = portal().version

    @property
    def stale(self) -> bool:
        return self._portal().version != self._saved_version

    def load(self) -> bool:
        """Whether there was anything to load. A file of another format is refused with ValueError."""
        if not self._path.exists():
            return False
        document = json.loads(self._path.read_text("utf-8"))
        if document.get("format") != _FORMAT:
            raise ValueError(f"{self._path} was written by another version of the sandbox; remove it to start afresh")
        _restore(self._portal(), document)
        self._saved_version = self._portal().version
        return True

    def save(self) -> None:
        version = self._portal().version
        self._path.parent.mkdir(parents=True, exist_ok=True)
        aside = self._path.with_suffix(".json.new")
        with aside.open("w", encoding="utf-8") as file:
            json.dump(_document(self._portal()), file, separators=(",", ":"))
            file.flush()
            os.fsync(file.fileno())
        aside.replace(self._path)
        self._saved_version = version


def _document(portal: Portal) -> dict[str, Any]:
    return {
        "format": _FORMAT,
        "last_id": portal.last_id,
        "blocked_emails": sorted(portal.blocked_emails),
        "stores": {name: _store_document(store) for name, store in portal.stores.items()},
        "links": [
            [from_type, from_id, to_type, to_id, types]
            for (from_type, from_id), by_type in portal.links.items()
            for to_type, targets in by_type.items()
            for to_id, types in targets.items()
        ],
    }


def _store_document(store: ObjectStore) -> dict[str, Any]:
    custom = [p for p in store.properties.values() if not p.hubspot_defined]
    return {
        "properties": [{f: getattr(p, f) for f in _PROPERTY_FIELDS} for p in custom],
        "records": [
            [r.id, r.created_ms, r.updated_ms, r.archived_ms, r.values, r.writes]
            for r in (*store.records.values(), *store.archived.values())
        ],
        "merged": store.merged,
    }


def _restore(portal: Portal, document: dict[str, Any]) -> None:
    portal.last_id = document["last_id"]
    portal.blocked_emails = set(document["blocked_emails"])
    for name, stored in document["stores"].items():
        store = portal.stores[name] = ObjectStore(name)
        for fields in stored["properties"]:
            store.add_property(Property(**fields, hubspot_defined=False))
        store.merged = stored["merged"]
        for record_id, created_ms, updated_ms, archived_ms, values, writes in stored["records"]:
            record = Record(record_id, values, created_ms, "")
            record.updated_ms, record.archived_ms = updated_ms, archived_ms
            record.writes = [Write(*w) for w in writes]
            if archived_ms is not None:
                store.archived[record_id] = record
                continue
            store.records[record_id] = record
            store.reindex(record)
        store.order = sorted(map(int, store.records))
    for from_type, from_id, to_type, to_id, types in document["links"]:
        portal.links.setdefault((from_type, from_id), {}).setdefault(to_type, {})[to_id] = types

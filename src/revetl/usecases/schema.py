"""`revetl schema`: the JSON Schema of what an operator writes, from the same models that read it."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

from revetl.enrich.waterfall import WaterfallSpec
from revetl.project.connections import ConnectionsFile
from revetl.project.manifest import SyncMeta
from revetl.project.settings import Settings
from revetl.providers.grammar import VendorFile

_MODELS: dict[str, type[BaseModel]] = {
    "project": Settings,
    "connections": ConnectionsFile,
    "sync": SyncMeta,
    "provider": VendorFile,
    "waterfall": WaterfallSpec,
}


def json_schema(kind: str) -> dict[str, Any]:
    """Of project, connections, sync, provider or waterfall. KeyError for any other word."""
    return _MODELS[kind].model_json_schema()

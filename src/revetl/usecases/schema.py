"""`revetl schema`: the JSON Schema of what an operator writes, from the same models that read it."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from revetl.alerts.spec import AlertsFile
from revetl.destinations.registry import connectors, options_model
from revetl.enrich.waterfall import WaterfallSpec
from revetl.project.connections import ConnectionsFile
from revetl.project.matching_meta import MatchingMeta
from revetl.project.settings import Settings
from revetl.project.survivorship_meta import SurvivorshipMeta
from revetl.project.sync_meta import SyncMeta
from revetl.providers.grammar import VendorFile

_MODELS: dict[str, type[BaseModel]] = {
    "project": Settings,
    "connections": ConnectionsFile,
    "sync": SyncMeta,
    "matching": MatchingMeta,
    "survivorship": SurvivorshipMeta,
    "provider": VendorFile,
    "waterfall": WaterfallSpec,
    "alerts": AlertsFile,
}
MODEL = "model"
KINDS = (*_MODELS, MODEL)
# Where the files of a project name their schemas, from its root. Nothing is published for an editor to fetch.
FOLDER = Path(".revetl") / "schemas"


def json_schema(kind: str) -> dict[str, Any]:
    """Of project, connections, sync, matching, survivorship, provider, waterfall, alerts or model. KeyError for any
    other word."""
    if kind == MODEL:
        return _of_models()
    return _of_connections() if kind == "connections" else _MODELS[kind].model_json_schema()


def schema_document(kind: str) -> dict[str, Any]:
    """The same, as a file of its own."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **json_schema(kind)}


def write_schemas(folder: Path) -> list[Path]:
    """One file of each kind, `<kind>.json`. Those of an earlier version are replaced."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = {folder / f"{kind}.json": schema_document(kind) for kind in KINDS}
    for path, document in paths.items():
        path.write_text(json.dumps(document, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    return list(paths)


def named_in(file: Path, kind: str, root: Path) -> str:
    """The comment by which an editor finds the schema of `file`, in a project at `root`. As yaml-language-server reads
    it: a relative path is meant from the file."""
    path = Path(os.path.relpath(root / FOLDER / f"{kind}.json", file.parent)).as_posix()
    return f"# yaml-language-server: $schema={path}\n"


def _of_connections() -> dict[str, Any]:
    """With what may stand under each of our own types; another package is not imported for it."""
    schema = ConnectionsFile.model_json_schema()
    entry = schema["$defs"]["DestinationEntry"]
    for connector in connectors().values():
        if connector.entry is not None:
            continue
        name = connector.type
        options = options_model(name).model_json_schema(ref_template=f"#/$defs/{name}.{{model}}")
        parts = options.pop("$defs", {}) | {"Options": options}
        schema["$defs"] |= {f"{name}.{part}": _or_variable(inner) for part, inner in parts.items()}
        of_outputs = {"outputs": {"additionalProperties": {"$ref": f"#/$defs/{name}.Options"}}}
        is_this = {"properties": {"type": {"const": name}}, "required": ["type"]}
        entry.setdefault("allOf", []).append({"if": is_this, "then": {"properties": of_outputs}})
    return schema


def _or_variable(schema: Any) -> Any:
    """The same, where a value that is not just any text may also come from the environment."""
    if isinstance(schema, list):
        return [_or_variable(inner) for inner in schema]
    if not isinstance(schema, dict):
        return schema
    inner = {name: _or_variable(value) for name, value in schema.items()}
    is_any_text = inner.get("type") == "string" and not {"pattern", "format"} & inner.keys()
    if inner.get("type") in ("integer", "number", "boolean", "string") and not is_any_text:
        return {"anyOf": [inner, {"type": "string", "pattern": "env_var"}]}
    return inner


def _of_models() -> dict[str, Any]:
    """A yml of dbt models: of all that dbt has, only the sync, the matching and the survivorship are looked at."""
    declared_in: dict[str, type[BaseModel]] = {
        "revetl": SyncMeta,
        "matching": MatchingMeta,
        "survivorship": SurvivorshipMeta,
    }
    parts: dict[str, Any] = {}
    for meta in declared_in.values():
        schema = meta.model_json_schema()
        parts |= schema.pop("$defs", {}) | {meta.__name__: schema}

    def holding(key: str, inside: dict[str, Any]) -> dict[str, Any]:
        return {"type": "object", "properties": {key: inside}}

    in_meta = {name: {"$ref": f"#/$defs/{meta.__name__}"} for name, meta in declared_in.items()}
    declared = holding("config", holding("meta", {"type": "object", "properties": in_meta}))
    models = {"type": "array", "items": declared}
    return {"title": "Models", **holding("models", models), "$defs": parts}

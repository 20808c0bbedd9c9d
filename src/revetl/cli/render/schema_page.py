"""A JSON Schema as a page that a person reads: one section for each part, one row for each key."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

Schema = Mapping[str, Any]


def page(schema: Schema, title: str, command: str) -> str:
    """Markdown. The parts stand in the order in which the first of them names the others."""
    parts = {str(schema["title"]): schema}
    waiting = [schema]
    while waiting:
        for name in _named(waiting.pop(0)):
            if name not in parts:
                parts[name] = schema["$defs"][name]
                waiting.append(parts[name])
    sections = [_section(name, part) for name, part in parts.items()]
    return f"# {title}\n\n`{command}` writes this page.\n\n" + "\n".join(sections)


def _section(name: str, part: Schema) -> str:
    lines = [f"## {name}", *part.get("description", "").splitlines(), "", "| key | is | default |", "|---|---|---|"]
    required = set(part.get("required", ()))
    for key, value in part.get("properties", {}).items():
        default = "**required**" if key in required else _default(value)
        lines.append(f"| `{key}` | {_kind(value)} | {default} |")
    return "\n".join(lines) + "\n"


def _default(value: Schema) -> str:
    given = value.get("default")
    return "" if given in (None, [], "") or isinstance(given, Mapping) else f"`{json.dumps(given)}`"


def _kind(value: Schema) -> str:
    """What may stand there, in words."""
    if "$ref" in value:
        name = value["$ref"].rsplit("/", 1)[-1]
        return f"[{name}](#{name.lower()})"
    if "enum" in value:
        return ", ".join(f"`{word}`" for word in value["enum"])
    if "anyOf" in value:
        kinds = [_kind(one) for one in value["anyOf"] if one.get("type") != "null"]
        return " or ".join(dict.fromkeys(kinds))
    match value.get("type"):
        case "array":
            return f"list of {_kind(value.get('items', {}))}"
        case "object":
            inner = next(iter(value.get("patternProperties", {}).values()), value.get("additionalProperties"))
            return f"mapping to {_kind(inner)}" if isinstance(inner, Mapping) else "mapping"
        case list() as types:
            return " or ".join(types)
        case str() as kind:
            return kind + _bounds(value)
    return "anything"


def _bounds(value: Schema) -> str:
    low = value.get("minimum", value.get("exclusiveMinimum"))
    high = value.get("maximum")
    if low is None and high is None:
        return ""
    above = "" if low is None else f"{'over' if 'exclusiveMinimum' in value else 'from'} {low}"
    return f" {above}{f' to {high}' if high is not None else ''}".rstrip()


def _named(value: Any) -> Iterator[str]:
    """The parts that this one names, in order. `$defs` are where they stand, not where they are named."""
    if isinstance(value, Mapping):
        for key, item in value.items():
            if key == "$ref":
                yield item.rsplit("/", 1)[-1]
            elif key != "$defs":
                yield from _named(item)
    elif isinstance(value, list):
        for item in value:
            yield from _named(item)

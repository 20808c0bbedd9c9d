"""A Google API's discovery document, as it comes with Google's own client: what a request and an answer may hold."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.resources import files
from typing import Any
from urllib.parse import unquote

import httpx

_TYPES: dict[str, type | tuple[type, ...]] = {
    "string": str,
    "boolean": bool,
    "integer": int,
    "number": (int, float),
    "object": dict,
    "array": list,
}


@dataclass(frozen=True)
class DiscoveredMethod:
    """`path` matches what comes after the API's root."""

    id: str
    verb: str
    path: re.Pattern[str]
    parameters: Mapping[str, Any]
    request: str | None
    response: str


@dataclass
class DiscoveryDocument:
    name: str
    document: dict[str, Any] = field(init=False)
    methods: list[DiscoveredMethod] = field(init=False)

    def __post_init__(self) -> None:
        place = files("googleapiclient") / "discovery_cache" / "documents" / f"{self.name}.json"
        self.document = json.loads(place.read_text("utf-8"))
        self.methods = list(self._methods(self.document["resources"]))

    def problems(self, request: httpx.Request, root: str, response: httpx.Response | None = None) -> list[str]:
        """What of a request, and of its answer, the document does not know. `root`: the path before the API's own."""
        path = unquote(request.url.path).removeprefix(root)
        found = [m for m in self.methods if m.verb == request.method and m.path.fullmatch(path)]
        if not found:
            return [f"no method is {request.method} {path}"]
        method = found[0]
        known = {**self.document["parameters"], **method.parameters}
        said = [f"{method.id}: no parameter {name!r}" for name in request.url.params if name not in known]
        for name, value in request.url.params.multi_items():
            allowed = known.get(name, {}).get("enum")
            if allowed and value not in allowed:
                said.append(f"{method.id}: {name} is none of {allowed}")
        if request.content:
            said += self._check({"$ref": method.request}, json.loads(request.content), method.id)
        if response is not None and response.is_success:
            said += self._check({"$ref": method.response}, response.json(), f"answer of {method.id}")
        return said

    def _check(self, schema: Mapping[str, Any], value: Any, at: str) -> list[str]:
        if "$ref" in schema:
            schema = self.document["schemas"][schema["$ref"]]
        kind = schema.get("type", "any")
        if kind == "any" or value is None:
            return []
        if not isinstance(value, _TYPES[kind]) or (isinstance(value, bool) and kind != "boolean"):
            return [f"{at} is no {kind}"]
        if "enum" in schema and value not in schema["enum"]:
            return [f"{at} is none of {schema['enum']}"]
        if kind == "array":
            return [p for n, one in enumerate(value) for p in self._check(schema["items"], one, f"{at}[{n}]")]
        if kind != "object":
            return []
        members = schema.get("properties", {})
        problems = [f"{at}.{name} is unknown" for name in value if name not in members]
        return problems + [p for n in value if n in members for p in self._check(members[n], value[n], f"{at}.{n}")]

    def _methods(self, resources: Mapping[str, Any]) -> Any:
        for resource in resources.values():
            for method in resource.get("methods", {}).values():
                path = re.sub(r"\\\{\w+\\\}", "[^/:]+(?:![^/]+)?", re.escape(method["flatPath"]))
                request = method.get("request", {}).get("$ref")
                parameters = method.get("parameters", {})
                pattern = re.compile("/" + path)
                yield DiscoveredMethod(
                    method["id"], method["httpMethod"], pattern, parameters, request, method["response"]["$ref"]
                )
            yield from self._methods(resource.get("resources", {}))

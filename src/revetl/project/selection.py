"""dbt's selectors over the manifest, as far as choosing syncs needs them.

name  path.to.folder  nam*      a node's name or the head of its folder path, wildcards as in a shell
tag:x  path:models/x  source:a.b
+x  x+  +x+                     with all that stands before or after it
a,b                             both at once; several selectors mean any of them
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import PurePosixPath
from typing import Any

from revetl.errors import ConfigError, did_you_mean
from revetl.project.manifest import Manifest

METHODS = ("tag", "path", "source", "fqn")


def selected(manifest: Manifest, select: Sequence[str], exclude: Sequence[str], among: Iterable[str]) -> set[str]:
    """The ids of `among` that a selector names and none excludes. No selector names all.

    ConfigError for a selector that is not understood or names nothing in the whole project.
    """
    pool = set(among)
    chosen = pool if not select else pool & set().union(*(_any(manifest, s) for s in select))
    return chosen - set().union(*(_any(manifest, s) for s in exclude))


def _any(manifest: Manifest, selector: str) -> set[str]:
    sets = [_one(manifest, part) for part in selector.split(",")]
    return set.intersection(*sets)


def _one(manifest: Manifest, selector: str) -> set[str]:
    before, after = selector.startswith("+"), selector.endswith("+")
    body = selector.removeprefix("+").removesuffix("+")
    method, _, value = body.rpartition(":")
    if not value or "@" in body or (method and method not in METHODS):
        hint = "Names, tag:, path:, source:, wildcards and + are understood."
        raise ConfigError(f"the selector {selector!r} is not understood", hint=hint)
    found = {id_ for id_, node in manifest.nodes.items() if _matches(node, method or "fqn", value)}
    if not found:
        names = [str(n["name"]) for n in manifest.sync_nodes().values()]
        raise ConfigError(f"the selector {selector!r} names nothing", hint=did_you_mean(value, names))
    out = set(found)
    if before:
        out |= _reached(found, manifest.parents)
    if after:
        out |= _reached(found, manifest.children)
    return out


def _matches(node: Mapping[str, Any], method: str, value: str) -> bool:
    if method == "tag":
        return any(fnmatchcase(t, value) for t in node.get("tags", []))
    if method == "path":
        path = PurePosixPath(node["original_file_path"])
        return any(fnmatchcase(str(p), value.rstrip("/")) for p in (path, *path.parents))
    if method == "source":
        return node["resource_type"] == "source" and fnmatchcase(f"{node['source_name']}.{node['name']}", value)
    if node["resource_type"] in ("test", "unit_test", "source"):
        return False
    if fnmatchcase(node["name"], value):
        return True
    fqn, parts = node["fqn"][1:], value.split(".")  # the first is the package
    return len(parts) <= len(fqn) and all(fnmatchcase(f, p) for f, p in zip(fqn, parts, strict=False))


def _reached(start: set[str], edges: Mapping[str, list[str]]) -> set[str]:
    seen: set[str] = set()
    todo = list(start)
    while todo:
        for other in edges.get(todo.pop(), []):
            if other not in seen:
                seen.add(other)
                todo.append(other)
    return seen

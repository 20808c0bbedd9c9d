"""dbt's selectors over the manifest: the grammar of `dbt --select`, for the nodes that syncs are chosen from.

name  folder.name  nam*         a node's name, or the head of its path of folders (`fqn:`), with wildcards
tag:x  path:models/x  file:x.sql  package:x  source:a.b  exposure:x  group:x  access:x  resource_type:x
config.meta.revetl.destination:crm        any value of a node's config, by its path
+x  x+  2+x  x+1  @x            with what stands before or after it (so many steps), or with all that its children need
a,b                             both at once; words apart, or several selectors, mean any of them

The meaning of each is dbt's (dbt-core 1.11); the tests compare with `dbt ls`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from fnmatch import fnmatch
from pathlib import PurePosixPath
from typing import Any

from revetl.errors import ConfigError, did_you_mean, quoted
from revetl.project.manifest import Manifest

_SELECTOR = re.compile(
    r"(?P<at>@)?((?P<before>\d*)\+)?((?P<method>[\w.]+):)?(?P<value>.*?)(\+(?P<after>\d*))?", re.DOTALL
)
_WILD = "*?[]"
Node = Mapping[str, Any]


def selected(
    manifest: Manifest,
    select: Sequence[str],
    exclude: Sequence[str],
    among: Iterable[str],
    *,
    nothing: list[str] | None = None,
) -> set[str]:
    """The ids of `among` that a selector names and none excludes. No selector names all.

    ConfigError for a selector that is not understood, or that names nothing in the whole project; where there is a list
    `nothing`, a sentence on each of the latter is put there instead.
    """
    pool = set(among)
    chosen = pool if not select else pool & _any(manifest, select, nothing)
    return chosen - _any(manifest, exclude, nothing)


def _any(manifest: Manifest, selectors: Sequence[str], nothing: list[str] | None) -> set[str]:
    words = [word for selector in selectors for word in selector.split()]
    named = ((_one(manifest, part, nothing) for part in word.split(",")) for word in words)
    return set().union(*(set.intersection(*parts) for parts in named))


def _one(manifest: Manifest, selector: str, nothing: list[str] | None) -> set[str]:
    parsed = _SELECTOR.fullmatch(selector)
    value = parsed["value"] if parsed else ""
    if parsed is None or not value or (parsed["at"] and parsed["after"] is not None):
        raise _not_understood(selector)
    name, *arguments = (parsed["method"] or _default_method(value)).split(".")
    if name not in METHODS or (bool(arguments) != (name == "config")):
        raise _not_understood(selector)
    method = METHODS[name]
    if value == "this" and name == "package":
        value = manifest.project_name
    found = {id_ for id_, node in manifest.selectable.items() if method(node, value, arguments)}
    if not found:
        names = [str(n["name"]) for n in manifest.sync_nodes().values()]
        said = f"the selector {quoted(selector)} names nothing"
        if nothing is None:
            raise ConfigError(said, hint=did_you_mean(value, names))
        nothing.append(said)
    out = set(found)
    if parsed["at"]:
        below = found | _reached(found, manifest.children)
        out |= below | _reached(below, manifest.parents)
    if parsed["before"] is not None:
        out |= _reached(found, manifest.parents, _steps(parsed["before"]))
    if parsed["after"] is not None:
        out |= _reached(found, manifest.children, _steps(parsed["after"]))
    return out


def _not_understood(selector: str) -> ConfigError:
    hint = "Names, wildcards, +, @ and the methods " + ", ".join(f"{m}:" for m in METHODS) + " are understood."
    return ConfigError(f"the selector {quoted(selector)} is not understood", hint=hint)


def _default_method(value: str) -> str:
    if "/" in value:
        return "path"
    return "file" if value.lower().endswith((".sql", ".py", ".csv")) else "fqn"


def _steps(digits: str) -> int | None:
    return int(digits) if digits else None


def _by_fqn(node: Node, value: str, _: Sequence[str]) -> bool:
    """With or without the package in front."""
    if node["resource_type"] == "source":
        return False
    versioned = node.get("version") is not None
    return any(_is_named(fqn, value, versioned=versioned) for fqn in (node["fqn"], node["fqn"][1:]) if fqn)


def _is_named(fqn: Sequence[str], value: str, *, versioned: bool) -> bool:
    """The whole name, or the head of the path; from the first wildcard on, the whole rest. A lone wildcard also means
    the name. A versioned model ends in its version: `name`, `name.v2` and `name_v2` all mean it."""
    leaf = fqn[-2] if versioned and len(fqn) > 1 else fqn[-1]
    parts = value.split(".")
    if leaf == value or (versioned and "_".join(fqn[-2:]) == "_".join(parts[-2:])):
        return True
    flat = [item for segment in fqn for item in segment.split(".")]
    if len(flat) < len(parts):
        return False
    for i, part in enumerate(parts):
        if any(c in part for c in _WILD):
            rest = fnmatch(".".join(flat[i:]), ".".join(parts[i:]))
            return rest or (len(parts) == 1 and fnmatch(leaf, value))
        if flat[i] != part:
            return False
    return True


def _by_path(node: Node, value: str, _: Sequence[str]) -> bool:
    """The file, a folder above it, or the yml that describes it."""
    own = PurePosixPath(node["original_file_path"].replace("\\", "/"))
    described = str(node.get("patch_path") or "").partition("://")[2]
    pattern = PurePosixPath(value).parts
    places = [own, *own.parents, *([PurePosixPath(described)] if described else [])]
    return any(_matches_parts(place.parts, pattern) for place in places)


def _matches_parts(parts: Sequence[str], pattern: Sequence[str]) -> bool:
    """As a shell's glob: `*` within one part, `**` over any number of folders."""
    if not pattern:
        return not parts
    if pattern[0] == "**":
        return any(_matches_parts(parts[i:], pattern[1:]) for i in range(len(parts) + 1))
    return bool(parts) and fnmatch(parts[0], pattern[0]) and _matches_parts(parts[1:], pattern[1:])


def _by_file(node: Node, value: str, _: Sequence[str]) -> bool:
    path = PurePosixPath(node["original_file_path"])
    return fnmatch(path.name, value) or fnmatch(path.stem, value)


def _by_source(node: Node, value: str, _: Sequence[str]) -> bool:
    return node["resource_type"] == "source" and _in_order(
        (node["package_name"], node["source_name"], node["name"]), value, head=1
    )


def _by_exposure(node: Node, value: str, _: Sequence[str]) -> bool:
    return node["resource_type"] == "exposure" and _in_order((node["package_name"], node["name"]), value, head=1)


def _in_order(names: Sequence[str], value: str, *, head: int) -> bool:
    """`a`, `a.b` or `package.a.b`: the package may be left out, and what stands at the end."""
    parts = value.split(".")
    if len(parts) < len(names):
        parts = ["*"] * head + parts
    parts += ["*"] * (len(names) - len(parts))
    return len(parts) == len(names) and all(fnmatch(n, p) for n, p in zip(names, parts, strict=True))


def _by_config(node: Node, value: str, path: Sequence[str]) -> bool:
    held: Any = node.get("config")
    for step in path:
        if not isinstance(held, Mapping) or step not in held:
            return False
        held = held[step]
    truth = {"true": True, "false": False}.get(value.lower())
    candidates = held if isinstance(held, list) else [held]
    return any(c == value or (isinstance(c, bool) and c is truth) for c in candidates)


def _by_tag(node: Node, value: str, _: Sequence[str]) -> bool:
    return any(fnmatch(tag, value) for tag in node.get("tags") or [])


def _by_group(node: Node, value: str, _: Sequence[str]) -> bool:
    group = (node.get("config") or {}).get("group")
    return group is not None and fnmatch(str(group), value)


METHODS: Mapping[str, Callable[[Node, str, Sequence[str]], bool]] = {
    "fqn": _by_fqn,
    "tag": _by_tag,
    "path": _by_path,
    "file": _by_file,
    "package": lambda node, value, _: fnmatch(node["package_name"], value),
    "source": _by_source,
    "exposure": _by_exposure,
    "config": _by_config,
    "group": _by_group,
    "access": lambda node, value, _: node.get("access") == value,
    "resource_type": lambda node, value, _: node["resource_type"] == value,
}


def _reached(start: set[str], edges: Mapping[str, list[str]], steps: int | None = None) -> set[str]:
    """All that the edges lead to from these, in so many steps; None: however many."""
    seen: set[str] = set()
    layer = start
    while layer and steps != 0:
        layer = {other for id_ in layer for other in edges.get(id_, [])} - seen
        seen |= layer
        steps = None if steps is None else steps - 1
    return seen

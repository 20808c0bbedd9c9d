"""A field mask: which members of an answer are given (docs: `a,b.c,d(e,f)`)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from revetl.sandbox.google_sheets.refusal import invalid

Mask = dict[str, "Mask"]


def parsed(text: str) -> Mask:
    mask: Mask = {}
    for path, inner in _paths(text):
        at = mask
        for name in path.replace("/", ".").split("."):
            if not name.replace("_", "").isalnum() and name != "*":
                raise invalid(f"Invalid field selection {text}")
            at = at.setdefault(name, {})
        if inner:
            at.update(parsed(inner))
    return mask


def masked(value: Any, mask: Mask) -> Any:
    """An empty mask takes all."""
    if not mask or "*" in mask:
        return value
    if isinstance(value, list):
        return [masked(one, mask) for one in value]
    if not isinstance(value, dict):
        return value
    return {name: masked(value[name], inner) for name, inner in mask.items() if name in value}


def _paths(text: str) -> Iterator[tuple[str, str]]:
    """(path, what stands in its brackets)"""
    depth, path, inner = 0, "", ""
    for sign in text + ",":
        if sign == "," and depth == 0:
            if path:
                yield path, inner
            path = inner = ""
            continue
        if sign == ")":
            depth -= 1
            if depth < 0:
                raise invalid(f"Invalid field selection {text}")
            if depth == 0:
                continue
        if depth:
            inner += sign
        elif sign != "(":
            path += sign
        depth += sign == "("
    if depth:
        raise invalid(f"Invalid field selection {text}")

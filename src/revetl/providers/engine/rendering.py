"""From a spec and the inputs of a lookup to one request. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from revetl.providers.grammar import ProviderSpec, fill


@dataclass(frozen=True, slots=True)
class OutgoingRequest:
    """One request without its credentials."""

    method: str
    path: str
    query: Mapping[str, str]
    json: Any = None


def render(spec: ProviderSpec, inputs: Mapping[str, str]) -> OutgoingRequest:
    """The request for these inputs. Parameters whose inputs are absent are left out."""
    request = spec.request
    query: dict[str, str] = {}
    for name, alternatives in request.query.items():
        for template in alternatives:
            if (text := fill(template, inputs)) is not None:
                query[name] = text
                break
    body = None if request.json_body is None else fill_tree(request.json_body, inputs)
    return OutgoingRequest(request.method, request.path, query, body)


def fill_tree(node: Any, inputs: Mapping[str, str]) -> Any:
    """A JSON body with its templates filled; what lacks an input is left out, and so is what is empty without it."""
    if isinstance(node, str):
        return fill(node, inputs)
    if isinstance(node, Mapping):
        filled = {key: fill_tree(value, inputs) for key, value in node.items()}
        return {key: value for key, value in filled.items() if value is not None} or None
    if isinstance(node, list):
        return [value for item in node if (value := fill_tree(item, inputs)) is not None] or None
    return node
